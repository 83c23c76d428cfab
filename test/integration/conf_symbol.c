/* SPDX-License-Identifier: MIT */
/* A program's own vm_conf string sets options; VMALLOC_CONF wins over it. Linked with -rdynamic. */
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

const char *vm_conf = "mmap_threshold:262144,from_the_symbol:1";

static struct child child;

static void set_options(void *options)
{
	must(options ? setenv("VMALLOC_CONF", options, 1) == 0 : unsetenv("VMALLOC_CONF") == 0);
}

/* Exit status 0 if a block of 600 KiB is mapped. */
static bool mapped_under(const char *options)
{
	child_exec_self(&child, "mapped", set_options,
		   (void *)(uintptr_t)options);
	return child_exited(&child, 0);
}

static int show_mapped(void)
{
	const size_t before = mallinfo2().hblks;
	void *p = opaque(malloc(600 << 10));
	const int missing = mallinfo2().hblks != before + 1;

	free(p);
	return missing;
}

START_TEST(the_symbol_sets_options_and_its_faults_are_reported)
{
	ck_assert(mapped_under(NULL));
	ck_assert_ptr_nonnull(strstr(child.err, "from_the_symbol"));
}
END_TEST

START_TEST(the_environment_wins_over_the_symbol)
{
	ck_assert(!mapped_under("mmap_threshold:4194304"));
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		the_symbol_sets_options_and_its_faults_are_reported,
		the_environment_wins_over_the_symbol,
		NULL,
	};
	if (argc == 2 && strcmp(argv[1], "mapped") == 0)
		return show_mapped();
	return suite_main(argv, "conf_symbol", tests, 20);
}
