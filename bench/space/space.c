/* SPDX-License-Identifier: MIT */
/* Samples of the process. They go through dprintf, which allocates nothing. */
#include "space.h"

#include "proc.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static enum { FULL, DEFAULT, QUICK, SMOKE } scale;
static size_t live_bytes;

void space_start(int argc, char **argv)
{
	static const char *const names[] = {"full", "default", "quick", "smoke"};

	scale = DEFAULT;
	for (int i = 0; i < 4; i++)
		if (argc > 1 && !strcmp(argv[1], names[i]))
			scale = i;
}

size_t space_scaled(size_t full, size_t quick, size_t smoke)
{
	return scale == SMOKE ? smoke : scale == QUICK ? quick : full;
}

size_t space_size(struct rng *rng, size_t least, size_t most)
{
	unsigned octaves = 0;

	while (least << (octaves + 1) <= most)
		octaves++;
	const size_t low = least << rng_below(rng, octaves);
	return low + rng_below(rng, low);
}

struct block space_make(size_t bytes)
{
	const struct block block = {malloc(bytes), bytes};

	if (!block.memory) {
		dprintf(STDERR_FILENO, "no memory\n");
		_exit(1);
	}
	for (size_t at = 0; at < bytes; at += 4096)
		block.memory[at] = 1;
	__atomic_fetch_add(&live_bytes, bytes, __ATOMIC_RELAXED);
	return block;
}

void space_free(struct block *block)
{
	if (!block->memory)
		return;
	__atomic_fetch_sub(&live_bytes, block->bytes, __ATOMIC_RELAXED);
	free(block->memory);
	*block = (struct block){NULL, 0};
}

size_t space_live_bytes(void)
{
	return __atomic_load_n(&live_bytes, __ATOMIC_RELAXED);
}

void space_sample(const char *moment)
{
	const size_t rss = proc_rss_bytes(), live = space_live_bytes();

	dprintf(STDOUT_FILENO, "%s rss %zu\n%s live %zu\n%s vmas %u\n", moment, rss / 1024, moment, live / 1024, moment,
		proc_maps_count());
	if (live > 0)
		dprintf(STDOUT_FILENO, "%s overhead %.4f\n", moment, (double)rss / (double)live);
}

/* Until the second after the start. */
static void tick_until(const struct timespec *start, long second)
{
	struct rng rng = rng_make(7);
	struct timespec now, pause = {0, 10 * 1000 * 1000};

	do {
		for (int i = 0; i < 32; i++) {
			struct block block = space_make(space_size(&rng, 16, 16384));
			space_free(&block);
		}
		nanosleep(&pause, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start->tv_sec - (now.tv_nsec < start->tv_nsec) < second);
}

void space_settle(const char *what)
{
	static const long seconds[] = {1, 10, 60};
	const int samples = scale == FULL ? 3 : scale == DEFAULT ? 2 : scale == QUICK ? 1 : 0;
	struct timespec start;
	char moment[64];

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < samples; i++) {
		tick_until(&start, seconds[i]);
		snprintf(moment, sizeof moment, "%s%s%lds", what, *what ? "_" : "", seconds[i]);
		space_sample(moment);
	}
}

void space_end(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	dprintf(STDOUT_FILENO, "peak rss %zu\npeak faults %ld\n", proc_status_bytes("VmHWM:") / 1024,
		usage.ru_minflt + usage.ru_majflt);
}
