/* SPDX-License-Identifier: MIT */
/*
 * The fault sweep (sweep.h) over the preloaded library on the real kernel. A filter (seccomp(2))
 * hands each call that works on memory to a thread of the same process, which lets it go on or
 * refuses it; so calls that libc makes, with signals blocked or not, are refused as well.
 */
#define _GNU_SOURCE 1
#include "child.h"
#include "maps.h"
#include "must.h"
#include "proc.h"
#include "suite.h"
#include "sweep.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vmalloc.h>

/* Of the library, where it is preloaded. */
#pragma weak vm_stats
#pragma weak vm_last_failure
#pragma weak free_sized
#pragma weak free_aligned_sized
#pragma weak cfree
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);
void cfree(void *block);
void *__libc_memalign(size_t alignment, size_t size);
extern __attribute__((weak)) void *new_nothrow(size_t size, const void *nothrow)
	__asm__("_ZnwmRKSt9nothrow_t");
extern __attribute__((weak)) void delete_sized(void *block, size_t size) __asm__("_ZdlPvm");

/* Short, so that pass_time is. */
#define OPTIONS "decay_ms:1,report_failures:false"

static struct {
	sem_t installed;
	int listener; /* -1: the kernel has none */
	_Atomic uint64_t calls;
	_Atomic uint64_t fail_from;
	_Atomic uint64_t fail_to;
} filter;

static bool is_refused(void)
{
	const uint64_t call = ++filter.calls;
	return call >= filter.fail_from && call < filter.fail_to;
}

static bool is_of_this_process(pid_t thread)
{
	return syscall(SYS_tgkill, getpid(), thread, 0) == 0;
}

/* As the kernel answers: brk tells the break, which only the own process's is known of. */
static void refuse_call(const struct seccomp_notif *call, struct seccomp_notif_resp *answer)
{
	if (call->data.nr != SYS_brk) {
		answer->error = -ENOMEM;
		answer->flags = 0;
	} else if (is_of_this_process((pid_t)call->pid)) {
		answer->val = syscall(SYS_brk, 0);
		answer->flags = 0;
	}
}

static void *answer_calls(void *unused)
{
	(void)unused;
	sem_wait(&filter.installed);
	for (;;) {
		struct seccomp_notif call = {0};
		if (ioctl(filter.listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
			continue; /* the caller was killed */
		struct seccomp_notif_resp answer = {.id = call.id,
						    .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
		const bool asks = call.data.nr == SYS_brk && !call.data.args[0];
		if (!asks && is_refused())
			refuse_call(&call, &answer);
		ioctl(filter.listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
	return NULL;
}

/* For this thread and those that it makes; -1: not on this kernel. */
static int install_filter(void)
{
#define NOTIFY(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), \
		       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		NOTIFY(SYS_mmap),
		NOTIFY(SYS_munmap),
		NOTIFY(SYS_mremap),
		NOTIFY(SYS_madvise),
		NOTIFY(SYS_process_madvise),
		NOTIFY(SYS_mprotect),
		NOTIFY(SYS_brk),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			    &program);
}

static void begin(void)
{
	pthread_t thread;

	must(!sem_init(&filter.installed, 0, 0));
	must(!pthread_create(&thread, NULL, answer_calls, NULL));
	filter.listener = install_filter();
	must(filter.listener >= 0);
	/* 1: SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, in newer headers; 6 us a call instead of 30. */
	ioctl(filter.listener, SECCOMP_IOW(4, __u64), 1);
	sem_post(&filter.installed);
	malloc_trim(0);
}

static void refuse(uint64_t nth, bool for_ever, bool records)
{
	must(!records);
	filter.fail_from = filter.fail_to = 0;
	filter.calls = 0;
	filter.fail_to = nth ? (for_ever ? UINT64_MAX : nth + 1) : 0;
	filter.fail_from = nth;
}

static uint64_t requests(bool records)
{
	must(!records);
	return filter.calls;
}

static struct vm_stats stats(void)
{
	struct vm_stats figures;

	must(vm_stats(&figures, sizeof figures) == sizeof figures);
	return figures;
}

static size_t used_of_heap(const struct vm_stats *figures)
{
	const size_t unused = figures->heap_free_dirty + figures->heap_free_clean;

	must(figures->heap_mapped >= unused);
	return figures->heap_mapped - unused;
}

/* A debug library proves its tables by itself, now and then. */
static void check_tables(void)
{
	const struct vm_stats figures = stats();

	must(used_of_heap(&figures) >= figures.small_live + figures.medium_live);
}

static struct footprint footprint(void)
{
	const struct vm_stats figures = stats();

	return (struct footprint){
		.bytes = proc_status_bytes("VmSize:"),
		.maps = maps_count(),
		.records = figures.meta_mapped,
		.live = figures.small_live + figures.medium_live + figures.large_live +
			figures.large_blocks,
		.kept = figures.small_cached + figures.heap_free_dirty + figures.large_dirty +
			figures.large_clean,
	};
}

static void spare(bool meanwhile)
{
	static uint64_t fail_to;

	if (meanwhile)
		fail_to = filter.fail_to;
	filter.fail_to = meanwhile ? 0 : fail_to;
}

static void *move_break(ptrdiff_t bytes)
{
	void *old = sbrk(bytes);

	return old == (void *)-1 ? NULL : old;
}

static void pass_time(void)
{
	usleep(10000);
}

static void *by_realloc(size_t size)
{
	return realloc(NULL, size);
}

static void *by_reallocarray(size_t size)
{
	return reallocarray(NULL, 1, size);
}

static void *by_memalign(size_t size)
{
	return memalign(256, size);
}

static void *by_posix_memalign(size_t size)
{
	void *block = NULL;

	errno = 54321;
	const int error = posix_memalign(&block, 64, size);
	must(errno == 54321);
	must(error ? error == ENOMEM && !block : block != NULL);
	errno = error;
	return block;
}

static void *by_libc_memalign(size_t size)
{
	return __libc_memalign(16, size);
}

/* C++ knows no errno. */
static void *by_new(size_t size)
{
	void *block = new_nothrow(size, NULL);

	errno = block ? 0 : ENOMEM;
	return block;
}

/* Called, not pointed to: a linker has only calls wait for a weak symbol. */
static void by_free_sized(void *block, size_t size)
{
	free_sized(block, size);
}

static void by_free_aligned_sized(void *block, size_t size)
{
	free_aligned_sized(block, 8, size);
}

static void by_cfree(void *block, size_t size)
{
	(void)size;
	cfree(block);
}

static void by_delete(void *block, size_t size)
{
	delete_sized(block, size);
}

static void *(*const other_mallocs[])(size_t) = {by_realloc, by_reallocarray, by_memalign,
	by_posix_memalign, valloc, pvalloc, by_libc_memalign, by_new, NULL};
static void (*const other_frees[])(void *, size_t) = {by_free_sized, by_free_aligned_sized, by_cfree,
	by_delete, NULL};

static void ask(void)
{
	struct vm_failure failure;
	const struct mallinfo2 info = mallinfo2();

	must(info.uordblks <= info.arena);
	must(vm_last_failure(&failure) == (failure.cause != VM_CAUSE_NONE));
	FILE *file = fopen("/dev/null", "we");
	if (!file)
		return;
	malloc_info(0, file);
	fclose(file);
}

const struct world world = {
	.allocator = &process_allocator,
	.trim = malloc_trim,
	.other_mallocs = other_mallocs,
	.other_frees = other_frees,
	.ask = ask,
	.begin = begin,
	.refuse = refuse,
	.requests = requests,
	.check_tables = check_tables,
	.footprint = footprint,
	.spare = spare,
	.move_break = move_break,
	.pass_time = pass_time,
};

static void try_filter(void *unused)
{
	(void)unused;
	_exit(install_filter() < 0 ? 77 : 0);
}

int main(int argc, char **argv)
{
	if (child_status(try_filter, NULL) != 0) {
		puts("no filter that refuses single calls here (SECCOMP_RET_USER_NOTIF)");
		return 77;
	}
	setenv("VMALLOC_CONF", OPTIONS, 1);
	suite_preload(argv);
	return sweep_main(argc, argv, "real_kernel", 2);
}
