/* SPDX-License-Identifier: MIT */
/*
 * early.h - blocks for who allocates in the middle of the allocator's own start.
 *
 * What stands between us and the C library may do so at our first call to it. Only the thread that starts
 * the allocator takes such blocks; they are few, and stay for good: nobody needs to free them.
 */
#ifndef VM_EARLY_H
#define VM_EARLY_H

#include "base/base.h"

/* What is not used of it has no memory. */
#define EARLY_BYTES (256 * KIB)

extern char vm_early_room[EARLY_BYTES] HIDDEN;

/* A block of zeros at a multiple of `alignment`, a power of two; NULL where the room is used up. */
void *vm_early_alloc(size_t size, size_t alignment);

static inline bool early_holds(const void *pointer)
{
	return (uintptr_t)pointer - (uintptr_t)vm_early_room < EARLY_BYTES;
}

/* The bytes of a block in the room. */
size_t vm_early_usable_size(const void *block);

#endif
