/* SPDX-License-Identifier: MIT */
/*
 * pool.pml - fork waits until no operation is on the way outside the lock of the mapping table, and
 * none begins meanwhile (vm_pool_enter, vm_pool_begin, vm_pool_return, vm_pool_end,
 * vm_pool_lock_for_fork in pool.c).
 *
 * Invariant: when a fork copies the process no operation is between its begin and its end; none begins
 * while a fork waits; no thread sleeps for ever. The latter holds because one fork at a time holds the
 * gate, for vm_pool_end wakes one, and because an operation on the way comes back past the gate.
 *
 * The locks are taken and released in one step each: os/lock.pml shows that they may be.
 *
 * refuted by: -DWAITS=false
 * refuted by: -DSLEEPS_ON=true
 * refuted by: -DWAKES=false
 * refuted by: -DGATED=false
 * refuted by: -DHOLDS_GATE=false
 * refuted by: -DRETURNS_THROUGH_GATE=true
 * refuted by: -DKEEPS_LOCK=true
 */
#ifndef WAITS
#define WAITS (underway != 0)
#endif
#ifndef SLEEPS_ON
#define SLEEPS_ON (underway == found) /* by the kernel's comparison */
#endif
#ifndef WAKES
#define WAKES fork_waits
#endif
#ifndef GATED
#define GATED fork_waits
#endif
#ifndef HOLDS_GATE
#define HOLDS_GATE true
#endif
#ifndef RETURNS_THROUGH_GATE
#define RETURNS_THROUGH_GATE false
#endif
#ifndef KEEPS_LOCK
#define KEEPS_LOCK false /* while it waits */
#endif

#define OPERATORS 3
#define OPERATIONS 2
#define FORKS 2

bool locked;
bool gate;
bool fork_waits;
byte underway;
byte outside; /* operations between begin and end, counted by themselves */
bool asleep[FORKS];

inline take(lock)
{
	atomic { !lock -> lock = true }
}

inline enter()
{
	take(locked);
	do
	:: GATED ->
		locked = false;
		take(gate);
		gate = false;
		take(locked)
	:: else -> break
	od;
	skip /* no jump may lead into the d_step that follows */
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
		enter();
		assert(!fork_waits);
		d_step { underway++; outside++ }
		locked = false;
		/* the system call */
		if
		:: RETURNS_THROUGH_GATE -> enter()
		:: else -> take(locked)
		fi;
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
	:: HOLDS_GATE -> take(gate)
	:: else
	fi;
	take(locked);
	fork_waits = true;
	do
	:: found = underway;
		if
		:: WAITS
		:: else -> break
		fi;
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
		fi
	od;
	assert(outside == 0);
	fork_waits = false;
	locked = false;
	gate = false
}
