/* SPDX-License-Identifier: MIT */
/*
 * transfer.pml - the ticks of a transfer cache beside gets and puts: what is due is claimed without the
 * lock, and the lock is released between the look at what was not needed and each part of the drain.
 *
 * Invariant: each block is in one place, a thread or the stack or its slab; a tick that is due is made
 * once; a count of the stack never goes beyond what is there.
 *
 * The lock is taken and released in one step each: os/lock.pml shows that it may be.
 *
 * refuted by: -DCLAIMS=true
 * refuted by: -DLOCKS_DRAIN=false
 * refuted by: -DLOOKS_AGAIN=false
 */
#ifndef CLAIMS
#define CLAIMS (next_tick == due) /* by the compare and exchange */
#endif
#ifndef LOCKS_DRAIN
#define LOCKS_DRAIN true
#endif
#ifndef LOOKS_AGAIN
#define LOOKS_AGAIN true /* how many are there now, when it drains */
#endif

#define THREADS 2
#define BLOCKS 3
#define STEPS 2
#define PERIOD 1
#define LAST 2 /* of the clock */

#define NOWHERE 0
#define IN_STACK 1
#define IN_SLAB 2
#define WITH(thread) (3 + (thread))
byte place[BLOCKS] = IN_STACK;

/* As after a tick: each thread has a block, the last one is here. */
bool locked;
byte stack[BLOCKS] = BLOCKS - 1;
byte count = 1;
byte lowest = 1;

byte now = PERIOD;
byte next_tick;
byte ticks[LAST + PERIOD + 1]; /* made, by the time that they were due */

inline take()
{
	atomic { !locked -> locked = true }
}

/* A block from the top, in two steps: whoever comes between finds it twice. */
inline pop(into)
{
	block = stack[count - 1];
	assert(place[block] == IN_STACK);
	count--;
	place[block] = into;
	if
	:: lowest > count -> lowest = count
	:: else
	fi
}

inline get()
{
	take();
	if
	:: count -> pop(WITH(me))
	:: else
	fi;
	locked = false
}

inline put()
{
	take();
	for (block : 0 .. BLOCKS - 1) {
		if
		:: place[block] == WITH(me) ->
			place[block] = IN_STACK;
			stack[count] = block;
			count++;
			break
		:: else
		fi
	}
	locked = false
}

inline drain()
{
	do
	:: left == 0 -> break
	:: else ->
		if
		:: LOCKS_DRAIN -> take()
		:: else
		fi;
		if
		:: count || !LOOKS_AGAIN -> pop(IN_SLAB); left--
		:: else -> left = 0
		fi;
		if
		:: LOCKS_DRAIN -> locked = false
		:: else
		fi
	od
}

inline tick()
{
	at = now;
	due = next_tick;
	if
	:: at >= due ->
		atomic {
			if
			:: CLAIMS -> next_tick = at + PERIOD; ticks[due]++; claimed = true
			:: else -> claimed = false
			fi
		}
		assert(ticks[due] <= 1);
		if
		:: claimed ->
			take();
			left = lowest;
			locked = false;
			drain();
			take();
			lowest = count;
			locked = false
		:: else
		fi
	:: else
	fi
}

active [THREADS] proctype thread()
{
	byte me = _pid;
	byte block;
	byte left;
	byte due;
	byte at;
	byte steps;
	bool claimed;

	place[me] = WITH(me);
	do
	:: steps < STEPS ->
		if
		:: get()
		:: put()
		:: tick()
		fi;
		steps++
	:: else -> break
	od
}

active proctype clock()
{
	do
	:: now < LAST -> now++
	:: else -> break
	od
}
