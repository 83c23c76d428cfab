/* SPDX-License-Identifier: MIT */
/*
 * The fault sweep: a scenario runs with the n-th call to the kernel refused, once, or from there on
 * for ever, for n = 1, 2, ... until there are not so many; and so with the n-th request for a
 * record of the allocator, which seldom needs the kernel. Whatever is refused:
 *   1. An allocation gives a block, or NULL and ENOMEM; free gives the block back.
 *   2. Contents stay, also of what realloc could not resize.
 *   3. The allocator's tables are whole (its own checks, in debug builds).
 *   4. Again and again the same refusals take no more memory, address space, maps or records.
 *   5. With the kernel answering again the scenario succeeds, and nothing is held for it then.
 * The scenarios are the table in sweep.c. They run in two worlds, each a program: on the fake
 * kernel, and on the real one behind a filter.
 */
#ifndef TEST_FAULT_SWEEP_H
#define TEST_FAULT_SWEEP_H

#include "allocator.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the process holds when all blocks of a scenario are freed and the caches trimmed. */
struct footprint {
	size_t bytes;   /* address space */
	size_t maps;
	size_t records; /* of the allocator */
	size_t strays;  /* of `bytes`, what nobody knows of */
	size_t live;    /* blocks, in bytes */
	size_t kept;    /* freed, in bytes of memory or of large ranges */
};

struct world {
	const struct allocator *allocator;
	int (*trim)(size_t pad);

	/* All other functions: those that allocate, with errno as malloc's, and those that free, up to
	 * NULL each, and what only tells. */
	void *(*const *other_mallocs)(size_t size);
	void (*const *other_frees)(void *block, size_t size);
	void (*ask)(void);

	/* In a new process, before any call above. */
	void (*begin)(void);

	/* The nth request from now on is refused, and all after it if `for_ever`; 0: none. Requests
	 * are calls to the kernel, or those for records of the allocator. */
	void (*refuse)(uint64_t nth, bool for_ever, bool records);
	bool has_records; /* to refuse */

	/* Requests since `refuse`. */
	uint64_t (*requests)(bool records);

	/* Ends the process by must() where a table is not whole. */
	void (*check_tables)(void);

	/* And where more is held than this world can have then. */
	struct footprint (*footprint)(void);

	/* Nothing is refused meanwhile: for what is not the allocator's business. */
	void (*spare)(bool meanwhile);

	/* Another's sbrk. */
	void *(*move_break)(ptrdiff_t bytes);

	/* Until what is free has decayed. */
	void (*pass_time)(void);

	/* Whether a block may be written to; NULL: the write tells. */
	bool (*is_writable)(const void *block, size_t size);

	/* First of all in a forked child; NULL: nothing is to be done. */
	void (*forked)(void);

	/* Others use up all maps, and give them back; NULL: not in this world. */
	void (*fill_maps)(void);
	void (*empty_maps)(void);

	/* All blocks come from the page heap; NULL: not in this world. */
	void (*use_heap_only)(void);
};

/* Of the program. */
extern const struct world world;

/*
 * Main of a sweep: PROGRAM [--full] sweeps all scenarios, every n with --full, else `runs` of them
 * for each scenario and mode, from a random one on. PROGRAM SCENARIO N MODE makes one run, in the
 * process itself, for a debugger.
 */
int sweep_main(int argc, char **argv, const char *name, unsigned runs);

#endif
