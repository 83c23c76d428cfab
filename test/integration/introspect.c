/* SPDX-License-Identifier: MIT */
/* mallinfo, mallinfo2, malloc_info, malloc_stats, malloc_trim, mallopt: truthful against known live sets. */
#define _GNU_SOURCE 1
#include "child.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "suite.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t KIB = 1 << 10, MIB = 1 << 20;

static void **hold(size_t count, size_t size)
{
	void **held = opaque(malloc(count * sizeof *held));

	for (size_t i = 0; i < count; i++) {
		held[i] = opaque(malloc(size));
		ck_assert_ptr_nonnull(held[i]);
		memset(held[i], 1, size);
	}
	return held;
}

static void release(void **held, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(held[i]);
	free(held);
}

static void ck_about(size_t found, size_t expected, size_t slack)
{
	ck_assert_msg(found + slack >= expected && found <= expected + expected / 8 + slack,
		      "%zu, expected about %zu", found, expected);
}

START_TEST(mallinfo2_counts_live_small_and_medium_blocks)
{
	suite_skip_in_variant("mmap_threshold", "200 KiB are to be medium");
	const struct mallinfo2 before = mallinfo2();
	void **small = hold(20000, 1000);
	void **medium = hold(100, 200 * KIB);
	const struct mallinfo2 held = mallinfo2();

	ck_about(held.uordblks - before.uordblks, 20000 * 1000 + 100 * 200 * KIB, 512 * KIB);
	ck_assert_uint_ge(held.arena + held.hblkhd, held.uordblks);
	release(small, 20000);
	release(medium, 100);
	const struct mallinfo2 after = mallinfo2();
	ck_assert_uint_lt(after.uordblks, before.uordblks + 512 * KIB);
}
END_TEST

START_TEST(mallinfo2_counts_mapped_blocks_and_their_bytes)
{
	suite_skip_in_variant("mmap_threshold", "8 MiB are to be mapped");
	const struct mallinfo2 before = mallinfo2();
	void **large = hold(5, 8 * MIB);
	const struct mallinfo2 held = mallinfo2();

	ck_assert_uint_eq(held.hblks - before.hblks, 5);
	ck_about(held.hblkhd - before.hblkhd, 5 * 8 * MIB, 64 * KIB);
	release(large, 5);
	const struct mallinfo2 after = mallinfo2();
	ck_assert_uint_eq(after.hblks, before.hblks);
	ck_assert_uint_eq(after.hblkhd, before.hblkhd);
}
END_TEST

START_TEST(mallinfo2_parts_make_the_arena)
{
	void **small = hold(20000, 1000);

	release(small, 20000);
	small = hold(5000, 500);
	const struct mallinfo2 info = mallinfo2();
	ck_assert_uint_le(info.uordblks + info.fordblks, info.arena + info.hblkhd);
	ck_assert_uint_ge(info.uordblks + info.fordblks + info.hblkhd + 4 * MIB, info.arena);
	ck_assert_uint_le(info.keepcost, info.fordblks);
	release(small, 5000);
}
END_TEST

START_TEST(mallinfo_tells_the_same_in_ints)
{
	void **held = hold(2000, 2000);
	struct mallinfo (*const old)(void) = (struct mallinfo(*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "mallinfo");
	const struct mallinfo narrow = old();
	const struct mallinfo2 wide = mallinfo2();

	ck_assert_uint_eq((size_t)narrow.arena, wide.arena);
	ck_assert_uint_eq((size_t)narrow.uordblks, wide.uordblks);
	ck_assert_uint_eq((size_t)narrow.hblkhd, wide.hblkhd);
	release(held, 2000);
}
END_TEST

static void print_info(void *path)
{
	void **held = hold(1000, 100);
	FILE *file = fopen(path, "w");

	must(file && malloc_info(0, file) == 0 && fclose(file) == 0);
	release(held, 1000);
}

START_TEST(malloc_info_is_well_formed_xml)
{
	static struct child child;
	char path[] = "/tmp/malloc_info.XXXXXX";
	const char *const lint[] = { "/bin/sh", "-c",
				     "xmllint --noout \"$0\" || { ! command -v xmllint >/dev/null && python3 -c "
				     "'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' \"$0\"; }",
				     path, NULL };

	close(mkstemp(path));
	child_run(&child, print_info, path);
	ck_assert_msg(child_exited(&child, 0), "%s", child.err);
	child_exec(&child, lint, NULL, NULL);
	ck_assert_msg(child_exited(&child, 0), "%s", child.err);
	child_exec(&child, (const char *const[]){ "/bin/cat", path, NULL }, NULL, NULL);
	ck_assert_ptr_nonnull(strstr(child.out, "<malloc"));
	unlink(path);
}
END_TEST

START_TEST(malloc_info_refuses_options)
{
	errno = 0;
	ck_assert_int_eq(malloc_info(1, stderr), -1);
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

static void print_stats(void *unused)
{
	(void)unused;
	void **held = hold(10, 100);
	malloc_stats();
	release(held, 10);
}

START_TEST(malloc_stats_prints_to_stderr_only)
{
	static struct child child;

	child_run(&child, print_stats, NULL);
	ck_assert(child_exited(&child, 0));
	ck_assert_str_eq(child.out, "");
	ck_assert_ptr_nonnull(strpbrk(child.err, "0123456789"));
	ck_assert_uint_eq((unsigned char)child.err[strlen(child.err) - 1], '\n');
}
END_TEST

START_TEST(malloc_trim_gives_back_memory_and_lowers_the_break)
{
	suite_skip_in_variant("purge-at-once", "nothing is left to give back");
	suite_skip_in_variant("no-break", "there is no break to lower");
	suite_skip_in_variant("trim_break", "the break is not to be lowered");
	malloc_trim(0);
	const size_t before = proc_rss_bytes();
	void **small = hold(400, 20 * KIB);
	void **tiny = hold(200000, 100);
	void **medium = hold(40, 500 * KIB);
	void **large = hold(5, 4 * MIB);
	const char *top = sbrk(0);

	release(large, 5);
	release(medium, 40);
	release(tiny, 200000);
	release(small, 400);
	ck_assert_int_eq(malloc_trim(0), 1);
	ck_assert_uint_lt(proc_rss_bytes(), before + 2 * MIB);
	ck_assert_msg((char *)sbrk(0) < top, "the break was not lowered");
}
END_TEST

START_TEST(malloc_trim_returns_zero_where_nothing_is_left_to_give)
{
	suite_skip_in_variant("purge-at-once", "nothing is left to give back");
	release(hold(1000, 10 * KIB), 1000);
	const int first = malloc_trim(0), second = malloc_trim(0); /* Check allocates in between otherwise */
	ck_assert_int_eq(first, 1);
	ck_assert_int_eq(second, 0);
}
END_TEST

START_TEST(malloc_trim_gives_back_the_holes_between_live_blocks)
{
	suite_skip_in_variant("purge-at-once", "nothing is left to give back");
	enum { COUNT = 400 };
	void **held = hold(COUNT, 100 * KIB);
	const size_t before = proc_rss_bytes();

	for (size_t i = 0; i < COUNT; i += 2)
		free(held[i]);
	for (size_t i = 1; i < COUNT; i += 2)
		pattern_fill(held[i], 100 * KIB, i);
	ck_assert_int_eq(malloc_trim(0), 1);
	ck_assert_uint_lt(proc_rss_bytes(), before - COUNT / 2 * 100 * KIB * 9 / 10);
	for (size_t i = 1; i < COUNT; i += 2)
		ck_assert(pattern_holds(held[i], 100 * KIB, i));
}
END_TEST

START_TEST(malloc_trim_keeps_the_pad_at_the_top)
{
	suite_skip_in_variant("purge-at-once", "nothing is left to give back");
	suite_skip_in_variant("no-break", "there is no break to lower");
	suite_skip_in_variant("trim_break", "the break is not to be lowered");
	suite_skip_in_variant("mmap_threshold", "300 KiB are to be of the heap");
	release(hold(100, 300 * KIB), 100);
	const char *top = sbrk(0);

	malloc_trim(4 * MIB);
	const char *padded = sbrk(0);
	malloc_trim(0);
	ck_assert_msg(padded < top, "the break was not lowered");
	ck_assert_uint_ge((size_t)(padded - (char *)sbrk(0)), 3 * MIB);
}
END_TEST

START_TEST(mallopt_answers_and_allocation_goes_on)
{
	static const int params[] = { M_MXFAST, M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX,
				      M_CHECK_ACTION, M_PERTURB, M_ARENA_TEST, M_ARENA_MAX, 12345 };

	for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
		const int answer = mallopt(params[i], 65536);
		ck_assert_int_eq(answer, 0);
		release(hold(10, 300 * KIB), 10);
	}
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		mallinfo2_counts_live_small_and_medium_blocks,
		mallinfo2_counts_mapped_blocks_and_their_bytes,
		mallinfo2_parts_make_the_arena,
		mallinfo_tells_the_same_in_ints,
		malloc_info_is_well_formed_xml,
		malloc_info_refuses_options,
		malloc_stats_prints_to_stderr_only,
		malloc_trim_gives_back_memory_and_lowers_the_break,
		malloc_trim_returns_zero_where_nothing_is_left_to_give,
		malloc_trim_gives_back_the_holes_between_live_blocks,
		malloc_trim_keeps_the_pad_at_the_top,
		mallopt_answers_and_allocation_goes_on,
		NULL,
	};
	return suite_main(argv, "introspect", tests, 30);
}
