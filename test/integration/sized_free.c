/* SPDX-License-Identifier: MIT */
/* free_sized, free_aligned_sized and cfree, which the C library may lack: found by dlsym. */
#define _GNU_SOURCE 1
#include "opaque.h"
#include "proc.h"
#include "suite.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const size_t sizes[] = { 0, 1, 16, 100, 4096, 32768, 32769, 200000, 1048576, 5000000 };
enum { SIZES = sizeof sizes / sizeof *sizes, ROUNDS = 200 };

static void *entry(const char *name)
{
	void *found = dlsym(RTLD_DEFAULT, name);

	ck_assert_msg(found != NULL, "%s is missing", name);
	return found;
}

static void *used(void *p, size_t size)
{
	ck_assert_ptr_nonnull(p);
	memset(p, 1, size);
	return p;
}

static void check_that_nothing_stayed(size_t rss_before)
{
	ck_assert_uint_lt(proc_rss_bytes(), rss_before + (64 << 20));
}

START_TEST(free_sized_frees_and_keeps_errno)
{
	void (*const free_sized)(void *, size_t) = (void (*)(void *, size_t))(uintptr_t)entry("free_sized");
	const size_t before = proc_rss_bytes();

	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < SIZES; i++) {
			void *p = used(opaque(round & 1 ? malloc(sizes[i]) : calloc(1, sizes[i])), sizes[i]);
			errno = 4711;
			free_sized(p, sizes[i]);
			ck_assert_int_eq(errno, 4711);
		}
	free_sized(NULL, 0);
	free_sized(NULL, 100);
	check_that_nothing_stayed(before);
}
END_TEST

START_TEST(free_aligned_sized_frees_and_keeps_errno)
{
	void (*const free_aligned_sized)(void *, size_t, size_t) =
		(void (*)(void *, size_t, size_t))(uintptr_t)entry("free_aligned_sized");
	const size_t before = proc_rss_bytes();

	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < SIZES; i++) {
			const size_t alignment = (size_t)8 << round % 16;
			void *p = used(opaque(aligned_alloc(alignment, sizes[i])), sizes[i]);
			errno = 4711;
			free_aligned_sized(p, alignment, sizes[i]);
			ck_assert_int_eq(errno, 4711);
		}
	free_aligned_sized(NULL, 64, 64);
	check_that_nothing_stayed(before);
}
END_TEST

START_TEST(cfree_is_free)
{
	void (*const cfree)(void *) = (void (*)(void *))(uintptr_t)entry("cfree");
	const size_t before = proc_rss_bytes();

	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < SIZES; i++) {
			void *p = used(opaque(malloc(sizes[i])), sizes[i]);
			errno = 4711;
			cfree(p);
			ck_assert_int_eq(errno, 4711);
		}
	cfree(NULL);
	check_that_nothing_stayed(before);
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		free_sized_frees_and_keeps_errno,
		free_aligned_sized_frees_and_keeps_errno,
		cfree_is_free,
		NULL,
	};
	return suite_main(argv, "sized_free", tests, 20);
}
