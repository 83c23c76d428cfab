/* SPDX-License-Identifier: MIT */
/* The names that programs call: the library is preloaded. */
#define _GNU_SOURCE 1
#include "heap.h"

#include "opaque.h"
#include "suite.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

/* C23, which the C library may lack. */
static void (*sized)(void *block, size_t size);
static void (*aligned_sized)(void *block, size_t alignment, size_t size);

static __attribute__((constructor)) void find_sized(void)
{
	sized = (void (*)(void *, size_t))(uintptr_t)dlsym(RTLD_DEFAULT, "free_sized");
	aligned_sized = (void (*)(void *, size_t, size_t))(uintptr_t)dlsym(RTLD_DEFAULT,
									   "free_aligned_sized");
}

void heap_prepare(char **argv)
{
	suite_preload(argv);
}

void *heap_malloc(size_t size)
{
	return opaque(malloc(opaque_size(size)));
}

void *heap_calloc(size_t count, size_t size)
{
	return opaque(calloc(opaque_size(count), size));
}

void *heap_realloc(void *block, size_t size)
{
	return opaque(realloc(block, opaque_size(size)));
}

void *heap_reallocarray(void *block, size_t count, size_t size)
{
	return opaque(reallocarray(block, opaque_size(count), size));
}

void *heap_aligned_alloc(size_t alignment, size_t size)
{
	return opaque(aligned_alloc(opaque_size(alignment), size));
}

void *heap_memalign(size_t alignment, size_t size)
{
	return opaque(memalign(opaque_size(alignment), size));
}

int heap_posix_memalign(void **block, size_t alignment, size_t size)
{
	return posix_memalign(block, opaque_size(alignment), size);
}

void *heap_valloc(size_t size)
{
	return opaque(valloc(opaque_size(size)));
}

void *heap_pvalloc(size_t size)
{
	return opaque(pvalloc(opaque_size(size)));
}

void heap_free(void *block)
{
	free(opaque(block));
}

void heap_free_sized(void *block, size_t size)
{
	sized(block, size);
}

void heap_free_aligned_sized(void *block, size_t alignment, size_t size)
{
	aligned_sized(block, alignment, size);
}

size_t heap_usable_size(void *block)
{
	return malloc_usable_size(block);
}

void heap_trim(size_t pad)
{
	malloc_trim(pad);
}

void heap_must_tell(enum fault fault)
{
	(void)fault;
}

void heap_must_be_empty(void)
{
}
