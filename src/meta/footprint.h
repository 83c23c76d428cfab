/* SPDX-License-Identifier: MIT */
/*
 * footprint.h - how much freed memory may stay resident in the page heap and in the large blocks: what
 * does not raise the peak of the two together, and not much that does.
 */
#ifndef VM_FOOTPRINT_H
#define VM_FOOTPRINT_H

#include "base/allowance.h"

/* What goes in part goes by so many bytes or more: a call pays for itself. */
#define FOOTPRINT_CUT_LEAST (256 * KIB)

enum footprint_part { FOOTPRINT_HEAP, FOOTPRINT_LARGE, FOOTPRINT_PARTS };

/*
 * Tells what a part has in bytes, live and freed, under its lock, whenever that has changed. Returns how
 * much of the freed it may keep: vm_options.dirty_bytes, or a quarter of its live bytes, which may raise
 * the peak by as much; and what does not raise it, as far as both together were more before, up to as
 * much as its live bytes or a sixteenth of the machine's memory.
 */
size_t vm_footprint_note(enum footprint_part part, size_t live, size_t dirty);

/* What a part had live when it told last. */
size_t vm_footprint_live(enum footprint_part part);

/* Whether both together have more than does not raise the peak, since one has grown: asked for now and
 * then, true at most once in some ms, since what is locked in memory cannot be given back. */
bool vm_footprint_exceeded(uint64_t now_ms);

/* After so many bytes that had no memory came into use in a part. */
void vm_footprint_grown(enum footprint_part part, size_t bytes);

/* As many as have since the last call, in each part and in all. */
size_t vm_footprint_growth(size_t of_part[FOOTPRINT_PARTS]);

/*
 * How many of so many free bytes a part may give back that may be wanted again soon: no more than half of
 * what was in use, or 4 MiB, nor than vm_options.dirty_bytes, in a long decay time, on average. A program
 * that would have used them loses 2 % of its time at most by each allowance. Whoever gives some back tells
 * the allowance.
 */
size_t vm_footprint_allowed(struct allowance *allowance, size_t bytes, uint64_t now_ms);

/* When that is more than nothing; a time that is over, if it is now. */
uint64_t vm_footprint_allowed_from(const struct allowance *allowance);

/*
 * How many of `bytes` free bytes are to be given back because as many came into use, or will, that had no
 * memory: what grew could not use those that are free, and would come on top of them. As far as the
 * allowance goes.
 */
size_t vm_footprint_owed(struct allowance *allowance, size_t bytes, uint64_t now_ms);

/* Whether so many bytes that had no memory would be owed for, if they came into use now, and the allowance does not
 * go so far. */
bool vm_footprint_unpaid(struct allowance *allowance, size_t bytes, uint64_t now_ms);

#endif
