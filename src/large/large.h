/* SPDX-License-Identifier: MIT */
/*
 * large.h - blocks that are mapped on their own.
 *
 * A freed block's range is kept for reuse with its memory, as long as footprint.h allows and for the
 * long decay time at most (conf.h); then it goes back to the kernel. What the kernel does not take
 * back (munmap refused at the map limit) stays ours as addresses without memory, so that no free can
 * fail and nothing leaks.
 *
 * Every function may be called from any thread; each takes RANK_LARGE and, under it, RANK_META. No
 * system call on the blocks' memory is made under the lock. errno is not preserved.
 */
#ifndef VM_LARGE_H
#define VM_LARGE_H

#include "base/base.h"
#include "os/fatal.h"

#include <vmalloc.h>

/*
 * A block of at least `bytes` (above 0, at most PTRDIFF_MAX) at a multiple of `alignment`, a power of
 * two; the kernel's page is the least it gives. Beyond its first *dirty bytes, which may be more than
 * `bytes`, it reads as zeros; `dirty` is NULL for one that need not. NULL where it would take a new map beyond the
 * budget (budget.h), or where the kernel refuses after everything free was given back and offered again.
 */
void *vm_large_alloc(size_t bytes, size_t alignment, size_t *dirty);

/* The same whatever the budget is, for when a block cannot be had otherwise. */
void *vm_large_alloc_at_any_price(size_t bytes, size_t alignment, size_t *dirty);

/* What a function with a `dirty` like theirs says by it. */
static inline void large_tell_dirty(size_t *dirty, size_t bytes)
{
	if (dirty)
		*dirty = bytes;
}

/* One whose memory is there, since the block before it was freed; its content is any. NULL: there is none, or no
 * record. */
void *vm_large_alloc_ready(size_t bytes);

/*
 * The quick ways, without the lock, for a block that is made and freed again and again: vm_large_park, with which each
 * free begins, frees a block into a place that is empty, where vm_large_take_parked finds it if it is of `bytes`
 * and aligned; its content is any. False or NULL: to be done by vm_large_free or one of the above.
 * Threads may share a place. vm_large_park preserves errno.
 */
bool vm_large_park(void *block, unsigned place);
void *vm_large_take_parked(size_t bytes, size_t alignment, unsigned place);

/* False, and nothing changed, where `block` is not the start of a live large block. */
bool vm_large_free(void *block);

/* The bytes of a live large block, 0 for any other pointer. No lock for a block the caller owns. */
size_t vm_large_usable_size(const void *block);

/*
 * Resizes a live large block where it is: a smaller one gives its tail back, a larger one takes free
 * ranges of ours above it. False, and nothing changed, where those do not suffice.
 */
bool vm_large_resize(void *block, size_t bytes);

/*
 * Resizes a live large block at any place: copies it into a freed range, lengthened if need be, where
 * that is cheaper, else has the kernel resize it, in place or by moving its pages. NULL, and nothing
 * changed, where neither can be; the caller may then copy into a block of another kind.
 */
void *vm_large_move(void *block, size_t bytes);

/* What is wrong with a pointer that vm_large_free refused, as far as the ranges we hold tell. */
enum misuse vm_large_classify(const void *pointer);

/* Gives back every free range; returns the bytes of memory and addresses the kernel took. */
size_t vm_large_trim(void);

/* After the heap took into use so much that had no memory: gives back as much of what is free here as
 * vm_footprint_owed tells, the oldest. */
void vm_large_give_back_for(size_t bytes, uint64_t now_ms);

/* Gives back what was freed the long decay time before `now_ms` (vm_os_now_ms) or earlier, and what was
 * the decay time before, as far as that is allowed. One load and a compare where nothing is due. */
void vm_large_tick(uint64_t now_ms);

/* Gives back what is DIRTY beyond what may be kept by now (footprint.h). */
void vm_large_give_excess_back(uint64_t now_ms);

/* Fills the fields of large blocks and of maps; adds to purges and purged_bytes. */
void vm_large_stats(struct vm_stats *stats);

/* Holds the lock with no operation on the way, so that the child's table tells the truth. */
void vm_large_lock_for_fork(void);
void vm_large_unlock_after_fork(bool child);

#endif
