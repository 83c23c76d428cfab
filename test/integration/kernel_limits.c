/* SPDX-License-Identifier: MIT */
/*
 * What the kernel allows at vm.max_map_count: the rows that the allocator relies on, one below and at
 * the count from which each call is refused. A kernel that differs is no fault of ours: the row is
 * skipped by name, with what was found. Writes TAP itself, for Check cannot skip.
 */
#define _GNU_SOURCE 1
#include "child.h"
#include "maps.h"
#include "must.h"
#include "suite.h"

#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 16, BYTES = PAGES * PAGE, GUARD_INSTALL = 102, GUARD_REMOVE = 103 };
enum { HELD = 0, DIFFERS = 3 }; /* of a child */
enum { RW = PROT_READ | PROT_WRITE, PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS };

/* A range of ours, touched, with nothing mapped beside it, within a window that is ours too. */
static unsigned char *window, *range;

static void make_range(void)
{
	window = mmap(NULL, 64 * BYTES, PROT_NONE, PRIVATE | MAP_NORESERVE, -1, 0);
	must(window != MAP_FAILED && munmap(window, 64 * BYTES) == 0);
	range = window + 16 * BYTES;
	must(mmap(range, BYTES, RW, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0) == range);
	memset(range, 0x5a, BYTES);
}

/* A second range directly above, of another protection: two maps. */
static void make_two_ranges(void)
{
	make_range();
	must(mmap(range + BYTES, BYTES, PROT_READ, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0) == range + BYTES);
}

/* A reserve whose first half is in use: what the lifeboat grows in. */
static void make_reserve(void)
{
	make_range();
	must(munmap(range, BYTES) == 0);
	must(mmap(range, BYTES, PROT_NONE, PRIVATE | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == range);
	must(mprotect(range, BYTES / 2, RW) == 0);
	memset(range, 0x5a, BYTES / 2);
}

static int mapped(void *result)
{
	return result == MAP_FAILED ? errno : 0;
}

static int done(long result)
{
	return result == -1 ? errno : 0;
}

static int map_separate(void)
{
	return mapped(mmap(range + 4 * BYTES, PAGE, RW, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0));
}

static int map_merging(void)
{
	return mapped(mmap(range + BYTES, PAGE, RW, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0));
}

static int unmap_whole(void)
{
	return done(munmap(range, BYTES));
}

static int unmap_low_edge(void)
{
	return done(munmap(range, PAGE));
}

static int unmap_high_edge(void)
{
	return done(munmap(range + BYTES - PAGE, PAGE));
}

static int unmap_tail_and_head(void)
{
	return done(munmap(range + BYTES - PAGE, 2 * PAGE));
}

static int unmap_middle(void)
{
	return done(munmap(range + PAGE, PAGE));
}

static int protect_whole(void)
{
	return done(mprotect(range, BYTES, PROT_READ));
}

static int protect_moving_an_edge(void)
{
	return done(mprotect(range + BYTES / 2, PAGE, RW));
}

static int protect_moving_an_edge_back(void)
{
	return done(mprotect(range + BYTES / 2 - PAGE, PAGE, PROT_NONE));
}

static int protect_edge(void)
{
	return done(mprotect(range, PAGE, PROT_READ));
}

static int protect_middle(void)
{
	return done(mprotect(range + PAGE, PAGE, PROT_READ));
}

static int remap_grow_in_place(void)
{
	return mapped(mremap(range, BYTES, 2 * BYTES, 0));
}

static int remap_shrink_tail(void)
{
	return mapped(mremap(range, BYTES, PAGE, 0));
}

static int remap_shrink_inside(void)
{
	return mapped(mremap(range, BYTES / 2, PAGE, 0));
}

static int remap_move(void)
{
	must(mprotect(range + BYTES, BYTES, PROT_READ) == 0); /* no room above: two ranges */
	return mapped(mremap(range, BYTES, 2 * BYTES, MREMAP_MAYMOVE));
}

static int remap_move_fixed(void)
{
	return mapped(mremap(range, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, range + 8 * BYTES));
}

static int break_grow(void)
{
	return sbrk(PAGE) == (void *)-1 ? errno : 0;
}

static void raise_break(void)
{
	if (sbrk(PAGES * PAGE) != (void *)-1)
		return;
	dprintf(STDOUT_FILENO, "the break does not move");
	_exit(DIFFERS);
}

static int break_shrink(void)
{
	return sbrk(-8 * PAGE) == (void *)-1 ? errno : 0;
}

static int purge_part(void)
{
	return done(madvise(range + PAGE, PAGE, MADV_DONTNEED));
}

static int free_part(void)
{
	return done(madvise(range + PAGE, PAGE, MADV_FREE));
}

static int populate_part(void)
{
	return done(madvise(range + PAGE, PAGE, MADV_POPULATE_WRITE));
}

static int guard_part(void)
{
	return done(madvise(range + PAGE, PAGE, GUARD_INSTALL));
}

static int unguard_part(void)
{
	return done(madvise(range + PAGE, PAGE, GUARD_REMOVE));
}

static int huge_edge(void)
{
	return done(madvise(range, PAGE, MADV_HUGEPAGE));
}

static int huge_middle(void)
{
	return done(madvise(range + PAGE, PAGE, MADV_HUGEPAGE));
}

static int huge_whole(void)
{
	return done(madvise(range, BYTES, MADV_HUGEPAGE));
}

static int replace(size_t from, size_t pages, int protection)
{
	return mapped(mmap(range + from * PAGE, pages * PAGE, protection, PRIVATE | MAP_FIXED, -1, 0));
}

static int replace_middle(void)
{
	return replace(1, 1, RW);
}

static int replace_middle_by_none(void)
{
	return replace(1, 1, PROT_NONE);
}

static int replace_edge_by_none(void)
{
	return replace(0, 1, PROT_NONE);
}

static int replace_whole_by_none(void)
{
	return replace(0, PAGES, PROT_NONE);
}

static void do_nothing(void *unused)
{
	(void)unused;
}

static int fork_a_child(void)
{
	return child_status(do_nothing, NULL);
}

static int vfork_and_exec(void)
{
	const pid_t pid = vfork();

	if (pid == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	return pid < 0 ? errno : child_wait(pid);
}

static int spawn(void)
{
	char *const argv[] = { "true", NULL };
	pid_t pid;
	const int error = posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ);

	return error ? error : child_wait(pid);
}

static void *wait_a_moment(void *arg)
{
	usleep(1000);
	return arg;
}

static int start_thread(void)
{
	static size_t stack_bytes = 1 << 20; /* another each time: libc keeps stacks */
	pthread_t thread;
	pthread_attr_t attr;

	stack_bytes += BYTES;
	must(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, stack_bytes) == 0);
	const int error = pthread_create(&thread, &attr, wait_a_moment, NULL);
	return error ? error : pthread_join(thread, NULL);
}

/* `last`: the highest count, relative to the limit, at which the call is done; NO_CHANGE is not looked at. */
enum { NO_CHANGE = 99 };

struct row {
	const char *name;
	void (*prepare)(void);
	int (*call)(void);
	int last, error, change;
};

static const struct row rows[] = {
	{ "mmap_apart_works_up_to_the_limit", make_range, map_separate, 0, ENOMEM, 1 },
	{ "mmap_that_merges_works_up_to_the_limit", make_range, map_merging, 0, ENOMEM, 0 },
	{ "munmap_of_a_whole_map_works_above_the_limit", make_range, unmap_whole, 1, 0, -1 },
	{ "munmap_of_a_low_edge_works_above_the_limit", make_range, unmap_low_edge, 1, 0, 0 },
	{ "munmap_of_a_high_edge_works_above_the_limit", make_range, unmap_high_edge, 1, 0, 0 },
	{ "munmap_of_tail_and_head_works_above_the_limit", make_two_ranges, unmap_tail_and_head, 1, 0, 0 },
	{ "munmap_of_a_middle_needs_one", make_range, unmap_middle, -1, ENOMEM, 1 },
	{ "mprotect_of_a_whole_map_works_above_the_limit", make_range, protect_whole, 1, 0, 0 },
	{ "mprotect_moving_an_edge_works_above_the_limit", make_reserve, protect_moving_an_edge, 1, 0, 0 },
	{ "mprotect_moving_an_edge_back_works_above_the_limit", make_reserve, protect_moving_an_edge_back, 1, 0, 0 },
	{ "mprotect_of_an_edge_needs_one", make_range, protect_edge, -1, ENOMEM, 1 },
	{ "mprotect_of_a_middle_needs_two", make_range, protect_middle, -2, ENOMEM, 2 },
	{ "mremap_in_place_works_above_the_limit", make_range, remap_grow_in_place, 1, 0, 0 },
	{ "mremap_that_cuts_a_tail_works_above_the_limit", make_range, remap_shrink_tail, 1, 0, 0 },
	{ "mremap_that_leaves_a_hole_needs_one", make_range, remap_shrink_inside, -1, ENOMEM, 1 },
	{ "mremap_that_moves_needs_four", make_two_ranges, remap_move, -4, ENOMEM, NO_CHANGE },
	{ "mremap_to_an_address_needs_six", make_range, remap_move_fixed, -6, ENOMEM, 0 },
	{ "growing_the_break_works_up_to_the_limit", raise_break, break_grow, 0, ENOMEM, 0 },
	{ "lowering_the_break_works_above_the_limit", raise_break, break_shrink, 1, 0, 0 },
	{ "MADV_DONTNEED_works_above_the_limit", make_range, purge_part, 1, 0, 0 },
	{ "MADV_FREE_works_above_the_limit", make_range, free_part, 1, 0, 0 },
	{ "MADV_POPULATE_WRITE_works_above_the_limit", make_range, populate_part, 1, 0, 0 },
	{ "MADV_GUARD_INSTALL_works_above_the_limit", make_range, guard_part, 1, 0, 0 },
	{ "MADV_GUARD_REMOVE_works_above_the_limit", make_range, unguard_part, 1, 0, 0 },
	{ "MADV_HUGEPAGE_of_an_edge_needs_one", make_range, huge_edge, -1, EAGAIN, 1 },
	{ "MADV_HUGEPAGE_of_a_middle_needs_two", make_range, huge_middle, -2, EAGAIN, 2 },
	{ "MADV_HUGEPAGE_of_a_whole_map_works_above_the_limit", make_range, huge_whole, 1, 0, 0 },
	{ "MAP_FIXED_over_a_middle_needs_one", make_range, replace_middle, -1, ENOMEM, NO_CHANGE },
	{ "MAP_FIXED_without_access_over_a_middle_needs_one", make_range, replace_middle_by_none, -1, ENOMEM, 2 },
	{ "MAP_FIXED_over_an_edge_works_up_to_the_limit", make_range, replace_edge_by_none, 0, ENOMEM, 1 },
	{ "MAP_FIXED_over_a_whole_map_works_up_to_the_limit", make_range, replace_whole_by_none, 0, ENOMEM, 0 },
	{ "fork_works_above_the_limit", NULL, fork_a_child, 1, 0, 0 },
	{ "vfork_and_exec_work_above_the_limit", NULL, vfork_and_exec, 1, 0, 0 },
	{ "posix_spawn_works_up_to_the_limit", NULL, spawn, 0, ENOMEM, 0 },
	{ "pthread_create_needs_two", NULL, start_thread, -2, EAGAIN, NO_CHANGE },
};

enum { ROWS = sizeof rows / sizeof *rows };

/* Below the limit by enough for what a row prepares. */
enum { NEAR = 64 };

/* In a child; `level` is the count less the limit. Ends with DIFFERS and the difference on stdout. */
static void try_at_level(const struct row *row, int level)
{
	const unsigned target = (unsigned)((int)maps_limit() + level);
	const int expected = level <= row->last ? 0 : row->error;

	if (row->prepare)
		row->prepare();
	must(maps_fill(target) == target);
	errno = 0;
	const int error = row->call();
	const int change = (int)(maps_count() - target);
	if (error != expected) {
		dprintf(STDOUT_FILENO, "limit%+d: error %d, expected %d", level, error, expected);
		_exit(DIFFERS);
	}
	if (expected == 0 && row->change != NO_CHANGE && change != row->change) {
		dprintf(STDOUT_FILENO, "limit%+d: count %+d, expected %+d", level, change, row->change);
		_exit(DIFFERS);
	}
	/* What is refused leaves the data as it was. */
	for (size_t i = 0; expected && range && i < BYTES / 2; i++)
		must(range[i] == 0x5a);
}

static void try_row(void *arg)
{
	const struct row *row = arg;

	try_at_level(row, row->last);
	maps_drop(NEAR);
	if (row->last < 1)
		try_at_level(row, row->last + 1);
}

/* As Check writes it, which scripts/run-test reads. */
static void report(int tap, unsigned number, const char *name, const struct child *child)
{
	const bool held = child_exited(child, HELD), differs = child_exited(child, DIFFERS);

	dprintf(tap, "%s %u - %s:kernel_limits:%s", held || differs ? "ok" : "not ok", number, __FILE__, name);
	if (held)
		dprintf(tap, ": Passed\n");
	else if (differs)
		dprintf(tap, " # SKIP this kernel differs: %s\n", child->out);
	else
		dprintf(tap, ": status %x: %s\n", child->status, child->err);
}

int main(int argc __attribute__((unused)), char **argv)
{
	static struct child child;
	const char *path = getenv("CK_TAP_LOG_FILE_NAME");
	bool failed = false;

	suite_preload(argv);
	FILE *file = path ? fopen(path, "w") : stdout;
	must(file != NULL);
	const int tap = fileno(file);
	dprintf(tap, "1..%d\n", ROWS);
	maps_fill(maps_limit() - NEAR);
	for (unsigned i = 0; i < ROWS; i++) {
		child_run(&child, try_row, (void *)(uintptr_t)&rows[i]);
		failed |= !child_exited(&child, HELD) && !child_exited(&child, DIFFERS);
		report(tap, i + 1, rows[i].name, &child);
	}
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
