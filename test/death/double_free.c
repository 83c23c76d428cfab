/* SPDX-License-Identifier: MIT */
/* A block freed twice: at once for large blocks, at latest when the cache returns a smaller one. */
#include "death.h"
#include "must.h"
#include "opaque.h"
#include "suite.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

static void *guarded_block(size_t size)
{
	void *p = opaque(malloc(size));

	must(p && opaque(malloc(size)));
	return p;
}

static void free_twice(void *size)
{
	void *p = guarded_block((uintptr_t)size);

	free(opaque(p));
	free(death_by(p));
}

static void free_twice_and_trim(void *size)
{
	void *p = guarded_block((uintptr_t)size);

	free(opaque(p));
	free(death_by(p));
	malloc_trim(0);
}

static void *free_here(void *p)
{
	free(opaque(p));
	free(opaque(p));
	return NULL;
}

static void free_twice_in_a_thread(void *size)
{
	void *p = guarded_block((uintptr_t)size);
	pthread_t thread;

	must(pthread_create(&thread, NULL, free_here, death_by(p)) == 0);
	pthread_join(thread, NULL);
	malloc_trim(0);
}

static void *free_once(void *p)
{
	free(opaque(p));
	return NULL;
}

static void free_in_two_threads(void *size)
{
	void *p = guarded_block((uintptr_t)size);
	pthread_t thread;

	death_by(p);
	for (int i = 0; i < 2; i++) {
		must(pthread_create(&thread, NULL, free_once, p) == 0);
		pthread_join(thread, NULL);
	}
	malloc_trim(0);
}

/* Freed, flushed to its slab, freed again: still noticed when it comes back. */
static void free_trim_free_trim(void *size)
{
	void *p = guarded_block((uintptr_t)size);

	free(opaque(p));
	malloc_trim(0);
	free(death_by(p));
	malloc_trim(0);
}

static void realloc_after_free(void *size)
{
	void *p = guarded_block((uintptr_t)size);

	free(opaque(p));
	void *volatile result = realloc(death_by(p), 100);
	free(result);
}

/* As realloc_after_free, when the block is back in its slab, which another keeps alive. */
static void realloc_after_free_and_trim(void *size)
{
	void *p = guarded_block((uintptr_t)size);

	free(opaque(p));
	malloc_trim(0);
	void *volatile result = realloc(death_by(p), 1);
	free(result);
}

static void usable_size_after_free_and_trim(void *size)
{
	void *p = guarded_block((uintptr_t)size);

	free(opaque(p));
	malloc_trim(0);
	volatile size_t result = malloc_usable_size(death_by(p));
	(void)result;
}

static void usable_size_after_free(void *size)
{
	void *p = guarded_block((uintptr_t)size);

	free(opaque(p));
	volatile size_t result = malloc_usable_size(death_by(p));
	(void)result;
}

START_TEST(double_free_of_a_medium_block_is_noticed_when_the_caches_are_emptied)
{
	for (uintptr_t size = 40000; size < 1000000; size *= 3)
		death_expect_late(free_twice_and_trim, (void *)size, ALREADY_FREE);
}
END_TEST

START_TEST(double_free_of_a_large_block_is_noticed_at_once)
{
	suite_skip_in_variant("purge-at-once", "the block is unmapped, and no longer known as one");
	for (uintptr_t size = 2 << 20; size < 100 << 20; size *= 5)
		death_expect(free_twice, (void *)size, "free", ALREADY_FREE);
}
END_TEST

START_TEST(double_free_of_a_small_block_is_noticed_when_the_caches_are_emptied)
{
	for (uintptr_t size = 1; size <= 32768; size *= 8)
		death_expect_late(free_twice_and_trim, (void *)size, ALREADY_FREE);
}
END_TEST

START_TEST(double_free_in_a_thread_is_noticed_at_its_end_or_a_trim)
{
	for (uintptr_t size = 1; size <= 32768; size *= 8)
		death_expect_late(free_twice_in_a_thread, (void *)size, ALREADY_FREE);
}
END_TEST

START_TEST(double_free_in_two_threads_is_noticed_at_their_end_or_a_trim)
{
	for (uintptr_t size = 1; size <= 32768; size *= 8)
		death_expect_late(free_in_two_threads, (void *)size, ALREADY_FREE);
}
END_TEST

START_TEST(free_of_a_block_already_back_in_its_slab_is_noticed)
{
	for (uintptr_t size = 1; size <= 1000; size *= 8)
		death_expect_late(free_trim_free_trim, (void *)size, ALREADY_FREE);
}
END_TEST

START_TEST(realloc_of_a_freed_large_block)
{
	suite_skip_in_variant("purge-at-once", "the block is unmapped, and no longer known as one");
	death_expect(realloc_after_free, (void *)(5 << 20), "realloc", ALREADY_FREE);
}
END_TEST

START_TEST(malloc_usable_size_of_a_freed_large_block)
{
	suite_skip_in_variant("purge-at-once", "the block is unmapped, and no longer known as one");
	death_expect(usable_size_after_free, (void *)(5 << 20), "malloc_usable_size", ALREADY_FREE);
}
END_TEST

START_TEST(realloc_of_a_block_already_back_in_its_slab)
{
	for (uintptr_t size = 1; size <= 1000; size *= 8)
		death_expect(realloc_after_free_and_trim, (void *)size, "realloc", ALREADY_FREE);
}
END_TEST

START_TEST(malloc_usable_size_of_a_block_already_back_in_its_slab)
{
	for (uintptr_t size = 1; size <= 1000; size *= 8)
		death_expect(usable_size_after_free_and_trim, (void *)size, "malloc_usable_size",
			     ALREADY_FREE);
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		double_free_of_a_medium_block_is_noticed_when_the_caches_are_emptied,
		double_free_of_a_large_block_is_noticed_at_once,
		double_free_of_a_small_block_is_noticed_when_the_caches_are_emptied,
		double_free_in_a_thread_is_noticed_at_its_end_or_a_trim,
		double_free_in_two_threads_is_noticed_at_their_end_or_a_trim,
		free_of_a_block_already_back_in_its_slab_is_noticed,
		realloc_of_a_freed_large_block,
		malloc_usable_size_of_a_freed_large_block,
		realloc_of_a_block_already_back_in_its_slab,
		malloc_usable_size_of_a_block_already_back_in_its_slab,
		NULL,
	};
	return suite_main(argv, "double_free", tests, 20);
}
