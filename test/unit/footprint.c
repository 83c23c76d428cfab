/* SPDX-License-Identifier: MIT */
/* meta/footprint.h: freed memory is kept as far as it does not raise the peak, in both heaps together. */
#include "fake_os.h"
#include "must.h"
#include "suite.h"

#include "large/large.h"
#include "meta/footprint.h"
#include "os/conf.h"
#include "os/os.h"
#include "small/pageheap.h"

#include <vmalloc.h>

static void setup(void)
{
	vm_os_init();
	vm_options.dirty_bytes = MIB;
	vm_os.memory_bytes = 0;
}

START_TEST(the_option_or_a_quarter_of_the_live_may_always_be_kept)
{
	setup();
	ck_assert_uint_eq(vm_footprint_note(FOOTPRINT_HEAP, 0, 0), MIB);
	ck_assert_uint_eq(vm_footprint_note(FOOTPRINT_HEAP, 3 * MIB, 5 * MIB), MIB);
	ck_assert_uint_eq(vm_footprint_note(FOOTPRINT_LARGE, 40 * MIB, 0), 10 * MIB);
}
END_TEST

START_TEST(below_the_peak_as_much_as_is_live_or_a_sixteenth_of_the_memory_may_be_kept)
{
	setup();
	vm_footprint_note(FOOTPRINT_HEAP, 100 * MIB, 0);
	ck_assert_uint_eq(vm_footprint_note(FOOTPRINT_HEAP, 70 * MIB, 30 * MIB), 30 * MIB);
	ck_assert_uint_eq(vm_footprint_note(FOOTPRINT_HEAP, 40 * MIB, 60 * MIB), 40 * MIB);
	ck_assert_uint_eq(vm_footprint_note(FOOTPRINT_HEAP, 0, 100 * MIB), MIB);
	vm_os.memory_bytes = 160 * MIB;
	ck_assert_uint_eq(vm_footprint_note(FOOTPRINT_HEAP, 0, 100 * MIB), 10 * MIB);
}
END_TEST

START_TEST(what_was_only_kept_below_the_peak_does_not_raise_it)
{
	setup();
	vm_footprint_note(FOOTPRINT_HEAP, 100 * MIB, 0);
	vm_footprint_note(FOOTPRINT_HEAP, 60 * MIB, 40 * MIB);
	vm_footprint_note(FOOTPRINT_HEAP, 80 * MIB, 40 * MIB);
	ck_assert_uint_eq(vm_footprint_note(FOOTPRINT_HEAP, 60 * MIB, 60 * MIB), 40 * MIB);
}
END_TEST

START_TEST(the_peak_is_that_of_both_together)
{
	setup();
	vm_footprint_note(FOOTPRINT_LARGE, 50 * MIB, 0);
	vm_footprint_note(FOOTPRINT_HEAP, 100 * MIB, 0);
	vm_footprint_note(FOOTPRINT_LARGE, 20 * MIB, 30 * MIB);
	ck_assert_uint_eq(vm_footprint_note(FOOTPRINT_HEAP, 60 * MIB, 40 * MIB), 40 * MIB);
	vm_footprint_note(FOOTPRINT_LARGE, 40 * MIB, 30 * MIB);
	ck_assert_uint_eq(vm_footprint_note(FOOTPRINT_HEAP, 60 * MIB, 40 * MIB), 20 * MIB);
}
END_TEST

START_TEST(that_one_has_grown_is_told_now_and_then)
{
	setup();
	vm_footprint_note(FOOTPRINT_LARGE, 50 * MIB, 0);
	vm_footprint_note(FOOTPRINT_LARGE, 0, 50 * MIB);
	uint64_t now_ms = 1000;
	ck_assert(!vm_footprint_exceeded(now_ms));
	vm_footprint_note(FOOTPRINT_HEAP, 10 * MIB, 0);
	ck_assert(!vm_footprint_exceeded(now_ms + 1));
	ck_assert(vm_footprint_exceeded(now_ms + 100));
	ck_assert(!vm_footprint_exceeded(now_ms + 107));
	ck_assert(vm_footprint_exceeded(now_ms + 108));
	vm_footprint_note(FOOTPRINT_LARGE, 0, 40 * MIB);
	ck_assert(!vm_footprint_exceeded(now_ms + 300));
}
END_TEST

START_TEST(growth_is_told_once_and_by_its_part)
{
	size_t grown[FOOTPRINT_PARTS];
	ck_assert_uint_eq(vm_footprint_growth(grown), 0);
	vm_footprint_grown(FOOTPRINT_HEAP, MIB);
	vm_footprint_grown(FOOTPRINT_LARGE, 3 * MIB);
	vm_footprint_grown(FOOTPRINT_HEAP, PAGE_BYTES);
	ck_assert_uint_eq(vm_footprint_growth(grown), 4 * MIB + PAGE_BYTES);
	ck_assert_uint_eq(grown[FOOTPRINT_HEAP], MIB + PAGE_BYTES);
	ck_assert_uint_eq(grown[FOOTPRINT_LARGE], 3 * MIB);
	ck_assert_uint_eq(vm_footprint_growth(grown), 0);
	ck_assert_uint_eq(grown[FOOTPRINT_HEAP] + grown[FOOTPRINT_LARGE], 0);
}
END_TEST

START_TEST(no_more_is_owed_than_both_hold_above_what_was_ever_in_use)
{
	struct allowance allowance = {0};
	setup();
	vm_options.dirty_bytes = 64 * MIB;
	vm_footprint_note(FOOTPRINT_HEAP, 160 * MIB, 0);
	const size_t allowed = 160 * MIB + 10 * MIB + 512 * KIB;
	vm_footprint_note(FOOTPRINT_LARGE, 0, allowed - 160 * MIB);
	ck_assert_uint_eq(vm_footprint_owed(&allowance, 8 * MIB, 1), 0);
	vm_footprint_note(FOOTPRINT_LARGE, 0, allowed - 160 * MIB + 3 * MIB);
	ck_assert_uint_eq(vm_footprint_owed(&allowance, 8 * MIB, 1), 3 * MIB);
	ck_assert_uint_eq(vm_footprint_owed(&allowance, 2 * MIB, 1), 2 * MIB);
}
END_TEST

START_TEST(what_is_owed_but_not_allowed_is_unpaid)
{
	struct allowance allowance = {0};
	setup();
	vm_options.dirty_bytes = 4 * MIB;
	vm_footprint_note(FOOTPRINT_HEAP, 160 * MIB, 0);
	vm_footprint_note(FOOTPRINT_LARGE, 0, 10 * MIB + 512 * KIB - 3 * MIB);
	ck_assert(!vm_footprint_unpaid(&allowance, 160 * MIB, 1)); /* more were never live */
	vm_footprint_note(FOOTPRINT_HEAP, 100 * MIB, 60 * MIB);
	ck_assert(!vm_footprint_unpaid(&allowance, 7 * MIB, 1));
	ck_assert(vm_footprint_unpaid(&allowance, 7 * MIB + 1, 1));
	allowance_use(&allowance, 4 * MIB);
	ck_assert(!vm_footprint_unpaid(&allowance, 3 * MIB, 1));
	ck_assert(vm_footprint_unpaid(&allowance, 3 * MIB + 1, 1));
	/* No more than what comes into use. */
	vm_footprint_note(FOOTPRINT_LARGE, 0, 100 * MIB);
	ck_assert(!vm_footprint_unpaid(&allowance, 4 * MIB, 5000));
	ck_assert(vm_footprint_unpaid(&allowance, 4 * MIB + 1, 5000));
}
END_TEST

START_TEST(what_was_given_back_beyond_the_allowed_counts_for_the_periods_to_come)
{
	struct allowance allowance = {0};
	setup();
	vm_options.dirty_bytes = 10 * MIB;
	vm_options.decay_ms = 10; /* a period is four of them */
	vm_footprint_note(FOOTPRINT_HEAP, 2 * MIB, 0);
	ck_assert_uint_eq(vm_footprint_allowed(&allowance, GIB, 100), 4 * MIB);
	vm_footprint_note(FOOTPRINT_HEAP, 16 * MIB, 0);
	ck_assert_uint_eq(vm_footprint_allowed(&allowance, GIB, 100), 8 * MIB);
	vm_footprint_note(FOOTPRINT_HEAP, 160 * MIB, 0);
	ck_assert_uint_eq(vm_footprint_allowed(&allowance, GIB, 100), 10 * MIB);
	ck_assert_uint_eq(vm_footprint_allowed(&allowance, MIB, 100), MIB);
	allowance_use(&allowance, 9 * MIB);
	ck_assert_uint_eq(vm_footprint_allowed_from(&allowance), 0);
	ck_assert_uint_eq(vm_footprint_allowed(&allowance, GIB, 139), MIB);
	allowance_use(&allowance, 20 * MIB);
	ck_assert_uint_eq(vm_footprint_allowed_from(&allowance), 140);
	ck_assert_uint_eq(vm_footprint_allowed(&allowance, GIB, 139), 0);
	ck_assert_uint_eq(vm_footprint_allowed(&allowance, GIB, 140), 0);
	ck_assert_uint_eq(vm_footprint_allowed_from(&allowance), 180);
	ck_assert_uint_eq(vm_footprint_allowed(&allowance, GIB, 180), MIB);
}
END_TEST

static struct vm_stats figures(void)
{
	struct vm_stats stats = {0};
	vm_pageheap_stats(&stats);
	vm_large_stats(&stats);
	return stats;
}

START_TEST(where_one_heap_grows_the_other_gives_back)
{
	enum { RUNS = 30 };
	static struct run *runs[RUNS];
	size_t dirty;
	bool zeroed;

	setup();
	vm_os.memory_bytes = 1024 * MIB;
	must(vm_pageheap_init(true));
	void *block = vm_large_alloc(40 * MIB, 1, &dirty);
	must(vm_large_free(block));
	ck_assert_uint_eq(figures().large_dirty, 40 * MIB);
	for (size_t i = 0; i < RUNS; i++)
		runs[i] = vm_run_alloc(MIB / PAGE_BYTES, 1, &zeroed);
	ck_assert_uint_eq(figures().medium_live, RUNS * MIB);
	uint64_t now_ms = fake_os_advance(100);
	ck_assert(vm_footprint_exceeded(now_ms));
	vm_large_give_excess_back(now_ms);
	ck_assert_uint_le(figures().large_dirty, 10 * MIB);

	for (size_t i = 0; i < RUNS; i++)
		vm_run_free(runs[i]);
	ck_assert_uint_eq(figures().heap_free_dirty, RUNS * MIB);
	block = vm_large_alloc(35 * MIB, 1, &dirty);
	now_ms = fake_os_advance(100);
	ck_assert(vm_footprint_exceeded(now_ms));
	vm_pageheap_give_excess_back(now_ms);
	ck_assert_uint_le(figures().heap_free_dirty, 5 * MIB);
	must(vm_large_free(block));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		the_option_or_a_quarter_of_the_live_may_always_be_kept,
		below_the_peak_as_much_as_is_live_or_a_sixteenth_of_the_memory_may_be_kept,
		what_was_only_kept_below_the_peak_does_not_raise_it,
		the_peak_is_that_of_both_together,
		that_one_has_grown_is_told_now_and_then,
		growth_is_told_once_and_by_its_part,
		no_more_is_owed_than_both_hold_above_what_was_ever_in_use,
		what_is_owed_but_not_allowed_is_unpaid,
		what_was_given_back_beyond_the_allowed_counts_for_the_periods_to_come,
		where_one_heap_grows_the_other_gives_back,
		NULL,
	};
	return suite_run("footprint", tests, 60);
}
