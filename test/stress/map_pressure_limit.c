/* SPDX-License-Identifier: MIT */
/* The program itself uses up vm.max_map_count: allocation of every size goes on as long as memory does. */
#define _GNU_SOURCE 1
#include "crew.h"
#include "maps.h"
#include "must.h"
#include "opaque.h"
#include "proc.h"
#include "storm.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 16, MIXED = 10000 };

static const size_t MIB = 1 << 20;
static atomic_uint refused;
static uint64_t seed;
static unsigned crew;

static void mixed(unsigned index)
{
	refused += storm_mixed(seed + index, MIXED / crew, 8 * MIB);
}

static void grow(unsigned index)
{
	refused += storm_grow(seed + index, crew == 1 ? 8 : 2);
}

static void aligned(unsigned index)
{
	refused += storm_aligned(seed + index, (storm_full ? 20000 : 3000) / crew);
}

static void fill_to_the_limit(void)
{
	maps_fill(maps_limit());
}

static void fill_all(void)
{
	maps_fill_all();
}

/* At the limit and one above, where the kernel refuses every mapping and every growth of the break;
 * quick runs of many threads are made above only. */
static void storm_at_limit(unsigned threads, void (*work)(unsigned))
{
	static void (*const fill[])(void) = { fill_to_the_limit, fill_all };

	seed = rng_process_seed();
	crew = threads;
	for (int i = threads > 1 && !storm_full; i < 2; i++) {
		crew_run(threads, fill[i], work);
		must(maps_count() >= maps_limit() - 100);
		maps_drop_all();
		ck_assert_msg(refused == 0, "%u refused at the limit + %d", refused, i);
		storm_others_work();
	}
}

START_TEST(mixed_blocks_are_to_be_had)
{
	storm_at_limit(1, mixed);
}
END_TEST

START_TEST(mixed_blocks_are_to_be_had_in_16_threads)
{
	storm_at_limit(THREADS, mixed);
}
END_TEST

START_TEST(blocks_grow_to_30_megabytes)
{
	storm_at_limit(1, grow);
}
END_TEST

START_TEST(blocks_grow_to_30_megabytes_in_16_threads)
{
	storm_at_limit(THREADS, grow);
}
END_TEST

START_TEST(aligned_blocks_are_to_be_had)
{
	storm_at_limit(1, aligned);
}
END_TEST

START_TEST(aligned_blocks_are_to_be_had_in_16_threads)
{
	storm_at_limit(THREADS, aligned);
}
END_TEST

static size_t hold(void **held, size_t count, size_t size)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		held[i] = opaque(malloc(size));
		if (held[i])
			memset(held[i], 1, size);
		bytes += held[i] ? size : 0;
	}
	return bytes;
}

/* Blocks made before the limit is reached, freed there: every second one, then the rest. */
static void free_at_limit(size_t size, bool trim)
{
	enum { MAX = 4000 };
	static void *held[MAX];
	const size_t count = (storm_full ? 1536 : 768) * MIB / size;

	must(count <= MAX);
	storm_ordinary_use(0.5);
	if (trim)
		malloc_trim(0);
	const size_t before = proc_rss_bytes();
	hold(held, count, size);
	maps_fill_all();
	const size_t peak = proc_rss_bytes();
	for (size_t first = 0; first < 2; first++)
		for (size_t i = first; i < count; i += 2)
			free(held[i]);
	if (trim)
		malloc_trim(0);
	else
		storm_ordinary_use(2);
	const size_t after = proc_rss_bytes();
	const double percent = 100 * ((double)peak - (double)after) / ((double)peak - (double)before);
	ck_assert_msg(percent >= (trim ? 95 : 90), "%.1f %% of %zu MiB given back", percent, (peak - before) / MIB);
	maps_drop_all();
	storm_others_work();
}

START_TEST(trim_gives_back_medium_blocks)
{
	free_at_limit(500000, true);
}
END_TEST

START_TEST(trim_gives_back_large_blocks)
{
	free_at_limit(3 * MIB, true);
}
END_TEST

START_TEST(ordinary_use_gives_back_medium_blocks)
{
	suite_skip_in_variant("purge-never", "nothing is to go back without malloc_trim");
	free_at_limit(500000, false);
}
END_TEST

START_TEST(ordinary_use_gives_back_large_blocks)
{
	suite_skip_in_variant("purge-never", "nothing is to go back without malloc_trim");
	free_at_limit(3 * MIB, false);
}
END_TEST

static void use_everything_at_the_limit(void)
{
	seed = rng_process_seed();
	crew = 1;
	maps_fill_all();
	mixed(0);
	grow(0);
	aligned(0);
	maps_drop_all();
	must(refused == 0);
}

/* Until the count is read again at the latest, a thousand times what it takes. */
static double seconds_to_see_the_count_fall(void)
{
	return 1.5 + maps_limit() / 4000.0;
}

/* Nothing of the emergency stays: neither mappings nor address space, however often it comes. Full runs
 * only, for it takes 72 s of waiting. */
START_TEST(all_is_as_before_when_the_count_has_fallen)
{
	enum { BLOCKS = 100 };
	static void *held[BLOCKS];

	proc_grow_up();
	use_everything_at_the_limit();
	storm_ordinary_use(seconds_to_see_the_count_fall());
	malloc_trim(0);
	const unsigned count = maps_count();
	const size_t size = proc_status_bytes("VmSize:");
	for (int i = 0; i < 3; i++) {
		use_everything_at_the_limit();
		storm_ordinary_use(seconds_to_see_the_count_fall());
		const unsigned blocks = (unsigned)mallinfo2().hblks;
		must(hold(held, BLOCKS, 2 * MIB) == BLOCKS * 2 * MIB);
		ck_assert_uint_eq((unsigned)mallinfo2().hblks, blocks + BLOCKS);
		for (int j = 0; j < BLOCKS; j++)
			free(held[j]);
		malloc_trim(0);
		ck_assert_uint_le(maps_count(), count + 12);
		ck_assert_uint_le(proc_status_bytes("VmSize:"), size + 16 * MIB);
	}
}
END_TEST

int main(int argc, char **argv)
{
	const bool full = argc > 1 && strcmp(argv[1], "--full") == 0;
	const TTest *const tests[] = {
		mixed_blocks_are_to_be_had,
		mixed_blocks_are_to_be_had_in_16_threads,
		blocks_grow_to_30_megabytes,
		blocks_grow_to_30_megabytes_in_16_threads,
		aligned_blocks_are_to_be_had,
		aligned_blocks_are_to_be_had_in_16_threads,
		trim_gives_back_medium_blocks,
		trim_gives_back_large_blocks,
		ordinary_use_gives_back_medium_blocks,
		ordinary_use_gives_back_large_blocks,
		full ? all_is_as_before_when_the_count_has_fallen : NULL,
		NULL,
	};
	return storm_main(argc, argv, "map_pressure_limit", tests, NULL);
}
