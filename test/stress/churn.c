/* SPDX-License-Identifier: MIT */
/* One thread, random sizes of all kinds, every byte checked; the live set waxes and wanes. */
#define _GNU_SOURCE 1
#include "blocks.h"
#include "must.h"
#include "stress.h"

#include <malloc.h>

static struct blocks blocks;

static void churn(uint64_t seed)
{
	static const struct { size_t slots, max_size, steps; } phases[] = {
		{ BLOCKS_SLOTS, 3000, 30000 }, { 500, 100000, 10000 },	{ BLOCKS_SLOTS, 40000, 10000 },
		{ 100, 2 << 20, 1000 },	       { 10, 40 << 20, 50 },	{ 1000, 600000, 3000 },
	};

	blocks_init(&blocks, BLOCKS_SLOTS, 0, seed);
	for (size_t round = 0; !stress_over(); round++) {
		const size_t phase = rng_below(&blocks.rng, sizeof phases / sizeof *phases);
		blocks.slots = phases[phase].slots;
		blocks.max_size = phases[phase].max_size;
		for (size_t i = 0; i < phases[phase].steps && !stress_over(); i++)
			blocks_step(&blocks);
		if (round % 4 == 3) {
			blocks.slots = BLOCKS_SLOTS;
			blocks_free(&blocks);
		}
		if (round % 8 == 7)
			must(malloc_trim(0) >= 0);
	}
	blocks.slots = BLOCKS_SLOTS;
	blocks_free(&blocks);
}

int main(int argc, char **argv)
{
	return stress_main(argc, argv, churn);
}
