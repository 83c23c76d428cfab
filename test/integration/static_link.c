/* SPDX-License-Identifier: MIT */
/* A fully static executable with libvmalloc.a: malloc is the library's from the start. */
#define _GNU_SOURCE 1
#include "blocks.h"
#include "child.h"
#include "must.h"
#include "opaque.h"
#include "suite.h"
#include "team.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <vmalloc.h>

static struct blocks blocks;
static struct team team;

START_TEST(malloc_is_the_library)
{
	struct vm_stats before, after;

	vm_stats(&before, sizeof before);
	void *p = opaque(malloc(8 << 20));
	vm_stats(&after, sizeof after);
	ck_assert_uint_eq(after.large_blocks, before.large_blocks + 1);
	vm_free(p);
	free(opaque(vm_malloc(100)));
	ck_assert_int_ge(malloc_trim(0), 0);
	ck_assert_uint_gt(mallinfo2().arena, 0);
}
END_TEST

START_TEST(random_blocks_keep_their_contents)
{
	blocks_init(&blocks, 500, 2 << 20, rng_process_seed());
	blocks_steps(&blocks, 5000);
	blocks_free(&blocks);
}
END_TEST

static void allocate(void *unused)
{
	(void)unused;
	blocks_init(&blocks, 100, 100000, 1);
	blocks_steps(&blocks, 500);
	blocks_free(&blocks);
}

START_TEST(threads_and_fork_work)
{
	team_start(&team, 3, 100000);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(child_status(allocate, NULL), 0);
	team_await(&team, 1000);
	team_stop(&team);
}
END_TEST

/* More than any cache holds, so that it meets the locks. */
static void allocate_in_handler(void)
{
	static void *held[3000];

	for (size_t i = 0; i < 3000; i++)
		held[i] = opaque(malloc(100 + 20 * i));
	for (size_t i = 0; i < 3000; i++)
		free(held[i]);
}

static __attribute__((constructor)) void register_handlers(void)
{
	must(pthread_atfork(allocate_in_handler, allocate_in_handler, allocate_in_handler) == 0);
}

/* The handlers of the program's constructors run outside the library's own. */
START_TEST(fork_handlers_of_a_constructor_may_allocate)
{
	ck_assert_int_eq(child_status(allocate, NULL), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		malloc_is_the_library,
		random_blocks_keep_their_contents,
		threads_and_fork_work,
		fork_handlers_of_a_constructor_may_allocate,
		NULL,
	};
	return suite_run("static_link", tests, 20);
}
