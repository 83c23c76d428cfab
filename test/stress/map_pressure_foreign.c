/* SPDX-License-Identifier: MIT */
/* Mappings of the program come and go, up to the limit and past it, while threads allocate. */
#define _GNU_SOURCE 1
#include "crew.h"
#include "maps.h"
#include "must.h"
#include "storm.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

enum { THREADS = 16, SWING = 4000 };

static const size_t MIB = 1 << 20;
static atomic_bool storming;
static atomic_uint refused;
static uint64_t seed;
static void (*disturb)(struct rng *rng);

static void allocate(unsigned index)
{
	for (uint64_t i = 0; storming; i++) {
		const uint64_t own = seed + index + 100 * i;
		refused += i % 8 == 3 ? storm_grow(own, 1) :
			   i % 8 == 4 ? storm_aligned(own, storm_full ? 100 : 15) :
					storm_mixed(own, storm_full ? 200 : 20, 4 * MIB);
	}
}

/* Thread 0 is the adversary. */
static void disturb_or_allocate(unsigned index)
{
	struct rng rng = rng_make(seed);

	if (index != 0) {
		allocate(index);
		return;
	}
	for (int i = 0; i < (storm_full ? 40 : 2); i++) {
		disturb(&rng);
		usleep((useconds_t)rng_below(&rng, 50000));
	}
	maps_drop_all();
	storming = false;
}

/* Most of the count stays used up, for each mapping costs the adversary a lock that all want. */
static void fill_most(void)
{
	maps_fill(maps_limit() - SWING);
}

/* Up to any count, or down by any number. */
static void wax_and_wane(struct rng *rng)
{
	if (rng_below(rng, 3))
		maps_fill(maps_limit() - (unsigned)rng_below(rng, SWING));
	else
		maps_drop((unsigned)rng_below(rng, SWING));
}

/* Takes the last one, too, and lets some of them go again at once. */
static void stay_at_the_limit(struct rng *rng)
{
	maps_fill_all();
	maps_drop((unsigned)rng_below(rng, 3) * (unsigned)rng_below(rng, SWING / 2));
}

/* To the limit and back, faster than any look at the count. */
static void jump(struct rng *rng)
{
	(void)rng;
	maps_fill_all();
	usleep(20000);
	maps_drop(SWING);
}

static void storm(void (*how)(struct rng *), unsigned allocating)
{
	seed = rng_process_seed();
	disturb = how;
	storming = true;
	crew_run(allocating + 1, fill_most, disturb_or_allocate);
	ck_assert_msg(refused == 0, "%u refused", refused);
	storm_others_work();
	ck_assert_uint_eq(storm_mixed(seed, 300, 8 * MIB), 0);
}

START_TEST(foreign_mappings_wax_and_wane)
{
	storm(wax_and_wane, 1);
}
END_TEST

START_TEST(foreign_mappings_wax_and_wane_beside_15_threads)
{
	storm(wax_and_wane, THREADS - 1);
}
END_TEST

START_TEST(foreign_mappings_stay_about_the_limit)
{
	storm(stay_at_the_limit, 1);
}
END_TEST

START_TEST(foreign_mappings_stay_about_the_limit_beside_15_threads)
{
	storm(stay_at_the_limit, THREADS - 1);
}
END_TEST

START_TEST(foreign_mappings_reach_the_limit_again_and_again)
{
	storm(jump, 1);
}
END_TEST

START_TEST(foreign_mappings_reach_the_limit_again_and_again_beside_15_threads)
{
	storm(jump, THREADS - 1);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		foreign_mappings_wax_and_wane,
		foreign_mappings_wax_and_wane_beside_15_threads,
		foreign_mappings_stay_about_the_limit,
		foreign_mappings_stay_about_the_limit_beside_15_threads,
		foreign_mappings_reach_the_limit_again_and_again,
		foreign_mappings_reach_the_limit_again_and_again_beside_15_threads,
		NULL,
	};
	return storm_main(argc, argv, "map_pressure_foreign", tests, NULL);
}
