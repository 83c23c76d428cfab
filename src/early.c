/* SPDX-License-Identifier: MIT */
#include "early.h"

struct head {
	size_t bytes;
} __attribute__((aligned(16)));

char vm_early_room[EARLY_BYTES] __attribute__((aligned(16)));
static size_t used;

void *vm_early_alloc(size_t size, size_t alignment)
{
	uintptr_t base = (uintptr_t)vm_early_room;
	uintptr_t free = base + used + sizeof(struct head);
	uintptr_t start = align_up(free, max_size(alignment, sizeof(struct head)));
	size = max_size(size, 1);
	if (start - base > EARLY_BYTES || size > EARLY_BYTES - (start - base))
		return NULL;
	struct head *head = (struct head *)start - 1;
	head->bytes = size;
	used = start + size - base;
	return (void *)start;
}

size_t vm_early_usable_size(const void *block)
{
	return ((const struct head *)block - 1)->bytes;
}
