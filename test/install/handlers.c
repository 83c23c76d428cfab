/* SPDX-License-Identifier: MIT */
/* A library for forks.c, whose constructor runs before the program's: handlers of fork that allocate. */
#include <pthread.h>
#include <stdlib.h>

enum { BLOCKS = 3000 }; /* more than a cache holds, so that they meet the locks */

static void allocate(void)
{
	static void *blocks[BLOCKS];

	for (int i = 0; i < BLOCKS; i++)
		blocks[i] = malloc(i % 900 + 1);
	for (int i = 0; i < BLOCKS; i++)
		free(blocks[i]);
}

static __attribute__((constructor)) void register_handlers(void)
{
	pthread_atfork(allocate, allocate, allocate);
}

int has_handlers(void)
{
	return 1;
}
