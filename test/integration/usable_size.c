/* SPDX-License-Identifier: MIT */
/* malloc_usable_size: never less than asked, all of it usable, and little more than asked. */
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "suite.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

static size_t usable_for(size_t size)
{
	void *p = opaque(malloc(size));
	const size_t usable = malloc_usable_size(p);

	ck_assert_uint_ge(usable, size);
	free(p);
	return usable;
}

START_TEST(usable_size_of_null_is_zero)
{
	ck_assert_uint_eq(malloc_usable_size(opaque(NULL)), 0);
}
END_TEST

START_TEST(small_sizes_waste_at_most_an_eighth_and_16_bytes)
{
	for (size_t size = 16; size <= 32 << 10; size++) {
		const size_t usable = usable_for(size);
		ck_assert_msg(usable - size <= size / 8 + 16, "malloc(%zu) has %zu usable bytes", size, usable);
	}
}
END_TEST

START_TEST(small_sizes_waste_about_5_percent_on_average)
{
	double wasted = 0;
	const size_t from = 129, to = 32 << 10;

	for (size_t size = from; size <= to; size++)
		wasted += 1 - (double)size / (double)usable_for(size);
	ck_assert_double_lt(wasted / (double)(to - from + 1), 0.065);
}
END_TEST

START_TEST(medium_sizes_waste_less_than_a_quarter_and_large_ones_a_page_or_an_eighth)
{
	for (size_t size = (32 << 10) + 1; size < 20 << 20; size += size / 11) {
		const size_t usable = usable_for(size);
		const size_t most = size > 1 << 20 ? size / 8 + 4096 : size / 4;
		ck_assert_msg(usable - size <= most, "malloc(%zu) has %zu usable bytes", size, usable);
	}
}
END_TEST

START_TEST(every_usable_byte_belongs_to_the_block)
{
	enum { HELD = 300 };
	void *held[HELD];

	for (size_t i = 0; i < HELD; i++) {
		held[i] = opaque(malloc(i * i * 3));
		pattern_fill(held[i], malloc_usable_size(held[i]), i);
	}
	for (size_t i = 0; i < HELD; i++) {
		ck_assert(pattern_holds(held[i], malloc_usable_size(held[i]), i));
		free(held[i]);
	}
}
END_TEST

START_TEST(usable_size_does_not_change_while_the_block_lives)
{
	for (size_t size = 1; size < 4 << 20; size = size * 5 / 4 + 1) {
		void *p = opaque(malloc(size));
		const size_t usable = malloc_usable_size(p);
		for (int i = 0; i < 10; i++)
			free(opaque(malloc(size + (size_t)i * 100)));
		malloc_trim(0);
		ck_assert_uint_eq(malloc_usable_size(p), usable);
		free(p);
	}
}
END_TEST

static void check_memory_for(size_t size)
{
	const size_t count = (8 << 20) / size;
	const size_t before = proc_rss_bytes();

	for (size_t i = 0; i < count; i++)
		memset(opaque(malloc(size)), 1, size);
	const size_t after = proc_rss_bytes();
	ck_assert_msg(after < before + size * count * 120 / 100 + (640 << 10), "%zu blocks of %zu took %zu bytes",
		      count, size, after - before);
}

/* The usable size tells the class; this tells what a class loses in its slabs, records included. */
START_TEST(many_blocks_of_one_size_take_little_more_than_their_bytes)
{
	static const size_t sizes[] = { 16, 32, 48, 100, 256, 500, 1000, 2040, 3500, 5000, 9000, 14000, 20000, 30000,
					60000, 200000 };

	/* One that was begun as a huge page is 2 MiB that the next blocks will use, not a loss. */
	ck_assert_int_eq(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		check_memory_for(sizes[i]);
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		usable_size_of_null_is_zero,
		small_sizes_waste_at_most_an_eighth_and_16_bytes,
		small_sizes_waste_about_5_percent_on_average,
		medium_sizes_waste_less_than_a_quarter_and_large_ones_a_page_or_an_eighth,
		every_usable_byte_belongs_to_the_block,
		usable_size_does_not_change_while_the_block_lives,
		many_blocks_of_one_size_take_little_more_than_their_bytes,
		NULL,
	};
	return suite_main(argv, "usable_size", tests, 20);
}
