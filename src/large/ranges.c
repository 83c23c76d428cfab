/* SPDX-License-Identifier: MIT */
#include "large/ranges.h"

#include "base/check.h"

/* Looked at for an over-aligned block before one that surely holds it is taken: a storm of blocks of
 * one size and alignment meets its own freed ranges first, and these lie well. */
enum { BADLY_LYING_MOST = 16 };

static struct range *range_by_address(const struct tree_node *node)
{
	return node ? CONTAINER_OF(node, struct range, by_address) : NULL;
}

static struct range *range_by_size(const struct tree_node *node)
{
	return node ? CONTAINER_OF(node, struct range, by_size) : NULL;
}

static bool lies_below(const struct tree_node *a, const struct tree_node *b)
{
	return range_by_address(a)->start < range_by_address(b)->start;
}

static bool is_smaller(const struct tree_node *a, const struct tree_node *b)
{
	const struct range *range_a = range_by_size(a);
	const struct range *range_b = range_by_size(b);
	return range_a->bytes != range_b->bytes ? range_a->bytes < range_b->bytes
						: range_a->start < range_b->start;
}

static struct range *at_least(const struct ranges *ranges, uintptr_t address)
{
	struct range key = {.start = address};
	return range_by_address(tree_at_least(ranges->root, &key.by_address, lies_below));
}

static struct range *below(const struct ranges *ranges, uintptr_t address)
{
	struct range key = {.start = address};
	return range_by_address(tree_below(ranges->root, &key.by_address, lies_below));
}

void vm_ranges_insert(struct ranges *ranges, struct range *range)
{
	vm_assert(range->bytes);
	tree_insert(&ranges->root, &range->by_address, lies_below);
	ranges->count++;
}

void vm_ranges_remove(struct ranges *ranges, struct range *range)
{
	tree_remove(&ranges->root, &range->by_address, lies_below);
	ranges->count--;
}

struct range *vm_ranges_at(const struct ranges *ranges, uintptr_t address)
{
	struct range *range = below(ranges, address + 1);
	return range && address - range->start < range->bytes ? range : NULL;
}

struct range *vm_ranges_touching_below(const struct ranges *ranges, const struct range *range)
{
	struct range *neighbour = below(ranges, range->start);
	return neighbour && range_end(neighbour) == range->start ? neighbour : NULL;
}

struct range *vm_ranges_touching_above(const struct ranges *ranges, const struct range *range)
{
	struct range *neighbour = at_least(ranges, range_end(range));
	return neighbour && neighbour->start == range_end(range) ? neighbour : NULL;
}

struct range *vm_ranges_first(const struct ranges *ranges)
{
	return range_by_address(tree_first(ranges->root));
}

struct range *vm_ranges_next(const struct ranges *ranges, const struct range *range)
{
	return at_least(ranges, range->start + 1);
}

void vm_ranges_split(struct ranges *ranges, struct range *range, size_t bytes, struct range *rest)
{
	vm_assert(bytes > 0 && bytes < range->bytes);
	rest->start = range->start + bytes;
	rest->bytes = range->bytes - bytes;
	rest->freed_ms = range->freed_ms;
	rest->state = range->state;
	range->bytes = bytes;
	vm_ranges_insert(ranges, rest);
}

void vm_ranges_shift(struct range *low, struct range *high, size_t bytes)
{
	vm_assert(range_end(low) == high->start && bytes < high->bytes);
	low->bytes += bytes;
	high->start += bytes;
	high->bytes -= bytes;
}

void vm_ranges_merge(struct ranges *ranges, struct range *into, struct range *other)
{
	vm_assert(range_end(into) == other->start || range_end(other) == into->start);
	vm_ranges_remove(ranges, other);
	/* No member lies between the two, so the order stands with a lower start. */
	if (other->start < into->start)
		into->start = other->start;
	into->bytes += other->bytes;
}

void vm_fits_insert(struct fits *fits, struct range *range)
{
	tree_insert(&fits->root, &range->by_size, is_smaller);
	fits->count++;
	fits->bytes += range->bytes;
}

void vm_fits_remove(struct fits *fits, struct range *range)
{
	tree_remove(&fits->root, &range->by_size, is_smaller);
	fits->count--;
	fits->bytes -= range->bytes;
}

static struct range *smallest_from(const struct fits *fits, size_t bytes, uintptr_t start)
{
	struct range key = {.start = start, .bytes = bytes};
	return range_by_size(tree_at_least(fits->root, &key.by_size, is_smaller));
}

static bool holds(const struct range *range, size_t bytes, size_t alignment)
{
	size_t skipped = align_up(range->start, alignment) - range->start;
	return skipped < range->bytes && range->bytes - skipped >= bytes;
}

struct range *vm_fits_longest(const struct fits *fits)
{
	return range_by_size(tree_last(fits->root));
}

struct range *vm_fits_best(const struct fits *fits, size_t bytes, size_t alignment)
{
	struct range *range = smallest_from(fits, bytes, 0);
	for (int tried = 0; range && tried < BADLY_LYING_MOST; tried++) {
		if (holds(range, bytes, alignment))
			return range;
		range = smallest_from(fits, range->bytes, range->start + 1);
	}
	return range ? smallest_from(fits, max_size(bytes + alignment, range->bytes), 0) : NULL;
}

void vm_ranges_check(const struct ranges *ranges)
{
	size_t count = 0;
	uintptr_t end = 0;
	for (struct range *range = vm_ranges_first(ranges); range;
	     range = vm_ranges_next(ranges, range)) {
		vm_assert(range->bytes > 0);
		vm_assert(range->start >= end);
		vm_assert(range_end(range) > range->start);
		end = range_end(range);
		count++;
	}
	vm_assert(count == ranges->count);
}

void vm_fits_check(const struct fits *fits)
{
	size_t count = 0;
	size_t bytes = 0;
	const struct range *last = NULL;
	for (struct range *range = smallest_from(fits, 0, 0); range;
	     range = smallest_from(fits, range->bytes, range->start + 1)) {
		vm_assert(!last || is_smaller(&last->by_size, &range->by_size));
		last = range;
		bytes += range->bytes;
		count++;
	}
	vm_assert(count == fits->count);
	vm_assert(bytes == fits->bytes);
}
