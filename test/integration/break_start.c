/* SPDX-License-Identifier: MIT */
/* Programs started in other ways have their break elsewhere: by the loader, without ASLR, with a stack unlimited. */
#define _GNU_SOURCE 1
#include "blocks.h"
#include "child.h"
#include "exhaust.h"
#include "foreign.h"
#include "must.h"
#include "suite.h"

#include <elf.h>
#include <limits.h>
#include <link.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <unistd.h>

static struct blocks blocks;
static struct child child;
static struct foreign foreign;

/* Ours and foreign growth of the break in turn, then a good deal of everything. */
static int work(void)
{
	blocks_init(&blocks, 500, 2 << 20, 1);
	for (size_t i = 0; i < 5; i++) {
		blocks_steps(&blocks, 600);
		grow_until_break_moves();
		foreign_grow(&foreign, 3000 + i);
	}
	must(blocks.refused == 0);
	foreign_check(&foreign);
	grown_check();
	blocks_free(&blocks);
	grown_free();
	must(exhaust(3000, 40 << 20) >= 40 << 20);
	must(malloc_trim(0) == 1);
	foreign_check(&foreign);
	return 0;
}

static int note_loader(struct dl_phdr_info *info, size_t size, void *path)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_INTERP)
			*(const char **)path = (const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	return 1;
}

static void check_work(void (*prepare)(void *))
{
	child_exec_self(&child, "work", prepare, NULL);
	ck_assert_msg(child_exited(&child, 0), "status %x: %s", child.status, child.err);
}

START_TEST(started_as_usual)
{
	check_work(NULL);
}
END_TEST

START_TEST(started_by_the_loader)
{
	char self[PATH_MAX] = "";
	const char *loader = NULL;

	dl_iterate_phdr(note_loader, &loader);
	ck_assert_ptr_nonnull(loader);
	ck_assert_int_gt((int)readlink("/proc/self/exe", self, sizeof self - 1), 0);
	child_exec(&child, (const char *const[]){ loader, self, "work", NULL }, NULL, NULL);
	ck_assert_msg(child_exited(&child, 0), "status %x: %s", child.status, child.err);
}
END_TEST

static void fix_addresses(void *unused)
{
	(void)unused;
	must(personality(ADDR_NO_RANDOMIZE) != -1);
}

START_TEST(started_without_address_randomisation)
{
	check_work(fix_addresses);
}
END_TEST

static void legacy_layout(void *unused)
{
	(void)unused;
	must(personality(ADDR_COMPAT_LAYOUT) != -1);
}

START_TEST(started_with_the_legacy_layout)
{
	check_work(legacy_layout);
}
END_TEST

static void unlimit_stack(void *unused)
{
	struct rlimit limit;

	(void)unused;
	must(getrlimit(RLIMIT_STACK, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	must(setrlimit(RLIMIT_STACK, &limit) == 0);
}

START_TEST(started_with_an_unlimited_stack)
{
	check_work(unlimit_stack);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		started_as_usual,
		started_by_the_loader,
		started_without_address_randomisation,
		started_with_the_legacy_layout,
		started_with_an_unlimited_stack,
		NULL,
	};
	if (argc == 2 && strcmp(argv[1], "work") == 0)
		return work();
	suite_skip_all_in_variant("no-break", "there is no break to start with");
	suite_skip_all_in_variant("purge-at-once", "nothing is left for malloc_trim to give back");
	return suite_main(argv, "break_start", tests, 20);
}
