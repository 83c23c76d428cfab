/* SPDX-License-Identifier: MIT */
/* small/huge.h, through the page heap: which huge pages are asked for as the heap grows and time passes. */
#include "fake_os.h"
#include "must.h"
#include "suite.h"

#include "base/sizeclass.h"
#include "os/conf.h"
#include "os/os.h"
#include "small/huge.h"
#include "small/pageheap.h"

#include <string.h>

#include <vmalloc.h>

enum { HUGE_BYTES = 64 * 1024, HUGE_IN_PAGES = HUGE_BYTES / PAGE_BYTES };

/* A heap of so many huge pages has some begun, if it was filled; one of so many is large. */
enum { BEGINS = 16, LARGE = 40 };

static void setup_heap(void)
{
	fake_os.huge_bytes = HUGE_BYTES;
	vm_os_init();
	vm_options.decay_ms = 1000;
	must(vm_pageheap_init(true));
}

/* However small the heap is. */
static void setup(void)
{
	setup_heap();
	vm_huge_find(MIB);
}

static struct vm_stats stats(void)
{
	struct vm_stats figures = {0};
	vm_pageheap_stats(&figures);
	return figures;
}

static size_t live_bytes(void)
{
	struct vm_stats figures = stats();
	return figures.heap_mapped - figures.heap_free_dirty - figures.heap_free_clean;
}

static size_t bytes_of(const struct run *run)
{
	return (size_t)run->pages << PAGE_SHIFT;
}

static struct run *take_run(size_t pages)
{
	bool zeroed;
	struct run *run = vm_run_alloc(pages, 1, &zeroed);
	must(run);
	huge_make();
	return run;
}

static struct run *take_slab(size_t size)
{
	struct run *slab = vm_run_alloc_slab(class_of_size(size), 0);
	must(slab);
	huge_make();
	return slab;
}

/* Memory comes under all pages of a run but the first so many of each huge page. */
static void write_to(const struct run *run, size_t holes)
{
	for (uintptr_t at = run->start; at < run->start + bytes_of(run); at += PAGE_BYTES)
		if (at % HUGE_BYTES >= holes << PAGE_SHIFT)
			*(char *)at = 1;
}

/* Slabs of a size, until so many huge pages are in use. */
static void grow_by(size_t size, size_t huge_pages, size_t holes)
{
	while (live_bytes() < huge_pages * HUGE_BYTES)
		write_to(take_slab(size), holes);
}

static void grow(size_t huge_pages, size_t holes)
{
	grow_by(64, huge_pages, holes);
}

/* The huge page that so many whole ones lie below, in the region. */
static char *huge_page(size_t index)
{
	return (char *)align_up(vm_regions[0].base, HUGE_BYTES) + index * HUGE_BYTES;
}

/* How many whole ones lie below what was taken last, of a heap that has nothing free but its end. */
static size_t passed(void)
{
	return (size_t)((char *)vm_regions[0].base + live_bytes() - 1 - huge_page(0)) / HUGE_BYTES;
}

static size_t times_asked(size_t index)
{
	size_t count = 0;
	for (uint64_t i = 0; i < fake_os.huge_pages && i < sizeof fake_os.huge_asked / sizeof fake_os.huge_asked[0]; i++)
		count += fake_os.huge_asked[i] == huge_page(index);
	return count;
}

enum { SLABS_MOST = 2000 };
static struct run *slabs[SLABS_MOST];

/* The same, of 64 B, in `slabs`; how many. */
static size_t take_slabs(size_t huge_pages, size_t holes)
{
	size_t count = 0;
	while (live_bytes() < huge_pages * HUGE_BYTES) {
		must(count < SLABS_MOST);
		slabs[count] = take_slab(64);
		write_to(slabs[count++], holes);
	}
	return count;
}

static size_t fill_heap(size_t huge_pages)
{
	return take_slabs(huge_pages, 0);
}

/* Their memory comes when all of them are there. */
static void fill_heap_late(size_t huge_pages)
{
	size_t count = take_slabs(huge_pages, HUGE_IN_PAGES);
	while (count)
		write_to(slabs[--count], 0);
}

/* Frees the last of so many until so many huge pages are in use, and lowers the break. */
static void shrink(size_t count, size_t huge_pages)
{
	while (live_bytes() > huge_pages * HUGE_BYTES)
		vm_run_free_slab(slabs[--count]);
	vm_pageheap_trim(0);
}

static void purge_all(void)
{
	fake_os_advance(10 * vm_options.decay_ms);
	vm_pageheap_tick(fake_os.now_ms);
	huge_make();
	ck_assert_uint_eq(stats().heap_free_dirty, 0);
}

static void tick(void)
{
	vm_pageheap_tick(fake_os_advance(vm_options.decay_ms));
	huge_make();
}

START_TEST(a_heap_of_less_than_four_huge_pages_has_none)
{
	setup();
	grow(3, 0);
	for (int i = 0; i < 10; i++)
		tick();
	ck_assert_uint_eq(fake_os.huge_pages, 0);
}
END_TEST

START_TEST(what_is_filled_becomes_huge_when_the_heap_has_grown_past)
{
	setup();
	grow(BEGINS - 1, 0);
	ck_assert_uint_eq(fake_os.huge_begun, 0);
	for (size_t i = 0; i < passed() - 1; i++)
		ck_assert_uint_ge(times_asked(i), 1);
	ck_assert_uint_eq(times_asked(passed() - 1), 0);
	ck_assert_uint_eq(times_asked(passed()), 0);
	vm_pageheap_check();
}
END_TEST

START_TEST(what_was_filled_too_late_for_the_first_look_becomes_huge_at_the_second)
{
	enum { SLABS = 5 }; /* of half a huge page each */
	const struct run *late[SLABS] = {NULL};
	setup();
	ck_assert_uint_eq(vm_classes[class_of_size(64)].pages, HUGE_IN_PAGES / 2);
	for (size_t i = 0; live_bytes() < (BEGINS - 1) * HUGE_BYTES; i++) {
		if (late[i % SLABS])
			write_to(late[i % SLABS], 0);
		late[i % SLABS] = take_slab(64);
	}
	for (size_t i = 0; i < passed() - 3; i++)
		ck_assert_uint_eq(times_asked(i), 1);
	for (size_t i = passed() - 3; i <= passed(); i++)
		ck_assert_uint_eq(times_asked(i), 0);
}
END_TEST

START_TEST(two_more_are_made_for_one_that_the_heap_grows_by)
{
	setup();
	vm_os.huge_bytes = 0;
	grow(30, 0);
	vm_os.huge_bytes = HUGE_BYTES;
	for (size_t more = 1; more < 9; more++) {
		grow(30 + more, 0);
		for (size_t i = 0; i < 20; i++)
			ck_assert_uint_eq(times_asked(i), i < 2 * more);
	}
}
END_TEST

START_TEST(a_sixteenth_of_a_filled_huge_page_may_have_no_memory)
{
	setup();
	grow(BEGINS - 1, HUGE_IN_PAGES / 16);
	for (size_t i = 0; i < passed() - 1; i++)
		ck_assert_uint_ge(times_asked(i), 1);
}
END_TEST

START_TEST(what_has_less_memory_is_not_made_huge)
{
	setup();
	grow(LARGE, HUGE_IN_PAGES / 16 + 1);
	for (int i = 0; i < 10; i++)
		tick();
	ck_assert_uint_eq(fake_os.huge_pages, 0);
}
END_TEST

/* So many huge pages of slabs of a size, with memory under all their pages, and as many ticks. */
static uint64_t asked_for(size_t size, size_t huge_pages)
{
	grow_by(size, huge_pages, 0);
	for (size_t i = 0; i < huge_pages; i++)
		tick();
	return fake_os.huge_pages;
}

START_TEST(what_is_filled_with_blocks_of_64_kib_is_made_huge)
{
	setup();
	ck_assert_uint_gt(asked_for(64 * KIB, BEGINS - 1), 0);
}
END_TEST

START_TEST(what_is_filled_with_larger_blocks_is_not_made_huge)
{
	setup();
	ck_assert_uint_eq(asked_for(80 * KIB, BEGINS - 1), 0);
}
END_TEST

/* The same of slabs of a size and page runs, in turn, that fill a huge page together. */
static uint64_t asked_for_mixed(size_t size)
{
	while (live_bytes() < (BEGINS - 1) * HUGE_BYTES) {
		struct run *slab = take_slab(size);
		write_to(slab, 0);
		write_to(take_run(HUGE_IN_PAGES - slab->pages), 0);
	}
	for (size_t i = 0; i < BEGINS; i++)
		tick();
	return fake_os.huge_pages;
}

START_TEST(what_is_filled_with_smaller_blocks_by_half_is_made_huge)
{
	setup();
	must(vm_classes[class_of_size(64)].pages == HUGE_IN_PAGES / 2);
	ck_assert_uint_gt(asked_for_mixed(64), 0);
}
END_TEST

START_TEST(what_is_filled_with_smaller_blocks_by_a_quarter_is_not_made_huge)
{
	setup();
	must(vm_classes[class_of_size(32)].pages == HUGE_IN_PAGES / 4);
	ck_assert_uint_eq(asked_for_mixed(32), 0);
}
END_TEST

START_TEST(what_is_filled_with_larger_blocks_tells_that_the_heap_is_filled)
{
	setup();
	asked_for(80 * KIB, LARGE);
	ck_assert_uint_gt(fake_os.huge_begun, 0);
	ck_assert_uint_eq(fake_os.huge_begun, fake_os.huge_pages);
}
END_TEST

START_TEST(what_is_filled_with_page_runs_or_free_is_not_made_huge)
{
	setup();
	vm_options.dirty_bytes = SIZE_MAX;
	struct run *run = take_run(10 * HUGE_IN_PAGES);
	write_to(run, 0);
	write_to(take_run(10 * HUGE_IN_PAGES), 0);
	vm_run_free(run);
	for (int i = 0; i < 20; i++) {
		vm_pageheap_tick(fake_os_advance(vm_options.decay_ms / 20));
		huge_make();
	}
	ck_assert_uint_ge(stats().heap_free_dirty, 9 * HUGE_BYTES);
	ck_assert_uint_eq(fake_os.huge_pages, 0);
}
END_TEST

START_TEST(what_is_filled_later_is_made_huge_one_by_each_tick)
{
	setup();
	fill_heap_late(20);
	size_t all = passed() - 1;
	for (uint64_t asked = 0; asked < all; asked++) {
		ck_assert_uint_eq(fake_os.huge_pages, asked);
		tick();
		ck_assert_uint_eq(times_asked(asked), 1);
	}
	for (int i = 0; i < 33; i++) {
		tick();
		ck_assert_uint_eq(fake_os.huge_pages, all);
	}
	/* And once more all of them. */
	for (size_t i = 0; i < all; i++)
		tick();
	ck_assert_uint_eq(fake_os.huge_pages, 2 * all);
}
END_TEST

START_TEST(what_a_fork_made_shared_is_left_alone)
{
	setup();
	struct run *run = vm_run_alloc(20 * HUGE_IN_PAGES, 1, &(bool){false});
	write_to(run, 0);
	vm_pageheap_lock_for_fork();
	vm_pageheap_unlock_after_fork(false);
	size_t shared = (region_end(&vm_regions[0]) - (uintptr_t)huge_page(0) + HUGE_BYTES - 1) / HUGE_BYTES;
	for (int i = 0; i < 100; i++)
		tick();
	grow(shared + 10, 0);
	for (size_t i = 0; i < shared; i++)
		ck_assert_uint_eq(times_asked(i), 0);
	for (size_t i = shared; i < passed() - 3; i++)
		ck_assert_uint_ge(times_asked(i), 1);
}
END_TEST

START_TEST(what_comes_again_after_a_fork_is_shared_no_more)
{
	setup();
	size_t count = fill_heap(LARGE);
	vm_pageheap_lock_for_fork();
	vm_pageheap_unlock_after_fork(false);
	shrink(count, 6);
	fake_os.huge_pages = 0;
	grow(30, 0);
	for (size_t i = 10; i < passed() - 3; i++)
		ck_assert_uint_ge(times_asked(i), 1);
}
END_TEST

START_TEST(what_was_noted_before_a_fork_is_not_done)
{
	setup();
	grow(LARGE, 0);
	for (int i = 0; i < 6; i++)
		must(vm_run_alloc_slab(class_of_size(64), 0));
	ck_assert(vm_huge_noted);
	vm_pageheap_lock_for_fork();
	vm_pageheap_unlock_after_fork(true);
	fake_os.huge_pages = 0;
	huge_make();
	ck_assert_uint_eq(fake_os.huge_pages, 0);
}
END_TEST

START_TEST(what_was_given_back_at_the_top_and_comes_again_is_made_huge_again)
{
	setup();
	for (int round = 0; round < 3; round++) {
		fake_os.huge_pages = 0;
		size_t count = fill_heap(BEGINS - 1);
		/* The break goes up by more than is taken: what lies there is left to the ticks. */
		for (size_t i = 10; i < passed() - 1; i++)
			ck_assert_uint_ge(times_asked(i), 1);
		shrink(count, 6);
	}
}
END_TEST

START_TEST(while_huge_pages_take_long_none_is_asked_for_and_the_heap_is_known_all_the_same)
{
	setup();
	fake_os.cpu_us_a_look = 2000;
	grow(2 * BEGINS, 0);
	ck_assert_uint_eq(fake_os.huge_pages, 1);
	fake_os.cpu_us_a_look = 0;
	fake_os_advance(1000);
	uint64_t before = fake_os.huge_begun;
	grow(2 * BEGINS + 4, 0);
	ck_assert_uint_ge(fake_os.huge_begun, before + 3);
}
END_TEST

START_TEST(while_huge_pages_take_long_a_tick_goes_past_none)
{
	setup();
	fill_heap_late(8);
	fake_os.cpu_us_a_look = 2000000; /* a pause of 64 ticks */
	for (int i = 0; i < 60; i++)
		tick();
	ck_assert_uint_eq(fake_os.huge_pages, 1);
	fake_os_advance(10000);
	tick();
	ck_assert_uint_eq(times_asked(1), 1);
}
END_TEST

START_TEST(in_a_large_heap_none_is_looked_at_early)
{
	setup();
	grow(2 * BEGINS, HUGE_IN_PAGES / 2);
	fake_os.huge_pages = 0;
	size_t first = passed() + 1;
	grow(3 * BEGINS, 0);
	ck_assert_uint_ge(times_asked(first), 1);
	for (size_t i = passed() - 3; i <= passed(); i++)
		ck_assert_uint_eq(times_asked(i), 0);
}
END_TEST

START_TEST(a_heap_that_was_filled_begins_all_that_it_grows_by_but_one_in_16)
{
	setup();
	grow(BEGINS, 0);
	ck_assert_uint_eq(fake_os.huge_begun, 0);
	grow(4 * BEGINS, 0);
	/* One in four of the first is none, and fewer of the next. */
	ck_assert_uint_gt(fake_os.huge_begun, 3 * BEGINS * 3 / 4);
	ck_assert_uint_lt(fake_os.huge_begun, 44); /* 45 would be without one in 16 only */
	const uint64_t before = fake_os.huge_begun;
	uint64_t begun = before;
	for (int i = 0; i < 320;) {
		const struct run *slab = take_slab(64);
		write_to(slab, 0);
		bool starts_one = align_up(slab->start, HUGE_BYTES) < slab->start + bytes_of(slab);
		ck_assert_uint_le(fake_os.huge_begun, begun + starts_one);
		begun = fake_os.huge_begun;
		i += starts_one;
	}
	ck_assert_uint_eq(begun - before, 300);
	vm_pageheap_check();
}
END_TEST

START_TEST(a_heap_of_which_one_in_six_is_sparse_begins_none)
{
	setup();
	for (size_t i = 1; i < 4 * BEGINS; i++)
		grow(i, i % 6 ? 0 : HUGE_IN_PAGES / 8 + 1);
	ck_assert_uint_eq(fake_os.huge_begun, 0);
}
END_TEST

START_TEST(one_that_lacks_less_than_an_eighth_makes_up_for_one_that_is_filled)
{
	setup();
	for (size_t i = 1; i < 4 * BEGINS; i++)
		grow(i, i % 6 ? 0 : HUGE_IN_PAGES / 8);
	ck_assert_uint_gt(fake_os.huge_begun, BEGINS);
}
END_TEST

START_TEST(a_heap_that_goes_over_to_lacking_an_eighth_is_found_out)
{
	setup();
	grow(4 * BEGINS, 0);
	fake_os.huge_begun = 0;
	grow(20 * BEGINS, HUGE_IN_PAGES / 8);
	ck_assert_uint_lt(fake_os.huge_begun, 24);
}
END_TEST

/* How many are begun in vain by a heap that goes to and fro so many times. */
static uint64_t begun_to_and_fro(int times)
{
	size_t live = BEGINS;
	uint64_t in_vain = 0;
	for (int i = 0; i < times; i++) {
		grow(live += 30, 0);
		uint64_t before = fake_os.huge_begun;
		grow(live += 30, HUGE_IN_PAGES / 2);
		in_vain += fake_os.huge_begun - before;
	}
	return in_vain;
}

START_TEST(a_heap_that_goes_to_and_fro_begins_none_in_the_end)
{
	setup();
	ck_assert_uint_gt(begun_to_and_fro(3), 0);
	ck_assert_uint_eq(begun_to_and_fro(10), 0);
}
END_TEST

START_TEST(what_was_sparse_is_forgotten_in_time)
{
	setup();
	begun_to_and_fro(5);
	size_t live = live_bytes() / HUGE_BYTES;
	grow(live + 2000, 0);
	grow(live + 2100, HUGE_IN_PAGES / 2);
	fake_os.huge_begun = 0;
	grow(live + 2100 + LARGE, 0);
	ck_assert_uint_gt(fake_os.huge_begun, 0);
}
END_TEST

START_TEST(a_heap_of_which_all_lack_an_eighth_begins_none)
{
	setup();
	grow(4 * BEGINS, HUGE_IN_PAGES / 8);
	ck_assert_uint_eq(fake_os.huge_begun, 0);
}
END_TEST

START_TEST(what_was_begun_has_no_second_look)
{
	setup();
	grow(2 * LARGE, 0);
	size_t begun = 0;
	for (size_t i = LARGE; i < 2 * LARGE - 8; i++)
		begun += times_asked(i) == 1;
	ck_assert_uint_ge(begun, (LARGE - 8) * 7 / 8);
}
END_TEST

START_TEST(what_was_begun_has_no_second_look_in_the_next_pass_of_the_ticks_either)
{
	setup();
	grow(2 * LARGE, 0);
	size_t from = passed() - 3; /* the next to have one */
	for (size_t i = 0; i < 2 * (2 * LARGE + 33); i++)
		tick();
	fake_os.huge_pages = 0;
	size_t to = passed();
	grow(2 * LARGE + 8, 0);
	size_t asked = 0;
	for (size_t i = from; i <= to; i++)
		asked += times_asked(i);
	ck_assert_uint_le(asked, 1); /* a probe */
}
END_TEST

/* Of a huge page that was made and of which so many pages are given back then, how often it is cut. */
static uint64_t cuts_of_broken(size_t given_back)
{
	setup();
	fill_heap(LARGE);
	char *page = huge_page(LARGE / 2);
	must(times_asked(LARGE / 2) > 0);
	must(vm_os_purge(page, given_back * PAGE_BYTES));
	fake_os.broken_cuts = 0;
	for (size_t i = 0; i < 3 * (LARGE + 33); i++)
		tick();
	must(!fake_os.broken_cuts || fake_os.broken_cut == page);
	return fake_os.broken_cuts;
}

START_TEST(what_was_made_and_lost_half_of_it_is_cut_once)
{
	ck_assert_uint_eq(cuts_of_broken(HUGE_IN_PAGES / 2), 1);
}
END_TEST

START_TEST(what_was_made_and_lost_less_is_not_cut)
{
	ck_assert_uint_eq(cuts_of_broken(HUGE_IN_PAGES / 2 - 1), 0);
}
END_TEST

START_TEST(a_trim_cuts_what_lacks_a_part)
{
	setup();
	fill_heap(LARGE);
	char *page = huge_page(LARGE / 2);
	must(vm_os_purge(page + PAGE_BYTES, PAGE_BYTES));
	must(vm_os_purge(huge_page(LARGE / 2 + 1), HUGE_BYTES));
	vm_pageheap_trim(0);
	ck_assert_uint_eq(fake_os.broken_cuts, 1);
	ck_assert_ptr_eq(fake_os.broken_cut, page);
}
END_TEST

START_TEST(a_trim_cuts_none_where_none_was_made)
{
	setup();
	write_to(take_run(20 * HUGE_IN_PAGES), HUGE_IN_PAGES / 2);
	vm_pageheap_trim(0);
	ck_assert_uint_eq(fake_os.broken_cuts, 0);
}
END_TEST

START_TEST(what_was_not_made_is_not_cut)
{
	setup();
	write_to(take_run(20 * HUGE_IN_PAGES), HUGE_IN_PAGES / 2);
	for (size_t i = 0; i < 100; i++)
		tick();
	ck_assert_uint_eq(fake_os.broken_cuts, 0);
}
END_TEST

START_TEST(what_was_refused_is_looked_at_by_the_next_tick_that_comes_by)
{
	setup();
	fake_os.huge_refused = true;
	grow(8, 0);
	must(fake_os.huge_pages > 0);
	fake_os.huge_refused = false;
	fake_os.huge_pages = 0;
	for (size_t i = 0; i < 32 + passed(); i++)
		tick();
	for (size_t i = 0; i < passed() - 1; i++)
		ck_assert_uint_eq(times_asked(i), 1);
}
END_TEST

/* How often each was asked for that all looks but those at ticks have gone past. */
static size_t most_asked(void)
{
	size_t most = 0;
	for (size_t i = 0; i + 8 < passed(); i++)
		most = max_size(most, times_asked(i));
	return most;
}

START_TEST(what_was_made_is_not_looked_at_by_a_tick_before_all_others_were)
{
	setup();
	grow(LARGE, 0);
	uint64_t before = fake_os.huge_pages;
	size_t most = most_asked();
	size_t all = passed() - 1;
	for (size_t i = 0; i < all + 33; i++)
		tick();
	ck_assert_uint_eq(most_asked(), most);
	ck_assert_uint_le(fake_os.huge_pages, before + 8);
	for (size_t i = 0; i < all; i++)
		tick();
	ck_assert_uint_eq(most_asked(), most + 1);
	ck_assert_uint_ge(fake_os.huge_pages, before + all);
}
END_TEST

START_TEST(what_was_made_and_became_empty_is_looked_at_like_any_other)
{
	setup();
	size_t count = fill_heap(LARGE);
	size_t index = LARGE / 2;
	size_t asked = times_asked(index);
	must(asked > 0);
	for (size_t i = 0; i < count; i++)
		if ((char *)slabs[i]->start + bytes_of(slabs[i]) > huge_page(index) &&
		    (char *)slabs[i]->start < huge_page(index + 1))
			vm_run_free_slab(slabs[i]);
	purge_all();
	/* A page run begins none. */
	while (stats().heap_free_clean >= PAGE_BYTES && passed() <= LARGE) {
		struct run *run = take_run(1);
		if (run->start % HUGE_BYTES) {
			vm_run_free(run);
			run = take_slab(8);
		}
		write_to(run, 0);
	}
	for (int i = 0; i < 2 * LARGE; i++)
		tick();
	ck_assert_uint_gt(times_asked(index), asked);
}
END_TEST

START_TEST(what_was_to_be_begun_and_was_not_has_a_second_look)
{
	setup();
	grow(LARGE, 0);
	fake_os.huge_pages = 0;
	size_t first = passed() + 1;
	struct run *noted[8];
	for (size_t i = 0; i < 8; i++)
		noted[i] = vm_run_alloc_slab(class_of_size(64), 0);
	huge_make(); /* of which one is made */
	for (size_t i = 0; i < 8; i++)
		write_to(noted[i], 0);
	size_t last = passed();
	must(last >= first + 2);
	grow(2 * LARGE, 0);
	for (size_t i = first; i < last; i++)
		ck_assert_uint_ge(times_asked(i), 1);
}
END_TEST

START_TEST(a_heap_that_goes_over_to_sparse_blocks_is_found_out)
{
	setup();
	grow(LARGE, 0);
	fake_os.huge_begun = 0;
	grow(LARGE + 24, HUGE_IN_PAGES / 2);
	ck_assert_uint_lt(fake_os.huge_begun, 20);
	for (size_t i = 0; i < passed() + 33 + LARGE; i++)
		tick(); /* which finds filled what was filled before */
	fake_os.huge_begun = 0;
	grow(LARGE + 200, HUGE_IN_PAGES / 2);
	ck_assert_uint_eq(fake_os.huge_begun, 0);
	/* And back, after twice as many. */
	grow(LARGE + 240, 0);
	ck_assert_uint_gt(fake_os.huge_begun, 8);
	ck_assert_uint_lt(fake_os.huge_begun, 15);
}
END_TEST

START_TEST(a_heap_that_became_shorter_is_judged_anew)
{
	setup();
	shrink(fill_heap(80), BEGINS);
	fake_os.huge_begun = 0;
	grow(80, HUGE_IN_PAGES / 2);
	ck_assert_uint_lt(fake_os.huge_begun, 25);
}
END_TEST

START_TEST(a_heap_that_became_small_begins_none)
{
	setup();
	size_t count = fill_heap(LARGE);
	for (size_t i = 8; i < count - 2; i++)
		vm_run_free_slab(slabs[i]);
	purge_all();
	fake_os.huge_begun = 0;
	grow(BEGINS, 0);
	ck_assert_uint_eq(fake_os.huge_begun, 0);
	grow(2 * BEGINS, 0);
	ck_assert_uint_gt(fake_os.huge_begun, 0);
}
END_TEST

START_TEST(a_heap_whose_holes_are_filled_sparsely_is_found_out)
{
	setup();
	size_t count = fill_heap(20 * BEGINS);
	for (size_t i = 2 * BEGINS; i < count - 8; i++)
		if (i % 32)
			vm_run_free_slab(slabs[i]);
	purge_all();
	fake_os.huge_begun = 0;
	size_t before = live_bytes();
	size_t bytes = vm_pageheap_bytes();
	while (live_bytes() < before + 9 * BEGINS * HUGE_BYTES)
		write_to(take_slab(64), HUGE_IN_PAGES / 2);
	/* And back. */
	uint64_t begun = fake_os.huge_begun;
	grow(19 * BEGINS, 0);
	ck_assert_uint_eq(vm_pageheap_bytes(), bytes);
	ck_assert_uint_gt(fake_os.huge_begun, begun + 5);
	fake_os.huge_begun = begun;
	ck_assert_uint_ge(fake_os.huge_begun, 1);
	ck_assert_uint_lt(fake_os.huge_begun, 20);
}
END_TEST

START_TEST(after_a_fork_what_was_filled_before_tells_nothing)
{
	setup();
	size_t pages = 4 * BEGINS;
	grow(pages, 0);
	for (int forks = 0; forks < 7; forks++) {
		vm_pageheap_lock_for_fork();
		vm_pageheap_unlock_after_fork(false);
		fake_os.huge_begun = fake_os.huge_pages = 0;
		size_t shared = (region_end(&vm_regions[0]) - (uintptr_t)huge_page(0) + HUGE_BYTES - 1) / HUGE_BYTES;
		grow(pages += 7, 0);
		for (size_t i = 0; i < shared; i++)
			ck_assert_uint_eq(times_asked(i), 0);
		ck_assert_uint_eq(fake_os.huge_begun, 0);
	}
	grow(pages + 2 * BEGINS, 0);
	ck_assert_uint_gt(fake_os.huge_begun, 0);
}
END_TEST

START_TEST(what_was_passed_long_ago_tells_nothing_of_what_is_to_come)
{
	setup();
	vm_os.huge_bytes = 0;
	grow(20 * BEGINS, 0);
	vm_os.huge_bytes = HUGE_BYTES;
	grow(30 * BEGINS, HUGE_IN_PAGES / 2);
	ck_assert_uint_eq(fake_os.huge_begun, 0);
}
END_TEST

START_TEST(page_runs_begin_no_huge_page)
{
	setup();
	grow(LARGE, 0);
	fake_os.huge_begun = 0;
	for (int i = 0; i < 4 * HUGE_IN_PAGES; i++)
		write_to(take_run(1), 0);
	ck_assert_uint_eq(fake_os.huge_begun, 0);
}
END_TEST

/* So many slabs of one block that is as long as a huge page. */
static void take_single_slabs(int count, size_t holes)
{
	for (int i = 0; i < count; i++)
		write_to(take_slab(HUGE_BYTES), holes);
}

START_TEST(slabs_of_one_block_begin_them_as_others_do)
{
	setup();
	grow(LARGE, 0);
	fake_os.huge_begun = 0;
	take_single_slabs(20, 0);
	ck_assert_uint_gt(fake_os.huge_begun, 10);
	take_single_slabs(40, HUGE_IN_PAGES / 2);
	ck_assert_uint_lt(fake_os.huge_begun, 40);
	fake_os.huge_begun = 0;
	take_single_slabs(40, HUGE_IN_PAGES / 2);
	ck_assert_uint_eq(fake_os.huge_begun, 0);
}
END_TEST

/* The run of a huge page, in a heap that is large and begins all it grows by. */
static struct run *run_of_a_huge_page(void)
{
	setup();
	grow(LARGE, 0);
	struct run *run = vm_run_alloc(HUGE_IN_PAGES, HUGE_IN_PAGES, &(bool){false});
	must(run);
	grow(2 * LARGE, 0);
	while (stats().heap_free_clean)
		take_run(1);
	return run;
}

/* Whether the next slab, which comes of the only free run, begins one. */
static bool next_begins_one(void)
{
	fake_os.huge_begun = 0;
	take_slab(64);
	return fake_os.huge_begun > 0;
}

/* The same; or the one after it, for the first may be the probe, where all is given back in between. */
static bool next_two_begin_one(void)
{
	fake_os.huge_begun = 0;
	for (int i = 0; i < 2; i++) {
		vm_run_free_slab(take_slab(64));
		purge_all();
	}
	return fake_os.huge_begun > 0;
}

START_TEST(what_was_purged_whole_comes_back_as_a_huge_page)
{
	vm_run_free(run_of_a_huge_page());
	purge_all();
	ck_assert(next_two_begin_one());
}
END_TEST

START_TEST(what_was_purged_tells_nothing_of_what_is_to_come)
{
	vm_run_free(run_of_a_huge_page());
	purge_all();
	for (size_t i = 0; i < passed(); i++)
		tick();
	ck_assert(next_two_begin_one());
}
END_TEST

START_TEST(what_begins_with_memory_is_not_begun)
{
	vm_run_free(run_of_a_huge_page());
	purge_all();
	vm_run_free(take_run(1));
	ck_assert_uint_eq(stats().heap_free_dirty, PAGE_BYTES);
	ck_assert(!next_begins_one());
}
END_TEST

START_TEST(what_ends_with_memory_is_not_begun)
{
	vm_run_free(run_of_a_huge_page());
	struct run *first = take_run(HUGE_IN_PAGES - 1);
	struct run *last = take_run(1);
	vm_run_free(first);
	purge_all();
	vm_run_free(last);
	ck_assert_uint_eq(stats().heap_free_dirty, PAGE_BYTES);
	ck_assert(!next_begins_one());
}
END_TEST

START_TEST(what_is_shorter_is_not_begun)
{
	vm_run_free(run_of_a_huge_page());
	struct run *first = take_run(HUGE_IN_PAGES - 1);
	take_run(1);
	vm_run_free(first);
	purge_all();
	ck_assert(!next_begins_one());
}
END_TEST

START_TEST(what_a_tick_has_noted_waits_until_it_is_looked_at)
{
	setup();
	fill_heap_late(12);
	for (int i = 0; i < 5; i++)
		vm_pageheap_tick(fake_os_advance(vm_options.decay_ms));
	huge_make();
	tick();
	ck_assert_uint_eq(times_asked(0), 1);
	ck_assert_uint_eq(times_asked(1), 1);
	ck_assert_uint_eq(times_asked(2), 0);
}
END_TEST

/* How often it is looked whether there are any, by a heap that has become large. */
static uint64_t searches(void)
{
	setup_heap();
	grow(MIB / 2 / HUGE_BYTES, 0);
	ck_assert_uint_eq(fake_os.huge_looks, 0);
	grow(LARGE, 0);
	ck_assert_uint_eq(fake_os.huge_pages > 0, fake_os.huge_looks > 0);
	return fake_os.huge_looks;
}

START_TEST(huge_pages_are_looked_for_from_one_mebibyte_on)
{
	ck_assert_uint_eq(searches(), 1);
}
END_TEST

START_TEST(no_huge_pages_are_looked_for_where_the_option_says_so)
{
	vm_options.huge_pages = false;
	ck_assert_uint_eq(searches(), 0);
}
END_TEST

START_TEST(no_huge_pages_are_looked_for_where_no_file_is_to_be_opened)
{
	vm_options.map_count = false;
	ck_assert_uint_eq(searches(), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_heap_of_less_than_four_huge_pages_has_none,
		what_is_filled_becomes_huge_when_the_heap_has_grown_past,
		what_was_filled_too_late_for_the_first_look_becomes_huge_at_the_second,
		two_more_are_made_for_one_that_the_heap_grows_by,
		a_sixteenth_of_a_filled_huge_page_may_have_no_memory,
		what_has_less_memory_is_not_made_huge,
		what_is_filled_with_blocks_of_64_kib_is_made_huge,
		what_is_filled_with_larger_blocks_is_not_made_huge,
		what_is_filled_with_smaller_blocks_by_half_is_made_huge,
		what_is_filled_with_smaller_blocks_by_a_quarter_is_not_made_huge,
		what_is_filled_with_larger_blocks_tells_that_the_heap_is_filled,
		what_is_filled_with_page_runs_or_free_is_not_made_huge,
		what_is_filled_later_is_made_huge_one_by_each_tick,
		what_a_fork_made_shared_is_left_alone,
		what_comes_again_after_a_fork_is_shared_no_more,
		what_was_noted_before_a_fork_is_not_done,
		what_was_given_back_at_the_top_and_comes_again_is_made_huge_again,
		while_huge_pages_take_long_none_is_asked_for_and_the_heap_is_known_all_the_same,
		while_huge_pages_take_long_a_tick_goes_past_none,
		in_a_large_heap_none_is_looked_at_early,
		a_heap_that_was_filled_begins_all_that_it_grows_by_but_one_in_16,
		a_heap_of_which_one_in_six_is_sparse_begins_none,
		one_that_lacks_less_than_an_eighth_makes_up_for_one_that_is_filled,
		a_heap_that_goes_over_to_lacking_an_eighth_is_found_out,
		a_heap_that_goes_to_and_fro_begins_none_in_the_end,
		what_was_sparse_is_forgotten_in_time,
		a_heap_of_which_all_lack_an_eighth_begins_none,
		what_was_begun_has_no_second_look,
		what_was_begun_has_no_second_look_in_the_next_pass_of_the_ticks_either,
		what_was_made_and_lost_half_of_it_is_cut_once,
		what_was_made_and_lost_less_is_not_cut,
		what_was_not_made_is_not_cut,
		a_trim_cuts_what_lacks_a_part,
		a_trim_cuts_none_where_none_was_made,
		what_was_refused_is_looked_at_by_the_next_tick_that_comes_by,
		what_was_made_is_not_looked_at_by_a_tick_before_all_others_were,
		what_was_made_and_became_empty_is_looked_at_like_any_other,
		what_was_to_be_begun_and_was_not_has_a_second_look,
		a_heap_that_goes_over_to_sparse_blocks_is_found_out,
		a_heap_that_became_shorter_is_judged_anew,
		a_heap_that_became_small_begins_none,
		a_heap_whose_holes_are_filled_sparsely_is_found_out,
		after_a_fork_what_was_filled_before_tells_nothing,
		what_was_passed_long_ago_tells_nothing_of_what_is_to_come,
		page_runs_begin_no_huge_page,
		slabs_of_one_block_begin_them_as_others_do,
		what_was_purged_whole_comes_back_as_a_huge_page,
		what_was_purged_tells_nothing_of_what_is_to_come,
		what_begins_with_memory_is_not_begun,
		what_ends_with_memory_is_not_begun,
		what_is_shorter_is_not_begun,
		what_a_tick_has_noted_waits_until_it_is_looked_at,
		huge_pages_are_looked_for_from_one_mebibyte_on,
		no_huge_pages_are_looked_for_where_the_option_says_so,
		no_huge_pages_are_looked_for_where_no_file_is_to_be_opened,
		NULL,
	};
	return suite_run("huge", tests, 60);
}
