/* SPDX-License-Identifier: MIT */
/* More large blocks than vm.max_map_count allows mappings, freed with live ones in between. */
#define _GNU_SOURCE 1
#include "crew.h"
#include "maps.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "storm.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { BLOCKS = 200000, QUICK = 140000, THREADS = 16, CONTENT = 1024, BOARD = 160000 };
enum order { FIFO, LIFO, RANDOM };

static unsigned char *block[BLOCKS];
static unsigned place[BLOCKS]; /* a permutation: the order in which the blocks are freed */
static size_t block_size, blocks;
static enum order order;
static unsigned crew;
static atomic_uint refused;

static void make_one(size_t i)
{
	block[i] = opaque(malloc(block_size));
	if (block[i])
		pattern_fill(block[i], CONTENT, i);
	else
		refused++;
}

static void free_one(size_t i)
{
	if (!block[i])
		return;
	must(pattern_holds(block[i], CONTENT, i));
	free(block[i]);
	block[i] = NULL;
}

static void make_all(unsigned index)
{
	for (size_t i = index; i < blocks; i += crew)
		make_one(i);
}

/* Of each pair of neighbours the one with this parity; the blocks of one thread lie between those of others. */
static void free_half(unsigned index, size_t parity)
{
	for (size_t i = index; i < blocks; i += crew)
		if (place[i] % 2 == parity)
			free_one(place[i]);
}

static void free_even(unsigned index)
{
	free_half(index, 0);
}

static void free_odd(unsigned index)
{
	free_half(index, 1);
}

static void refill_even(unsigned index)
{
	for (size_t i = index; i < blocks; i += crew)
		if (i % 2 == 0 && i % 8 < 4)
			make_one(i);
}

static void arrange(void)
{
	struct rng rng = rng_make(rng_process_seed());

	for (unsigned i = 0; i < blocks; i++)
		place[i] = order == LIFO ? (unsigned)blocks - 1 - i : i;
	for (unsigned i = 0; order == RANDOM && i < blocks; i++) {
		const size_t j = i + rng_below(&rng, blocks - i);
		const unsigned held = place[i];
		place[i] = place[j];
		place[j] = held;
	}
}

static void ck_given_back(size_t peak, size_t after, size_t freed, double least)
{
	const double percent = 100 * ((double)peak - (double)after) / (double)freed;

	ck_assert_msg(percent >= least, "%.1f %% of %zu MiB given back", percent, freed >> 20);
}

static void nothing(unsigned index)
{
	(void)index;
}

static void checkerboard(unsigned threads, enum order how, size_t size)
{
	block_size = size;
	blocks = storm_full ? BLOCKS : QUICK;
	order = how;
	crew = threads;
	arrange();
	crew_run(threads, NULL, nothing);
	storm_others_work();
	malloc_trim(0);
	proc_grow_up();
	const unsigned count = maps_count();

	crew_run(threads, NULL, make_all);
	const size_t freed = blocks / 2 * 4096;
	storm_others_work();
	const size_t peak = proc_rss_bytes();
	crew_run(threads, NULL, free_even);
	storm_others_work();
	malloc_trim(0);
	ck_given_back(peak, proc_rss_bytes(), freed, 95);
	storm_others_work();
	crew_run(threads, NULL, refill_even);
	crew_run(threads, NULL, free_even);
	crew_run(threads, NULL, free_odd);
	ck_assert_msg(refused == 0, "%u refused", refused);
	storm_ordinary_use(0.1);
	malloc_trim(0);
	ck_given_back(peak, proc_rss_bytes(), blocks * 4096, 95);
	ck_assert_uint_le(maps_count(), count + 24 + (threads > 1 ? 2 * threads : 0));
	storm_others_work();
}

/* One that has a mapping of its own by the options below, one that comes from the heap. */
static const size_t LARGE = 300000, SMALL = 140000;

START_TEST(blocks_are_freed_first_to_last)
{
	checkerboard(1, FIFO, LARGE);
}
END_TEST

START_TEST(blocks_are_freed_last_to_first)
{
	checkerboard(1, LIFO, LARGE);
}
END_TEST

START_TEST(blocks_are_freed_at_random)
{
	checkerboard(1, RANDOM, LARGE);
}
END_TEST

START_TEST(blocks_are_freed_at_random_by_16_threads)
{
	checkerboard(THREADS, RANDOM, LARGE);
}
END_TEST

START_TEST(blocks_of_the_heap_are_freed_at_random)
{
	checkerboard(1, RANDOM, SMALL);
}
END_TEST

/* Every second of `blocks` is freed: what the rest needs of mappings. */
static void ck_own_maps_below(size_t size, unsigned most)
{
	block_size = size;
	blocks = BOARD;
	order = FIFO;
	crew = 1;
	arrange();
	proc_grow_up();
	const unsigned before = maps_count();
	make_all(0);
	const unsigned whole = maps_count() - before;
	free_even(0);
	const unsigned half = maps_count() - before;
	malloc_trim(0);
	const unsigned trimmed = maps_count() - before;
	ck_assert_uint_eq(refused, 0);
	ck_assert_msg(whole < most && half < most && trimmed < most, "%u, half freed %u, trimmed %u", whole,
		      half, trimmed);
	free_odd(0);
}

START_TEST(a_checkerboard_in_the_heap_takes_less_than_a_quarter_of_the_limit)
{
	ck_own_maps_below(SMALL, maps_limit() / 4);
}
END_TEST

START_TEST(a_checkerboard_of_large_blocks_leaves_a_tenth_of_the_limit_to_others)
{
	ck_own_maps_below(LARGE, maps_limit() / 10 * 9);
}
END_TEST

/* Memory of freed blocks goes back in the course of the program's work, without malloc_trim. */
START_TEST(ordinary_use_gives_the_memory_back)
{
	suite_skip_in_variant("purge-never", "nothing is to go back without malloc_trim");
	block_size = LARGE;
	blocks = QUICK;
	order = RANDOM;
	crew = 1;
	arrange();
	make_all(0);
	storm_ordinary_use(1); /* which has memory of its own, before as after */
	const size_t peak = proc_rss_bytes();
	free_even(0);
	storm_ordinary_use(2);
	ck_given_back(peak, proc_rss_bytes(), blocks / 2 * 4096, 90);
	free_odd(0);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		blocks_are_freed_first_to_last,
		blocks_are_freed_last_to_first,
		blocks_are_freed_at_random,
		blocks_are_freed_at_random_by_16_threads,
		blocks_of_the_heap_are_freed_at_random,
		a_checkerboard_in_the_heap_takes_less_than_a_quarter_of_the_limit,
		a_checkerboard_of_large_blocks_leaves_a_tenth_of_the_limit_to_others,
		ordinary_use_gives_the_memory_back,
		NULL,
	};
	return storm_main(argc, argv, "map_pressure_holes", tests, "mmap_threshold:64K");
}
