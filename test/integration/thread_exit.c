/* SPDX-License-Identifier: MIT */
/* Threads that end: late frees are taken, nothing stays behind, however many come and go. */
#define _GNU_SOURCE 1
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "suite.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 4, BLOCK = 3000 };

static pthread_key_t keys[KEYS];
static unsigned destructor_calls;

static void run_in_thread(void *(*fn)(void *), void *arg)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, fn, arg), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* Checks and frees its block, allocates in all kinds, and comes again until the rounds are over. */
static void late_destructor(void *block)
{
	must(pattern_holds(block, BLOCK, (uintptr_t)block));
	free(block);
	free(opaque(malloc(100)));
	free(opaque(malloc(100000)));
	free(opaque(malloc(3000000)));
	void *again = opaque(realloc(opaque(calloc(1, BLOCK / 2)), BLOCK));
	pattern_fill(again, BLOCK, (uintptr_t)again);
	if (++destructor_calls % 3)
		pthread_setspecific(keys[destructor_calls % KEYS], again);
	else
		free(again);
}

static void *set_keys(void *allocate_first)
{
	if (allocate_first)
		free(opaque(malloc(10)));
	for (int i = 0; i < KEYS; i++) {
		void *block = opaque(malloc(BLOCK));
		pattern_fill(block, BLOCK, (uintptr_t)block);
		pthread_setspecific(keys[i], block);
	}
	return NULL;
}

static void create_keys(void)
{
	for (int i = 0; i < KEYS; i++)
		ck_assert_int_eq(pthread_key_create(&keys[i], late_destructor), 0);
}

START_TEST(keys_created_before_the_first_thread_may_free_and_allocate)
{
	create_keys();
	for (int i = 0; i < 300; i++)
		run_in_thread(set_keys, i % 2 ? keys : NULL);
	ck_assert_uint_ge(destructor_calls, 300 * KEYS);
}
END_TEST

static void *allocate_and_free(void *arg)
{
	void *p = opaque(malloc(500));
	void *q = opaque(malloc(50000));

	memset(p, 1, 500);
	memset(q, 1, 50000);
	free(p);
	free(q);
	return arg;
}

START_TEST(keys_created_late_may_free_and_allocate)
{
	run_in_thread(allocate_and_free, NULL);
	create_keys();
	for (int i = 0; i < 300; i++)
		run_in_thread(set_keys, i % 2 ? keys : NULL);
	ck_assert_uint_ge(destructor_calls, 300 * KEYS);
}
END_TEST

static void *only_free(void *block)
{
	free(block);
	return NULL;
}

START_TEST(free_in_a_thread_that_never_allocated)
{
	static const size_t sizes[] = { 0, 1, 100, 5000, 32768, 40000, 900000, 3000000 };
	size_t before = 0;

	for (int round = 0; round < 300; round++) {
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
			run_in_thread(only_free, opaque(calloc(1, sizes[i])));
		if (round == 100)
			before = proc_rss_bytes();
	}
	ck_assert_uint_lt(proc_rss_bytes(), before + (1 << 20));
}
END_TEST

static void *free_late(void *block)
{
	pthread_setspecific(keys[0], block);
	return NULL;
}

START_TEST(free_late_in_a_thread_that_never_allocated)
{
	ck_assert_int_eq(pthread_key_create(&keys[0], free), 0);
	for (int i = 0; i < 1000; i++)
		run_in_thread(free_late, opaque(malloc(i % 7 ? 100 : 50000)));
}
END_TEST

START_TEST(ten_thousand_threads_in_sequence_leave_nothing_behind)
{
	proc_grow_up();
	for (int i = 0; i < 1000; i++)
		run_in_thread(allocate_and_free, NULL);
	const size_t rss = proc_rss_bytes(), mapped = proc_status_bytes("VmSize:");
	const unsigned maps = proc_maps_count();
	for (int i = 0; i < 10000; i++)
		run_in_thread(allocate_and_free, NULL);
	ck_assert_uint_le(proc_rss_bytes(), rss + (256 << 10));
	ck_assert_uint_le(proc_status_bytes("VmSize:"), mapped + (1 << 20));
	ck_assert_uint_le(proc_maps_count(), maps + 4);
}
END_TEST

/* What an ended thread had cached must be there for others. */
START_TEST(the_cache_of_an_ended_thread_is_used_again)
{
	size_t before = 0;

	for (int round = 0; round < 40; round++) {
		void *held[200];
		for (int i = 0; i < 200; i++)
			memset(held[i] = opaque(malloc(20000)), 1, 20000);
		for (int i = 0; i < 200; i++)
			run_in_thread(only_free, held[i]);
		if (round == 5)
			before = proc_rss_bytes();
	}
	ck_assert_uint_lt(proc_rss_bytes(), before + (4 << 20));
}
END_TEST

enum { MANY = 600 };
static pthread_barrier_t barrier;

static void *hold_together(void *arg)
{
	const uintptr_t seed = (uintptr_t)arg;
	void *p[5];

	for (size_t i = 0; i < 5; i++) {
		p[i] = opaque(malloc(50 << 2 * i));
		must(p[i] != NULL);
		pattern_fill(p[i], (size_t)50 << 2 * i, seed + i);
	}
	pthread_barrier_wait(&barrier);
	for (size_t i = 0; i < 5; i++) {
		must(pattern_holds(p[i], (size_t)50 << 2 * i, seed + i));
		free(p[i]);
	}
	return NULL;
}

static void run_many(void)
{
	static pthread_t thread[MANY];
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	pthread_barrier_init(&barrier, NULL, MANY);
	for (uintptr_t i = 0; i < MANY; i++)
		ck_assert_int_eq(pthread_create(&thread[i], &attr, hold_together, (void *)(i * 10)), 0);
	for (int i = 0; i < MANY; i++)
		pthread_join(thread[i], NULL);
}

START_TEST(many_threads_at_once_keep_their_blocks_and_leave_nothing)
{
	run_many();
	run_many();
	const size_t rss = proc_rss_bytes();
	for (int i = 0; i < 5; i++)
		run_many();
	ck_assert_uint_lt(proc_rss_bytes(), rss + (2 << 20));
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		keys_created_before_the_first_thread_may_free_and_allocate,
		keys_created_late_may_free_and_allocate,
		free_in_a_thread_that_never_allocated,
		free_late_in_a_thread_that_never_allocated,
		ten_thousand_threads_in_sequence_leave_nothing_behind,
		the_cache_of_an_ended_thread_is_used_again,
		many_threads_at_once_keep_their_blocks_and_leave_nothing,
		NULL,
	};
	return suite_main(argv, "thread_exit", tests, 30);
}
