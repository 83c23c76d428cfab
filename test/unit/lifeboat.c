/* SPDX-License-Identifier: MIT */
/* os/lifeboat.h: what a launch at the limit on maps is good for, and when the ballast is held again. */
#include "fake_os.h"
#include "must.h"
#include "pattern.h"
#include "suite.h"

#include "base/base.h"
#include "meta/meta.h"
#include "os/conf.h"
#include "os/lifeboat.h"
#include "os/os.h"

enum { LIMIT = 5000 };

static void start(size_t map_limit)
{
	fake_os.map_limit = map_limit;
	vm_os_init();
	vm_lifeboat_init();
}

static void setup(void)
{
	start(LIMIT);
}

static void fill_up(void)
{
	fake_os_foreign_maps_add(LIMIT + 1 - fake_maps.count);
	ck_assert_ptr_null(vm_os_map(PAGE_BYTES));
	ck_assert_ptr_null(vm_os_reserve(PAGE_BYTES));
}

START_TEST(the_ballast_is_held_from_the_start_and_costs_no_memory)
{
	setup();
	ck_assert(vm_lifeboat_held());
	ck_assert_uint_ge(fake_maps.count, 20);
	ck_assert_uint_eq(fake_maps.writable_bytes, 0);
	ck_assert_ptr_null(vm_lifeboat_records(PAGE_BYTES));
	uint64_t calls = fake_os.calls;
	vm_lifeboat_tick(fake_os_advance(1000000));
	ck_assert_uint_eq(fake_os.calls, calls);
}
END_TEST

START_TEST(a_launch_at_the_limit_gives_records_and_room_for_a_region)
{
	setup();
	fill_up();
	ck_assert(vm_lifeboat_launch());
	ck_assert(!vm_lifeboat_held());
	ck_assert_ptr_nonnull(vm_os_reserve(MIB));
	ck_assert_ptr_nonnull(vm_os_map(MIB));
	ck_assert_uint_ge(LIMIT - fake_maps.count, 8);
	fill_up();

	/* Records go on at any count, and do not overlap. */
	char *before = vm_lifeboat_records(PAGE_BYTES);
	ck_assert_ptr_nonnull(before);
	pattern_fill(before, PAGE_BYTES, 0);
	for (unsigned i = 0; i < 300; i++) {
		size_t bytes = (1 + i % 3) * 64 * KIB - i % 2;
		char *records = vm_lifeboat_records(bytes);
		must(records && fake_os_is_writable(records, bytes));
		must(pattern_is_zero(records, bytes));
		must(pattern_holds(before, 1000, i));
		pattern_fill(records, bytes, i + 1);
		before = records;
	}
}
END_TEST

START_TEST(a_launch_where_there_is_room_gives_nothing_up)
{
	setup();
	fill_up();
	ck_assert(vm_lifeboat_launch());
	size_t maps = fake_maps.count;
	ck_assert(!vm_lifeboat_launch());
	ck_assert_uint_eq(fake_maps.count, maps);
}
END_TEST

START_TEST(a_young_process_holds_one_part_of_the_ballast_and_then_three)
{
	start(USUAL_MAP_LIMIT);
	const size_t young = fake_maps.count;
	ck_assert_uint_ge(young, 12);
	vm_lifeboat_tick(fake_os_advance(15));
	ck_assert_uint_eq(fake_maps.count, young);
	vm_lifeboat_tick(fake_os_advance(1));
	ck_assert(vm_lifeboat_held());
	ck_assert_uint_eq(fake_maps.count, 3 * young);
	const uint64_t calls = fake_os.calls;
	vm_lifeboat_tick(fake_os_advance(1000000));
	ck_assert_uint_eq(fake_os.calls, calls);
}
END_TEST

START_TEST(where_the_limit_is_low_three_parts_are_held_from_the_start)
{
	setup();
	const size_t low = fake_maps.count;
	vm_lifeboat_tick(fake_os_advance(1000));
	ck_assert_uint_eq(fake_maps.count, low);
	ck_assert_uint_ge(low, 3 * 12);
}
END_TEST

START_TEST(what_a_process_is_refused_of_the_ballast_is_looked_for_later)
{
	start(USUAL_MAP_LIMIT);
	const size_t young = fake_maps.count;
	fake_os_foreign_maps_add(USUAL_MAP_LIMIT + 1 - fake_maps.count);
	vm_lifeboat_tick(fake_os_advance(16));
	ck_assert(vm_lifeboat_held()); /* the one part */
	ck_assert_uint_eq(fake_maps.count, USUAL_MAP_LIMIT + 1);
	uint64_t calls = fake_os.calls;
	vm_lifeboat_tick(fake_os_advance(900));
	ck_assert_uint_eq(fake_os.calls, calls);
	fake_os_foreign_maps_remove(2000);
	vm_lifeboat_tick(fake_os_advance(100));
	ck_assert_uint_eq(fake_maps.count, USUAL_MAP_LIMIT + 1 - 2000 + 2 * young);
	calls = fake_os.calls;
	vm_lifeboat_tick(fake_os_advance(1000000));
	ck_assert_uint_eq(fake_os.calls, calls);
}
END_TEST

START_TEST(a_young_process_that_launches_holds_all_parts_afterwards)
{
	start(USUAL_MAP_LIMIT);
	const size_t young = fake_maps.count;
	fake_os_foreign_maps_add(USUAL_MAP_LIMIT + 1 - fake_maps.count);
	ck_assert(vm_lifeboat_launch());
	ck_assert_ptr_nonnull(vm_os_reserve(MIB));
	fake_os_foreign_maps_add(USUAL_MAP_LIMIT + 1 - fake_maps.count);
	ck_assert(!vm_lifeboat_launch());
	ck_assert_ptr_nonnull(vm_lifeboat_records(MIB));
	fake_os_foreign_maps_remove(2000);
	const size_t launched = fake_maps.count;
	vm_lifeboat_tick(fake_os_advance(1000000));
	ck_assert(vm_lifeboat_held());
	ck_assert_uint_ge(fake_maps.count, launched + 3 * young - 4); /* less the reserve's */
}
END_TEST

START_TEST(what_others_take_of_a_launch_the_next_makes_up_for)
{
	setup();
	for (unsigned part = 0; part < 3; part++) {
		fill_up();
		ck_assert(vm_lifeboat_launch());
		ck_assert(!vm_lifeboat_held());
		ck_assert_ptr_nonnull(vm_os_reserve(MIB));
	}
	fill_up();
	ck_assert(!vm_lifeboat_launch());
	ck_assert_ptr_nonnull(vm_lifeboat_records(MIB));

	/* All parts are held again. */
	fake_os_foreign_maps_remove(2000);
	vm_lifeboat_tick(fake_os_advance(1000000));
	ck_assert(vm_lifeboat_held());
	for (unsigned part = 0; part < 3; part++) {
		fill_up();
		ck_assert(vm_lifeboat_launch());
	}
}
END_TEST

START_TEST(what_no_record_took_of_the_reserve_is_unmapped_when_the_ballast_is_held)
{
	setup();
	for (unsigned round = 0; round < 3; round++) {
		fill_up();
		const size_t bytes = fake_maps.bytes;
		ck_assert(vm_lifeboat_launch());
		char *records = vm_lifeboat_records(MIB);
		ck_assert_ptr_nonnull(records);
		fake_os_foreign_maps_remove(2000);

		/* Refused, it stays, and so do the records. */
		fake_os.fail_from = 0;
		fake_os.fail_to = UINT64_MAX;
		vm_lifeboat_tick(fake_os_advance(1000000));
		fake_os.fail_to = 0;
		ck_assert(!vm_lifeboat_held());
		/* The ballast is granted, but the unmap refused. */
		fake_os.fail_from = fake_os.calls + 2;
		fake_os.fail_to = fake_os.fail_from + 1;
		vm_lifeboat_tick(fake_os_advance(1000000));
		ck_assert(!vm_lifeboat_held());

		vm_lifeboat_tick(fake_os_advance(1000000));
		ck_assert(vm_lifeboat_held());
		ck_assert_uint_eq(fake_maps.bytes, bytes - 2000 * PAGE_BYTES + MIB);
		pattern_fill(records, MIB, round);
		ck_assert_ptr_null(vm_lifeboat_records(PAGE_BYTES));
	}
}
END_TEST

START_TEST(records_run_out_with_an_answer)
{
	setup();
	fill_up();
	ck_assert(vm_lifeboat_launch());
	size_t bytes = 0;
	while (vm_lifeboat_records(MIB))
		must((bytes += MIB) <= vm_os.memory_bytes);
	ck_assert_uint_ge(bytes, vm_os.memory_bytes / 64);
	ck_assert_ptr_null(vm_lifeboat_records(MIB));
	ck_assert_ptr_null(vm_lifeboat_records(SIZE_MAX / 2));
}
END_TEST

START_TEST(records_of_any_size_lie_apart)
{
	setup();
	fill_up();
	ck_assert(vm_lifeboat_launch());
	char *first = vm_lifeboat_records(100);
	char *second = vm_lifeboat_records(KIB);
	char *third = vm_lifeboat_records(70 * KIB);
	char *last = vm_lifeboat_records(1);
	ck_assert(second >= first + 100);
	ck_assert(third >= second + KIB);
	ck_assert(last >= third + 70 * KIB);
	ck_assert(fake_os_is_writable(first, (size_t)(last + 1 - first)));
}
END_TEST

START_TEST(a_refused_commit_gives_no_records_and_passes)
{
	setup();
	fill_up();
	ck_assert(vm_lifeboat_launch());
	fake_os.data_limit = 0;
	ck_assert_ptr_null(vm_lifeboat_records(MIB));
	fake_os.data_limit = SIZE_MAX;
	ck_assert_ptr_nonnull(vm_lifeboat_records(MIB));
}
END_TEST

START_TEST(a_refused_reserve_is_tried_smaller)
{
	setup();
	fill_up();
	fake_os.address_limit = fake_maps.bytes + 10 * MIB;
	ck_assert(vm_lifeboat_launch());
	ck_assert_ptr_nonnull(vm_lifeboat_records(MIB));
}
END_TEST

START_TEST(the_least_reserve_is_1_mib)
{
	setup();
	fill_up();
	fake_os.address_limit = fake_maps.bytes + MIB; /* and the part of the ballast */
	ck_assert(vm_lifeboat_launch());
	ck_assert_ptr_nonnull(vm_lifeboat_records(MIB));
	ck_assert_ptr_null(vm_lifeboat_records(1));
}
END_TEST

START_TEST(records_leave_nearly_all_of_a_limited_address_space_to_the_heap)
{
	setup();
	fill_up();
	fake_os.address_limit = fake_maps.bytes + 512 * MIB;
	ck_assert(vm_lifeboat_launch());
	ck_assert_ptr_nonnull(vm_lifeboat_records(4 * MIB));
	ck_assert_ptr_nonnull(vm_os_reserve(480 * MIB));
}
END_TEST

START_TEST(no_room_for_any_reserve_gives_no_records)
{
	setup();
	fill_up();
	fake_os.address_limit = fake_maps.bytes;
	ck_assert(vm_lifeboat_launch());
	ck_assert_ptr_null(vm_lifeboat_records(PAGE_BYTES));
}
END_TEST

START_TEST(the_ballast_is_taken_again_when_the_count_has_fallen)
{
	setup();
	fill_up();
	ck_assert(vm_lifeboat_launch());

	/* Not while the count is near the limit, however late. */
	vm_lifeboat_tick(fake_os_advance(1000000));
	ck_assert(!vm_lifeboat_held());
	fake_os_foreign_maps_remove(fake_maps.count - (LIMIT - 1000));
	vm_lifeboat_tick(fake_os_advance(1000000));
	ck_assert(!vm_lifeboat_held());

	fake_os_foreign_maps_remove(1);
	size_t maps = fake_maps.count;
	vm_lifeboat_tick(fake_os_advance(1000000));
	ck_assert(vm_lifeboat_held());
	ck_assert_uint_gt(fake_maps.count, maps);

	/* And can be launched again: the records are those that were left. */
	fill_up();
	ck_assert(vm_lifeboat_launch());
	ck_assert_ptr_nonnull(vm_lifeboat_records(MIB));
}
END_TEST

START_TEST(where_the_count_is_not_to_be_read_it_is_not)
{
	setup();
	vm_options.map_count = false;
	fill_up();
	ck_assert(vm_lifeboat_launch());
	fake_os_foreign_maps_remove(2000);
	vm_lifeboat_tick(fake_os_advance(1000000));
	ck_assert(!vm_lifeboat_held());
	vm_options.map_count = true;
	vm_lifeboat_tick(fake_os_advance(1000000));
	ck_assert(vm_lifeboat_held());
}
END_TEST

START_TEST(looks_at_the_count_become_rarer_while_there_is_no_room)
{
	setup();
	fill_up();
	ck_assert(vm_lifeboat_launch());
	uint64_t launched_ms = fake_os.now_ms;
	vm_lifeboat_tick(launched_ms + 1000);
	fake_os_foreign_maps_remove(2000);
	vm_lifeboat_tick(launched_ms + 1000 + 1999);
	ck_assert(!vm_lifeboat_held());
	vm_lifeboat_tick(launched_ms + 1000 + 2000);
	ck_assert(vm_lifeboat_held());
}
END_TEST

START_TEST(looks_take_a_thousandth_of_the_time_however_often_it_is_launched)
{
	fake_os.map_limit = 20000;
	vm_os_init();
	vm_lifeboat_init();
	uint64_t pause_ms = 1000;
	for (int round = 0; round < 3; round++) {
		fake_os_foreign_maps_add(20001 - fake_maps.count);
		ck_assert(vm_lifeboat_launch());
		fake_os_foreign_maps_remove(2000);
		vm_lifeboat_tick(fake_os_advance(pause_ms - 1));
		ck_assert(!vm_lifeboat_held());
		uint64_t next_pause_ms = os_count_pause_ms(fake_maps.count);
		vm_lifeboat_tick(fake_os_advance(1));
		ck_assert(vm_lifeboat_held());
		pause_ms = next_pause_ms;
	}
}
END_TEST

START_TEST(a_refused_ballast_is_asked_for_again)
{
	setup();
	fill_up();
	ck_assert(vm_lifeboat_launch());
	fake_os_foreign_maps_remove(2000);
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	vm_lifeboat_tick(fake_os_advance(1000000));
	ck_assert(!vm_lifeboat_held());
	fake_os.fail_to = 0;
	vm_lifeboat_tick(fake_os_advance(1000000));
	ck_assert(vm_lifeboat_held());
}
END_TEST

START_TEST(a_part_that_the_kernel_does_not_take_is_held_on)
{
	setup();
	fill_up();
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	ck_assert(!vm_lifeboat_launch());
	ck_assert(vm_lifeboat_held());
	fake_os.fail_to = 0;
	for (unsigned part = 0; part < 3; part++) {
		ck_assert(vm_lifeboat_launch());
		fill_up();
	}
}
END_TEST

START_TEST(a_ballast_refused_at_the_start_is_taken_later)
{
	fake_os.map_limit = LIMIT;
	vm_os_init();
	fake_os_foreign_maps_add(1);
	fake_os.address_limit = fake_maps.bytes;
	vm_lifeboat_init();
	ck_assert(!vm_lifeboat_held());
	fake_os.address_limit = SIZE_MAX;
	uint64_t calls = fake_os.calls;
	vm_lifeboat_tick(fake_os_advance(1));
	ck_assert_uint_eq(fake_os.calls, calls);
	vm_lifeboat_tick(fake_os_advance(1000));
	ck_assert(vm_lifeboat_held());
	fill_up();
	ck_assert(vm_lifeboat_launch());
}
END_TEST

START_TEST(a_fork_after_a_launch_leaves_the_child_records_without_a_further_map)
{
	setup();
	fill_up();
	ck_assert(vm_lifeboat_launch());
	char *records = vm_lifeboat_records(64 * KIB);
	fake_os_touch(records, 64 * KIB);
	fake_os_foreign_maps_add(LIMIT + 1 - fake_maps.count);
	vm_lifeboat_lock_for_fork();
	vm_lifeboat_unlock_after_fork();
	fake_os_become_child();
	size_t bytes = 64 * KIB;
	while ((records = vm_lifeboat_records(64 * KIB))) {
		fake_os_touch(records, 64 * KIB);
		bytes += 64 * KIB;
	}
	ck_assert_uint_eq(bytes, vm_os.memory_bytes / 32); /* all of the reserve */
}
END_TEST

START_TEST(records_of_meta_go_on_at_the_limit)
{
	setup();
	fill_up();
	for (unsigned i = 0; i < 3000; i++)
		must(vm_meta_alloc(PAGE_BYTES));
	ck_assert(!vm_lifeboat_held());
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		the_ballast_is_held_from_the_start_and_costs_no_memory,
		a_launch_at_the_limit_gives_records_and_room_for_a_region,
		a_launch_where_there_is_room_gives_nothing_up,
		what_no_record_took_of_the_reserve_is_unmapped_when_the_ballast_is_held,
		a_young_process_holds_one_part_of_the_ballast_and_then_three,
		where_the_limit_is_low_three_parts_are_held_from_the_start,
		what_a_process_is_refused_of_the_ballast_is_looked_for_later,
		a_young_process_that_launches_holds_all_parts_afterwards,
		what_others_take_of_a_launch_the_next_makes_up_for,
		records_run_out_with_an_answer,
		records_of_any_size_lie_apart,
		a_refused_commit_gives_no_records_and_passes,
		a_refused_reserve_is_tried_smaller,
		the_least_reserve_is_1_mib,
		records_leave_nearly_all_of_a_limited_address_space_to_the_heap,
		no_room_for_any_reserve_gives_no_records,
		the_ballast_is_taken_again_when_the_count_has_fallen,
		where_the_count_is_not_to_be_read_it_is_not,
		looks_at_the_count_become_rarer_while_there_is_no_room,
		looks_take_a_thousandth_of_the_time_however_often_it_is_launched,
		a_refused_ballast_is_asked_for_again,
		a_part_that_the_kernel_does_not_take_is_held_on,
		a_ballast_refused_at_the_start_is_taken_later,
		a_fork_after_a_launch_leaves_the_child_records_without_a_further_map,
		records_of_meta_go_on_at_the_limit,
		NULL,
	};
	return suite_run("lifeboat", tests, 60);
}
