/* SPDX-License-Identifier: MIT */
/*
 * lock.pml - the mutex of lock.h and lock.c, with the kernel's futex.
 *
 * Invariant: one thread at a time is inside, it sees all that those before it wrote there, and nobody
 * sleeps for ever (spin finds that as a state without an end).
 *
 * The kernel wakes nobody without a call here, so that every wake-up that is missing is missed.
 *
 * refuted by: -DTAKE=RELAXED
 * refuted by: -DSPIN_TAKE=RELAXED
 * refuted by: -DWAIT_TAKE=RELAXED
 * refuted by: -DGIVE=RELAXED
 * refuted by: -DMARK=1
 * refuted by: -DSLEEPS_ON=true
 * refuted by: -DWAKES=false
 */
#ifndef TAKE
#define TAKE ACQUIRE
#endif
#ifndef SPIN_TAKE
#define SPIN_TAKE ACQUIRE
#endif
#ifndef WAIT_TAKE
#define WAIT_TAKE ACQUIRE
#endif
#ifndef GIVE
#define GIVE RELEASE
#endif
#ifndef MARK
#define MARK 2 /* what a waiter leaves */
#endif
#ifndef SLEEPS_ON
#define SLEEPS_ON (NEWEST(STATE) == MARK) /* by the kernel's comparison */
#endif
#ifndef WAKES
#define WAKES (before == 2)
#endif

#define ROUNDS (me == 0 -> 2 : 1) /* of a thread */
#define THREADS 3
#define LOCATIONS 2
#define WRITES 30
#define STATE 0
#define DATA 1 /* what the lock protects */
#include "base/memory.pml"

byte inside;
bool asleep[THREADS];

/* A compare and exchange of 0 for 1. */
inline try_to_take(order)
{
	atomic {
		if
		:: NEWEST(STATE) == 0 -> swap(STATE, before, 1, order, RELAXED); taken = true
		:: else
		fi
	}
}

inline take()
{
	taken = false;
	try_to_take(TAKE);
	if
	:: taken
	:: else -> wait()
	fi
}

inline wait()
{
	load(STATE, before, RELAXED);
	if
	:: before == 0 -> try_to_take(SPIN_TAKE)
	:: else
	fi;
	do
	:: taken -> break
	:: else ->
		swap(STATE, before, MARK, WAIT_TAKE, RELAXED);
		if
		:: before == 0 -> taken = true
		:: else ->
			atomic {
				if
				:: SLEEPS_ON -> asleep[me] = true
				:: else
				fi
			}
			!asleep[me]
		fi
	od
}

inline give()
{
	swap(STATE, before, 0, RELAXED, GIVE);
	if
	:: WAKES -> wake_one()
	:: else
	fi
}

inline wake_one()
{
	atomic {
		if
		:: asleep[0] -> asleep[0] = false
		:: asleep[1] -> asleep[1] = false
		:: asleep[2] -> asleep[2] = false
		:: else
		fi
	}
}

active [THREADS] proctype thread()
{
	byte me = _pid;
	byte i;
	byte n;
	byte before;
	bool taken;
	byte round;
	byte data;

	do
	:: round < ROUNDS ->
		take();
		inside++;
		assert(inside == 1);
		load(DATA, data, RELAXED);
		assert(data == NEWEST(DATA));
		store(DATA, data + 1, RELAXED);
		inside--;
		give();
		round++
	:: else -> break
	od
}
