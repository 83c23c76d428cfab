/* SPDX-License-Identifier: MIT */
/* A process that was busy and does little now gives back what it freed. */
#include "opaque.h"
#include "proc.h"
#include "suite.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COUNT = 32768, SIZE = 2000, KEPT_ONE_OF = 32, DEADLINE_S = 50 };

static char *blocks[COUNT];

static void *plain(void)
{
	return malloc(SIZE);
}

static void *aligned(void)
{
	void *block = NULL;
	return posix_memalign(&block, 64, SIZE) == 0 ? block : NULL;
}

/* Of one size, so that the cache always has the block. */
static void do_little(void *(*alloc)(void))
{
	for (int i = 0; i < 100; i++)
		free(opaque(alloc()));
	nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

static void become_idle(void *(*alloc)(void))
{
	const size_t before = proc_rss_bytes();
	for (size_t i = 0; i < COUNT; i++)
		memset(blocks[i] = opaque(malloc(SIZE)), 1, SIZE);
	for (size_t i = 0; i < COUNT; i++)
		if (i % KEPT_ONE_OF)
			free(blocks[i]);
	const time_t end = time(NULL) + DEADLINE_S;
	while (proc_rss_bytes() > before + COUNT * SIZE / 8) {
		do_little(alloc);
		ck_assert(time(NULL) < end);
	}
}

START_TEST(what_was_freed_is_given_back_though_every_malloc_finds_its_block_in_a_cache)
{
	become_idle(plain);
}
END_TEST

START_TEST(what_was_freed_is_given_back_though_every_aligned_block_is_in_a_cache)
{
	become_idle(aligned);
}
END_TEST

int main(int argc, char **argv)
{
	(void)argc;
	const TTest *const tests[] = {
		what_was_freed_is_given_back_though_every_malloc_finds_its_block_in_a_cache,
		what_was_freed_is_given_back_though_every_aligned_block_is_in_a_cache,
		NULL,
	};
	suite_skip_all_in_variant("purge-never", "nothing is to go back without malloc_trim");
	return suite_main(argv, "idle", tests, DEADLINE_S + 10);
}
