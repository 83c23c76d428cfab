/* SPDX-License-Identifier: MIT */
/* A program with libvmalloc_prefixed.a: vm_malloc and the C library's malloc live side by side. */
#define _GNU_SOURCE 1
#include "child.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "rng.h"
#include "suite.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <vmalloc.h>

enum { HELD = 200 };

struct pair {
	unsigned char *ours, *theirs;
	size_t size;
};

static void pair_check(const struct pair *pair, size_t k)
{
	must(!pair->ours || pattern_holds(pair->ours, pair->size, k));
	must(!pair->theirs || pattern_holds(pair->theirs, pair->size, k + HELD));
}

static void use_both(uint64_t seed, size_t steps)
{
	struct rng rng = rng_make(seed);
	struct pair held[HELD] = { { NULL, NULL, 0 } };

	for (size_t i = 0; i < steps; i++) {
		const size_t k = rng_below(&rng, HELD), size = rng_size(&rng, i % 64 ? 60000 : 3 << 20);
		pair_check(&held[k], k);
		vm_free(held[k].ours);
		free(held[k].theirs);
		held[k] = (struct pair){ vm_malloc(size), opaque(malloc(size)), size };
		must(held[k].ours && held[k].theirs && vm_malloc_usable_size(held[k].ours) >= size);
		pattern_fill(held[k].ours, size, k);
		pattern_fill(held[k].theirs, size, k + HELD);
	}
	for (size_t k = 0; k < HELD; k++) {
		pair_check(&held[k], k);
		vm_free_sized(held[k].ours, held[k].size);
		free(held[k].theirs);
	}
}

static void *use_both_in_thread(void *seed)
{
	use_both((uintptr_t)seed, 3000);
	return NULL;
}

static void use_both_in_child(void *unused)
{
	(void)unused;
	use_both(11, 500);
}

START_TEST(both_allocators_keep_their_contents)
{
	use_both(rng_process_seed(), 20000);
}
END_TEST

/* The C library aborts if the break sinks below its top: each trims while the other holds memory. */
START_TEST(both_trim_without_harm_to_the_other)
{
	for (int i = 0; i < 20; i++) {
		use_both((uint64_t)i, 300);
		ck_assert_int_ge(vm_malloc_trim(0), 0);
		use_both((uint64_t)i, 300);
		ck_assert_int_ge(malloc_trim(0), 0);
	}
}
END_TEST

START_TEST(the_programs_malloc_is_not_ours)
{
	struct vm_stats before, after;

	vm_free(vm_malloc(10));
	vm_stats(&before, sizeof before);
	void *p = opaque(malloc(10 << 20));
	vm_stats(&after, sizeof after);
	ck_assert_uint_eq(before.large_blocks, after.large_blocks);
	p = opaque(realloc(p, 100));
	free(p);
	p = vm_malloc(10 << 20);
	vm_stats(&after, sizeof after);
	ck_assert_uint_eq(before.large_blocks + 1, after.large_blocks);
	vm_free(p);
}
END_TEST

START_TEST(the_prefixed_library_leaves_the_break_to_the_program)
{
	void *held[64];

	free(opaque(malloc(1)));
	char *const top = sbrk(0);
	for (int i = 0; i < 64; i++)
		held[i] = vm_malloc(100000);
	ck_assert_ptr_eq(sbrk(0), top);
	for (int i = 0; i < 64; i++)
		vm_free(held[i]);
}
END_TEST

START_TEST(threads_and_fork_work)
{
	pthread_t thread[3];

	for (uintptr_t i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, use_both_in_thread, (void *)i), 0);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(child_status(use_both_in_child, NULL), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		both_allocators_keep_their_contents,
		both_trim_without_harm_to_the_other,
		the_programs_malloc_is_not_ours,
		the_prefixed_library_leaves_the_break_to_the_program,
		threads_and_fork_work,
		NULL,
	};
	return suite_run("prefixed", tests, 20);
}
