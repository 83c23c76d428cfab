/* SPDX-License-Identifier: MIT */
/* calloc: always zero, whatever lay in the memory before; no product overflows. */
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "rng.h"
#include "suite.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HELD = 64 };

static const size_t sizes[] = {
	1,	7,	16,	100,	 1000,	  4096,	   5000,     20000,    32768,
	32769,	65536,	100000, 300000,	 700000,  1048576, 1048577,  3000000,  9000000,
};

static void check_zero_calloc(size_t count, size_t size, void **out)
{
	*out = opaque(calloc(count, size));
	ck_assert_ptr_nonnull(*out);
	ck_assert_uint_ge(malloc_usable_size(*out), count * size);
	ck_assert_msg(pattern_is_zero(*out, count * size), "calloc(%zu, %zu) is not zero", count, size);
}

static void dirty(size_t size, size_t count)
{
	void *held[HELD];

	for (size_t i = 0; i < count; i++) {
		held[i] = opaque(malloc(size));
		ck_assert_ptr_nonnull(held[i]);
		memset(held[i], 0xA5, malloc_usable_size(held[i]));
	}
	for (size_t i = 0; i < count; i++)
		free(held[i]);
}

static size_t count_for(size_t size)
{
	const size_t count = (24u << 20) / size;

	return count == 0 ? 1 : count < HELD ? count : HELD;
}

static void check_all_zero(size_t size)
{
	const size_t count = count_for(size);
	void *held[HELD];

	for (size_t i = 0; i < count; i++)
		check_zero_calloc(1, size, &held[i]);
	for (size_t i = 0; i < count; i++)
		free(held[i]);
}

START_TEST(calloc_is_zero_in_fresh_memory)
{
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		check_all_zero(sizes[i]);
}
END_TEST

START_TEST(calloc_is_zero_in_dirty_memory_of_the_same_size)
{
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		dirty(sizes[i], count_for(sizes[i]));
		check_all_zero(sizes[i]);
	}
}
END_TEST

START_TEST(calloc_is_zero_in_dirty_memory_of_other_sizes)
{
	const size_t n = sizeof sizes / sizeof *sizes;

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n; j += 2)
			dirty(sizes[j], count_for(sizes[j]) / 4 + 1);
		check_all_zero(sizes[(i * 5) % n]);
	}
}
END_TEST

START_TEST(calloc_is_zero_after_malloc_trim)
{
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		dirty(sizes[i], count_for(sizes[i]));
		malloc_trim(0);
		check_all_zero(sizes[i]);
	}
}
END_TEST

START_TEST(calloc_is_zero_where_a_block_was_shrunk_or_grown)
{
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		void *p = opaque(malloc(sizes[i]));
		memset(p, 0x5A, malloc_usable_size(p));
		p = opaque(realloc(p, sizes[i] * 2));
		memset(p, 0x5A, malloc_usable_size(p));
		p = opaque(realloc(p, sizes[i] / 2 + 1));
		check_all_zero(sizes[i] / 2 + 1);
		check_all_zero(sizes[i]);
		free(p);
	}
}
END_TEST

START_TEST(calloc_is_zero_in_random_traffic)
{
	struct rng rng = rng_make(rng_process_seed());
	void *held[HELD] = { NULL };

	for (int i = 0; i < 20000; i++) {
		void **slot = &held[rng_below(&rng, HELD)];
		if (*slot)
			memset(*slot, 0xFF, malloc_usable_size(*slot));
		free(*slot);
		check_zero_calloc(1 + rng_below(&rng, 3), rng_size(&rng, 1 << 19), slot);
	}
}
END_TEST

START_TEST(calloc_of_a_large_block_that_was_hardly_written_to_is_zero_and_takes_no_memory)
{
	const size_t size = (32u << 20) + 100;
	const size_t written[] = { 0, 5000, 20u << 20, size - 1 };

	for (int round = 0; round < 3; round++) {
		char *p = opaque(calloc(1, size));
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_lt(proc_resident_bytes(p, size), 1u << 20);
		ck_assert(pattern_is_zero(p, size));
		for (size_t i = 0; i < sizeof written / sizeof *written; i++)
			p[written[i]] = 1;
		free(p);
	}
}
END_TEST

START_TEST(calloc_refuses_an_overflowing_product_with_enomem)
{
	static const size_t pairs[][2] = {
		{ SIZE_MAX, 2 },	       { 2, SIZE_MAX },
		{ SIZE_MAX / 2 + 2, 2 },       { (size_t)1 << 32, (size_t)1 << 32 },
		{ SIZE_MAX / 16 + 1, 16 },     { PTRDIFF_MAX, 2 },
		{ (size_t)PTRDIFF_MAX + 1, 1 }, { ((size_t)1 << 33) + 1, (size_t)1 << 31 },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		errno = 0;
		ck_assert_ptr_null(opaque(calloc(opaque_size(pairs[i][0]), opaque_size(pairs[i][1]))));
		ck_assert_int_eq(errno, ENOMEM);
	}
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		calloc_is_zero_in_fresh_memory,
		calloc_is_zero_in_dirty_memory_of_the_same_size,
		calloc_is_zero_in_dirty_memory_of_other_sizes,
		calloc_is_zero_after_malloc_trim,
		calloc_is_zero_where_a_block_was_shrunk_or_grown,
		calloc_is_zero_in_random_traffic,
		calloc_of_a_large_block_that_was_hardly_written_to_is_zero_and_takes_no_memory,
		calloc_refuses_an_overflowing_product_with_enomem,
		NULL,
	};
	return suite_main(argv, "calloc", tests, 30);
}
