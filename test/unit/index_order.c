/* SPDX-License-Identifier: MIT */
/*
 * large/index.c itself, not a model of it, in the memory of weak.h: all sequences of a few changes
 * around a block that stays, and for each all that a look-up of that block without the lock may find.
 */
#include "choices.h"
#include "must.h"
#include "suite.h"
#include "weak.h"

static void *arena_alloc(size_t bytes);
static void arena_free(void *record, size_t bytes);
#define vm_meta_alloc arena_alloc
#define vm_meta_free arena_free
#include "large/index.c"

#include "large/ranges.h"

#include <stdio.h>

enum { BLOCKS = 4, MINE = 0, STEPS = 4, SLOTS = 1 << SLOTS_LEAST_SHIFT };
enum { WRITER, READER };

static char arena[64 << 10] ALIGNED_TO_LINE;
static size_t arena_used;

static void *arena_alloc(size_t bytes)
{
	void *record = arena + arena_used;
	arena_used += align_up(bytes, CACHE_LINE);
	must(arena_used <= sizeof arena);
	return record;
}

static void arena_free(void *record, size_t bytes)
{
	(void)record;
	(void)bytes;
}

static struct index index_;
static struct range ranges[BLOCKS];
static bool in[BLOCKS];
static enum weak_flaw flaw_of_memory;
static size_t wrong;
static size_t nothing;

/* The `nth` start whose home in the first table is `slot`. */
static uintptr_t start_with_home(size_t slot, size_t nth)
{
	static uintptr_t starts[SLOTS][BLOCKS];
	const struct index_table first = {.shift = 64 - SLOTS_LEAST_SHIFT};
	uintptr_t *known = starts[slot];
	for (uintptr_t start = PAGE_BYTES, count = 0; !known[BLOCKS - 1]; start += PAGE_BYTES)
		if (home(&first, start) == slot)
			known[count++] = start;
	return known[nth];
}

static void insert(size_t block)
{
	must(vm_index_reserve(&index_, index_.count + 1));
	vm_index_insert(&index_, ranges[block].start, &ranges[block]);
	in[block] = true;
}

static void remove_block(size_t block)
{
	vm_index_remove(&index_, ranges[block].start);
	in[block] = false;
}

/* A change of what stands around MINE; the last one is a larger table. */
static void change(void)
{
	size_t block = 1 + choose(BLOCKS);
	if (block == BLOCKS)
		must(vm_index_reserve(&index_, SLOTS));
	else if (in[block])
		remove_block(block);
	else
		insert(block);
}

/* MINE is at home in the second slot, the others there or beside it, also round the table's end. */
static void choose_starts(void)
{
	ranges[MINE].start = start_with_home(1, MINE);
	for (size_t block = 1; block < BLOCKS; block++)
		ranges[block].start = start_with_home((SLOTS - 1 + choose(4)) % SLOTS, block);
}

static void changes_and_a_look_up(void)
{
	weak_begin(flaw_of_memory);
	arena_used = 0;
	index_ = (struct index){.count = 0};
	memset(in, 0, sizeof in);
	choose_starts();
	if (choose(2))
		insert(1);
	insert(MINE);
	weak_hand_over_to(READER);
	for (size_t steps = choose(STEPS + 1); steps; steps--)
		change();
	must(vm_index_find(&index_, ranges[MINE].start) == &ranges[MINE]);

	weak_become(READER);
	struct range *found = vm_index_find(&index_, ranges[MINE].start);
	wrong += found && found != &ranges[MINE];
	nothing += !found;
}

static size_t explore(enum weak_flaw flaw)
{
	wrong = nothing = 0;
	flaw_of_memory = flaw;
	size_t runs = choices_all(changes_and_a_look_up);
	fprintf(stderr, "%zu look-ups: %zu found another's range, %zu nothing\n", runs, wrong, nothing);
	return wrong;
}

START_TEST(a_look_up_without_the_lock_finds_its_range_or_nothing)
{
	must(!explore(WEAK_SOUND));
	must(nothing);
}
END_TEST

START_TEST(it_would_find_anothers_range_if_the_memory_kept_less_order)
{
	for (enum weak_flaw flaw = WEAK_SOUND + 1; flaw < WEAK_FLAWS; flaw++)
		must(explore(flaw));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_look_up_without_the_lock_finds_its_range_or_nothing,
		it_would_find_anothers_range_if_the_memory_kept_less_order,
		NULL,
	};
	return suite_run("index_order", tests, 60);
}
