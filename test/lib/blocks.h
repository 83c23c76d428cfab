/* SPDX-License-Identifier: MIT */
/* A set of live blocks with checked contents: the standard workload of the integration and stress tests. */
#ifndef TEST_BLOCKS_H
#define TEST_BLOCKS_H

#include "allocator.h"
#include "rng.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BLOCKS_SLOTS = 2048 };

struct block {
	unsigned char *memory;  /* NULL: no block in this slot */
	size_t size;
	uint64_t seed;
};

struct blocks {
	struct rng rng;
	size_t slots;           /* in use, at most BLOCKS_SLOTS */
	size_t max_size;        /* of a block */
	size_t refused;         /* allocations that gave NULL + ENOMEM */
	struct block slot[BLOCKS_SLOTS];
};

/* Whose blocks they are: the process's own, unless a test sets another before the first. */
extern const struct allocator *blocks_allocator;

void blocks_init(struct blocks *blocks, size_t slots, size_t max_size, uint64_t seed);

/*
 * Takes a random slot: allocates where it is empty (by malloc, calloc, realloc or aligned_alloc), else
 * checks the block and frees or reallocates it. Contents, alignment and usable size are checked; the
 * only failure allowed is NULL with ENOMEM. Ends the process by must() otherwise.
 */
void blocks_step(struct blocks *blocks);
void blocks_steps(struct blocks *blocks, size_t steps);

void blocks_check(const struct blocks *blocks);
void blocks_free(struct blocks *blocks);

/* One block out of any allocating function, filled with its pattern; memory is NULL where refused. */
struct block block_make(struct rng *rng, size_t size);
void block_check(const struct block *block);
void block_end(struct block *block);

#ifdef __cplusplus
}
#endif
#endif
