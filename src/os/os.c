/* SPDX-License-Identifier: MIT */
#include "os/os.h"

#include "os/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_COLD
#define MADV_COLD 20 /* Linux 5.4 */
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; not in the C library's header before 2.37 */
#endif

struct os vm_os;
_Atomic uint64_t vm_os_noted_ms;

/* 0: unlimited. */
static size_t soft_limit(int resource)
{
	struct rlimit limit;
	if (getrlimit(resource, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return 0;
	return limit.rlim_cur;
}

/* This and the next by raw calls: the C library's functions lie on pages of theirs that small programs do not touch
 * (32 and 64 KiB of resident memory), and its count of processors would open files and allocate. */
static unsigned count_cpus(void)
{
	uint64_t mask[64]; /* 4096 CPUs; the kernel refuses if it has more, and writes what it has */
	long bytes = os_syscall(SYS_sched_getaffinity, 0, sizeof mask, (long)mask, 0);
	unsigned count = 0;
	for (long i = 0; i < bytes / (long)sizeof mask[0]; i++)
		count += (unsigned)__builtin_popcountl(mask[i]);
	return count ? count : 1;
}

static size_t read_memory_bytes(void)
{
	struct sysinfo info;
	return os_syscall(SYS_sysinfo, (long)&info, 0, 0, 0) ? GIB : info.totalram * info.mem_unit;
}

/* Files by raw calls: libc's are cancellation points, and a thread that is cancelled there never
 * returns from malloc, nor releases what it has locked. */
static int open_file(const char *path)
{
	return (int)os_syscall(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
}

static void close_file(int file)
{
	os_syscall(SYS_close, file, 0, 0, 0);
}

/* The next part of a file, as much as there is room for; 0 at its end or on an error. */
static size_t read_some(int file, char *buffer, size_t room)
{
	long got;
	do {
		got = os_syscall(SYS_read, file, (long)buffer, (long)room, 0);
	} while (got == -EINTR);
	return got > 0 ? (size_t)got : 0;
}

size_t vm_os_map_limit(void)
{
	char text[24];
	int file = open_file("/proc/sys/vm/max_map_count");
	if (file < 0)
		return 0;
	size_t length = read_some(file, text, sizeof text);
	close_file(file);
	size_t limit = 0;
	for (size_t i = 0; i < length && text[i] >= '0' && text[i] <= '9'; i++)
		limit = limit * 10 + (size_t)(text[i] - '0');
	return limit;
}

/* A page that is there, for refuses_every_map to ask for. */
static void *probe_page;

static void *map(size_t bytes, int protection, int flags)
{
	void *address = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	return address == MAP_FAILED ? NULL : address;
}

static uint64_t to_ms(const struct timespec *time)
{
	return (uint64_t)time->tv_sec * 1000 + (uint64_t)time->tv_nsec / 1000000;
}

/* By the raw call: libfaketime's clock, called before the C library has its environment, sets up what its
 * children then do not find. */
static uint64_t start_ms(void)
{
	struct timespec now = {0};
	os_syscall(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, (long)&now, 0, 0);
	return to_ms(&now);
}

void vm_os_init(void)
{
	vm_os.start_ms = start_ms();
	vm_os.page_bytes = getauxval(AT_PAGESZ);
	vm_os.memory_bytes = read_memory_bytes();
	vm_os.address_limit = soft_limit(RLIMIT_AS) ?: SIZE_MAX;
	vm_os.map_limit = vm_os_map_limit();
	vm_os.cpus = count_cpus();
	vm_os.secure = getauxval(AT_SECURE);
	vm_os_noted_ms = vm_os.start_ms;
	probe_page = vm_os_reserve(vm_os.page_bytes);
}

void *vm_os_map(size_t bytes)
{
	return map(bytes, PROT_READ | PROT_WRITE, 0);
}

/* MAP_NORESERVE: otherwise a part that was once committed never merges with the reserve again. */
void *vm_os_reserve(size_t bytes)
{
	return map(bytes, PROT_NONE, MAP_NORESERVE);
}

bool vm_os_commit(void *address, size_t bytes)
{
	if (!mprotect(address, bytes, PROT_READ | PROT_WRITE))
		return true;
	/* A filter may refuse the one call and not the other; the kernel's own reason holds for both. */
	return errno != ENOMEM &&
	       mmap(address, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

bool vm_os_unmap(void *address, size_t bytes)
{
	return !munmap(address, bytes);
}

void *vm_os_remap(void *address, size_t old_bytes, size_t new_bytes, bool may_move)
{
	void *moved = mremap(address, old_bytes, new_bytes, may_move ? MREMAP_MAYMOVE : 0);
	return moved == MAP_FAILED ? NULL : moved;
}

/* Whether any were asked for. */
static _Atomic bool has_huge_pages;

static bool ask_for_huge_pages(void *address, size_t bytes, int advice)
{
	atomic_store_explicit(&has_huge_pages, true, memory_order_relaxed);
	return !os_syscall(SYS_madvise, (long)address, (long)bytes, advice, 0);
}

/* The kernel takes part of a huge page out of the map, but keeps the memory until it is short of any, unless the page
 * was cut in pieces, as MADV_FREE does at once. (4 GiB of blocks of 4000 B, of which one in 64 stays, then malloc_trim:
 * 94 MB resident, of 4.2 GB taken from the system.) */
static void cut_huge_page(uintptr_t start, uintptr_t end)
{
	if (start < end)
		os_syscall(SYS_madvise, (long)start, (long)(end - start), MADV_FREE, 0);
}

void vm_os_cut_huge_pages(void *address, size_t bytes)
{
	const size_t huge = vm_os.huge_bytes;
	if (!huge || !atomic_load_explicit(&has_huge_pages, memory_order_relaxed))
		return;
	uintptr_t start = (uintptr_t)address;
	uintptr_t end = start + bytes;
	uintptr_t first_end = align_up(start, huge);
	uintptr_t last_start = align_down(end, huge);
	if (first_end > last_start) {
		cut_huge_page(start, end);
	} else {
		cut_huge_page(start, first_end);
		cut_huge_page(last_start, end);
	}
}

bool vm_os_purge(void *address, size_t bytes)
{
	return !madvise(address, bytes, MADV_DONTNEED);
}

bool vm_os_purge_for_good(void *address, size_t bytes)
{
	vm_os_cut_huge_pages(address, bytes);
	return vm_os_purge(address, bytes);
}

/* Not by MADV_FREE, which works on what is there, and loses it. */
bool vm_os_cut_broken_huge_pages(void *address, size_t bytes)
{
	return !os_syscall(SYS_madvise, (long)address, (long)bytes, MADV_COLD, 0);
}

#define HUGE_MOST (2 * MIB)

/*
 * Where transparent_hugepage/enabled is "madvise". With "never" nobody is to have any, though madvise(2) would
 * give them; with "always" the kernel makes them without being asked. A huge page is what one page of a page
 * table describes; with larger pages than 4 KiB that is more than to fill at a time.
 */
void vm_os_find_huge_pages(void)
{
	static _Atomic bool looked;
	if (atomic_exchange_explicit(&looked, true, memory_order_relaxed))
		return;
	char text[40] = {0};
	int file = open_file("/sys/kernel/mm/transparent_hugepage/enabled");
	if (file < 0)
		return;
	read_some(file, text, sizeof text - 1);
	close_file(file);
	size_t bytes = vm_os.page_bytes / sizeof(uint64_t) * vm_os.page_bytes;
	if (bytes <= HUGE_MOST && strstr(text, "[madvise]"))
		vm_os.huge_bytes = bytes;
}

/* Not MADV_HUGEPAGE for the heap: that would cut the map in pieces, and have the kernel put back what is purged. */
bool vm_os_make_huge(void *address)
{
	return ask_for_huge_pages(address, vm_os.huge_bytes, MADV_COLLAPSE);
}

bool vm_os_advise_huge(void *address, size_t bytes)
{
	return ask_for_huge_pages(address, bytes, MADV_HUGEPAGE);
}

void vm_os_advise_small(void *address, size_t bytes)
{
	os_syscall(SYS_madvise, (long)address, (long)bytes, MADV_NOHUGEPAGE, 0);
}

/* Not by mincore: filters that allow what programs commonly use end the process for it (systemd's
 * @system-service), but not for a file. */
size_t vm_os_count_resident(const void *address, size_t pages)
{
	uint64_t entries[128]; /* Documentation/admin-guide/mm/pagemap.rst. The program's stack may be small. */
	const long entry = sizeof entries[0];
	const int present = 63;
	long at = (long)((uintptr_t)address / vm_os.page_bytes);
	size_t count = 0;
	int file = open_file("/proc/self/pagemap");
	if (file < 0)
		return 0;
	while (pages) {
		size_t some = min_size(pages, sizeof entries / sizeof entries[0]);
		long got = os_syscall(SYS_pread64, file, (long)entries, (long)some * entry, at * entry);
		for (long i = 0; i < got / entry; i++)
			count += entries[i] >> present;
		at += (long)some;
		pages -= some;
	}
	close_file(file);
	return count;
}

/* Every second page has another protection, so no two of them are one map. */
void *vm_os_hold_maps(size_t maps)
{
	size_t page = vm_os.page_bytes;
	char *range = vm_os_reserve(maps * page);
	if (!range)
		return NULL;
	for (size_t i = 1; i < maps; i += 2) {
		if (mprotect(range + i * page, page, PROT_READ)) {
			munmap(range, maps * page);
			return NULL;
		}
	}
	return range;
}

bool vm_os_release_maps(void *range, size_t maps)
{
	return vm_os_unmap(range, maps * vm_os.page_bytes);
}

/* Whether a map of the kind is to be had now. */
static bool try_map(size_t bytes, int protection, int flags)
{
	void *address = map(bytes, protection, flags);
	if (address)
		munmap(address, bytes);
	return address;
}

/* Linux looks at the count of maps before it looks whether the place is taken, and at limits of
 * memory after that. Before 4.17 it does not know the flag and maps somewhere. */
static bool refuses_every_map(void)
{
	if (!probe_page)
		return false;
	void *elsewhere = mmap(probe_page, vm_os.page_bytes, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
			       -1, 0);
	if (elsewhere == MAP_FAILED)
		return errno == ENOMEM;
	munmap(elsewhere, vm_os.page_bytes);
	return false;
}

/* At the limit one more is to be had: a shared one, since it merges with nothing. */
bool vm_os_out_of_maps(void)
{
	if (refuses_every_map())
		return true;
	void *last = mmap(NULL, vm_os.page_bytes, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (last == MAP_FAILED)
		return false;
	bool out = refuses_every_map();
	munmap(last, vm_os.page_bytes);
	return out;
}

enum vm_cause vm_os_find_cause(size_t bytes, size_t *limit)
{
	*limit = 0;
	bytes = align_up(bytes, vm_os.page_bytes);
	if (vm_os_out_of_maps()) {
		*limit = vm_os.map_limit;
		return VM_CAUSE_MAP_LIMIT;
	}
	if (!try_map(bytes, PROT_NONE, MAP_NORESERVE)) {
		*limit = soft_limit(RLIMIT_AS);
		return *limit ? VM_CAUSE_ADDRESS_LIMIT : VM_CAUSE_SIZE;
	}
	if (!try_map(bytes, PROT_READ | PROT_WRITE, MAP_NORESERVE) &&
	    (*limit = soft_limit(RLIMIT_DATA)))
		return VM_CAUSE_DATA_LIMIT;
	return try_map(bytes, PROT_READ | PROT_WRITE, 0) ? VM_CAUSE_MEMORY : VM_CAUSE_OVERCOMMIT;
}

/* The lines of /proc/self/maps, less [vsyscall], which is no map of the process (x86-64 only). */
size_t vm_os_count_maps(void)
{
	static const char vsyscall[] = "[vsyscall]\n";
	enum { TAIL = sizeof vsyscall - 1 };
	char text[TAIL + 1024]; /* on a stack of the program's, which may be small */
	int file = open_file("/proc/self/maps");
	if (file < 0)
		return 0;
	size_t maps = 0;
	size_t length;
	memset(text, 0, TAIL);
	while ((length = read_some(file, text + TAIL, sizeof text - TAIL)) > 0) {
		for (size_t i = TAIL; i < TAIL + length; i++)
			maps += text[i] == '\n';
		memmove(text, text + length, TAIL); /* the last of what was read */
	}
	close_file(file);
	return maps - !memcmp(text, vsyscall, TAIL);
}

void *vm_os_break(void)
{
	void *at = sbrk(0);
	return at == (void *)-1 ? NULL : at;
}

/* libc's sbrk, never the raw call: libc caches the break, and the program may use it too. Where a
 * filter lets brk fail, glibc takes the error number for a high address and sbrk for a success. */
void *vm_os_move_break(ptrdiff_t bytes)
{
	char *old = sbrk(bytes);
	return old != (void *)-1 && vm_os_break() == old + bytes ? old : NULL;
}

uint64_t vm_os_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return to_ms(&now);
}

uint64_t vm_os_cpu_us(void)
{
	struct timespec taken = {0};
	os_syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, (long)&taken, 0, 0);
	return (uint64_t)taken.tv_sec * 1000000 + (uint64_t)taken.tv_nsec / 1000;
}

/* ld.so's pointer to what the kernel laid on the stack: argc, argv, NULL, envp, NULL. It is there
 * before libc has its `environ`, which is unset while the first constructor runs. */
extern void *__libc_stack_end __attribute__((weak));

static char **initial_environment(void)
{
	if (environ)
		return environ;
	if (!&__libc_stack_end)
		return NULL;
	char **words = __libc_stack_end;
	return words + 1 + (uintptr_t)words[0] + 1;
}

const char *vm_os_environment(const char *name)
{
	size_t length = strlen(name);
	for (char **entry = initial_environment(); entry && *entry; entry++)
		if (!strncmp(*entry, name, length) && (*entry)[length] == '=')
			return *entry + length + 1;
	return NULL;
}

void vm_os_write_error(const char *text, size_t length)
{
	while (length > 0) {
		long written = os_syscall(SYS_write, STDERR_FILENO, (long)text, (long)length, 0);
		if (written == -EINTR)
			continue;
		if (written <= 0)
			return;
		text += written;
		length -= (size_t)written;
	}
}

void vm_os_abort(void)
{
	abort();
}

void vm_os_wait(_Atomic uint32_t *word, uint32_t value)
{
	os_syscall(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, (long)value, 0);
}

void vm_os_wake_one(_Atomic uint32_t *word)
{
	os_syscall(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, 1, 0);
}
