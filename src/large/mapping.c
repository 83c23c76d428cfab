/* SPDX-License-Identifier: MIT */
#include "large/mapping.h"

#include "base/check.h"
#include "meta/meta.h"

static struct range *range_by_age(const struct list *link)
{
	return CONTAINER_OF(link, struct range, by_age);
}

static void chain_spare(struct mapping *mapping, struct range *range)
{
	range->by_address.left = mapping->spare ? &mapping->spare->by_address : NULL;
	mapping->spare = range;
	mapping->spare_count++;
}

bool vm_mapping_prepay(struct mapping *mapping, size_t records)
{
	while (mapping->spare_count < records) {
		if (!vm_index_reserve(&mapping->live, mapping->record_count + 1))
			return false;
		struct range *range = vm_meta_alloc(sizeof *range);
		if (!range)
			return false;
		atomic_init(&range->parked, false);
		mapping->record_count++;
		chain_spare(mapping, range);
	}
	return true;
}

struct range *vm_mapping_take_record(struct mapping *mapping)
{
	struct range *range = mapping->spare;
	vm_assert(range);
	struct tree_node *next = range->by_address.left;
	mapping->spare = next ? CONTAINER_OF(next, struct range, by_address) : NULL;
	mapping->spare_count--;
	mapping->held_count++;
	range->state = RANGE_HELD;
	range->fresh = false;
	return range;
}

void vm_mapping_put_record(struct mapping *mapping, struct range *range)
{
	vm_assert(range->state == RANGE_HELD);
	mapping->held_count--;
	chain_spare(mapping, range);
}

static struct fits *fits_of(struct mapping *mapping, const struct range *range)
{
	return range->state == RANGE_DIRTY ? &mapping->dirty : &mapping->clean;
}

static bool is_free(const struct range *range)
{
	return range->state == RANGE_DIRTY || range->state == RANGE_CLEAN;
}

/* A record that left the table by a merge. */
static void retire(struct mapping *mapping, struct range *range)
{
	if (range->state == RANGE_DIRTY)
		list_remove(&range->by_age);
	range->state = RANGE_HELD;
	chain_spare(mapping, range);
}

/* Both are free, of one state, in the table and out of the sets by size. The longer one stays, and so
 * does its place in the list by age. (With the older one's a little that is old makes much that is new go:
 * 20 blocks of 5 to 25 MiB that take each other's place: 149,600 faults instead of 133,700.) */
static struct range *merge(struct mapping *mapping, struct range *a, struct range *b)
{
	struct range *longer = b->bytes > a->bytes ? b : a;
	struct range *shorter = longer == a ? b : a;
	vm_ranges_merge(&mapping->all, longer, shorter);
	retire(mapping, shorter);
	return longer;
}

static struct range *merge_neighbour(struct mapping *mapping, struct range *range,
				     struct range *neighbour)
{
	if (!neighbour || neighbour->state != range->state)
		return range;
	vm_fits_remove(fits_of(mapping, neighbour), neighbour);
	return merge(mapping, range, neighbour);
}

/* The range is free, in the table and, if DIRTY, in the list by age. */
static struct range *settle(struct mapping *mapping, struct range *range)
{
	range = merge_neighbour(mapping, range, vm_ranges_touching_below(&mapping->all, range));
	range = merge_neighbour(mapping, range, vm_ranges_touching_above(&mapping->all, range));
	vm_fits_insert(fits_of(mapping, range), range);
	return range;
}

/* The clock of another thread may have read later; the list stays in order all the same. */
static void join_aging(struct mapping *mapping, struct range *range, uint64_t now_ms)
{
	if (!list_empty(&mapping->aging)) {
		uint64_t youngest = range_by_age(mapping->aging.prev)->freed_ms;
		now_ms = now_ms > youngest ? now_ms : youngest;
	}
	range->freed_ms = now_ms;
	list_insert_before(&mapping->aging, &range->by_age);
}

static void count_live(struct mapping *mapping, size_t bytes)
{
	mapping->live_bytes += bytes;
}

void vm_mapping_add_live(struct mapping *mapping, struct range *range)
{
	vm_assert(range->state == RANGE_HELD);
	mapping->held_count--;
	range->state = RANGE_LIVE;
	vm_ranges_insert(&mapping->all, range);
	vm_index_insert(&mapping->live, range->start, range);
	count_live(mapping, range->bytes);
}

struct range *vm_mapping_add_clean(struct mapping *mapping, struct range *range)
{
	vm_assert(range->state == RANGE_HELD);
	mapping->held_count--;
	range->state = RANGE_CLEAN;
	range->freed_ms = 0;
	vm_ranges_insert(&mapping->all, range);
	return settle(mapping, range);
}

struct range *vm_mapping_add_dirty(struct mapping *mapping, struct range *range, uint64_t now_ms)
{
	vm_assert(range->state == RANGE_HELD);
	mapping->held_count--;
	range->state = RANGE_DIRTY;
	vm_ranges_insert(&mapping->all, range);
	join_aging(mapping, range, now_ms);
	return settle(mapping, range);
}

void vm_mapping_hold_live(struct mapping *mapping, struct range *range)
{
	vm_assert(range->state == RANGE_LIVE);
	vm_index_remove(&mapping->live, range->start);
	vm_ranges_remove(&mapping->all, range);
	mapping->live_bytes -= range->bytes;
	mapping->held_count++;
	range->state = RANGE_HELD;
}

void vm_mapping_hold_free(struct mapping *mapping, struct range *range)
{
	vm_assert(is_free(range));
	vm_fits_remove(fits_of(mapping, range), range);
	vm_ranges_remove(&mapping->all, range);
	range->has_memory = range->state == RANGE_DIRTY;
	if (range->has_memory)
		list_remove(&range->by_age);
	mapping->held_count++;
	range->state = RANGE_HELD;
}

static void take_in(struct mapping *mapping, struct range *range, struct range *neighbour)
{
	if (!neighbour || neighbour->state != RANGE_CLEAN)
		return;
	vm_fits_remove(&mapping->clean, neighbour);
	vm_ranges_merge(&mapping->all, range, neighbour);
	retire(mapping, neighbour);
}

void vm_mapping_hold_widest(struct mapping *mapping, struct range *range)
{
	vm_assert(is_free(range));
	struct fits *fits = fits_of(mapping, range);
	vm_fits_remove(fits, range);
	take_in(mapping, range, vm_ranges_touching_below(&mapping->all, range));
	take_in(mapping, range, vm_ranges_touching_above(&mapping->all, range));
	vm_fits_insert(fits, range);
	vm_mapping_hold_free(mapping, range);
}

struct range *vm_mapping_live(const struct mapping *mapping, uintptr_t start)
{
	return vm_index_find(&mapping->live, start);
}

struct range *vm_mapping_best(const struct mapping *mapping, size_t bytes, size_t alignment)
{
	struct range *range = vm_fits_best(&mapping->dirty, bytes, alignment);
	return range ? range : vm_fits_best(&mapping->clean, bytes, alignment);
}

static void become_live(struct mapping *mapping, struct range *range)
{
	range->state = RANGE_LIVE;
	vm_index_insert(&mapping->live, range->start, range);
	count_live(mapping, range->bytes);
}

/* A record for a part that is cut off in the table. */
static struct range *cut(struct mapping *mapping, struct range *range, size_t bytes)
{
	struct range *rest = vm_mapping_take_record(mapping);
	mapping->held_count--;
	vm_ranges_split(&mapping->all, range, bytes, rest);
	return rest;
}

struct range *vm_mapping_use(struct mapping *mapping, struct range *range, size_t bytes,
			     size_t alignment)
{
	vm_assert(is_free(range));
	bool dirty = range->state == RANGE_DIRTY;
	struct fits *fits = fits_of(mapping, range);
	size_t skipped = align_up(range->start, alignment) - range->start;
	vm_assert(range->bytes >= bytes + skipped);

	vm_fits_remove(fits, range);
	struct range *block = skipped ? cut(mapping, range, skipped) : range;
	if (block->bytes > bytes) {
		struct range *rest = cut(mapping, block, bytes);
		if (dirty)
			list_insert_before(&range->by_age, &rest->by_age);
		vm_fits_insert(fits, rest);
	}
	if (block != range)
		vm_fits_insert(fits, range);
	else if (dirty)
		list_remove(&range->by_age);
	become_live(mapping, block);
	return block;
}

struct range *vm_mapping_free(struct mapping *mapping, struct range *range, uint64_t now_ms)
{
	vm_assert(range->state == RANGE_LIVE);
	vm_index_remove(&mapping->live, range->start);
	mapping->live_bytes -= range->bytes;
	range->state = RANGE_DIRTY;
	join_aging(mapping, range, now_ms);
	return settle(mapping, range);
}

struct range *vm_mapping_cut_dirty(struct mapping *mapping, struct range *range, size_t bytes)
{
	vm_assert(range->state == RANGE_DIRTY);
	vm_fits_remove(&mapping->dirty, range);
	struct range *rest = cut(mapping, range, bytes);
	list_insert_before(&range->by_age, &rest->by_age);
	vm_fits_insert(&mapping->dirty, range);
	vm_fits_insert(&mapping->dirty, rest);
	return rest;
}

struct range *vm_mapping_shrink(struct mapping *mapping, struct range *range, size_t bytes,
				uint64_t now_ms)
{
	vm_assert(range->state == RANGE_LIVE);
	struct range *rest = cut(mapping, range, bytes);
	mapping->live_bytes -= rest->bytes;
	rest->state = RANGE_DIRTY;
	join_aging(mapping, rest, now_ms);
	return settle(mapping, rest);
}

static size_t free_bytes_above(const struct mapping *mapping, const struct range *range)
{
	size_t bytes = 0;
	range = vm_ranges_touching_above(&mapping->all, range);
	for (; range && is_free(range); range = vm_ranges_touching_above(&mapping->all, range))
		bytes += range->bytes;
	return bytes;
}

bool vm_mapping_grow(struct mapping *mapping, struct range *range, size_t bytes)
{
	vm_assert(range->state == RANGE_LIVE);
	if (range->bytes + free_bytes_above(mapping, range) < bytes)
		return false;
	count_live(mapping, bytes - range->bytes);
	while (range->bytes < bytes) {
		struct range *above = vm_ranges_touching_above(&mapping->all, range);
		struct fits *fits = fits_of(mapping, above);
		vm_fits_remove(fits, above);
		if (above->bytes <= bytes - range->bytes) {
			vm_ranges_merge(&mapping->all, range, above);
			retire(mapping, above);
		} else {
			vm_ranges_shift(range, above, bytes - range->bytes);
			vm_fits_insert(fits, above);
		}
	}
	return true;
}

struct range *vm_mapping_oldest(const struct mapping *mapping)
{
	return list_empty(&mapping->aging) ? NULL : range_by_age(mapping->aging.next);
}

struct range *vm_mapping_clean_from(const struct mapping *mapping, uintptr_t address)
{
	struct range key = {.start = address - 1};
	struct range *range = vm_ranges_next(&mapping->all, &key);
	while (range && range->state != RANGE_CLEAN)
		range = vm_ranges_next(&mapping->all, range);
	return range;
}

static void check_aging(const struct mapping *mapping)
{
	size_t count = 0;
	uint64_t last_ms = 0;
	for (const struct list *link = mapping->aging.next; link != &mapping->aging;
	     link = link->next) {
		const struct range *range = range_by_age(link);
		vm_assert(range->state == RANGE_DIRTY);
		vm_assert(range->freed_ms >= last_ms);
		last_ms = range->freed_ms;
		count++;
	}
	vm_assert(count == mapping->dirty.count);
}

static void check_spares(const struct mapping *mapping)
{
	size_t count = 0;
	const struct tree_node *node = mapping->spare ? &mapping->spare->by_address : NULL;
	for (; node; node = node->left)
		count++;
	vm_assert(count == mapping->spare_count);
	vm_assert(mapping->all.count + count + mapping->held_count == mapping->record_count);
}

void vm_mapping_check(const struct mapping *mapping)
{
	size_t count[RANGE_CLEAN + 1] = {0};
	size_t bytes[RANGE_CLEAN + 1] = {0};
	const struct range *below = NULL;

	vm_ranges_check(&mapping->all);
	for (struct range *range = vm_ranges_first(&mapping->all); range;
	     range = vm_ranges_next(&mapping->all, range)) {
		vm_assert(range->state == RANGE_LIVE || is_free(range));
		vm_assert((range->start | range->bytes) % PAGE_BYTES == 0);
		vm_assert(!below || range_end(below) < range->start ||
			  below->state != range->state || range->state == RANGE_LIVE);
		if (range->state == RANGE_LIVE)
			vm_assert(vm_index_find(&mapping->live, range->start) == range);
		count[range->state]++;
		bytes[range->state] += range->bytes;
		below = range;
	}
	vm_index_check(&mapping->live);
	vm_fits_check(&mapping->dirty);
	vm_fits_check(&mapping->clean);
	vm_assert(count[RANGE_LIVE] == mapping->live.count);
	vm_assert(bytes[RANGE_LIVE] == mapping->live_bytes);
	vm_assert(count[RANGE_DIRTY] == mapping->dirty.count);
	vm_assert(bytes[RANGE_DIRTY] == mapping->dirty.bytes);
	vm_assert(count[RANGE_CLEAN] == mapping->clean.count);
	vm_assert(bytes[RANGE_CLEAN] == mapping->clean.bytes);
	check_aging(mapping);
	check_spares(mapping);
}
