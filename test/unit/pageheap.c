/* SPDX-License-Identifier: MIT */
/* small/pageheap.h against an oracle that knows the runs out and what lies in them. */
#include "fake_os.h"
#include "must.h"
#include "pattern.h"
#include "rng.h"
#include "suite.h"

#include "base/sizeclass.h"
#include "meta/footprint.h"
#include "meta/meta.h"
#include "os/conf.h"
#include "os/lifeboat.h"
#include "os/os.h"
#include "small/pageheap.h"
#include "small/purge.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmalloc.h>

enum { RUNS = 300, STEPS = 10000 };

struct held {
	struct run *run;
	uint64_t seed;
};

static struct held runs[RUNS];

static void setup(void)
{
	vm_os_init();
	vm_options.decay_ms = 1000;
	must(vm_pageheap_init(true));
}

static struct vm_stats stats(void)
{
	struct vm_stats figures = {0};
	vm_pageheap_stats(&figures);
	return figures;
}

static size_t heap_free(void)
{
	return stats().heap_free_dirty + stats().heap_free_clean;
}

static size_t bytes_of(const struct run *run)
{
	return (size_t)run->pages << PAGE_SHIFT;
}

/* Rules 1 to 4 by the tables alone, in any build: no gap, no free neighbours, the dirty counted,
 * and what is said to be clean reads as zeros. */
static void check(void)
{
	size_t dirty = 0;
	size_t free = 0;
	size_t used = 0;
	vm_pageheap_check();
	for (unsigned i = 0; i < vm_region_count; i++) {
		const struct region *region = &vm_regions[i];
		bool free_before = false;
		for (size_t page = 0; page < region->bytes >> PAGE_SHIFT;) {
			const struct run *run = region->run_of[page];
			must(run && run->start == region->base + (page << PAGE_SHIFT));
			must(run->pages && run->start + bytes_of(run) <= region_end(region));
			must(run->state != RUN_PURGING);
			bool is_free = run->state == RUN_FREE;
			size_t run_dirty = 0;
			for (size_t j = page; j < page + run->pages; j++) {
				run_dirty += region->dirty[j];
				must(region->class_of[j] ==
				     (run->state == RUN_SLAB ? run->class : CLASS_NONE));
				must(run->state != RUN_SLAB || region->run_of[j] == run);
				must(is_free || region->dirty[j]);
			}
			must(!(is_free && free_before));
			must(!is_free || run->dirty_pages == run_dirty);
			must(!is_free || region->run_of[page + run->pages - 1] == run);
			free += is_free ? bytes_of(run) : 0;
			dirty += is_free ? run_dirty << PAGE_SHIFT : 0;
			used += run->state == RUN_USED ? bytes_of(run) : 0;
			free_before = is_free;
			page += run->pages;
		}
	}
	struct vm_stats figures = stats();
	must(figures.heap_free_dirty == dirty);
	must(figures.heap_free_dirty + figures.heap_free_clean == free);
	must(figures.medium_live == used);
	must(figures.heap_mapped == vm_pageheap_bytes());
}

static void fill(struct held *held, uint64_t seed)
{
	held->seed = seed;
	pattern_fill((void *)held->run->start, bytes_of(held->run), seed);
}

static void expect_content(const struct held *held, size_t bytes)
{
	must(pattern_holds((void *)held->run->start, bytes, held->seed));
}

static void take(struct rng *rng, struct held *held)
{
	if (rng_below(rng, 4) == 0) {
		unsigned class = 1 + (unsigned)rng_below(rng, CLASS_COUNT - 1);
		held->run = vm_run_alloc_slab(class, 3);
		if (!held->run)
			return;
		must(held->run->state == RUN_SLAB && held->run->class == class);
		must(held->run->shard == 3 && held->run->pages == vm_classes[class].pages);
	} else {
		size_t pages = 1 + rng_size(rng, 200);
		size_t alignment = rng_below(rng, 3) ? 1 : (size_t)1 << rng_below(rng, 9);
		bool zeroed;
		held->run = vm_run_alloc(pages, alignment, &zeroed);
		if (!held->run)
			return;
		must(held->run->state == RUN_USED && held->run->pages == pages);
		must(held->run->start % (alignment << PAGE_SHIFT) == 0);
		must(!zeroed || pattern_is_zero((void *)held->run->start, bytes_of(held->run)));
	}
	must(fake_os_is_writable((void *)held->run->start, bytes_of(held->run)));
	fill(held, rng_next(rng));
}

static void give(struct held *held)
{
	expect_content(held, bytes_of(held->run));
	vm_run_free(held->run);
	held->run = NULL;
}

static void resize(struct rng *rng, struct held *held)
{
	size_t old = held->run->pages;
	size_t pages = 1 + rng_below(rng, 2 * old + 3);
	if (held->run->state == RUN_SLAB) {
		vm_run_from_slab(held->run);
		must(held->run->state == RUN_USED);
		return;
	}
	if (!vm_run_resize(held->run, pages))
		pages = old;
	must(held->run->pages == pages);
	expect_content(held, min_size(old, pages) << PAGE_SHIFT);
	fill(held, rng_next(rng));
}

static void find(struct rng *rng, const struct held *held)
{
	uintptr_t address = held->run->start + rng_below(rng, bytes_of(held->run));
	const struct region *region = region_of((void *)address);
	must(region && vm_run_holding(region, address) == held->run);
}

static void step(struct rng *rng)
{
	struct held *held = &runs[rng_below(rng, RUNS)];
	fake_os_advance(rng_below(rng, 5));
	switch (rng_below(rng, 12)) {
	case 0:
		vm_pageheap_tick(fake_os_advance(rng_below(rng, 400)));
		break;
	case 1:
		if (rng_below(rng, 20) == 0)
			vm_pageheap_trim(rng_size(rng, 4 * MIB));
		break;
	case 2:
	case 3:
	case 4:
		if (held->run)
			resize(rng, held);
		break;
	case 5:
		if (held->run)
			find(rng, held);
		break;
	default:
		if (held->run)
			give(held);
		else
			take(rng, held);
	}
}

static void run_steps(struct rng *rng, int steps)
{
	for (int i = 0; i < steps; i++) {
		step(rng);
		if (i % 100 == 0)
			check();
	}
	check();
}

static void give_all(void)
{
	for (size_t i = 0; i < RUNS; i++)
		if (runs[i].run)
			give(&runs[i]);
}

static void expect_empty_after_trim(void)
{
	give_all();
	vm_pageheap_trim(0);
	check();
	ck_assert_uint_eq(stats().heap_free_dirty, 0);
	ck_assert_uint_eq(heap_free(), vm_pageheap_bytes());
}

START_TEST(any_sequence_keeps_runs_apart_and_their_contents)
{
	setup();
	struct rng rng = rng_make(rng_process_seed());
	run_steps(&rng, STEPS);
	expect_empty_after_trim();
	ck_assert_uint_eq(vm_pageheap_bytes(), 0);
	ck_assert_ptr_eq(vm_os_break(), (void *)vm_regions[0].base);
}
END_TEST

START_TEST(any_sequence_with_a_break_that_others_move)
{
	setup();
	struct rng rng = rng_make(rng_process_seed());
	for (int i = 0; i < 20; i++) {
		run_steps(&rng, STEPS / 60);
		fake_os_foreign_move_break(rng_below(&rng, 2) ? 5000 : 0);
		run_steps(&rng, STEPS / 60);
		size_t theirs = (uintptr_t)vm_os_break() - region_end(&vm_regions[0]);
		if (rng_below(&rng, 2))
			fake_os_foreign_move_break(-(ptrdiff_t)theirs);
	}
	expect_empty_after_trim();
}
END_TEST

START_TEST(any_sequence_where_calls_are_refused)
{
	setup();
	struct rng rng = rng_make(rng_process_seed());
	for (int i = 0; i < 60; i++) {
		fake_os.fail_from = fake_os.calls + 1 + rng_below(&rng, 10);
		fake_os.fail_to = fake_os.fail_from + 1 + rng_below(&rng, 10);
		fake_os.purge_refused = rng_below(&rng, 4) == 0;
		run_steps(&rng, STEPS / 60);
	}
	fake_os.fail_to = 0;
	fake_os.purge_refused = false;
	fake_os_advance(10);
	expect_empty_after_trim();
}
END_TEST

START_TEST(free_memory_below_a_lowered_break_is_not_touched_until_it_is_raised)
{
	setup();
	bool zeroed;
	struct run *below = vm_run_alloc(10, 1, &zeroed);
	struct run *above = vm_run_alloc(200, 1, &zeroed);
	must(below && above);
	vm_run_free(above);
	fake_os_foreign_move_break(-(ptrdiff_t)(400 * KIB));
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	ck_assert_ptr_null(vm_run_alloc(1, 1, &zeroed));
	ck_assert(!vm_run_resize(below, 20));
	uint64_t purges = fake_os.purges;
	vm_pageheap_tick(fake_os_advance(1000000));
	ck_assert(!vm_pageheap_trim(0));
	ck_assert_uint_eq(fake_os.purges, purges);
	fake_os.fail_to = 0;
	ck_assert(vm_run_resize(below, 20));
	above = vm_run_alloc(200, 1, &zeroed);
	ck_assert(above && fake_os_is_writable((void *)above->start, bytes_of(above)));
	check();
}
END_TEST

START_TEST(any_sequence_with_larger_pages_of_the_kernel)
{
	fake_os.page_bytes = 16 * KIB;
	setup();
	struct rng rng = rng_make(rng_process_seed());
	run_steps(&rng, STEPS / 2);
	expect_empty_after_trim();
}
END_TEST

START_TEST(any_sequence_in_a_reserve)
{
	vm_os_init();
	must(vm_pageheap_init(false));
	struct rng rng = rng_make(rng_process_seed());
	run_steps(&rng, STEPS / 2);
	expect_empty_after_trim();
	ck_assert_uint_eq(stats().break_bytes, 0);
}
END_TEST

static struct run *new_run(size_t pages)
{
	bool zeroed;
	struct run *run = vm_run_alloc(pages, 1, &zeroed);
	must(run);
	memset((void *)run->start, 1, bytes_of(run));
	return run;
}

START_TEST(free_pages_keep_their_memory_for_the_decay_time)
{
	setup();
	struct run *run = new_run(100);
	struct run *above = new_run(1);
	void *start = (void *)run->start;
	vm_pageheap_tick(fake_os_advance(5000));
	uint64_t freed_ms = fake_os.now_ms;
	vm_run_free(run);
	for (uint64_t ms = 0; ms < 1000; ms += 100)
		vm_pageheap_tick(freed_ms + ms);
	ck_assert_uint_eq(stats().heap_free_dirty, 100 * PAGE_BYTES);
	ck_assert_uint_eq(fake_os_resident_bytes(start, 100 * PAGE_BYTES), 100 * PAGE_BYTES);
	/* Ticks look an eighth of the time apart. */
	vm_pageheap_tick(freed_ms + 1000 + 126);
	ck_assert_uint_eq(stats().heap_free_dirty, 0);
	ck_assert_uint_eq(fake_os_resident_bytes(start, 100 * PAGE_BYTES), 0);
	ck_assert_uint_eq(stats().purged_bytes, 100 * PAGE_BYTES);
	ck_assert_uint_eq(stats().purges, 1);
	ck_assert_uint_eq(stats().break_bytes, stats().heap_mapped);
	bool zeroed = false;
	run = vm_run_alloc(100, 1, &zeroed);
	ck_assert_ptr_eq((void *)run->start, start);
	ck_assert(zeroed);
	vm_run_free(above);
	check();
}
END_TEST

/* The list by age must not keep a place in it that a merge takes away. */
START_TEST(neighbours_that_follow_each_other_in_age_become_one_of_that_age)
{
	setup();
	struct run *low = new_run(10);
	struct run *middle = new_run(1);
	struct run *high = new_run(2);
	struct run *apart = new_run(1);
	struct run *young = new_run(3);
	struct run *above = new_run(1);
	vm_run_free(low);
	vm_run_free(high);
	fake_os_advance(500);
	vm_run_free(young);
	vm_run_free(middle);
	ck_assert_uint_eq(stats().heap_free_dirty, 16 * PAGE_BYTES);
	vm_pageheap_tick(fake_os_advance(500));
	ck_assert_uint_eq(stats().heap_free_dirty, 3 * PAGE_BYTES);
	check();
	vm_pageheap_tick(fake_os_advance(500));
	ck_assert_uint_eq(stats().heap_free_dirty, 0);
	vm_run_free(apart);
	vm_run_free(above);
	check();
}
END_TEST

START_TEST(what_joins_a_smaller_older_run_is_as_young_as_before)
{
	setup();
	struct run *old = new_run(1);
	struct run *young = new_run(10);
	struct run *apart = new_run(1);
	struct run *middle = new_run(5);
	struct run *above = new_run(1);
	vm_run_free(old);
	fake_os_advance(100);
	vm_run_free(middle);
	fake_os_advance(400);
	vm_run_free(young);
	ck_assert_uint_eq(stats().heap_free_dirty, 16 * PAGE_BYTES);
	vm_pageheap_tick(fake_os_advance(600));
	ck_assert_uint_eq(stats().heap_free_dirty, 11 * PAGE_BYTES);
	vm_pageheap_tick(fake_os_advance(400));
	ck_assert_uint_eq(stats().heap_free_dirty, 0);
	vm_run_free(apart);
	vm_run_free(above);
	check();
}
END_TEST

START_TEST(what_is_left_of_a_run_keeps_its_age)
{
	setup();
	struct run *run = new_run(100);
	new_run(1);
	vm_run_free(run);
	fake_os_advance(500);
	run = new_run(10);
	vm_pageheap_tick(fake_os.now_ms);
	ck_assert_uint_eq(stats().heap_free_dirty, 90 * PAGE_BYTES);
	must(vm_run_resize(run, 20));
	vm_pageheap_tick(fake_os_advance(499));
	ck_assert_uint_eq(stats().heap_free_dirty, 80 * PAGE_BYTES);
	vm_pageheap_tick(fake_os_advance(127));
	ck_assert_uint_eq(stats().heap_free_dirty, 0);
	check();
}
END_TEST

START_TEST(what_is_cut_off_a_run_is_freed_at_that_time)
{
	setup();
	struct run *run = new_run(100);
	new_run(1);
	uint64_t cut_ms = fake_os_advance(5000);
	must(vm_run_resize(run, 40));
	vm_pageheap_tick(cut_ms);
	vm_pageheap_tick(cut_ms + 999);
	ck_assert_uint_eq(stats().heap_free_dirty, 60 * PAGE_BYTES);
	vm_pageheap_tick(cut_ms + 999 + 126);
	ck_assert_uint_eq(stats().heap_free_dirty, 0);
	check();
}
END_TEST

START_TEST(records_of_joined_runs_are_used_again)
{
	setup();
	struct run *above[4];
	for (size_t i = 0; i < 4; i++)
		above[i] = new_run(1);
	size_t mapped = vm_meta_mapped();
	for (int i = 0; i < 10000; i++) {
		for (size_t j = 0; j < 3; j++)
			vm_run_free(above[j]);
		for (size_t j = 0; j < 3; j++)
			above[j] = new_run(1);
	}
	ck_assert_uint_eq(vm_meta_mapped(), mapped);
	for (int i = 0; i < 10000; i++) { /* at the top, which is given back */
		vm_run_free(above[3]);
		vm_pageheap_trim(0);
		above[3] = new_run(1);
	}
	ck_assert_uint_eq(vm_meta_mapped(), mapped);
	for (int i = 0; i < 10000; i++) { /* taken as a whole by the run before */
		vm_run_free(above[1]);
		must(vm_run_resize(above[0], 2));
		must(vm_run_resize(above[0], 1));
		above[1] = new_run(1);
	}
	ck_assert_uint_eq(vm_meta_mapped(), mapped);
}
END_TEST

START_TEST(a_tick_when_nothing_is_due_asks_the_kernel_nothing)
{
	setup();
	vm_run_free(new_run(10));
	uint64_t calls = fake_os.calls;
	for (int i = 0; i < 1000; i++)
		vm_pageheap_tick(fake_os.now_ms);
	ck_assert_uint_eq(fake_os.calls, calls);
}
END_TEST

START_TEST(a_free_top_lowers_the_break_but_for_the_pad)
{
	setup();
	struct run *low = new_run(10);
	vm_run_free(new_run(2000));
	size_t bytes = vm_pageheap_bytes();
	ck_assert_uint_gt(bytes, 2000 * PAGE_BYTES);
	ck_assert(vm_pageheap_trim(100 * PAGE_BYTES));
	ck_assert_uint_eq(vm_pageheap_bytes(), 110 * PAGE_BYTES);
	ck_assert_ptr_eq(vm_os_break(), (void *)region_end(&vm_regions[0]));
	check();
	ck_assert(vm_pageheap_trim(0));
	ck_assert_uint_eq(vm_pageheap_bytes(), 10 * PAGE_BYTES);
	ck_assert(!vm_pageheap_trim(0));
	vm_run_free(low);
	vm_pageheap_tick(fake_os_advance(100000));
	ck_assert_uint_eq(vm_pageheap_bytes(), 0);
	check();
	ck_assert_ptr_nonnull(new_run(10));
}
END_TEST

START_TEST(with_larger_pages_of_the_kernel_the_pad_is_kept_and_less_than_a_page_more)
{
	fake_os.page_bytes = 16 * KIB;
	setup();
	struct run *low = new_run(8);
	vm_run_free(new_run(2000));
	ck_assert(vm_pageheap_trim(101 * PAGE_BYTES));
	size_t kept = vm_pageheap_bytes() - bytes_of(low);
	ck_assert_uint_ge(kept, 101 * PAGE_BYTES);
	ck_assert_uint_lt(kept, 101 * PAGE_BYTES + 2 * 16 * KIB);
	check();
}
END_TEST

START_TEST(a_refused_purge_keeps_all_and_is_not_tried_again_at_once)
{
	setup();
	vm_options.trim_break = 0;
	struct run *run = new_run(100);
	struct run *above = new_run(1);
	fake_os.purge_refused = true;
	vm_run_free(run);
	vm_pageheap_tick(fake_os_advance(10000));
	ck_assert_uint_eq(fake_os.purges, 1);
	ck_assert_uint_eq(stats().heap_free_dirty, 100 * PAGE_BYTES);
	vm_pageheap_tick(fake_os_advance(500));
	ck_assert_uint_eq(fake_os.purges, 1);
	check();
	fake_os.purge_refused = false;
	vm_pageheap_tick(fake_os_advance(1000));
	ck_assert_uint_eq(stats().heap_free_dirty, 0);
	vm_run_free(above);
}
END_TEST

enum { LOCKED_RUNS = 250 };

/* So many runs, apart, which cannot be given back. Returns one that is not free. */
static struct run *free_more_than_may_stay(size_t pages_to_stay)
{
	static struct run *held[4 * LOCKED_RUNS];
	vm_os.memory_bytes = 0;
	vm_options.dirty_bytes = pages_to_stay * PAGE_BYTES;
	for (size_t i = 0; i < 4 * LOCKED_RUNS; i++)
		held[i] = new_run(2);
	fake_os.purge_refused = true;
	for (size_t i = 0; i < 4 * LOCKED_RUNS - 1; i++)
		if (i % 4)
			vm_run_free(held[i]);
	return held[4 * LOCKED_RUNS - 1];
}

START_TEST(what_is_locked_is_tried_a_little_now_and_then_and_all_of_it_by_a_trim)
{
	setup();
	struct run *last = free_more_than_may_stay(16);
	uint64_t tries = fake_os.purges;
	ck_assert_uint_gt(tries, 0);
	ck_assert_uint_lt(tries, 100);
	fake_os_advance(10);
	vm_run_free(last);
	ck_assert_uint_gt(fake_os.purges, tries);
	ck_assert_uint_lt(fake_os.purges, tries + 100);
	tries = fake_os.purges;
	fake_os_advance(2);
	vm_pageheap_trim(0);
	ck_assert_uint_ge(fake_os.purges, tries + LOCKED_RUNS - 1);
	check();
}
END_TEST

START_TEST(what_is_old_goes_though_no_room_could_be_made_just_before)
{
	setup();
	struct run *last = free_more_than_may_stay(64);
	fake_os_advance(vm_options.decay_ms + 1);
	vm_run_free(last);
	fake_os.purge_refused = false;
	size_t dirty = stats().heap_free_dirty;
	vm_pageheap_tick(fake_os_advance(1));
	ck_assert_uint_le(stats().heap_free_dirty, dirty - 64 * PAGE_BYTES);
	check();
}
END_TEST

START_TEST(runs_shorter_than_a_page_of_the_kernel_do_not_keep_longer_ones)
{
	enum { RUNS = 400 };
	static struct run *held[RUNS];
	fake_os.page_bytes = 64 * KIB;
	setup();
	vm_os.memory_bytes = 0;
	vm_options.dirty_bytes = MIB;
	for (size_t i = 0; i < RUNS; i++)
		held[i] = new_run(4);
	struct run *longer = new_run(8 * MIB / PAGE_BYTES);
	must(longer && new_run(4));
	for (size_t i = 0; i < RUNS; i += 2)
		vm_run_free(held[i]);
	vm_run_free(longer);
	ck_assert_uint_lt(stats().heap_free_dirty, 4 * MIB);
	check();
}
END_TEST

START_TEST(no_more_stays_dirty_than_may)
{
	setup();
	vm_os.memory_bytes = 0;
	vm_options.dirty_bytes = MIB;
	static struct run *held[400];
	for (size_t i = 0; i < 400; i++)
		held[i] = new_run(8);
	for (size_t i = 0; i < 400; i++)
		if (i % 4)
			vm_run_free(held[i]);
	struct vm_stats figures = stats();
	ck_assert_uint_le(figures.heap_free_dirty, max_size(MIB, figures.medium_live));
	ck_assert_uint_gt(figures.purges, 0);
	ck_assert_uint_eq(fake_os.purges_for_good, 0); /* as is quickest */
	check();
}
END_TEST

/* Pages that are free, and dirty, in runs of two that nothing longer can use. */
static void scatter_free_pages(size_t pages)
{
	static struct run *held[2000];
	for (size_t i = 0; i < pages; i++)
		held[i] = new_run(2);
	for (size_t i = 0; i < pages; i += 2)
		vm_run_free(held[i]);
}

static void pay(size_t bytes)
{
	vm_pageheap_give_back_for(bytes, vm_os_now_ms());
}

static void pay_for_growth(void)
{
	size_t grown[FOOTPRINT_PARTS];
	pay(vm_footprint_growth(grown));
}

START_TEST(what_is_new_is_paid_for_with_what_is_free)
{
	setup();
	scatter_free_pages(2000);
	pay_for_growth();
	ck_assert_uint_eq(stats().heap_free_dirty, 2000 * PAGE_BYTES);
	/* Up to a sixteenth above the peak of the live, and half a MiB, nothing is given back. */
	size_t room = 4000 / 16 + 512 * KIB / PAGE_BYTES;
	new_run(room - 50);
	pay_for_growth();
	ck_assert_uint_eq(stats().heap_free_dirty, 2000 * PAGE_BYTES);
	new_run(1000);
	ck_assert_uint_eq(stats().heap_free_dirty, 2000 * PAGE_BYTES);
	pay_for_growth();
	ck_assert_uint_le(stats().heap_free_dirty, (2000 - 900) * PAGE_BYTES);
	ck_assert_uint_ge(stats().heap_free_dirty, (2000 - 1000) * PAGE_BYTES);
	check();
}
END_TEST

START_TEST(what_is_mapped_elsewhere_is_paid_for_too)
{
	setup();
	scatter_free_pages(2000);
	vm_footprint_note(FOOTPRINT_LARGE, 0, 16 * MIB);
	pay(MIB);
	ck_assert_uint_le(stats().heap_free_dirty, 2000 * PAGE_BYTES - MIB);
	ck_assert_uint_ge(stats().heap_free_dirty, 2000 * PAGE_BYTES - MIB - 2 * PAGE_BYTES);
	check();
}
END_TEST

START_TEST(no_more_is_paid_in_four_decay_times_than_the_option_says)
{
	setup();
	scatter_free_pages(2000);
	vm_options.dirty_bytes = 2 * MIB;
	size_t free = stats().heap_free_dirty;
	vm_footprint_note(FOOTPRINT_LARGE, 0, 64 * MIB);
	for (int i = 0; i < 10; i++)
		pay(MIB);
	ck_assert_uint_le(free - stats().heap_free_dirty, 2 * MIB + PAGE_BYTES);
	ck_assert_uint_ge(free - stats().heap_free_dirty, 2 * MIB);
	fake_os_advance(4000);
	pay(MIB);
	ck_assert_uint_ge(free - stats().heap_free_dirty, 3 * MIB);
	check();
}
END_TEST

/* A free run of 10 MiB, in the middle of the heap. */
static struct run *free_10_mib(void)
{
	struct run *great = new_run(10 * MIB / PAGE_BYTES);
	new_run(1);
	vm_run_free(great);
	return great;
}

START_TEST(of_a_run_no_more_goes_than_is_paid)
{
	setup();
	const char *start = (const char *)free_10_mib()->start;
	vm_footprint_note(FOOTPRINT_LARGE, 0, 64 * MIB);
	pay(MIB);
	ck_assert_uint_eq(stats().heap_free_dirty, 9 * MIB);
	ck_assert_uint_eq(fake_os_resident_bytes(start, 9 * MIB), 9 * MIB);
	ck_assert_uint_eq(fake_os_resident_bytes(start + 9 * MIB, MIB), 0);
	/* A call is worth 256 KiB. */
	pay(PAGE_BYTES);
	ck_assert_uint_eq(stats().heap_free_dirty, 9 * MIB - 256 * KIB);
	/* They are one run again. */
	bool zeroed;
	ck_assert_ptr_eq((char *)vm_run_alloc(10 * MIB / PAGE_BYTES, 1, &zeroed)->start, start);
	check();
}
END_TEST

START_TEST(the_top_goes_in_part_too)
{
	setup();
	struct run *great = new_run(10 * MIB / PAGE_BYTES);
	size_t mapped = stats().heap_mapped;
	size_t behind = (mapped - (great->start + bytes_of(great) - vm_regions[0].base));
	vm_run_free(great);
	ck_assert_uint_eq(stats().heap_free_dirty, 10 * MIB);
	vm_footprint_note(FOOTPRINT_LARGE, 0, 64 * MIB);
	pay(MIB);
	ck_assert_uint_eq(stats().heap_free_dirty, 9 * MIB);
	ck_assert_uint_eq(stats().heap_mapped, mapped - behind - MIB);
	check();
}
END_TEST

START_TEST(of_what_is_old_as_much_goes_as_is_allowed_and_after_four_decay_times_the_rest)
{
	setup();
	uint64_t freed_ms = fake_os_advance(5000);
	free_10_mib();
	vm_options.dirty_bytes = 2 * MIB;
	vm_pageheap_tick(freed_ms + 999);
	ck_assert_uint_eq(stats().heap_free_dirty, 10 * MIB);
	for (uint64_t ms = 1000; ms < 4000; ms += 200) {
		vm_pageheap_tick(freed_ms + ms + 125);
		ck_assert_uint_eq(stats().heap_free_dirty, 8 * MIB);
	}
	vm_pageheap_tick(freed_ms + 4000 + 126);
	ck_assert_uint_eq(stats().heap_free_dirty, 0);
	check();
}
END_TEST

START_TEST(memory_that_is_there_is_used_first_and_the_lowest_of_equals)
{
	setup();
	struct run *held[9];
	for (size_t i = 0; i < 9; i++)
		held[i] = new_run(10);
	uintptr_t first = held[1]->start;
	uintptr_t second = held[3]->start;
	uintptr_t clean = held[5]->start;
	vm_run_free(held[5]);
	vm_pageheap_tick(fake_os_advance(10000));
	vm_run_free(held[3]);
	vm_run_free(held[1]);
	ck_assert_uint_eq(new_run(10)->start, first);
	ck_assert_uint_eq(new_run(10)->start, second);
	ck_assert_uint_eq(new_run(10)->start, clean);
	check();
}
END_TEST

/* A free run of 800 pages that hold memory, but for so many at its start or end. Nothing may be paid for growth. */
static void free_run_that_lacks(size_t pages, bool first)
{
	vm_options.dirty_bytes = 0;
	struct run *low = new_run(first ? pages : 800 - pages);
	struct run *high = new_run(800 - low->pages);
	new_run(1);
	must(high->start == run_end(low));
	struct run *run = first ? high : low;
	struct run *without = first ? low : high;
	vm_run_free(without);
	vm_pageheap_tick(fake_os_advance(10000));
	vm_run_free(run);
}

START_TEST(what_lies_ready_has_memory_but_for_an_eighth)
{
	setup();
	free_run_that_lacks(100, false);
	ck_assert_ptr_null(vm_run_alloc_ready(801));
	struct run *run = vm_run_alloc_ready(800);
	ck_assert(run && run->pages == 800 && run->state == RUN_USED);
	check();

	free_run_that_lacks(101, false);
	ck_assert_ptr_null(vm_run_alloc_ready(800));
	ck_assert_ptr_nonnull(vm_run_alloc_ready(699));
	vm_run_free(run);
	ck_assert_uint_eq(stats().heap_free_dirty, 800 * PAGE_BYTES);
	check();
}
END_TEST

START_TEST(the_start_of_what_lies_ready_has_memory)
{
	setup();
	free_run_that_lacks(300, true);
	must(vm_purge_unpaid(500 * PAGE_BYTES, fake_os_advance(0)));
	ck_assert_ptr_null(vm_run_alloc_ready(500));
}
END_TEST

START_TEST(what_can_be_paid_for_is_not_taken_out_of_what_lies_ready)
{
	setup();
	free_run_that_lacks(100, false);
	vm_options.dirty_bytes = 64 * MIB;
	ck_assert_ptr_null(vm_run_alloc_ready(800));
	vm_options.dirty_bytes = 0;
	ck_assert_ptr_null(vm_run_alloc_ready(100)); /* nor what does not raise the peak */
	ck_assert_ptr_nonnull(vm_run_alloc_ready(800));
}
END_TEST

START_TEST(the_shortest_run_that_lies_well_is_used)
{
	setup();
	bool zeroed;
	struct run *well = vm_run_alloc(4, 4, &zeroed);
	new_run(1);
	struct run *longer = new_run(50);
	new_run(1);
	uintptr_t start = well->start;
	vm_run_free(longer);
	vm_run_free(well);
	ck_assert_uint_eq(vm_run_alloc(4, 4, &zeroed)->start, start);
	check();
}
END_TEST

START_TEST(the_last_run_grows_with_its_region_where_no_memory_lies_ready)
{
	setup();
	struct run *ready = new_run(200);
	new_run(1);
	struct run *last = new_run(50);
	uintptr_t start = last->start;
	vm_run_free(ready);
	ck_assert(!vm_run_resize(last, 190));
	ck_assert(vm_run_resize(last, 210));
	vm_pageheap_tick(fake_os_advance(10000));
	size_t most = vm_options.mmap_threshold / PAGE_BYTES;
	ck_assert(vm_run_resize(last, most));
	ck_assert(!vm_run_resize(last, 4 * most)); /* better mapped */
	ck_assert(last->start == start && last->pages == most);
	check();
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	vm_options.mmap_threshold = GIB;
	ck_assert(!vm_run_resize(last, 10000));
	check();
}
END_TEST

/* Two runs, the lower one of which is freed. */
static void free_below_another(size_t pages)
{
	bool zeroed;
	struct run *run = vm_run_alloc(pages, 1, &zeroed);
	must(vm_run_alloc(1, 1, &zeroed));
	vm_run_free(run);
}

/* For less than that it is not worth to cut a huge page. */
enum { LONG_RUN = 128 * KIB / PAGE_BYTES };

START_TEST(what_was_no_use_for_a_while_goes_for_good)
{
	setup();
	free_below_another(LONG_RUN);
	vm_pageheap_tick(fake_os_advance(vm_options.decay_ms));
	ck_assert_uint_eq(fake_os.purges_for_good, 1);
	free_below_another(LONG_RUN);
	vm_pageheap_tick(fake_os_advance(5 * vm_options.decay_ms));
	ck_assert_uint_eq(fake_os.purges_for_good, 2);
}
END_TEST

START_TEST(a_short_run_that_was_no_use_for_a_while_goes_the_quickest_way)
{
	setup();
	free_below_another(LONG_RUN - 1);
	vm_pageheap_tick(fake_os_advance(5 * vm_options.decay_ms));
	ck_assert_uint_eq(fake_os.purges, 1);
	ck_assert_uint_eq(fake_os.purges_for_good, 0);
}
END_TEST

START_TEST(sizes_beyond_any_run_are_refused)
{
	setup();
	bool zeroed;
	struct run *run = new_run(1);
	ck_assert_ptr_null(vm_run_alloc(UINT32_MAX, 1, &zeroed));
	ck_assert_ptr_null(vm_run_alloc(1, (size_t)1 << 40, &zeroed));
	ck_assert_ptr_null(vm_run_alloc(UINT32_MAX - 10, 1, &zeroed));
	ck_assert(!vm_run_resize(run, (size_t)UINT32_MAX + 2));
	ck_assert_uint_eq(run->pages, 1);
	check();
}
END_TEST

START_TEST(without_records_a_run_stays_as_it_is_where_it_takes_one)
{
	setup();
	struct run *run = new_run(10);
	struct run *behind = new_run(10);
	struct run *above = new_run(10);
	struct run *last = new_run(1);
	bool zeroed;
	vm_run_free(behind);
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	for (size_t bytes = 64 * KIB; bytes >= sizeof(struct run); bytes /= 2)
		while (vm_meta_alloc(bytes))
			;
	ck_assert(!vm_run_resize(above, 5));
	ck_assert_uint_eq(above->pages, 10);
	ck_assert_ptr_null(vm_run_alloc(5, 1, &zeroed));
	check();
	/* Where free pages lie behind it, it takes none. */
	ck_assert(vm_run_resize(run, 15));
	check();
	ck_assert(vm_run_resize(run, 5));
	check();
	ck_assert(vm_run_resize(run, 20));
	check();
	vm_run_free(run);
	vm_run_free(above);
	vm_run_free(last);
	check();
}
END_TEST

START_TEST(a_record_for_the_one_side_is_given_back_where_there_is_none_for_the_other)
{
	setup();
	bool zeroed;
	struct run *odd = new_run(1);
	struct run *record = vm_meta_alloc(sizeof *record);
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	for (size_t bytes = 64 * KIB; bytes >= sizeof *record; bytes /= 2)
		while (vm_meta_alloc(bytes))
			;
	vm_meta_free(record, sizeof *record);
	must(odd->start % (2 * PAGE_BYTES) == 0); /* so that what follows lies askew */
	ck_assert_ptr_null(vm_run_alloc(2, 2, &zeroed));
	ck_assert_ptr_eq(vm_meta_alloc(sizeof *record), record);
	check();
}
END_TEST

static _Atomic bool stop;

static void *purge_often(void *argument)
{
	(void)argument;
	while (!stop) {
		struct run *run = new_run(100);
		struct run *above = new_run(1);
		vm_run_free(run);
		vm_pageheap_tick(fake_os_advance(2000));
		vm_run_free(above);
	}
	return NULL;
}

/* Whether some page is in no run that is entered; under the lock. */
static bool is_purging(void)
{
	const struct region *region = &vm_regions[0];
	for (size_t page = 0; page < region->bytes >> PAGE_SHIFT;) {
		if (!region->run_of[page])
			return true;
		page += region->run_of[page]->pages;
	}
	return false;
}

/* The fake kernel's lock may be held for ever here: nothing is asked of it. */
static void live_as_child(void)
{
	bool zeroed;
	vm_pageheap_unlock_after_fork(true);
	check();
	size_t free = heap_free();
	struct run *run = vm_run_alloc(90, 1, &zeroed);
	must(run);
	must(heap_free() == free - 90 * PAGE_BYTES);
	must(!zeroed || pattern_is_zero((void *)run->start, bytes_of(run)));
	vm_run_free(run);
	check();
	_exit(0);
}

START_TEST(a_child_of_a_fork_during_a_purge_has_all_pages)
{
	setup();
	fake_os.slow = true;
	pthread_t thread;
	must(!pthread_create(&thread, NULL, purge_often, NULL));
	for (unsigned caught = 0; caught < 20;) {
		sched_yield();
		vm_pageheap_lock_for_fork();
		if (is_purging()) {
			caught++;
			pid_t child = fork();
			if (!child)
				live_as_child();
			vm_pageheap_unlock_after_fork(false);
			int status;
			must(waitpid(child, &status, 0) == child);
			ck_assert_int_eq(status, 0);
		} else {
			vm_pageheap_unlock_after_fork(false);
		}
	}
	stop = true;
	pthread_join(thread, NULL);
	check();
}
END_TEST

START_TEST(only_without_the_ballast_is_memory_committed_ahead_of_a_fork)
{
	fake_os.map_limit = 3000;
	vm_os_init();
	vm_lifeboat_init();
	must(vm_pageheap_init(false));
	const struct region *region = &vm_regions[0];
	size_t committed = region->committed_bytes;
	vm_pageheap_lock_for_fork();
	vm_pageheap_unlock_after_fork(false);
	ck_assert_uint_eq(region->committed_bytes, committed);

	fake_os_foreign_maps_add(fake_os.map_limit + 1 - fake_maps.count);
	ck_assert(vm_lifeboat_launch());
	vm_pageheap_lock_for_fork();
	vm_pageheap_unlock_after_fork(false);
	ck_assert_uint_gt(region->committed_bytes, committed);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		any_sequence_keeps_runs_apart_and_their_contents,
		any_sequence_with_a_break_that_others_move,
		any_sequence_where_calls_are_refused,
		free_memory_below_a_lowered_break_is_not_touched_until_it_is_raised,
		any_sequence_with_larger_pages_of_the_kernel,
		any_sequence_in_a_reserve,
		free_pages_keep_their_memory_for_the_decay_time,
		neighbours_that_follow_each_other_in_age_become_one_of_that_age,
		what_joins_a_smaller_older_run_is_as_young_as_before,
		what_is_left_of_a_run_keeps_its_age,
		what_is_cut_off_a_run_is_freed_at_that_time,
		records_of_joined_runs_are_used_again,
		a_tick_when_nothing_is_due_asks_the_kernel_nothing,
		a_free_top_lowers_the_break_but_for_the_pad,
		with_larger_pages_of_the_kernel_the_pad_is_kept_and_less_than_a_page_more,
		a_refused_purge_keeps_all_and_is_not_tried_again_at_once,
		what_is_locked_is_tried_a_little_now_and_then_and_all_of_it_by_a_trim,
		what_is_old_goes_though_no_room_could_be_made_just_before,
		runs_shorter_than_a_page_of_the_kernel_do_not_keep_longer_ones,
		no_more_stays_dirty_than_may,
		what_is_new_is_paid_for_with_what_is_free,
		what_is_mapped_elsewhere_is_paid_for_too,
		no_more_is_paid_in_four_decay_times_than_the_option_says,
		of_a_run_no_more_goes_than_is_paid,
		the_top_goes_in_part_too,
		of_what_is_old_as_much_goes_as_is_allowed_and_after_four_decay_times_the_rest,
		memory_that_is_there_is_used_first_and_the_lowest_of_equals,
		what_lies_ready_has_memory_but_for_an_eighth,
		the_start_of_what_lies_ready_has_memory,
		what_can_be_paid_for_is_not_taken_out_of_what_lies_ready,
		the_shortest_run_that_lies_well_is_used,
		the_last_run_grows_with_its_region_where_no_memory_lies_ready,
		what_was_no_use_for_a_while_goes_for_good,
		a_short_run_that_was_no_use_for_a_while_goes_the_quickest_way,
		sizes_beyond_any_run_are_refused,
		without_records_a_run_stays_as_it_is_where_it_takes_one,
		a_record_for_the_one_side_is_given_back_where_there_is_none_for_the_other,
		a_child_of_a_fork_during_a_purge_has_all_pages,
		only_without_the_ballast_is_memory_committed_ahead_of_a_fork,
		NULL,
	};
	return suite_run("pageheap", tests, 60);
}
