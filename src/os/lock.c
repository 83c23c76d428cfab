/* SPDX-License-Identifier: MIT */
/*
 * States 0, 1, 2 as in Drepper, "Futexes Are Tricky" (2011), mutex 2: a waiter leaves 2 behind, so
 * a release wakes whenever somebody may sleep; lock.pml has spin prove it for three threads.
 */
#include "os/lock.h"

#include "base/check.h"
#include "os/os.h"

/* Sections under a lock last well under a microsecond: looking again a while is cheaper than
 * sleeping, where the holder runs on another CPU. */
enum { SPINS = 100 };

/* Tells the CPU that this is a waiting loop. */
#if defined(__x86_64__)
#define RELAX "pause"
#elif defined(__aarch64__)
#define RELAX "yield"
#else
#define RELAX ""
#endif

void vm_lock_wait(struct lock *lock)
{
	for (int spin = 0; spin < SPINS; spin++) {
		uint32_t unlocked = 0;
		if (atomic_load_explicit(&lock->state, memory_order_relaxed) == 0 &&
		    atomic_compare_exchange_strong_explicit(&lock->state, &unlocked, 1,
							    memory_order_acquire,
							    memory_order_relaxed))
			return;
		__asm__ volatile(RELAX ::: "memory");
	}
	while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0)
		vm_os_wait(&lock->state, 2);
}

void vm_lock_wake(struct lock *lock)
{
	vm_os_wake_one(&lock->state);
}

static __thread uint32_t ranks_held;

void vm_lock_note_taken(const struct lock *lock)
{
	vm_assert(ranks_held >> lock->rank == 0);
	ranks_held |= 1U << lock->rank;
}

void vm_lock_note_released(const struct lock *lock)
{
	vm_assert(ranks_held & 1U << lock->rank);
	ranks_held &= ~(1U << lock->rank);
}

static __thread bool forks_alone;

void vm_lock_begin_fork(void)
{
	forks_alone = lock_is_alone();
}

void vm_lock_end_fork(void)
{
	forks_alone = false;
}

void vm_lock_take_for_fork(struct lock *lock)
{
	uint32_t unlocked = 0;
	if (forks_alone)
		return;
	if (!atomic_compare_exchange_strong_explicit(&lock->state, &unlocked, 1,
						     memory_order_acquire, memory_order_relaxed))
		vm_lock_wait(lock);
}

void vm_lock_release_after_fork(struct lock *lock)
{
	if (forks_alone)
		return;
	if (atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2)
		vm_lock_wake(lock);
}
