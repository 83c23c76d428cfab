/* SPDX-License-Identifier: MIT */
/*
 * region.h - the contiguous ranges of the page heap, their page tables, and how they grow.
 *
 * Region 0 is the break's range where the process's malloc is ours, else a reserve of addresses that
 * is committed from its low end; the others are such reserves, taken when the ones before refuse to
 * grow. For each page a region has
 *   class_of  the size class of the slab that holds it, or CLASS_NONE: all that a hit needs;
 *   run_of    the run that holds it: on every page of a slab, on the first page of any other run and
 *             on the last page of a free one, NULL elsewhere;
 *   dirty     1 where the page may hold memory and something other than zeros, 0 where it surely
 *             reads as zeros.
 *
 * The break is moved only while it stands where we left it. When somebody else has raised it, what
 * lies above our end is theirs and our break region stays as it is; should it come back to our end,
 * we go on. When somebody has lowered it beneath our end, we raise it again before we use any of our
 * free memory, so that none of our addresses stays unmapped or goes to somebody else.
 *
 * The tables are ranges of addresses committed as the region grows. They begin small, since limits of
 * the address space may come later, and are replaced by larger ones; a thread that has just read
 * where a table is may still look a block of its own up in the old one, so old tables stay.
 *
 * All that changes a region holds the page heap's lock. Look-ups of an address do without:
 * who owns a block learned its address after the region had grown over it. A region that cannot have
 * its first bytes is closed, and its place in vm_regions is opened again elsewhere; once it has had some
 * it stays where it is. So a look-up reads `bytes` before `base`: where there are any, that is the base
 * for ever. Region 0 has its base before there is any block, and takes plain loads. region.pml tells more.
 */
#ifndef VM_REGION_H
#define VM_REGION_H

#include "base/base.h"
#include "os/lock.h"

#include <stdatomic.h>

struct run;

struct region {
	uintptr_t base;    /* first byte; never changes once there were `bytes` */
	size_t bytes;      /* what is there now: [base, base + bytes) */
	uint8_t *class_of; /* the three tables, indexed by page from base */
	struct run **run_of;
	uint8_t *dirty;
	size_t limit_bytes;     /* the most `bytes` can become */
	size_t committed_bytes; /* of a reserve: what may be touched, at least `bytes` */
	size_t table_pages;     /* that the tables have room for */
	size_t table_committed; /* that the committed parts of the tables describe */
	bool by_break;
};

enum { REGIONS_MOST = 16 };

extern struct region vm_regions[REGIONS_MOST] HIDDEN;
extern _Atomic unsigned vm_region_count;
extern size_t vm_region_pages HIDDEN; /* of all regions; under the lock */

/* The page heap's, RANK_PAGEHEAP: of all that is here, of the free runs and of the runs' states. */
extern struct lock vm_pageheap_lock HIDDEN;

/* Opens region 0 with its first pages. False: there is no room for the least heap. */
bool vm_region_init(bool own_break);

/* Adds at least `pages` to some region, and returns it; the new pages are those from the old
 * `bytes`, given back in *at, on. NULL: the kernel refuses. */
struct region *vm_region_grow(size_t pages, size_t *at);

/* Adds at least `pages` to this region, or to none: false. *at as above. */
bool vm_region_grow_in_place(struct region *region, size_t pages, size_t *at);

/*
 * Before a fork at the map limit: commits much of the last reserve and its tables ahead. In the child
 * the edge between touched and untouched memory cannot move without a further map, because the
 * kernel never merges what was touched before the fork with what comes after.
 */
void vm_regions_commit_ahead(void);

/* Raises a break that somebody has lowered into our memory. False: the kernel refuses, and what is free
 * may not be touched. */
bool vm_regions_mend(void);

/* Takes the last `pages` off a break region. False: the break is not ours to lower, all stays. */
bool vm_region_lower(struct region *region, size_t pages);

/* Gives back what the tables hold of the first `pages` behind the end, whose entries are all zero. */
void vm_region_purge_tables(struct region *region, size_t pages);

static inline uintptr_t region_end(const struct region *region)
{
	return region->base + region->bytes;
}

static inline size_t region_page(const struct region *region, uintptr_t address)
{
	return (address - region->base) >> PAGE_SHIFT;
}

/* Without the lock: at least those that hold a block of the caller's. */
static inline unsigned region_count(void)
{
	return atomic_load_explicit(&vm_region_count, memory_order_relaxed);
}

/* Whether an address lies in a region; without the lock. A base without bytes may be about to change. */
static inline bool region_holds(const struct region *region, uintptr_t address)
{
	size_t bytes = __atomic_load_n(&region->bytes, __ATOMIC_ACQUIRE);
	return bytes && address - region->base < bytes;
}

/* The same of region 0, where most addresses are: its base has been there since before any block. */
static inline bool region_0_holds(uintptr_t address)
{
	return address - vm_regions[0].base < vm_regions[0].bytes;
}

static inline size_t region_count_dirty(const struct region *region, size_t page, size_t pages)
{
	size_t count = 0;
	for (size_t i = 0; i < pages; i++)
		count += region->dirty[page + i];
	return count;
}

/* The region that an address lies in, or NULL. */
static inline struct region *region_of(const void *pointer)
{
	uintptr_t address = (uintptr_t)pointer;
	if (region_0_holds(address))
		return &vm_regions[0];
	struct region *region = &vm_regions[1];
	for (unsigned left = region_count(); left > 1; left--, region++)
		if (region_holds(region, address))
			return region;
	return NULL;
}

/* The entries of a page; without the lock, of one that the caller has a block on. */
static inline unsigned region_class(const struct region *region, size_t page)
{
	return __atomic_load_n(&region->class_of, __ATOMIC_ACQUIRE)[page];
}

static inline struct run *region_run(const struct region *region, size_t page)
{
	return __atomic_load_n(&region->run_of, __ATOMIC_ACQUIRE)[page];
}

#endif
