/* SPDX-License-Identifier: MIT */
/*
 * A thousand threads that each used ten size classes once, freed all, and wait. What the process holds
 * is their stacks, the same under every allocator, and what their caches keep.
 */
#include "proc.h"
#include "space.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static pthread_barrier_t used, over;

static void *worker(void *argument)
{
	static const size_t sizes[10] = {16, 32, 48, 64, 96, 128, 256, 512, 1024, 2048};
	struct block blocks[10];

	(void)argument;
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 10; i++)
			blocks[i] = space_make(sizes[i]);
		for (unsigned i = 0; i < 10; i++)
			space_free(&blocks[i]);
	}
	pthread_barrier_wait(&used);
	pthread_barrier_wait(&over);
	return NULL;
}

int main(int argc, char **argv)
{
	static pthread_t threads[1000];
	pthread_attr_t attributes;

	space_start(argc, argv);
	const unsigned count = (unsigned)space_scaled(1000, 1000, 20);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 * 1024);
	pthread_barrier_init(&used, NULL, count + 1);
	pthread_barrier_init(&over, NULL, count + 1);
	const size_t before = proc_rss_bytes();
	for (unsigned i = 0; i < count; i++)
		if (pthread_create(&threads[i], &attributes, worker, NULL))
			return 1;
	pthread_barrier_wait(&used);
	dprintf(STDOUT_FILENO, "idle thread_kib %.2f\n", (double)(proc_rss_bytes() - before) / count / 1024);
	space_sample("idle");
	space_settle("");
	pthread_barrier_wait(&over);
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	space_sample("exited");
	space_end();
	return 0;
}
