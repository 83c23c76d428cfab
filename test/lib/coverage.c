/* SPDX-License-Identifier: MIT */
/*
 * Part of the library in builds that count what is executed: writes the counters where a process ends
 * without exit(), as children of tests do and programs that misuse a pointer.
 */
#define _GNU_SOURCE 1
#include "alloc.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);
void *__real_vm_malloc_miss(size_t size);
void __real_vm_free_miss(void *block);

static __thread bool writing;
static char memory[4 * MIB];
static _Atomic size_t used;

/* Reset: what follows in a process that shares its memory (vfork) is then written at its own end. */
static void write_counters(void)
{
	struct tcache *cache = vm_tcache;
	vm_tcache = (struct tcache *)&vm_tcache_exited; /* no hits */
	writing = true;
	__gcov_dump();
	__gcov_reset();
	writing = false;
	used = 0;
	vm_tcache = cache;
}

EXPORT void _exit(int status)
{
	write_counters();
	for (;;)
		syscall(SYS_exit_group, status);
}

EXPORT void abort(void)
{
	write_counters();
	signal(SIGABRT, SIG_DFL);
	for (;;)
		raise(SIGABRT);
}

/* In the place of the functions, by --wrap: writing takes memory, but a misuse may have been noticed
 * under a lock of the allocator. */
void *__wrap_vm_malloc_miss(size_t size)
{
	if (!writing)
		return __real_vm_malloc_miss(size);
	size_t at = atomic_fetch_add(&used, align_up(size, 16));
	return at + size <= sizeof memory ? memory + at : NULL;
}

void __wrap_vm_free_miss(void *block)
{
	if ((uintptr_t)block - (uintptr_t)memory >= sizeof memory)
		__real_vm_free_miss(block);
}
