/* SPDX-License-Identifier: MIT */
/* splitmix64, chosen because any seed, 0 included, is good. */
#include "rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

uint64_t rng_process_seed(void)
{
	static uint64_t seed;
	static int known;

	if (known)
		return seed;
	known = 1;
	const char *text = getenv("VM_TEST_SEED");
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	seed = text ? strtoull(text, NULL, 0) : (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 32;
	dprintf(STDERR_FILENO, "# VM_TEST_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

struct rng rng_make(uint64_t seed)
{
	return (struct rng){ seed };
}

uint64_t rng_next(struct rng *rng)
{
	uint64_t z = rng->state += 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

size_t rng_below(struct rng *rng, size_t bound)
{
	return (size_t)(rng_next(rng) % bound);
}

size_t rng_size(struct rng *rng, size_t max)
{
	const unsigned bits = 64 - (unsigned)__builtin_clzll(max | 1);
	const size_t size = (size_t)(rng_next(rng) & (((uint64_t)2 << rng_below(rng, bits)) - 1));

	return size <= max ? size : max;
}
