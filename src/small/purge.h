/* SPDX-License-Identifier: MIT */
/*
 * purge.h - the way of free runs back to the kernel: which go, when, and how much may stay.
 *
 * The oldest dirty ones go first. A run is PURGING, and in no tree, while its memory is given back without the lock;
 * one at the top of a break region goes by lowering the break (pageheap.h has the states).
 *
 * All under the page heap's lock, which is held on entry and return, but by vm_purge_excess, vm_purge_for_growth,
 * vm_purge_due and vm_purge_all not while memory is given back.
 */
#ifndef VM_PURGE_H
#define VM_PURGE_H

#include "base/base.h"

struct vm_stats;

void vm_purge_init(void);

/* The pages in use: of runs neither FREE nor PURGING. */
size_t vm_purge_count_live(void);

/* After those or the free ones have changed. Returns the dirty pages that may be kept. */
size_t vm_purge_tell_footprint(void);

/* Gives back what is dirty beyond what may be kept, and some more, so that rounds are few. */
void vm_purge_excess(uint64_t now_ms);

/* After so many bytes that had no memory came into use, here or elsewhere: gives back as much of what is free as
 * vm_footprint_owed tells. */
void vm_purge_for_growth(size_t bytes, uint64_t now_ms);

/* Whether so many bytes that come into use elsewhere could not all be paid for with what is free here
 * (vm_footprint_unpaid). */
bool vm_purge_unpaid(size_t bytes, uint64_t now_ms);

/* Gives back what has been free for the long decay time, and for the decay time, as far as that is allowed. */
void vm_purge_due(uint64_t now_ms);

/* Gives back all, and lowers the break, but for so many pages. True: something was given back. */
bool vm_purge_all(size_t pad_pages, uint64_t now_ms);

/* In the child of a fork: nobody finishes there what was under way. */
void vm_purge_forked(void);

/* Adds purges, purged_bytes and trims. */
void vm_purge_stats(struct vm_stats *stats);

#endif
