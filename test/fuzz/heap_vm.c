/* SPDX-License-Identifier: MIT */
/* The vm_* functions, beside the C library's malloc. */
#define _GNU_SOURCE 1
#include "heap.h"

#include "must.h"

#include "base/base.h"

#include <errno.h>
#include <unistd.h>
#include <vmalloc.h>

void heap_prepare(char **argv)
{
	(void)argv;
}

void *heap_malloc(size_t size)
{
	return vm_malloc(size);
}

void *heap_calloc(size_t count, size_t size)
{
	return vm_calloc(count, size);
}

void *heap_realloc(void *block, size_t size)
{
	return vm_realloc(block, size);
}

void *heap_reallocarray(void *block, size_t count, size_t size)
{
	size_t bytes;
	bool overflow = __builtin_mul_overflow(count, size, &bytes);

	return vm_realloc(block, overflow ? SIZE_MAX : bytes);
}

void *heap_aligned_alloc(size_t alignment, size_t size)
{
	return vm_aligned_alloc(alignment, size);
}

void *heap_memalign(size_t alignment, size_t size)
{
	return vm_aligned_alloc(memalign_alignment(alignment), size);
}

int heap_posix_memalign(void **block, size_t alignment, size_t size)
{
	const int saved = errno;
	void *p = alignment % sizeof p ? NULL : vm_aligned_alloc(alignment, size);
	const int error = p ? 0 : alignment % sizeof p ? EINVAL : errno;

	errno = saved;
	if (p)
		*block = p;
	return error;
}

void *heap_valloc(size_t size)
{
	return vm_aligned_alloc((size_t)sysconf(_SC_PAGESIZE), size);
}

void *heap_pvalloc(size_t size)
{
	return heap_valloc(size);
}

void heap_free(void *block)
{
	vm_free(block);
}

void heap_free_sized(void *block, size_t size)
{
	vm_free_sized(block, size);
}

void heap_free_aligned_sized(void *block, size_t alignment, size_t size)
{
	(void)alignment;
	vm_free_sized(block, size);
}

size_t heap_usable_size(void *block)
{
	return vm_malloc_usable_size(block);
}

void heap_trim(size_t pad)
{
	vm_malloc_trim(pad);
}

/* A thread whose cache was refused has no place for the cause. */
void heap_must_tell(enum fault fault)
{
	struct vm_failure failure;

	if (vm_last_failure(&failure) && fault != FAULT_OF_EITHER)
		must((failure.cause == VM_CAUSE_SIZE) == (fault == FAULT_OF_SIZE));
}

void heap_must_be_empty(void)
{
	struct vm_stats stats;

	must(vm_stats(&stats, sizeof stats) == sizeof stats);
	must(stats.small_live == 0);
	must(stats.small_cached == 0);
	must(stats.medium_live == 0);
	must(stats.large_live == 0);
	must(stats.large_blocks == 0);
	must(stats.large_dirty == 0);
	must(stats.heap_free_dirty == 0);
	must(stats.threads <= 1);
}
