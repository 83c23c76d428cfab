/* SPDX-License-Identifier: MIT */
/* early.h: blocks of zeros, aligned and apart, until the room is used up. */
#include "must.h"
#include "pattern.h"
#include "suite.h"

#include "early.h"

#include <string.h>

START_TEST(blocks_are_zero_aligned_and_apart)
{
	enum { BLOCKS = 20 };
	char *blocks[BLOCKS];
	for (size_t i = 0; i < BLOCKS; i++) {
		size_t size = i * 37;
		size_t alignment = (size_t)1 << i % 13;
		blocks[i] = vm_early_alloc(size, alignment);
		ck_assert_ptr_nonnull(blocks[i]);
		ck_assert_uint_eq((uintptr_t)blocks[i] % max_size(alignment, 16), 0);
		ck_assert_uint_eq(vm_early_usable_size(blocks[i]), max_size(size, 1));
		must(pattern_is_zero(blocks[i], size));
		pattern_fill(blocks[i], size, (unsigned)i);
	}
	for (size_t i = 0; i < BLOCKS; i++)
		must(pattern_holds(blocks[i], i * 37, (unsigned)i));
}
END_TEST

START_TEST(where_the_room_is_used_up_null_comes)
{
	ck_assert_ptr_null(vm_early_alloc(SIZE_MAX, 16));
	ck_assert_ptr_null(vm_early_alloc(MIB, 16));
	size_t blocks = 0;
	char *last = NULL;
	for (char *block; (block = vm_early_alloc(1000, 16)); blocks++)
		memset(last = block, 1, 1000);
	ck_assert_uint_ge(blocks, 64);
	ck_assert_ptr_null(vm_early_alloc(4096, 4096));
	ck_assert_uint_eq(vm_early_usable_size(last), 1000);
}
END_TEST

START_TEST(no_other_pointer_is_an_early_block)
{
	char local;
	static char fixed;
	char *block = vm_early_alloc(16, 16);
	ck_assert(early_holds(block));
	ck_assert(!early_holds(NULL));
	ck_assert(!early_holds(&local));
	ck_assert(!early_holds(&fixed));
	ck_assert(!early_holds(block + MIB));
	ck_assert(!early_holds(block - MIB));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		blocks_are_zero_aligned_and_apart,
		where_the_room_is_used_up_null_comes,
		no_other_pointer_is_an_early_block,
		NULL,
	};
	return suite_run("early", tests, 20);
}
