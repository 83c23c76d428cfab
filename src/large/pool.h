/* SPDX-License-Identifier: MIT */
/*
 * pool.h - the process's mapping table under its lock, and the way of free ranges back to the kernel.
 *
 * No system call on the ranges' memory is made under the lock (records may be mapped under it). A range is
 * HELD, out of the table, from before such a call until after it, and the call lies between vm_pool_begin
 * and vm_pool_end, so that fork can wait until none is on the way (pool.pml).
 */
#ifndef VM_POOL_H
#define VM_POOL_H

#include "base/base.h"
#include "base/list.h"
#include "large/mapping.h"
#include "large/vma.h"
#include "os/lock.h"

#include <stdatomic.h>

#include <vmalloc.h>

/* Takes RANK_LARGE; the table is the caller's until vm_pool_leave. Waits for a fork that waits. */
struct mapping *vm_pool_enter(void);
void vm_pool_leave(void);

/* vm_pool_enter after vm_pool_begin: who has a call on the way does not wait for the fork that waits
 * for it. */
struct mapping *vm_pool_return(void);

/*
 * Parked ranges: blocks that were freed last, still LIVE in the table, so that the next block of the
 * same size costs no lock. There are some places, of which a thread uses one. Who takes a range out of
 * its place owns it, and gives it out as it is or frees it in the table. parking.pml has the steps.
 */
enum { PARKING_PLACES = 8 };

struct parking_place {
	struct range *_Atomic range;
} ALIGNED_TO_LINE;

extern struct parking_place vm_parking[PARKING_PLACES] HIDDEN;

/* No lock. False: the place is taken. */
static inline bool pool_park(unsigned place, struct range *range)
{
	struct range *_Atomic *parked = &vm_parking[place % PARKING_PLACES].range;
	struct range *none = NULL;
	if (atomic_load_explicit(parked, memory_order_relaxed))
		return false;
	if (!lock_is_alone())
		return atomic_compare_exchange_strong_explicit(
			parked, &none, range, memory_order_release, memory_order_relaxed);
	atomic_store_explicit(parked, range, memory_order_relaxed);
	return true;
}

/* No lock. What was in the place, or NULL. */
static inline struct range *pool_take_parked(unsigned place)
{
	struct range *_Atomic *parked = &vm_parking[place % PARKING_PLACES].range;
	struct range *range = atomic_load_explicit(parked, memory_order_relaxed);
	if (!range)
		return NULL;
	if (!lock_is_alone())
		return atomic_exchange_explicit(parked, NULL, memory_order_acquire);
	atomic_store_explicit(parked, NULL, memory_order_relaxed);
	return range;
}

/* As vm_pool_enter, with all that was parked freed in the table: for who looks for free ranges. */
struct mapping *vm_pool_enter_unparked(void);

/* Under the lock: frees a range that was taken out of its place. */
struct range *vm_pool_unpark(struct range *range, uint64_t now_ms);

/* The table without the lock, for vm_mapping_live on a block that the caller owns. */
const struct mapping *vm_pool_unlocked(void);

/* Around operations outside the lock; both are called under it. */
void vm_pool_begin(void);
void vm_pool_end(void);

/* The model of the kernel's maps, under the lock. A new map enters it when the kernel has made it, one
 * that goes leaves it before the kernel is asked: its addresses may be another's at once. */
struct vma_model *vm_pool_maps(void);

/* Under the lock: reserves records of segments in the model. False where memory is out. */
bool vm_pool_reserve_segments(size_t segments);

/* Under the lock: vm_vma_take_out with the records for it; NULL where memory is out. */
struct segment *vm_pool_take_out(uintptr_t start, size_t bytes);

/* Whether a new map is within the budget, as far as that knows. No lock. */
bool vm_pool_may_map(void);

/* Under the lock: whether our maps are few enough for some that merge with no other. */
bool vm_pool_may_keep_apart(void);

/* Without the lock: the kernel refused a map. */
void vm_pool_note_refusal(void);

/* Ranges given back per taking of the lock: enough to make it cheap, few enough that others, who see
 * these bytes neither free nor gone, do not map new ones meanwhile. */
enum { POOL_BATCH_MOST = 16 };

/* HELD ranges on their way to the kernel. */
struct pool_batch {
	struct list ranges; /* by by_age */
	size_t count;
};

void vm_pool_batch_init(struct pool_batch *batch);
void vm_pool_batch_add(struct pool_batch *batch, struct range *range);

/* Under the lock: holds what is too old or too much, or old as far as that may go, after `freed` became
 * free. A range that alone is more than may be kept does not push out the others. */
void vm_pool_collect(struct pool_batch *batch, struct range *freed, uint64_t now_ms);

/* Under the lock: holds what is too much after the live has grown by a map, or more of one. */
void vm_pool_collect_excess(struct pool_batch *batch);

/* Leaves the lock and gives the batch back, which ends with it. A range that would leave a hole where
 * the budget is tight, or that the kernel does not unmap, is purged and becomes CLEAN; if it cannot even
 * be purged, it is locked in memory and becomes DIRTY again. */
void vm_pool_leave_and_give_back(struct pool_batch *batch);

/* large.h: vm_large_trim, vm_large_give_back_for, vm_large_tick, vm_large_give_excess_back,
 * vm_large_stats and the fork handlers. */
size_t vm_pool_trim(void);
void vm_pool_give_back_for(size_t bytes, uint64_t now_ms);
void vm_pool_tick(uint64_t now_ms);
void vm_pool_give_excess_back(uint64_t now_ms);
void vm_pool_stats(struct vm_stats *stats);
void vm_pool_lock_for_fork(void);
void vm_pool_unlock_after_fork(bool child);

#endif
