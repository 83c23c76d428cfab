/* SPDX-License-Identifier: MIT */
/* The functions of an allocator under test, for what may run on more than one. */
#ifndef TEST_ALLOCATOR_H
#define TEST_ALLOCATOR_H

#include <stddef.h>

struct allocator {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t count, size_t size);
	void *(*realloc)(void *block, size_t size);
	void *(*aligned_alloc)(size_t alignment, size_t size);
	void (*free)(void *block);
	size_t (*usable_size)(void *block);
};

/* The process's own. */
extern const struct allocator process_allocator;

#endif
