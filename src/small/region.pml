/* SPDX-License-Identifier: MIT */
/*
 * region.pml - what a look-up without the page heap's lock reads of the regions, while the holder of
 * the lock replaces the page tables and opens further regions.
 *
 * Invariants:
 * 1. Who owns a small block finds its class in the table that it finds, an old one or the newest.
 * 2. A region does not claim an address that it does not hold. The case where it might: a reserve was
 *    opened and, when it could not have its first bytes, closed again; the next one, opened in the same
 *    place of vm_regions, has more bytes than lay between the first and somebody else's block.
 * 3. Who owns a block of that region finds it.
 *
 * Loads and stores of plain variables count as RELAXED. A load from an address that was loaded comes
 * after the load of that address on every CPU that we run on: TABLE_FIRST says so.
 * A look-up writes nothing: it runs after the writer, and finds whatever writes it may.
 *
 * refuted by: -DPUBLISH=RELAXED
 * refuted by: -DTABLE_FIRST=RELAXED
 * refuted by: -DCOPIES=false
 * refuted by: -DKEEPS_OLD=false
 * refuted by: -DGROWTH=RELAXED
 * refuted by: -DBYTES_LOAD=RELAXED
 * refuted by: -DBYTES_FIRST=false
 * refuted by: -DCLOSES_EMPTY=false
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
#ifndef GROWTH
#define GROWTH RELEASE
#endif
#ifndef BYTES_LOAD
#define BYTES_LOAD ACQUIRE
#endif
#ifndef BYTES_FIRST
#define BYTES_FIRST true
#endif
#ifndef CLOSES_EMPTY /* only a region that never had bytes */
#define CLOSES_EMPTY true
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
#define BYTES_AT(base) (10 + (base)) /* of the reserve there */
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
	store(BASE, at, RELAXED);
	store(COUNT, 1, RELAXED)
}

inline close_region(at)
{
	if
	:: CLOSES_EMPTY
	:: else ->
		store(BYTES, BYTES_AT(at), GROWTH);
		store(BYTES, 0, GROWTH)
	fi;
	store(COUNT, 0, RELAXED)
}

/* What is found of one reserve with the bytes of another holds anything. */
inline look_region_up()
{
	load(COUNT, count, RELAXED);
	if
	:: count && BYTES_FIRST ->
		load(BYTES, found, BYTES_LOAD);
		if
		:: found -> load(BASE, base, RELAXED)
		:: else
		fi
	:: count && !BYTES_FIRST ->
		load(BASE, base, RELAXED);
		load(BYTES, found, BYTES_LOAD)
	:: else
	fi;
	assert(!found || found == BYTES_AT(base));
	assert(!owned || found == BYTES_AT(2))
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
			close_region(1);
			open_region(2);
			store(BYTES, BYTES_AT(2), GROWTH);
			if
			:: hand_over_to(READER); owned = true
			:: true
			fi;
			me = READER;
			look_region_up()
		fi
	}
}
