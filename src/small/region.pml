/* SPDX-License-Identifier: MIT */
/*
 * region.pml - what a look-up without the page heap's lock reads of the regions, while the holder of
 * the lock replaces the page tables and opens further regions.
 *
 * Invariants:
 * 1. Who owns a small block finds its class in the table that it finds, an old one or the newest.
 * 2. A region does not claim an address that it does not hold. The case where it might: a reserve was
 *    opened and, when it could not have its first bytes, closed again; its addresses went to another's
 *    block; the next one is opened in the same place of vm_regions.
 *
 * Loads and stores of plain variables count as RELAXED. A load from an address that was loaded comes
 * after the load of that address on every CPU that we run on: TABLE_FIRST says so.
 * A look-up writes nothing: it runs after the writer, and finds whatever writes it may.
 *
 * refuted by: -DPUBLISH=RELAXED
 * refuted by: -DTABLE_FIRST=RELAXED
 * refuted by: -DCOPIES=false
 * refuted by: -DKEEPS_OLD=false
 * refuted by: -DCOUNT_STORE=RELAXED
 * refuted by: -DCOUNT_LOAD=RELAXED
 */
#ifndef PUBLISH
#define PUBLISH RELEASE
#endif
#ifndef TABLE_FIRST
#define TABLE_FIRST ACQUIRE
#endif
#ifndef COPIES
#define COPIES true
#endif
#ifndef KEEPS_OLD
#define KEEPS_OLD true
#endif
#ifndef COUNT_STORE
#define COUNT_STORE RELEASE
#endif
#ifndef COUNT_LOAD
#define COUNT_LOAD ACQUIRE
#endif

#define TABLES 3
#define THREADS 2
#define LOCATIONS 7
#define WRITES 5
#define TABLE(number) (number) /* the entry of one page there */
#define CLASS_OF 3
#define COUNT 4
#define BASE 5 /* of the region that is opened twice */
#define BYTES 6
#include "base/memory.pml"

#define CLASS 7
#define GARBAGE 99

#define WRITER 0
#define READER 1
byte me = WRITER;
byte i;
byte n;
byte table;
byte found;
byte count;
byte base;
bool owned;

inline replace_table()
{
	if
	:: COPIES -> store(TABLE(table + 1), NEWEST(TABLE(table)), RELAXED)
	:: else
	fi;
	store(CLASS_OF, table + 1, PUBLISH);
	if
	:: KEEPS_OLD
	:: else -> store(TABLE(table), GARBAGE, RELAXED)
	fi;
	table++
}

inline give_block()
{
	store(TABLE(table), CLASS, RELAXED);
	hand_over_to(READER);
	owned = true
}

inline look_class_up()
{
	load(CLASS_OF, table, TABLE_FIRST);
	load(TABLE(table), found, RELAXED);
	assert(found == CLASS)
}

inline open_region(at)
{
	store(BYTES, 0, RELAXED);
	store(BASE, at, RELAXED);
	store(COUNT, 1, COUNT_STORE)
}

/* The block lies where the reserve 1 was. */
inline look_region_up()
{
	load(COUNT, count, COUNT_LOAD);
	if
	:: count ->
		load(BASE, base, RELAXED);
		load(BYTES, found, RELAXED);
		assert(!(base == 1 && found))
	:: else
	fi
}

init {
	atomic {
		if
		:: true ->
			do
			:: table + 1 < TABLES -> replace_table()
			:: !owned -> give_block()
			:: owned -> break
			od;
			me = READER;
			look_class_up()
		:: true ->
			open_region(1);
			store(COUNT, 0, COUNT_STORE);
			hand_over_to(READER); /* by the kernel, where it was unmapped and mapped */
			open_region(2);
			store(BYTES, 1, RELAXED);
			me = READER;
			look_region_up()
		fi
	}
}
