/* SPDX-License-Identifier: MIT */
/* thread/tcache.h: refills, flushes, growth and collection, within the rooms that the options allow. */
#include "fake_os.h"
#include "must.h"
#include "pattern.h"
#include "rng.h"
#include "suite.h"

#include "meta/meta.h"
#include "os/conf.h"
#include "os/os.h"
#include "small/bin.h"
#include "small/pageheap.h"
#include "small/transfer.h"
#include "thread/tcache.h"

#include <pthread.h>
#include <string.h>
#include <sys/single_threaded.h>

#include <vmalloc.h>

enum { MANY = 20000 };

/* As a program with threads has them, or as one without. */
static void setup_for(bool alone)
{
	__libc_single_threaded = alone;
	vm_os_init();
	vm_options.shards = 2;
	must(vm_pageheap_init(true));
	must(vm_bins_init());
	must(vm_transfer_init());
}

static void setup(void)
{
	setup_for(false);
}

static struct tcache *new_cache(void)
{
	struct tcache *cache = vm_tcache_new(0);
	must(cache);
	return cache;
}

static size_t small_live(void)
{
	struct vm_stats figures = {0};
	vm_bins_stats(&figures);
	return figures.small_live;
}

static size_t heap_used(void)
{
	struct vm_stats figures = {0};
	vm_pageheap_stats(&figures);
	return figures.heap_mapped - figures.heap_free_dirty - figures.heap_free_clean;
}

static void *alloc(struct tcache *cache, unsigned class)
{
	void *block;
	return tcache_pop(cache, class, &block) ? block : vm_tcache_refill_pop(cache, class);
}

static void give(struct tcache *cache, unsigned class, void *block)
{
	if (!tcache_push(cache, class, block))
		vm_tcache_flush_push(cache, class, block);
}

static size_t room(const struct tcache *cache, unsigned class)
{
	return (size_t)(cache->stacks[class].ceiling - cache->stacks[class].floor);
}

static size_t count(const struct tcache *cache, unsigned class)
{
	return (size_t)(cache->stacks[class].top - cache->stacks[class].floor);
}

static enum room_kind kind_of(unsigned class)
{
	return vm_classes[class].slots > 1 ? ROOM_SHARED : ROOM_SINGLE;
}

/* Of any cache: it does not count as room. */
static size_t first_room(unsigned class)
{
	return vm_classes[class].slots > 1 ? clamp_size(2 * KIB / vm_classes[class].bytes, 2, 8) : 0;
}

static size_t room_bytes(const struct tcache *cache)
{
	return cache->room_bytes[ROOM_SHARED] + cache->room_bytes[ROOM_SINGLE];
}

static void check(const struct tcache *cache)
{
	size_t rooms[ROOM_KINDS] = {0};
	size_t cached = 0;
	for (unsigned class = 0; class < CLASS_COUNT; class++) {
		const struct cache_stack *stack = &cache->stacks[class];
		must(stack->floor <= stack->top && stack->top <= stack->ceiling);
		size_t beyond = room(cache, class) - min_size(room(cache, class), first_room(class));
		rooms[kind_of(class)] += beyond * vm_classes[class].bytes;
		cached += count(cache, class) * vm_classes[class].bytes;
	}
	must(!room(cache, CLASS_NONE));
	must(cache->room_bytes[ROOM_SHARED] == rooms[ROOM_SHARED]);
	must(cache->room_bytes[ROOM_SINGLE] == rooms[ROOM_SINGLE]);
	must(vm_tcache_cached(cache) == cached);
}

/* Allocates and frees that many blocks, some times, which misses both ways. */
static void swing(struct tcache *cache, unsigned class, size_t blocks, int times)
{
	static void *held[MANY];
	for (int i = 0; i < times; i++) {
		for (size_t j = 0; j < blocks; j++)
			must((held[j] = alloc(cache, class)));
		for (size_t j = 0; j < blocks; j++)
			give(cache, class, held[j]);
		check(cache);
	}
}

static void expect_all_back(void)
{
	vm_transfer_trim();
	vm_bins_trim();
	vm_bins_check();
	vm_pageheap_check();
	ck_assert_uint_eq(small_live(), 0);
	ck_assert_uint_eq(heap_used(), 0);
}

struct block {
	void *memory;
	uint64_t seed;
	unsigned class;
};

/* Two caches that free each other's blocks. */
static void churn(struct rng *rng, struct tcache *caches[2], int steps)
{
	static _Thread_local struct block blocks[3000];
	for (int i = 0; i < steps; i++) {
		struct block *block = &blocks[rng_below(rng, 3000)];
		struct tcache *cache = caches[rng_below(rng, 2)];
		if (block->memory) {
			size_t bytes = min_size(vm_classes[block->class].bytes, 64);
			must(pattern_holds(block->memory, bytes, block->seed));
			give(cache, block->class, block->memory);
			block->memory = NULL;
		} else {
			size_t size = rng_size(rng, SMALL_MOST / (1 + rng_below(rng, 2000)));
			block->class = class_of_size(size);
			block->seed = rng_next(rng);
			must((block->memory = alloc(cache, block->class)));
			must((uintptr_t)block->memory % (size > 8 ? 16 : 8) == 0);
			pattern_fill(block->memory, min_size(vm_classes[block->class].bytes, 64),
				     block->seed);
		}
		if (i % 50 == 0) {
			uint64_t now_ms = fake_os_advance(rng_below(rng, 40));
			vm_tcache_collect(cache, now_ms);
			vm_transfer_tick(now_ms);
			check(cache);
		}
		if (i % 5000 == 0)
			vm_tcache_trim(cache);
	}
	for (size_t i = 0; i < 3000; i++)
		if (blocks[i].memory)
			give(caches[0], blocks[i].class, blocks[i].memory);
}

static void *churn_with_new_caches(void *argument)
{
	struct rng rng = rng_make(*(uint64_t *)argument);
	struct tcache *caches[] = {vm_tcache_new(0), vm_tcache_new(1)};
	churn(&rng, caches, 60000);
	vm_tcache_delete(caches[0]);
	vm_tcache_delete(caches[1]);
	return NULL;
}

START_TEST(any_sequence_keeps_blocks_apart_and_gives_all_back)
{
	setup();
	uint64_t seed = rng_process_seed();
	churn_with_new_caches(&seed);
	expect_all_back();
}
END_TEST

START_TEST(any_sequence_in_several_threads)
{
	setup();
	fake_os.slow = true;
	pthread_t threads[3];
	uint64_t seeds[3];
	for (size_t i = 0; i < 3; i++) {
		seeds[i] = rng_process_seed() + i;
		must(!pthread_create(&threads[i], NULL, churn_with_new_caches, &seeds[i]));
	}
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	expect_all_back();
}
END_TEST

START_TEST(the_constant_caches_and_class_0_are_empty_and_full)
{
	const struct tcache *const caches[] = {&vm_tcache_none, &vm_tcache_exited, vm_tcache};
	for (size_t i = 0; i < 3; i++) {
		for (unsigned class = 0; class < CLASS_COUNT; class++) {
			void *block;
			ck_assert(!tcache_pop((struct tcache *)caches[i], class, &block));
			ck_assert(!tcache_push((struct tcache *)caches[i], class, &block));
		}
	}
	setup();
	void *block;
	struct tcache *cache = new_cache();
	ck_assert(!tcache_pop(cache, CLASS_NONE, &block));
	ck_assert(!tcache_push(cache, CLASS_NONE, &block));
}
END_TEST

START_TEST(what_was_freed_last_comes_first)
{
	setup();
	struct tcache *cache = new_cache();
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		void *block = alloc(cache, class);
		give(cache, class, block);
		ck_assert_ptr_eq(alloc(cache, class), block);
	}
}
END_TEST

/* Of whole lines: with threads, blocks of others come in order line by line only, and TSan has a thread. */
START_TEST(a_new_cache_hands_out_blocks_in_order_of_address)
{
	setup();
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(4 * CACHE_LINE);
	char *before = alloc(cache, class);
	for (int i = 1; i < vm_classes[class].slots; i++) {
		char *block = alloc(cache, class);
		must(block == before + vm_classes[class].bytes);
		before = block;
	}
}
END_TEST

static bool share_a_line(const void *a, const void *b, size_t bytes)
{
	uintptr_t low = (uintptr_t)(a < b ? a : b);
	uintptr_t high = (uintptr_t)(a < b ? b : a);
	return (low + bytes - 1) / CACHE_LINE >= high / CACHE_LINE;
}

static void *take_in_turn(void *unused)
{
	enum { TURNS = 100 };
	struct tcache *caches[] = {new_cache(), new_cache()};
	unsigned class = class_of_size(8);
	void *blocks[2][TURNS];
	for (size_t i = 0; i < 2 * TURNS; i++)
		must((blocks[i % 2][i / 2] = alloc(caches[i % 2], class)));
	for (size_t i = 0; i < TURNS * TURNS; i++)
		must(!share_a_line(blocks[0][i / TURNS], blocks[1][i % TURNS],
				   vm_classes[class].bytes));
	return unused;
}

START_TEST(blocks_of_two_caches_share_no_line_in_a_process_with_threads)
{
	setup();
	pthread_t thread;
	must(!pthread_create(&thread, NULL, take_in_turn, NULL));
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(a_stack_starts_small_and_doubles_at_its_misses)
{
	setup();
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(64);
	void *block = alloc(cache, class);
	ck_assert_uint_eq(room(cache, class), 8);
	size_t before = 8;
	for (int i = 0; i < 20; i++) {
		swing(cache, class, 2 * before + 1, 1);
		ck_assert_uint_ge(room(cache, class), before);
		before = room(cache, class);
	}
	ck_assert_uint_eq(before, 32 * KIB / 64);
	give(cache, class, block);
}
END_TEST

static void alloc_some(struct tcache *cache, unsigned class, size_t count)
{
	while (count--)
		must(alloc(cache, class));
}

START_TEST(a_stack_grows_at_its_second_refill_between_two_collections)
{
	setup();
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(64);
	alloc_some(cache, class, 1);
	ck_assert_uint_eq(room(cache, class), 8);
	vm_tcache_collect(cache, 1000);
	ck_assert_uint_eq(room(cache, class), 8);
	alloc_some(cache, class, count(cache, class) + 1);
	ck_assert_uint_eq(room(cache, class), 8);
	alloc_some(cache, class, count(cache, class) + 1);
	ck_assert_uint_eq(room(cache, class), 16);
}
END_TEST

START_TEST(a_stack_that_swings_far_gets_more_room_until_it_does_not)
{
	setup();
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(64);
	swing(cache, class, MANY, 10);
	ck_assert_uint_eq(room(cache, class), 4096);
	vm_tcache_collect(cache, 1000);
	ck_assert_uint_eq(room(cache, class), 4096);

	swing(cache, class, 6000, 10);
	vm_tcache_collect(cache, 2000);
	ck_assert_uint_eq(room(cache, class), 32 * KIB / 64);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(use_about_a_level_gets_no_room_for_swings)
{
	setup();
	struct rng rng = rng_make(rng_process_seed());
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(64);
	static void *blocks[MANY];
	for (int i = 0; i < 100 * MANY; i++) {
		void **block = &blocks[rng_below(&rng, MANY)];
		if (*block)
			give(cache, class, *block);
		*block = *block ? NULL : alloc(cache, class);
	}
	ck_assert_uint_eq(room(cache, class), 32 * KIB / 64);
	for (int i = 0; i < MANY; i++)
		if (blocks[i])
			give(cache, class, blocks[i]);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(a_thread_that_only_allocates_or_only_frees_gets_128)
{
	setup();
	struct tcache *giver = new_cache();
	struct tcache *taker = new_cache();
	unsigned class = class_of_size(16);
	for (int i = 0; i < MANY; i++)
		give(giver, class, alloc(taker, class));
	ck_assert_uint_eq(room(taker, class), 128);
	ck_assert_uint_eq(room(giver, class), 128);
	vm_tcache_delete(giver);
	vm_tcache_delete(taker);
	expect_all_back();
}
END_TEST

START_TEST(a_long_row_of_one_kind_gets_128_and_a_few_short_ones_of_both_more)
{
	setup();
	struct tcache *giver = new_cache();
	struct tcache *taker = new_cache();
	unsigned class = class_of_size(KIB); /* 32 of them are 32 KiB */
	for (int i = 0; i < MANY; i++)
		give(giver, class, alloc(taker, class));
	ck_assert_uint_eq(room(taker, class), 128);
	ck_assert_uint_eq(room(giver, class), 128);
	vm_tcache_delete(giver);

	/* Some ten misses in a row. */
	class = class_of_size(64);
	swing(taker, class, 2500, 10);
	ck_assert_uint_ge(room(taker, class), 2 * 32 * KIB / 64);
	vm_tcache_delete(taker);
	expect_all_back();
}
END_TEST

START_TEST(the_first_room_is_2_kib_and_two_to_eight_blocks)
{
	setup();
	struct tcache *cache = new_cache();
	const size_t sizes[] = {64, 256, 512, KIB, 4 * KIB, 16 * KIB};
	const size_t rooms[] = {8, 8, 4, 2, 2, 2};
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		unsigned class = class_of_size(sizes[i]);
		for (int pair = 0; pair < 4; pair++)
			give(cache, class, alloc(cache, class));
		ck_assert_uint_eq(room(cache, class), rooms[i]);
	}
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(stacks_that_are_replaced_are_given_back)
{
	setup();
	struct tcache *cache = new_cache();
	size_t mapped = 0;
	for (int i = 0; i < 300; i++) {
		swing(cache, class_of_size(64), 1000, 2);
		vm_tcache_delete(cache);
		cache = new_cache();
		mapped = i ? mapped : vm_meta_mapped();
	}
	ck_assert_uint_eq(vm_meta_mapped(), mapped);
}
END_TEST

/* A library may have put one that allocates in the clock's place. */
START_TEST(no_clock_is_read_while_a_cache_gives_blocks_back)
{
	setup();
	struct tcache *cache = new_cache();
	swing(cache, class_of_size(4000), 200, 5);
	vm_transfer_trim();
	const size_t used = heap_used();
	const uint64_t reads = fake_os.clock_reads;
	vm_tcache_trim(cache);
	ck_assert_uint_lt(heap_used(), used); /* whole slabs */
	ck_assert_uint_eq(fake_os.clock_reads, reads);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(a_trim_leaves_nothing_to_other_caches)
{
	setup();
	struct tcache *cache = new_cache();
	swing(cache, class_of_size(64), 30, 2);
	vm_transfer_trim();
	vm_tcache_trim(cache);
	ck_assert_uint_eq(vm_transfer_cached(), 0);
	ck_assert_uint_eq(small_live(), 0);
}
END_TEST

START_TEST(of_one_way_stacks_of_many_classes_few_have_more_than_32_KiB)
{
	setup();
	struct tcache *taker = new_cache();
	struct tcache *giver = new_cache();
	size_t above = 0;
	for (unsigned class = class_of_size(KIB); class <= class_of_size(16 * KIB); class++) {
		for (int i = 0; i < MANY; i++)
			give(giver, class, alloc(taker, class));
		size_t bytes = room(giver, class) * vm_classes[class].bytes;
		above += bytes - min_size(bytes, 32 * KIB);
	}
	ck_assert_uint_gt(above, 0);
	ck_assert_uint_le(above, (384 + 256) * KIB);
	vm_tcache_delete(giver);
	vm_tcache_delete(taker);
	expect_all_back();
}
END_TEST

START_TEST(no_cache_exceeds_thread_cache_bytes_but_by_its_first_stacks)
{
	setup();
	struct tcache *cache = new_cache();
	vm_options.thread_cache_bytes = 256 * KIB;
	for (unsigned class = 1; class < CLASS_COUNT; class++)
		swing(cache, class, 20, 4);
	swing(cache, class_of_size(1024), 1000, 10);
	ck_assert_uint_le(room_bytes(cache), 256 * KIB);
	ck_assert_uint_eq(room(cache, CLASS_COUNT - 1), 0);

	/* And is back to growth when the option allows more. */
	vm_options.thread_cache_bytes = 16 * MIB;
	swing(cache, class_of_size(1024), 1000, 10);
	ck_assert_uint_eq(room(cache, class_of_size(1024)), 256);
	swing(cache, CLASS_COUNT - 1, 5, 10);
	ck_assert_uint_ge(room(cache, CLASS_COUNT - 1), 1);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(all_caches_together_do_not_exceed_cache_bytes)
{
	setup();
	vm_options.cache_bytes = MIB;
	unsigned class = class_of_size(1024);
	struct tcache *caches[20];
	size_t rooms = 0;
	for (size_t i = 0; i < 20; i++) {
		caches[i] = new_cache();
		swing(caches[i], class, 1000, 5);
		rooms += room_bytes(caches[i]);
	}
	ck_assert_uint_le(rooms, MIB);
	ck_assert_uint_ge(rooms, MIB - 256 * KIB);
	ck_assert_uint_eq(room(caches[19], class), 2);

	/* What a cache has given up, others may have. */
	for (size_t i = 0; i < 19; i++)
		vm_tcache_delete(caches[i]);
	swing(caches[19], class, 1000, 5);
	ck_assert_uint_eq(room(caches[19], class), 256);
	vm_tcache_delete(caches[19]);
	expect_all_back();
}
END_TEST

START_TEST(the_first_block_of_a_class_comes_alone)
{
	setup();
	struct tcache *cache = new_cache();
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		void *block = alloc(cache, class);
		ck_assert_uint_eq(count(cache, class), 0);
		give(cache, class, block);
	}
	unsigned class = class_of_size(16);
	void *blocks[] = {alloc(cache, class), alloc(cache, class)};
	ck_assert_uint_ge(count(cache, class), 1);
	give(cache, class, blocks[0]);
	give(cache, class, blocks[1]);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(the_first_block_of_a_class_is_none_that_another_cache_returned)
{
	enum { RETURNED = 8 };
	setup();
	unsigned class = class_of_size(24);
	void *blocks[RETURNED];
	must(vm_bin_fill(class, 0, blocks, RETURNED) == RETURNED);
	must(vm_transfer_put(class, blocks, RETURNED) == RETURNED);
	size_t returned = vm_transfer_cached();
	struct tcache *cache = new_cache();
	void *first = alloc(cache, class);
	ck_assert_uint_eq(vm_transfer_cached(), returned);
	void *second = alloc(cache, class);
	ck_assert_uint_lt(vm_transfer_cached(), returned);
	give(cache, class, first);
	give(cache, class, second);
	vm_tcache_delete(cache);
	vm_transfer_trim();
	expect_all_back();
}
END_TEST

START_TEST(blocks_above_1_kib_stay_from_the_eighth_miss_on)
{
	setup();
	struct tcache *cache = new_cache();
	unsigned small = class_of_size(KIB);
	give(cache, small, alloc(cache, small));
	ck_assert_uint_eq(count(cache, small), 1);
	unsigned class = small + 1;
	for (int pair = 0; pair < 3; pair++)
		give(cache, class, alloc(cache, class));
	void *block = alloc(cache, class);
	ck_assert_uint_eq(room(cache, class), 0);
	give(cache, class, block);
	ck_assert_uint_eq(count(cache, class), 1);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(blocks_that_have_a_slab_each_stay_from_the_32nd_miss_on)
{
	setup();
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(512 * KIB);
	for (int pair = 0; pair < 15; pair++)
		give(cache, class, alloc(cache, class));
	ck_assert_uint_eq(room(cache, class), 0);
	void *block = alloc(cache, class);
	ck_assert_uint_eq(room(cache, class), 0);
	give(cache, class, block);
	ck_assert_uint_eq(room(cache, class), 1);
	swing(cache, class, 2, 1);
	ck_assert_uint_ge(room(cache, class), 2);

	/* Also of a thread that only frees. */
	struct tcache *giver = new_cache();
	for (int i = 0; i < 34; i++)
		give(giver, class, alloc(cache, class));
	ck_assert_uint_ge(room(giver, class), 1);
	vm_tcache_delete(giver);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

/* It takes what it can get of so many bytes, which are fewer then by that. */
static void expect_half_at_most(struct tcache *cache, size_t *left)
{
	for (unsigned class = class_of_size(1024); class <= class_of_size(2048); class++)
		swing(cache, class, 1000, 5);
	ck_assert_uint_le(room_bytes(cache), *left / 2);
	ck_assert_uint_ge(room_bytes(cache), *left / 4);
	*left -= room_bytes(cache);
}

START_TEST(a_cache_takes_no_more_than_it_leaves_to_the_others)
{
	setup();
	vm_options.cache_bytes = MIB;
	struct tcache *caches[4];
	size_t left = MIB;
	for (size_t i = 0; i < 4; i++) {
		caches[i] = new_cache();
		expect_half_at_most(caches[i], &left);
	}
	for (size_t i = 0; i < 4; i++)
		vm_tcache_delete(caches[i]);
	expect_all_back();
}
END_TEST

START_TEST(in_a_child_the_room_of_the_caches_that_are_left_counts)
{
	setup();
	vm_options.cache_bytes = MIB;
	size_t left = MIB;
	struct tcache *cache = new_cache();
	expect_half_at_most(cache, &left);
	vm_tcache_forget_room();
	vm_tcache_count_room(cache);
	expect_half_at_most(new_cache(), &left);
}
END_TEST

/* A swing of 512 KiB had that much more in use than there is now. */
static size_t room_of_small_blocks(void)
{
	return 2 * MIB + (heap_used() + 512 * KIB) / 8;
}

enum { FAR_CLASSES = 33 };

static void swing_far_in_many_classes(struct tcache *cache)
{
	unsigned first = class_of_size(KIB);
	must(class_of_size(16 * KIB) == first + FAR_CLASSES - 1);
	for (unsigned class = first; class < first + FAR_CLASSES; class++) {
		swing(cache, class, 512 * KIB / vm_classes[class].bytes, 10);
		vm_transfer_trim(); /* what is there counts as in use */
	}
}

START_TEST(caches_of_a_small_heap_have_room_for_2_MiB_and_an_eighth_of_it)
{
	setup();
	struct tcache *cache = new_cache();
	swing_far_in_many_classes(cache);
	/* One leaves the others as much. */
	ck_assert_uint_le(cache->room_bytes[ROOM_SHARED], room_of_small_blocks() / 2);
	ck_assert_uint_gt(cache->room_bytes[ROOM_SHARED], MIB);

	bool zeroed;
	struct run *heap = vm_run_alloc(pages_of(18 * MIB), 1, &zeroed);
	ck_assert_ptr_nonnull(heap);
	swing_far_in_many_classes(cache);
	ck_assert_uint_le(cache->room_bytes[ROOM_SHARED], room_of_small_blocks() / 2);
	ck_assert_uint_gt(cache->room_bytes[ROOM_SHARED], (2 * MIB + 18 * MIB / 8) / 2);
	vm_run_free(heap);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(each_of_32_caches_has_room_for_128_KiB_beyond_first_stacks)
{
	setup();
	struct tcache *caches[32];
	for (size_t i = 0; i < 32; i++) {
		caches[i] = new_cache();
		for (unsigned class = 1; vm_classes[class].slots > 1; class++)
			for (int pair = 0; pair < 4; pair++)
				give(caches[i], class, alloc(caches[i], class));
		check(caches[i]);
		ck_assert_uint_eq(room_bytes(caches[i]), 0);
		swing(caches[i], class_of_size(64), 256 * KIB / 64, 10);
		vm_transfer_trim(); /* what is there counts as in use */
	}
	ck_assert_uint_eq(room(caches[0], class_of_size(64)), 256 * KIB / 64);
	ck_assert_uint_eq(room(caches[31], class_of_size(64)), 128 * KIB / 64);
	for (size_t i = 0; i < 32; i++)
		vm_tcache_delete(caches[i]);
	expect_all_back();
}
END_TEST

START_TEST(each_of_16_caches_has_room_for_512_KiB_of_blocks_that_have_a_slab_each)
{
	setup();
	struct tcache *caches[16];
	for (size_t i = 0; i < 16; i++) {
		caches[i] = new_cache();
		swing(caches[i], class_of_size(128 * KIB), 8, 20);
		swing(caches[i], class_of_size(256 * KIB), 8, 20);
	}
	ck_assert_uint_gt(room_bytes(caches[0]), 512 * KIB);
	ck_assert_uint_eq(room_bytes(caches[15]), 512 * KIB);
	for (size_t i = 0; i < 16; i++)
		vm_tcache_delete(caches[i]);
	expect_all_back();
}
END_TEST

START_TEST(blocks_that_have_a_slab_each_have_as_much_room_of_their_own)
{
	setup();
	struct tcache *cache = new_cache();
	for (unsigned class = class_of_size(40 * KIB); class < CLASS_COUNT; class++)
		swing(cache, class, 4, 20);
	ck_assert_uint_le(cache->room_bytes[ROOM_SINGLE], (2 * MIB + heap_used() / 8) / 2);
	ck_assert_uint_gt(cache->room_bytes[ROOM_SINGLE], MIB);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(blocks_that_have_a_slab_each_take_no_room_from_others_in_a_small_heap)
{
	setup();
	struct tcache *cache = new_cache();
	swing(cache, class_of_size(512 * KIB), 4, 10);
	ck_assert_uint_ge(room_bytes(cache), MIB);
	ck_assert_uint_eq(cache->room_bytes[ROOM_SHARED], 0);
	swing(cache, class_of_size(1024), 1000, 10);
	ck_assert_uint_eq(room(cache, class_of_size(1024)), 256);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(with_no_bytes_for_caches_all_works_without_large_stacks)
{
	setup();
	vm_options.cache_bytes = 0;
	vm_options.thread_cache_bytes = 0;
	struct tcache *cache = new_cache();
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		swing(cache, class, 10, 3);
		ck_assert_uint_le(room(cache, class), 8);
		ck_assert_uint_eq(room(cache, class) == 0, vm_classes[class].slots == 1);
	}
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(misses_are_counted_up_to_the_greatest_number)
{
	setup();
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(64);
	cache->stacks[class].refills = UINT16_MAX;
	must(alloc(cache, class));
	ck_assert_uint_eq(cache->stacks[class].refills, UINT16_MAX);
}
END_TEST

static void *alloc_uncached(void)
{
	void *block;
	must(vm_bin_fill(class_of_size(64), 0, &block, 1) == 1);
	return block;
}

/* No swings but a row; not idle. */
static void collect_after_row(struct tcache *cache, unsigned class, uint8_t row)
{
	struct cache_stack *stack = &cache->stacks[class];
	stack->swings = 0;
	stack->row = row;
	stack->refills = 1;
	vm_tcache_collect(cache, fake_os_advance(1000));
	check(cache);
}

/* A row of `least` misses, and of no fewer. */
static void expect_swing(uint8_t least)
{
	struct tcache *cache = new_cache();
	struct cache_stack *stack = &cache->stacks[class_of_size(64)];
	for (uint8_t row = least - 1; row <= least; row++) {
		stack->flushed = true;
		stack->row = row;
		while (stack->flushed)
			must(alloc(cache, class_of_size(64)));
		ck_assert_uint_eq(stack->swings, row == least);
		ck_assert_uint_eq(stack->row, 1);
	}
}

START_TEST(a_row_of_four_misses_is_a_swing)
{
	setup();
	expect_swing(4);
}
END_TEST

START_TEST(no_more_than_four_swings_are_counted)
{
	setup();
	struct tcache *cache = new_cache();
	struct cache_stack *stack = &cache->stacks[class_of_size(64)];
	stack->swings = 4;
	stack->row = 4;
	while (!stack->flushed)
		give(cache, class_of_size(64), alloc_uncached());
	ck_assert_uint_eq(stack->swings, 4);
}
END_TEST

START_TEST(alone_a_row_of_two_misses_is_a_swing)
{
	setup_for(true);
	expect_swing(2);
}
END_TEST

START_TEST(alone_no_small_blocks_are_shared)
{
	setup_for(true);
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(64);
	swing(cache, class, 10000, 30);
	collect_after_row(cache, class, 1);
	vm_tcache_collect(cache, fake_os_advance(1000)); /* halves it */
	ck_assert_uint_eq(vm_transfer_cached(), 0);

	enum { RETURNED = 64 };
	void *blocks[RETURNED];
	must(vm_bin_fill(class, 0, blocks, RETURNED) == RETURNED);
	must(vm_transfer_put(class, blocks, RETURNED) == RETURNED);
	swing(cache, class, 1000, 2);
	ck_assert_uint_eq(vm_transfer_cached(), RETURNED * 64);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

enum { USUAL_64 = 32 * KIB / 64 };

START_TEST(alone_only_a_stack_that_swings_often_has_room_for_it)
{
	setup_for(true);
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(64);
	swing(cache, class, 10000, 15);
	ck_assert_uint_eq(room(cache, class), USUAL_64);
	vm_tcache_collect(cache, fake_os_advance(1000));
	swing(cache, class, 10000, 7);
	ck_assert_uint_eq(room(cache, class), USUAL_64);
	swing(cache, class, 10000, 3);
	ck_assert_uint_eq(room(cache, class), MIB / 64);
	vm_tcache_collect(cache, fake_os_advance(1000));
	ck_assert_uint_eq(room(cache, class), MIB / 64);
	swing(cache, class, MIB / 64 + 1, 1);
	vm_tcache_collect(cache, fake_os_advance(1000));
	ck_assert_uint_eq(room(cache, class), USUAL_64);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(alone_a_stack_that_swings_further_than_4_MiB_has_no_room_for_it)
{
	setup_for(true);
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(KIB);
	swing(cache, class, 3500, 40);
	ck_assert_uint_eq(room(cache, class), MIB / KIB);
	swing(cache, class, 4700, 1);
	vm_tcache_collect(cache, fake_os_advance(1000));
	ck_assert_uint_eq(room(cache, class), 32);
	swing(cache, class, 4700, 40);
	ck_assert_uint_eq(room(cache, class), 32);
	ck_assert_uint_eq(cache->stacks[class].swings, 0);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(alone_a_stack_that_is_only_refilled_gets_128)
{
	setup_for(true);
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(16);
	for (int i = 0; i < MANY; i++)
		must(alloc(cache, class));
	ck_assert_uint_eq(room(cache, class), 128);
}
END_TEST

START_TEST(alone_blocks_that_have_a_slab_each_have_no_room_for_swings)
{
	setup_for(true);
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(64 * KIB);
	must(vm_classes[class].slots == 1);
	swing(cache, class, 15, 40);
	ck_assert_uint_eq(room(cache, class), 4);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(alone_blocks_that_have_a_slab_each_are_shared)
{
	setup_for(true);
	struct tcache *cache = new_cache();
	swing(cache, class_of_size(64 * KIB), 15, 40);
	ck_assert_uint_gt(vm_transfer_cached(), 0);
	swing(cache, class_of_size(64 * KIB), 15, 1);
	size_t before = vm_transfer_cached();
	alloc_some(cache, class_of_size(64 * KIB), 6);
	ck_assert_uint_lt(vm_transfer_cached(), before);
}
END_TEST

static void swing_often_in_many_classes(struct tcache *cache)
{
	unsigned first = class_of_size(KIB);
	for (unsigned class = first; class < first + 12; class++)
		swing(cache, class, 512 * KIB / vm_classes[class].bytes, 40);
}

START_TEST(alone_a_cache_leaves_nothing_to_others)
{
	setup_for(true);
	struct tcache *cache = new_cache();
	swing_often_in_many_classes(cache);
	ck_assert_uint_le(cache->room_bytes[ROOM_SHARED], room_of_small_blocks());
	ck_assert_uint_gt(cache->room_bytes[ROOM_SHARED], room_of_small_blocks() / 2);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(alone_a_cache_may_have_all_of_cache_bytes)
{
	setup_for(true);
	unsigned class = class_of_size(64);
	size_t most = MIB - 64 * first_room(class);
	vm_options.cache_bytes = most;
	struct tcache *cache = new_cache();
	swing(cache, class, 10000, 40);
	ck_assert_uint_eq(room_bytes(cache), most);
	swing_often_in_many_classes(cache);
	ck_assert_uint_eq(room_bytes(cache), most);
}
END_TEST

START_TEST(alone_blocks_that_have_a_slab_each_leave_as_much_room)
{
	setup_for(true);
	struct tcache *cache = new_cache();
	swing(cache, class_of_size(512 * KIB), 4, 20);
	swing(cache, class_of_size(768 * KIB), 4, 20);
	ck_assert_uint_gt(cache->room_bytes[ROOM_SINGLE], 512 * KIB);
	ck_assert_uint_le(cache->room_bytes[ROOM_SINGLE], (2 * MIB + heap_used() / 8) / 2);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(what_a_cache_took_while_alone_is_not_missed_by_those_that_come_later)
{
	setup_for(true);
	struct tcache *first = new_cache();
	swing_often_in_many_classes(first);
	size_t taken = room_bytes(first);
	vm_tcache_count_room(first); /* as a forked child does */
	__libc_single_threaded = false;
	struct tcache *second = new_cache();
	swing_far_in_many_classes(second);
	ck_assert_uint_eq(room_bytes(first), taken);
	ck_assert_uint_gt(second->room_bytes[ROOM_SHARED], MIB);
	vm_tcache_delete(second);
	vm_tcache_delete(first);
	expect_all_back();
}
END_TEST

static void expect_all_given_back_at_a_miss(void miss(struct tcache *cache))
{
	setup_for(true);
	struct tcache *cache = new_cache();
	for (unsigned class = class_of_size(16); class <= class_of_size(64); class++)
		swing(cache, class, 10000, 40);
	ck_assert_uint_ge(room(cache, class_of_size(16)), 16384);
	__libc_single_threaded = false;
	const uint64_t reads = fake_os.clock_reads;
	miss(cache);
	ck_assert_uint_gt(fake_os.clock_reads, reads); /* what is freed was not free since the last miss */
	ck_assert_uint_eq(room_bytes(cache), 0);
	check(cache);
	ck_assert_uint_eq(vm_transfer_cached(), 0);
	for (unsigned class = class_of_size(16); class <= class_of_size(64); class++)
		ck_assert_uint_eq(cache->stacks[class].swings, 0);
	for (unsigned class = class_of_size(16); class < class_of_size(64); class++)
		ck_assert_uint_eq(room(cache, class), 0);
	ck_assert_uint_le(vm_tcache_cached(cache), 256);

	/* Nothing is taken from what all have that never counted. */
	struct tcache *other = new_cache();
	swing_far_in_many_classes(other);
	ck_assert_uint_gt(other->room_bytes[ROOM_SHARED], MIB);
}

static void refill(struct tcache *cache)
{
	unsigned class = class_of_size(64);
	while (tcache_top(cache, class))
		must(alloc(cache, class));
	must(alloc(cache, class));
}

static void flush(struct tcache *cache)
{
	unsigned class = class_of_size(64);
	while (tcache_push(cache, class, alloc_uncached()))
		continue;
	give(cache, class, alloc_uncached());
}

static void note_refill(struct tcache *cache)
{
	vm_tcache_note_refill(cache, class_of_size(64));
}

START_TEST(with_the_first_threads_a_cache_gives_back_what_it_took_at_a_refill)
{
	expect_all_given_back_at_a_miss(refill);
}
END_TEST

START_TEST(with_the_first_threads_a_cache_gives_back_what_it_took_at_a_flush)
{
	expect_all_given_back_at_a_miss(flush);
}
END_TEST

START_TEST(with_the_first_threads_a_cache_gives_back_what_it_took_where_a_block_comes_from_elsewhere)
{
	expect_all_given_back_at_a_miss(note_refill);
}
END_TEST

START_TEST(with_the_first_threads_a_cache_gives_back_only_once)
{
	setup_for(true);
	struct tcache *cache = new_cache();
	__libc_single_threaded = false;
	swing(cache, class_of_size(64), 10000, 10);
	ck_assert_uint_eq(room(cache, class_of_size(64)), 256 * KIB / 64);
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(idle_stacks_are_halved_and_at_last_given_up)
{
	setup();
	struct tcache *cache = new_cache();
	unsigned idle = class_of_size(64);
	unsigned busy = class_of_size(80);
	swing(cache, idle, 300, 10);
	size_t before = count(cache, idle);
	ck_assert_uint_gt(before, 200);
	uint64_t now_ms = fake_os_advance(501);
	vm_tcache_collect(cache, now_ms); /* it has missed since the last one */
	ck_assert_uint_eq(count(cache, idle), before);

	swing(cache, busy, 300, 1);
	size_t of_busy = count(cache, busy);
	vm_tcache_collect(cache, now_ms + 500); /* too soon */
	ck_assert_uint_eq(count(cache, idle), before);
	vm_tcache_collect(cache, now_ms + 501);
	ck_assert_uint_eq(count(cache, idle), before / 2);
	ck_assert_uint_eq(count(cache, busy), of_busy);
	for (int i = 0; i < 12; i++)
		vm_tcache_collect(cache, now_ms += 1000);
	ck_assert_uint_eq(room(cache, idle), 0);
	ck_assert_uint_eq(room_bytes(cache), 0);
	check(cache);
	expect_all_back();
}
END_TEST

START_TEST(the_room_of_swings_goes_with_all_but_half_of_the_usual_room)
{
	setup();
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(64);
	swing(cache, class, MANY, 10);
	ck_assert_uint_eq(room(cache, class), 4096);
	alloc_some(cache, class, count(cache, class) - 100);
	collect_after_row(cache, class, 16); /* a long one */
	ck_assert_uint_eq(room(cache, class), 4096);
	collect_after_row(cache, class, 15);
	ck_assert_uint_eq(room(cache, class), USUAL_64);
	ck_assert_uint_eq(count(cache, class), 100);

	swing(cache, class, MANY, 10);
	while (count(cache, class) < room(cache, class))
		give(cache, class, alloc_uncached());
	ck_assert_uint_eq(room(cache, class), 4096);
	check(cache);
	vm_transfer_trim();
	collect_after_row(cache, class, 15);
	ck_assert_uint_eq(room(cache, class), USUAL_64);
	ck_assert_uint_eq(count(cache, class), USUAL_64 / 2);
	ck_assert_uint_ge(vm_transfer_cached(), 64 * KIB);

	/* What is full in the usual room stays so. */
	while (count(cache, class) < USUAL_64)
		give(cache, class, alloc_uncached());
	collect_after_row(cache, class, 15);
	ck_assert_uint_eq(count(cache, class), USUAL_64);
	cache->stacks[class].flushes = 1;
	vm_tcache_collect(cache, fake_os_advance(1000));
	ck_assert_uint_eq(count(cache, class), USUAL_64);
	vm_transfer_trim();
	vm_tcache_collect(cache, fake_os_advance(1000)); /* idle */
	ck_assert_uint_eq(count(cache, class), USUAL_64 / 2);
	ck_assert_uint_eq(vm_transfer_cached(), USUAL_64 / 2 * 64);
}
END_TEST

START_TEST(the_older_half_is_flushed_and_the_newer_kept)
{
	setup();
	vm_options.thread_cache_bytes = 0;
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(64);
	void *blocks[9];
	ck_assert_uint_eq(vm_bin_fill(class, 0, blocks, 9), 9);
	for (size_t i = 0; i < 9; i++)
		give(cache, class, blocks[i]);
	ck_assert_uint_eq(count(cache, class), 5);
	void *block;
	for (size_t i = 9; i-- > 4;)
		ck_assert(tcache_pop(cache, class, &block) && block == blocks[i]);
	ck_assert_uint_eq(vm_transfer_cached(), 4 * vm_classes[class].bytes);
}
END_TEST

START_TEST(where_the_kernel_refuses_null_comes_and_nothing_is_lost)
{
	setup();
	struct tcache *cache = new_cache();
	static void *blocks[MANY];
	for (size_t size = 16; size <= SMALL_MOST; size *= 16) {
		unsigned class = class_of_size(size);
		size_t got = 0;
		fake_os.address_limit = fake_maps.bytes + 3 * MIB;
		while (got < MANY && (blocks[got] = alloc(cache, class)))
			memset(blocks[got++], 1, 8);
		check(cache);
		ck_assert(got == MANY || !alloc(cache, class));
		fake_os.address_limit = SIZE_MAX;
		for (size_t i = 0; i < got; i++)
			give(cache, class, blocks[i]);
		check(cache);
	}
	vm_tcache_delete(cache);
	expect_all_back();
}
END_TEST

START_TEST(without_records_a_cache_frees_and_allocates_one_by_one)
{
	setup();
	struct tcache *cache = new_cache();
	unsigned class = class_of_size(256);
	void *blocks[10];
	ck_assert_uint_eq(vm_bin_fill(class, 0, blocks, 10), 10);
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	for (size_t bytes = MIB; bytes >= 64; bytes /= 2)
		while (vm_meta_alloc(bytes))
			;
	for (size_t i = 0; i < 10; i++)
		give(cache, class, blocks[i]);
	ck_assert_uint_eq(small_live(), 0);
	for (size_t i = 0; i < 10; i++)
		ck_assert_ptr_nonnull(alloc(cache, class));
	ck_assert_uint_eq(small_live(), 10 * vm_classes[class].bytes);
	ck_assert_ptr_null(vm_tcache_new(0));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		any_sequence_keeps_blocks_apart_and_gives_all_back,
		any_sequence_in_several_threads,
		the_constant_caches_and_class_0_are_empty_and_full,
		what_was_freed_last_comes_first,
		a_new_cache_hands_out_blocks_in_order_of_address,
		blocks_of_two_caches_share_no_line_in_a_process_with_threads,
		a_stack_starts_small_and_doubles_at_its_misses,
		a_stack_grows_at_its_second_refill_between_two_collections,
		a_stack_that_swings_far_gets_more_room_until_it_does_not,
		use_about_a_level_gets_no_room_for_swings,
		a_thread_that_only_allocates_or_only_frees_gets_128,
		a_long_row_of_one_kind_gets_128_and_a_few_short_ones_of_both_more,
		the_first_room_is_2_kib_and_two_to_eight_blocks,
		stacks_that_are_replaced_are_given_back,
		no_clock_is_read_while_a_cache_gives_blocks_back,
		a_trim_leaves_nothing_to_other_caches,
		of_one_way_stacks_of_many_classes_few_have_more_than_32_KiB,
		no_cache_exceeds_thread_cache_bytes_but_by_its_first_stacks,
		all_caches_together_do_not_exceed_cache_bytes,
		the_first_block_of_a_class_comes_alone,
		the_first_block_of_a_class_is_none_that_another_cache_returned,
		blocks_above_1_kib_stay_from_the_eighth_miss_on,
		blocks_that_have_a_slab_each_stay_from_the_32nd_miss_on,
		a_cache_takes_no_more_than_it_leaves_to_the_others,
		in_a_child_the_room_of_the_caches_that_are_left_counts,
		caches_of_a_small_heap_have_room_for_2_MiB_and_an_eighth_of_it,
		each_of_32_caches_has_room_for_128_KiB_beyond_first_stacks,
		each_of_16_caches_has_room_for_512_KiB_of_blocks_that_have_a_slab_each,
		blocks_that_have_a_slab_each_have_as_much_room_of_their_own,
		blocks_that_have_a_slab_each_take_no_room_from_others_in_a_small_heap,
		with_no_bytes_for_caches_all_works_without_large_stacks,
		misses_are_counted_up_to_the_greatest_number,
		a_row_of_four_misses_is_a_swing,
		no_more_than_four_swings_are_counted,
		alone_a_row_of_two_misses_is_a_swing,
		alone_no_small_blocks_are_shared,
		alone_only_a_stack_that_swings_often_has_room_for_it,
		alone_a_stack_that_swings_further_than_4_MiB_has_no_room_for_it,
		alone_a_stack_that_is_only_refilled_gets_128,
		alone_blocks_that_have_a_slab_each_have_no_room_for_swings,
		alone_blocks_that_have_a_slab_each_are_shared,
		alone_a_cache_leaves_nothing_to_others,
		alone_a_cache_may_have_all_of_cache_bytes,
		alone_blocks_that_have_a_slab_each_leave_as_much_room,
		what_a_cache_took_while_alone_is_not_missed_by_those_that_come_later,
		with_the_first_threads_a_cache_gives_back_what_it_took_at_a_refill,
		with_the_first_threads_a_cache_gives_back_what_it_took_at_a_flush,
		with_the_first_threads_a_cache_gives_back_what_it_took_where_a_block_comes_from_elsewhere,
		with_the_first_threads_a_cache_gives_back_only_once,
		idle_stacks_are_halved_and_at_last_given_up,
		the_room_of_swings_goes_with_all_but_half_of_the_usual_room,
		the_older_half_is_flushed_and_the_newer_kept,
		where_the_kernel_refuses_null_comes_and_nothing_is_lost,
		without_records_a_cache_frees_and_allocates_one_by_one,
		NULL,
	};
	return suite_run("tcache", tests, 60);
}
