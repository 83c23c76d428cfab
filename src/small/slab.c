/* SPDX-License-Identifier: MIT */
#include "small/slab.h"

#include "base/check.h"
#include "os/os.h"

void vm_slab_init(struct run *slab)
{
	unsigned slots = vm_classes[slab->class].slots;
	for (unsigned word = 0; word < SLAB_SLOTS_MOST / 64; word++) {
		unsigned from = word * 64;
		slab->slots[word] = slots >= from + 64 ? UINT64_MAX
				    : slots > from     ? (UINT64_C(1) << (slots - from)) - 1
						       : 0;
	}
	slab->free_slots = (uint16_t)slots;
	slab->quiet = 0;
}

size_t vm_slab_take(struct run *slab, void **out, size_t count)
{
	size_t bytes = vm_classes[slab->class].bytes;
	count = min_size(count, slab->free_slots);
	size_t left = count;
	for (unsigned word = 0; left; word++) {
		uint64_t free = slab->slots[word];
		uintptr_t base = slab->start + word * 64 * bytes;
		while (free && left) {
			out[--left] = (void *)(base + (unsigned)__builtin_ctzl(free) * bytes);
			free &= free - 1;
		}
		__atomic_store_n(&slab->slots[word], free, __ATOMIC_RELAXED);
	}
	slab->free_slots -= (uint16_t)count;
	slab->quiet = 0;
	return count;
}

static bool all_free(const struct run *slab, uintptr_t from, uintptr_t to)
{
	const struct sizeclass *class = &vm_classes[slab->class];
	unsigned last = class_slot(class, to - 1 - slab->start);
	for (unsigned slot = class_slot(class, from - slab->start); slot <= last; slot++)
		if (!(slab->slots[slot / 64] >> slot % 64 & 1))
			return false;
	return true;
}

size_t vm_slab_purge(const struct run *slab)
{
	uintptr_t step = vm_os.page_bytes;
	uintptr_t end = align_down(slab->start + ((size_t)slab->pages << PAGE_SHIFT), step);
	size_t purged = 0;
	for (uintptr_t from = align_up(slab->start, step); from < end; from += step) {
		uintptr_t to = from;
		while (to < end && all_free(slab, to, to + step))
			to += step;
		if (to == from)
			continue;
		if (vm_os_purge((void *)from, to - from))
			purged += (to - from) >> PAGE_SHIFT;
		from = to;
	}
	return purged;
}

void vm_slab_check(const struct run *slab)
{
	unsigned free_slots = 0;
	vm_assert(slab->state == RUN_SLAB);
	vm_assert(slab->pages == vm_classes[slab->class].pages);
	for (unsigned word = 0; word < SLAB_SLOTS_MOST / 64; word++)
		free_slots += (unsigned)__builtin_popcountl(slab->slots[word]);
	vm_assert(free_slots == slab->free_slots);
	vm_assert(free_slots <= vm_classes[slab->class].slots);
}
