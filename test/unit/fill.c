/* SPDX-License-Identifier: MIT */
/* large/fill.h through large/large.h over the fake kernel: which blocks are mapped to be filled by huge pages. */
#include "fake_maps.h"
#include "fake_os.h"
#include "must.h"
#include "suite.h"

#include "large/fill.h"
#include "large/large.h"
#include "os/conf.h"
#include "os/os.h"

#include <string.h>

static const size_t HUGE = 64 * KIB;
static const size_t PAGE = PAGE_BYTES;

static void setup(void)
{
	vm_os_init();
	vm_conf_init();
	fake_os.huge_bytes = HUGE;
	vm_os_find_huge_pages(); /* as the heap has done */
}

static char *alloc(size_t bytes)
{
	char *block = vm_large_alloc(bytes, 16, NULL);
	must(block);
	return block;
}

/* Writes to one byte of so many pages, from the first on, and to the last one. */
static char *alloc_written(size_t bytes, size_t each)
{
	char *block = alloc(bytes);
	for (size_t at = 0; at < bytes; at += each * PAGE)
		block[at] = 1;
	block[bytes - 1] = 1;
	fake_os_touch(block, bytes);
	return block;
}

/* With nothing kept, so that what comes next is mapped. */
static void drop(char *block)
{
	must(vm_large_park(block, 0) || vm_large_free(block));
	vm_large_trim();
}

static void fill_and_drop(int blocks, size_t bytes)
{
	for (int i = 0; i < blocks; i++)
		drop(alloc_written(bytes, 1));
}

/* Whether new blocks of so many bytes are to be filled by huge pages; one of two may have none all the same. */
static bool is_advised(size_t bytes)
{
	uint64_t before = fake_os.huge_advices;
	fill_and_drop(2, bytes);
	return fake_os.huge_advices > before;
}

/* That without a block. */
static bool is_expected(void)
{
	return vm_fill_expected(6 * HUGE, MIB) || vm_fill_expected(6 * HUGE, MIB);
}

/* As if so many blocks had been filled. */
static void judge_filled(int blocks)
{
	char *block = alloc_written(3 * HUGE, 1);
	for (int i = 1; i < blocks; i++)
		vm_fill_judge(block, 3 * HUGE);
	drop(block); /* and once more */
}

START_TEST(after_two_filled_blocks_the_next_has_huge_pages)
{
	setup();
	fill_and_drop(1, MIB);
	char *second = alloc_written(MIB, 1);
	ck_assert_uint_eq(fake_os.huge_advices, 0);
	drop(second);
	ck_assert(is_advised(MIB));
}
END_TEST

START_TEST(of_blocks_that_stay_the_one_before_is_looked_at)
{
	setup();
	for (int i = 0; i < 2; i++)
		alloc_written(MIB, 1);
	ck_assert_uint_eq(fake_os.huge_advices, 0);
	for (int i = 0; i < 2; i++)
		alloc_written(MIB, 1);
	ck_assert_uint_gt(fake_os.huge_advices, 0);
}
END_TEST

START_TEST(a_block_that_is_filled_while_others_are_mapped_by_huge_pages_is_looked_at_again)
{
	setup();
	judge_filled(20);
	char *before = alloc(8 * HUGE);
	for (int i = 0; i < 200; i++) { /* each is filled when the next is there */
		char *block = alloc(8 * HUGE);
		memset(before, 1, 8 * HUGE);
		before = block;
	}
	ck_assert_uint_gt(fake_os.huge_advices, 160);
}
END_TEST

START_TEST(of_blocks_that_stay_what_is_not_filled_as_yet_tells_nothing)
{
	setup();
	for (int i = 0; i < 10; i++)
		alloc(MIB);
	judge_filled(2);
	ck_assert(is_expected());
}
END_TEST

START_TEST(of_blocks_that_stay_half_must_be_filled)
{
	setup();
	for (int i = 0; i < 60; i++)
		alloc_written(MIB, i % 3 == 0 ? 1 : 16);
	ck_assert_uint_eq(fake_os.huge_advices, 0);
}
END_TEST

START_TEST(a_block_that_was_looked_at_before_it_was_freed_counts_once)
{
	setup();
	char *block = alloc_written(MIB, 1);
	alloc(MIB);
	must(vm_large_park(block, 0));
	ck_assert(!is_expected());
}
END_TEST

START_TEST(the_block_before_is_looked_at_in_its_own_length)
{
	setup();
	alloc_written(8 * HUGE, 1);
	alloc_written(2 * HUGE, 1);
	alloc_written(2 * HUGE, 1);
	ck_assert(is_expected());
	/* Four times the longest filled one is trusted. */
	ck_assert(vm_fill_expected(32 * HUGE, MIB) || vm_fill_expected(32 * HUGE, MIB));
}
END_TEST

START_TEST(the_block_before_is_looked_at_to_its_end)
{
	setup();
	alloc_written(8 * HUGE, 1);
	memset(alloc(8 * HUGE), 1, 4 * HUGE);
	alloc_written(2 * HUGE, 1);
	ck_assert(!is_expected());
}
END_TEST

START_TEST(of_short_blocks_that_stay_none_is_looked_at)
{
	setup();
	for (int i = 0; i < 10; i++)
		alloc_written(2 * HUGE - PAGE, 1);
	ck_assert(!is_expected());
}
END_TEST

START_TEST(a_block_that_was_freed_is_not_looked_at_again)
{
	setup();
	size_t dirty;
	char *block = alloc_written(MIB, 1);
	must(vm_large_park(block, 0));
	must(vm_large_alloc(MIB, 64 * MIB, &dirty));
	ck_assert_uint_eq(fake_os_resident_bytes(block, MIB), MIB);
	ck_assert(!is_expected());
}
END_TEST

START_TEST(blocks_of_less_than_two_huge_pages_have_none)
{
	setup();
	fill_and_drop(2, MIB);
	char *live = alloc(MIB);
	ck_assert(!is_advised(2 * HUGE - PAGE));
	ck_assert(is_advised(2 * HUGE));
	drop(live);
}
END_TEST

START_TEST(blocks_of_less_than_two_huge_pages_tell_nothing)
{
	setup();
	fill_and_drop(10, 2 * HUGE - PAGE);
	ck_assert(!is_advised(MIB));
}
END_TEST

START_TEST(where_little_is_live_there_are_no_huge_pages)
{
	setup();
	fill_and_drop(2, MIB);
	ck_assert(is_advised(4 * HUGE));
	ck_assert(!is_advised(4 * HUGE - PAGE));
}
END_TEST

START_TEST(a_block_that_was_not_filled_stands_for_eight)
{
	setup();
	judge_filled(20);
	ck_assert(is_expected());
	drop(alloc(3 * HUGE)); /* too little is live for huge pages */
	ck_assert(!is_expected());
	judge_filled(1);
	ck_assert(!is_expected());
	judge_filled(1);
	ck_assert(is_expected());
}
END_TEST

START_TEST(any_number_that_were_not_filled_stands_for_eight_below_none)
{
	setup();
	for (int i = 0; i < 10; i++)
		drop(alloc(3 * HUGE));
	judge_filled(9);
	ck_assert(!is_expected());
	judge_filled(1);
	ck_assert(is_expected());
}
END_TEST

START_TEST(one_block_in_eight_has_no_huge_pages)
{
	setup();
	judge_filled(2);
	fill_and_drop(800, 6 * HUGE);
	ck_assert_uint_gt(fake_os.huge_advices, 690);
	ck_assert_uint_lt(fake_os.huge_advices, 710);
}
END_TEST

START_TEST(while_huge_pages_take_long_no_block_has_them)
{
	setup();
	judge_filled(20);
	fake_os.cpu_us_a_look = 2000;
	fill_and_drop(50, 6 * HUGE);
	ck_assert_uint_eq(fake_os.huge_advices, 1);
	fake_os.cpu_us_a_look = 0;
	fake_os_advance(1000);
	ck_assert(is_advised(6 * HUGE));
}
END_TEST

START_TEST(sparse_blocks_between_filled_ones_are_found_out)
{
	for (int period = 2; period <= 8; period++) {
		setup();
		judge_filled(20);
		uint64_t before = fake_os.huge_advices;
		for (int i = 0; i < 200; i++)
			drop(alloc_written(6 * HUGE, i % period ? 16 : 1));
		ck_assert_uint_lt(fake_os.huge_advices, before + 40);
	}
}
END_TEST

START_TEST(no_more_than_sixteen_are_trusted_at_a_time)
{
	setup();
	judge_filled(20);
	for (int i = 0; i < 100; i++) {
		uint64_t before = fake_os.huge_advices;
		char *block = alloc(6 * HUGE);
		if (fake_os.huge_advices > before)
			memset(block, 1, 6 * HUGE); /* all of it is there, however little is used */
	}
	ck_assert_uint_eq(fake_os.huge_advices, 16);
}
END_TEST

START_TEST(a_program_that_goes_over_to_sparse_blocks_is_found_out)
{
	setup();
	judge_filled(20);
	for (int i = 0; i < 80; i++)
		drop(alloc_written(6 * HUGE, 16));
	ck_assert_uint_gt(fake_os.huge_advices, 0);
	ck_assert_uint_le(fake_os.huge_advices, 16);
}
END_TEST

START_TEST(a_byte_in_some_pages_does_not_fill_a_block)
{
	setup();
	for (size_t each = 2; each <= 32; each++) {
		judge_filled(20);
		ck_assert(is_expected());
		char *block = alloc_written(4 * MIB, each);
		vm_fill_judge(block, 4 * MIB);
		ck_assert(!is_expected());
		drop(block);
	}
}
END_TEST

/* Whether a block that is written to but for [from, to) is a filled one. */
static bool is_filled_but_for(size_t bytes, size_t from, size_t to)
{
	char *block = alloc(bytes);
	memset(block, 1, from);
	memset(block + to, 1, bytes - to);
	judge_filled(20);
	vm_fill_judge(block, bytes);
	drop(block);
	return is_expected();
}

START_TEST(a_block_without_its_last_page_or_a_quarter_is_not_filled)
{
	setup();
	ck_assert(!is_filled_but_for(4 * MIB, 4 * MIB - PAGE, 4 * MIB));
	for (size_t from = 0; from < 4 * MIB; from += MIB)
		ck_assert(!is_filled_but_for(4 * MIB, from, from + MIB));
	ck_assert(is_filled_but_for(4 * MIB, MIB, MIB));
}
END_TEST

START_TEST(a_block_with_huge_pages_tells_nothing)
{
	setup();
	judge_filled(2);
	drop(alloc(6 * HUGE));
	ck_assert_uint_eq(fake_os.huge_advices, 1);
	ck_assert(is_expected());
}
END_TEST

/* As a free does. */
static void let_go(char *block)
{
	if (!vm_large_park(block, 0))
		must(vm_large_free(block));
}

START_TEST(memory_that_was_there_before_tells_nothing)
{
	setup();
	let_go(alloc_written(3 * HUGE, 1));
	for (int i = 0; i < 10; i++)
		let_go(alloc(3 * HUGE));
	vm_large_trim();
	ck_assert(!is_expected());
	judge_filled(1);
	ck_assert(is_expected());
}
END_TEST

START_TEST(a_parked_block_is_judged_once)
{
	setup();
	let_go(alloc_written(3 * HUGE, 1));
	for (int i = 0; i < 10; i++)
		let_go(vm_large_take_parked(3 * HUGE, 16, 0));
	ck_assert(!is_expected());
	vm_large_trim();
	judge_filled(1);
	ck_assert(is_expected());
}
END_TEST

START_TEST(a_block_that_grows_often_is_judged_once)
{
	setup();
	char *block = alloc_written(MIB, 1);
	for (size_t bytes = MIB; bytes < 2 * MIB; bytes += PAGE)
		must(block = vm_large_move(block, bytes));
	drop(block);
	ck_assert(!is_expected());
	judge_filled(1);
	ck_assert(is_expected());
}
END_TEST

START_TEST(blocks_more_than_four_times_as_long_as_any_filled_one_have_none)
{
	setup();
	fill_and_drop(2, MIB);
	uint64_t before = fake_os.huge_advices;
	for (int i = 0; i < 10; i++)
		drop(alloc(4 * MIB + 4 * PAGE));
	ck_assert_uint_eq(fake_os.huge_advices, before);
	judge_filled(10);
	ck_assert(is_advised(4 * MIB));
}
END_TEST

START_TEST(a_block_that_moves_is_judged)
{
	setup();
	judge_filled(1);
	char *block = alloc_written(MIB, 1);
	must(block = vm_large_move(block, MIB + 2 * HUGE)); /* too little more for a copy to pay */
	ck_assert(is_expected());
	drop(block);
}
END_TEST

/* The kernel may have cut the map all the same. */
START_TEST(what_an_advice_was_refused_for_counts_as_a_map_of_its_own)
{
	setup();
	fill_and_drop(2, MIB);
	alloc_written(MIB, 1);
	fake_os.huge_refused = true;
	for (int i = 0; i < 20; i++)
		alloc_written(MIB, 1);
	struct vm_stats stats = {0};
	vm_large_stats(&stats);
	ck_assert_uint_gt(stats.own_maps, 15);
}
END_TEST

START_TEST(maps_of_two_kinds_side_by_side_are_counted)
{
	setup();
	fill_and_drop(2, MIB);
	size_t maps = fake_maps.count;
	for (int i = 0; i < 50; i++) {
		alloc_written(MIB, 1);
		alloc_written(PAGE, 1);
	}
	struct vm_stats stats = {0};
	vm_large_stats(&stats);
	ck_assert_uint_ge(fake_maps.count, 30);
	ck_assert_uint_ge(stats.own_maps + maps, fake_maps.count);
}
END_TEST

/* Each of these is a map of its own, for all that the model knows. */
START_TEST(no_more_than_a_part_of_the_budget_goes_to_huge_pages)
{
	enum { LIMIT = 1500 };
	fake_os.map_limit = LIMIT;
	setup();
	fill_and_drop(2, MIB);
	for (int i = 0; i < LIMIT; i++)
		alloc_written(2 * HUGE, 1);
	struct vm_stats stats = {0};
	vm_large_stats(&stats);
	ck_assert_uint_gt(fake_os.huge_advices, 40);
	ck_assert_uint_lt(stats.own_maps, LIMIT / 10);
}
END_TEST

static void setup_unknown(void)
{
	vm_os_init();
	vm_conf_init();
	fake_os.huge_bytes = HUGE;
}

START_TEST(whether_there_are_huge_pages_is_looked_up_for_long_blocks)
{
	setup_unknown();
	fill_and_drop(10, 4 * MIB - PAGE);
	ck_assert_uint_eq(fake_os.huge_looks, 0);
	fill_and_drop(2, 4 * MIB);
	ck_assert(is_advised(MIB));
}
END_TEST

static size_t resident_bytes_when_mapped(size_t *dirty)
{
	fake_os.huge_advices = 0;
	void *block = vm_large_alloc(6 * HUGE, 16, dirty);
	must(block && fake_os.huge_advices == 1);
	return fake_os_resident_bytes(block, 6 * HUGE);
}

START_TEST(huge_pages_are_there_at_once_unless_the_block_is_to_be_zero)
{
	setup();
	judge_filled(8);
	size_t dirty;
	ck_assert_uint_eq(resident_bytes_when_mapped(&dirty), 0);
	ck_assert_uint_eq(dirty, 0);
	ck_assert_uint_gt(resident_bytes_when_mapped(NULL), 0);
}
END_TEST

START_TEST(it_is_not_looked_up_where_an_option_says_so)
{
	setup_unknown();
	vm_options.huge_pages = false;
	fill_and_drop(10, 4 * MIB);
	vm_options.huge_pages = true;
	vm_options.map_count = false;
	fill_and_drop(10, 4 * MIB);
	ck_assert_uint_eq(fake_os.huge_looks, 0);
	ck_assert(!is_advised(4 * MIB));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		after_two_filled_blocks_the_next_has_huge_pages,
		of_blocks_that_stay_the_one_before_is_looked_at,
		a_block_that_is_filled_while_others_are_mapped_by_huge_pages_is_looked_at_again,
		of_blocks_that_stay_what_is_not_filled_as_yet_tells_nothing,
		of_blocks_that_stay_half_must_be_filled,
		a_block_that_was_looked_at_before_it_was_freed_counts_once,
		the_block_before_is_looked_at_in_its_own_length,
		the_block_before_is_looked_at_to_its_end,
		of_short_blocks_that_stay_none_is_looked_at,
		a_block_that_was_freed_is_not_looked_at_again,
		blocks_of_less_than_two_huge_pages_have_none,
		blocks_of_less_than_two_huge_pages_tell_nothing,
		where_little_is_live_there_are_no_huge_pages,
		a_block_that_was_not_filled_stands_for_eight,
		any_number_that_were_not_filled_stands_for_eight_below_none,
		one_block_in_eight_has_no_huge_pages,
		while_huge_pages_take_long_no_block_has_them,
		sparse_blocks_between_filled_ones_are_found_out,
		no_more_than_sixteen_are_trusted_at_a_time,
		a_program_that_goes_over_to_sparse_blocks_is_found_out,
		a_byte_in_some_pages_does_not_fill_a_block,
		a_block_without_its_last_page_or_a_quarter_is_not_filled,
		a_block_with_huge_pages_tells_nothing,
		memory_that_was_there_before_tells_nothing,
		a_parked_block_is_judged_once,
		a_block_that_grows_often_is_judged_once,
		blocks_more_than_four_times_as_long_as_any_filled_one_have_none,
		a_block_that_moves_is_judged,
		what_an_advice_was_refused_for_counts_as_a_map_of_its_own,
		maps_of_two_kinds_side_by_side_are_counted,
		no_more_than_a_part_of_the_budget_goes_to_huge_pages,
		whether_there_are_huge_pages_is_looked_up_for_long_blocks,
		huge_pages_are_there_at_once_unless_the_block_is_to_be_zero,
		it_is_not_looked_up_where_an_option_says_so,
		NULL,
	};
	return suite_run("fill", tests, 60);
}
