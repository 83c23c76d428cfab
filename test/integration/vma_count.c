/* SPDX-License-Identifier: MIT */
/* Mappings stay few, whatever was allocated and freed: vm.max_map_count is a limit of the whole process. */
#define _GNU_SOURCE 1
#include "blocks.h"
#include "opaque.h"
#include "proc.h"
#include "suite.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static struct blocks blocks;

START_TEST(churn_of_small_and_medium_blocks_adds_a_handful)
{
	suite_skip_in_variant("mmap_threshold", "900 KB are to be of the heap");
	proc_grow_up();
	const unsigned before = proc_maps_count();

	blocks_init(&blocks, 1000, 900000, rng_process_seed());
	blocks_steps(&blocks, 20000);
	ck_assert_uint_le(proc_maps_count(), before + 12);
	blocks_free(&blocks);
	malloc_trim(0);
	ck_assert_uint_le(proc_maps_count(), before + 12);
}
END_TEST

START_TEST(purged_holes_between_live_blocks_add_none)
{
	suite_skip_in_variant("mmap_threshold", "100 KB are to be of the heap");
	enum { COUNT = 1000 };
	static void *held[COUNT];

	for (size_t i = 0; i < COUNT; i++)
		memset(held[i] = opaque(malloc(100000)), 1, 100000);
	proc_grow_up();
	const unsigned before = proc_maps_count();
	for (size_t i = 0; i < COUNT; i += 2)
		free(held[i]);
	malloc_trim(0);
	ck_assert_uint_le(proc_maps_count(), before + 2);
}
END_TEST

START_TEST(churn_of_large_blocks_leaves_few_after_trim)
{
	proc_grow_up();
	const unsigned before = proc_maps_count();

	blocks_init(&blocks, 60, 12 << 20, rng_process_seed());
	blocks_steps(&blocks, 1500);
	ck_assert_uint_le(proc_maps_count(), before + 200);
	blocks_free(&blocks);
	malloc_trim(0);
	ck_assert_uint_le(proc_maps_count(), before + 16);
}
END_TEST

/* Successive mappings lie side by side and merge; touched one by one, as they are made. */
START_TEST(many_live_large_blocks_share_mappings)
{
	enum { COUNT = 400 };
	static unsigned char *held[COUNT];
	proc_grow_up();
	const unsigned before = proc_maps_count();

	for (size_t i = 0; i < COUNT; i++) {
		held[i] = opaque(malloc((1 << 20) + 50000));
		held[i][0] = 1;
	}
	ck_assert_uint_le(proc_maps_count(), before + 20);
	for (size_t i = 0; i < COUNT; i++)
		free(held[i]);
	malloc_trim(0);
	ck_assert_uint_le(proc_maps_count(), before + 16);
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		churn_of_small_and_medium_blocks_adds_a_handful,
		purged_holes_between_live_blocks_add_none,
		churn_of_large_blocks_leaves_few_after_trim,
		many_live_large_blocks_share_mappings,
		NULL,
	};
	return suite_main(argv, "vma_count", tests, 30);
}
