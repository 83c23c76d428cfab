/* SPDX-License-Identifier: MIT */
/*
 * The memory of C11 under the allocator's own code: a source that is included after this header finds
 * in its atomic loads whatever another thread's writes allow, as in src/base/memory.pml; which of them
 * it is, choices.h tells. For code in which one thread writes and others only read.
 */
#ifndef TEST_WEAK_H
#define TEST_WEAK_H

#include <stdatomic.h>
#include <stdint.h>

enum { WEAK_THREADS = 2 };

/* What the memory forgets to keep, to see that the code needs it. */
enum weak_flaw {
	WEAK_SOUND,
	WEAK_RELEASE_STORES,
	WEAK_RELEASE_FENCES,
	WEAK_ACQUIRE_LOADS,
	WEAK_ACQUIRE_FENCES,
	WEAK_FLAWS,
};

/* A memory that has no writes, in thread 0. */
void weak_begin(enum weak_flaw flaw);

/* The thread that what follows runs in. */
void weak_become(unsigned thread);

/* A thread gets to know all that this one knows, as by a lock. */
void weak_hand_over_to(unsigned thread);

uint64_t weak_load(uintptr_t address, memory_order order);
void weak_store(uintptr_t address, uint64_t value, memory_order order);
void weak_fence(memory_order order);

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_thread_fence
#define atomic_load_explicit(at, order)                                                            \
	({                                                                                         \
		_Static_assert(sizeof *(at) == sizeof(uint64_t), "memory of words");               \
		(__typeof__((void)0, *(at)))weak_load((uintptr_t)(at), order);                     \
	})
#define atomic_store_explicit(at, value, order)                                                    \
	({                                                                                         \
		_Static_assert(sizeof *(at) == sizeof(uint64_t), "memory of words");               \
		weak_store((uintptr_t)(at), (uint64_t)(uintptr_t)(value), order);                  \
	})
#define atomic_thread_fence(order) weak_fence(order)

#endif
