/* SPDX-License-Identifier: MIT */
/* run.h - the record of a run of pages of a region; pageheap.h has its states. */
#ifndef VM_RUN_H
#define VM_RUN_H

#include "base/list.h"
#include "base/tree.h"
#include "small/region.h"

enum run_state { RUN_FREE, RUN_USED, RUN_SLAB, RUN_PURGING };

/* The record of a run. Its second half is the slab's (slab.h). */
struct run {
	struct tree_node node; /* FREE: of its tree; SLAB: of its bin's partial slabs */
	uintptr_t start;
	uint32_t pages;
	uint32_t dirty_pages; /* FREE: how many of them are dirty */
	uint8_t state;
	uint8_t region; /* index */
	uint8_t class;  /* SLAB: of its slots */
	uint8_t shard;  /* SLAB: of its bin */
	uint16_t free_slots; /* SLAB */
	uint8_t quiet;       /* SLAB: enum quiet of bin.c; 0 whenever its slots change */
	bool roomy;          /* USED: longer than asked for (resize.c); false at first */
	struct list link; /* FREE and dirty: by age; PURGING: of those */
	uint64_t freed_ms; /* FREE and dirty: the age of most of it */
	uint64_t slots[8]; /* SLAB: bit set for each free slot */
};

_Static_assert(sizeof(struct run) == 2 * CACHE_LINE, "one line for the run, one for the slots");

static inline struct region *run_region(const struct run *run)
{
	return &vm_regions[run->region];
}

/* Its first page, counted in the region. */
static inline size_t run_page(const struct run *run)
{
	return region_page(run_region(run), run->start);
}

static inline uintptr_t run_end(const struct run *run)
{
	return run->start + ((uintptr_t)run->pages << PAGE_SHIFT);
}

/* Describes pages that are in no run yet, clean ones. */
static inline void run_describe(struct run *run, const struct region *region, size_t page, size_t pages)
{
	run->start = region->base + (page << PAGE_SHIFT);
	run->pages = (uint32_t)pages;
	run->dirty_pages = 0;
	run->region = (uint8_t)(region - vm_regions);
	run->freed_ms = 0;
}

#endif
