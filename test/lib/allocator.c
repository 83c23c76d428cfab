/* SPDX-License-Identifier: MIT */
#include "allocator.h"

#include <malloc.h>
#include <stdlib.h>

const struct allocator process_allocator = {
	malloc, calloc, realloc, aligned_alloc, free, malloc_usable_size,
};
