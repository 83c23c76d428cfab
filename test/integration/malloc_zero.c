/* SPDX-License-Identifier: MIT */
/* Size 0 gives a unique block that can be freed, whichever function is asked. */
#define _GNU_SOURCE 1
#include "opaque.h"
#include "suite.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

enum { COUNT = 10000 };

static void *zero_bytes(int kind)
{
	void *p = NULL;

	switch (kind) {
	case 0:
		return opaque(malloc(opaque_size(0)));
	case 1:
		return opaque(calloc(opaque_size(0), 8));
	case 2:
		return opaque(calloc(8, opaque_size(0)));
	case 3:
		return opaque(realloc(NULL, opaque_size(0)));
	case 4:
		return opaque(reallocarray(NULL, opaque_size(0), 8));
	case 5:
		return opaque(aligned_alloc(64, opaque_size(0)));
	case 6:
		return opaque(memalign(4096, opaque_size(0)));
	default:
		ck_assert_int_eq(posix_memalign(&p, 32, opaque_size(0)), 0);
		return p;
	}
}

static int by_address(const void *a, const void *b)
{
	const uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return (x > y) - (x < y);
}

START_TEST(zero_bytes_give_unique_blocks_by_every_function)
{
	static uintptr_t held[COUNT];

	for (size_t i = 0; i < COUNT; i++) {
		held[i] = (uintptr_t)zero_bytes((int)(i % 8));
		ck_assert_uint_ne(held[i], 0);
	}
	qsort(held, COUNT, sizeof *held, by_address);
	for (size_t i = 1; i < COUNT; i++)
		ck_assert_uint_ne(held[i - 1], held[i]);
	for (size_t i = 0; i < COUNT; i++)
		free((void *)held[i]);
}
END_TEST

START_TEST(zero_byte_block_grows_and_keeps_its_address_within_usable_size)
{
	void *p = opaque(malloc(opaque_size(0)));
	const size_t usable = malloc_usable_size(p);

	if (usable > 0)
		ck_assert_ptr_eq(opaque(realloc(p, usable)), p);
	p = opaque(realloc(p, 1000));
	ck_assert_ptr_nonnull(p);
	free(p);
}
END_TEST

START_TEST(zero_byte_blocks_are_cheap)
{
	uintptr_t low = UINTPTR_MAX, high = 0;

	for (size_t i = 0; i < COUNT; i++) {
		const uintptr_t at = (uintptr_t)opaque(malloc(opaque_size(0)));
		low = at < low ? at : low;
		high = at > high ? at : high;
	}
	ck_assert_uint_lt(high - low, COUNT * 32 + (1 << 20));
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		zero_bytes_give_unique_blocks_by_every_function,
		zero_byte_block_grows_and_keeps_its_address_within_usable_size,
		zero_byte_blocks_are_cheap,
		NULL,
	};
	return suite_main(argv, "malloc_zero", tests, 20);
}
