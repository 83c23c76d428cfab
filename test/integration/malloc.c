/* SPDX-License-Identifier: MIT */
/* malloc and free: alignment, no overlap, contents kept, memory reused. */
#include "blocks.h"
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "suite.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static struct blocks blocks;

START_TEST(malloc_aligns_to_16_from_16_bytes_up_and_to_8_below)
{
	for (size_t size = 0; size <= 70000; size += size < 2000 ? 1 : 611) {
		void *p = opaque(malloc(size));
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq((uintptr_t)p % (size >= 16 ? 16 : 8), 0);
		if (size % 3)
			free(p);
	}
	for (size_t size = 1 << 17; size <= 1u << 26; size *= 2) {
		void *p = opaque(malloc(size + 1));
		ck_assert_uint_eq((uintptr_t)p % 16, 0);
		free(p);
	}
}
END_TEST

START_TEST(small_blocks_keep_their_contents_and_never_overlap)
{
	blocks_init(&blocks, BLOCKS_SLOTS, 32 << 10, rng_process_seed());
	blocks_steps(&blocks, 300000);
	blocks_free(&blocks);
}
END_TEST

START_TEST(medium_blocks_keep_their_contents_and_never_overlap)
{
	blocks_init(&blocks, 200, 1 << 20, rng_process_seed());
	blocks_steps(&blocks, 20000);
	blocks_free(&blocks);
}
END_TEST

START_TEST(large_blocks_keep_their_contents_and_never_overlap)
{
	blocks_init(&blocks, 40, 16 << 20, rng_process_seed());
	blocks_steps(&blocks, 1200);
	blocks_free(&blocks);
}
END_TEST

START_TEST(free_of_null_does_nothing)
{
	for (int i = 0; i < 1000; i++)
		free(opaque(NULL));
}
END_TEST

static void allocate_and_free_all(size_t size, size_t total)
{
	static void *held[1 << 17];
	const size_t count = total / size;

	for (size_t i = 0; i < count; i++) {
		held[i] = opaque(malloc(size));
		ck_assert_ptr_nonnull(held[i]);
		memset(held[i], 1, size);
	}
	for (size_t i = 0; i < count; i++)
		free(held[i]);
}

/* Sizes change from round to round, so memory must pass from class to class and kind to kind. */
START_TEST(freed_memory_is_used_again_for_other_sizes)
{
	static const size_t sizes[] = { 512, 4096, 40000, 1000, 300000, 20000, 8000, 2000000, 700 };
	const size_t total = 32 << 20;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		allocate_and_free_all(sizes[i], total);
	ck_assert_uint_lt(proc_rss_bytes(), 3 * total);
}
END_TEST

START_TEST(untouched_blocks_cost_no_memory)
{
	const size_t before = proc_rss_bytes();

	for (int i = 0; i < 64; i++)
		ck_assert_ptr_nonnull(opaque(malloc(16 << 20)));
	for (int i = 0; i < 256; i++)
		ck_assert_ptr_nonnull(opaque(malloc(200 << 10)));
	ck_assert_uint_lt(proc_rss_bytes(), before + (4 << 20));
}
END_TEST

START_TEST(a_block_of_4_gib_and_more_works_at_both_ends)
{
	const size_t size = ((size_t)5 << 30) + 123;
	unsigned char *p = opaque(malloc(size));

	ck_assert_ptr_nonnull(p);
	p[0] = 1;
	p[size - 1] = 2;
	ck_assert_uint_ge(malloc_usable_size(p), size);
	free(p);
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		malloc_aligns_to_16_from_16_bytes_up_and_to_8_below,
		small_blocks_keep_their_contents_and_never_overlap,
		medium_blocks_keep_their_contents_and_never_overlap,
		large_blocks_keep_their_contents_and_never_overlap,
		free_of_null_does_nothing,
		freed_memory_is_used_again_for_other_sizes,
		untouched_blocks_cost_no_memory,
		a_block_of_4_gib_and_more_works_at_both_ends,
		NULL,
	};
	return suite_main(argv, "malloc", tests, 30);
}
