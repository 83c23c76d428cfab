/* SPDX-License-Identifier: MIT */
/*
 * freeruns.h - the FREE runs of the page heap: found by length, by place and by age, joined and cut.
 *
 * 1. Each is in one tree, `dirty` if any of its pages is dirty, else `clean`; a dirty one is also in the list by
 *    age.
 * 2. No two are neighbours in a region.
 * 3. What was joined has the age and the place of the larger dirty part, so that neither a trickle keeps old memory
 *    nor old memory takes new along.
 *
 * Runs are found in the dirty tree first, because memory that is there costs nothing; in each tree by best fit, and
 * among equal lengths at the lowest address, which keeps the top free.
 *
 * All under the page heap's lock.
 */
#ifndef VM_FREERUNS_H
#define VM_FREERUNS_H

#include "small/run.h"

struct freeruns {
	struct tree_node *dirty;
	struct tree_node *clean;
	struct list by_age; /* the dirty ones, oldest first */
	size_t dirty_pages;
	size_t pages; /* those and the clean ones */
};

extern struct freeruns vm_freeruns HIDDEN;

void vm_freeruns_init(void);

/* A run that is in no tree becomes FREE; a dirty one enters the list by age before `place`. */
void vm_freeruns_insert(struct run *run, struct list *place);

/* Returns its place in the list by age: the end for a clean one. */
struct list *vm_freeruns_remove(struct run *run);

/* A run that is in no tree, its tables clear, becomes FREE, with its neighbours if they are. */
void vm_freeruns_merge(struct run *run);

/* The one to take a run of `pages` at a multiple of the alignment from, or NULL. Of those with memory only. */
struct run *vm_freeruns_find(size_t pages, size_t alignment_pages);
struct run *vm_freeruns_find_dirty(size_t pages, size_t alignment_pages);

/* The dirty one that this finds, if its first `pages` have memory but for an eighth; else NULL, even if a longer one
 * has. */
struct run *vm_freeruns_find_ready(size_t pages);

/* Takes `pages` out of a FREE run that fits them. NULL: no record for the rests. */
struct run *vm_freeruns_carve(struct run *run, size_t pages, size_t alignment_pages);

/* Makes two of a FREE run; the upper one, in no tree, or all of it where memory is out. */
struct run *vm_freeruns_cut_off(struct run *run, size_t pages_below);

/* The dirty one that is first by age, or NULL. */
struct run *vm_freeruns_oldest(void);

/* Proves 1, and that they have so many pages. */
void vm_freeruns_check(size_t pages);

/* The FREE run that ends or begins at a page, or NULL. */
static inline struct run *freeruns_at(const struct region *region, size_t page)
{
	if (page >= region->bytes >> PAGE_SHIFT)
		return NULL;
	struct run *run = region->run_of[page];
	return run && run->state == RUN_FREE ? run : NULL;
}

#endif
