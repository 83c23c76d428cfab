/* SPDX-License-Identifier: MIT */
/* Random operations on checked blocks. */
#define _GNU_SOURCE 1
#include "blocks.h"

#include "must.h"
#include "pattern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct allocator *blocks_allocator = &process_allocator;

void blocks_init(struct blocks *blocks, size_t slots, size_t max_size, uint64_t seed)
{
	memset(blocks, 0, sizeof *blocks);
	blocks->rng = rng_make(seed);
	blocks->slots = slots;
	blocks->max_size = max_size;
}

static void *allocate(struct rng *rng, size_t size)
{
	const size_t alignment = (size_t)16 << rng_below(rng, 9);
	void *p;

	switch (rng_below(rng, 8)) {
	case 0:
		p = blocks_allocator->calloc(size, 1);
		must(!p || pattern_is_zero(p, size));
		return p;
	case 1:
		return blocks_allocator->realloc(NULL, size);
	case 2:
		p = blocks_allocator->aligned_alloc(alignment, size);
		must((uintptr_t)p % alignment == 0);
		return p;
	default:
		return blocks_allocator->malloc(size);
	}
}

static void fill(struct block *block, struct rng *rng)
{
	must((uintptr_t)block->memory % (block->size >= 16 ? 16 : 8) == 0);
	must(blocks_allocator->usable_size(block->memory) >= block->size);
	block->seed = rng_next(rng);
	pattern_fill(block->memory, block->size, block->seed);
}

struct block block_make(struct rng *rng, size_t size)
{
	struct block block = { NULL, size, 0 };

	errno = 0;
	block.memory = allocate(rng, size);
	if (block.memory)
		fill(&block, rng);
	else
		must(errno == ENOMEM);
	return block;
}

void block_check(const struct block *block)
{
	must(pattern_holds(block->memory, block->size, block->seed));
}

void block_end(struct block *block)
{
	if (!block->memory)
		return;
	block_check(block);
	errno = 12345;
	blocks_allocator->free(block->memory);
	must(errno == 12345);
	block->memory = NULL;
}

static void resize(struct blocks *blocks, struct block *block)
{
	const size_t size = rng_size(&blocks->rng, blocks->max_size) + 1;
	const size_t kept = size < block->size ? size : block->size;

	block_check(block);
	errno = 0;
	void *p = blocks_allocator->realloc(block->memory, size);
	if (!p) {
		must(errno == ENOMEM);
		blocks->refused++;
		block_check(block);
		return;
	}
	must(pattern_holds(p, kept, block->seed));
	block->memory = p;
	block->size = size;
	fill(block, &blocks->rng);
}

void blocks_step(struct blocks *blocks)
{
	struct block *block = &blocks->slot[rng_below(&blocks->rng, blocks->slots)];

	if (!block->memory) {
		*block = block_make(&blocks->rng, rng_size(&blocks->rng, blocks->max_size));
		blocks->refused += !block->memory;
	} else if (rng_below(&blocks->rng, 4) == 0) {
		resize(blocks, block);
	} else {
		block_end(block);
	}
}

void blocks_steps(struct blocks *blocks, size_t steps)
{
	while (steps--)
		blocks_step(blocks);
}

void blocks_check(const struct blocks *blocks)
{
	for (size_t i = 0; i < blocks->slots; i++)
		if (blocks->slot[i].memory)
			block_check(&blocks->slot[i]);
}

void blocks_free(struct blocks *blocks)
{
	for (size_t i = 0; i < blocks->slots; i++)
		block_end(&blocks->slot[i]);
}
