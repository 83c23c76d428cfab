/* SPDX-License-Identifier: MIT */
/* A seccomp filter refuses brk and other calls with EPERM, in the middle of the work or from the start:
 * allocation goes on. */
#define _GNU_SOURCE 1
#include "blocks.h"
#include "child.h"
#include "exhaust.h"
#include "foreign.h"
#include "must.h"
#include "refuse.h"
#include "suite.h"

#include <malloc.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct blocks blocks;
static struct child child;

static void refuse_brk(void *unused)
{
	(void)unused;
	refuse_system_call(SYS_brk);
}

static int work(void)
{
	blocks_init(&blocks, 500, 900000, 1);
	blocks_steps(&blocks, 3000);
	must(blocks.refused == 0);
	blocks_free(&blocks);
	must(exhaust(3000, 40 << 20) >= 40 << 20);
	must(exhaust(200000, 40 << 20) >= 40 << 20);
	malloc_trim(0);
	return 0;
}

static void check_that_work_goes_on(void (*refuse)(void *))
{
	grow_until_break_moves();
	refuse(NULL);
	ck_assert_int_eq(work(), 0);
	grown_check();
	grown_free();
	ck_assert_int_eq(work(), 0);
}

START_TEST(brk_refused_from_the_middle_of_the_work)
{
	check_that_work_goes_on(refuse_brk);
}
END_TEST

START_TEST(brk_refused_from_the_start_of_the_program)
{
	child_exec_self(&child, "work", refuse_brk, NULL);
	ck_assert_msg(child_exited(&child, 0), "status %x: %s", child.status, child.err);
}
END_TEST

static void refuse_brk_and_mprotect(void *unused)
{
	refuse_brk(unused);
	refuse_system_call(SYS_mprotect);
}

/* Not from the start: the dynamic linker needs it. */
START_TEST(mprotect_refused_besides)
{
	check_that_work_goes_on(refuse_brk_and_mprotect);
}
END_TEST

static void refuse_mremap_and_prctl(void *unused)
{
	(void)unused;
	refuse_system_call(SYS_mremap);
	refuse_system_call(SYS_process_madvise);
	refuse_system_call(SYS_prctl);
}

START_TEST(mremap_process_madvise_and_prctl_refused_from_the_start)
{
	child_exec_self(&child, "work", refuse_mremap_and_prctl, NULL);
	ck_assert_msg(child_exited(&child, 0), "status %x: %s", child.status, child.err);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		brk_refused_from_the_middle_of_the_work,
		brk_refused_from_the_start_of_the_program,
		mprotect_refused_besides,
		mremap_process_madvise_and_prctl_refused_from_the_start,
		NULL,
	};
	if (argc == 2 && strcmp(argv[1], "work") == 0)
		return work();
	return suite_main(argv, "break_seccomp", tests, 20);
}
