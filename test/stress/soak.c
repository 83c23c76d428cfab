/* SPDX-License-Identifier: MIT */
/*
 * One long life: 8 threads take turns at every kind of work, every byte of which is checked, and a line
 * a second tells what the process takes. Every ROUND_S seconds all of it but the oldest blocks is
 * freed: what is resident then must not grow from round to round.
 */
#define _GNU_SOURCE 1
#include "child.h"
#include "crew.h"
#include "maps.h"
#include "must.h"
#include "opaque.h"
#include "proc.h"
#include "storm.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <vmalloc.h>

enum { THREADS = 8, ROUND_S = 60, WARM_ROUNDS = 3, MAILBOXES = 512, OLD = 20000 };

/* Of the preloaded library. */
#pragma weak vm_stats

static const size_t MIB = 1 << 20;
static uint64_t seed;
static double began, ends;
static atomic_bool pause_work, stop;
static atomic_uint resting;
static atomic_uint map_turns; /* odd while the maps are used up */
static atomic_ulong steps, forks, threads_made;
static struct blocks of_thread[THREADS];
static struct block old[OLD];      /* live from begin to end */
static struct block mailbox[MAILBOXES];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Work ------------------------------------------------------------------------------------- */

static void churn(unsigned index, struct rng *rng)
{
	static const struct { size_t slots, max_size, steps; } kinds[] = {
		{ BLOCKS_SLOTS, 2000, 20000 }, { 1000, 40000, 5000 }, { 200, 900000, 500 }, { 30, 20 << 20, 50 },
	};
	const size_t kind = rng_below(rng, 4);
	struct blocks *blocks = &of_thread[index];

	blocks->slots = kinds[kind].slots;
	blocks->max_size = kinds[kind].max_size;
	blocks_steps(blocks, kinds[kind].steps);
	blocks->slots = BLOCKS_SLOTS;
	if (rng_below(rng, 4) == 0)
		blocks_free(blocks);
}

static void exchange(struct rng *rng, size_t times)
{
	while (times-- > 0) {
		const size_t at = rng_below(rng, MAILBOXES);
		const struct block made = block_make(rng, rng_size(rng, times % 64 ? 20000 : 2 * MIB));
		pthread_mutex_lock(&mutex);
		struct block taken = mailbox[at];
		mailbox[at] = made;
		pthread_mutex_unlock(&mutex);
		block_end(&taken);
	}
}

static void hand_over(unsigned index, struct rng *rng)
{
	(void)index;
	exchange(rng, 3000);
}

static void *live_shortly(void *own_seed)
{
	struct rng rng = rng_make((uintptr_t)own_seed);

	exchange(&rng, 200);
	return NULL;
}

/* While the maps are used up there may be none for the stack. */
static pthread_t start_thread(uintptr_t own_seed)
{
	pthread_t thread;
	unsigned turns;
	int error;

	do {
		turns = map_turns;
		error = pthread_create(&thread, NULL, live_shortly, (void *)own_seed);
	} while (error == EAGAIN && (turns % 2 || turns != map_turns) && usleep(1000) == 0);
	must(error == 0);
	return thread;
}

static void end_threads(unsigned index, struct rng *rng)
{
	(void)index;
	for (int i = 0; i < 20; i++) {
		const pthread_t thread = start_thread((uintptr_t)rng_next(rng));
		must(pthread_join(thread, NULL) == 0);
		threads_made++;
	}
}

static void grow(unsigned index, struct rng *rng)
{
	(void)index;
	must(storm_grow(rng_next(rng), 2) == 0);
}

static void align(unsigned index, struct rng *rng)
{
	(void)index;
	must(storm_aligned(rng_next(rng), 300) == 0);
}

static void mix(unsigned index, struct rng *rng)
{
	(void)index;
	must(storm_mixed(rng_next(rng), 300, 4 * MIB) == 0);
}

static void in_child(void *blocks)
{
	static struct blocks own;

	blocks_check(blocks);
	blocks_init(&own, 100, 200000, seed);
	blocks_steps(&own, 300);
	blocks_free(&own);
}

static void fork_children(unsigned index, struct rng *rng)
{
	(void)rng;
	for (int i = 0; i < 5; i++)
		must(child_status(in_child, &of_thread[index]) == 0);
	forks += 5;
}

/* A checkerboard of blocks that have a map each by their size. */
static void perforate(unsigned index, struct rng *rng)
{
	enum { COUNT = 400 };
	struct block *board = opaque(malloc(COUNT * sizeof *board));

	(void)index;
	must(board != NULL);
	for (size_t i = 0; i < COUNT; i++) {
		board[i] = (struct block){ opaque(malloc(MIB + 4096 * i)), 64, rng_next(rng) };
		must(board[i].memory != NULL);
		storm_fill(board[i].memory, board[i].size, board[i].seed);
	}
	for (size_t first = 0; first < 2; first++)
		for (size_t i = first; i < COUNT; i += 2)
			storm_end(&board[i]);
	free(board);
}

/* Mappings of others use up the limit for a while; one thread at a time. */
static void use_up_maps(unsigned index, struct rng *rng)
{
	if (index != 0 || rng_below(rng, 4))
		return;
	map_turns++;
	maps_fill_all();
	mix(index, rng);
	maps_drop_all();
	map_turns++;
}

static void trim(unsigned index, struct rng *rng)
{
	(void)index;
	(void)rng;
	malloc_trim(0);
}

static void rest(void)
{
	malloc_trim(0); /* this thread's cache */
	resting++;
	while (pause_work && !stop)
		usleep(1000);
	resting--;
}

static void work(unsigned index)
{
	static void (*const kinds[])(unsigned, struct rng *) = {
		churn, churn, churn, churn, hand_over, hand_over, end_threads, grow, align, mix,
		fork_children, perforate, use_up_maps, trim,
	};
	struct rng rng = rng_make(seed + index);

	while (!stop) {
		kinds[rng_below(&rng, sizeof kinds / sizeof *kinds)](index, &rng);
		steps++;
		if (pause_work) {
			blocks_free(&of_thread[index]);
			rest();
		}
	}
	blocks_free(&of_thread[index]);
}

/* Observation ------------------------------------------------------------------------------ */

static size_t first_rest, last_rest; /* resident at the end of the first round that counts, and the last */

static void tell(const char *state)
{
	struct vm_stats stats = { 0 };

	vm_stats(&stats, sizeof stats);
	const size_t live = stats.small_live + stats.medium_live + stats.large_live;
	printf("%.0f\t%s\t%zu\t%zu\t%u\t%zu\t%zu\t%zu\t%lu\t%lu\t%lu\n", now() - began, state, proc_rss_bytes(),
	       live, maps_count(), (size_t)stats.own_maps, (size_t)stats.heap_mapped,
	       (size_t)stats.meta_mapped, steps, forks, threads_made);
	fflush(stdout);
}

/* Without the tables of the pages that the heap has, 10 bytes each. */
static size_t resident_at_rest(void)
{
	struct vm_stats stats = { 0 };

	vm_stats(&stats, sizeof stats);
	return proc_rss_bytes() - stats.heap_mapped / 4096 * 10;
}

static void end_round(unsigned round)
{
	pause_work = true;
	while (resting < THREADS && !stop)
		usleep(10000);
	for (size_t i = 0; i < MAILBOXES; i++)
		block_end(&mailbox[i]);
	for (size_t i = 0; i < OLD; i++)
		block_check(&old[i]);
	malloc_trim(0);
	tell("rest");
	last_rest = resident_at_rest();
	if (round == WARM_ROUNDS)
		first_rest = last_rest;
	pause_work = false;
	while (resting > 0)
		usleep(1000);
}

static void *observe(void *unused)
{
	puts("seconds\tstate\trss\tlive\tmaps\town_maps\theap\tmeta\tsteps\tforks\tthreads");
	for (unsigned round = 1; now() < ends; round++) {
		const double round_ends = now() + ROUND_S;
		while (now() < round_ends && now() < ends) {
			sleep(1);
			tell("work");
		}
		end_round(round);
	}
	stop = true;
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t observer;

	suite_preload(argv);
	storm_whole = true;
	child_seconds = 600;
	must(argc == 2);
	seed = rng_process_seed();
	began = now();
	ends = began + atof(argv[1]);
	struct rng rng = rng_make(seed);
	for (size_t i = 0; i < OLD; i++)
		old[i] = block_make(&rng, rng_size(&rng, i % 100 ? 2000 : 500000));
	for (unsigned i = 0; i < THREADS; i++)
		blocks_init(&of_thread[i], BLOCKS_SLOTS, 1, rng_next(&rng));
	must(pthread_create(&observer, NULL, observe, NULL) == 0);
	crew_run(THREADS, NULL, work);
	must(pthread_join(observer, NULL) == 0);
	fprintf(stderr, "resident at rest: %zu KiB at first, %zu KiB at last\n", first_rest >> 10, last_rest >> 10);
	return first_rest && last_rest > first_rest + first_rest / 10 + MIB;
}
