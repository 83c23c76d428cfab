/* SPDX-License-Identifier: MIT */
/* large/ranges.h against an oracle that knows the owner of every page. */
#include "must.h"
#include "rng.h"
#include "suite.h"

#include "large/ranges.h"

#include <stdlib.h>
#include <string.h>

enum { PAGES = 512, STEPS = 40000 };

static const uintptr_t BASE = (uintptr_t)1 << 40;

static struct range *owner[PAGES];
static struct ranges ranges;

static size_t page_of(uintptr_t address)
{
	return (address - BASE) >> PAGE_SHIFT;
}

static struct range *range_of(size_t page, size_t pages)
{
	struct range *range = calloc(1, sizeof *range);
	range->start = BASE + (page << PAGE_SHIFT);
	range->bytes = pages << PAGE_SHIFT;
	return range;
}

static void own(struct range *range)
{
	for (size_t page = page_of(range->start); page < page_of(range_end(range)); page++)
		owner[page] = range;
}

static void disown(const struct range *range)
{
	for (size_t page = 0; page < PAGES; page++)
		if (owner[page] == range)
			owner[page] = NULL;
}

static void check_against_owners(void)
{
	vm_ranges_check(&ranges);
	for (size_t page = 0; page < PAGES; page++) {
		uintptr_t address = BASE + (page << PAGE_SHIFT);
		must(vm_ranges_at(&ranges, address) == owner[page]);
		must(vm_ranges_at(&ranges, address + PAGE_BYTES - 1) == owner[page]);
	}
}

static void check_neighbours(const struct range *range)
{
	size_t first = page_of(range->start);
	size_t end = page_of(range_end(range));
	must(vm_ranges_touching_below(&ranges, range) == (first ? owner[first - 1] : NULL));
	must(vm_ranges_touching_above(&ranges, range) == (end < PAGES ? owner[end] : NULL));
}

/* Takes a run of pages nobody owns, or an owned range to cut, shift, merge or remove. */
static void step(struct rng *rng)
{
	size_t page = rng_below(rng, PAGES);
	struct range *range = owner[page];
	if (!range) {
		size_t pages = 1 + rng_below(rng, 8);
		for (size_t i = 0; i < pages; i++)
			if (page + i >= PAGES || owner[page + i])
				pages = i;
		range = range_of(page, pages);
		vm_ranges_insert(&ranges, range);
		own(range);
		return;
	}
	check_neighbours(range);
	size_t pages = range->bytes >> PAGE_SHIFT;
	struct range *above = vm_ranges_touching_above(&ranges, range);
	switch (rng_below(rng, 4)) {
	case 0:
		vm_ranges_remove(&ranges, range);
		disown(range);
		free(range);
		break;
	case 1:
		if (pages > 1) {
			struct range *rest = calloc(1, sizeof *rest);
			range->freed_ms = rng_next(rng);
			range->state = RANGE_DIRTY;
			vm_ranges_split(&ranges, range, (1 + rng_below(rng, pages - 1)) << PAGE_SHIFT,
					rest);
			must(rest->freed_ms == range->freed_ms);
			must(rest->state == RANGE_DIRTY);
			own(rest);
		}
		break;
	case 2:
		if (above && above->bytes > PAGE_BYTES)
			vm_ranges_shift(range, above, PAGE_BYTES);
		if (above)
			own(range);
		break;
	default:
		if (above) {
			bool up = rng_below(rng, 2);
			struct range *into = up ? above : range;
			struct range *other = up ? range : above;
			vm_ranges_merge(&ranges, into, other);
			own(into);
			free(other);
		}
	}
}

START_TEST(any_sequence_keeps_the_owner_of_every_page)
{
	struct rng rng = rng_make(rng_process_seed());
	for (int i = 0; i < STEPS; i++) {
		step(&rng);
		if (i % 16 == 0)
			check_against_owners();
	}
	check_against_owners();
}
END_TEST

START_TEST(members_come_in_order_of_address)
{
	enum { MEMBERS = 170 };
	for (size_t i = 0; i < MEMBERS; i++)
		vm_ranges_insert(&ranges, range_of(i * 7 % MEMBERS * 3, 1 + i % 3));
	uintptr_t last = 0;
	size_t count = 0;
	for (struct range *range = vm_ranges_first(&ranges); range;
	     range = vm_ranges_next(&ranges, range)) {
		ck_assert_uint_gt(range->start, last);
		last = range->start;
		count++;
	}
	ck_assert_uint_eq(count, MEMBERS);
}
END_TEST

START_TEST(an_empty_set_has_nothing)
{
	struct range key = {.start = BASE, .bytes = PAGE_BYTES};
	struct fits fits = {0};
	ck_assert_ptr_null(vm_ranges_at(&ranges, BASE));
	ck_assert_ptr_null(vm_ranges_first(&ranges));
	ck_assert_ptr_null(vm_ranges_touching_above(&ranges, &key));
	ck_assert_ptr_null(vm_ranges_touching_below(&ranges, &key));
	ck_assert_ptr_null(vm_fits_best(&fits, 1, 1));
}
END_TEST

START_TEST(the_first_and_the_last_address_are_in_no_range)
{
	vm_ranges_insert(&ranges, range_of(0, 1));
	ck_assert_ptr_null(vm_ranges_at(&ranges, 0));
	ck_assert_ptr_null(vm_ranges_at(&ranges, UINTPTR_MAX));
}
END_TEST

/* Best fit ---------------------------------------------------------------------------------- */

enum { FREE_MOST = 200 };

static bool holds(const struct range *range, size_t bytes, size_t alignment)
{
	uintptr_t start = (range->start + alignment - 1) & ~(uintptr_t)(alignment - 1);
	return start < range_end(range) && range_end(range) - start >= bytes;
}

static struct range *best_of(struct range *const all[], size_t bytes, size_t alignment)
{
	struct range *best = NULL;
	for (size_t i = 0; i < FREE_MOST; i++) {
		struct range *range = all[i];
		if (range && holds(range, bytes, alignment) &&
		    (!best || range->bytes < best->bytes ||
		     (range->bytes == best->bytes && range->start < best->start)))
			best = range;
	}
	return best;
}

START_TEST(the_best_fit_is_the_smallest_and_then_the_lowest)
{
	struct rng rng = rng_make(rng_process_seed());
	struct range *all[FREE_MOST] = {0};
	struct fits fits = {0};
	for (int i = 0; i < 20000; i++) {
		size_t at = rng_below(&rng, FREE_MOST);
		if (all[at]) {
			vm_fits_remove(&fits, all[at]);
			free(all[at]);
			all[at] = NULL;
		} else {
			all[at] = range_of(at * 64, 1 + rng_below(&rng, 20));
			vm_fits_insert(&fits, all[at]);
		}
		size_t bytes = (1 + rng_below(&rng, 22)) << PAGE_SHIFT;
		must(vm_fits_best(&fits, bytes, PAGE_BYTES) == best_of(all, bytes, PAGE_BYTES));
		if (i % 64 == 0)
			vm_fits_check(&fits);
	}
}
END_TEST

START_TEST(an_aligned_fit_holds_the_block_and_is_found_where_one_surely_is)
{
	struct rng rng = rng_make(rng_process_seed());
	struct range *all[FREE_MOST] = {0};
	struct fits fits = {0};
	for (int i = 0; i < 20000; i++) {
		size_t at = rng_below(&rng, FREE_MOST);
		if (all[at]) {
			vm_fits_remove(&fits, all[at]);
			free(all[at]);
			all[at] = NULL;
		} else {
			all[at] = range_of(at * 64 + rng_below(&rng, 32), 1 + rng_below(&rng, 30));
			vm_fits_insert(&fits, all[at]);
		}
		size_t bytes = (1 + rng_below(&rng, 16)) << PAGE_SHIFT;
		size_t alignment = PAGE_BYTES << rng_below(&rng, 5);
		struct range *found = vm_fits_best(&fits, bytes, alignment);
		if (found)
			must(holds(found, bytes, alignment));
		else
			must(!best_of(all, bytes + alignment, PAGE_BYTES));
	}
}
END_TEST

START_TEST(a_range_that_lies_badly_is_passed_over_for_the_next_one)
{
	struct fits fits = {0};
	struct range *badly = range_of(1, 4);
	struct range *well = range_of(64, 5);
	struct range *large = range_of(128, 100);
	vm_fits_insert(&fits, badly);
	vm_fits_insert(&fits, well);
	vm_fits_insert(&fits, large);
	ck_assert_ptr_eq(vm_fits_best(&fits, 4 * PAGE_BYTES, PAGE_BYTES), badly);
	ck_assert_ptr_eq(vm_fits_best(&fits, 4 * PAGE_BYTES, 4 * PAGE_BYTES), well);
	ck_assert_ptr_eq(vm_fits_best(&fits, 6 * PAGE_BYTES, 4 * PAGE_BYTES), large);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		any_sequence_keeps_the_owner_of_every_page,
		members_come_in_order_of_address,
		an_empty_set_has_nothing,
		the_first_and_the_last_address_are_in_no_range,
		the_best_fit_is_the_smallest_and_then_the_lowest,
		an_aligned_fit_holds_the_block_and_is_found_where_one_surely_is,
		a_range_that_lies_badly_is_passed_over_for_the_next_one,
		NULL,
	};
	return suite_run("ranges", tests, 60);
}
