/* SPDX-License-Identifier: MIT */
/* RLIMIT_DATA and RLIMIT_AS beside vm.max_map_count: refusals come from the memory limit alone. */
#define _GNU_SOURCE 1
#include "crew.h"
#include "maps.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "storm.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { THREADS = 16 };

static const size_t MIB = 1 << 20;
static const size_t ROOM = 512 << 20;
static atomic_uint refused;
static unsigned crew;

static void limit_data(void)
{
	const size_t bytes = proc_status_bytes("VmData:") + ROOM;

	must(setrlimit(RLIMIT_DATA, &(struct rlimit){ bytes, bytes }) == 0);
}

static void limit_address_space(void)
{
	const size_t bytes = proc_status_bytes("VmSize:") + ROOM;

	must(setrlimit(RLIMIT_AS, &(struct rlimit){ bytes, bytes }) == 0);
}

static void limit_data_and_maps(void)
{
	maps_fill_all();
	limit_data();
}

static void limit_address_space_and_maps(void)
{
	maps_fill_all();
	limit_address_space();
}

/* About 100 MiB live at once, in all threads together: a fifth of what the limit leaves. */
static void live_within_the_limit(unsigned index)
{
	const uint64_t seed = rng_process_seed() + index;

	for (uint64_t i = 0; i < (storm_full ? 30 : 10); i++)
		refused += storm_mixed(seed + i, 320 / crew, 4 * MIB);
}

/* More than there is: refusals are allowed, damage and other errors than ENOMEM are not. */
static void live_beyond_the_limit(unsigned index)
{
	const uint64_t seed = rng_process_seed() + index;

	for (uint64_t i = 0; i < (storm_full ? 5 : 3); i++)
		refused += storm_mixed(seed + i, 6000 / crew, 8 * MIB);
}

static void storm_within(unsigned threads, void (*limit)(void))
{
	crew = threads;
	crew_run(threads, limit, live_within_the_limit);
	ck_assert_msg(refused == 0, "%u refused", refused);
}

static void storm_beyond(unsigned threads, void (*limit)(void))
{
	crew = threads;
	crew_run(threads, limit, live_beyond_the_limit);
	ck_assert_uint_gt(refused, 0);
	refused = 0;
	malloc_trim(0);
	live_within_the_limit(0);
	ck_assert_msg(refused == 0, "%u refused after all was freed", refused);
}

START_TEST(nothing_is_refused_far_below_a_data_limit)
{
	storm_within(1, limit_data);
}
END_TEST

START_TEST(nothing_is_refused_far_below_an_address_space_limit)
{
	storm_within(1, limit_address_space);
}
END_TEST

START_TEST(nothing_is_refused_far_below_a_data_limit_without_maps)
{
	storm_within(1, limit_data_and_maps);
}
END_TEST

START_TEST(nothing_is_refused_far_below_an_address_space_limit_without_maps)
{
	storm_within(1, limit_address_space_and_maps);
}
END_TEST

START_TEST(nothing_is_refused_to_16_threads_far_below_a_data_limit_without_maps)
{
	storm_within(THREADS, limit_data_and_maps);
}
END_TEST

START_TEST(nothing_is_refused_to_16_threads_far_below_an_address_space_limit_without_maps)
{
	storm_within(THREADS, limit_address_space_and_maps);
}
END_TEST

START_TEST(a_data_limit_without_maps_is_survived)
{
	storm_beyond(1, limit_data_and_maps);
}
END_TEST

START_TEST(an_address_space_limit_without_maps_is_survived)
{
	suite_skip_in_variant("no-break", "RLIMIT_AS does not refuse a heap that has its addresses reserved");
	storm_beyond(1, limit_address_space_and_maps);
}
END_TEST

START_TEST(a_data_limit_is_survived_by_16_threads)
{
	storm_beyond(THREADS, limit_data);
}
END_TEST

START_TEST(an_address_space_limit_without_maps_is_survived_by_16_threads)
{
	suite_skip_in_variant("no-break", "RLIMIT_AS does not refuse a heap that has its addresses reserved");
	storm_beyond(THREADS, limit_address_space_and_maps);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		nothing_is_refused_far_below_a_data_limit,
		nothing_is_refused_far_below_an_address_space_limit,
		nothing_is_refused_far_below_a_data_limit_without_maps,
		nothing_is_refused_far_below_an_address_space_limit_without_maps,
		nothing_is_refused_to_16_threads_far_below_a_data_limit_without_maps,
		nothing_is_refused_to_16_threads_far_below_an_address_space_limit_without_maps,
		a_data_limit_without_maps_is_survived,
		an_address_space_limit_without_maps_is_survived,
		a_data_limit_is_survived_by_16_threads,
		an_address_space_limit_without_maps_is_survived_by_16_threads,
		NULL,
	};
	return storm_main(argc, argv, "map_pressure_rlimit", tests, NULL);
}
