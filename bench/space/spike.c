/* SPDX-License-Identifier: MIT */
/*
 * A spike: 1 GiB of mixed small blocks, of which 95 % are freed at random, and what the process keeps.
 * What remains lies scattered, so the least an allocator can hold is the pages of the 5 %.
 */
#include "space.h"

#include <sys/mman.h>

int main(int argc, char **argv)
{
	struct rng rng = rng_make(1);

	space_start(argc, argv);
	const size_t bytes = space_scaled((size_t)1 << 30, (size_t)128 << 20, (size_t)4 << 20);
	/* The mean size is about 2 KiB. */
	const size_t room = bytes / 512;
	struct block *blocks = mmap(NULL, room * sizeof *blocks, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (blocks == MAP_FAILED)
		return 1;
	size_t count = 0;
	while (space_live_bytes() < bytes && count < room)
		blocks[count++] = space_make(space_size(&rng, 16, 16384));
	space_sample("spike");
	for (size_t i = 0; i < count; i++)
		if (rng_below(&rng, 20) > 0)
			space_free(&blocks[i]);
	space_sample("released");
	space_settle("");
	space_end();
	return 0;
}
