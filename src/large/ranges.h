/* SPDX-License-Identifier: MIT */
/*
 * ranges.h - ordered sets of address ranges: one by address, others by size for the best fit.
 *
 * Pure data: no lock, no system call, no allocation; records come from the caller. Members of one set
 * by address never overlap. A range's `bytes` must not change while it is in a set by size. Each
 * operation takes logarithmic time.
 */
#ifndef VM_RANGES_H
#define VM_RANGES_H

#include "base/base.h"
#include "base/list.h"
#include "base/tree.h"

/* large/mapping.h has what the states mean; the sets here do not look at them. */
enum range_state { RANGE_HELD, RANGE_LIVE, RANGE_DIRTY, RANGE_CLEAN };

struct segment;

struct range {
	struct tree_node by_address;
	struct tree_node by_size;
	struct list by_age;
	uintptr_t start;
	size_t bytes;
	uint64_t freed_ms; /* DIRTY: when its longest freed part was freed */
	enum range_state state;
	bool has_memory;   /* HELD: it was DIRTY */
	bool fresh;        /* LIVE: from the kernel, by small pages, and not judged as yet (fill.h) */
	_Atomic bool parked; /* LIVE: freed, but not in the table yet (pool.h) */
	bool borders_on_short_block; /* HELD, on its way to the kernel: a huge page may be of both */
	struct segment *gone; /* HELD: to be unmapped; what it was in the model of maps (vma.h) */
};

/* A set by address. Empty when zeroed. */
struct ranges {
	struct tree_node *root;
	size_t count;
};

/* A set by size, among equals by address. Empty when zeroed. */
struct fits {
	struct tree_node *root;
	size_t count;
	size_t bytes;
};

static inline uintptr_t range_end(const struct range *range)
{
	return range->start + range->bytes;
}

void vm_ranges_insert(struct ranges *ranges, struct range *range);
void vm_ranges_remove(struct ranges *ranges, struct range *range);

/* The member that `address` lies in, or NULL. */
struct range *vm_ranges_at(const struct ranges *ranges, uintptr_t address);

/* The members that end where `range` starts and start where it ends, or NULL. It need not be one. */
struct range *vm_ranges_touching_below(const struct ranges *ranges, const struct range *range);
struct range *vm_ranges_touching_above(const struct ranges *ranges, const struct range *range);

/* Members in order of address. */
struct range *vm_ranges_first(const struct ranges *ranges);
struct range *vm_ranges_next(const struct ranges *ranges, const struct range *range);

/* Cuts a member at `bytes` from its start: it keeps the low part, `rest` becomes a member with the
 * high part and a copy of the state and time. */
void vm_ranges_split(struct ranges *ranges, struct range *range, size_t bytes, struct range *rest);

/* Moves the border of two members that touch: `low` grows by `bytes`, less than `high` has. */
void vm_ranges_shift(struct range *low, struct range *high, size_t bytes);

/* Joins two members that touch, in either order: `other` leaves, `into` covers both. */
void vm_ranges_merge(struct ranges *ranges, struct range *into, struct range *other);

void vm_fits_insert(struct fits *fits, struct range *range);
void vm_fits_remove(struct fits *fits, struct range *range);

/*
 * The smallest member that holds `bytes` at a multiple of `alignment`, the lowest among equals; NULL
 * if none does. Beyond a fixed number of members that are large enough but lie badly, the smallest
 * that holds them wherever it lies stands in for it.
 */
struct range *vm_fits_best(const struct fits *fits, size_t bytes, size_t alignment);

/* The largest member, or NULL. */
struct range *vm_fits_longest(const struct fits *fits);

/* Prove order, disjointness and the counts; stop at the line that names what is broken. */
void vm_ranges_check(const struct ranges *ranges);
void vm_fits_check(const struct fits *fits);

#endif
