/* SPDX-License-Identifier: MIT */
/*
 * lock.h - the mutex of the allocator and the order in which its locks are taken.
 *
 * A thread takes locks only downward in `enum lock_rank`, and never two of one rank, but for fork by
 * one of several threads, which takes all of them. Debug builds check it. No lock is held while a function
 * of libc is called that may allocate.
 */
#ifndef VM_LOCK_H
#define VM_LOCK_H

#include "base/base.h"

#include <stdatomic.h>

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#else
#define __libc_single_threaded 0
#endif

enum lock_rank {
	RANK_THREADS,  /* the list of thread caches (thread/thread.c) */
	RANK_TRANSFER, /* a class's transfer cache (small/transfer.c) */
	RANK_BIN,      /* a class's slabs in one shard (small/bin.c) */
	RANK_GATE,     /* held by a fork, for who would begin with the mapping table (large/pool.c) */
	RANK_LARGE,    /* the mapping table (large/mapping.c) */
	RANK_PAGEHEAP, /* free runs, regions and the break (small/region.h) */
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

/*
 * Whether this thread is the only one, as the C library knows: it becomes untrue only by a call of
 * this thread, which makes none that could under a lock. An atomic operation costs 5 ns then, too.
 */
static inline bool lock_is_alone(void)
{
	return __libc_single_threaded;
}

static inline void lock_take(struct lock *lock)
{
	uint32_t unlocked = 0;
	if (VM_DEBUG)
		vm_lock_note_taken(lock);
	if (lock_is_alone() && !atomic_load_explicit(&lock->state, memory_order_relaxed)) {
		atomic_store_explicit(&lock->state, 1, memory_order_relaxed);
		return;
	}
	if (UNLIKELY(!atomic_compare_exchange_strong_explicit(
		    &lock->state, &unlocked, 1, memory_order_acquire, memory_order_relaxed)))
		vm_lock_wait(lock);
}

static inline void lock_release(struct lock *lock)
{
	if (VM_DEBUG)
		vm_lock_note_released(lock);
	if (lock_is_alone()) {
		atomic_store_explicit(&lock->state, 0, memory_order_relaxed);
		return;
	}
	if (UNLIKELY(atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2))
		vm_lock_wake(lock);
}

/* For fork, and for the start: takes a lock whatever others are held. */
void vm_lock_take_for_fork(struct lock *lock);
void vm_lock_release_after_fork(struct lock *lock);

/*
 * From begin to end of a fork, if the thread was alone at the first, those two do nothing: nobody else can
 * hold a lock, and each that is written to would be a page to copy. (A signal handler may fork while the
 * thread holds one; it must not wait for itself.) A fork of a small process: 28 page faults on both sides
 * instead of 35, 22 with glibc's malloc.
 */
void vm_lock_begin_fork(void);
void vm_lock_end_fork(void);

#endif
