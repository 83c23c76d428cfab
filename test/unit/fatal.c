/* SPDX-License-Identifier: MIT */
/* os/fatal.h and base/check.h: the process ends by SIGABRT after one line that says why. */
#include "child.h"
#include "suite.h"

#include "base/check.h"
#include "os/fatal.h"

#include <signal.h>

static struct child child;

static void expect_last_words(void (*end)(void *), const char *words)
{
	child_run(&child, end, NULL);
	ck_assert(child_signalled(&child, SIGABRT));
	ck_assert_str_eq(child.err, words);
}

static void break_an_invariant(void *argument)
{
	(void)argument;
	vm_assert_failed("count > 0", "small/file.c", 1234);
}

START_TEST(a_broken_invariant_is_named_with_its_place)
{
	expect_last_words(break_an_invariant,
			  "libvmalloc: broken invariant at small/file.c:1234: count > 0\n");
}
END_TEST

static void free_foreign(void *argument)
{
	(void)argument;
	vm_misuse(MISUSE_FOREIGN, "free", (void *)0x12ab);
}

static void resize_interior(void *argument)
{
	(void)argument;
	vm_misuse(MISUSE_INTERIOR, "realloc", (void *)0x40);
}

static void free_twice(void *argument)
{
	(void)argument;
	vm_misuse(MISUSE_FREED, "free", (void *)0xf0);
}

START_TEST(a_misuse_is_named_with_its_function_and_pointer)
{
	expect_last_words(free_foreign, "libvmalloc: free(0x12ab): not a block of this allocator\n");
	expect_last_words(resize_interior,
			  "libvmalloc: realloc(0x40): points into a block, not to its start\n");
	expect_last_words(free_twice, "libvmalloc: free(0xf0): block is already free\n");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_broken_invariant_is_named_with_its_place,
		a_misuse_is_named_with_its_function_and_pointer,
		NULL,
	};
	return suite_run("fatal", tests, 60);
}
