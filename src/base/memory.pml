/* SPDX-License-Identifier: MIT */
/*
 * memory.pml - the memory of C11 for the models beside the code: what a load may find that another
 * thread has written, and in which order.
 *
 * Each location keeps all its writes, in order. A thread has seen a place in each of these orders,
 * and a load may find any write from that place on. A write carries what who finds it has then seen
 * too: by RELEASE all that the writer had seen, by RELAXED what it had seen at its last release fence.
 * An ACQUIRE load sees that at once, a RELAXED one at the next acquire fence. What reads and writes in
 * one step finds the newest write and hands on what that one carried. (The view machine of Kang et al.,
 * "A Promising Semantics for Relaxed-Memory Concurrency", 2017, without its promises: no load here
 * finds a write that its own thread's later one caused.)
 *
 * Two threads that write to one location must agree on the order by other means, as our locks.
 *
 * To be defined before: THREADS, LOCATIONS, WRITES (of a location at most; the next one is an error),
 * the latter two up to 255. A process that uses this has `me`, its number.
 *
 * A model names each order and fence of the code by a macro that may be defined otherwise, and lists
 * after "refuted by" the definitions under which it must fail; scripts/check-models tries them all.
 */
#define RELAXED 0
#define ACQUIRE 1
#define RELEASE 1
#define NONE 0
#define FENCE 1

typedef view {
	byte at[LOCATIONS]
};

typedef write {
	byte value;
	view carries
};

typedef history {
	byte count = 1; /* a 0 that all have seen */
	write nth[WRITES]
};

history memory[LOCATIONS];
view seen[THREADS];
view fenced[THREADS];  /* at the last release fence */
view waiting[THREADS]; /* found by RELAXED loads: seen at the next acquire fence */

inline see(into, from)
{
	for (i : 0 .. LOCATIONS - 1) {
		if
		:: into.at[i] < from.at[i] -> into.at[i] = from.at[i]
		:: else
		fi
	}
	i = 0
}

inline append(location, what)
{
	assert(memory[location].count < WRITES);
	n = memory[location].count;
	memory[location].count++;
	memory[location].nth[n].value = what;
	seen[me].at[location] = n
}

inline carry(location, order)
{
	if
	:: order == RELEASE -> see(memory[location].nth[n].carries, seen[me])
	:: else ->
		see(memory[location].nth[n].carries, fenced[me]);
		memory[location].nth[n].carries.at[location] = n
	fi
}

inline take_in(location, order)
{
	see(waiting[me], memory[location].nth[n].carries);
	if
	:: order == ACQUIRE -> see(seen[me], memory[location].nth[n].carries)
	:: else
	fi
}

inline store(location, what, order)
{
	d_step {
		append(location, what);
		carry(location, order);
		n = 0
	}
}

inline load(location, into, order)
{
	atomic {
		n = seen[me].at[location];
		do
		:: n + 1 < memory[location].count -> n++
		:: break
		od;
		seen[me].at[location] = n;
		into = memory[location].nth[n].value;
		take_in(location, order);
		n = 0
	}
}

/* Reads and writes: `into` is the value before. `order` is that of both, as acq_rel is. */
inline swap(location, into, what, load_order, store_order)
{
	d_step {
		n = memory[location].count - 1;
		into = memory[location].nth[n].value;
		take_in(location, load_order);
		append(location, what);
		see(memory[location].nth[n].carries, memory[location].nth[n - 1].carries);
		carry(location, store_order);
		n = 0
	}
}

#define NEWEST(location) memory[location].nth[memory[location].count - 1].value

inline release_fence(kind)
{
	d_step {
		if
		:: kind == FENCE -> see(fenced[me], seen[me])
		:: else
		fi
	}
}

inline acquire_fence(kind)
{
	d_step {
		if
		:: kind == FENCE -> see(seen[me], waiting[me])
		:: else
		fi
	}
}

/* `other` gets all that this thread has seen: a hand-over by a lock, or by the program. */
inline hand_over_to(other)
{
	d_step {
		see(seen[other], seen[me])
	}
}
