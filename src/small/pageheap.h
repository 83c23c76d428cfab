/* SPDX-License-Identifier: MIT */
/*
 * pageheap.h - runs of pages of the heap regions: handed out, split, merged, taken back (how they go back to the
 * kernel: purge.h).
 *
 *            [vm_run_alloc, _alloc_ready, _alloc_slab]
 *      FREE ------------------------------------------> USED or SLAB
 *       ^  ^                                     USED <--- SLAB [vm_run_from_slab]
 *       |  |                                                 |
 *       |  +-------------------------------------------------+
 *       |                     [vm_run_free]
 *       |  [finish_purge]
 *     PURGING <---- FREE                       FREE at the top of a break region ----> no page
 *             [begin_purge]                                                 [lower]
 *
 * 1. Each page of a region belongs to exactly one run; runs lie side by side without gaps.
 * 2. No two FREE runs are neighbours in a region: what is freed merges at once.
 * 3. A FREE run is among the free runs (freeruns.h), and no other.
 * 4. The tables say what region.h promises for each run; FREE runs have class CLASS_NONE.
 * 5. The memory of a PURGING run is being given back without the lock.
 *
 * One lock, vm_pageheap_lock (region.h); operations are logarithmic in the number of free runs.
 */
#ifndef VM_PAGEHEAP_H
#define VM_PAGEHEAP_H

#include "small/run.h"

struct vm_stats;

/* False: there is no room for the least heap. */
bool vm_pageheap_init(bool own_break);

/*
 * A USED run of `pages` whose start is a multiple of `alignment_pages` (a power of two); `*zeroed`
 * tells whether it surely reads as zeros. NULL: the kernel refuses.
 */
struct run *vm_run_alloc(size_t pages, size_t alignment_pages, bool *zeroed);

/* A USED run out of free memory that is there, but for an eighth at most, where as much new memory could not be paid
 * for (vm_purge_unpaid). NULL: it could, or none lies ready. */
struct run *vm_run_alloc_ready(size_t pages);

/* A SLAB run of a class for a shard, all slots free. NULL: the kernel refuses. */
struct run *vm_run_alloc_slab(unsigned class, unsigned shard);

/* The same at a multiple of an alignment, and whether it reads as zeros, as vm_run_alloc. */
struct run *vm_run_alloc_aligned_slab(unsigned class, unsigned shard, size_t alignment_pages,
				      bool *zeroed);

/* Makes a SLAB run, whose slots nobody will use any more as such, a USED one. */
void vm_run_from_slab(struct run *slab);

/* Takes a USED or SLAB run back. Cannot fail. The second goes by os_noted_ms, for a cache may be in the middle
 * of giving blocks back. */
void vm_run_free(struct run *run);
void vm_run_free_slab(struct run *slab);

/* Makes a USED run shorter, or longer into the free run behind it, or with the end of its region where no
 * memory lies ready elsewhere. False: neither, or no record. */
bool vm_run_resize(struct run *run, size_t pages);

/* The run that holds an address of a region, by looking back to its first page. Takes the lock. */
struct run *vm_run_holding(const struct region *region, uintptr_t address);

/* Gives back what has been free for the long decay time, and for the decay time, as far as that is allowed;
 * cheap when nothing is due. */
void vm_pageheap_tick(uint64_t now_ms);

/* Gives back what is free beyond what may be kept by now (footprint.h). */
void vm_pageheap_give_excess_back(uint64_t now_ms);

/* After so much that had no memory was taken into use, here or elsewhere: gives back as much of what is
 * free as vm_footprint_owed tells, the oldest. */
void vm_pageheap_give_back_for(size_t bytes, uint64_t now_ms);

/* Gives back all free memory, and the break but for `pad` bytes. True: something was given back. */
bool vm_pageheap_trim(size_t pad);

/* The bytes of all regions. */
size_t vm_pageheap_bytes(void);

/* Adds the heap's figures (medium_live, heap_*, break_bytes, purge*, trims); medium_live is what
 * USED runs hold. */
void vm_pageheap_stats(struct vm_stats *stats);

void vm_pageheap_lock_for_fork(void);
void vm_pageheap_unlock_after_fork(bool child);

/* Proves 1 to 4; stops at what is broken. Debug builds call it, tests too. */
void vm_pageheap_check(void);

#endif
