/* SPDX-License-Identifier: MIT */
/*
 * index.pml - vm_index_find without the lock, while index.c's insert, remove and reserve are at work.
 *
 * One block, MINE, is live from before the look-up until after it; the writer enters and removes
 * others around it, and once replaces the table. Homes are any, in each table others.
 *
 * Invariant: the look-up finds MINE's range or nothing, and never a table without its content. Who has
 * seen all writes, as the holder of the lock has, finds the range.
 *
 * A look-up writes nothing, so it need not run between the writer's steps: it runs after them, and
 * finds whatever writes it may.
 *
 * refuted by: -DFILL_START=RELAXED
 * refuted by: -DEMPTY_FENCE=NONE
 * refuted by: -DFIND_START=RELAXED
 * refuted by: -DFIND_FENCE=NONE
 * refuted by: -DFIND_AGAIN=false
 * refuted by: -DPUBLISH=RELAXED
 * refuted by: -DFIND_TABLE=RELAXED
 * refuted by: -DCLOSES_GAP=false
 * refuted by: -DREMEMBERS_HOME=false
 */
#ifndef FILL_START
#define FILL_START RELEASE
#endif
#ifndef EMPTY_FENCE
#define EMPTY_FENCE FENCE
#endif
#ifndef FIND_START
#define FIND_START ACQUIRE
#endif
#ifndef FIND_FENCE
#define FIND_FENCE FENCE
#endif
#ifndef FIND_AGAIN
#define FIND_AGAIN true
#endif
#ifndef PUBLISH
#define PUBLISH RELEASE
#endif
#ifndef FIND_TABLE
#define FIND_TABLE ACQUIRE
#endif
#ifndef CLOSES_GAP
#define CLOSES_GAP true
#endif
#ifndef REMEMBERS_HOME
#define REMEMBERS_HOME true
#endif

/* Up to three of four slots are taken: more than in the code, for longer clusters. */
#define SLOTS 4
#define MASK 3
#define ENTRIES_MOST 3
#define STEPS 4

#define THREADS 2
#define LOCATIONS 18
#define WRITES 12
#define START(table, slot) (8 * (table) + (slot))
#define RANGE(table, slot) (8 * (table) + 4 + (slot))
#define TABLE 16
#define SHAPE 17 /* the new table's shift, mask and segments */
#include "base/memory.pml"

/* Starts: 0 is empty. The range of a block has its number. */
#define MINE 1
#define BLOCKS 4

byte home[8]; /* [4 * table + block] */
bool in[BLOCKS];
byte entries;
byte table; /* the writer's */
#define HOME(block) home[4 * table + (block)]

/* Registers. */
byte i;
byte n;
byte at;
byte gap;
byte start;
byte range;
byte again;
byte found;
byte steps;
byte block;
byte old;

#define WRITER 0
#define READER 1
byte me = WRITER;

/* Of the writer; NEWEST is what it has seen. */
inline put(what, which)
{
	at = HOME(what);
	do
	:: NEWEST(START(table, at)) -> at = (at + 1) & MASK
	:: else -> break
	od;
	fill(at, what, which)
}

inline fill(slot, what, which)
{
	store(RANGE(table, slot), which, RELAXED);
	store(START(table, slot), what, FILL_START)
}

inline clear(slot)
{
	store(START(table, slot), 0, RELAXED);
	release_fence(EMPTY_FENCE)
}

inline insert(what)
{
	put(what, what);
	in[what] = true;
	entries++
}

inline remove(what)
{
	gap = HOME(what);
	do
	:: NEWEST(START(table, gap)) != what -> gap = (gap + 1) & MASK
	:: else -> break
	od;
	clear(gap);
	at = (gap + 1) & MASK;
	do
	:: !CLOSES_GAP || NEWEST(START(table, at)) == 0 -> break
	:: else ->
		start = NEWEST(START(table, at));
		if
		:: REMEMBERS_HOME && ((at - HOME(start)) & MASK) < ((at - gap) & MASK)
		:: else ->
			fill(gap, start, NEWEST(RANGE(table, at)));
			clear(at);
			gap = at
		fi;
		at = (at + 1) & MASK
	od;
	start = 0;
	gap = 0;
	in[what] = false;
	entries--
}

inline replace()
{
	old = table;
	table = 1;
	for (block : 0 .. SLOTS - 1) {
		start = NEWEST(START(old, block));
		if
		:: start -> put(start, NEWEST(RANGE(old, block)))
		:: else
		fi
	}
	start = 0;
	store(SHAPE, 1, RELAXED);
	store(TABLE, table, PUBLISH)
}

inline change()
{
	if
	:: table == 0 -> replace()
	:: true ->
		select(block : 2 .. BLOCKS - 1);
		if
		:: in[block] -> remove(block)
		:: !in[block] && entries < ENTRIES_MOST -> insert(block)
		:: else
		fi
	fi
}

inline find(what)
{
	load(TABLE, old, FIND_TABLE);
	if
	:: old == 1 ->
		load(SHAPE, found, RELAXED);
		assert(found)
	:: else
	fi;
	at = home[4 * old + what];
	found = 0;
	do
	:: load(START(old, at), start, FIND_START);
		if
		:: start == 0 -> break
		:: start == what ->
			load(RANGE(old, at), range, RELAXED);
			acquire_fence(FIND_FENCE);
			load(START(old, at), again, RELAXED);
			if
			:: again == what || !FIND_AGAIN -> found = range
			:: else
			fi;
			break
		:: else -> at = (at + 1) & MASK
		fi
	od
}
init {
	atomic {
		/* MINE's are 0: the tables are rings. */
		for (block : 2 .. BLOCKS - 1) {
			select(i : 0 .. MASK);
			home[block] = i;
			select(i : 0 .. MASK);
			home[4 + block] = i
		}
		i = 0;
		if
		:: insert(2)
		:: true
		fi;
		insert(MINE);
		hand_over_to(READER);
		do
		:: steps < STEPS -> change(); steps++
		:: break
		od;
		me = READER;
		find(MINE);
		assert(found == 0 || found == MINE);
		see(seen[READER], seen[WRITER]);
		find(MINE);
		assert(found == MINE)
	}
}
