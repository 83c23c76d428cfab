/* SPDX-License-Identifier: MIT */
/*
 * bin.pml - blocks that come back to their slab from several threads: which bin's lock to take is read
 * from the slab's record without it (flush_some in bin.c), and the slab leaves with its last block.
 *
 * The record of a slab that has left is at once another slab's, of another shard. What the record says
 * is written with no lock that the reader holds.
 *
 * Invariant: a block is given back under the lock of its slab's bin, and the slab leaves once, when all
 * its blocks are back. For a thread that owns a block of a slab, its record stays as it is.
 *
 * refuted by: -DLOCKS=false
 * refuted by: -DLEAVES_WHEN=true
 */
#ifndef LOCKS
#define LOCKS true
#endif
#ifndef LEAVES_WHEN
#define LEAVES_WHEN (taken == 0)
#endif

#define THREADS 3
#define SHARD 1
#define OTHER_SHARD 2

byte shard = SHARD; /* of the record */
bool locked[3];
byte taken = THREADS; /* slots of the slab */
byte inside; /* changing the slab */
bool has_left;

inline take_lock()
{
	if
	:: LOCKS -> atomic { !locked[mine] -> locked[mine] = true }
	:: else
	fi
}

inline give()
{
	inside++;
	assert(inside == 1);
	left = taken - 1;
	taken = left;
	if
	:: LEAVES_WHEN -> leaves = true
	:: else
	fi;
	inside--
}

active [THREADS] proctype thread()
{
	byte mine;
	byte left;
	bool leaves;

	mine = shard;
	take_lock();
	assert(mine == SHARD);
	assert(shard == mine);
	give();
	if
	:: LOCKS -> locked[mine] = false
	:: else
	fi;
	if
	:: leaves ->
		assert(!has_left && taken == 0);
		has_left = true;
		shard = OTHER_SHARD
	:: else
	fi
}
