/* SPDX-License-Identifier: MIT */
/* large/large.h over the fake kernel, by random operations: at any limit, with every call refused once,
 * beside foreign maps, and by several threads at a time. */
#include "fake_os.h"
#include "must.h"
#include "pattern.h"
#include "rng.h"
#include "suite.h"

#include "large/large.h"
#include "large/pool.h"
#include "meta/meta.h"
#include "os/conf.h"
#include "os/lifeboat.h"
#include "os/os.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS_MOST = 4000 };

struct block {
	char *memory; /* NULL: no block */
	size_t bytes;
	uint64_t seed;
};

struct storm {
	struct rng rng;
	size_t slots;
	size_t bytes_most;
	bool filled; /* contents are checked in full, else the first page only */
	struct block block[SLOTS_MOST];
};

static void setup(void)
{
	vm_os_init();
	vm_conf_init();
	fake_os.huge_bytes = 8 * PAGE_BYTES;
	vm_os_find_huge_pages(); /* as the heap has done */
}

static size_t checked_bytes(const struct storm *storm, const struct block *block)
{
	return storm->filled ? block->bytes : min_size(block->bytes, PAGE_BYTES);
}

static void fill(struct storm *storm, struct block *block)
{
	block->seed = rng_next(&storm->rng);
	pattern_fill(block->memory, checked_bytes(storm, block), block->seed);
	fake_os_touch(block->memory, block->bytes);
}

static void check(const struct storm *storm, const struct block *block)
{
	must(pattern_holds(block->memory, checked_bytes(storm, block), block->seed));
	must(vm_large_usable_size(block->memory) >= block->bytes);
	must(fake_os_is_writable(block->memory, block->bytes));
}

static size_t any_size(struct storm *storm)
{
	return 1 + rng_size(&storm->rng, storm->bytes_most - 1);
}

static unsigned any_place(struct storm *storm)
{
	return (unsigned)rng_below(&storm->rng, 16);
}

/* True if it was served. */
static bool alloc(struct storm *storm, struct block *block)
{
	size_t alignment = rng_below(&storm->rng, 4) ? 16 : PAGE_BYTES << rng_below(&storm->rng, 8);
	uint64_t refusals = fake_os.refusals;
	size_t dirty = SIZE_MAX;
	size_t *told = rng_below(&storm->rng, 2) ? &dirty : NULL;
	block->bytes = any_size(storm);
	block->memory = vm_large_take_parked(block->bytes, alignment, any_place(storm));
	if (!block->memory)
		block->memory = vm_large_alloc(block->bytes, alignment, told);
	if (!block->memory)
		block->memory = vm_large_alloc_at_any_price(block->bytes, alignment, told);
	if (!block->memory) {
		must(fake_os.refusals > refusals);
		return false;
	}
	must((uintptr_t)block->memory % alignment == 0);
	size_t checked = checked_bytes(storm, block);
	must(dirty >= checked || pattern_is_zero((char *)block->memory + dirty, checked - dirty));
	fill(storm, block);
	return true;
}

static void release(struct storm *storm, struct block *block)
{
	check(storm, block);
	must(vm_large_park(block->memory, any_place(storm)) || vm_large_free(block->memory));
	block->memory = NULL;
}

static void resize(struct storm *storm, struct block *block)
{
	size_t bytes = any_size(storm);
	check(storm, block);
	char *moved = vm_large_resize(block->memory, bytes) ? block->memory
							     : vm_large_move(block->memory, bytes);
	if (moved) {
		must(pattern_holds(moved, min_size(min_size(bytes, block->bytes), PAGE_BYTES),
				   block->seed));
		if (storm->filled)
			must(pattern_holds(moved, min_size(bytes, block->bytes), block->seed));
		*block = (struct block){.memory = moved, .bytes = bytes};
		fill(storm, block);
	}
	check(storm, block);
}

/* More than the allocator's records ever take: each chunk is a quarter of all before it. */
enum { MAPS_OF_RECORDS = 40 };

/* No thread of ours may run, and others have no plain maps. */
static void check_bound(size_t foreign_maps)
{
	struct vm_stats stats = {0};
	vm_large_stats(&stats);
	must(stats.own_maps + foreign_maps + MAPS_OF_RECORDS >= fake_maps.count);
}

static void step(struct storm *storm)
{
	struct block *block = &storm->block[rng_below(&storm->rng, storm->slots)];
	if (rng_below(&storm->rng, 100) == 0)
		vm_large_tick(fake_os_advance(100));
	else if (rng_below(&storm->rng, 2000) == 0)
		vm_large_trim();
	else if (!block->memory)
		alloc(storm, block);
	else if (rng_below(&storm->rng, 3))
		release(storm, block);
	else
		resize(storm, block);
}

static void release_all(struct storm *storm)
{
	for (size_t i = 0; i < storm->slots; i++)
		if (storm->block[i].memory)
			release(storm, &storm->block[i]);
}

static void check_nothing_is_left(void)
{
	struct vm_stats stats = {0};
	vm_large_trim();
	vm_large_stats(&stats);
	must(!stats.large_live && !stats.large_blocks && !stats.large_dirty && !stats.large_clean);
	must(!stats.own_maps);
	must(fake_maps.bytes == vm_meta_mapped());
	fake_maps_check();
}

static struct storm storm;

static void begin_storm(size_t slots, size_t bytes_most, bool filled)
{
	storm.rng = rng_make(rng_process_seed());
	storm.slots = slots;
	storm.bytes_most = bytes_most;
	storm.filled = filled;
}

/* Limits ------------------------------------------------------------------------------------ */

static void storm_at_limit(size_t limit, size_t slots, int steps)
{
	setup();
	fake_os.map_limit = limit;
	vm_options.dirty_bytes = MIB;
	begin_storm(slots, 64 * PAGE_BYTES, true);
	for (int i = 0; i < steps; i++) {
		step(&storm);
		check_bound(0);
	}
	release_all(&storm);
	check_nothing_is_left();
}

START_TEST(storm_at_20_maps)
{
	storm_at_limit(20, 200, 40000);
}
END_TEST

START_TEST(storm_at_100_maps)
{
	storm_at_limit(100, 500, 40000);
}
END_TEST

START_TEST(storm_at_1000_maps)
{
	storm_at_limit(1000, 4000, 60000);
}
END_TEST

START_TEST(storm_at_65530_maps)
{
	storm_at_limit(65530, 4000, 60000);
}
END_TEST

START_TEST(storm_of_maps_of_two_kinds)
{
	setup();
	vm_options.dirty_bytes = 0;
	begin_storm(1000, 64 * PAGE_BYTES, true);
	for (int i = 0; i < 40000; i++) {
		step(&storm);
		check_bound(0);
	}
	ck_assert_uint_gt(fake_os.huge_advices, 50);
	release_all(&storm);
	check_nothing_is_left();
}
END_TEST

START_TEST(storm_of_maps_of_three_kinds)
{
	setup();
	vm_options.dirty_bytes = 0;
	begin_storm(1000, 64 * PAGE_BYTES, true);
	for (int i = 0; i < 40000; i++) {
		fake_os.cpu_us_a_look = i / 32 % 2 ? 0 : 2000;
		fake_os_advance(1);
		step(&storm);
		check_bound(0);
	}
	ck_assert_uint_gt(fake_os.small_advices, 5);
	ck_assert_uint_gt(fake_os.huge_advices, fake_os.small_advices + 5);
	release_all(&storm);
	check_nothing_is_left();
}
END_TEST

START_TEST(storm_in_an_address_space_that_is_full)
{
	setup();
	fake_os.address_limit = 8 * MIB;
	vm_options.dirty_bytes = 16 * MIB;
	begin_storm(200, MIB, true);
	for (int i = 0; i < 30000; i++)
		step(&storm);
	release_all(&storm);
	check_nothing_is_left();
}
END_TEST

START_TEST(storm_of_blocks_of_many_megabytes)
{
	setup();
	begin_storm(60, 64 * MIB, false);
	for (int i = 0; i < 20000; i++)
		step(&storm);
	release_all(&storm);
	check_nothing_is_left();
}
END_TEST

START_TEST(storm_beside_foreign_maps_that_come_and_go)
{
	setup();
	enum { FOREIGN = 300 };
	struct {
		void *address;
		size_t bytes;
	} foreign[FOREIGN] = {0};
	fake_os.map_limit = 200;
	vm_options.dirty_bytes = MIB;
	begin_storm(400, 64 * PAGE_BYTES, true);
	for (int i = 0; i < 40000; i++) {
		size_t at = rng_below(&storm.rng, FOREIGN);
		if (!foreign[at].address) {
			foreign[at].bytes = (1 + rng_below(&storm.rng, 40)) * PAGE_BYTES;
			foreign[at].address = fake_os_foreign_map(foreign[at].bytes,
								  rng_below(&storm.rng, 2));
		} else if (fake_os_foreign_unmap(foreign[at].address, foreign[at].bytes)) {
			foreign[at].address = NULL;
		}
		step(&storm);
	}
	fake_os.map_limit = 65530;
	for (size_t at = 0; at < FOREIGN; at++)
		if (foreign[at].address)
			must(fake_os_foreign_unmap(foreign[at].address, foreign[at].bytes));
	release_all(&storm);
	check_nothing_is_left();
}
END_TEST

START_TEST(storm_with_memory_that_is_locked_at_times)
{
	setup();
	fake_os.map_limit = 50;
	vm_options.dirty_bytes = MIB;
	begin_storm(200, 64 * PAGE_BYTES, true);
	for (int i = 0; i < 30000; i++) {
		fake_os.purge_refused = i % 1000 < 300;
		step(&storm);
	}
	fake_os.purge_refused = false;
	release_all(&storm);
	check_nothing_is_left();
}
END_TEST

START_TEST(storm_in_a_forked_child)
{
	setup();
	fake_os.map_limit = 300;
	begin_storm(400, 64 * PAGE_BYTES, true);
	for (int i = 0; i < 10000; i++)
		step(&storm);
	fake_os_become_child();
	for (int i = 0; i < 20000; i++)
		step(&storm);
	release_all(&storm);
	fake_os.map_limit = 65530;
	vm_large_trim();
	struct vm_stats stats = {0};
	vm_large_stats(&stats);
	must(!stats.large_live && !stats.large_dirty && !stats.large_clean);
	must(fake_maps.bytes == vm_meta_mapped());
}
END_TEST

/* The budget -------------------------------------------------------------------------------- */

enum { CHECKERS = 4000, CHECKER_BYTES = 16 * PAGE_BYTES };

static struct vm_stats stats(void)
{
	struct vm_stats stats = {0};
	vm_large_stats(&stats);
	return stats;
}

static void *alloc_checker(void)
{
	size_t dirty;
	void *block = vm_large_alloc(CHECKER_BYTES, 16, &dirty);
	if (block)
		fake_os_touch(block, CHECKER_BYTES);
	return block;
}

START_TEST(a_checkerboard_keeps_within_the_share)
{
	static void *blocks[CHECKERS];
	fake_os.map_limit = 4000;
	setup();
	vm_options.decay_ms = 0;
	for (int i = 0; i < CHECKERS; i++)
		must((blocks[i] = alloc_checker()));
	ck_assert_uint_le(stats().own_maps, MAPS_OF_RECORDS);
	for (int i = 0; i < CHECKERS; i += 2)
		must(vm_large_free(blocks[i]));
	ck_assert_uint_ge(stats().own_maps, 900);
	ck_assert_uint_lt(stats().own_maps, 1000);
	ck_assert_uint_le(fake_maps.count, 1000 + MAPS_OF_RECORDS);
	ck_assert(stats().map_tight);
	ck_assert_uint_ge(stats().splits_avoided, 1000);
	ck_assert_uint_ge(stats().large_clean_ranges, 1000);
	ck_assert_uint_eq(stats().large_dirty, 0);
	ck_assert_uint_eq(stats().unmaps_refused, 0);

	/* What is kept serves, without a map; what it cannot serve is for the heap, with no call at all. */
	size_t dirty;
	uint64_t calls = fake_os.calls;
	ck_assert_ptr_nonnull(vm_large_alloc(CHECKER_BYTES, 16, &dirty));
	ck_assert_uint_eq(dirty, 0);
	ck_assert_ptr_null(vm_large_alloc(2 * CHECKER_BYTES, 16, &dirty));
	ck_assert_uint_eq(fake_os.calls, calls);
	void *last = vm_large_alloc_at_any_price(2 * CHECKER_BYTES, 16, &dirty);
	ck_assert_ptr_nonnull(last);
	must(vm_large_free(last));

	for (int i = 1; i < CHECKERS; i += 2)
		must(vm_large_free(blocks[i]));
	ck_assert(!stats().map_tight);
	ck_assert_uint_le(stats().own_maps, MAPS_OF_RECORDS);
	ck_assert_ptr_nonnull(vm_large_alloc(3 * CHECKER_BYTES, 16, &dirty));
}
END_TEST

START_TEST(maps_of_others_make_it_tight_and_their_going_ends_it)
{
	static void *blocks[1200];
	fake_os.map_limit = 8000;
	setup();
	vm_options.decay_ms = 0;
	for (int i = 0; i < 1200; i++)
		must((blocks[i] = alloc_checker()));
	void *whole = vm_large_alloc_at_any_price(MIB, 16, &(size_t){0});
	fake_os_foreign_maps_add(8001 - fake_maps.count);
	ck_assert(!stats().map_tight);
	ck_assert_uint_eq(stats().map_count, 0);

	/* The kernel's no is what makes it look. */
	ck_assert_ptr_null(alloc_checker());
	ck_assert(stats().map_tight);
	ck_assert_uint_eq(stats().map_limit, 8000);
	ck_assert_uint_ge(stats().map_count, 8000);
	must(vm_large_free(blocks[600]));
	ck_assert_uint_eq(stats().large_clean_ranges, 1);
	ck_assert_uint_eq(stats().unmaps_refused, 0);

	fake_os_foreign_maps_remove(5000);
	vm_large_tick(fake_os_advance(1900));
	ck_assert(stats().map_tight); /* not looked at again yet */
	vm_large_tick(fake_os_advance(200));
	ck_assert(!stats().map_tight);
	ck_assert_uint_lt(stats().map_count, 3100);
	must(vm_large_free(whole));
	ck_assert_ptr_nonnull(vm_large_alloc(2 * MIB, 16, &(size_t){0}));
}
END_TEST

START_TEST(it_is_tight_at_once_where_the_kernel_refuses_every_map)
{
	fake_os.map_limit = 8000;
	setup();
	must(alloc_checker());
	fake_os_foreign_maps_add(5000);
	vm_pool_note_refusal();
	ck_assert_uint_eq(stats().map_count, fake_maps.count);
	ck_assert(!stats().map_tight);

	/* Although it is not due to be read again. */
	fake_os_foreign_maps_add(8001 - fake_maps.count);
	ck_assert_ptr_null(alloc_checker());
	ck_assert(stats().map_tight);
	ck_assert_uint_eq(stats().map_count, 8000);
}
END_TEST

START_TEST(maps_that_a_launch_of_the_lifeboat_freed_are_left_to_the_heap)
{
	fake_os.map_limit = 8000;
	setup();
	vm_lifeboat_init();
	must(alloc_checker());
	fake_os_foreign_maps_add(8001 - fake_maps.count);
	ck_assert(!stats().map_tight);
	ck_assert(vm_lifeboat_launch());
	size_t maps = fake_maps.count;
	ck_assert_uint_lt(maps, 8000);
	ck_assert_ptr_null(alloc_checker());
	vm_large_tick(fake_os_advance(1));
	ck_assert(stats().map_tight);
	ck_assert_ptr_null(alloc_checker());
	ck_assert_uint_eq(fake_maps.count, maps);

	/* Until the count is seen to have fallen. */
	fake_os_foreign_maps_remove(5000);
	vm_large_tick(fake_os_advance(10000));
	ck_assert(!stats().map_tight);
	ck_assert_ptr_nonnull(alloc_checker());
}
END_TEST

START_TEST(the_count_is_not_read_where_the_option_says_so)
{
	fake_os.map_limit = 8000;
	setup();
	vm_options.map_count = false;
	must(alloc_checker());
	fake_os_foreign_maps_add(8001 - fake_maps.count);
	ck_assert_ptr_null(alloc_checker());
	vm_large_tick(fake_os_advance(100000));
	ck_assert_uint_eq(stats().map_count, 0);
	ck_assert(!stats().map_tight);
}
END_TEST

/* Refusals ---------------------------------------------------------------------------------- */

/* A fixed course through everything that makes a call. */
static void course(void)
{
	fake_os.map_limit = 40;
	vm_options.dirty_bytes = 256 * KIB;
	vm_os.memory_bytes = 0; /* the more may be kept, the fewer calls there are */
	storm.rng = rng_make(7);
	storm.slots = 40;
	storm.bytes_most = 64 * PAGE_BYTES;
	storm.filled = true;
	for (int i = 0; i < 1000; i++)
		step(&storm);
	release_all(&storm);
	vm_large_trim();
}

static void sweep(uint64_t (*end_of)(uint64_t first))
{
	setup();
	course();
	uint64_t first = 0;
	uint64_t calls;
	do {
		calls = fake_os.calls;
		fake_os.fail_from = calls + ++first;
		fake_os.fail_to = end_of(fake_os.fail_from);
		course();
		/* All is well again once the kernel is. */
		fake_os.fail_from = fake_os.fail_to = 0;
		release_all(&storm);
		vm_large_tick(fake_os_advance(10000));
		check_nothing_is_left();
	} while (calls + first <= fake_os.calls && first < 2000);
	ck_assert_uint_gt(first, 100);
}

static uint64_t once(uint64_t first)
{
	return first + 1;
}

static uint64_t from_then_on(uint64_t first)
{
	(void)first;
	return UINT64_MAX;
}

START_TEST(any_call_may_be_refused_once)
{
	sweep(once);
}
END_TEST

START_TEST(all_calls_may_be_refused_from_any_one_on)
{
	sweep(from_then_on);
}
END_TEST

/* Threads ----------------------------------------------------------------------------------- */

enum { THREADS = 4 };

static struct storm of_thread[THREADS];

static void *run_storm(void *argument)
{
	for (int i = 0; i < 15000; i++)
		step(argument);
	return NULL;
}

static void begin_threads(pthread_t *threads)
{
	for (size_t i = 0; i < THREADS; i++) {
		of_thread[i].rng = rng_make(rng_process_seed() + i);
		of_thread[i].slots = 60;
		of_thread[i].bytes_most = 64 * PAGE_BYTES;
		of_thread[i].filled = true;
		must(!pthread_create(&threads[i], NULL, run_storm, &of_thread[i]));
	}
}

START_TEST(storm_of_threads)
{
	setup();
	pthread_t threads[THREADS];
	fake_os.map_limit = 60;
	vm_options.dirty_bytes = MIB;
	begin_threads(threads);
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		release_all(&of_thread[i]);
	}
	check_nothing_is_left();
}
END_TEST

START_TEST(fork_waits_until_no_call_is_on_the_way)
{
	setup();
	pthread_t threads[THREADS];
	vm_options.dirty_bytes = 256 * KIB;
	fake_os.slow = true;
	begin_threads(threads);
	for (int i = 0; i < 300; i++) {
		vm_large_lock_for_fork();
		uint64_t calls = fake_os.calls;
		for (volatile int spin = 0; spin < 20000; spin++)
			;
		must(fake_os.calls == calls);
		vm_large_unlock_after_fork(false);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		release_all(&of_thread[i]);
	}
	check_nothing_is_left();
}
END_TEST

static _Atomic pid_t stepper_id;
static _Atomic uint64_t steps_made;
static atomic_bool stop;

static void *step_until_stopped(void *argument)
{
	stepper_id = gettid();
	for (; !stop; steps_made++)
		step(argument);
	return NULL;
}

static void *fork_once(void *over)
{
	vm_large_lock_for_fork();
	vm_large_unlock_after_fork(false);
	*(atomic_bool *)over = true;
	return NULL;
}

/* Waiting to run is not sleeping: the fourth field of its stat tells. */
static bool sleeps(pid_t thread)
{
	char path[64], state = 'R';
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
	FILE *file = fopen(path, "re");
	must(file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
	fclose(file);
	return state == 'S';
}

/* While a call of ours is on the way a fork waits, and with it whoever would begin another. */
START_TEST(no_call_begins_while_a_fork_waits)
{
	enum { SECONDS = 20, STEP_US = 10000, STEPS_ASLEEP = 10 };
	setup();
	pthread_t stepper, forker;
	atomic_bool over = false;
	of_thread[0] = (struct storm){.rng = rng_make(rng_process_seed()), .slots = 60,
				      .bytes_most = 64 * PAGE_BYTES};
	vm_pool_enter();
	vm_pool_begin();
	vm_pool_leave();
	must(!pthread_create(&stepper, NULL, step_until_stopped, &of_thread[0]));
	must(!pthread_create(&forker, NULL, fork_once, &over));
	for (int time = 0, asleep = 0; asleep < STEPS_ASLEEP; time++) {
		must(time < SECONDS * 1000000 / STEP_US);
		usleep(STEP_US);
		asleep = stepper_id && sleeps(stepper_id) ? asleep + 1 : 0;
	}
	must(!over);
	vm_pool_return();
	vm_pool_end();
	vm_pool_leave();
	pthread_join(forker, NULL);
	uint64_t steps = steps_made;
	while (steps_made == steps)
		sched_yield();
	stop = true;
	pthread_join(stepper, NULL);
	release_all(&of_thread[0]);
	check_nothing_is_left();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		storm_at_20_maps,
		storm_at_100_maps,
		storm_at_1000_maps,
		storm_at_65530_maps,
		storm_of_maps_of_two_kinds,
		storm_of_maps_of_three_kinds,
		storm_in_an_address_space_that_is_full,
		storm_of_blocks_of_many_megabytes,
		storm_beside_foreign_maps_that_come_and_go,
		storm_with_memory_that_is_locked_at_times,
		storm_in_a_forked_child,
		a_checkerboard_keeps_within_the_share,
		maps_of_others_make_it_tight_and_their_going_ends_it,
		it_is_tight_at_once_where_the_kernel_refuses_every_map,
		maps_that_a_launch_of_the_lifeboat_freed_are_left_to_the_heap,
		the_count_is_not_read_where_the_option_says_so,
		any_call_may_be_refused_once,
		all_calls_may_be_refused_from_any_one_on,
		storm_of_threads,
		fork_waits_until_no_call_is_on_the_way,
		no_call_begins_while_a_fork_waits,
		NULL,
	};
	return suite_run("large_storm", tests, 120);
}
