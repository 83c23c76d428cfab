/* SPDX-License-Identifier: MIT */
/* Others move the break: their memory is never touched, ours stays whole, allocation goes on. */
#define _GNU_SOURCE 1
#include "blocks.h"
#include "foreign.h"
#include "must.h"
#include "opaque.h"
#include "suite.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct foreign foreign;
static struct blocks blocks;

static void go_on(void)
{
	blocks_init(&blocks, 300, 300000, rng_process_seed());
	blocks_steps(&blocks, 2000);
	blocks_free(&blocks);
	foreign_check(&foreign);
}

START_TEST(foreign_growth_between_ours_is_never_touched)
{
	for (size_t i = 0; i < 12; i++) {
		grow_until_break_moves();
		ck_assert(foreign_grow(&foreign, 3000 + i * 1111));
	}
	go_on();
	grown_check();
	foreign_check(&foreign);
	grown_free();
	go_on();
}
END_TEST

START_TEST(growth_of_whole_pages_and_of_megabytes_is_never_touched)
{
	static const size_t sizes[] = { 4096, 1, 65536, 3 << 20, 4095, 16 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		grow_until_break_moves();
		ck_assert(foreign_grow(&foreign, sizes[i]));
		ck_assert(foreign_grow(&foreign, sizes[i]));
		go_on();
	}
	grown_check();
	grown_free();
	go_on();
}
END_TEST

START_TEST(the_break_is_never_lowered_past_foreign_memory)
{
	ck_assert(grow_until_break_moves());
	ck_assert(foreign_grow(&foreign, 10000));
	const char *end = sbrk(0);
	grown_free();
	malloc_trim(0);
	ck_assert_msg((const char *)sbrk(0) >= end, "the break was lowered past memory of others");
	foreign_check(&foreign);
	grow_until_break_moves();
	grown_free();
	malloc_trim(0);
	ck_assert_msg((const char *)sbrk(0) >= end, "the break was lowered past memory of others");
	go_on();
}
END_TEST

START_TEST(memory_below_foreign_memory_is_still_given_back)
{
	suite_skip_in_variant("purge-at-once", "nothing is left to give back");
	enum { COUNT = 200 };
	static void *held[COUNT];

	for (int i = 0; i < COUNT; i++)
		memset(held[i] = opaque(malloc(100000)), 1, 100000);
	ck_assert(foreign_grow(&foreign, 5000));
	for (int i = 0; i < COUNT; i++)
		free(held[i]);
	ck_assert_int_eq(malloc_trim(0), 1);
	go_on();
}
END_TEST

START_TEST(foreign_growth_and_shrink_without_ours_between_changes_nothing)
{
	ck_assert(grow_until_break_moves());
	for (int i = 0; i < 10; i++) {
		ck_assert(foreign_grow(&foreign, 50000));
		ck_assert(foreign_grow(&foreign, 777));
		foreign_shrink(&foreign);
		foreign_shrink(&foreign);
		go_on();
	}
	grown_check();
	ck_assert_msg(grow_until_break_moves(), "the break is free again but not used");
	grown_check();
	grown_free();
}
END_TEST

/* Small blocks take few pages at a time, so each free page of ours is used before the break moves again. */
static void take_all_free_pages(void)
{
	enum { COUNT = 8000 };
	static struct block held[COUNT];
	struct rng rng = rng_make(1);

	for (size_t i = 0; i < COUNT; i++)
		held[i] = block_make(&rng, 300);
	for (size_t i = 0; i < COUNT; i++)
		block_end(&held[i]);
}

/*
 * Believing that it gives its own memory back, the other user cuts the top of ours. Here the top is
 * free: the break moved just now. What is cut must not be handed out again as if it were there.
 */
START_TEST(a_foreign_shrink_after_our_growth_is_noticed)
{
	ck_assert(grow_until_break_moves());
	ck_assert(foreign_grow(&foreign, 65536));
	grow_until_break_moves();
	ck_assert_ptr_ne(sbrk(-65536), (void *)-1);
	foreign.count = 0;
	take_all_free_pages();
	go_on();
	grown_check();
	grown_free();
	malloc_trim(0);
	go_on();
}
END_TEST

START_TEST(a_foreign_shrink_into_our_free_top_is_noticed)
{
	grow_until_break_moves();
	ck_assert(grow_until_break_moves());
	ck_assert_ptr_ne(sbrk(-65536), (void *)-1);
	take_all_free_pages();
	go_on();
	grown_check();
	grown_free();
	go_on();
}
END_TEST

START_TEST(realloc_in_place_does_not_grow_into_what_a_foreign_shrink_took)
{
	suite_skip_in_variant("purge-at-once", "the top is given back already, and the cut would go into live blocks");
	enum { HELD = 400 << 10, FREED = 900 << 10, CUT = 800 << 10 };
	char *block = opaque(calloc(HELD, 1));
	void *behind = opaque(calloc(FREED, 1));

	free(behind);
	ck_assert_ptr_ne(sbrk(-CUT), (void *)-1);
	block = opaque(realloc(block, FREED));
	memset(block, 1, FREED);
	free(block);
	go_on();
}
END_TEST

START_TEST(an_odd_break_keeps_blocks_aligned)
{
	for (size_t odd = 1; odd < 40; odd += 7) {
		ck_assert(foreign_grow(&foreign, odd));
		grow_until_break_moves();
	}
	grown_check();
	go_on();
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		foreign_growth_between_ours_is_never_touched,
		growth_of_whole_pages_and_of_megabytes_is_never_touched,
		the_break_is_never_lowered_past_foreign_memory,
		memory_below_foreign_memory_is_still_given_back,
		foreign_growth_and_shrink_without_ours_between_changes_nothing,
		a_foreign_shrink_after_our_growth_is_noticed,
		a_foreign_shrink_into_our_free_top_is_noticed,
		realloc_in_place_does_not_grow_into_what_a_foreign_shrink_took,
		an_odd_break_keeps_blocks_aligned,
		NULL,
	};
	suite_skip_all_in_variant("no-break", "there is no break to share");
	return suite_main(argv, "break_foreign", tests, 20);
}
