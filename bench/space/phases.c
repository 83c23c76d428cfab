/* SPDX-License-Identifier: MIT */
/*
 * A program whose sizes change: each phase fills the same number of bytes with blocks of its own sizes
 * and leaves a hundredth of them, at random. What one phase freed, the next should use.
 */
#include "space.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	static const size_t sizes[] = {24, 3000, 100, 20000, 400, 64, 100000, 1500};
	struct rng rng = rng_make(2);
	char moment[16];

	space_start(argc, argv);
	const size_t bytes = space_scaled((size_t)192 << 20, (size_t)32 << 20, 1 << 20);
	const size_t room = bytes / sizes[0];
	struct block *blocks = calloc(room, sizeof *blocks);

	if (!blocks)
		return 1;
	for (unsigned phase = 0; phase < sizeof sizes / sizeof *sizes; phase++) {
		size_t filled = 0, count = 0;
		for (; filled < bytes && count < room; filled += blocks[count++].bytes)
			blocks[count] = space_make(sizes[phase] + rng_below(&rng, sizes[phase] / 2));
		for (size_t i = 0; i < count; i++)
			if (rng_below(&rng, 100) > 0)
				space_free(&blocks[i]);
		snprintf(moment, sizeof moment, "phase%u", phase + 1);
		if (phase % 4 == 3)
			space_sample(moment);
	}
	space_settle("");
	space_end();
	return 0;
}
