/* SPDX-License-Identifier: MIT */
/* small/region.h: how the break and the reserves grow, go back and are refused, and their tables. */
#include "crew.h"
#include "fake_os.h"
#include "must.h"
#include "suite.h"

#include "base/sizeclass.h"
#include "os/conf.h"
#include "os/lifeboat.h"
#include "os/os.h"
#include "small/region.h"

#include <stdatomic.h>
#include <string.h>

static void setup(bool own_break)
{
	vm_os_init();
	must(vm_region_init(own_break));
	must(vm_region_count == 1);
	must(vm_regions[0].by_break == own_break);
}

static bool grow(size_t bytes, struct region **region, size_t *at)
{
	*region = vm_region_grow(bytes >> PAGE_SHIFT, at);
	if (!*region)
		return false;
	must((*region)->bytes - *at >= bytes);
	must(fake_os_is_writable((void *)((*region)->base + *at), (*region)->bytes - *at));
	return true;
}

/* Grows the region expected, by no more than `most`. */
static void grow_region(unsigned index, size_t bytes)
{
	struct region *region;
	size_t at;
	size_t old = index < vm_region_count ? vm_regions[index].bytes : 0;
	must(grow(bytes, &region, &at));
	must(region == &vm_regions[index] && at == old);
}

/* A number that each page's entries can be told by. */
static struct run *run_number(size_t page)
{
	return (struct run *)(page * 128 + 64);
}

static void write_tables(struct region *region, size_t from, size_t pages)
{
	for (size_t page = from; page < pages; page++) {
		region->class_of[page] = (uint8_t)(page % CLASS_COUNT);
		region->run_of[page] = run_number(page);
		region->dirty[page] = page % 3 == 0;
	}
}

static void expect_tables(const struct region *region, size_t pages)
{
	for (size_t page = 0; page < pages; page++) {
		must(region->class_of[page] == page % CLASS_COUNT);
		must(region->run_of[page] == run_number(page));
		must(region->dirty[page] == (page % 3 == 0));
	}
	for (size_t page = pages; page < region->bytes >> PAGE_SHIFT; page++)
		must(!region->class_of[page] && !region->run_of[page] && !region->dirty[page]);
}

START_TEST(an_address_belongs_to_the_region_that_it_lies_in)
{
	setup(true);
	must(fake_os_foreign_move_break((ptrdiff_t)PAGE_BYTES));
	grow_region(1, MIB);
	for (unsigned i = 0; i < 2; i++) {
		const struct region *region = &vm_regions[i];
		ck_assert_ptr_eq(region_of((void *)region->base), region);
		ck_assert_ptr_eq(region_of((void *)(region_end(region) - 1)), region);
		ck_assert_ptr_null(region_of((void *)(region->base - 1)));
		ck_assert_ptr_null(region_of((void *)region_end(region)));
	}
	ck_assert_ptr_null(region_of(NULL));
}
END_TEST

START_TEST(the_heap_begins_at_the_break_and_grows_with_it)
{
	vm_os_init();
	char *before = vm_os_move_break(100);
	ck_assert(vm_region_init(true));
	struct region *region = &vm_regions[0];
	ck_assert_uint_eq(region->base, (uintptr_t)before + PAGE_BYTES);
	for (size_t bytes = PAGE_BYTES; bytes < 64 * MIB; bytes *= 3) {
		grow_region(0, bytes);
		ck_assert_ptr_eq(vm_os_break(), (void *)region_end(region));
	}
	ck_assert_uint_eq(vm_region_count, 1);
	expect_tables(region, 0);
}
END_TEST

START_TEST(a_library_that_is_not_the_malloc_leaves_the_break_alone)
{
	vm_os_init();
	void *before = vm_os_break();
	setup(false);
	grow_region(0, 100 * MIB);
	ck_assert_ptr_eq(vm_os_break(), before);
	ck_assert(!vm_region_lower(&vm_regions[0], 1));
}
END_TEST

START_TEST(small_growth_comes_in_steps_of_a_sixteenth)
{
	setup(true);
	uint64_t calls = fake_os.calls;
	for (size_t bytes = 0; bytes < 256 * MIB;) {
		size_t at;
		struct region *region = vm_region_grow(1, &at);
		must(region);
		must(region->bytes - at <= max_size(256 * KIB, region->bytes / 16));
		bytes = region->bytes;
	}
	ck_assert_uint_lt(fake_os.calls - calls, 300);
}
END_TEST

START_TEST(growth_by_others_sends_the_heap_into_a_reserve)
{
	setup(true);
	struct region *region = &vm_regions[0];
	size_t bytes = region->bytes;
	char *theirs = fake_os_foreign_move_break(5000);
	ck_assert_ptr_eq(theirs, (void *)region_end(region));
	grow_region(1, MIB);
	ck_assert(!vm_regions[1].by_break);
	ck_assert_ptr_eq(vm_os_break(), theirs + 5000);
	ck_assert(!vm_region_lower(region, 1));
	ck_assert_uint_eq(region->bytes, bytes);
	ck_assert(!region_of(theirs));
	ck_assert_ptr_eq(region_of((void *)vm_regions[1].base), &vm_regions[1]);
}
END_TEST

START_TEST(a_break_that_comes_back_to_our_end_grows_again)
{
	setup(true);
	fake_os_foreign_move_break(5000);
	grow_region(1, MIB);
	fake_os_foreign_move_break(-5000);
	grow_region(0, MIB);
	ck_assert_ptr_eq(vm_os_break(), (void *)region_end(&vm_regions[0]));
}
END_TEST

START_TEST(a_break_lowered_into_the_heap_is_mended)
{
	setup(true);
	grow_region(0, 10 * MIB);
	struct region *region = &vm_regions[0];
	fake_os_foreign_move_break(-(ptrdiff_t)(3 * MIB));
	ck_assert(!fake_os_is_writable((void *)region->base, region->bytes));
	vm_regions_mend();
	ck_assert(fake_os_is_writable((void *)region->base, region->bytes));
	ck_assert_ptr_eq(vm_os_break(), (void *)region_end(region));

	/* Growth mends, too. */
	fake_os_foreign_move_break(-(ptrdiff_t)(MIB + 123));
	grow_region(0, MIB);
	ck_assert(fake_os_is_writable((void *)region->base, region->bytes));
	ck_assert_ptr_eq(vm_os_break(), (void *)region_end(region));
}
END_TEST

START_TEST(a_map_above_the_break_sends_the_heap_into_a_reserve)
{
	setup(true);
	struct region *region = &vm_regions[0];
	ck_assert_ptr_nonnull(
		fake_os_foreign_map_at((void *)(region_end(region) + MIB), PAGE_BYTES, false));
	grow_region(1, 2 * MIB);
	/* What still fits below it is used for what is small. */
	grow_region(0, 64 * KIB);
	ck_assert_uint_eq(vm_region_count, 2);
}
END_TEST

START_TEST(lowering_gives_the_top_back_where_the_option_allows)
{
	setup(true);
	grow_region(0, 4 * MIB);
	struct region *region = &vm_regions[0];
	size_t bytes = region->bytes;
	ck_assert(vm_region_lower(region, MIB >> PAGE_SHIFT));
	ck_assert_uint_eq(region->bytes, bytes - MIB);
	ck_assert_ptr_eq(vm_os_break(), (void *)region_end(region));
	vm_options.trim_break = 0;
	ck_assert(!vm_region_lower(region, 1));
	ck_assert_uint_eq(region->bytes, bytes - MIB);
	vm_options.trim_break = 1;
	fake_os_foreign_move_break(16);
	ck_assert(!vm_region_lower(region, 1));
	fake_os_foreign_move_break(-16);
	grow_region(0, 4 * MIB);
}
END_TEST

START_TEST(a_refused_reserve_leaves_nothing_mapped)
{
	setup(true);
	fake_os_foreign_move_break(16);
	size_t maps = fake_maps.count;
	size_t bytes = fake_maps.bytes;
	size_t writable = fake_maps.writable_bytes;
	unsigned refused = 0;
	struct region *region;
	size_t at;
	/* One commit more is granted each time: of the three tables, then of the memory. */
	for (;;) {
		fake_os.data_limit = writable + refused * 64 * KIB;
		if (grow(MIB, &region, &at))
			break;
		ck_assert_uint_eq(vm_region_count, 1);
		ck_assert_uint_eq(fake_maps.count, maps);
		ck_assert_uint_eq(fake_maps.bytes, bytes);
		ck_assert_uint_lt(++refused, 100);
	}
	ck_assert_uint_ge(refused, 4);
	ck_assert_ptr_eq(region, &vm_regions[1]);
	expect_tables(region, 0);
}
END_TEST

/* Where a reserve was that could not have its first bytes; afterwards somebody else's. */
static _Atomic uintptr_t given_up;
static _Atomic bool all_opened;

static void open_each_twice(void)
{
	for (unsigned i = 1; i < 5; i++) {
		size_t at;
		fake_os.data_limit = fake_maps.writable_bytes;
		must(!vm_region_grow(1, &at));
		uintptr_t base = vm_regions[i].base;
		must(fake_os_foreign_map_at((void *)base, PAGE_BYTES, false));
		given_up = base;
		fake_os.data_limit = SIZE_MAX;
		grow_region(i, MIB);
		must(vm_regions[i].base != base);
		vm_regions[i].limit_bytes = vm_regions[i].bytes;
	}
	all_opened = true;
}

static void open_or_look_up(unsigned index)
{
	if (!index)
		open_each_twice();
	while (!all_opened) {
		must(region_of((void *)vm_regions[0].base) == &vm_regions[0]);
		must(!region_of((void *)given_up));
	}
}

START_TEST(a_region_that_is_opened_again_elsewhere_does_not_answer_for_where_it_was)
{
	setup(true);
	fake_os_foreign_move_break(16);
	crew_run(3, NULL, open_or_look_up);
}
END_TEST

static void expect_writable(const struct region *region)
{
	const size_t pages = region->bytes >> PAGE_SHIFT;
	must(fake_os_is_writable((void *)region->base, region->bytes));
	must(fake_os_is_writable(region->class_of, pages * sizeof region->class_of[0]));
	must(fake_os_is_writable(region->run_of, pages * sizeof region->run_of[0]));
	must(fake_os_is_writable(region->dirty, pages * sizeof region->dirty[0]));
}

START_TEST(any_one_refused_call_is_an_answer_and_passes)
{
	setup(true);
	grow_region(0, MIB);
	write_tables(&vm_regions[0], 0, vm_regions[0].bytes >> PAGE_SHIFT);
	size_t pages = vm_regions[0].bytes >> PAGE_SHIFT;
	for (unsigned call = 1; call < 12; call++) {
		fake_os.fail_from = fake_os.calls + call;
		fake_os.fail_to = fake_os.fail_from + 1;
		struct region *region;
		size_t at;
		grow(100 * MIB, &region, &at);
		for (unsigned i = 0; i < vm_region_count; i++)
			expect_writable(&vm_regions[i]);
	}
	fake_os.fail_to = 0;
	expect_tables(&vm_regions[0], pages);
}
END_TEST

START_TEST(what_the_kernel_does_not_take_back_serves_who_asks_next)
{
	struct region *region;
	size_t at;
	setup(true);
	fake_os_foreign_move_break(1);
	unsigned refused = 0;
	do {
		fake_os.fail_from = fake_os.calls + refused / 4 + 1;
		fake_os.fail_to = UINT64_MAX;
		must(refused++ < 40);
		must(fake_maps.bytes < vm_os.memory_bytes + vm_os.memory_bytes / 50);
	} while (!grow(8 * MIB, &region, &at));
	ck_assert_uint_ge(refused, 8);
	ck_assert_ptr_eq(region, &vm_regions[1]);
	ck_assert_uint_eq(vm_region_count, 2);
	expect_tables(region, 0);
}
END_TEST

START_TEST(a_start_that_failed_is_made_again_with_what_it_has)
{
	vm_os_init();
	for (unsigned call = 1; !vm_region_count || !vm_regions[0].bytes; call++) {
		fake_os.fail_from = fake_os.calls + call;
		fake_os.fail_to = UINT64_MAX;
		vm_region_init(false);
		must(call < 20);
	}
	fake_os.fail_to = 0;
	ck_assert(vm_region_init(false));
	ck_assert_uint_eq(vm_region_count, 1);
	ck_assert_uint_lt(fake_maps.bytes, vm_os.memory_bytes + vm_os.memory_bytes / 100);
}
END_TEST

/* Grows the first region until its first tables, which are written, have room for a MiB more. Returns
 * its pages. */
static size_t fill_first_tables(struct region *region)
{
	region->limit_bytes = 64 * GIB;
	grow_region(0, 512 * MIB - MIB - region->bytes);
	size_t pages = region->bytes >> PAGE_SHIFT;
	write_tables(region, 0, pages);
	return pages;
}

START_TEST(tables_are_replaced_beyond_512_mib_and_keep_their_content)
{
	setup(true);
	vm_os.memory_bytes = 64 * GIB;
	struct region *region = &vm_regions[0];
	size_t pages = fill_first_tables(region);
	const uint8_t *old_classes = region->class_of;
	grow_region(0, 2 * MIB);
	ck_assert_ptr_ne(region->class_of, old_classes);
	expect_tables(region, pages);

	/* Who has just read where the old one was may still read it. */
	ck_assert(fake_os_is_writable(old_classes, pages));
	for (size_t page = 0; page < pages; page++)
		must(old_classes[page] == page % CLASS_COUNT);
}
END_TEST

START_TEST(refused_tables_leave_the_old_ones)
{
	setup(true);
	struct region *region = &vm_regions[0];
	size_t pages = fill_first_tables(region);
	size_t mapped = fake_maps.bytes;
	const uint8_t *old_classes = region->class_of;
	fake_os.data_limit = fake_maps.writable_bytes + 64 * KIB;
	size_t at;
	ck_assert_ptr_null(vm_region_grow(512, &at));
	ck_assert_ptr_eq(region->class_of, old_classes);
	ck_assert_uint_eq(fake_maps.bytes, mapped);
	expect_tables(region, pages);
	fake_os.data_limit = SIZE_MAX;
	grow_region(0, 2 * MIB);
	expect_tables(region, pages);
}
END_TEST

START_TEST(refused_tables_that_stay_mapped_serve_the_next_try)
{
	setup(true);
	struct region *region = &vm_regions[0];
	size_t pages = fill_first_tables(region);
	size_t mapped = 0;
	size_t at;
	for (unsigned call = 2; call > 0; call -= mapped != 0) {
		fake_os.fail_from = fake_os.calls + call;
		fake_os.fail_to = UINT64_MAX;
		ck_assert_ptr_null(vm_region_grow(512, &at));
		fake_os.fail_to = 0;
		must(!mapped || fake_maps.bytes == mapped);
		mapped = fake_maps.bytes;
	}
	size_t old_bytes = region->bytes;
	uint64_t unmaps = fake_os.unmaps;
	grow_region(0, 2 * MIB);
	ck_assert_uint_eq(fake_maps.bytes, mapped + region->bytes - old_bytes);
	ck_assert_uint_eq(fake_os.unmaps, unmaps);
	expect_tables(region, pages);
}
END_TEST

START_TEST(a_limited_address_space_gets_a_smaller_reserve)
{
	vm_os_init();
	fake_os.address_limit = 100 * MIB;
	ck_assert(vm_region_init(false));
	ck_assert_uint_ge(vm_regions[0].limit_bytes, 32 * MIB);
	ck_assert_uint_le(vm_regions[0].limit_bytes, 100 * MIB);
	size_t at;
	while (vm_region_grow(256, &at))
		;
	size_t bytes = 0;
	for (unsigned i = 0; i < vm_region_count; i++)
		bytes += vm_regions[i].bytes;
	ck_assert_uint_ge(bytes, 60 * MIB);
}
END_TEST

START_TEST(regions_that_are_all_taken_grow_no_further)
{
	size_t at;
	struct region *region;
	vm_os_init();
	for (unsigned i = 0; i < REGIONS_MOST; i++) {
		fake_os.address_limit = fake_maps.bytes + 12 * MIB; /* room for one that is small */
		must(i || vm_region_init(false));
		ck_assert(grow(6 * MIB, &region, &at));
		ck_assert_ptr_eq(region, &vm_regions[i]);
		ck_assert_ptr_eq(region_of((void *)region->base), region);
	}
	fake_os.address_limit = SIZE_MAX;
	size_t bytes = fake_maps.bytes;
	ck_assert(!grow(6 * MIB, &region, &at));
	ck_assert_uint_eq(fake_maps.bytes, bytes);
	ck_assert_uint_eq(vm_region_count, REGIONS_MOST);
	ck_assert_ptr_null(region_of(&at));
}
END_TEST

START_TEST(more_than_all_memory_is_refused_without_a_reserve)
{
	setup(false);
	uint64_t calls = fake_os.calls;
	size_t maps = fake_maps.count;
	size_t at;
	ck_assert_ptr_null(vm_region_grow(9 * GIB >> PAGE_SHIFT, &at));
	ck_assert_uint_eq(fake_maps.count, maps);
	ck_assert_uint_le(fake_os.calls - calls, 1);
}
END_TEST

START_TEST(no_room_for_the_least_heap_is_an_answer)
{
	vm_os_init();
	fake_os.address_limit = 64 * KIB;
	ck_assert(!vm_region_init(true));
	ck_assert_uint_eq(vm_region_count, 0);
	ck_assert_ptr_null(region_of(vm_os_break()));
	fake_os.address_limit = SIZE_MAX;
	ck_assert(vm_region_init(true));
	ck_assert_uint_eq(vm_region_count, 1);
}
END_TEST

START_TEST(at_the_limit_on_maps_the_lifeboat_gives_a_last_reserve)
{
	fake_os.map_limit = 3000;
	vm_os_init();
	vm_lifeboat_init();
	ck_assert(vm_region_init(true));
	fake_os_foreign_maps_add(fake_os.map_limit + 1 - fake_maps.count);
	grow_region(1, MIB);
	ck_assert(!vm_lifeboat_held());
	fake_os_foreign_maps_add(fake_os.map_limit + 1 - fake_maps.count);
	for (int i = 0; i < 200; i++)
		grow_region(1, 5 * MIB);

	/* A child of a fork, too, as far as was committed ahead. */
	fake_os_touch((void *)vm_regions[1].base, vm_regions[1].bytes);
	vm_regions_commit_ahead();
	fake_os_become_child();
	for (int i = 0; i < 100; i++)
		grow_region(1, 5 * MIB);
}
END_TEST

/* `above`: how many maps there are beyond the limit. */
static void grow_a_reserve_in_a_child(size_t above)
{
	fake_os.map_limit = 3000;
	vm_os_init();
	vm_lifeboat_init();
	must(vm_region_init(false));
	grow_region(0, 5 * MIB);
	const struct region *region = &vm_regions[0];
	const size_t pages = region->bytes >> PAGE_SHIFT;
	write_tables(&vm_regions[0], 0, pages);
	fake_os_touch((void *)region->base, region->bytes);
	fake_os_touch(region->class_of, pages);
	fake_os_touch(region->run_of, pages * sizeof *region->run_of);
	fake_os_touch(region->dirty, pages);
	fake_os_foreign_maps_add(fake_os.map_limit + above - fake_maps.count);
	fake_os_become_child();
	for (int i = 0; i < 200; i++) {
		grow_region(0, 5 * MIB);
		fake_os_foreign_maps_add(fake_os.map_limit + 1 - fake_maps.count);
	}
	expect_tables(region, pages);
}

START_TEST(at_the_limit_on_maps_a_reserve_grows_in_a_child_of_a_fork)
{
	grow_a_reserve_in_a_child(0);
}
END_TEST

START_TEST(above_the_limit_on_maps_a_reserve_grows_in_a_child_of_a_fork)
{
	grow_a_reserve_in_a_child(1);
}
END_TEST

START_TEST(ahead_of_a_fork_half_of_the_rest_is_committed_or_as_much_as_the_kernel_grants)
{
	setup(false);
	grow_region(0, MIB);
	struct region *region = &vm_regions[0];
	size_t old_bytes = region->bytes;
	size_t left = region->limit_bytes - region->bytes;

	fake_os.data_limit = fake_maps.writable_bytes + left / 3;
	vm_regions_commit_ahead();
	ck_assert_uint_gt(region->committed_bytes, old_bytes + left / 4 - MIB);
	ck_assert_uint_le(region->committed_bytes, old_bytes + left / 4);
	fake_os.data_limit = SIZE_MAX;
	vm_regions_commit_ahead();
	ck_assert_uint_gt(region->committed_bytes, old_bytes + left / 2 - MIB);
	ck_assert_uint_le(region->committed_bytes, old_bytes + left / 2);
	ck_assert(fake_os_is_writable((void *)region->base, region->committed_bytes));
	ck_assert_uint_eq(region->bytes, old_bytes);
}
END_TEST

START_TEST(a_break_has_nothing_to_commit_ahead_of_a_fork)
{
	setup(true);
	grow_region(0, MIB);
	uint64_t calls = fake_os.calls;
	vm_regions_commit_ahead();
	ck_assert_uint_eq(fake_os.calls, calls);
}
END_TEST

START_TEST(growth_is_of_whole_pages_of_the_kernel_and_no_less_than_is_asked_for)
{
	fake_os.page_bytes = 64 * KIB;
	setup(true);
	for (size_t bytes = PAGE_BYTES; bytes < MIB; bytes += 9 * PAGE_BYTES)
		grow_region(0, bytes);
	ck_assert_uint_eq(vm_regions[0].bytes % (64 * KIB), 0);
}
END_TEST

START_TEST(larger_pages_of_the_kernel_keep_every_edge)
{
	fake_os.page_bytes = 64 * KIB;
	vm_os_init();
	vm_os_move_break(4096);
	ck_assert(vm_region_init(true));
	struct region *region = &vm_regions[0];
	ck_assert_uint_eq(region->base % (64 * KIB), 0);
	for (int i = 0; i < 50; i++) {
		grow_region(0, PAGE_BYTES * (1 + (size_t)i % 40));
		ck_assert_uint_eq(region->bytes % (64 * KIB), 0);
	}
	fake_os_foreign_move_break(1);
	grow_region(1, PAGE_BYTES);
	ck_assert_uint_eq(vm_regions[1].bytes % (64 * KIB), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		an_address_belongs_to_the_region_that_it_lies_in,
		the_heap_begins_at_the_break_and_grows_with_it,
		a_library_that_is_not_the_malloc_leaves_the_break_alone,
		small_growth_comes_in_steps_of_a_sixteenth,
		growth_by_others_sends_the_heap_into_a_reserve,
		a_break_that_comes_back_to_our_end_grows_again,
		a_break_lowered_into_the_heap_is_mended,
		a_map_above_the_break_sends_the_heap_into_a_reserve,
		lowering_gives_the_top_back_where_the_option_allows,
		a_refused_reserve_leaves_nothing_mapped,
		a_region_that_is_opened_again_elsewhere_does_not_answer_for_where_it_was,
		any_one_refused_call_is_an_answer_and_passes,
		what_the_kernel_does_not_take_back_serves_who_asks_next,
		a_start_that_failed_is_made_again_with_what_it_has,
		tables_are_replaced_beyond_512_mib_and_keep_their_content,
		refused_tables_leave_the_old_ones,
		refused_tables_that_stay_mapped_serve_the_next_try,
		a_limited_address_space_gets_a_smaller_reserve,
		regions_that_are_all_taken_grow_no_further,
		more_than_all_memory_is_refused_without_a_reserve,
		no_room_for_the_least_heap_is_an_answer,
		at_the_limit_on_maps_the_lifeboat_gives_a_last_reserve,
		at_the_limit_on_maps_a_reserve_grows_in_a_child_of_a_fork,
		above_the_limit_on_maps_a_reserve_grows_in_a_child_of_a_fork,
		ahead_of_a_fork_half_of_the_rest_is_committed_or_as_much_as_the_kernel_grants,
		a_break_has_nothing_to_commit_ahead_of_a_fork,
		growth_is_of_whole_pages_of_the_kernel_and_no_less_than_is_asked_for,
		larger_pages_of_the_kernel_keep_every_edge,
		NULL,
	};
	return suite_run("region", tests, 60);
}
