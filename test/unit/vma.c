/* SPDX-License-Identifier: MIT */
/* large/vma.h against the maps of the fake kernel, and the decisions of large/budget.h. */
#include "choices.h"
#include "fake_os.h"
#include "must.h"
#include "rng.h"
#include "suite.h"

#include "large/budget.h"
#include "large/vma.h"
#include "os/os.h"

#include <stdlib.h>
#include <string.h>

enum { PIECES = 300, PAGES_MOST = 40, PAGES_IN_SIGHT = 1 << 18 };

static const size_t PAGE = PAGE_BYTES;

struct piece {
	uintptr_t start;
	size_t bytes; /* 0: none */
};

static struct vma_model model;
static struct piece ours[PIECES];
static struct piece others[PIECES];
static bool is_ours[PAGES_IN_SIGHT]; /* by pages below the top of the arena */
static uintptr_t top;
static size_t plain_others; /* ever made */

static void setup(void)
{
	vm_os_init();
	if (!top)
		top = (uintptr_t)fake_os_foreign_map(PAGE, false);
}

static void pay(size_t segments)
{
	while (!vm_vma_reserve(&model, segments))
		vm_vma_feed(&model, calloc(1, sizeof(struct segment)));
}

static size_t page_at(uintptr_t address)
{
	must(address <= top && (top - address) / PAGE < PAGES_IN_SIGHT);
	return (top - address) / PAGE;
}

static void mark(uintptr_t start, size_t bytes, bool own)
{
	memset(&is_ours[page_at(start + bytes - PAGE)], own, bytes / PAGE);
}

static bool holds_ours(const struct vma *vma)
{
	size_t low = page_at(vma->end - PAGE);
	return memchr(&is_ours[low], true, (vma->end - vma->start) / PAGE);
}

/* The maps that hold something of ours. */
static size_t count_ours(void)
{
	size_t count = 0;
	for (size_t i = 0; i < fake_maps.count; i++)
		count += holds_ours(&fake_maps.vmas[i]);
	return count;
}

static void check_bound(void)
{
	vm_vma_check(&model);
	must(model.count + plain_others >= count_ours());
}

static void enter(struct piece *piece, void *address, size_t bytes, bool apart)
{
	*piece = (struct piece){(uintptr_t)address, bytes};
	mark(piece->start, bytes, true);
	if (apart)
		vm_vma_mapped_apart(&model, piece->start, bytes);
	else
		vm_vma_mapped(&model, piece->start, bytes);
}

static struct segment *take_out(uintptr_t start, size_t bytes)
{
	pay(2);
	struct segment *out = vm_vma_take_out(&model, start, bytes);
	vm_vma_release(&model, 2);
	return out;
}

static struct segment *leave(uintptr_t start, size_t bytes)
{
	mark(start, bytes, false);
	return take_out(start, bytes);
}

static size_t some_pages(struct rng *rng)
{
	return (1 + rng_below(rng, PAGES_MOST)) * PAGE;
}

/* An edge or all of a piece; or its middle, which becomes two: the rest is given to `other`. */
static void unmap_part(struct rng *rng, struct piece *piece, struct piece *other)
{
	size_t pages = piece->bytes / PAGE;
	size_t from = rng_below(rng, 3) ? 0 : rng_below(rng, pages);
	size_t to = rng_below(rng, 3) ? pages : from + 1 + rng_below(rng, pages - from);
	if (from && to < pages && other->bytes)
		return;
	uintptr_t start = piece->start + from * PAGE;
	size_t bytes = (to - from) * PAGE;
	bool splits = vm_vma_splits(&model, start, bytes);
	size_t count = model.count;
	struct segment *out = leave(start, bytes);
	must(splits ? model.count == count + 1 : model.count <= count);
	if (!vm_os_unmap((void *)start, bytes)) {
		vm_vma_put_back(&model, out);
		mark(start, bytes, true);
	} else {
		vm_vma_drop(&model, out);
		if (to < pages && from)
			*other = (struct piece){start + bytes, (pages - to) * PAGE};
		if (from)
			piece->bytes = from * PAGE;
		else
			*piece = (struct piece){start + bytes, (pages - to) * PAGE};
	}
}

static void move(struct rng *rng, struct piece *piece)
{
	size_t bytes = piece->bytes + some_pages(rng);
	size_t count = model.count;
	struct segment *out = leave(piece->start, piece->bytes);
	void *moved = vm_os_remap((void *)piece->start, piece->bytes, bytes, rng_below(rng, 2));
	if (moved) {
		vm_vma_drop(&model, out);
		enter(piece, moved, bytes, true);
	} else {
		vm_vma_restore(&model, out);
		mark(piece->start, piece->bytes, true);
		must(model.count == count);
	}
}

static void step_of_ours(struct rng *rng)
{
	struct piece *piece = &ours[rng_below(rng, PIECES)];
	size_t bytes = some_pages(rng);
	if (!piece->bytes) {
		void *address = vm_os_map(bytes);
		pay(1);
		if (address)
			enter(piece, address, bytes, false);
		vm_vma_release(&model, 1);
	} else if (rng_below(rng, 3) == 0) {
		fake_os_touch((void *)piece->start, piece->bytes);
	} else if (rng_below(rng, 10) == 0) {
		move(rng, piece);
	} else {
		unmap_part(rng, piece, &ours[rng_below(rng, PIECES)]);
	}
}

static void step_of_others(struct rng *rng, bool plain)
{
	struct piece *piece = &others[rng_below(rng, PIECES)];
	if (piece->bytes) {
		if (fake_os_foreign_unmap((void *)piece->start, piece->bytes))
			piece->bytes = 0;
		return;
	}
	plain = plain && rng_below(rng, 2);
	size_t bytes = some_pages(rng);
	void *address = fake_os_foreign_map(bytes, plain);
	if (!address)
		return;
	*piece = (struct piece){(uintptr_t)address, bytes};
	plain_others += plain;
	if (plain && rng_below(rng, 2))
		fake_os_touch(address, bytes);
}

static void end_storm(void)
{
	fake_os.map_limit = 65530;
	for (size_t i = 0; i < PIECES; i++) {
		if (others[i].bytes)
			must(fake_os_foreign_unmap((void *)others[i].start, others[i].bytes));
		if (ours[i].bytes) {
			vm_vma_drop(&model, leave(ours[i].start, ours[i].bytes));
			must(vm_os_unmap((void *)ours[i].start, ours[i].bytes));
		}
		ours[i].bytes = others[i].bytes = 0;
	}
	vm_vma_check(&model);
	must(!model.count && !model.bytes && !model.reserved && fake_maps.count == 1);
}

static void storm(size_t limit, bool plain, int forks, int steps)
{
	setup();
	struct rng rng = rng_make(rng_process_seed() + limit);
	fake_os.map_limit = limit;
	for (int i = 0; i < steps; i++) {
		if (rng_below(&rng, 4))
			step_of_ours(&rng);
		else
			step_of_others(&rng, plain);
		if (forks && i % (steps / forks) == 0) {
			fake_os_become_child();
			vm_vma_forked(&model);
		}
		if (i % 16 == 0)
			check_bound();
	}
	end_storm();
}

enum { STEPS = 400000 };

START_TEST(bound_holds_at_20_maps)
{
	storm(20, false, 0, STEPS);
}
END_TEST

START_TEST(bound_holds_at_150_maps)
{
	storm(150, false, 0, STEPS);
}
END_TEST

START_TEST(bound_holds_at_65530_maps)
{
	storm(65530, false, 0, STEPS);
}
END_TEST

START_TEST(bound_holds_over_forks)
{
	storm(65530, false, 40, STEPS);
	storm(150, false, 40, STEPS);
}
END_TEST

enum { SHORT_HISTORY = 6, FEW_PIECES = 3 };

static struct piece *choose_piece(void)
{
	struct piece *there[FEW_PIECES];
	size_t count = 0;
	for (size_t i = 0; i < FEW_PIECES; i++)
		if (ours[i].bytes)
			there[count++] = &ours[i];
	return count ? there[choose(count)] : NULL;
}

static struct piece *place_for_piece(void)
{
	for (size_t i = 0; i < FEW_PIECES; i++)
		if (!ours[i].bytes)
			return &ours[i];
	return NULL;
}

static void map_one_or_two_pages(void)
{
	struct piece *piece = place_for_piece();
	if (!piece)
		return;
	size_t bytes = (1 + choose(2)) * PAGE;
	pay(1);
	enter(piece, vm_os_map(bytes), bytes, false);
	vm_vma_release(&model, 1);
}

/* Any pages of a piece. */
static void unmap_some(struct piece *piece)
{
	size_t pages = piece->bytes / PAGE;
	size_t from = choose(pages);
	size_t to = from + 1 + choose(pages - from);
	struct piece *rest = place_for_piece();
	if (from && to < pages && !rest)
		return;
	uintptr_t start = piece->start + from * PAGE;
	size_t bytes = (to - from) * PAGE;
	bool splits = vm_vma_splits(&model, start, bytes);
	size_t count = model.count;
	pay(1);
	leave(start, bytes);
	must(splits ? model.count == count + 1 : model.count <= count);
	must(vm_os_unmap((void *)start, bytes));
	vm_vma_release(&model, 1);
	if (from && to < pages)
		*rest = (struct piece){start + bytes, (pages - to) * PAGE};
	if (from)
		piece->bytes = from * PAGE;
	else
		*piece = (struct piece){start + bytes, (pages - to) * PAGE};
}

static void remap_by_one_page_more(struct piece *piece)
{
	size_t bytes = piece->bytes + PAGE;
	struct segment *out = leave(piece->start, piece->bytes);
	void *moved = vm_os_remap((void *)piece->start, piece->bytes, bytes, choose(2));
	if (moved) {
		vm_vma_drop(&model, out);
		pay(1);
		enter(piece, moved, bytes, true);
		vm_vma_release(&model, 1);
	} else {
		vm_vma_restore(&model, out);
		mark(piece->start, piece->bytes, true);
	}
}

static void map_or_unmap_foreign(void)
{
	if (others[0].bytes) {
		must(fake_os_foreign_unmap((void *)others[0].start, others[0].bytes));
		others[0].bytes = 0;
	} else {
		others[0] = (struct piece){(uintptr_t)fake_os_foreign_map(PAGE, false), PAGE};
	}
}

static void step_of_short_history(void)
{
	enum { MAP, FOREIGN, FORK, TOUCH, UNMAP, REMAP, STEP_KINDS };
	size_t kind = choose(STEP_KINDS);
	struct piece *piece = kind >= TOUCH ? choose_piece() : NULL;
	if (kind == MAP) {
		map_one_or_two_pages();
	} else if (kind == FOREIGN) {
		map_or_unmap_foreign();
	} else if (kind == FORK) {
		fake_os_become_child();
		vm_vma_forked(&model);
	} else if (piece && kind == TOUCH) {
		fake_os_touch((void *)piece->start, piece->bytes);
	} else if (piece && kind == UNMAP) {
		unmap_some(piece);
	} else if (piece) {
		remap_by_one_page_more(piece);
	}
}

static void short_history(void)
{
	for (int i = 0; i < SHORT_HISTORY; i++) {
		step_of_short_history();
		check_bound();
	}
	end_storm();
}

START_TEST(bound_holds_in_every_short_history)
{
	setup();
	ck_assert_uint_gt(choices_all(short_history), 400000);
}
END_TEST

START_TEST(plain_maps_of_others_hide_at_most_one_each)
{
	storm(65530, true, 0, STEPS);
}
END_TEST

/* Single rules ------------------------------------------------------------------------------ */

/* Pages 1 to 8 of addresses without a kernel. */
static void maps(size_t page, size_t pages)
{
	pay(1);
	vm_vma_mapped(&model, page * PAGE, pages * PAGE);
	vm_vma_release(&model, 1);
}

static void unmaps(size_t page, size_t pages)
{
	vm_vma_drop(&model, take_out(page * PAGE, pages * PAGE));
}

START_TEST(maps_below_each_other_are_one)
{
	for (size_t page = 9; page-- > 1;)
		maps(page, 1);
	ck_assert_uint_eq(model.count, 1);
}
END_TEST

START_TEST(what_is_restored_is_as_before)
{
	maps(1, 8);
	for (size_t from = 1; from < 9; from++) {
		for (size_t to = from + 1; to <= 9; to++) {
			vm_vma_restore(&model, take_out(from * PAGE, (to - from) * PAGE));
			vm_vma_check(&model);
			ck_assert_uint_eq(model.count, 1);
		}
	}
	maps(11, 1);
	maps(9, 1);
	maps(10, 1);
	ck_assert_uint_eq(model.count, 2); /* a border that is no cut stays */
	vm_vma_restore(&model, take_out(10 * PAGE, 2 * PAGE));
	ck_assert_uint_eq(model.count, 2);
}
END_TEST

START_TEST(what_is_restored_after_a_change_is_put_back)
{
	maps(1, 8);
	struct segment *out = take_out(3 * PAGE, PAGE);
	maps(11, 1);
	vm_vma_restore(&model, out);
	vm_vma_check(&model);
	ck_assert_uint_eq(model.count, 3 + 1);
	struct segment *first = take_out(5 * PAGE, PAGE);
	struct segment *second = take_out(7 * PAGE, PAGE);
	vm_vma_restore(&model, first);
	vm_vma_restore(&model, second);
	vm_vma_check(&model);
	ck_assert_uint_eq(model.count, 7 + 1);
	maps(9, 1);
	ck_assert_uint_eq(model.count, 7 + 1); /* one with what lies below it */
}
END_TEST

START_TEST(only_what_ends_a_map_can_be_lengthened)
{
	maps(1, 4);
	ck_assert(vm_vma_ends_at(&model, 5 * PAGE));
	ck_assert(!vm_vma_ends_at(&model, 4 * PAGE));
}
END_TEST

START_TEST(maps_apart_are_two_and_stay_two)
{
	maps(1, 1);
	maps(3, 1);
	ck_assert_uint_eq(model.count, 2);
	maps(2, 1);
	ck_assert_uint_eq(model.count, 2);
	ck_assert(!vm_vma_splits(&model, 2 * PAGE, PAGE));
	ck_assert(vm_vma_is_whole(&model, PAGE, 2 * PAGE));
	ck_assert(vm_vma_is_whole(&model, 3 * PAGE, PAGE));
	ck_assert(vm_vma_is_whole(&model, PAGE, 3 * PAGE));
	ck_assert(!vm_vma_is_whole(&model, 2 * PAGE, PAGE));
}
END_TEST

START_TEST(a_middle_that_goes_leaves_two_an_edge_or_all_no_more)
{
	maps(1, 8);
	ck_assert(!vm_vma_splits(&model, PAGE, PAGE));
	ck_assert(!vm_vma_splits(&model, 8 * PAGE, PAGE));
	ck_assert(vm_vma_splits(&model, 4 * PAGE, PAGE));
	unmaps(4, 1);
	ck_assert_uint_eq(model.count, 2);
	unmaps(3, 1);
	ck_assert_uint_eq(model.count, 2);
	unmaps(5, 4);
	ck_assert_uint_eq(model.count, 1);
	unmaps(1, 2);
	ck_assert_uint_eq(model.count, 0);
}
END_TEST

START_TEST(what_goes_may_be_of_several_maps)
{
	maps(1, 2);
	maps(5, 4);
	maps(3, 2); /* joins the lower */
	ck_assert(!vm_vma_splits(&model, 4 * PAGE, 2 * PAGE));
	unmaps(4, 2);
	ck_assert_uint_eq(model.count, 2);
	unmaps(1, 3);
	unmaps(6, 3);
	ck_assert_uint_eq(model.count, 0);
}
END_TEST

START_TEST(what_the_kernel_did_not_take_is_as_many_maps_as_before)
{
	maps(1, 2);
	maps(5, 4);
	maps(3, 2);
	vm_vma_put_back(&model, take_out(PAGE, 8 * PAGE));
	ck_assert_uint_eq(model.count, 2);
	ck_assert_uint_eq(model.bytes, 8 * PAGE);
	vm_vma_put_back(&model, take_out(4 * PAGE, 2 * PAGE));
	ck_assert_uint_eq(model.count, 4);
	vm_vma_put_back(&model, take_out(2 * PAGE, PAGE));
	ck_assert_uint_eq(model.count, 6);
	vm_vma_check(&model);
	unmaps(1, 8);
	ck_assert_uint_eq(model.count, 0);
}
END_TEST

START_TEST(what_moved_or_is_inherited_merges_with_nothing_new)
{
	pay(1);
	vm_vma_mapped_apart(&model, 4 * PAGE, PAGE);
	vm_vma_release(&model, 1);
	maps(5, 1);
	maps(3, 1);
	ck_assert_uint_eq(model.count, 3);
	vm_vma_forked(&model);
	maps(6, 1);
	maps(2, 1);
	ck_assert_uint_eq(model.count, 5);
	maps(7, 1);
	maps(1, 1);
	ck_assert_uint_eq(model.count, 5);
}
END_TEST

/* It may merge with what moved after all, and then its border is to the one above. */
START_TEST(a_map_above_what_moved_is_not_said_to_be_one_with_that_above)
{
	pay(1);
	vm_vma_mapped_apart(&model, PAGE, PAGE);
	vm_vma_release(&model, 1);
	maps(3, 1);
	maps(2, 1);
	ck_assert_uint_eq(model.count, 3);
	unmaps(2, 1);
	ck_assert_uint_eq(model.count, 2);
}
END_TEST

START_TEST(records_that_are_reserved_are_not_reserved_again)
{
	pay(2);
	ck_assert(!vm_vma_reserve(&model, 1));
	vm_vma_release(&model, 1);
	ck_assert(vm_vma_reserve(&model, 1));
}
END_TEST

/* The budget -------------------------------------------------------------------------------- */

static const struct {
	size_t limit, share, reserve, count, own_then; /* given */
	size_t tight_from, normal_below;
	bool by_count;
} decisions[] = {
	/* Nothing read yet: our share counts, a sixteenth early; it ends at three quarters. */
	{65530, 25, 0, 0, 0, 15359, 12287, false},
	{0, 25, 0, 0, 0, 15359, 12287, false},
	{1048576, 25, 0, 0, 0, 245760, 196608, false},
	{65530, 100, 1, 0, 0, 61435, 49148, true},
	/* Others have much: 65530 - 6553 - 50000 are left; it ends a thirty-second of the limit below. */
	{65530, 25, 0, 52000, 2000, 8977, 6930, true},
	{65530, 25, 0, 65531, 0, 0, 0, true},
	{65530, 25, 2000, 52000, 2000, 13530, 11483, true},
	/* Others have little. */
	{65530, 25, 0, 10100, 10000, 15359, 12287, false},
	/* The bound was above the count: all of it is ours. */
	{65530, 25, 0, 4000, 5000, 15359, 12287, false},
	/* Small limits: the reserve is at most a half. */
	{20, 100, 0, 0, 0, 10, 10, true},
	{3000, 100, 0, 0, 0, 1500, 1407, true},
};

START_TEST(budget_by_the_table)
{
	for (size_t i = 0; i < sizeof decisions / sizeof decisions[0]; i++) {
		struct budget budget = {0};
		vm_budget_enter(&budget, decisions[i].count, decisions[i].own_then, 0);
		vm_budget_begin(&budget, decisions[i].limit, decisions[i].share,
				decisions[i].reserve);
		ck_assert_uint_eq(budget.tight_from, decisions[i].tight_from);
		ck_assert_uint_eq(budget.normal_below, decisions[i].normal_below);
		ck_assert_int_eq(budget.by_count, decisions[i].by_count);
	}
}
END_TEST

START_TEST(tight_begins_and_ends_apart)
{
	struct budget budget = {0};
	vm_budget_begin(&budget, 65530, 25, 0);
	ck_assert(!budget_judge(&budget, 15358));
	ck_assert(budget_judge(&budget, 15359));
	ck_assert(budget_judge(&budget, 12287));
	ck_assert(!budget_judge(&budget, 12286));
	ck_assert(!budget_judge(&budget, 15358));
}
END_TEST

START_TEST(the_count_is_read_when_the_bound_has_moved_or_a_map_was_refused)
{
	struct budget budget = {0};
	vm_budget_begin(&budget, 65530, 25, 0);
	ck_assert(!vm_budget_claim_reading(&budget, 4094, false, 10));
	ck_assert(vm_budget_claim_reading(&budget, 4095, false, 10));
	vm_budget_enter(&budget, 4200, 4095, 10);
	ck_assert(!vm_budget_wants_reading(&budget, 1));
	ck_assert(vm_budget_wants_reading(&budget, 0));
	ck_assert(vm_budget_wants_reading(&budget, 8190));
	/* 4,200 maps take 0.63 to 1.05 ms to read: not again before 1,051 ms. */
	ck_assert(!vm_budget_claim_reading(&budget, 9000, true, 1060));
	ck_assert(vm_budget_claim_reading(&budget, 4095, true, 1061));
	ck_assert(!vm_budget_claim_reading(&budget, 4095, true, 1062));
	vm_budget_begin(&budget, 8000, 25, 0);
	ck_assert(!vm_budget_wants_reading(&budget, 5094));
	ck_assert(vm_budget_wants_reading(&budget, 5095));
}
END_TEST

START_TEST(the_count_is_read_as_long_as_it_makes_the_budget_tight)
{
	struct budget budget = {0};
	vm_budget_enter(&budget, 65531, 0, 0);
	vm_budget_begin(&budget, 65530, 25, 0);
	ck_assert(!vm_budget_wants_reading(&budget, 0));
	ck_assert(budget_judge(&budget, 0));
	ck_assert(vm_budget_wants_reading(&budget, 0));
	ck_assert(vm_budget_claim_reading(&budget, 0, false, 20000));
	vm_budget_enter(&budget, 100, 0, 20000);
	vm_budget_begin(&budget, 65530, 25, 0);
	ck_assert(!budget_judge(&budget, 0));
	ck_assert(!vm_budget_wants_reading(&budget, 0));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		bound_holds_at_20_maps,
		bound_holds_at_150_maps,
		bound_holds_at_65530_maps,
		bound_holds_over_forks,
		bound_holds_in_every_short_history,
		plain_maps_of_others_hide_at_most_one_each,
		maps_below_each_other_are_one,
		what_is_restored_is_as_before,
		what_is_restored_after_a_change_is_put_back,
		only_what_ends_a_map_can_be_lengthened,
		maps_apart_are_two_and_stay_two,
		a_middle_that_goes_leaves_two_an_edge_or_all_no_more,
		what_goes_may_be_of_several_maps,
		what_the_kernel_did_not_take_is_as_many_maps_as_before,
		what_moved_or_is_inherited_merges_with_nothing_new,
		a_map_above_what_moved_is_not_said_to_be_one_with_that_above,
		records_that_are_reserved_are_not_reserved_again,
		budget_by_the_table,
		tight_begins_and_ends_apart,
		the_count_is_read_when_the_bound_has_moved_or_a_map_was_refused,
		the_count_is_read_as_long_as_it_makes_the_budget_tight,
		NULL,
	};
	return suite_run("vma", tests, 120);
}
