/* SPDX-License-Identifier: MIT */
/* alloc.h by the public functions over the fake kernel: what stands in for what is refused, what time
 * and growth give back, what debug builds mark. */
#include "child.h"
#include "fake_os.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "suite.h"

#include "os/conf.h"
#include "small/bin.h"
#include "small/region.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/single_threaded.h>

#include <vmalloc.h>

static struct vm_stats stats(void)
{
	struct vm_stats figures;
	must(vm_stats(&figures, sizeof figures) == sizeof figures);
	return figures;
}

/* The allocator starts at its first call. */
static void setup(void)
{
	vm_free(vm_malloc(1));
}

static void *by_calloc(size_t size)
{
	return vm_calloc(1, size);
}

static void *by_alignment(size_t size)
{
	return vm_aligned_alloc(8192, size);
}

static void *by_realloc(size_t size)
{
	return vm_realloc(vm_malloc(1), size);
}

static void *(*const functions[])(size_t) = {vm_malloc, by_calloc, by_alignment, by_realloc};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

/* A quarter of a MiB each, side by side; four are in the cache once they have come and gone some times. */
static void fill_cache(void)
{
	void *blocks[4];
	for (int round = 0; round < 12; round++) {
		for (size_t i = 0; i < 4; i++)
			must((blocks[i] = vm_malloc(256 * KIB)));
		for (size_t i = 0; i < 4; i++)
			vm_free(blocks[i]);
	}
	ck_assert_uint_ge(stats().small_cached, MIB);
}

START_TEST(what_the_kernel_refuses_is_had_from_what_is_in_caches)
{
	setup();
	for (size_t i = 0; i < FUNCTIONS; i++) {
		fill_cache();
		fake_os.commit_limit = fake_maps.writable_bytes;
		ck_assert_uint_lt(stats().heap_free_dirty + stats().heap_free_clean, 768 * KIB);
		char *block = functions[i](768 * KIB);
		ck_assert_ptr_nonnull(block);
		memset(block, 1, 768 * KIB);
		vm_free(block);
		fake_os.commit_limit = SIZE_MAX;
		vm_malloc_trim(0);
	}
}
END_TEST

/* Sizes of large blocks, whose pages have many and few divisors. */
static const size_t large_sizes[] = {4 * MIB, 5 * MIB + 8, 10 * MIB, 61 * MIB + 700 * KIB};
enum { LARGE_SIZES = sizeof large_sizes / sizeof large_sizes[0] };

START_TEST(calloc_gives_a_large_block_back_that_was_hardly_written_to)
{
	setup();
	for (size_t i = 0; i < LARGE_SIZES; i++) {
		size_t size = large_sizes[i];
		char *block = vm_calloc(1, size);
		block[PAGE_BYTES + 1] = 1;
		block[size - 1] = 1;
		vm_free(block);
		struct vm_stats before = stats();
		ck_assert_ptr_eq(vm_calloc(1, size), block);
		ck_assert_uint_eq(stats().purges, before.purges + 1);
		ck_assert_uint_eq(stats().purged_bytes, before.purged_bytes + size / PAGE_BYTES * PAGE_BYTES);
		ck_assert(pattern_is_zero(block, size));
		vm_free(block);
		vm_malloc_trim(0);
	}
}
END_TEST

START_TEST(calloc_gives_no_large_block_back_of_which_an_eighth_was_written_to)
{
	setup();
	for (size_t i = 0; i < LARGE_SIZES; i++) {
		size_t size = large_sizes[i];
		for (size_t part = 0; part < 8; part++) {
			char *block = vm_calloc(1, size);
			memset(block + size / 8 * part, 1, size / 8);
			vm_free(block);
			uint64_t before = stats().purges;
			ck_assert_ptr_eq(vm_calloc(1, size), block);
			ck_assert_uint_eq(stats().purges, before);
			ck_assert(pattern_is_zero(block, size));
			vm_free(block);
			vm_malloc_trim(0);
		}
	}
}
END_TEST

START_TEST(calloc_is_zero_where_the_kernel_gives_no_zeros)
{
	setup();
	char *block = vm_calloc(1, 8 * MIB);
	block[PAGE_BYTES + 1] = 1;
	vm_free(block);
	uint64_t before = stats().purges;
	fake_os.purge_refused = true;
	ck_assert_ptr_eq(vm_calloc(1, 8 * MIB), block);
	fake_os.purge_refused = false;
	ck_assert_uint_eq(stats().purges, before);
	ck_assert(pattern_is_zero(block, 8 * MIB));
	vm_free(block);
}
END_TEST

START_TEST(what_is_more_than_the_heap_is_refused_without_emptying_the_caches)
{
	setup();
	fill_cache();
	for (size_t i = 0; i < FUNCTIONS; i++) {
		errno = 0;
		ck_assert_ptr_null(functions[i](opaque_size((size_t)1 << 46)));
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert_uint_ge(stats().small_cached, MIB);
	}
}
END_TEST

/* Every second of some blocks is freed: nothing merges. */
static void free_every_second(size_t count, size_t size)
{
	void *blocks[100];
	for (size_t i = 0; i < count; i++)
		must((blocks[i] = vm_malloc(size)));
	for (size_t i = 0; i < count; i += 2)
		vm_free(blocks[i]);
}

/* More than growth pays for at once. */
START_TEST(what_the_heap_keeps_is_given_back_where_large_blocks_take_its_place)
{
	setup();
	vm_options.dirty_bytes = MIB;
	free_every_second(60, 512 * KIB);
	ck_assert_uint_ge(stats().heap_free_dirty, 12 * MIB);
	fake_os_advance(100);
	must(vm_malloc(40 * MIB));
	ck_assert_uint_le(stats().heap_free_dirty, 4 * MIB);
}
END_TEST

START_TEST(what_large_blocks_keep_is_given_back_where_the_heap_takes_its_place)
{
	setup();
	vm_options.dirty_bytes = MIB;
	free_every_second(16, 2 * MIB);
	ck_assert_uint_eq(stats().large_dirty, 16 * MIB);
	for (size_t i = 0; i < 60; i++) {
		must(vm_malloc(512 * KIB));
		fake_os_advance(10);
	}
	ck_assert_uint_le(stats().large_dirty, 4 * MIB);
}
END_TEST

/* No time passes: nothing decays, and nothing is above the peak that may be kept. */
START_TEST(what_large_blocks_grow_by_the_heap_gives_back)
{
	setup();
	free_every_second(60, 512 * KIB);
	ck_assert_uint_ge(stats().heap_free_dirty, 12 * MIB);
	must(vm_malloc(40 * MIB));
	ck_assert_uint_le(stats().heap_free_dirty, 5 * MIB);
}
END_TEST

START_TEST(what_large_blocks_grow_by_others_give_back)
{
	setup();
	free_every_second(16, 2 * MIB);
	ck_assert_uint_eq(stats().large_dirty, 16 * MIB);
	must(vm_malloc(40 * MIB));
	ck_assert_uint_le(stats().large_dirty, 5 * MIB);
}
END_TEST

START_TEST(what_the_heap_grows_by_large_blocks_give_back)
{
	setup();
	free_every_second(16, 2 * MIB);
	for (size_t i = 0; i < 80; i++)
		must(vm_malloc(512 * KIB));
	ck_assert_uint_le(stats().large_dirty, 6 * MIB);
}
END_TEST

enum { SMALL_COUNT = 60000, SMALL_BYTES = 64, KEPT_ONE_OF = 1000 };

static size_t purged_of_slabs(void)
{
	struct vm_stats figures = {0};
	vm_bins_stats(&figures);
	return figures.purged_bytes;
}

/* Whole pages of free slots in slabs that some blocks keep. */
static void scatter_small_blocks(void)
{
	static void *blocks[SMALL_COUNT];
	for (size_t i = 0; i < SMALL_COUNT; i++)
		must((blocks[i] = vm_malloc(SMALL_BYTES)));
	for (size_t i = 0; i < SMALL_COUNT; i++)
		if (i % KEPT_ONE_OF)
			vm_free(blocks[i]);
}

START_TEST(what_the_heap_grows_by_free_pages_of_slabs_give_back)
{
	setup();
	vm_options.decay_ms = 3600000;
	scatter_small_blocks();
	const size_t before = purged_of_slabs();
	for (size_t i = 0; i < 40; i++) {
		must(vm_malloc(512 * KIB));
		fake_os_advance(10);
	}
	ck_assert_uint_ge(purged_of_slabs() - before, MIB / 2);
}
END_TEST

/* A program that does little, and all of it in its cache. */
static void let_time_pass(void)
{
	for (int second = 0; second < 30; second++) {
		fake_os_advance(1000);
		for (int i = 0; i < 200; i++)
			vm_free(vm_malloc(2000));
	}
}

START_TEST(time_gives_back_what_is_not_used)
{
	__libc_single_threaded = false; /* transfer caches have some, too */
	setup();
	scatter_small_blocks();
	vm_free(vm_malloc(3 * MIB));
	ck_assert_uint_eq(stats().large_dirty, 3 * MIB);
	ck_assert_uint_ge(stats().small_cached, 64 * KIB);
	const size_t before = purged_of_slabs();
	let_time_pass();
	ck_assert_uint_eq(stats().large_dirty, 0);
	ck_assert_uint_le(stats().small_cached, 32 * KIB);
	ck_assert_uint_ge(purged_of_slabs() - before, MIB / 2);
}
END_TEST

START_TEST(time_takes_the_ballast_again_that_was_given_up)
{
	enum { LIMIT = 5000 };
	fake_os.map_limit = LIMIT;
	setup();
	fake_os_foreign_maps_add(LIMIT + 1 - fake_maps.count);
	for (int i = 0; i < 3000 && stats().lifeboat_held; i++)
		must(vm_malloc(64 * KIB));
	ck_assert(!stats().lifeboat_held);
	fake_os_foreign_maps_remove(3000);
	let_time_pass();
	ck_assert(stats().lifeboat_held);
}
END_TEST

static void expect_mapped(void *block, size_t before, bool mapped)
{
	must(block);
	ck_assert_uint_eq(stats().large_blocks - before, mapped);
	vm_free(block);
}

START_TEST(from_the_threshold_on_blocks_and_alignments_are_mapped)
{
	setup();
	for (size_t threshold = 64 * KIB; threshold <= 4 * MIB; threshold *= 4) {
		vm_options.mmap_threshold = threshold;
		const size_t before = stats().large_blocks;
		expect_mapped(vm_malloc(threshold), before, true);
		expect_mapped(vm_malloc(threshold - 1), before, false);
		expect_mapped(vm_calloc(1, threshold), before, true);
		expect_mapped(vm_calloc(1, threshold - 1), before, false);
		expect_mapped(vm_aligned_alloc(threshold, 40 * KIB), before, true);
		expect_mapped(vm_aligned_alloc(threshold / 2, 33 * KIB), before, false);
	}
}
END_TEST

/* 24 MiB of the heap; the last block stays. Nothing may be paid for growth from then on. */
static void free_much_of_heap(void)
{
	enum { COUNT = 48 };
	void *blocks[COUNT + 1];
	for (size_t i = 0; i <= COUNT; i++)
		must((blocks[i] = vm_malloc(512 * KIB)));
	for (size_t i = 0; i < COUNT; i++)
		vm_free(blocks[i]);
	ck_assert_uint_ge(stats().heap_free_dirty, 20 * MIB);
	vm_options.dirty_bytes = 0;
}

START_TEST(what_is_free_in_the_heap_becomes_a_large_block_where_it_would_come_on_top)
{
	setup();
	free_much_of_heap();
	const struct vm_stats before = stats();
	char *block = vm_malloc(4 * MIB);
	must(block && region_of(block));
	ck_assert_uint_eq(stats().large_blocks, before.large_blocks);
	ck_assert_uint_eq(stats().heap_mapped, before.heap_mapped);
	ck_assert_uint_eq(stats().medium_live, 4 * MIB);
	ck_assert_uint_eq(vm_malloc_usable_size(block), 4 * MIB);
	pattern_fill(block, 3 * MIB, 1);

	/* It changes its size where it is, and moves to a map of its own where it does not fit. */
	ck_assert_ptr_eq(vm_realloc(block, 3 * MIB), block);
	ck_assert_uint_eq(stats().medium_live, 3 * MIB);
	ck_assert_ptr_eq(vm_realloc(block, 4 * MIB), block);
	ck_assert_uint_eq(stats().medium_live, 4 * MIB);
	char *longer = vm_realloc(block, 32 * MIB);
	must(longer && !region_of(longer));
	ck_assert(pattern_holds(longer, 3 * MIB, 1));
	ck_assert_uint_eq(stats().medium_live, 0);
	vm_free(longer);
}
END_TEST

START_TEST(large_blocks_that_were_freed_come_before_what_is_free_in_the_heap)
{
	setup();
	void *first = vm_malloc(8 * MIB);
	free_much_of_heap();
	vm_options.dirty_bytes = 64 * MIB;
	vm_free(first);
	vm_options.dirty_bytes = 0;
	ck_assert_ptr_eq(vm_malloc(6 * MIB), first);
}
END_TEST

START_TEST(calloc_growth_and_blocks_above_8_MiB_take_nothing_that_is_free_in_the_heap)
{
	setup();
	free_much_of_heap();
	void *longer = vm_malloc(8 * MIB + 1);
	void *zeroed = vm_calloc(1, 4 * MIB);
	void *moved = vm_realloc(vm_malloc(32 * KIB), 4 * MIB);
	must(longer && zeroed && moved);
	ck_assert(!region_of(longer) && !region_of(zeroed) && !region_of(moved));
	ck_assert_ptr_nonnull(region_of(vm_malloc(8 * MIB)));
}
END_TEST

static size_t grown(size_t size, size_t new_size)
{
	void *block = vm_realloc(vm_malloc(size), new_size);
	must(block);
	const size_t usable = vm_malloc_usable_size(block);
	const struct vm_stats figures = stats();
	/* The old one is free. */
	ck_assert_uint_eq(figures.small_live + figures.medium_live, usable);
	vm_free(block);
	return usable;
}

START_TEST(small_blocks_that_grow_get_a_quarter_more_up_to_32_KiB)
{
	setup();
	ck_assert_uint_ge(grown(1024, 1025), 1280);
	ck_assert_uint_le(grown(1024, 1025), 1536);
	ck_assert_uint_ge(grown(1024, 2000), 2000);
	ck_assert_uint_le(grown(1024, 2000), 2048);
	ck_assert_uint_eq(grown(28 * KIB, 28 * KIB + 1), 32 * KIB);
	ck_assert_uint_eq(grown(28 * KIB, 32 * KIB), 32 * KIB);
}
END_TEST

START_TEST(blocks_that_grow_get_no_room_beyond_a_power_of_two)
{
	setup();
	ck_assert_uint_eq(grown(7 * KIB, 7 * KIB + 1), 8 * KIB);
	ck_assert_uint_eq(grown(7 * KIB, 8 * KIB), 8 * KIB);
	ck_assert_uint_eq(grown(8 * KIB, 8 * KIB + 1), 10 * KIB);
	ck_assert_uint_eq(grown(1024, 1025), 1280);
	ck_assert_uint_eq(grown(448 * KIB, 456 * KIB), 512 * KIB);
	ck_assert_uint_eq(grown(512 * KIB, 516 * KIB), 640 * KIB);
}
END_TEST

START_TEST(runs_that_grow_by_a_sixteenth_get_a_quarter_more_below_the_threshold)
{
	setup();
	ck_assert_uint_eq(grown(256 * KIB, 272 * KIB), 320 * KIB);
	ck_assert_uint_eq(grown(256 * KIB, 276 * KIB), 276 * KIB);
	ck_assert_uint_eq(grown(768 * KIB, 800 * KIB), 960 * KIB);
	ck_assert_uint_eq(grown(896 * KIB, 900 * KIB), 900 * KIB);
	vm_options.mmap_threshold = 320 * KIB;
	ck_assert_uint_eq(grown(256 * KIB, 272 * KIB), 272 * KIB);
}
END_TEST

START_TEST(a_run_keeps_its_room_until_it_shrinks_by_more_than_a_quarter)
{
	setup();
	void *block = vm_realloc(vm_malloc(256 * KIB), 272 * KIB);
	ck_assert_uint_eq(vm_malloc_usable_size(block), 320 * KIB);
	block = vm_realloc(block, 240 * KIB);
	ck_assert_uint_eq(vm_malloc_usable_size(block), 320 * KIB);
	block = vm_realloc(block, 236 * KIB);
	ck_assert_uint_eq(vm_malloc_usable_size(block), 236 * KIB);
	block = vm_realloc(block, 200 * KIB); /* no room any more */
	ck_assert_uint_eq(vm_malloc_usable_size(block), 200 * KIB);
	vm_free(block);
	/* Nor has a block that did not grow. */
	ck_assert_uint_eq(grown(256 * KIB, 240 * KIB), 240 * KIB);
}
END_TEST

START_TEST(a_failure_tells_of_the_alignment_if_that_is_more)
{
	struct vm_failure failure;
	setup();
	for (unsigned bit = 46; bit < 64; bit++) {
		const size_t alignment = opaque_size((size_t)1 << bit);
		ck_assert_ptr_null(vm_aligned_alloc(alignment, 100));
		must(vm_last_failure(&failure));
		ck_assert_uint_eq(failure.size, alignment);
		ck_assert_ptr_null(vm_aligned_alloc(4096, alignment + 4096));
		must(vm_last_failure(&failure));
		ck_assert_uint_eq(failure.size, alignment + 4096);
	}
}
END_TEST

START_TEST(a_block_freed_with_its_size_is_free)
{
	static const size_t sizes[] = {1, 100, 5000, 100000, 2 * MIB};
	setup();
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		void *block = vm_malloc(sizes[i]);
		struct vm_stats before = stats();
		ck_assert_uint_ge(before.small_live + before.large_live, sizes[i]);
		vm_free_sized(block, sizes[i]);
		ck_assert_uint_eq(stats().small_live + stats().large_live, 0);
	}
}
END_TEST

static bool is_filled(const void *block, size_t bytes, unsigned char mark)
{
	const volatile unsigned char *at = block;
	for (size_t i = 0; i < bytes; i++)
		if (at[i] != mark)
			return false;
	return true;
}

static void expect_marks(size_t size)
{
	unsigned char *block = opaque(vm_malloc(size));
	must(is_filled(block, size, 0xAA));
	memset(block, 1, size);
	vm_free(block);
	must(is_filled(block, size, 0x55));
}

/* A block that misses the cache, then ones that hit it. */
START_TEST(debug_builds_mark_what_is_not_written_yet_and_what_is_freed)
{
	if (!VM_DEBUG)
		return;
	setup();
	for (size_t size = 8; size <= 32 * KIB; size *= 4) {
		for (int i = 0; i < 4; i++) /* until what is freed stays in the cache */
			vm_free(opaque(vm_malloc(size)));
		for (int i = 0; i < 20; i++)
			expect_marks(size);
	}
	for (size_t size = 64; size <= 8 * KIB; size *= 2) {
		unsigned char *block = vm_malloc(size);
		must(vm_malloc_usable_size(block) == size);
		memset(block, 1, size);
		unsigned char *grown = opaque(vm_realloc(block, 2 * size));
		ck_assert(is_filled(grown, size, 1));
		ck_assert(is_filled(grown + size, size, 0xAA));
		vm_free(grown);
	}
}
END_TEST

static void free_it(void *block)
{
	vm_free(block);
}

static void expect_misuse(char *pointer, const char *sentence)
{
	static struct child child;
	child_run(&child, free_it, pointer);
	ck_assert(child_signalled(&child, SIGABRT));
	ck_assert_ptr_nonnull(strstr(child.err, sentence));
}

/* Its slot is free by then; others notice when it leaves their cache. */
START_TEST(debug_builds_notice_at_once_what_is_freed_twice)
{
	if (!VM_DEBUG)
		return;
	setup();
	char *block = vm_malloc(100);
	must(vm_malloc(100));
	expect_misuse(block + 16, "points into a block");
	vm_free(block);
	vm_malloc_trim(0);
	expect_misuse(block, "already free");
}
END_TEST

START_TEST(what_is_no_start_of_a_run_is_not_freed)
{
	setup();
	char *block = vm_realloc(vm_malloc(256 * KIB), 272 * KIB);
	expect_misuse(block + 16, "points into a block");
	expect_misuse(block + PAGE_BYTES, "points into a block");
	expect_misuse(block + 271 * KIB, "points into a block");
	must(vm_calloc(40 * KIB, 1)); /* not at the top, which is given back */
	vm_free(block);
	expect_misuse(block, "already free");
	expect_misuse(block + PAGE_BYTES, "already free");

	/* Nor of one that is as long as a mapped block. */
	free_much_of_heap();
	block = vm_malloc(4 * MIB);
	must(region_of(block));
	expect_misuse(block + 2 * MIB, "points into a block");
	vm_free(block);
	expect_misuse(block, "already free");
}
END_TEST

/* Nor is it by the marks of debug builds. */
START_TEST(a_block_above_32_KiB_is_not_touched_before_the_program_does)
{
	static const size_t sizes[] = {33 * KIB, 40 * KIB, 500 * KIB, 3 * MIB};
	setup();
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		char *block = vm_malloc(sizes[i]);
		char *from = (char *)align_up((uintptr_t)block, PAGE_BYTES);
		ck_assert_uint_eq(fake_os_resident_bytes(from, sizes[i] - PAGE_BYTES), 0);
		vm_free(block);
		ck_assert_uint_eq(fake_os_resident_bytes(from, sizes[i] - PAGE_BYTES), 0);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		what_the_kernel_refuses_is_had_from_what_is_in_caches,
		calloc_gives_a_large_block_back_that_was_hardly_written_to,
		calloc_gives_no_large_block_back_of_which_an_eighth_was_written_to,
		calloc_is_zero_where_the_kernel_gives_no_zeros,
		what_is_more_than_the_heap_is_refused_without_emptying_the_caches,
		what_the_heap_keeps_is_given_back_where_large_blocks_take_its_place,
		what_large_blocks_keep_is_given_back_where_the_heap_takes_its_place,
		what_large_blocks_grow_by_the_heap_gives_back,
		what_large_blocks_grow_by_others_give_back,
		what_the_heap_grows_by_large_blocks_give_back,
		what_the_heap_grows_by_free_pages_of_slabs_give_back,
		time_gives_back_what_is_not_used,
		time_takes_the_ballast_again_that_was_given_up,
		from_the_threshold_on_blocks_and_alignments_are_mapped,
		what_is_free_in_the_heap_becomes_a_large_block_where_it_would_come_on_top,
		large_blocks_that_were_freed_come_before_what_is_free_in_the_heap,
		calloc_growth_and_blocks_above_8_MiB_take_nothing_that_is_free_in_the_heap,
		small_blocks_that_grow_get_a_quarter_more_up_to_32_KiB,
		blocks_that_grow_get_no_room_beyond_a_power_of_two,
		runs_that_grow_by_a_sixteenth_get_a_quarter_more_below_the_threshold,
		a_run_keeps_its_room_until_it_shrinks_by_more_than_a_quarter,
		a_failure_tells_of_the_alignment_if_that_is_more,
		a_block_freed_with_its_size_is_free,
		debug_builds_mark_what_is_not_written_yet_and_what_is_freed,
		debug_builds_notice_at_once_what_is_freed_twice,
		what_is_no_start_of_a_run_is_not_freed,
		a_block_above_32_KiB_is_not_touched_before_the_program_does,
		NULL,
	};
	return suite_run("alloc", tests, 60);
}
