/* SPDX-License-Identifier: MIT */
/*
 * parking.pml - a large block that is freed waits in a place, without a lock, for the next of its size
 * (pool_park, pool_take_parked in pool.h; vm_large_park, vm_large_take_parked in large.c).
 *
 * Invariant: the block has one owner at a time, a thread or the table, also where two threads free it
 * at once: then one of them is told. (Freed once more when it is another's already, it cannot be known
 * for what it is; so nobody allocates here before all have freed.)
 *
 * Threads alone in their process use plain loads and stores; they are not modelled.
 *
 * refuted by: -DMARKS_IN_ONE_STEP=false
 * refuted by: -DTAKES_IN_ONE_STEP=false
 * refuted by: -DPARKS_IN_ONE_STEP=false
 */
#ifndef MARKS_IN_ONE_STEP
#define MARKS_IN_ONE_STEP true
#endif
#ifndef TAKES_IN_ONE_STEP
#define TAKES_IN_ONE_STEP true
#endif
#ifndef PARKS_IN_ONE_STEP
#define PARKS_IN_ONE_STEP true
#endif

#define PLACES 2
#define THREADS 3
#define BLOCKS 2
#define NONE 0

byte place[PLACES]; /* the block in it, from 1 on */
bool parked[BLOCKS + 1];
byte owners[BLOCKS + 1];   /* threads that took it out of a place; counted by themselves */
bool in_table[BLOCKS + 1]; /* free in the table */
byte told;
byte freed; /* threads that are through with it */

/* Of a thread that has the block, or has a copy of its address. */
inline park(block, at)
{
	bool was = false;
	atomic {
		was = parked[block] || in_table[block];
		if
		:: MARKS_IN_ONE_STEP && !was -> parked[block] = true
		:: else
		fi
	}
	if
	:: !MARKS_IN_ONE_STEP && !was -> parked[block] = true
	:: else
	fi;
	if
	:: was -> told++
	:: else ->
		bool vacant = false;
		atomic {
			vacant = place[at] == NONE;
			if
			:: PARKS_IN_ONE_STEP && vacant -> place[at] = block
			:: else
			fi
		}
		if
		:: !PARKS_IN_ONE_STEP && vacant ->
			assert(place[at] == NONE); /* else a block would be lost */
			place[at] = block
		:: else
		fi;
		if
		:: !vacant -> atomic { parked[block] = false; in_table[block] = true }
		:: else
		fi
	fi
}

inline take_parked(at)
{
	byte got = NONE;
	atomic {
		got = place[at];
		if
		:: TAKES_IN_ONE_STEP -> place[at] = NONE
		:: else
		fi
	}
	if
	:: !TAKES_IN_ONE_STEP && got != NONE -> place[at] = NONE
	:: else
	fi;
	if
	:: got != NONE ->
		atomic {
			owners[got]++;
			assert(owners[got] == 1 && !in_table[got])
		}
		parked[got] = false
	:: else
	fi
}

/* Block 1 is freed by two threads, block 2 by one; each then allocates, from either place. */
active [THREADS] proctype thread()
{
	byte mine = (_pid < 2 -> 1 : 2);

	if
	:: park(mine, 0)
	:: park(mine, 1)
	fi;
	freed++;
	freed == THREADS;
	assert(told == 1);
	if
	:: take_parked(0)
	:: take_parked(1)
	fi
}
