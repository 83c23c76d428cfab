/* SPDX-License-Identifier: MIT */
/* errno: kept by free, ENOMEM on every size that cannot be served. */
#define _GNU_SOURCE 1
#include "opaque.h"
#include "suite.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const size_t too_big[] = {
	SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 4095, SIZE_MAX - 65536, SIZE_MAX / 2 + 2,
	(size_t)PTRDIFF_MAX + 1,
};
/* Below the limit of the contract, beyond any address space: the kernel's own refusal. */
static const size_t beyond_memory[] = { PTRDIFF_MAX, PTRDIFF_MAX - 4096, (size_t)1 << 60, (size_t)1 << 48 };

static void refused(void *p)
{
	ck_assert_ptr_null(opaque(p));
	ck_assert_int_eq(errno, ENOMEM);
	errno = 0;
}

static void check_size(size_t size)
{
	size = opaque_size(size);
	errno = 0;
	refused(malloc(size));
	refused(calloc(1, size));
	refused(calloc(size, 1));
	refused(realloc(NULL, size));
	refused(reallocarray(NULL, size, 1));
	refused(valloc(size));
	refused(pvalloc(size));
	for (size_t alignment = 1; alignment <= (size_t)1 << 30; alignment *= 32) {
		refused(aligned_alloc(alignment, size));
		refused(memalign(alignment, size));
	}
}

START_TEST(sizes_above_ptrdiff_max_give_enomem_from_every_function)
{
	for (size_t i = 0; i < sizeof too_big / sizeof *too_big; i++)
		check_size(too_big[i]);
}
END_TEST

START_TEST(sizes_beyond_the_address_space_give_enomem_from_every_function)
{
	for (size_t i = 0; i < sizeof beyond_memory / sizeof *beyond_memory; i++)
		check_size(beyond_memory[i]);
}
END_TEST

START_TEST(alignments_beyond_the_address_space_give_enomem)
{
	for (unsigned bit = 47; bit < 64; bit++) {
		errno = 0;
		refused(aligned_alloc(opaque_size((size_t)1 << bit), 100));
		refused(memalign(opaque_size((size_t)1 << bit), 100));
	}
}
END_TEST

START_TEST(free_keeps_errno)
{
	static const size_t sizes[] = { 0, 10, 1000, 32768, 50000, 900000, 2000000, 30000000, 200000000 };
	void *held[100];

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		const size_t count = sizes[i] > 10000000 ? 3 : 100;
		for (size_t j = 0; j < count; j++) {
			held[j] = opaque(malloc(sizes[i]));
			memset(held[j], 1, sizes[i] < 4096 ? sizes[i] : 4096);
		}
		for (size_t j = 0; j < count; j++) {
			errno = 4711;
			free(held[j]);
			ck_assert_int_eq(errno, 4711);
		}
	}
	errno = 4711;
	free(opaque(NULL));
	ck_assert_int_eq(errno, 4711);
}
END_TEST

START_TEST(a_refusal_leaves_the_allocator_in_order)
{
	for (int i = 0; i < 1000; i++) {
		refused(malloc(opaque_size(SIZE_MAX)));
		void *p = opaque(malloc(100));
		ck_assert_ptr_nonnull(p);
		free(p);
		errno = 0;
	}
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		sizes_above_ptrdiff_max_give_enomem_from_every_function,
		sizes_beyond_the_address_space_give_enomem_from_every_function,
		alignments_beyond_the_address_space_give_enomem,
		free_keeps_errno,
		a_refusal_leaves_the_allocator_in_order,
		NULL,
	};
	return suite_main(argv, "errno", tests, 20);
}
