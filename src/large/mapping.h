/* SPDX-License-Identifier: MIT */
/*
 * mapping.h - the mapping table: every byte mapped for large blocks is in exactly one range.
 *
 *                 add_live                free, shrink               hold_free
 *          HELD -----------> LIVE ----------------------> DIRTY ----------------> HELD
 *           ^  <-----------   ^  <----------------------    |  <----------------   |
 *           |    hold_live    |         use, grow           |       add_dirty      |
 *   take_record               |                             |                      | put_record
 *                             +-------------- CLEAN <-------+----------------------+
 *                                use, grow      |                   add_clean
 *                                               +----> HELD  hold_free
 *
 * What holds in each state:
 *   HELD   in the hands of one thread, which has a system call on the way: out of the table, so that
 *          nobody else finds it and its addresses may come back in another range at any time
 *   LIVE   a block; its start is in the index
 *   DIRTY  freed, content kept; fits the next block at once; in the list by age, the oldest first
 *   CLEAN  freed, without memory; reads as zero
 *
 * Transitions:
 *   -            -> HELD   [vm_mapping_take_record]  HELD  -> -     [vm_mapping_put_record]
 *   HELD         -> LIVE   [vm_mapping_add_live]     LIVE  -> HELD  [vm_mapping_hold_live]
 *   HELD         -> CLEAN  [vm_mapping_add_clean]    LIVE  -> DIRTY [vm_mapping_free, _shrink]
 *   HELD         -> DIRTY  [vm_mapping_add_dirty]    DIRTY, CLEAN -> LIVE [vm_mapping_use, _grow]
 *   DIRTY, CLEAN -> HELD   [vm_mapping_hold_free]
 *
 * Invariants (vm_mapping_check):
 *   1. LIVE, DIRTY and CLEAN ranges do not overlap, start and end at pages, and are not empty.
 *   2. Two ranges of one free state never touch: they would be one.
 *   3. Exactly the LIVE starts are in the index, which has room for one entry per record.
 *   4. Exactly the free ranges are in the set by size of their state; exactly the DIRTY ones in the
 *      list by age, in order of freed_ms.
 *   5. The sums are right, and every record is in a range, spare or held.
 *
 * Pure but for the records' memory (meta/meta.h): no lock, no system call. The caller holds the lock.
 * Records are paid in advance with vm_mapping_prepay; after it no transition can fail.
 */
#ifndef VM_MAPPING_H
#define VM_MAPPING_H

#include "base/base.h"
#include "base/list.h"
#include "large/index.h"
#include "large/ranges.h"

struct mapping {
	struct ranges all;    /* LIVE, DIRTY and CLEAN */
	struct fits dirty;
	struct fits clean;
	struct list aging;    /* DIRTY */
	struct index live;    /* LIVE */
	size_t live_bytes;
	struct range *spare;  /* chained by by_address.left */
	size_t spare_count;
	size_t held_count;
	size_t record_count;  /* of all that were ever made */
};

#define MAPPING_INIT(name) {.aging = {&(name).aging, &(name).aging}}

/* Makes `records` spare ones available. False where memory is out. Takes RANK_META. */
bool vm_mapping_prepay(struct mapping *mapping, size_t records);

/* A spare record as HELD without addresses; paid before. */
struct range *vm_mapping_take_record(struct mapping *mapping);
void vm_mapping_put_record(struct mapping *mapping, struct range *range);

/* A HELD range joins the table. The free ones merge with neighbours of their state; the range that
 * came out is returned. `now_ms` is when it was freed. */
void vm_mapping_add_live(struct mapping *mapping, struct range *range);
struct range *vm_mapping_add_clean(struct mapping *mapping, struct range *range);
struct range *vm_mapping_add_dirty(struct mapping *mapping, struct range *range, uint64_t now_ms);

void vm_mapping_hold_live(struct mapping *mapping, struct range *range);
void vm_mapping_hold_free(struct mapping *mapping, struct range *range);

/* As hold_free, with the CLEAN ranges that touch it taken in: all of it can be unmapped in one go. */
void vm_mapping_hold_widest(struct mapping *mapping, struct range *range);

/* The LIVE range that starts at `start`, or NULL. */
struct range *vm_mapping_live(const struct mapping *mapping, uintptr_t start);

/* The best free range for a block: DIRTY before CLEAN. NULL if there is none. */
struct range *vm_mapping_best(const struct mapping *mapping, size_t bytes, size_t alignment);

/* Makes a block out of the lowest aligned part of a free range that holds it; what is left on both
 * sides stays free. Takes up to 2 records. */
struct range *vm_mapping_use(struct mapping *mapping, struct range *range, size_t bytes,
			     size_t alignment);

/* LIVE -> DIRTY; the merged range, whose age is that of its longest part. */
struct range *vm_mapping_free(struct mapping *mapping, struct range *range, uint64_t now_ms);

/* Cuts a DIRTY range behind `bytes`; what lies behind, of the same age. One of the two is to be held at
 * once: neighbours of one state else are one. Takes a record. */
struct range *vm_mapping_cut_dirty(struct mapping *mapping, struct range *range, size_t bytes);

/* Frees what a LIVE range has beyond `bytes`; the merged free range. Takes a record. */
struct range *vm_mapping_shrink(struct mapping *mapping, struct range *range, size_t bytes,
				uint64_t now_ms);

/* Widens a LIVE range to `bytes` by the free ranges right above it. False if they do not suffice. */
bool vm_mapping_grow(struct mapping *mapping, struct range *range, size_t bytes);

/* The DIRTY range that was freed longest ago, or NULL. */
struct range *vm_mapping_oldest(const struct mapping *mapping);

/* The lowest CLEAN range from `address` up, or NULL. Linear in the ranges it passes. */
struct range *vm_mapping_clean_from(const struct mapping *mapping, uintptr_t address);

void vm_mapping_check(const struct mapping *mapping);

#endif
