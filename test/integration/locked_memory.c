/* SPDX-License-Identifier: MIT */
/* Freed memory that the kernel does not take back because it is locked: each free still ends. */
#define _GNU_SOURCE 1
#include "child.h"
#include "must.h"
#include "opaque.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Runs enough for more than one batch of a purge; 4 MiB locked, which most limits allow. */
enum { COUNT = 128, SIZE = 64 << 10 };

static struct child child;

static void keep_nothing_dirty(void *unused)
{
	(void)unused;
	must(setenv("VMALLOC_CONF", "dirty_bytes:0", 1) == 0);
}

/* Every second block, so that what is freed does not merge. */
static int free_locked_blocks(void)
{
	static char *held[COUNT];

	alarm(10);
	for (int i = 0; i < COUNT; i++)
		held[i] = memset(opaque(calloc(SIZE, 1)), 1, SIZE);
	for (int i = 0; i < COUNT; i += 2)
		must(mlock(held[i], SIZE) == 0);
	for (int i = 0; i < COUNT; i += 2)
		free(held[i]);
	for (int i = 0; i < COUNT; i += 2)
		must((held[i] = opaque(calloc(SIZE, 1))) && !held[i][0] && !held[i][SIZE - 1]);
	return 0;
}

static bool may_lock(void)
{
	static char room[COUNT / 2 * SIZE];
	const bool locked = mlock(room, sizeof room) == 0;

	munlock(room, sizeof room);
	return locked;
}

START_TEST(free_ends_when_nothing_can_be_given_back)
{
	child_exec_self(&child, "locked", keep_nothing_dirty, NULL);
	ck_assert_msg(child_exited(&child, 0), "status %x: %s", child.status, child.err);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		free_ends_when_nothing_can_be_given_back,
		NULL,
	};
	if (argc == 2 && strcmp(argv[1], "locked") == 0)
		return free_locked_blocks();
	if (!may_lock()) {
		puts("RLIMIT_MEMLOCK is below 4 MiB");
		return 77;
	}
	return suite_main(argv, "locked_memory", tests, 20);
}
