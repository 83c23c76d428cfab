/* SPDX-License-Identifier: MIT */
/* The shared object opened with RTLD_LOCAL in a process of the C library's malloc: both live side by side. */
#define _GNU_SOURCE 1
#include "child.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "rng.h"
#include "suite.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmalloc.h>

static struct {
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	void (*free)(void *);
	void (*free_sized)(void *, size_t);
	size_t (*usable_size)(void *);
	int (*trim)(size_t);
	size_t (*stats)(struct vm_stats *, size_t);
} vm;

static uintptr_t entry(void *library, const char *name)
{
	const uintptr_t found = (uintptr_t)dlsym(library, name);

	must(found != 0);
	return found;
}

static void *open_library(void)
{
	void *library = dlopen(getenv("VMALLOC_SO"), RTLD_NOW | RTLD_LOCAL);

	ck_assert_msg(library != NULL, "%s", dlerror());
	vm.malloc = (void *(*)(size_t))entry(library, "vm_malloc");
	vm.calloc = (void *(*)(size_t, size_t))entry(library, "vm_calloc");
	vm.realloc = (void *(*)(void *, size_t))entry(library, "vm_realloc");
	vm.aligned_alloc = (void *(*)(size_t, size_t))entry(library, "vm_aligned_alloc");
	vm.free = (void (*)(void *))entry(library, "vm_free");
	vm.free_sized = (void (*)(void *, size_t))entry(library, "vm_free_sized");
	vm.usable_size = (size_t(*)(void *))entry(library, "vm_malloc_usable_size");
	vm.trim = (int (*)(size_t))entry(library, "vm_malloc_trim");
	vm.stats = (size_t(*)(struct vm_stats *, size_t))entry(library, "vm_stats");
	return library;
}

/* Two blocks of each size, one from each allocator, grown and freed in turn. */
static void use_both(uint64_t seed)
{
	enum { HELD = 100 };
	struct rng rng = rng_make(seed);
	struct { unsigned char *ours, *theirs; size_t size; } held[HELD] = { { NULL, NULL, 0 } };

	for (size_t i = 0; i < 5000; i++) {
		const size_t k = rng_below(&rng, HELD), size = rng_size(&rng, i % 100 ? 60000 : 3 << 20);
		must(!held[k].ours || pattern_holds(held[k].ours, held[k].size, k));
		must(!held[k].theirs || pattern_holds(held[k].theirs, held[k].size, k + HELD));
		vm.free(held[k].ours);
		free(held[k].theirs);
		held[k].ours = vm.malloc(size / 2);
		held[k].ours = vm.realloc(held[k].ours, size + 1);
		held[k].theirs = opaque(malloc(size));
		held[k].size = size;
		must(held[k].ours && vm.usable_size(held[k].ours) > size);
		pattern_fill(held[k].ours, size, k);
		pattern_fill(held[k].theirs, size, k + HELD);
	}
	for (size_t k = 0; k < HELD; k++) {
		vm.free(held[k].ours);
		free(held[k].theirs);
	}
}

static void *use_both_in_thread(void *seed)
{
	use_both((uintptr_t)seed);
	return NULL;
}

START_TEST(both_allocators_live_side_by_side)
{
	open_library();
	use_both(rng_process_seed());
	ck_assert_int_eq(vm.trim(0), 1);
	use_both(rng_process_seed() + 1);
}
END_TEST

START_TEST(the_break_is_left_to_the_processes_own_malloc)
{
	struct vm_stats stats;

	open_library();
	vm.free(vm.malloc(100));
	vm.stats(&stats, sizeof stats);
	ck_assert_uint_gt(stats.heap_mapped, 0);
	ck_assert_uint_eq(stats.break_bytes, 0);
}
END_TEST

START_TEST(the_process_keeps_its_own_malloc)
{
	Dl_info before, after;

	ck_assert_int_ne(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &before), 0);
	open_library();
	ck_assert_int_ne(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &after), 0);
	ck_assert_ptr_eq(before.dli_fbase, after.dli_fbase);
}
END_TEST

START_TEST(it_works_in_threads_begun_before_and_after)
{
	pthread_t thread[4];

	open_library();
	for (uintptr_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, use_both_in_thread, (void *)i), 0);
	use_both(99);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	const size_t before = proc_rss_bytes();
	for (int i = 0; i < 2000; i++) {
		void *p = vm.malloc(1000);
		ck_assert_int_eq(pthread_create(&thread[0], NULL, (void *(*)(void *))(uintptr_t)vm.free, p), 0);
		pthread_join(thread[0], NULL);
	}
	ck_assert_uint_lt(proc_rss_bytes(), before + (1 << 20));
}
END_TEST

static pthread_barrier_t opened;

static void *thread_older_than_the_library(void *arg)
{
	free(opaque(malloc(10)));
	pthread_barrier_wait(&opened);
	use_both(5);
	return arg;
}

START_TEST(a_thread_older_than_the_library_may_use_it)
{
	pthread_t thread;

	pthread_barrier_init(&opened, NULL, 2);
	ck_assert_int_eq(pthread_create(&thread, NULL, thread_older_than_the_library, NULL), 0);
	usleep(1000);
	open_library();
	pthread_barrier_wait(&opened);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(all_vm_functions_keep_their_contract)
{
	open_library();
	unsigned char *p = vm.calloc(100, 10);
	ck_assert(pattern_is_zero(p, 1000));
	vm.free_sized(p, 1000);
	for (size_t alignment = 16; alignment <= 1 << 24; alignment *= 4) {
		p = vm.aligned_alloc(alignment, 100);
		ck_assert_uint_eq((uintptr_t)p % alignment, 0);
		vm.free(p);
	}
	vm.free(NULL);
	ck_assert_uint_eq(vm.usable_size(NULL), 0);
	ck_assert_ptr_null(vm.realloc(vm.malloc(10), 0));
	ck_assert_ptr_null(vm.malloc(SIZE_MAX));
}
END_TEST

START_TEST(vm_stats_tells_the_live_blocks_and_honours_a_smaller_struct)
{
	enum { SMALL = 5000, MEDIUM = 10, LARGE = 4 };
	static void *held[SMALL + MEDIUM + LARGE];
	struct vm_stats before, stats, canary;

	open_library();
	vm.free(vm.malloc(1));
	ck_assert_uint_ge(vm.stats(&before, sizeof before), sizeof before);
	ck_assert_uint_ge(before.version, VM_STATS_VERSION);
	for (int i = 0; i < SMALL + MEDIUM + LARGE; i++)
		held[i] = vm.malloc(i < SMALL ? 1000 : i < SMALL + MEDIUM ? 400 << 10 : 8 << 20);
	vm.stats(&stats, sizeof stats);
	const uint64_t live = stats.small_live + stats.medium_live - before.small_live - before.medium_live;
	ck_assert_uint_ge(live, SMALL * 1000u + (MEDIUM * 400u << 10));
	ck_assert_uint_le(live, SMALL * 1150u + (MEDIUM * 460u << 10));
	ck_assert_uint_eq(stats.large_blocks - before.large_blocks, LARGE);
	ck_assert_uint_ge(stats.large_live - before.large_live, LARGE * 8u << 20);
	ck_assert_uint_ge(stats.heap_mapped, stats.small_live + stats.medium_live);
	ck_assert_uint_ge(stats.threads, 1);
	for (int i = 0; i < SMALL + MEDIUM + LARGE; i++)
		vm.free(held[i]);
	vm.stats(&stats, sizeof stats);
	ck_assert_uint_le(stats.small_live, before.small_live + 4096);
	ck_assert_uint_eq(stats.medium_live, before.medium_live);
	ck_assert_uint_eq(stats.large_blocks, before.large_blocks);
	memset(&canary, 0xEE, sizeof canary);
	vm.stats(&canary, 16);
	ck_assert_uint_eq(canary.small_live, stats.small_live);
	ck_assert_uint_eq(canary.small_cached, 0xEEEEEEEEEEEEEEEE);
}
END_TEST

static void use_both_in_child(void *unused)
{
	(void)unused;
	use_both(7);
}

START_TEST(fork_with_the_library_opened)
{
	pthread_t thread;

	open_library();
	ck_assert_int_eq(pthread_create(&thread, NULL, use_both_in_thread, (void *)3), 0);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(child_status(use_both_in_child, NULL), 0);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(dlclose_of_the_library_does_no_harm)
{
	pthread_t thread;

	for (int i = 0; i < 5; i++) {
		void *library = open_library();
		ck_assert_int_eq(pthread_create(&thread, NULL, use_both_in_thread, (void *)1), 0);
		pthread_join(thread, NULL);
		dlclose(library);
		free(opaque(malloc(1000)));
	}
}
END_TEST

static pthread_barrier_t closed;

static void *outlive_the_library(void *unused)
{
	vm.free(vm.malloc(100));
	pthread_barrier_wait(&closed); /* used */
	pthread_barrier_wait(&closed);
	return unused;
}

START_TEST(a_thread_may_end_after_dlclose)
{
	pthread_t thread;
	void *library = open_library();

	pthread_barrier_init(&closed, NULL, 2);
	ck_assert_int_eq(pthread_create(&thread, NULL, outlive_the_library, NULL), 0);
	pthread_barrier_wait(&closed);
	dlclose(library);
	pthread_barrier_wait(&closed);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

/* It needs a key for each thread's end; without one, no malloc may take more than the one before. */
START_TEST(a_start_that_fails_costs_nothing_each_time_and_succeeds_later)
{
	enum { KEYS_MOST = 4096, TRIES = 100 };
	pthread_key_t keys[KEYS_MOST];
	size_t count = 0;

	while (count < KEYS_MOST && pthread_key_create(&keys[count], NULL) == 0)
		count++;
	ck_assert_uint_lt(count, KEYS_MOST);
	open_library();
	ck_assert_ptr_null(vm.malloc(100));
	const size_t size = proc_status_bytes("VmSize:");
	for (int i = 0; i < TRIES; i++)
		ck_assert_ptr_null(vm.malloc(100));
	ck_assert_uint_eq(proc_status_bytes("VmSize:"), size);
	ck_assert_int_eq(pthread_key_delete(keys[0]), 0);
	use_both(1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		both_allocators_live_side_by_side,
		the_break_is_left_to_the_processes_own_malloc,
		the_process_keeps_its_own_malloc,
		it_works_in_threads_begun_before_and_after,
		a_thread_older_than_the_library_may_use_it,
		all_vm_functions_keep_their_contract,
		vm_stats_tells_the_live_blocks_and_honours_a_smaller_struct,
		fork_with_the_library_opened,
		dlclose_of_the_library_does_no_harm,
		a_thread_may_end_after_dlclose,
		a_start_that_fails_costs_nothing_each_time_and_succeeds_later,
		NULL,
	};
	if (!getenv("VMALLOC_SO") || !*getenv("VMALLOC_SO"))
		return 77;
	return suite_run("dlopen", tests, 20);
}
