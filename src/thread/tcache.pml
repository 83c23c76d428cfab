/* SPDX-License-Identifier: MIT */
/*
 * tcache.pml - the room that all caches have together (all_room_bytes in tcache.c), and what the
 * statistics read of a stack while its thread is at work.
 *
 * Invariants:
 * 1. The sum is exact when nobody is changing it. It exceeds the limit by less than what one growth
 *    of each other thread takes: each looks before it adds.
 * 2. The statistics count no more blocks of a stack than a stack may have, whatever they find.
 *
 * refuted by: -DADDS_AT_ONCE=false
 * refuted by: -DLOOKS=true
 * refuted by: -DDOUBTS=true
 */
#ifndef ADDS_AT_ONCE
#define ADDS_AT_ONCE true
#endif
#ifndef LOOKS
#define LOOKS (all_room + 1 <= LIMIT)
#endif
#ifndef DOUBTS
#define DOUBTS (count <= MOST)
#endif

#define OWNERS 3
#define LIMIT 2
#define ROOM_MOST 2
#define MOST 1 /* blocks of a stack */
#define STEPS 2

byte all_room;
byte room[OWNERS];
byte done;

/* Of the first owner: addresses in the old array or the new one. */
#define OLD 10
#define NEW 100
byte top = OLD;
byte floor = OLD;

inline add(amount)
{
	if
	:: ADDS_AT_ONCE -> all_room = all_room + (amount)
	:: else ->
		sum = all_room;
		all_room = sum + (amount)
	fi
}

inline change_room(amount)
{
	room[me] = room[me] + (amount);
	add(amount)
}

/* set_room: each pointer is stored on its own. */
inline move_stack()
{
	sum = top - floor;
	floor = (floor == OLD -> NEW : OLD);
	top = floor + sum;
	sum = 0
}

active [OWNERS] proctype owner()
{
	byte me = _pid;
	byte sum;
	byte steps;

	do
	:: steps < STEPS ->
		steps++;
		if
		:: room[me] < ROOM_MOST && LOOKS -> change_room(1)
		:: room[me] > 0 -> change_room(-1)
		:: me == 0 -> move_stack()
		:: me == 0 && top - floor < MOST -> top++
		:: me == 0 && top > floor -> top--
		:: true
		fi;
		assert(all_room < LIMIT + OWNERS)
	:: else -> break
	od;
	done++;
	if
	:: done == OWNERS -> assert(all_room == room[0] + room[1] + room[2])
	:: else
	fi
}

active proctype statistics()
{
	byte found;
	byte count;

	found = top;
	count = found - floor; /* below 0: a large number */
	if
	:: DOUBTS -> assert(count <= MOST)
	:: else
	fi
}
