/* SPDX-License-Identifier: MIT */
/*
 * A slow leak: rounds of blocks of one size each, freed but for one in 16 KiB, which pins whatever the
 * allocator cuts blocks from. Each round has another size and could use what the others left.
 */
#include "space.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
	space_start(argc, argv);
	const size_t bytes = space_scaled(64 << 20, 16 << 20, 1 << 20);
	struct block *blocks = calloc(bytes / 32, sizeof *blocks);

	if (!blocks)
		return 1;
	for (size_t size = 32; size <= 4096; size += size < 512 ? 48 : 512) {
		const size_t count = bytes / size, stride = 16384 / size;
		for (size_t i = 0; i < count; i++)
			blocks[i] = space_make(size);
		for (size_t i = 0; i < count; i++)
			if (i % stride > 0)
				space_free(&blocks[i]);
	}
	space_sample("leaked");
	space_settle("");
	space_end();
	free(blocks);
	return 0;
}
