/* SPDX-License-Identifier: MIT */
/* large/mapping.h against an oracle that knows the state and the block of every page. */
#include "choices.h"
#include "must.h"
#include "rng.h"
#include "suite.h"

#include "fake_os.h"
#include "large/mapping.h"
#include "meta/meta.h"
#include "os/os.h"

#include <string.h>

enum { PAGES = 400, STEPS = 30000, NONE = -1 };

static const uintptr_t BASE = (uintptr_t)1 << 40;

static struct mapping mapping = MAPPING_INIT(mapping);
static int state[PAGES];           /* NONE or enum range_state */
static uintptr_t block_of[PAGES];  /* LIVE: the start of the block */
static uint64_t freed_ms[PAGES];   /* DIRTY */
static uint64_t now_ms = 100;

static void setup(void)
{
	vm_os_init();
	memset(state, NONE, sizeof state);
}

static size_t page_of(uintptr_t address)
{
	return (address - BASE) >> PAGE_SHIFT;
}

static uintptr_t address_of(size_t page)
{
	return BASE + (page << PAGE_SHIFT);
}

static void mark(uintptr_t start, size_t bytes, int new_state)
{
	for (size_t page = page_of(start); page < page_of(start + bytes); page++) {
		state[page] = new_state;
		block_of[page] = start;
		if (new_state == RANGE_DIRTY)
			freed_ms[page] = now_ms;
	}
}

static void expect(uintptr_t start, size_t bytes, int old_state)
{
	for (size_t page = page_of(start); page < page_of(start + bytes); page++)
		must(state[page] == old_state);
}

static void check_page(size_t page)
{
	const struct range *range = vm_ranges_at(&mapping.all, address_of(page));
	int expected = state[page] == RANGE_HELD ? NONE : state[page];
	must((range ? (int)range->state : NONE) == expected);
	if (!range)
		return;
	if (range->state == RANGE_LIVE)
		must(range->start == block_of[page]);
	bool begins = range->state == RANGE_LIVE && range->start == address_of(page);
	must(vm_mapping_live(&mapping, address_of(page)) == (begins ? range : NULL));
}

/* The age of a merged range is that of one of its parts, and from then on of all. */
static void check_age(const struct range *range)
{
	size_t end = page_of(range_end(range));
	bool of_a_part = false;
	for (size_t page = page_of(range->start); page < end; page++)
		of_a_part |= freed_ms[page] == range->freed_ms;
	must(of_a_part);
	for (size_t page = page_of(range->start); page < end; page++)
		freed_ms[page] = range->freed_ms;
}

static void check(void)
{
	vm_mapping_check(&mapping);
	for (struct range *range = vm_ranges_first(&mapping.all); range;
	     range = vm_ranges_next(&mapping.all, range))
		if (range->state == RANGE_DIRTY)
			check_age(range);
	for (size_t page = 0; page < PAGES; page++)
		check_page(page);
}

/* The pages from `page` up that are in no range, `most` at most. */
static size_t vacant_from(size_t page, size_t most)
{
	size_t pages = 0;
	while (pages < most && page + pages < PAGES && state[page + pages] == NONE)
		pages++;
	return pages;
}

static struct range *new_record(size_t page, size_t pages)
{
	must(vm_mapping_prepay(&mapping, 1));
	struct range *range = vm_mapping_take_record(&mapping);
	range->start = address_of(page);
	range->bytes = pages << PAGE_SHIFT;
	return range;
}

static void add_to_vacant(struct rng *rng, size_t page)
{
	struct range *range = new_record(page, vacant_from(page, 1 + rng_below(rng, 12)));
	bool live = rng_below(rng, 4);
	mark(range->start, range->bytes, live ? RANGE_LIVE : RANGE_CLEAN);
	if (live)
		vm_mapping_add_live(&mapping, range);
	else
		vm_mapping_add_clean(&mapping, range);
}

static void move_elsewhere(struct rng *rng, struct range *range)
{
	mark(range->start, range->bytes, RANGE_HELD);
	vm_mapping_hold_live(&mapping, range);
	check();
	size_t page = rng_below(rng, PAGES);
	size_t pages = vacant_from(page, 1 + rng_below(rng, 20));
	if (pages) {
		mark(range->start, range->bytes, NONE);
		range->start = address_of(page);
		range->bytes = pages << PAGE_SHIFT;
	}
	mark(range->start, range->bytes, RANGE_LIVE);
	vm_mapping_add_live(&mapping, range);
}

static void resize_to(struct range *range, size_t new_pages)
{
	size_t pages = range->bytes >> PAGE_SHIFT;
	size_t bytes = new_pages << PAGE_SHIFT;
	uintptr_t start = range->start;
	if (new_pages < pages) {
		must(vm_mapping_prepay(&mapping, 1));
		mark(start + bytes, range->bytes - bytes, RANGE_DIRTY);
		vm_mapping_shrink(&mapping, range, bytes, now_ms);
		return;
	}
	bool fits = page_of(start) + new_pages <= PAGES;
	for (size_t page = page_of(range_end(range)); fits && page < page_of(start) + new_pages; page++)
		fits = state[page] == RANGE_DIRTY || state[page] == RANGE_CLEAN;
	must(vm_mapping_grow(&mapping, range, bytes) == fits);
	if (fits)
		mark(start, bytes, RANGE_LIVE);
}

static void resize(struct rng *rng, struct range *range)
{
	resize_to(range, 1 + rng_below(rng, 2 * (range->bytes >> PAGE_SHIFT) + 4));
}

static void step_live(struct rng *rng, struct range *range)
{
	switch (rng_below(rng, 4)) {
	case 0:
		move_elsewhere(rng, range);
		break;
	case 1:
		resize(rng, range);
		break;
	default:
		mark(range->start, range->bytes, RANGE_DIRTY);
		vm_mapping_free(&mapping, range, now_ms);
	}
}

/* `kind` is NONE where the range is to be forgotten. */
static void settle_held(struct range *range, int kind)
{
	mark(range->start, range->bytes, kind);
	if (kind == NONE)
		vm_mapping_put_record(&mapping, range);
	else if (kind == RANGE_CLEAN)
		vm_mapping_add_clean(&mapping, range);
	else
		vm_mapping_add_dirty(&mapping, range, now_ms);
}

/* Holds a free range as one that is to be unmapped or purged, and lets that succeed or fail. */
static void give_back(struct rng *rng, struct range *range)
{
	bool widest = rng_below(rng, 2);
	bool dirty = range->state == RANGE_DIRTY;
	expect(range->start, range->bytes, (int)range->state);
	if (widest)
		vm_mapping_hold_widest(&mapping, range);
	else
		vm_mapping_hold_free(&mapping, range);
	must(range->has_memory == dirty);
	for (size_t page = page_of(range->start); page < page_of(range_end(range)); page++)
		must(state[page] == RANGE_CLEAN || (dirty && state[page] == RANGE_DIRTY));
	if (widest && range->start > BASE)
		must(state[page_of(range->start) - 1] != RANGE_CLEAN);
	if (widest && page_of(range_end(range)) < PAGES)
		must(state[page_of(range_end(range))] != RANGE_CLEAN);
	mark(range->start, range->bytes, RANGE_HELD);
	check();

	int fate = rng_below(rng, 2) ? NONE : rng_below(rng, 4) ? RANGE_CLEAN : RANGE_DIRTY;
	settle_held(range, fate);
}

static void use_best(struct rng *rng)
{
	size_t bytes = (1 + rng_below(rng, 10)) << PAGE_SHIFT;
	size_t alignment = PAGE_BYTES << rng_below(rng, 4);
	struct range *range = vm_mapping_best(&mapping, bytes, alignment);
	if (!range)
		return;
	int old_state = (int)range->state;
	must(old_state == RANGE_DIRTY || old_state == RANGE_CLEAN);
	must(vm_mapping_prepay(&mapping, 2));
	struct range *block = vm_mapping_use(&mapping, range, bytes, alignment);
	must(block->bytes == bytes);
	must(block->start % alignment == 0);
	expect(block->start, bytes, old_state);
	mark(block->start, bytes, RANGE_LIVE);
}

static void step(struct rng *rng)
{
	now_ms += rng_below(rng, 3);
	if (rng_below(rng, 3) == 0) {
		use_best(rng);
		return;
	}
	size_t page = rng_below(rng, PAGES);
	struct range *range = vm_ranges_at(&mapping.all, address_of(page));
	if (!range)
		add_to_vacant(rng, page);
	else if (range->state == RANGE_LIVE)
		step_live(rng, range);
	else
		give_back(rng, range);
}

START_TEST(any_sequence_keeps_the_state_of_every_page)
{
	setup();
	struct rng rng = rng_make(rng_process_seed());
	for (int i = 0; i < STEPS; i++) {
		step(&rng);
		check();
	}
	ck_assert_uint_eq(mapping.held_count, 0);
}
END_TEST

enum { SHORT_HISTORY = 4, FEW_PAGES = 4 };

static void add_some(size_t page)
{
	struct range *range = new_record(page, 1 + choose(vacant_from(page, FEW_PAGES - page)));
	bool live = choose(2);
	mark(range->start, range->bytes, live ? RANGE_LIVE : RANGE_CLEAN);
	if (live)
		vm_mapping_add_live(&mapping, range);
	else
		vm_mapping_add_clean(&mapping, range);
}

static void use_some(struct range *range)
{
	size_t alignment = PAGE_BYTES << choose(2);
	size_t skipped = align_up(range->start, alignment) - range->start;
	if (skipped >= range->bytes)
		return;
	size_t bytes = (1 + choose((range->bytes - skipped) >> PAGE_SHIFT)) << PAGE_SHIFT;
	must(vm_mapping_prepay(&mapping, 2));
	struct range *block = vm_mapping_use(&mapping, range, bytes, alignment);
	must(block->bytes == bytes && block->start % alignment == 0);
	mark(block->start, bytes, RANGE_LIVE);
}

static void hold_and_settle(struct range *range)
{
	static const int kinds[] = {NONE, RANGE_CLEAN, RANGE_DIRTY};
	if (choose(2))
		vm_mapping_hold_widest(&mapping, range);
	else
		vm_mapping_hold_free(&mapping, range);
	settle_held(range, kinds[choose(3)]);
}

static void resize_some(struct range *range)
{
	size_t pages = range->bytes >> PAGE_SHIFT;
	resize_to(range, 1 + choose(min_size(pages + 2, FEW_PAGES)));
}

static void step_of_short_history(void)
{
	now_ms++;
	size_t page = choose(FEW_PAGES);
	struct range *range = vm_ranges_at(&mapping.all, address_of(page));
	if (!range) {
		add_some(page);
	} else if (range->state == RANGE_LIVE && choose(2)) {
		resize_some(range);
	} else if (range->state == RANGE_LIVE) {
		mark(range->start, range->bytes, RANGE_DIRTY);
		vm_mapping_free(&mapping, range, now_ms);
	} else if (choose(2)) {
		use_some(range);
	} else {
		hold_and_settle(range);
	}
}

static void forget_all(void)
{
	struct range *range;
	while ((range = vm_ranges_first(&mapping.all))) {
		if (range->state == RANGE_LIVE)
			vm_mapping_hold_live(&mapping, range);
		else
			vm_mapping_hold_free(&mapping, range);
		settle_held(range, NONE);
	}
}

/* From nothing, or from a block on each page. */
static void short_history(void)
{
	for (size_t page = choose(2) ? 0 : FEW_PAGES; page < FEW_PAGES; page++) {
		struct range *range = new_record(page, 1);
		mark(range->start, range->bytes, RANGE_LIVE);
		vm_mapping_add_live(&mapping, range);
	}
	for (int i = 0; i < SHORT_HISTORY; i++) {
		step_of_short_history();
		vm_mapping_check(&mapping);
		for (size_t page = 0; page <= FEW_PAGES; page++)
			check_page(page);
	}
	forget_all();
}

START_TEST(every_short_history_keeps_the_state_of_every_page)
{
	setup();
	ck_assert_uint_gt(choices_all(short_history), 100000);
	ck_assert_uint_eq(mapping.held_count, 0);
}
END_TEST

START_TEST(the_oldest_goes_first_even_where_the_clock_of_a_thread_lags)
{
	setup();
	struct range *range[4];
	for (size_t i = 0; i < 4; i++) {
		range[i] = new_record(i * 10, 2);
		vm_mapping_add_live(&mapping, range[i]);
	}
	ck_assert_ptr_null(vm_mapping_oldest(&mapping));
	vm_mapping_free(&mapping, range[2], 500);
	vm_mapping_free(&mapping, range[0], 490);
	vm_mapping_free(&mapping, range[3], 600);
	vm_mapping_check(&mapping);
	ck_assert_ptr_eq(vm_mapping_oldest(&mapping), range[2]);
	vm_mapping_hold_free(&mapping, range[2]);
	ck_assert_ptr_eq(vm_mapping_oldest(&mapping), range[0]);
	vm_mapping_hold_free(&mapping, range[0]);
	ck_assert_ptr_eq(vm_mapping_oldest(&mapping), range[3]);
}
END_TEST

START_TEST(merged_ranges_have_the_age_of_the_longest)
{
	setup();
	const size_t first[] = {0, 1, 3, 10}, pages[] = {1, 2, 4, 1};
	struct range *range[4];
	for (size_t i = 0; i < 4; i++) {
		range[i] = new_record(first[i], pages[i]);
		vm_mapping_add_live(&mapping, range[i]);
	}
	vm_mapping_free(&mapping, range[0], 100);
	vm_mapping_free(&mapping, range[3], 150);
	vm_mapping_free(&mapping, range[2], 200);
	ck_assert_ptr_eq(vm_mapping_oldest(&mapping), range[0]);
	struct range *merged = vm_mapping_free(&mapping, range[1], 300);
	ck_assert_uint_eq(merged->freed_ms, 200);
	ck_assert_uint_eq(merged->bytes, 7 * PAGE_BYTES);
	ck_assert_uint_eq(mapping.dirty.count, 2);
	ck_assert_ptr_eq(vm_mapping_oldest(&mapping), range[3]);
	vm_mapping_hold_free(&mapping, range[3]);
	ck_assert_ptr_eq(vm_mapping_oldest(&mapping), merged);

	/* What is left of it by a block keeps that age. */
	ck_assert(vm_mapping_prepay(&mapping, 2));
	vm_mapping_use(&mapping, merged, PAGE_BYTES, PAGE_BYTES);
	ck_assert_uint_eq(vm_mapping_oldest(&mapping)->freed_ms, 200);
	ck_assert_uint_eq(mapping.dirty.bytes, 6 * PAGE_BYTES);
}
END_TEST

START_TEST(a_part_that_is_cut_off_has_the_age_of_the_whole)
{
	setup();
	struct range *range = new_record(0, 8);
	struct range *younger = new_record(10, 1);
	vm_mapping_add_live(&mapping, range);
	vm_mapping_add_live(&mapping, younger);
	vm_mapping_free(&mapping, range, 100);
	vm_mapping_free(&mapping, younger, 200);
	ck_assert(vm_mapping_prepay(&mapping, 1));
	struct range *rest = vm_mapping_cut_dirty(&mapping, range, 3 * PAGE_BYTES);
	ck_assert_uint_eq(range->bytes, 3 * PAGE_BYTES);
	ck_assert_uint_eq(rest->start, address_of(3));
	ck_assert_uint_eq(rest->bytes, 5 * PAGE_BYTES);
	ck_assert_uint_eq(rest->freed_ms, 100);
	ck_assert_ptr_eq(vm_mapping_best(&mapping, 4 * PAGE_BYTES, PAGE_BYTES), rest);
	vm_mapping_hold_free(&mapping, range);
	vm_mapping_check(&mapping);
	ck_assert_ptr_eq(vm_mapping_oldest(&mapping), rest);
	ck_assert_uint_eq(mapping.dirty.bytes, 6 * PAGE_BYTES);
}
END_TEST

START_TEST(dirty_ranges_are_used_before_clean_ones)
{
	setup();
	struct range *clean = new_record(0, 2);
	vm_mapping_add_clean(&mapping, clean);
	struct range *dirty = new_record(10, 20);
	vm_mapping_add_live(&mapping, dirty);
	vm_mapping_free(&mapping, dirty, 1);
	ck_assert_ptr_eq(vm_mapping_best(&mapping, 2 * PAGE_BYTES, PAGE_BYTES), dirty);
	vm_mapping_hold_free(&mapping, dirty);
	ck_assert_ptr_eq(vm_mapping_best(&mapping, 2 * PAGE_BYTES, PAGE_BYTES), clean);
}
END_TEST

START_TEST(prepaying_fails_where_records_are_out_and_spoils_nothing)
{
	setup();
	fake_os.data_limit = fake_maps.writable_bytes + MIB;
	ck_assert(!vm_mapping_prepay(&mapping, SIZE_MAX));
	size_t spare = mapping.spare_count;
	ck_assert_uint_gt(spare, 1000);
	vm_mapping_check(&mapping);
	for (size_t i = 0; i < spare; i++) {
		ck_assert(vm_mapping_prepay(&mapping, 1));
		struct range *range = new_record(2 * i, 1);
		vm_mapping_add_live(&mapping, range);
	}
	vm_mapping_check(&mapping);
	ck_assert(!vm_mapping_prepay(&mapping, 1));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		any_sequence_keeps_the_state_of_every_page,
		every_short_history_keeps_the_state_of_every_page,
		the_oldest_goes_first_even_where_the_clock_of_a_thread_lags,
		merged_ranges_have_the_age_of_the_longest,
		a_part_that_is_cut_off_has_the_age_of_the_whole,
		dirty_ranges_are_used_before_clean_ones,
		prepaying_fails_where_records_are_out_and_spoils_nothing,
		NULL,
	};
	return suite_run("mapping", tests, 60);
}
