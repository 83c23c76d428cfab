/* SPDX-License-Identifier: MIT */
/*
 * boot.pml - the start of the allocator at the first call, and the fork handlers while it may start.
 *
 * A start may fail once for want of memory; fork takes the locks only where the start was made before.
 *
 * Invariant: it starts once; who is told that it has started finds all that the start wrote; and a
 * fork releases the locks that it has taken, and only those.
 *
 * refuted by: -DBOOTED=RELAXED
 * refuted by: -DLOOK=RELAXED
 * refuted by: -DLOOKS_AGAIN=false
 * refuted by: -DONE_FLAG=true
 */
#ifndef BOOTED
#define BOOTED RELEASE
#endif
#ifndef LOOK
#define LOOK ACQUIRE
#endif
#ifndef LOOKS_AGAIN
#define LOOKS_AGAIN true /* under the lock */
#endif
#ifndef ONE_FLAG
#define ONE_FLAG false /* locked_for_fork of all threads */
#endif

#define THREADS 3
#define LOCATIONS 2
#define WRITES 4
#define VM_BOOTED 0
#define HEAP 1 /* what the start makes */
#include "base/memory.pml"

bool boot_lock;
view boot_lock_carries;
byte starts;
bool failed_once;

bool locks; /* all of them: the first stands for those below it */
byte locked_for_fork[THREADS];
#define LOCKED_FOR_FORK locked_for_fork[(ONE_FLAG -> 0 : me)]

inline start()
{
	if
	:: !failed_once -> failed_once = true; store(VM_BOOTED, 0, BOOTED)
	:: true ->
		starts++;
		store(HEAP, 1, RELAXED);
		store(VM_BOOTED, 1, BOOTED)
	fi
}

inline boot()
{
	load(VM_BOOTED, booted, LOOK);
	if
	:: booted
	:: else ->
		atomic { !boot_lock -> boot_lock = true; see(seen[me], boot_lock_carries) }
		load(VM_BOOTED, booted, RELAXED);
		if
		:: booted && LOOKS_AGAIN
		:: else -> start()
		fi;
		load(VM_BOOTED, booted, RELAXED);
		atomic { see(boot_lock_carries, seen[me]); boot_lock = false }
	fi
}

inline fork()
{
	load(VM_BOOTED, booted, LOOK);
	LOCKED_FOR_FORK = booted;
	if
	:: booted -> atomic { !locks -> locks = true }; has_locks = true
	:: else
	fi;
	/* the fork */
	if
	:: LOCKED_FOR_FORK ->
		assert(has_locks);
		has_locks = false;
		locks = false
	:: else
	fi;
	assert(!has_locks)
}

active [THREADS] proctype thread()
{
	byte me = _pid;
	byte i;
	byte n;
	byte booted;
	byte heap;
	bool has_locks;

	if
	:: fork()
	:: true
	fi;
	boot();
	if
	:: booted ->
		load(HEAP, heap, RELAXED);
		assert(heap == 1)
	:: else
	fi;
	assert(starts <= 1);
	fork()
}
