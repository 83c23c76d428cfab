/* SPDX-License-Identifier: MIT */
#include "fake_os.h"

#include "must.h"

#include "os/lock.h"
#include "os/os.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct fake_os fake_os = {
	.page_bytes = PAGE_BYTES,
	.map_limit = 65530,
	.address_limit = SIZE_MAX,
	.data_limit = SIZE_MAX,
	.commit_limit = SIZE_MAX,
	.now_ms = 1000,
};

struct os vm_os;
_Atomic uint64_t vm_os_noted_ms;

#define ARENA_BYTES ((size_t)32 << 30) /* qemu takes 2 s for 256 GiB */
#define ARENA_LEAST ((size_t)16 << 30) /* valgrind has no 32 GiB in one piece */
#define HUGE_BYTES ((size_t)2 << 20)

static struct {
	pthread_mutex_t mutex;
	uintptr_t base; /* of the arena; the break starts here */
	uintptr_t top;  /* where the maps begin */
	uintptr_t end;
	_Atomic uintptr_t brk; /* read as libc's sbrk(0) does: without the lock */
} kernel = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void lock(void)
{
	if (fake_os.slow && !lock_is_alone())
		sched_yield();
	pthread_mutex_lock(&kernel.mutex);
}

static void unlock(void)
{
	pthread_mutex_unlock(&kernel.mutex);
}

/* The memory behind it ---------------------------------------------------------------------- */

static size_t resident_bytes(uintptr_t start, uintptr_t end)
{
	static unsigned char pages[4096];
	const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	size_t bytes = 0;
	while (start < end) {
		size_t step = min_size(end - start, sizeof pages * page_bytes);
		must(!mincore((void *)start, step, pages));
		for (size_t i = 0; i < (step + page_bytes - 1) / page_bytes; i++)
			bytes += (pages[i] & 1) * page_bytes;
		start += step;
	}
	return bytes;
}

static void discard(uintptr_t start, uintptr_t end)
{
	must(!madvise((void *)start, end - start, MADV_DONTNEED));
}

static void copy_resident(uintptr_t to, uintptr_t from, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += vm_os.page_bytes)
		if (resident_bytes(from + at, from + at + vm_os.page_bytes))
			memcpy((void *)(to + at), (void *)(from + at), vm_os.page_bytes);
}

/* Requests ---------------------------------------------------------------------------------- */

/* Every request that may be refused passes here; `allowed` is what the rules say. */
static bool admit(bool allowed)
{
	fake_os.calls++;
	if (fake_os.calls >= fake_os.fail_from && fake_os.calls < fake_os.fail_to)
		allowed = false;
	fake_os.refusals += !allowed;
	return allowed;
}

/* Whether `bytes` more stay within a limit, which may be below what there is. */
static bool room_below(size_t limit, size_t used, size_t bytes)
{
	return !bytes || (used <= limit && bytes <= limit - used);
}

static bool room_to_write(size_t bytes)
{
	return room_below(fake_os.data_limit, fake_maps.writable_bytes, bytes) &&
	       room_below(fake_os.commit_limit, fake_maps.writable_bytes, bytes);
}

static bool room_for_bytes(size_t bytes, bool writable)
{
	return room_below(fake_os.address_limit, fake_maps.bytes, bytes) &&
	       (!writable || room_to_write(bytes));
}

/* mmap and brk look at the limit with `>`, before they merge. */
static bool room_for_new(size_t bytes, bool writable)
{
	return fake_maps.count <= fake_os.map_limit && room_for_bytes(bytes, writable);
}

/* Splits look at it with `>=`. */
static bool room_for_splits(size_t splits)
{
	return !splits || fake_maps.count + splits <= fake_os.map_limit;
}

static uintptr_t place(size_t bytes)
{
	return fake_maps_place(kernel.top, kernel.end, bytes);
}

static void *add_map(uintptr_t start, size_t bytes, enum fake_kind kind)
{
	if (!admit(start && room_for_new(bytes, kind == FAKE_PLAIN)))
		return NULL;
	must(fake_maps_vacant(start, start + bytes));
	must(kind != FAKE_PLAIN || !resident_bytes(start, start + bytes));
	fake_maps_insert((struct vma){.start = start, .end = start + bytes, .kind = kind});
	fake_maps_merge(start);
	fake_maps_merge(start + bytes);
	return (void *)start;
}

static void *map(size_t bytes, enum fake_kind kind)
{
	lock();
	must(bytes && bytes % vm_os.page_bytes == 0);
	void *address = add_map(place(bytes), bytes, kind);
	unlock();
	return address;
}

static size_t splits_of_unmap(uintptr_t start, uintptr_t end)
{
	const struct vma *vma = fake_maps_at(start);
	return vma && vma->start < start && vma->end > end;
}

static void cut_out(uintptr_t start, uintptr_t end)
{
	fake_maps_cut_out(start, end);
	discard(start, end);
}

static bool unmap(uintptr_t start, size_t bytes)
{
	must(start % vm_os.page_bytes == 0 && bytes && bytes % vm_os.page_bytes == 0);
	must(fake_maps_cover(start, start + bytes, false));
	if (!admit(room_for_splits(splits_of_unmap(start, start + bytes))))
		return false;
	cut_out(start, start + bytes);
	return true;
}

void *vm_os_map(size_t bytes)
{
	return map(bytes, FAKE_PLAIN);
}

void *vm_os_reserve(size_t bytes)
{
	return map(bytes, FAKE_RESERVED);
}

bool vm_os_unmap(void *address, size_t bytes)
{
	lock();
	fake_os.unmaps++;
	bool unmapped = unmap((uintptr_t)address, bytes);
	unlock();
	return unmapped;
}

/* Maps that merge with nothing: in the model, each page is one of its own kind. */
void *vm_os_hold_maps(size_t maps)
{
	lock();
	uintptr_t start = place(maps * vm_os.page_bytes);
	bool held = admit(start && room_for_new(maps * vm_os.page_bytes, false) &&
			  room_for_splits(maps));
	for (size_t i = 0; held && i < maps; i++)
		fake_maps_insert((struct vma){.start = start + i * vm_os.page_bytes,
					      .end = start + (i + 1) * vm_os.page_bytes,
					      .kind = FAKE_RESERVED,
					      .unmergeable = true});
	unlock();
	return held ? (void *)start : NULL;
}

bool vm_os_release_maps(void *range, size_t maps)
{
	lock();
	bool released = admit(true);
	if (released)
		fake_maps_cut_out((uintptr_t)range, (uintptr_t)range + maps * vm_os.page_bytes);
	unlock();
	return released;
}

size_t vm_os_map_limit(void)
{
	return fake_os.map_limit;
}

size_t vm_os_count_maps(void)
{
	lock();
	size_t count = fake_maps.count;
	unlock();
	return count;
}

/* The splits it takes to make part of a map one of another kind: none at an edge where the neighbour is. */
static size_t splits_of_change(uintptr_t start, uintptr_t end, enum fake_kind kind)
{
	struct vma *vma = fake_maps_at(start);
	struct vma changed = *vma;
	changed.kind = kind;
	changed.start = start;
	changed.end = end;
	const struct vma *above = fake_maps_at(vma->end);
	const struct vma *below = fake_maps_at(vma->start - 1);
	if (start == vma->start && below && fake_maps_can_merge(below, &changed))
		return 0;
	if (end == vma->end && above && fake_maps_can_merge(&changed, above))
		return 0;
	return (size_t)(start > vma->start) + (size_t)(end < vma->end);
}

static void change(uintptr_t start, uintptr_t end, enum fake_kind kind)
{
	fake_maps_split(start);
	fake_maps_split(end);
	fake_maps_set_kind(fake_maps_at(start), kind);
	fake_maps_merge(start);
	fake_maps_merge(end);
}

static bool commit(uintptr_t start, uintptr_t end)
{
	while (start < end && fake_maps_at(start)->kind == FAKE_COMMITTED)
		start = fake_maps_at(start)->end;
	if (start >= end)
		return admit(true);
	const struct vma *vma = fake_maps_at(start);
	must(vma->kind == FAKE_RESERVED && vma->end >= end);
	if (!admit(room_to_write(end - start) &&
		   room_for_splits(splits_of_change(start, end, FAKE_COMMITTED))))
		return false;
	change(start, end, FAKE_COMMITTED);
	return true;
}

bool vm_os_commit(void *address, size_t bytes)
{
	lock();
	uintptr_t start = (uintptr_t)address;
	must(fake_maps_cover(start, start + bytes, false));
	bool committed = commit(start, start + bytes);
	unlock();
	return committed;
}

static bool purge(void *address, size_t bytes, bool for_good)
{
	uintptr_t start = (uintptr_t)address;
	lock();
	fake_os.purges++;
	fake_os.purges_for_good += for_good;
	must(start % vm_os.page_bytes == 0 && bytes % vm_os.page_bytes == 0);
	must(fake_maps_cover(start, start + bytes, true));
	bool purged = admit(!fake_os.purge_refused);
	if (purged)
		discard(start, start + bytes);
	unlock();
	return purged;
}

bool vm_os_purge(void *address, size_t bytes)
{
	return purge(address, bytes, false);
}

void vm_os_cut_huge_pages(void *address, size_t bytes)
{
	uintptr_t start = (uintptr_t)address;
	lock();
	fake_os.huge_cuts++;
	must(fake_maps_cover(start, start + bytes, true));
	memset(address, 0xcd, bytes); /* may be lost */
	unlock();
}

bool vm_os_cut_broken_huge_pages(void *address, size_t bytes)
{
	uintptr_t start = (uintptr_t)address;
	lock();
	fake_os.broken_cuts++;
	fake_os.broken_cut = address;
	must(start % vm_os.huge_bytes == 0 && bytes == vm_os.huge_bytes);
	must(fake_maps_cover(start, start + bytes, true));
	unlock();
	return true;
}

bool vm_os_purge_for_good(void *address, size_t bytes)
{
	return purge(address, bytes, true);
}

void vm_os_find_huge_pages(void)
{
	lock();
	if (!fake_os.huge_looks) {
		fake_os.huge_looks++;
		vm_os.huge_bytes = fake_os.huge_bytes;
	}
	unlock();
}

bool vm_os_make_huge(void *address)
{
	uintptr_t start = (uintptr_t)address;
	lock();
	if (fake_os.huge_pages < sizeof fake_os.huge_asked / sizeof fake_os.huge_asked[0])
		fake_os.huge_asked[fake_os.huge_pages] = address;
	fake_os.huge_pages++;
	must(start % vm_os.huge_bytes == 0);
	must(fake_maps_cover(start, start + vm_os.huge_bytes, true));
	size_t resident = resident_bytes(start, start + vm_os.huge_bytes);
	must(resident); /* else the kernel has nothing to begin with */
	fake_os.huge_begun += resident == vm_os.page_bytes && resident_bytes(start, start + vm_os.page_bytes);
	bool made = admit(!fake_os.huge_refused);
	for (uintptr_t at = start; made && at < start + vm_os.huge_bytes; at += vm_os.page_bytes)
		*(volatile char *)at = *(volatile char *)at;
	unlock();
	return made;
}

bool vm_os_advise_huge(void *address, size_t bytes)
{
	uintptr_t start = (uintptr_t)address;
	uintptr_t end = start + bytes;
	lock();
	fake_os.huge_advices++;
	must(fake_os.huge_bytes && fake_maps_cover(start, end, true));
	const struct vma *vma = fake_maps_at(start);
	must(vma->end >= end);
	bool is_huge = vma->kind == FAKE_HUGE;
	bool advised = admit(!fake_os.huge_refused &&
			     (is_huge || room_for_splits(splits_of_change(start, end, FAKE_HUGE))));
	if (advised && !is_huge)
		change(start, end, FAKE_HUGE);
	else if (!advised && !fake_os.huge_refused && room_for_splits(1))
		fake_maps_split(start); /* of two that it takes the first was made */
	unlock();
	return advised;
}

void vm_os_advise_small(void *address, size_t bytes)
{
	uintptr_t start = (uintptr_t)address;
	lock();
	uintptr_t end = start + bytes;
	fake_os.small_advices++;
	must(fake_maps_at(start)->kind == FAKE_HUGE && fake_maps_at(start)->end >= end);
	if (room_for_splits(splits_of_change(start, end, FAKE_SMALL)))
		change(start, end, FAKE_SMALL);
	unlock();
}

size_t vm_os_count_resident(const void *address, size_t pages)
{
	uintptr_t start = (uintptr_t)address;
	uintptr_t end = start + pages * vm_os.page_bytes;
	lock();
	bool mapped = fake_maps_cover(start, end, true);
	size_t count = mapped ? resident_bytes(start, end) / vm_os.page_bytes : 0;
	unlock();
	return count;
}

static bool resize_in_place(struct vma *vma, uintptr_t end, size_t new_end)
{
	if (new_end <= end) {
		if (new_end < end && !room_for_splits(splits_of_unmap(new_end, end)))
			return false;
		if (new_end < end)
			cut_out(new_end, end);
		return true;
	}
	if (vma->end != end || !fake_maps_vacant(end, new_end))
		return false;
	fake_maps_set_end(vma, new_end);
	fake_maps_merge(new_end);
	return true;
}

static void *move(uintptr_t start, size_t old_bytes, size_t new_bytes)
{
	uintptr_t moved = place(new_bytes);
	if (!moved || fake_maps.count + 3 >= fake_os.map_limit)
		return NULL;
	struct vma vma = *fake_maps_at(start);
	if (vma.anon)
		vma.displaced += (intptr_t)(start - moved);
	vma.start = moved;
	vma.end = moved + new_bytes;
	fake_maps_insert(vma);
	copy_resident(moved, start, min_size(old_bytes, new_bytes));
	cut_out(start, start + old_bytes);
	fake_maps_merge(moved);
	fake_maps_merge(moved + new_bytes);
	return (void *)moved;
}

void *vm_os_remap(void *address, size_t old_bytes, size_t new_bytes, bool may_move)
{
	uintptr_t start = (uintptr_t)address;
	lock();
	must(fake_maps_cover(start, start + old_bytes, true));
	size_t grown = new_bytes - min_size(old_bytes, new_bytes);
	struct vma *vma = fake_maps_at(start);
	bool one = vma->end >= start + old_bytes; /* else EFAULT */
	void *result = NULL;
	if (admit((one || !grown) && room_for_bytes(grown, true))) {
		if (resize_in_place(vma, start + old_bytes, start + new_bytes))
			result = address;
		else if (may_move && one)
			result = move(start, old_bytes, new_bytes);
		fake_os.refusals += !result;
	}
	unlock();
	return result;
}

/* The break --------------------------------------------------------------------------------- */

void *vm_os_break(void)
{
	return (void *)kernel.brk;
}

static bool grow_break(uintptr_t end, uintptr_t new_end)
{
	/* One page must stay free above. */
	if (new_end + vm_os.page_bytes > kernel.top ||
	    !fake_maps_vacant(end, new_end + vm_os.page_bytes))
		return false;
	return add_map(end, new_end - end, FAKE_PLAIN);
}

static void *move_break(ptrdiff_t bytes)
{
	uintptr_t old = kernel.brk;
	uintptr_t end = align_up(old, vm_os.page_bytes);
	uintptr_t new_end = align_up(old + (size_t)bytes, vm_os.page_bytes);
	if (old + (size_t)bytes < kernel.base)
		return NULL;
	if (new_end > end && !grow_break(end, new_end))
		return NULL;
	if (new_end < end) {
		if (!admit(true))
			return NULL;
		cut_out(new_end, end);
	}
	kernel.brk = old + (size_t)bytes;
	return (void *)old;
}

void *vm_os_move_break(ptrdiff_t bytes)
{
	return fake_os_foreign_move_break(bytes);
}

void *fake_os_foreign_move_break(ptrdiff_t bytes)
{
	lock();
	void *old = move_break(bytes);
	unlock();
	return old;
}

/* Controls of the tests --------------------------------------------------------------------- */

void fake_os_touch(const void *address, size_t bytes)
{
	uintptr_t start = (uintptr_t)address;
	lock();
	must(fake_maps_cover(start, start + bytes, true));
	for (struct vma *vma = fake_maps_below(start + bytes); vma && vma->end > start;
	     vma = fake_maps_next_lower(vma))
		fake_maps_touch(vma);
	unlock();
}

uint64_t fake_os_advance(uint64_t ms)
{
	vm_os_noted_ms = atomic_fetch_add(&fake_os.now_ms, ms) + ms;
	return vm_os_noted_ms;
}

void fake_os_become_child(void)
{
	lock();
	for (size_t i = 0; i < fake_maps.count; i++)
		fake_maps.vmas[i].inherited = fake_maps.vmas[i].anon != 0;
	unlock();
}

void *fake_os_foreign_map(size_t bytes, bool plain)
{
	return map(bytes, plain ? FAKE_PLAIN : FAKE_FOREIGN);
}

void *fake_os_foreign_map_at(void *address, size_t bytes, bool plain)
{
	uintptr_t start = (uintptr_t)address;
	lock();
	void *mapped = fake_maps_vacant(start, start + bytes)
			       ? add_map(start, bytes, plain ? FAKE_PLAIN : FAKE_FOREIGN)
			       : NULL;
	unlock();
	return mapped;
}

bool fake_os_foreign_unmap(void *address, size_t bytes)
{
	lock();
	bool unmapped = unmap((uintptr_t)address, bytes);
	unlock();
	return unmapped;
}

void fake_os_foreign_maps_add(size_t count)
{
	lock();
	uintptr_t start = kernel.end;
	for (size_t i = 0; i < count; i++) {
		start = fake_maps_place(kernel.top, start, vm_os.page_bytes); /* what is above it is full */
		must(start);
		fake_maps_insert((struct vma){.start = start,
				    .end = start + vm_os.page_bytes,
				    .kind = FAKE_FOREIGN,
				    .unmergeable = true});
	}
	unlock();
}

void fake_os_foreign_maps_remove(size_t count)
{
	lock();
	for (size_t i = 0; i < fake_maps.count && count;) {
		if (fake_maps.vmas[i].unmergeable && fake_maps.vmas[i].kind == FAKE_FOREIGN) {
			fake_maps_erase(&fake_maps.vmas[i]);
			count--;
		} else {
			i++;
		}
	}
	must(!count);
	unlock();
}

bool fake_os_is_writable(const void *address, size_t bytes)
{
	lock();
	bool writable = fake_maps_cover((uintptr_t)address, (uintptr_t)address + bytes, true);
	unlock();
	return writable;
}

size_t fake_os_writable_bytes(void)
{
	lock();
	size_t bytes = fake_maps.writable_bytes;
	unlock();
	return bytes;
}

size_t fake_os_resident_bytes(const void *address, size_t bytes)
{
	lock();
	size_t resident = resident_bytes((uintptr_t)address, (uintptr_t)address + bytes);
	unlock();
	return resident;
}

/* The rest of os.h -------------------------------------------------------------------------- */

static void *map_arena(size_t bytes)
{
	void *arena = mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		return NULL;
	/* What is resident is told by the page. */
	madvise(arena, bytes + HUGE_BYTES, MADV_NOHUGEPAGE);
	return arena;
}

void vm_os_init(void)
{
	if (!kernel.base) {
		size_t bytes = ARENA_BYTES;
		void *arena = map_arena(bytes);
		while (!arena && (bytes /= 2) >= ARENA_LEAST)
			arena = map_arena(bytes);
		must(arena);
		kernel.base = align_up((uintptr_t)arena, HUGE_BYTES);
		kernel.top = kernel.base + max_size(bytes / 8, ARENA_LEAST / 2);
		kernel.end = kernel.base + bytes;
		kernel.brk = kernel.base;
	}
	vm_os = (struct os){
		.page_bytes = fake_os.page_bytes,
		.memory_bytes = 8 * GIB,
		.map_limit = fake_os.map_limit,
		.address_limit = SIZE_MAX,
		.start_ms = vm_os_now_ms(),
		.cpus = 2,
	};
	vm_os_noted_ms = vm_os.start_ms;
}

uint64_t vm_os_now_ms(void)
{
	fake_os.clock_reads++;
	return fake_os.now_ms;
}

uint64_t vm_os_cpu_us(void)
{
	static _Atomic uint64_t cpu_us;
	return atomic_fetch_add(&cpu_us, fake_os.cpu_us_a_look) + fake_os.cpu_us_a_look;
}

const char *vm_os_environment(const char *name)
{
	return getenv(name);
}

void vm_os_write_error(const char *text, size_t length)
{
	size_t used = strlen(fake_os.error);
	length = min_size(length, sizeof fake_os.error - 1 - used);
	memcpy(fake_os.error + used, text, length);
	fake_os.error[used + length] = 0;
}

void vm_os_abort(void)
{
	fputs(fake_os.error, stderr);
	abort();
}

void vm_os_wait(_Atomic uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void vm_os_wake_one(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

bool vm_os_out_of_maps(void)
{
	return vm_os_count_maps() >= fake_os.map_limit;
}

/* As the real one finds it: what would refuse a map of so many bytes now. */
static enum vm_cause cause_by_limits(size_t bytes, size_t *limit)
{
	*limit = fake_os.map_limit;
	if (fake_maps.count > *limit)
		return VM_CAUSE_MAP_LIMIT;
	*limit = fake_os.address_limit;
	if (!room_below(*limit, fake_maps.bytes, bytes))
		return VM_CAUSE_ADDRESS_LIMIT;
	*limit = fake_os.data_limit;
	if (!room_below(*limit, fake_maps.writable_bytes, bytes))
		return VM_CAUSE_DATA_LIMIT;
	*limit = 0;
	return room_to_write(bytes) ? VM_CAUSE_MEMORY : VM_CAUSE_OVERCOMMIT;
}

enum vm_cause vm_os_find_cause(size_t bytes, size_t *limit)
{
	lock();
	fake_os.cause_bytes = bytes;
	enum vm_cause cause = fake_os.cause;
	if (cause)
		*limit = cause <= VM_CAUSE_DATA_LIMIT ? fake_os.map_limit : 0;
	else
		cause = cause_by_limits(align_up(bytes, vm_os.page_bytes), limit);
	unlock();
	return cause;
}
