/* SPDX-License-Identifier: MIT */
/*
 * lock.h - the mutex of the allocator and the order in which its locks are taken.
 *
 * A thread takes locks only downward in `enum lock_rank`, and never two of one rank, but for fork,
 * which takes all of them. Debug builds check it. No lock is held while a function of libc is called
 * that may allocate.
 */
#ifndef VM_LOCK_H
#define VM_LOCK_H

#include "base/base.h"

#include <stdatomic.h>

enum lock_rank {
	RANK_THREADS,  /* the list of thread caches (thread/thread.c) */
	RANK_TRANSFER, /* a class's transfer cache (small/transfer.c) */
	RANK_BIN,      /* a class's slabs in one shard (small/bin.c) */
	RANK_LARGE,    /* the mapping table (large/mapping.c) */
	RANK_PAGEHEAP, /* free runs, regions and the break (small/pageheap.c) */
	RANK_META,     /* our own records (meta/meta.c) */
	RANK_LIFEBOAT, /* the ballast of maps (os/lifeboat.c) */
};

struct lock {
	_Atomic uint32_t state; /* 0 free, 1 taken, 2 taken and somebody may sleep */
	uint32_t rank;
};

#define LOCK_INIT(lock_rank) {.state = 0, .rank = (lock_rank)}

NOINLINE void vm_lock_wait(struct lock *lock);
NOINLINE void vm_lock_wake(struct lock *lock);

/* Debug builds: the ranks this thread holds. */
void vm_lock_note_taken(const struct lock *lock);
void vm_lock_note_released(const struct lock *lock);

static inline void lock_take(struct lock *lock)
{
	uint32_t unlocked = 0;
	if (VM_DEBUG)
		vm_lock_note_taken(lock);
	if (UNLIKELY(!atomic_compare_exchange_strong_explicit(
		    &lock->state, &unlocked, 1, memory_order_acquire, memory_order_relaxed)))
		vm_lock_wait(lock);
}

static inline void lock_release(struct lock *lock)
{
	if (VM_DEBUG)
		vm_lock_note_released(lock);
	if (UNLIKELY(atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2))
		vm_lock_wake(lock);
}

/* For fork: takes a lock among others of its rank. */
void vm_lock_take_for_fork(struct lock *lock);
void vm_lock_release_after_fork(struct lock *lock);

#endif
