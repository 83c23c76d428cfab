/* SPDX-License-Identifier: MIT */
/*
 * malloc.c - the names by which C programs allocate: the standard ones, the older ones, and the C
 * library's internal aliases, so that no block crosses into another allocator.
 *
 * What valgrind does not replace (reallocarray, pvalloc, free_sized) calls what it does, so that a
 * program's blocks are either all valgrind's or all ours.
 *
 * ISO C23 7.24.3, POSIX.1-2024 posix_memalign, and glibc's malloc(3), memalign(3) for the others.
 */
#include "alloc.h"
#include "boot.h"
#include "os/os.h"
#include "resize.h"

#include <errno.h>

#define ALIAS(name) EXPORT __attribute__((alias(#name)))

void *malloc(size_t size);
void free(void *block);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void *memalign(size_t alignment, size_t size);
void *valloc(size_t size);
void *pvalloc(size_t size);
int posix_memalign(void **block, size_t alignment, size_t size);

HIDDEN void *vm_own_malloc(size_t size) __attribute__((alias("malloc")));

EXPORT void *malloc(size_t size)
{
	return alloc_malloc(size);
}

EXPORT void free(void *block)
{
	alloc_free(block);
}

EXPORT void *calloc(size_t count, size_t size)
{
	return vm_alloc_zeroed(count, size);
}

EXPORT void *realloc(void *block, size_t size)
{
	return vm_alloc_resize(block, size);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
	size_t bytes;
	bool overflow = __builtin_mul_overflow(count, size, &bytes);
	return realloc(block, overflow ? SIZE_MAX : bytes); /* which refuses it */
}

/* As glibc's, which programs rely on: an alignment that is no power of two is rounded up to one. */
EXPORT void *memalign(size_t alignment, size_t size)
{
	return alloc_aligned_if_valid(memalign_alignment(alignment), size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	return alloc_aligned_if_valid(alignment, size);
}

static NOINLINE int posix_memalign_miss(void **block, size_t alignment, size_t size)
{
	int saved = errno;
	void *aligned = vm_alloc_aligned_miss(alignment, size);
	errno = saved;
	if (!aligned)
		return ENOMEM;
	*block = aligned;
	return 0;
}

/* Reports by its result and leaves errno, and on failure *block, alone. */
EXPORT int posix_memalign(void **block, size_t alignment, size_t size)
{
	if (!is_power_of_two(alignment) || alignment % sizeof(void *))
		return EINVAL;
	return alloc_aligned_hit(alignment, size, block)
		       ? 0
		       : posix_memalign_miss(block, alignment, size);
}

/* Before the first allocation vm_os is not filled in yet. */
static size_t kernel_page(void)
{
	return vm_boot() ? vm_os.page_bytes : PAGE_BYTES;
}

EXPORT void *valloc(size_t size)
{
	return vm_alloc_aligned(kernel_page(), size);
}

EXPORT void *pvalloc(size_t size)
{
	size_t page = kernel_page();
	bool overflow = size > PTRDIFF_MAX - page;
	return memalign(page, overflow ? SIZE_MAX : max_size(align_up(size, page), page));
}

EXPORT size_t malloc_usable_size(void *block)
{
	return block ? vm_alloc_usable_size(block, "malloc_usable_size") : 0;
}

/* The sizes cannot tell the class: realloc leaves a shrunk block in its class. */
EXPORT void free_sized(void *block, size_t size)
{
	(void)size;
	free(block);
}

EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
	(void)alignment;
	(void)size;
	free(block);
}

ALIAS(free) void cfree(void *block);

ALIAS(malloc) void *__libc_malloc(size_t size);
ALIAS(free) void __libc_free(void *block);
ALIAS(free) void __libc_cfree(void *block);
ALIAS(calloc) void *__libc_calloc(size_t count, size_t size);
ALIAS(realloc) void *__libc_realloc(void *block, size_t size);
ALIAS(memalign) void *__libc_memalign(size_t alignment, size_t size);
ALIAS(valloc) void *__libc_valloc(size_t size);
ALIAS(pvalloc) void *__libc_pvalloc(size_t size);

EXPORT int __posix_memalign(void **block, size_t alignment, size_t size)
{
	return posix_memalign(block, alignment, size);
}
