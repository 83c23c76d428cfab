/* SPDX-License-Identifier: MIT */
/* The whole core on the fake kernel, by its public functions: threads that come and go, and free each
 * other's blocks, while others look at the figures and give memory back. */
#include "child.h"
#include "fake_os.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "rng.h"
#include "suite.h"

#include "base/sizeclass.h"
#include "meta/footprint.h"
#include "os/conf.h"
#include "os/os.h"
#include "small/bin.h"
#include "small/pageheap.h"
#include "small/transfer.h"
#include "thread/tcache.h"
#include "thread/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/single_threaded.h>

#include <vmalloc.h>

enum { THREADS = 4, GENERATIONS = 3, STEPS = 4000, HELD = 150, SHARED = 64, ENDS = 48 };

struct block {
	unsigned char *memory;
	size_t size;
	uint64_t seed;
};

/* Blocks on their way to whoever takes them first. */
static struct block *_Atomic shared[SHARED];

static void fill(const struct block *block)
{
	size_t part = min_size(block->size, ENDS);
	pattern_fill(block->memory, part, block->seed);
	pattern_fill(block->memory + block->size - part, part, block->seed);
}

static void check(const struct block *block)
{
	size_t part = min_size(block->size, ENDS);
	must(block->size < 2 * ENDS || pattern_holds(block->memory, part, block->seed));
	must(pattern_holds(block->memory + block->size - part, part, block->seed));
}

static void *allocate(struct rng *rng, size_t size)
{
	size_t alignment = (size_t)16 << rng_below(rng, 12);
	unsigned char *memory;
	switch (rng_below(rng, 6)) {
	case 0:
		memory = vm_calloc(size, 1);
		must(memory && pattern_is_zero(memory, min_size(size, 4096)));
		must(pattern_is_zero(memory + size - min_size(size, 4096), min_size(size, 4096)));
		return memory;
	case 1:
		memory = vm_aligned_alloc(alignment, size);
		must((uintptr_t)memory % alignment == 0);
		return memory;
	case 2:
		return vm_realloc(NULL, size);
	default:
		return vm_malloc(size);
	}
}

static struct block make(struct rng *rng)
{
	size_t size = 1 + rng_size(rng, rng_below(rng, 20) ? 100000 : 3 * MIB);
	struct block block = {allocate(rng, size), size, rng_next(rng)};
	must(block.memory && vm_malloc_usable_size(block.memory) >= size);
	fill(&block);
	return block;
}

static void end(struct block *block)
{
	check(block);
	vm_free(block->memory);
	block->memory = NULL;
}

static void resize(struct rng *rng, struct block *block)
{
	size_t size = 1 + rng_size(rng, 2 * block->size + 1000);
	size_t kept = min_size(min_size(size, block->size), ENDS);
	check(block);
	unsigned char *memory = vm_realloc(block->memory, size);
	must(memory);
	must(block->size < 2 * ENDS || pattern_holds(memory, kept, block->seed));
	*block = (struct block){memory, size, rng_next(rng)};
	fill(block);
}

/* Passes a block on, in a record that is a block itself, and ends the one that lay there. */
static void pass_on(struct rng *rng, struct block *block)
{
	struct block *sent = vm_malloc(sizeof *sent);
	must(sent);
	*sent = *block;
	block->memory = NULL;
	struct block *found = atomic_exchange(&shared[rng_below(rng, SHARED)], sent);
	if (found) {
		end(found);
		vm_free(found);
	}
}

static void *work(void *argument)
{
	struct rng rng = rng_make(*(uint64_t *)argument);
	struct block held[HELD] = {{0}};
	for (int i = 0; i < STEPS; i++) {
		struct block *block = &held[rng_below(&rng, HELD)];
		size_t chance = rng_below(&rng, 8);
		if (!block->memory)
			*block = make(&rng);
		else if (chance == 0)
			pass_on(&rng, block);
		else if (chance <= 2)
			resize(&rng, block);
		else
			end(block);
		if (i % 100 == 0)
			fake_os_advance(rng_below(&rng, 100));
	}
	for (int i = 0; i < HELD; i++)
		if (held[i].memory)
			end(&held[i]);
	return NULL;
}

static _Atomic bool done;

/* The figures of one moment need not agree while others are at work, but none is absurd. */
static void *watch(void *argument)
{
	(void)argument;
	while (!done) {
		struct vm_stats stats;
		must(vm_stats(&stats, sizeof stats) == sizeof stats);
		must(stats.heap_mapped < 4 * GIB && stats.large_live < 4 * GIB);
		must(stats.threads <= THREADS + 2);
		vm_malloc_trim(0);
		vm_bins_check();
		vm_pageheap_check();
	}
	return NULL;
}

static void run_generation(uint64_t seed)
{
	pthread_t threads[THREADS];
	uint64_t seeds[THREADS];
	for (size_t i = 0; i < THREADS; i++) {
		seeds[i] = seed + i;
		must(!pthread_create(&threads[i], NULL, work, &seeds[i]));
	}
	for (size_t i = 0; i < THREADS; i++)
		must(!pthread_join(threads[i], NULL));
}

START_TEST(threads_keep_their_blocks_and_nothing_is_left)
{
	pthread_t watcher;
	must(!pthread_create(&watcher, NULL, watch, NULL));
	for (uint64_t i = 0; i < GENERATIONS; i++)
		run_generation(rng_process_seed() + i * THREADS);
	done = true;
	must(!pthread_join(watcher, NULL));
	for (size_t i = 0; i < SHARED; i++) {
		if (shared[i]) {
			end(shared[i]);
			vm_free(shared[i]);
		}
	}
	vm_malloc_trim(0);
	struct vm_stats stats;
	vm_stats(&stats, sizeof stats);
	ck_assert_uint_eq(stats.small_live, 0);
	ck_assert_uint_eq(stats.small_cached, 0);
	ck_assert_uint_eq(stats.medium_live, 0);
	ck_assert_uint_eq(stats.large_live, 0);
	ck_assert_uint_eq(stats.heap_free_dirty, 0);
	ck_assert_uint_eq(stats.large_dirty + stats.large_clean, 0);
}
END_TEST

/* By the linker's --wrap, which gives us the calls of a sanitizer as well: those must succeed, and come
 * from threads that it does not know yet, so that nothing of it may be called here. */
#if __has_attribute(disable_sanitizer_instrumentation)
#define PLAIN __attribute__((disable_sanitizer_instrumentation))
#else
#define PLAIN
#endif
static _Thread_local bool keys_refused;
int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);

PLAIN int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
	return keys_refused ? ENOMEM : __real_pthread_setspecific(key, value);
}

/* What another thread returns that lives meanwhile. */
static void *in_a_thread(void *(*fn)(void *), void *argument)
{
	pthread_t thread;
	void *result;
	must(!pthread_create(&thread, NULL, fn, argument));
	must(!pthread_join(thread, &result));
	return result;
}

static void *allocate_and_free(void *refused)
{
	struct vm_stats stats;
	keys_refused = refused;
	for (int i = 0; i < 100; i++) {
		void *block = vm_malloc(100);
		must(block);
		vm_free(block);
	}
	vm_stats(&stats, sizeof stats);
	must(stats.threads == (refused ? 1 : 2));
	must(!refused || !stats.small_live);
	keys_refused = false;
	return NULL;
}

START_TEST(a_thread_whose_cache_would_stay_behind_goes_without)
{
	bool yes = true;
	vm_free(vm_malloc(100));
	vm_malloc_trim(0);
	in_a_thread(allocate_and_free, &yes);
	in_a_thread(allocate_and_free, NULL);
}
END_TEST

static void *free_some(void *blocks)
{
	struct vm_stats stats;
	for (size_t i = 0; ((void **)blocks)[i]; i++)
		vm_free(((void **)blocks)[i]);
	vm_stats(&stats, sizeof stats);
	return (void *)(uintptr_t)stats.threads;
}

/* The threads that have a cache while one of them frees so many blocks of this one. */
static size_t caches_while_freeing(size_t count)
{
	void *blocks[100] = {NULL};
	for (size_t i = 0; i < count; i++)
		must((blocks[i] = vm_malloc(100)));
	return (size_t)in_a_thread(free_some, blocks);
}

START_TEST(a_thread_that_frees_a_few_blocks_has_no_cache_for_them)
{
	ck_assert_uint_eq(caches_while_freeing(16), 1);
	ck_assert_uint_eq(caches_while_freeing(17), 2);
	ck_assert_uint_eq(caches_while_freeing(0), 1); /* nobody uses what a thread left */
}
END_TEST

/* More than the thread's cache takes: some lie in the transfer cache, some in their slabs. */
START_TEST(what_lies_in_caches_is_not_live)
{
	enum { BLOCKS = 20000, BYTES = 64 };
	static void *blocks[BLOCKS];
	struct vm_stats stats;
	__libc_single_threaded = false; /* transfer caches have some, too */
	for (int i = 0; i < BLOCKS; i++)
		must((blocks[i] = vm_malloc(BYTES)));
	vm_stats(&stats, sizeof stats);
	ck_assert_uint_eq(stats.small_live, BLOCKS * BYTES);
	for (int i = 0; i < BLOCKS; i++)
		vm_free(blocks[i]);
	vm_stats(&stats, sizeof stats);
	ck_assert_uint_eq(stats.small_live, 0);
	ck_assert_uint_gt(stats.small_cached, 64 * KIB);
	ck_assert_uint_eq(stats.threads, 1);
	ck_assert_uint_gt(stats.meta_mapped, 0);
	ck_assert_uint_eq(stats.version, VM_STATS_VERSION);
}
END_TEST

enum { SMALL = 20000 };
static void *small[SMALL];

/* Small blocks and free pages that hold memory, with the time at which that is to be given back. */
static void make_old_memory(void)
{
	struct vm_stats stats;
	struct run *runs[8];
	bool zeroed;
	for (int i = 0; i < SMALL; i++)
		must((small[i] = vm_malloc(64)));
	for (int i = 0; i < 8; i++)
		must((runs[i] = vm_run_alloc(25, 1, &zeroed)));
	for (int i = 0; i < 7; i++)
		vm_run_free(runs[i]);
	vm_stats(&stats, sizeof stats);
	must(stats.heap_free_dirty >= 7 * 100000 && !stats.purges);
	fake_os_advance(10000);
}

static void expect_old_memory_given_back(void)
{
	struct vm_stats stats;
	vm_stats(&stats, sizeof stats);
	ck_assert_uint_eq(stats.heap_free_dirty, 0);
	ck_assert_uint_ge(stats.purged_bytes, 400000);
}

START_TEST(frees_alone_give_old_memory_back)
{
	make_old_memory();
	for (int i = 0; i < SMALL / 2; i++)
		vm_free(small[2 * i]);
	expect_old_memory_given_back();
}
END_TEST

START_TEST(allocations_alone_give_old_memory_back)
{
	make_old_memory();
	for (int i = 0; i < 4000; i++)
		must(vm_malloc(64));
	expect_old_memory_given_back();
}
END_TEST

static size_t blocks_in_cache(unsigned class)
{
	const struct cache_stack *stack = &vm_tcache->stacks[class];
	return (size_t)(stack->top - stack->floor);
}

/* The misses of other classes have it look at the clock. */
START_TEST(a_cache_gives_back_with_time_what_it_does_not_use)
{
	enum { BLOCKS = 100, ALLOCATIONS = 320 };
	const unsigned class = class_of_size(64);
	void *blocks[BLOCKS];
	for (int i = 0; i < BLOCKS; i++)
		must((blocks[i] = vm_malloc(64)));
	for (int i = 0; i < BLOCKS; i++)
		vm_free(blocks[i]);
	ck_assert_uint_gt(blocks_in_cache(class), 30);
	for (int round = 0; round < 10; round++) {
		fake_os_advance(4 * vm_options.decay_ms);
		for (int i = 0; i < ALLOCATIONS; i++)
			must(vm_malloc(4000));
	}
	ck_assert_uint_eq(blocks_in_cache(class), 0);
}
END_TEST

/* Of make_and_free's blocks: of 64 bytes, twice that, and so on. */
static size_t sizes = 1;

/* Makes and frees so many blocks; the one it freed last. */
static void *make_and_free(void *count)
{
	void *blocks[1000];
	size_t most = (uintptr_t)count;
	for (size_t i = 0; i < most; i++)
		must((blocks[i] = vm_malloc(64 * (1 + i % sizes))));
	for (size_t i = 0; i < most; i++)
		vm_free(blocks[i]);
	return blocks[most - 1];
}

static void *malloc_64(void *unused)
{
	(void)unused;
	return vm_malloc(64);
}

static void *malloc_24(void *unused)
{
	(void)unused;
	return vm_malloc(24);
}

static size_t cached(void)
{
	struct vm_stats stats;
	vm_stats(&stats, sizeof stats);
	ck_assert_uint_eq(stats.threads, 0); /* this one makes no block */
	return stats.small_cached;
}

START_TEST(a_thread_goes_on_with_the_cache_that_another_left)
{
	void *last = in_a_thread(make_and_free, (void *)100);
	size_t left = cached();
	ck_assert_uint_ge(left, 50 * 64);
	ck_assert_ptr_eq(in_a_thread(malloc_64, NULL), last);
	ck_assert_uint_eq(cached(), left - 64);
}
END_TEST

START_TEST(a_cache_that_no_thread_takes_goes_after_two_decay_times)
{
	in_a_thread(make_and_free, (void *)100);
	vm_transfer_trim();
	vm_threads_tick(fake_os_advance(2 * vm_options.decay_ms));
	ck_assert_uint_gt(cached(), 0);
	vm_threads_tick(fake_os_advance(1));
	vm_transfer_trim();
	ck_assert_uint_eq(cached(), 0);
}
END_TEST

START_TEST(the_work_of_others_makes_left_caches_go)
{
	struct vm_stats stats;
	must(vm_malloc(64)); /* this thread has one of its own, with nothing in it */
	in_a_thread(make_and_free, (void *)100);
	fake_os_advance(2 * vm_options.decay_ms + 1);
	for (int i = 0; i < 16; i++)
		must(vm_malloc(600000));
	vm_transfer_trim();
	vm_stats(&stats, sizeof stats);
	ck_assert_uint_eq(stats.small_cached, 0);
}
END_TEST

START_TEST(what_none_of_a_row_of_threads_uses_goes)
{
	in_a_thread(make_and_free, (void *)100);
	size_t before = cached();
	for (int i = 0; i < 30; i++) {
		fake_os_advance(vm_options.decay_ms);
		in_a_thread(malloc_24, NULL);
	}
	vm_transfer_trim();
	ck_assert_uint_lt(cached(), before / 4);
}
END_TEST

START_TEST(a_trim_takes_the_caches_that_were_left)
{
	in_a_thread(make_and_free, (void *)100);
	ck_assert_uint_gt(cached(), 0);
	vm_threads_trim();
	vm_transfer_trim();
	ck_assert_uint_eq(cached(), 0);
}
END_TEST

START_TEST(without_a_decay_time_no_cache_is_left)
{
	vm_options.decay_ms = 0;
	in_a_thread(make_and_free, (void *)100);
	vm_transfer_trim();
	ck_assert_uint_eq(cached(), 0);
}
END_TEST

enum { LEAVERS = 40 };
static pthread_barrier_t together;
static _Atomic size_t heap_live; /* when they all were there */

static void *leave_together(void *count)
{
	make_and_free(count);
	if (pthread_barrier_wait(&together) == PTHREAD_BARRIER_SERIAL_THREAD)
		heap_live = vm_footprint_live(FOOTPRINT_HEAP);
	pthread_barrier_wait(&together);
	return NULL;
}

/* What is cached after some threads were there at once, each with so many blocks. */
static size_t left_by(size_t count)
{
	pthread_t threads[LEAVERS];
	must(!pthread_barrier_init(&together, NULL, LEAVERS));
	for (int i = 0; i < LEAVERS; i++)
		must(!pthread_create(&threads[i], NULL, leave_together, (void *)(uintptr_t)count));
	for (int i = 0; i < LEAVERS; i++)
		must(!pthread_join(threads[i], NULL));
	vm_transfer_trim();
	return cached();
}

START_TEST(no_more_is_left_than_16_caches)
{
	in_a_thread(make_and_free, (void *)8);
	size_t one = cached();
	vm_threads_trim();
	size_t left = left_by(8);
	ck_assert_uint_gt(left, 8 * one);
	ck_assert_uint_le(left, 16 * one);
}
END_TEST

START_TEST(no_more_bytes_are_left_than_512K_and_a_sixteenth_of_the_heap)
{
	sizes = 8;
	size_t left = left_by(1000);
	ck_assert_uint_gt(left, 256 * KIB);
	ck_assert_uint_le(left, 512 * KIB + heap_live / 16);
}
END_TEST

static void *ask_for_too_much(void *unused)
{
	struct vm_failure failure;
	must(vm_malloc(64) && !vm_malloc((size_t)1 << 60) && vm_last_failure(&failure));
	return unused;
}

static void *has_failed(void *unused)
{
	struct vm_failure failure;
	(void)unused;
	must(vm_malloc(64));
	return vm_last_failure(&failure) ? &together : NULL;
}

START_TEST(the_failure_of_another_thread_is_not_left_with_its_cache)
{
	vm_options.report_failures = false;
	in_a_thread(ask_for_too_much, NULL);
	ck_assert_ptr_null(in_a_thread(has_failed, NULL));
}
END_TEST

static _Atomic bool filled, may_end;

/* As many of them as come to lie in the cache. */
static size_t fill_cache(void)
{
	enum { BLOCKS = 2000 };
	void *blocks[BLOCKS];
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < BLOCKS; i++)
			must((blocks[i] = vm_malloc(64)));
		for (int i = 0; i < BLOCKS; i++)
			vm_free(blocks[i]);
	}
	return blocks_in_cache(class_of_size(64));
}

static void *fill_cache_and_wait(void *unused)
{
	fill_cache();
	filled = true;
	while (!may_end)
		sched_yield();
	return unused;
}

static void live_alone(void *unused)
{
	struct vm_stats stats;
	(void)unused;
	vm_stats(&stats, sizeof stats);
	must(stats.threads == 1);
	must(fill_cache() > 128);
}

START_TEST(a_child_of_a_fork_has_one_cache_and_all_room_for_it)
{
	struct vm_stats stats;
	pthread_t thread;
	vm_stats(&stats, sizeof stats); /* starts the allocator */
	vm_options.cache_bytes = 36 * KIB; /* 256 blocks for one, 128 for a second */
	must(!pthread_create(&thread, NULL, fill_cache_and_wait, NULL));
	while (!filled)
		sched_yield();
	ck_assert_uint_le(fill_cache(), 128);
	ck_assert_int_eq(child_status(live_alone, NULL), 0);
	vm_stats(&stats, sizeof stats);
	ck_assert_uint_eq(stats.threads, 2);
	ck_assert_uint_le(fill_cache(), 128);
	may_end = true;
	must(!pthread_join(thread, NULL));
}
END_TEST

static void take_what_was_left(void *block)
{
	must(fill_cache() <= 128);
	must(in_a_thread(malloc_64, NULL) == block);
}

START_TEST(a_child_of_a_fork_goes_on_with_what_was_left)
{
	vm_options.cache_bytes = 36 * KIB;
	vm_free(vm_malloc(64)); /* this thread has one of its own */
	void *last = in_a_thread(make_and_free, (void *)1000);
	ck_assert_int_eq(child_status(take_what_was_left, last), 0);
}
END_TEST

START_TEST(beside_another_malloc_the_break_is_left_alone)
{
	struct vm_stats stats;
	char *before = vm_os_break();
	for (int i = 0; i < 1000; i++)
		must(vm_malloc(10000));
	vm_stats(&stats, sizeof stats);
	ck_assert_uint_eq(stats.break_bytes, 0);
	ck_assert_ptr_eq(vm_os_break(), before);
}
END_TEST

START_TEST(figures_fill_no_more_than_they_are_given)
{
	struct vm_stats stats;
	memset(&stats, 0xEE, sizeof stats);
	ck_assert_uint_eq(vm_stats(&stats, sizeof stats.version), sizeof stats);
	ck_assert_uint_eq(stats.version, VM_STATS_VERSION);
	ck_assert_uint_eq(stats.small_live, UINT64_C(0xEEEEEEEEEEEEEEEE));
	ck_assert_uint_eq(stats.unmaps_refused, UINT64_C(0xEEEEEEEEEEEEEEEE));
}
END_TEST

START_TEST(a_heap_that_is_filled_has_huge_pages)
{
	fake_os.huge_bytes = 64 * KIB;
	for (size_t live = 0; live < 4 * MIB; live += 64) {
		char *block = vm_malloc(64);
		must(block);
		*block = 1;
	}
	ck_assert_uint_gt(fake_os.huge_begun, 20); /* of 48 in what is above 1 MiB */
	ck_assert_uint_gt(fake_os.huge_pages - fake_os.huge_begun, 20); /* of some 26 others */
}
END_TEST

START_TEST(from_the_threshold_on_blocks_are_mapped)
{
	struct vm_stats stats;
	must(vm_calloc(MIB - 1, 1) && vm_calloc(MIB, 1));
	vm_stats(&stats, sizeof stats);
	ck_assert_uint_eq(stats.large_blocks, 1);
	ck_assert_uint_eq(stats.large_live, MIB);
}
END_TEST

START_TEST(an_alignment_that_is_no_power_of_two_is_invalid)
{
	static const size_t bad[] = {0, 3, 24, SIZE_MAX};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		errno = 0;
		/* clang 14 crashes where it knows the value. */
		ck_assert_ptr_null(vm_aligned_alloc(opaque_size(bad[i]), 64));
		ck_assert_int_eq(errno, EINVAL);
	}
	ck_assert_uint_eq(vm_malloc_usable_size(NULL), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_thread_that_frees_a_few_blocks_has_no_cache_for_them,
		a_thread_whose_cache_would_stay_behind_goes_without,
		what_lies_in_caches_is_not_live,
		frees_alone_give_old_memory_back,
		allocations_alone_give_old_memory_back,
		a_cache_gives_back_with_time_what_it_does_not_use,
		a_thread_goes_on_with_the_cache_that_another_left,
		a_cache_that_no_thread_takes_goes_after_two_decay_times,
		the_work_of_others_makes_left_caches_go,
		what_none_of_a_row_of_threads_uses_goes,
		a_trim_takes_the_caches_that_were_left,
		without_a_decay_time_no_cache_is_left,
		no_more_is_left_than_16_caches,
		no_more_bytes_are_left_than_512K_and_a_sixteenth_of_the_heap,
		the_failure_of_another_thread_is_not_left_with_its_cache,
		a_child_of_a_fork_has_one_cache_and_all_room_for_it,
		a_child_of_a_fork_goes_on_with_what_was_left,
		beside_another_malloc_the_break_is_left_alone,
		figures_fill_no_more_than_they_are_given,
		a_heap_that_is_filled_has_huge_pages,
		from_the_threshold_on_blocks_are_mapped,
		an_alignment_that_is_no_power_of_two_is_invalid,
		threads_keep_their_blocks_and_nothing_is_left,
		NULL,
	};
	return suite_run("threads", tests, 60);
}
