/* SPDX-License-Identifier: MIT */
/* small/transfer.h: blocks come out as they went in, each once, and what nobody uses goes to the slabs. */
#include "fake_os.h"
#include "must.h"
#include "rng.h"
#include "suite.h"

#include "base/sizeclass.h"
#include "meta/footprint.h"
#include "meta/meta.h"
#include "os/conf.h"
#include "os/os.h"
#include "small/bin.h"
#include "small/pageheap.h"
#include "small/transfer.h"

#include <pthread.h>
#include <string.h>

#include <vmalloc.h>

enum { BATCH = 64, MANY = 40000 };

static void setup(void)
{
	vm_os_init();
	must(vm_pageheap_init(true));
	must(vm_bins_init());
	must(vm_transfer_init());
}

static size_t small_live(void)
{
	struct vm_stats figures = {0};
	vm_bins_stats(&figures);
	return figures.small_live;
}

static size_t class_bytes(unsigned class)
{
	return vm_classes[class].bytes;
}

/* Blocks of a class, in the transfer cache as far as it takes them; returns how many. */
static size_t put_new(unsigned class, size_t count)
{
	static void *blocks[MANY];
	must(vm_bin_fill(class, 0, blocks, count) == count);
	size_t moved = vm_transfer_put(class, blocks, count);
	must(moved <= count);
	vm_bin_flush(class, blocks, count - moved);
	return moved;
}

START_TEST(any_sequence_is_a_stack_for_each_class)
{
	static void *model[CLASS_COUNT][8192];
	static size_t counts[CLASS_COUNT];
	setup();
	struct rng rng = rng_make(rng_process_seed());
	for (int i = 0; i < 40000; i++) {
		unsigned class = 1 + (unsigned)rng_below(&rng, CLASS_COUNT - 1);
		size_t count = 1 + rng_below(&rng, BATCH);
		void *blocks[BATCH];
		if (rng_below(&rng, 2)) {
			size_t got = vm_transfer_get(class, blocks, count);
			must(got == min_size(count, counts[class]));
			counts[class] -= got;
			must(!memcmp(blocks, model[class] + counts[class], got * sizeof blocks[0]));
		} else {
			for (size_t j = 0; j < count; j++)
				blocks[j] = (void *)(rng_next(&rng) | 1); /* never looked into */
			size_t put = vm_transfer_put(class, blocks, count);
			must(put <= count);
			memcpy(model[class] + counts[class], blocks + (count - put),
			       put * sizeof blocks[0]);
			counts[class] += put;
		}
		if (i % 1000)
			continue;
		size_t bytes = 0;
		for (unsigned c = 1; c < CLASS_COUNT; c++)
			bytes += counts[c] * class_bytes(c);
		must(vm_transfer_cached() == bytes);
	}
}
END_TEST

START_TEST(room_grows_only_where_it_is_missed_both_ways_and_to_1_mib)
{
	setup();
	unsigned class = class_of_size(1024);
	size_t first = put_new(class, 1000);
	ck_assert_uint_eq(first * class_bytes(class), 64 * KIB);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(put_new(class, 1000), 0);

	size_t room = first;
	void *blocks[MANY];
	for (int i = 0; i < 10; i++) {
		size_t got = vm_transfer_get(class, blocks, MANY); /* misses */
		ck_assert_uint_eq(got, room);
		vm_bin_flush(class, blocks, got);
		size_t moved = put_new(class, 2000);
		ck_assert_uint_eq(moved, min_size(2 * room, MIB / 1024));
		ck_assert_uint_eq(put_new(class, 2000), 0); /* not missed since */
		room = moved;
	}
	ck_assert_uint_eq(room * class_bytes(class), MIB);
}
END_TEST

/* A class's room grows as far as it can, while its blocks are in use. */
static size_t grow_room(unsigned class)
{
	static void *blocks[MANY];
	size_t count = min_size(MANY, 2 * MIB / class_bytes(class));
	for (int i = 0; i < 12; i++) {
		put_new(class, count);
		vm_bin_flush(class, blocks, vm_transfer_get(class, blocks, MANY));
	}
	return put_new(class, count) * class_bytes(class);
}

/* The room of 30 classes, as far as it grows, beyond their first. */
static size_t grow_rooms(void)
{
	const unsigned from = class_of_size(256);
	size_t room = 0;
	for (unsigned class = from; class < from + 30; class++)
		room += grow_room(class) - 64 * KIB / class_bytes(class) * class_bytes(class);
	return room;
}

START_TEST(all_rooms_together_grow_to_8_mib_and_a_sixteenth_of_the_heap)
{
	setup();
	size_t room = grow_rooms();
	ck_assert_uint_ge(room, 7 * MIB);
	/* With what was in use then. */
	ck_assert_uint_le(room, 8 * MIB + (vm_footprint_live(FOOTPRINT_HEAP) + 2 * MIB) / 16);

	must(vm_run_alloc((64 * MIB) >> PAGE_SHIFT, 1, &(bool){false}));
	size_t larger = grow_rooms();
	ck_assert_uint_ge(larger, room + 2 * MIB);
	ck_assert_uint_le(larger, 8 * MIB + (vm_footprint_live(FOOTPRINT_HEAP) + 2 * MIB) / 16);
}
END_TEST

START_TEST(first_room_takes_none_from_others)
{
	setup();
	for (unsigned class = 1; class < CLASS_COUNT; class++)
		put_new(class, 1);
	ck_assert_uint_eq(grow_room(class_of_size(1024)), MIB);
}
END_TEST

START_TEST(room_that_one_has_no_more_is_room_for_another)
{
	setup();
	grow_rooms();
	vm_transfer_trim();
	for (int i = 0; i < 6; i++)
		vm_transfer_tick(fake_os_advance(1000));
	ck_assert_uint_eq(grow_room(class_of_size(64)), MIB / 2); /* 8,192 blocks */
}
END_TEST

START_TEST(room_that_is_not_used_is_halved_at_each_tick)
{
	setup();
	unsigned class = class_of_size(1024);
	ck_assert_uint_eq(grow_room(class), MIB);
	for (size_t room = MIB; room > 64 * KIB; room /= 2) {
		vm_transfer_trim();
		vm_transfer_tick(fake_os_advance(1000)); /* it was full since the last */
		vm_transfer_tick(fake_os_advance(1000));
		ck_assert_uint_eq(put_new(class, 2000) * class_bytes(class), room / 2);
	}
	vm_transfer_trim();
	vm_transfer_tick(fake_os_advance(1000));
	vm_transfer_tick(fake_os_advance(1000));
	ck_assert_uint_eq(put_new(class, 2000) * class_bytes(class), 64 * KIB);
}
END_TEST

START_TEST(room_for_two_is_halved_to_room_for_one_and_stays_so)
{
	setup();
	unsigned class = class_of_size(512 * KIB);
	ck_assert_uint_eq(grow_room(class), 2 * class_bytes(class));
	for (int i = 0; i < 3; i++) {
		vm_transfer_trim();
		vm_transfer_tick(fake_os_advance(1000)); /* it was full since the last */
		vm_transfer_tick(fake_os_advance(1000));
		ck_assert_uint_eq(put_new(class, 4), 1);
	}
}
END_TEST

START_TEST(room_of_which_more_than_a_quarter_is_used_stays)
{
	setup();
	unsigned class = class_of_size(1024);
	void *blocks[MANY];
	ck_assert_uint_eq(grow_room(class), MIB);
	for (int i = 0; i < 3; i++) {
		vm_transfer_trim();
		vm_transfer_tick(fake_os_advance(1000));
		ck_assert_uint_eq(put_new(class, 257), 257);
		vm_bin_flush(class, blocks, vm_transfer_get(class, blocks, 257));
	}
	vm_transfer_tick(fake_os_advance(1000));
	ck_assert_uint_eq(put_new(class, 2000) * class_bytes(class), MIB);
}
END_TEST

START_TEST(one_that_has_nothing_or_no_room_is_passed_by_without_its_lock)
{
	setup();
	unsigned empty = class_of_size(64);
	unsigned full = class_of_size(1024);
	void *block = &block;
	ck_assert_uint_eq(vm_transfer_get(empty, &block, 1), 0);
	put_new(full, 1000);
	vm_transfer_lock_for_fork(); /* to wait for them would have no end */
	ck_assert_uint_eq(vm_transfer_get(empty, &block, 1), 0);
	ck_assert_uint_eq(vm_transfer_put(full, &block, 1), 0);
	vm_transfer_unlock_after_fork();

	/* And is not, once it has. */
	vm_transfer_trim();
	ck_assert_uint_eq(put_new(full, 1000), 64);
	ck_assert_uint_eq(put_new(empty, 1), 1);
	ck_assert_uint_eq(vm_transfer_get(empty, &block, 1), 1);
	vm_bin_flush(empty, &block, 1);
	ck_assert_uint_eq(vm_transfer_get(full, &block, 1), 1);
	ck_assert_uint_eq(vm_transfer_put(full, &block, 1), 1);
}
END_TEST

START_TEST(room_does_not_grow_where_all_blocks_fit)
{
	setup();
	unsigned class = class_of_size(1024);
	void *blocks[MANY];
	size_t room = put_new(class, 1000);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(vm_transfer_get(class, blocks, MANY), room); /* misses */
		vm_bin_flush(class, blocks, room);
		ck_assert_uint_eq(put_new(class, room), room);
	}
	ck_assert_uint_eq(put_new(class, 1000), room); /* twice the room now */
	/* To find just what is wanted is no miss. */
	room *= 2;
	ck_assert_uint_eq(vm_transfer_get(class, blocks, room), room);
	vm_bin_flush(class, blocks, room);
	ck_assert_uint_eq(put_new(class, 1000), room);
	/* To find nothing after that is one. */
	ck_assert_uint_eq(vm_transfer_get(class, blocks, room), room);
	vm_bin_flush(class, blocks, room);
	ck_assert_uint_eq(vm_transfer_get(class, blocks, 1), 0);
	room *= 2;
	ck_assert_uint_eq(put_new(class, 1000), room);
	/* One block that does not fit is enough. */
	ck_assert_uint_eq(vm_transfer_get(class, blocks, MANY), room);
	vm_bin_flush(class, blocks, room);
	ck_assert_uint_eq(put_new(class, room / 2), room / 2);
	ck_assert_uint_eq(put_new(class, room / 2 + 1), room / 2 + 1);
	ck_assert_uint_eq(put_new(class, 1000), room - 1);
}
END_TEST

START_TEST(room_that_is_replaced_is_given_back)
{
	setup();
	unsigned class = class_of_size(1024);
	void *blocks[MANY];
	size_t room = put_new(class, 1000);
	vm_bin_flush(class, blocks, vm_transfer_get(class, blocks, MANY));
	void *spare = vm_meta_alloc(2 * room * sizeof blocks[0]);
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	while (vm_meta_alloc(room * sizeof blocks[0]))
		;
	vm_meta_free(spare, 2 * room * sizeof blocks[0]);
	ck_assert_uint_eq(put_new(class, 2 * room), 2 * room);
	ck_assert_ptr_nonnull(vm_meta_alloc(room * sizeof blocks[0]));
}
END_TEST

START_TEST(room_is_never_more_than_1_mib_and_8192_blocks_but_one_block_at_least)
{
	setup();
	must(vm_run_alloc((512 * MIB) >> PAGE_SHIFT, 1, &(bool){false}));
	for (unsigned class = 1; class < CLASS_COUNT; class += 4) {
		size_t room = grow_room(class);
		size_t most = min_size(8192, max_size(1, MIB / class_bytes(class)));
		ck_assert_uint_eq(room, most * class_bytes(class));
		vm_transfer_trim();
	}
}
END_TEST

START_TEST(what_lay_unused_between_two_ticks_goes_back_to_the_slabs)
{
	setup();
	unsigned class = class_of_size(64);
	ck_assert_uint_eq(put_new(class, 500), 500);
	vm_transfer_tick(fake_os_advance(1000));
	ck_assert_uint_eq(vm_transfer_cached(), 500 * class_bytes(class));

	/* At most 300 of them were needed: 200 lay unused. */
	void *blocks[300];
	ck_assert_uint_eq(vm_transfer_get(class, blocks, 300), 300);
	ck_assert_uint_eq(vm_transfer_put(class, blocks, 300), 300);
	uint64_t now_ms = fake_os_advance(1000);
	vm_transfer_tick(now_ms);
	ck_assert_uint_eq(vm_transfer_cached(), 300 * class_bytes(class));
	ck_assert_uint_eq(small_live(), 300 * class_bytes(class));

	/* No sooner than a decay time after that. */
	vm_transfer_tick(now_ms + 250);
	ck_assert_uint_eq(vm_transfer_cached(), 300 * class_bytes(class));
	vm_transfer_tick(now_ms + 251);
	ck_assert_uint_eq(vm_transfer_cached(), 0);
	ck_assert_uint_eq(small_live(), 0);
}
END_TEST

START_TEST(trim_returns_everything)
{
	setup();
	for (unsigned class = 1; class < CLASS_COUNT; class++)
		put_new(class, 1 + 100 * KIB / class_bytes(class));
	ck_assert_uint_gt(vm_transfer_cached(), 3 * MIB);
	vm_transfer_trim();
	ck_assert_uint_eq(vm_transfer_cached(), 0);
	ck_assert_uint_eq(small_live(), 0);
}
END_TEST

START_TEST(without_memory_for_records_nothing_moves_and_nothing_is_lost)
{
	setup();
	unsigned class = class_of_size(8);
	static void *blocks[MANY];
	ck_assert_uint_eq(vm_bin_fill(class, 0, blocks, MANY), MANY);
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	while (vm_meta_alloc(64 * KIB))
		;
	ck_assert_uint_eq(vm_transfer_put(class, blocks, MANY), 0);
	void *none;
	ck_assert_uint_eq(vm_transfer_get(class, &none, 1), 0);
	fake_os.fail_to = 0;
	size_t moved = vm_transfer_put(class, blocks, MANY);
	ck_assert_uint_eq(moved, 8192);
	vm_bin_flush(class, blocks, MANY - moved);
	vm_transfer_trim();
	ck_assert_uint_eq(small_live(), 0);
}
END_TEST

START_TEST(without_memory_there_is_no_start)
{
	vm_os_init();
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	ck_assert(!vm_transfer_init());
	fake_os.fail_to = 0;
	ck_assert(vm_transfer_init());
}
END_TEST

/* Threads that move the same blocks: each is with one of them or in the cache. */
static unsigned shared_class;
static _Atomic unsigned char owner[4096];

static void *pass_on(void *argument)
{
	struct rng rng = rng_make(*(uint64_t *)argument);
	for (int i = 0; i < 50000; i++) {
		void *blocks[BATCH];
		size_t count = vm_transfer_get(shared_class, blocks, 1 + rng_below(&rng, BATCH));
		for (size_t j = 0; j < count; j++)
			must(owner[(uintptr_t)blocks[j]]++ == 0);
		for (size_t j = 0; j < count; j++)
			must(--owner[(uintptr_t)blocks[j]] == 0);
		must(vm_transfer_put(shared_class, blocks, count) == count);
	}
	return NULL;
}

START_TEST(threads_do_not_get_the_same_block)
{
	setup();
	shared_class = class_of_size(64);
	void *blocks[1000];
	for (uintptr_t i = 0; i < 1000; i++)
		blocks[i] = (void *)(i + 1);
	ck_assert_uint_eq(vm_transfer_put(shared_class, blocks, 1000), 1000);
	pthread_t threads[3];
	uint64_t seeds[3];
	for (size_t i = 0; i < 3; i++) {
		seeds[i] = rng_process_seed() + i;
		must(!pthread_create(&threads[i], NULL, pass_on, &seeds[i]));
	}
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(vm_transfer_cached(), 1000 * class_bytes(shared_class));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		any_sequence_is_a_stack_for_each_class,
		room_grows_only_where_it_is_missed_both_ways_and_to_1_mib,
		all_rooms_together_grow_to_8_mib_and_a_sixteenth_of_the_heap,
		first_room_takes_none_from_others,
		room_that_one_has_no_more_is_room_for_another,
		room_that_is_not_used_is_halved_at_each_tick,
		room_for_two_is_halved_to_room_for_one_and_stays_so,
		room_of_which_more_than_a_quarter_is_used_stays,
		one_that_has_nothing_or_no_room_is_passed_by_without_its_lock,
		room_does_not_grow_where_all_blocks_fit,
		room_that_is_replaced_is_given_back,
		room_is_never_more_than_1_mib_and_8192_blocks_but_one_block_at_least,
		what_lay_unused_between_two_ticks_goes_back_to_the_slabs,
		trim_returns_everything,
		without_memory_for_records_nothing_moves_and_nothing_is_lost,
		without_memory_there_is_no_start,
		threads_do_not_get_the_same_block,
		NULL,
	};
	return suite_run("transfer", tests, 60);
}
