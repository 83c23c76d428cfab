/* SPDX-License-Identifier: MIT */
/*
 * Fragmentation: a live set whose blocks are replaced at random, many times over, with sizes that drift,
 * so that holes never quite fit.
 */
#include "space.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	struct rng rng = rng_make(3);
	char moment[16];

	space_start(argc, argv);
	const size_t operations = space_scaled(20 * 1000 * 1000, 2 * 1000 * 1000, 10 * 1000);
	const size_t count = space_scaled(80 * 1000, 20 * 1000, 1000);
	struct block *blocks = calloc(count, sizeof *blocks);

	if (!blocks)
		return 1;
	for (unsigned part = 0; part < 4; part++) {
		const size_t most = (size_t)2048 << part;
		for (size_t i = 0; i < operations / 4; i++) {
			struct block *block = &blocks[rng_below(&rng, count)];
			space_free(block);
			*block = space_make(space_size(&rng, 16, most));
		}
		snprintf(moment, sizeof moment, "part%u", part + 1);
		if (part % 2 == 1)
			space_sample(moment);
	}
	space_settle("");
	space_end();
	return 0;
}
