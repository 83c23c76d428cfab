/* SPDX-License-Identifier: MIT */
/* reallocarray: realloc by a product that cannot overflow. */
#define _GNU_SOURCE 1
#include "opaque.h"
#include "pattern.h"
#include "suite.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <vmalloc.h>

START_TEST(reallocarray_resizes_to_the_product_and_keeps_contents)
{
	void *p = NULL;
	size_t kept = 0;

	for (size_t count = 1; count < 1000000; count = count * 3 + 1) {
		p = opaque(reallocarray(p, count, 12));
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_ge(malloc_usable_size(p), count * 12);
		ck_assert(pattern_holds(p, kept, 3));
		pattern_fill(p, kept = count * 12, 3);
	}
	p = opaque(reallocarray(p, 10, 10));
	ck_assert(pattern_holds(p, 100, 3));
	free(p);
}
END_TEST

START_TEST(reallocarray_refuses_overflow_and_keeps_the_block)
{
	static const size_t pairs[][2] = {
		{ SIZE_MAX, 2 }, { (size_t)1 << 32, (size_t)1 << 32 }, { PTRDIFF_MAX, 2 }, { SIZE_MAX / 3 + 1, 3 },
	};
	void *p = opaque(malloc(100));

	pattern_fill(p, 100, 5);
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		errno = 0;
		void *const same = opaque(p);
		ck_assert_ptr_null(opaque(reallocarray(same, opaque_size(pairs[i][0]), opaque_size(pairs[i][1]))));
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert(pattern_holds(p, 100, 5));
	}
	free(p);
}
END_TEST

typedef bool last_failure(struct vm_failure *failure);

START_TEST(vm_last_failure_tells_an_overflow_of_reallocarray_and_pvalloc)
{
	last_failure *last = (last_failure *)dlsym(RTLD_DEFAULT, "vm_last_failure");
	struct vm_failure failure;

	if (!suite_tests_the_library())
		return;
	free(opaque(malloc(1))); /* a cache, which keeps the failure */
	ck_assert(!last(&failure));
	ck_assert_ptr_null(opaque(reallocarray(NULL, opaque_size(SIZE_MAX), 2)));
	ck_assert(last(&failure));
	ck_assert_int_eq(failure.cause, VM_CAUSE_SIZE);
	ck_assert_uint_eq(failure.size, SIZE_MAX);
	ck_assert_ptr_null(opaque(malloc(opaque_size(SIZE_MAX - 5))));
	ck_assert_ptr_null(opaque(pvalloc(opaque_size(SIZE_MAX - 1))));
	ck_assert(last(&failure));
	ck_assert_int_eq(failure.cause, VM_CAUSE_SIZE);
	ck_assert_uint_eq(failure.size, SIZE_MAX);
}
END_TEST

START_TEST(reallocarray_of_null_is_malloc_and_to_zero_is_free)
{
	void *p = opaque(reallocarray(NULL, 10, 100));

	ck_assert_ptr_nonnull(p);
	ck_assert_ptr_null(opaque(reallocarray(p, 10, opaque_size(0))));
	p = opaque(malloc(50));
	ck_assert_ptr_null(opaque(reallocarray(p, opaque_size(0), 10)));
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		reallocarray_resizes_to_the_product_and_keeps_contents,
		reallocarray_refuses_overflow_and_keeps_the_block,
		reallocarray_of_null_is_malloc_and_to_zero_is_free,
		vm_last_failure_tells_an_overflow_of_reallocarray_and_pvalloc,
		NULL,
	};
	return suite_main(argv, "reallocarray", tests, 20);
}
