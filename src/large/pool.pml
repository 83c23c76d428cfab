/* SPDX-License-Identifier: MIT */
/*
 * pool.pml - fork waits until no operation is on the way outside the lock of the mapping table
 * (vm_pool_begin, vm_pool_end, vm_pool_lock_for_fork in pool.c).
 *
 * Invariant: when a fork copies the process no operation is between its begin and its end, and no
 * thread sleeps for ever. The latter holds because one fork at a time comes here: the lock of the
 * threads is taken before (boot.c), and vm_pool_end wakes one.
 *
 * The locks are taken and released in one step each: os/lock.pml shows that they may be.
 *
 * refuted by: -DWAITS=false
 * refuted by: -DSLEEPS_ON=true
 * refuted by: -DWAKES=false
 * refuted by: -DCOUNTS_WAITING=false
 * refuted by: -DONE_FORK_AT_A_TIME=false
 * refuted by: -DKEEPS_LOCK=true
 */
#ifndef WAITS
#define WAITS (underway != 0)
#endif
#ifndef SLEEPS_ON
#define SLEEPS_ON (underway == found) /* by the kernel's comparison */
#endif
#ifndef WAKES
#define WAKES (forks_waiting > 0)
#endif
#ifndef COUNTS_WAITING
#define COUNTS_WAITING true
#endif
#ifndef ONE_FORK_AT_A_TIME
#define ONE_FORK_AT_A_TIME true
#endif
#ifndef KEEPS_LOCK
#define KEEPS_LOCK false /* while it waits */
#endif

#define OPERATORS 3
#define OPERATIONS 2
#define FORKS 2

bool locked;
bool threads_locked;
byte underway;
byte forks_waiting;
byte outside; /* operations between begin and end, counted by themselves */
bool asleep[FORKS];

inline take(lock)
{
	atomic { !lock -> lock = true }
}

inline wake_one()
{
	atomic {
		if
		:: asleep[0] -> asleep[0] = false
		:: asleep[1] -> asleep[1] = false
		:: else
		fi
	}
}

active [OPERATORS] proctype operator()
{
	byte count;

	do
	:: count < OPERATIONS ->
		take(locked);
		d_step { underway++; outside++ }
		locked = false;
		/* the system call */
		take(locked);
		d_step { underway--; outside-- }
		if
		:: WAKES -> wake_one()
		:: else
		fi;
		locked = false;
		count++
	:: else -> break
	od
}

active [FORKS] proctype fork()
{
	byte me = _pid - OPERATORS;
	byte found;

	if
	:: ONE_FORK_AT_A_TIME -> take(threads_locked)
	:: else
	fi;
	take(locked);
	do
	:: found = underway;
		if
		:: WAITS
		:: else -> break
		fi;
		forks_waiting = forks_waiting + (COUNTS_WAITING -> 1 : 0);
		locked = KEEPS_LOCK;
		atomic {
			if
			:: SLEEPS_ON -> asleep[me] = true
			:: else
			fi
		}
		!asleep[me];
		if
		:: !KEEPS_LOCK -> take(locked)
		:: else
		fi;
		forks_waiting = forks_waiting - (COUNTS_WAITING -> 1 : 0)
	od;
	assert(outside == 0);
	locked = false;
	threads_locked = false
}
