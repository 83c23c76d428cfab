/* SPDX-License-Identifier: MIT */
/*
 * bin.h - the slabs of one class in one shard, under one lock.
 *
 * 1. A slab of the bin that has more than one slot is `current`, or in the tree `partial` (some slots
 *    free, some taken), or in neither (all taken).
 * 2. A slab whose slots have all come back goes to the page heap, unless it is current.
 * 3. The pages without taken slots of a slab from which nothing was taken, and to which nothing came
 *    back, for a long decay time, or while the heap grew, 8 ms at least, are given to the kernel; the
 *    slab stays where it is.
 *
 * Blocks are taken from the current slab until it is full, then from the partial slab at the lowest
 * address: live blocks gather low, and the slabs at the top empty. The shards spread threads over
 * sets of bins, so that many threads do not meet at one lock; a block goes back to the bin that its
 * slab belongs to, whoever frees it.
 */
#ifndef VM_BIN_H
#define VM_BIN_H

#include "base/base.h"

struct run;
struct vm_stats;

enum { SHARDS_MOST = 32 };

/* The shards in use, by the option or the CPUs; set by vm_bins_init. */
extern unsigned vm_shards;

bool vm_bins_init(void);

/* Fetches up to `count` blocks of a class, those of the slab that comes first at the end, so that a
 * stack gives them out in that order; returns how many, 0 only where the kernel refuses. */
size_t vm_bin_fill(unsigned class, unsigned shard, void **blocks, size_t count);

/* A block of a class whose slabs are one slot, with a new slab, at a multiple of an alignment;
 * `*zeroed` tells whether it surely reads as zeros. NULL: the kernel refuses. */
void *vm_bin_new_single(unsigned class, unsigned shard, size_t alignment, bool *zeroed);

/* Returns blocks of one class to their slabs; each must come from a page of that class. What turns
 * out to be no block ends the process (os/fatal.h). */
void vm_bin_flush(unsigned class, void *const *blocks, size_t count);

/* Takes a slab that is one slot, which is taken, out of its bin. */
void vm_bin_disown(struct run *slab);

/* Looks, once in a long decay time, for slabs that rule 3 is about; cheap when nothing is due. */
void vm_bins_tick(uint64_t now_ms);

/* After the heap took so much into use that had no memory: looks for them without waiting. A class with
 * such slabs is not the one that grows. */
void vm_bins_give_back_for(size_t bytes, uint64_t now_ms);

/* Hands the current slabs that are wholly free to the page heap, and the pages without taken slots of
 * all others to the kernel. True: there were such pages. */
bool vm_bins_trim(void);

/* Adds small_live, the blocks out of their slabs, those in caches included; and what was purged. */
void vm_bins_stats(struct vm_stats *stats);

void vm_bins_lock_for_fork(void);
void vm_bins_unlock_after_fork(bool child);

/* Proves each slab that is current or partial. */
void vm_bins_check(void);

#endif
