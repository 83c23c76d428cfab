/* SPDX-License-Identifier: MIT */
/* fork with vm.max_map_count used up: the child inherits the count and allocates all the same. */
#define _GNU_SOURCE 1
#include "child.h"
#include "crew.h"
#include "maps.h"
#include "must.h"
#include "storm.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { THREADS = 16, HELD = 400, CHILDREN = 2 };

static const size_t MIB = 1 << 20;
static struct block held[HELD];
static atomic_bool forking;
static atomic_uint refused;
static uint64_t seed;

static void make_parents_blocks(void)
{
	struct rng rng = rng_make(seed = rng_process_seed());

	for (int i = 0; i < HELD; i++) {
		held[i] = storm_make(&rng, 16 + rng_size(&rng, 4 * MIB));
		must(held[i].memory != NULL);
	}
}

static void end_parents_blocks(void)
{
	for (int i = 0; i < HELD; i++)
		storm_end(&held[i]);
}

static void storm_in_child(void *round)
{
	const uint64_t own = seed + (uintptr_t)round;

	must(storm_mixed(own, storm_full ? 3000 : 1000, 8 * MIB) == 0);
	must(storm_grow(own, 2) == 0);
	must(storm_aligned(own, 100) == 0);
	end_parents_blocks();
	maps_drop_all();
	storm_others_work();
}

static void fork_children(void)
{
	for (uintptr_t i = 0; i < CHILDREN; i++)
		must(child_status(storm_in_child, (void *)(i + 1)) == 0);
}

START_TEST(a_child_forked_at_the_limit_allocates)
{
	make_parents_blocks();
	maps_fill_all();
	fork_children();
	end_parents_blocks();
	ck_assert_uint_eq(storm_mixed(seed, 1000, 8 * MIB), 0);
}
END_TEST

START_TEST(a_child_forked_after_storms_at_the_limit_allocates)
{
	make_parents_blocks();
	maps_fill_all();
	ck_assert_uint_eq(storm_mixed(seed, 2000, 8 * MIB), 0);
	fork_children();
	ck_assert_uint_eq(storm_grow(seed, 2), 0);
	end_parents_blocks();
}
END_TEST

static void grandchild_storm(void *round)
{
	must(storm_mixed(seed, 500, MIB) == 0);
	must(child_status(storm_in_child, round) == 0);
	must(storm_mixed(seed, 500, MIB) == 0);
}

START_TEST(a_grandchild_forked_at_the_limit_allocates)
{
	make_parents_blocks();
	maps_fill_all();
	ck_assert_int_eq(child_status(grandchild_storm, NULL), 0);
	end_parents_blocks();
}
END_TEST

/* Thread 0 forks, the others allocate until it is done. */
static void allocate_or_fork(unsigned index)
{
	if (index == 0) {
		fork_children();
		forking = false;
	}
	for (uint64_t i = 0; index != 0 && forking; i++)
		refused += storm_mixed(seed + index + 100 * i, 100, 2 * MIB);
}

static void fill_all(void)
{
	maps_fill_all();
}

START_TEST(children_forked_at_the_limit_while_16_threads_allocate)
{
	make_parents_blocks();
	forking = true;
	crew_run(THREADS, fill_all, allocate_or_fork);
	ck_assert_uint_eq(refused, 0);
	end_parents_blocks();
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		a_child_forked_at_the_limit_allocates,
		a_child_forked_after_storms_at_the_limit_allocates,
		a_grandchild_forked_at_the_limit_allocates,
		children_forked_at_the_limit_while_16_threads_allocate,
		NULL,
	};
	return storm_main(argc, argv, "map_pressure_fork", tests, NULL);
}
