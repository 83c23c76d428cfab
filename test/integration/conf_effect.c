/* SPDX-License-Identifier: MIT */
/* Two options whose effect a program sees: each is set for a child. */
#define _GNU_SOURCE 1
#include "child.h"
#include "must.h"
#include "opaque.h"
#include "suite.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct child child;

static void set_options(void *options)
{
	must(setenv("VMALLOC_CONF", options, 1) == 0);
}

static bool shows(const char *what, const char *options)
{
	child_exec_self(&child, what, set_options,
		   (void *)(uintptr_t)options);
	ck_assert_msg(child_exited(&child, 0) || child_exited(&child, 1), "%s: %s", options, child.err);
	ck_assert_str_eq(child.err, "");
	return child_exited(&child, 0);
}

/* Whether a block of 600 KiB is mapped. */
static bool show_mapped(void)
{
	const size_t before = mallinfo2().hblks;
	void *p = opaque(malloc(600 << 10));
	const bool mapped = mallinfo2().hblks == before + 1;

	free(p);
	return mapped;
}

/* Whether freed memory at the top lowers the break. */
static bool show_trimmed(void)
{
	void *held[100];

	for (int i = 0; i < 100; i++)
		memset(held[i] = opaque(malloc(300 << 10)), 1, 300 << 10);
	const char *top = sbrk(0);
	for (int i = 0; i < 100; i++)
		free(held[i]);
	malloc_trim(0);
	return (const char *)sbrk(0) < top;
}

START_TEST(mmap_threshold_decides_what_is_mapped)
{
	ck_assert(shows("mapped", "mmap_threshold:262144"));
	ck_assert(!shows("mapped", "mmap_threshold:4194304"));
}
END_TEST

START_TEST(trim_break_decides_whether_the_break_is_lowered)
{
	suite_skip_in_variant("no-break", "there is no break to lower");
	ck_assert(shows("trimmed", "trim_break:true"));
	ck_assert(!shows("trimmed", "trim_break:false"));
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		mmap_threshold_decides_what_is_mapped,
		trim_break_decides_whether_the_break_is_lowered,
		NULL,
	};
	if (argc == 2 && strcmp(argv[1], "mapped") == 0)
		return !show_mapped();
	if (argc == 2 && strcmp(argv[1], "trimmed") == 0)
		return !show_trimmed();
	return suite_main(argv, "conf_effect", tests, 20);
}
