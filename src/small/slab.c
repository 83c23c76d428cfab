/* SPDX-License-Identifier: MIT */
#include "small/slab.h"

#include "base/check.h"
#include "os/os.h"

#define EACH_EIGHTH UINT64_C(0x0101010101010101)

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

static uint64_t all_slots(uint64_t free)
{
	return free;
}

/* A bit for each eight slots that are all free: eight begin and end with a line. */
static uint64_t whole_lines(uint64_t free)
{
	free &= free >> 1;
	free &= free >> 2;
	free &= free >> 4;
	return free & EACH_EIGHTH;
}

static uint64_t slots_of_whole_lines(uint64_t free)
{
	return whole_lines(free) * 0xFF;
}

/* Takes so many of the slots that `choose` leaves of the free ones, which are as many or more. */
static ALWAYS_INLINE inline void take(struct run *slab, void **out, size_t count,
				      uint64_t choose(uint64_t))
{
	size_t bytes = vm_classes[slab->class].bytes;
	size_t left = count;
	for (unsigned word = 0; left; word++) {
		uint64_t free = choose(slab->slots[word]);
		uint64_t others = slab->slots[word] & ~free;
		uintptr_t base = slab->start + word * 64 * bytes;
		while (free && left) {
			out[--left] = (void *)(base + (unsigned)__builtin_ctzl(free) * bytes);
			free &= free - 1;
		}
		__atomic_store_n(&slab->slots[word], free | others, __ATOMIC_RELAXED);
	}
	slab->free_slots -= (uint16_t)count;
	slab->quiet = 0;
}

size_t vm_slab_take(struct run *slab, void **out, size_t count)
{
	count = min_size(count, slab->free_slots);
	take(slab, out, count, all_slots);
	return count;
}

size_t vm_slab_take_lines(struct run *slab, void **out, size_t count)
{
	size_t lines = 0;
	for (unsigned word = 0; word < SLAB_SLOTS_MOST / 64; word++)
		lines += whole_lines(slab->slots[word]) * EACH_EIGHTH >> 56;
	size_t taken = min_size(count, lines * 8);
	take(slab, out + (count - taken), taken, slots_of_whole_lines);
	return taken;
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
