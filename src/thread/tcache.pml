/* SPDX-License-Identifier: MIT */
/*
 * tcache.pml - the room that all caches have together (all_room_bytes in tcache.c), and what the
 * statistics read of a stack while its thread is at work.
 *
 * The first owner was alone until now: what it took of the shared kind does not count before its first miss, at
 * which it gives that back (begin_to_leave_room).
 *
 * Invariants:
 * 1. The sum is exact when nobody is changing it. It exceeds the limit by less than what one growth
 *    of each other thread takes: each looks before it adds.
 * 2. The statistics count no more blocks of a stack than a stack may have, whatever they find.
 *
 * refuted by: -DADDS_AT_ONCE=false
 * refuted by: -DFLAG_FIRST=true
 * refuted by: -DGIVES_BACK=false
 * refuted by: -DLOOKS=true
 * refuted by: -DDOUBTS=true
 */
#ifndef ADDS_AT_ONCE
#define ADDS_AT_ONCE true
#endif
#ifndef FLAG_FIRST
#define FLAG_FIRST false
#endif
#ifndef GIVES_BACK
#define GIVES_BACK true
#endif
#ifndef LOOKS
#define LOOKS (found + all_room[1] + 1 <= LIMIT)
#endif
#ifndef DOUBTS
#define DOUBTS (count <= MOST)
#endif

#define OWNERS 3
#define LIMIT 2
#define ROOM_MOST 2
#define MOST 1 /* blocks of a stack */
#define STEPS 2

byte all_room[2]; /* by kind: shared, single */
byte room[6] = {1, 0, 0, 0, 0, 0}; /* 2 * owner + kind */
bool counts_all;  /* of the first owner; the others' do from the start */
byte done;

/* Of the first owner: addresses in the old array or the new one. */
#define OLD 10
#define NEW 100
byte top = OLD;
byte floor = OLD;

inline add(amount)
{
	if
	:: ADDS_AT_ONCE -> all_room[kind] = all_room[kind] + (amount)
	:: else ->
		sum = all_room[kind];
		all_room[kind] = sum + (amount)
	fi
}

inline change_room(amount)
{
	room[2 * me + kind] = room[2 * me + kind] + (amount);
	if
	:: me > 0 || counts_all || kind == 1 -> add(amount)
	:: else
	fi
}

inline give_back()
{
	if
	:: GIVES_BACK ->
		found = room[2 * me];
		change_room(-found);
		found = 0
	:: else
	fi
}

inline begin_to_leave_room()
{
	kind = 0;
	if
	:: FLAG_FIRST -> counts_all = true; give_back()
	:: else -> give_back(); counts_all = true
	fi
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
	byte kind;
	byte found; /* of the two, read one after the other */
	byte sum;
	byte steps;

	do
	:: steps < STEPS ->
		steps++;
		if
		:: me == 0 && !counts_all -> begin_to_leave_room()
		:: else
		fi;
		if
		:: kind = 0
		:: kind = 1
		fi;
		found = all_room[0];
		if
		:: room[2 * me + kind] < ROOM_MOST && LOOKS -> change_room(1)
		:: room[2 * me + kind] > 0 -> change_room(-1)
		:: me == 0 -> move_stack()
		:: me == 0 && top - floor < MOST -> top++
		:: me == 0 && top > floor -> top--
		:: true
		fi;
		found = 0;
		kind = 0;
		assert(all_room[0] + all_room[1] < LIMIT + OWNERS)
	:: else -> break
	od;
	done++;
	if
	:: done == OWNERS ->
		assert(all_room[0] == (counts_all -> room[0] : 0) + room[2] + room[4]);
		assert(all_room[1] == room[1] + room[3] + room[5])
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
