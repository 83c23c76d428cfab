/* SPDX-License-Identifier: MIT */
/* vmalloc.c - the public vm_* functions; their contracts are in vmalloc.h. */
#include <vmalloc.h>

#include "alloc.h"
#include "failure.h"
#include "resize.h"
#include "stats.h"

#include <string.h>

EXPORT void *vm_malloc(size_t size)
{
	return alloc_malloc(size);
}

EXPORT void vm_free(void *block)
{
	alloc_free(block);
}

EXPORT void *vm_calloc(size_t count, size_t size)
{
	return vm_alloc_zeroed(count, size);
}

EXPORT void *vm_realloc(void *block, size_t size)
{
	return vm_alloc_resize(block, size);
}

EXPORT void *vm_aligned_alloc(size_t alignment, size_t size)
{
	return alloc_aligned_if_valid(alignment, size);
}

EXPORT void vm_free_sized(void *block, size_t size)
{
	/* The size cannot tell the class: realloc leaves a shrunk block in its class. */
	(void)size;
	alloc_free(block);
}

EXPORT size_t vm_malloc_usable_size(void *block)
{
	return block ? vm_alloc_usable_size(block, "malloc_usable_size") : 0;
}

EXPORT int vm_malloc_trim(size_t pad)
{
	return vm_alloc_trim(pad);
}

EXPORT size_t vm_stats(struct vm_stats *stats, size_t size)
{
	struct vm_stats gathered;
	vm_stats_gather(&gathered);
	memcpy(stats, &gathered, min_size(size, sizeof gathered));
	return sizeof gathered;
}

EXPORT bool vm_last_failure(struct vm_failure *failure)
{
	return vm_failure_last(failure);
}
