/* SPDX-License-Identifier: MIT */
#include "large/index.h"

#include "base/check.h"
#include "meta/meta.h"

#include <string.h>

enum {
	SLOTS_LEAST_SHIFT = 6, /* of the first table: 1 KiB for a handful of large blocks */
	SEGMENT_SHIFT = 14,    /* slots of a segment: 256 KiB, so that records of 1 MiB suffice */
	SEGMENT_SLOTS = 1 << SEGMENT_SHIFT,
	SLOTS_MOST_SHIFT = SEGMENT_SHIFT + 17, /* a directory of 1 MiB */
};

struct slot {
	_Atomic uintptr_t start; /* 0: empty */
	struct range *_Atomic range;
};

struct index_table {
	unsigned shift; /* 64 less the logarithm of the number of slots */
	size_t mask;
	size_t segment_count; /* of those there are, while the table is being made */
	struct slot **segments;
};

/* Starts are multiples of a page; the product's high bits depend on all of theirs. */
static size_t home(const struct index_table *table, uintptr_t start)
{
	return (start >> PAGE_SHIFT) * UINT64_C(0x9E3779B97F4A7C15) >> table->shift;
}

static struct slot *slot_at(const struct index_table *table, size_t at)
{
	return &table->segments[at >> SEGMENT_SHIFT][at & (SEGMENT_SLOTS - 1)];
}

static uintptr_t start_at(const struct index_table *table, size_t at)
{
	return atomic_load_explicit(&slot_at(table, at)->start, memory_order_acquire);
}

static struct index_table *writers_table(const struct index *index)
{
	return atomic_load_explicit(&index->table, memory_order_relaxed);
}

/* A reader that sees the start must see the range: it is written first. */
static void fill(struct slot *slot, uintptr_t start, struct range *range)
{
	atomic_store_explicit(&slot->range, range, memory_order_relaxed);
	atomic_store_explicit(&slot->start, start, memory_order_release);
}

/* A reader that still sees the old start must not take the new range for its own: it looks at the
 * start again after reading the range, and the empty start in between is what it then finds. */
static void empty(struct slot *slot)
{
	atomic_store_explicit(&slot->start, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void put(struct index_table *table, uintptr_t start, struct range *range)
{
	size_t at = home(table, start);
	while (start_at(table, at)) {
		vm_assert(start_at(table, at) != start);
		at = (at + 1) & table->mask;
	}
	fill(slot_at(table, at), start, range);
}

static size_t segment_bytes(const struct index_table *table)
{
	return sizeof(struct slot) * min_size(table->mask + 1, SEGMENT_SLOTS);
}

static size_t directory_bytes(const struct index_table *table)
{
	return sizeof(struct slot *) * ((table->mask >> SEGMENT_SHIFT) + 1);
}

static void discard(struct index_table *table)
{
	for (size_t i = 0; i < table->segment_count; i++)
		vm_meta_free((void *)table->segments[i], segment_bytes(table));
	vm_meta_free((void *)table->segments, directory_bytes(table));
	vm_meta_free(table, sizeof *table);
}

static bool add_segments(struct index_table *table)
{
	table->segments = vm_meta_alloc(directory_bytes(table));
	if (!table->segments)
		return false;
	for (; table->segment_count <= table->mask >> SEGMENT_SHIFT; table->segment_count++) {
		struct slot *segment = vm_meta_alloc(segment_bytes(table));
		if (!segment)
			return false;
		memset((void *)segment, 0, segment_bytes(table));
		table->segments[table->segment_count] = segment;
	}
	return true;
}

static struct index_table *table_of(unsigned slots_shift)
{
	struct index_table *table = vm_meta_alloc(sizeof *table);
	if (!table)
		return NULL;
	table->shift = 64 - slots_shift;
	table->mask = ((size_t)1 << slots_shift) - 1;
	table->segment_count = 0;
	if (add_segments(table))
		return table;
	discard(table);
	return NULL;
}

bool vm_index_reserve(struct index *index, size_t count)
{
	struct index_table *old = writers_table(index);
	unsigned slots_shift = old ? 64 - old->shift : SLOTS_LEAST_SHIFT;
	if (old && count <= (old->mask + 1) / 2)
		return true;
	while (count > (size_t)1 << slots_shift >> 1)
		if (++slots_shift > SLOTS_MOST_SHIFT)
			return false;

	struct index_table *table = table_of(slots_shift);
	if (!table)
		return false;
	for (size_t at = 0; old && at <= old->mask; at++)
		if (start_at(old, at))
			put(table, start_at(old, at), slot_at(old, at)->range);
	atomic_store_explicit(&index->table, table, memory_order_release);
	return true;
}

void vm_index_insert(struct index *index, uintptr_t start, struct range *range)
{
	struct index_table *table = writers_table(index);
	vm_assert(index->count < (table->mask + 1) / 2);
	put(table, start, range);
	index->count++;
}

/*
 * Closes the gap (Knuth, The Art of Computer Programming 3, 6.4, algorithm R): each entry after it in
 * the cluster that probing could no longer reach moves into it and leaves its own place as the gap.
 * The moved entry stands twice for a moment, then once; it is never missing altogether.
 */
void vm_index_remove(struct index *index, uintptr_t start)
{
	struct index_table *table = writers_table(index);
	size_t gap = home(table, start);
	while (start_at(table, gap) != start) {
		vm_assert(start_at(table, gap));
		gap = (gap + 1) & table->mask;
	}
	empty(slot_at(table, gap));

	for (size_t at = (gap + 1) & table->mask; start_at(table, at); at = (at + 1) & table->mask) {
		size_t probed = (at - home(table, start_at(table, at))) & table->mask;
		if (probed < ((at - gap) & table->mask))
			continue;
		fill(slot_at(table, gap), start_at(table, at), slot_at(table, at)->range);
		empty(slot_at(table, at));
		gap = at;
	}
	index->count--;
}

struct range *vm_index_find(const struct index *index, uintptr_t start)
{
	const struct index_table *table =
		atomic_load_explicit(&index->table, memory_order_acquire);
	if (!table)
		return NULL;
	for (size_t at = home(table, start);; at = (at + 1) & table->mask) {
		const struct slot *slot = slot_at(table, at);
		uintptr_t found = atomic_load_explicit(&slot->start, memory_order_acquire);
		if (!found)
			return NULL;
		if (found == start) {
			struct range *range = atomic_load_explicit(&slot->range, memory_order_relaxed);
			atomic_thread_fence(memory_order_acquire);
			found = atomic_load_explicit(&slot->start, memory_order_relaxed);
			return found == start ? range : NULL;
		}
	}
}

void vm_index_check(const struct index *index)
{
	const struct index_table *table = writers_table(index);
	size_t count = 0;
	for (size_t at = 0; table && at <= table->mask; at++) {
		uintptr_t start = start_at(table, at);
		if (!start)
			continue;
		vm_assert(vm_index_find(index, start) == slot_at(table, at)->range);
		count++;
	}
	vm_assert(count == index->count);
}
