/* SPDX-License-Identifier: MIT */
/* Blocks made in one thread and freed in another: contents, no overlap, no growth without bound. */
#define _GNU_SOURCE 1
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "suite.h"
#include "team.h"

#include <malloc.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

enum { THREADS = 4, MAILBOXES = 256 };

static struct team team;

START_TEST(threads_of_random_operations_keep_their_contents)
{
	team_start(&team, THREADS, 100000);
	team_await(&team, 60000);
	team_stop(&team);
}
END_TEST

START_TEST(threads_of_large_blocks_keep_their_contents)
{
	team_start(&team, THREADS, 6 << 20);
	team_await(&team, 800);
	team_stop(&team);
}
END_TEST

/* A block in transit tells its size and its pattern itself, so that whoever receives it can check it. */
struct parcel {
	size_t size;
	uint64_t seed;
	unsigned char contents[];
};

static struct parcel *parcel_make(struct rng *rng, size_t max_size)
{
	const size_t size = rng_size(rng, max_size);
	struct parcel *parcel = opaque(malloc(sizeof *parcel + size));

	must(parcel != NULL);
	parcel->size = size;
	parcel->seed = rng_next(rng);
	pattern_fill(parcel->contents, size, parcel->seed);
	return parcel;
}

static void parcel_end(struct parcel *parcel)
{
	if (!parcel)
		return;
	must(pattern_holds(parcel->contents, parcel->size, parcel->seed));
	free(parcel);
}

static _Atomic(struct parcel *) mailbox[MAILBOXES];

static void *exchange(void *arg)
{
	struct rng rng = rng_make(rng_process_seed() + (uintptr_t)arg);

	for (int i = 0; i < 200000; i++) {
		struct parcel *out = rng_below(&rng, 4) ? parcel_make(&rng, i % 64 ? 2000 : 200000) : NULL;
		parcel_end(atomic_exchange(&mailbox[rng_below(&rng, MAILBOXES)], out));
	}
	return NULL;
}

START_TEST(blocks_freed_by_other_threads_keep_their_contents)
{
	pthread_t thread[THREADS];

	rng_process_seed();
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, exchange, (void *)i), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < MAILBOXES; i++)
		parcel_end(mailbox[i]);
}
END_TEST

enum { RING = 512, PARCELS = 1000000 };
static _Atomic(struct parcel *) ring[RING];

static void *produce(void *arg)
{
	struct rng rng = rng_make(rng_process_seed());

	for (size_t i = 0; i < PARCELS; i++) {
		while (atomic_load(&ring[i % RING]))
			sched_yield();
		atomic_store(&ring[i % RING], parcel_make(&rng, 500));
	}
	return arg;
}

START_TEST(a_producer_and_a_consumer_do_not_grow_the_heap)
{
	pthread_t producer;
	size_t early = 0;

	rng_process_seed();
	ck_assert_int_eq(pthread_create(&producer, NULL, produce, NULL), 0);
	for (size_t i = 0; i < PARCELS; i++) {
		struct parcel *parcel;
		while (!(parcel = atomic_exchange(&ring[i % RING], NULL)))
			sched_yield();
		parcel_end(parcel);
		if (i == PARCELS / 5)
			early = proc_rss_bytes();
	}
	pthread_join(producer, NULL);
	ck_assert_uint_lt(proc_rss_bytes(), early + (2 << 20));
}
END_TEST

static void *wait_and_free(void *arg)
{
	parcel_end(arg);
	return NULL;
}

START_TEST(a_block_outlives_the_thread_that_made_it)
{
	struct rng rng = rng_make(rng_process_seed());

	for (int i = 0; i < 500; i++) {
		struct parcel *parcel = parcel_make(&rng, i % 10 ? 40000 : 3 << 20);
		pthread_t thread;
		ck_assert_int_eq(pthread_create(&thread, NULL, wait_and_free, parcel), 0);
		parcel_end(parcel_make(&rng, 40000));
		pthread_join(thread, NULL);
	}
}
END_TEST

enum { LINE = 64, SMALL = 24 };

enum { LEFT = 4 };

/* The blocks that threads are left by another, and the first ones they take. */
static void *left[LEFT], *_Atomic taken[LEFT];
static pthread_barrier_t all_have_taken;

static void *free_and_take(void *number)
{
	size_t i = (uintptr_t)number;
	free(left[i]);
	taken[i] = malloc(SMALL);
	pthread_barrier_wait(&all_have_taken);
	return NULL;
}

static uintptr_t line_of(const void *block)
{
	return (uintptr_t)block / LINE;
}

START_TEST(threads_at_work_together_do_not_begin_in_the_same_line_of_memory)
{
	pthread_t threads[LEFT];

	ck_assert_int_eq(pthread_barrier_init(&all_have_taken, NULL, LEFT), 0);
	for (int i = 0; i < LEFT; i++)
		left[i] = opaque(malloc(SMALL));
	for (size_t i = 0; i < LEFT; i++) {
		ck_assert_int_eq(pthread_create(&threads[i], NULL, free_and_take, (void *)i), 0);
		while (!taken[i])
			sched_yield();
	}
	for (int i = 0; i < LEFT; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < LEFT; i++) {
		for (int j = 0; j < i; j++) {
			ck_assert_uint_ne(line_of(taken[i]), line_of(taken[j]));
			ck_assert_uint_ne(line_of(taken[i]), line_of((char *)taken[j] + SMALL - 1));
			ck_assert_uint_ne(line_of((char *)taken[i] + SMALL - 1), line_of(taken[j]));
		}
	}
	for (int i = 0; i < LEFT; i++)
		free(taken[i]);
}
END_TEST

static void *report_and_trim(void *arg)
{
	while (!atomic_load(&team.stop)) {
		malloc_trim(0);
		must(mallinfo2().uordblks < (size_t)1 << 40);
	}
	return arg;
}

START_TEST(malloc_trim_and_mallinfo_run_beside_allocating_threads)
{
	pthread_t thread;

	team_start(&team, 3, 300000);
	ck_assert_int_eq(pthread_create(&thread, NULL, report_and_trim, NULL), 0);
	team_await(&team, 3000);
	team_stop(&team);
	pthread_join(thread, NULL);
}
END_TEST

static void *fail_when_cancelled(void *returned)
{
	must(pthread_cancel(pthread_self()) == 0);
	/* More than any address space has, less than what is refused unasked. qemu would map 1 TiB, page by page. */
	must(opaque(malloc((size_t)1 << 60)) == NULL);
	*(bool *)returned = true;
	return NULL;
}

/* It tells on stderr why it fails; malloc is on no list of functions that may be cancellation points. */
START_TEST(malloc_that_fails_is_no_cancellation_point)
{
	bool returned = false;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, fail_when_cancelled, &returned), 0);
	pthread_join(thread, NULL);
	ck_assert(returned);
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		threads_of_random_operations_keep_their_contents,
		threads_of_large_blocks_keep_their_contents,
		blocks_freed_by_other_threads_keep_their_contents,
		a_producer_and_a_consumer_do_not_grow_the_heap,
		a_block_outlives_the_thread_that_made_it,
		threads_at_work_together_do_not_begin_in_the_same_line_of_memory,
		malloc_trim_and_mallinfo_run_beside_allocating_threads,
		malloc_that_fails_is_no_cancellation_point,
		NULL,
	};
	return suite_main(argv, "threads", tests, 40);
}
