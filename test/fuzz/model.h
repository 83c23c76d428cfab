/* SPDX-License-Identifier: MIT */
/*
 * The shadow model: what is live, where, and what it holds. Each function makes one call of the
 * allocator (heap.h) and stops by must() where a rule of the interface is broken.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include "base/tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MODEL_SLOTS = 2048 };

struct block {
	struct tree_node node; /* of all live blocks, by address */
	unsigned char *memory; /* NULL: no block */
	size_t size;           /* asked for */
	size_t usable;         /* all of it is filled */
	size_t alignment;
	uint64_t seed;         /* of the contents */
};

struct model {
	struct tree_node *live;
	size_t live_bytes;
	size_t live_most; /* no call that would make more live is made */
	uint64_t seeds;
	uint64_t calls;   /* of the allocator, made so far */
	struct block block[MODEL_SLOTS];
};

enum aligner { ALIGNED_ALLOC, MEMALIGN, POSIX_MEMALIGN, VALLOC, PVALLOC };
enum freer { FREE, FREE_SIZED, FREE_ALIGNED_SIZED, REALLOC_TO_ZERO };

/* Each takes a slot; a block that is there is freed before another is made. */
void model_malloc(struct model *model, struct block *block, size_t size);
void model_calloc(struct model *model, struct block *block, size_t count, size_t size);
void model_align(struct model *model, struct block *block, enum aligner how, size_t alignment,
		 size_t size);
void model_realloc(struct model *model, struct block *block, size_t size);
void model_reallocarray(struct model *model, struct block *block, size_t count, size_t size);
void model_free(struct model *model, struct block *block, enum freer how);

/* Contents in full, usable size, and that of NULL. */
void model_check(struct model *model, struct block *block);
void model_check_all(struct model *model);
void model_null(struct model *model);

/* A block changes hands. */
void model_forget(struct model *model, struct block *block);
void model_adopt(struct model *model, struct block *block);

void model_free_all(struct model *model);

#endif
