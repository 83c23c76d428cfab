/* SPDX-License-Identifier: MIT */
#include "small/huge.h"

#include "os/conf.h"
#include "os/os.h"
#include "small/region.h"

/*
 * So many are live where one is begun: all of it will be filled soon, and at most 3 % is resident too early.
 * (150 MB of 64 B, of which 95 % go, then as much of 200 B: 22,000 page faults instead of 80,000, 0.29 s instead of
 * 0.45, the same peak; November 2026.)
 */
enum { LIVE_TO_BEGIN = 32 };

/*
 * So many are live where what is filled is made huge; each one takes two thirds of what its faults took. (A tree of
 * 15 MB that is searched at random: 0.8 of the time; a memtable of 70 MB: 0.75; November 2026.)
 */
enum { LIVE_TO_FILL = 4 };

/* For one that the heap grows by, so that those from before it was large come to it as well. A tick has one more
 * looked at: 2 % of the time at most, in a heap that grows no more. (With a tick's alone the memtable gained half as
 * much, and a sort of 60 MB nothing.) */
enum { FILLED_AT_ONCE = 2 };

/* What is not resident of a filled one, as a share of it. (With an eighth a cache of values of up to 64 KiB, whose
 * blocks leave pages untouched, would have 7 % more resident; November 2026.) */
enum { FILLED_BUT_FOR = 16 };

/* So many times nothing is asked for after one was refused: where memory is in pieces, the kernel looks long for
 * the next. And so many ticks nothing is looked at after all were. */
enum { PAUSE = 32 };

/* Whether there are any is looked up, in 20 us, by a heap of this size, which a filter of the program's is not
 * likely to be there before. */
#define HEAP_TO_LOOK MIB

/* How far a region has been gone through. */
struct passage {
	uintptr_t from; /* what lies below is shared with other processes */
	uintptr_t end;  /* of the last huge page that the heap has grown past */
	uintptr_t next; /* to be looked at for whether it is filled */
};

static struct {
	unsigned pause;    /* so many times more nothing is asked for; under the lock */
	unsigned rest;     /* so many ticks more nothing is looked at */
	_Atomic bool refused;
	struct passage passages[REGIONS_MOST];
	void *_Atomic begun;  /* to be made one, or NULL. Of two that are noted at once the second is. */
	void *_Atomic filled[FILLED_AT_ONCE]; /* to be made one if it is, or NULL */
} huge;

_Atomic bool vm_huge_noted;

void vm_huge_find(size_t heap_bytes)
{
	if (heap_bytes >= HEAP_TO_LOOK && conf_wants_huge_pages())
		vm_os_find_huge_pages();
}

/* Whether nothing is to be asked for this time. */
static bool pauses(void)
{
	if (atomic_exchange_explicit(&huge.refused, false, memory_order_relaxed))
		huge.pause = PAUSE;
	return huge.pause && huge.pause--;
}

static void note(void *_Atomic *place, uintptr_t page)
{
	atomic_store_explicit(place, (void *)page, memory_order_relaxed);
	atomic_store_explicit(&vm_huge_noted, true, memory_order_release);
}

/* A region may have become shorter. */
static struct passage *passage_of(const struct region *region)
{
	struct passage *passage = &huge.passages[region - vm_regions];
	passage->end = min_size(passage->end, align_down(region_end(region), vm_os.huge_bytes));
	passage->next = min_size(passage->next, passage->end);
	return passage;
}

/* The next one of a region to be looked at, or 0. One more is left out at the end, whose slabs may be filling. */
static uintptr_t next_filled(struct passage *passage, const struct region *region)
{
	uintptr_t first = align_up(max_size(region->base, passage->from), vm_os.huge_bytes);
	uintptr_t page = max_size(passage->next, first);
	if (page + 2 * vm_os.huge_bytes > passage->end)
		return 0;
	passage->next = page + vm_os.huge_bytes;
	return page;
}

static bool note_filled(const struct region *region, int most)
{
	struct passage *passage = passage_of(region);
	int noted = 0;
	uintptr_t page;
	while (noted < most && !atomic_load_explicit(&huge.filled[noted], memory_order_relaxed) &&
	       (page = next_filled(passage, region)))
		note(&huge.filled[noted++], page);
	return noted;
}

static bool lets_fill(size_t live)
{
	return vm_os.huge_bytes && live >= LIVE_TO_FILL * vm_os.huge_bytes;
}

void vm_huge_taken(const struct region *region, uintptr_t start, uintptr_t end, size_t live,
		   uintptr_t clean_end)
{
	struct passage *passage = passage_of(region);
	uintptr_t page = align_up(start, vm_os.huge_bytes);
	uintptr_t passed = align_down(end - 1, vm_os.huge_bytes);
	bool begins = page < end && clean_end >= page + vm_os.huge_bytes &&
		      live >= LIVE_TO_BEGIN * vm_os.huge_bytes;
	bool grows = passed > passage->end && lets_fill(live);
	passage->end = max_size(passage->end, passed);
	if ((!begins && !grows) || pauses())
		return;
	if (grows)
		note_filled(region, FILLED_AT_ONCE);
	if (!begins)
		return;
	/* Nobody has the run as yet. A huge page is made of memory that there is some of. */
	*(volatile char *)page = 0;
	note(&huge.begun, page);
}

/* Once all were looked at, it begins anew after a while: what was given back may have been filled again. */
void vm_huge_tick(size_t live)
{
	if (!lets_fill(live) || pauses())
		return;
	if (huge.rest) {
		huge.rest--;
		return;
	}
	for (unsigned i = 0; i < region_count(); i++)
		if (note_filled(&vm_regions[i], 1))
			return;
	for (unsigned i = 0; i < region_count(); i++)
		huge.passages[i].next = 0;
	huge.rest = PAUSE;
}

void vm_huge_forked(void)
{
	for (unsigned i = 0; i < region_count(); i++)
		huge.passages[i].from = region_end(&vm_regions[i]);
	for (int i = 0; i < FILLED_AT_ONCE; i++)
		atomic_store_explicit(&huge.filled[i], NULL, memory_order_relaxed);
}

static bool is_filled(void *page)
{
	size_t pages = vm_os.huge_bytes / vm_os.page_bytes;
	return vm_os_count_resident(page, pages) >= pages - pages / FILLED_BUT_FOR;
}

static void *take(void *_Atomic *place)
{
	return atomic_exchange_explicit(place, NULL, memory_order_relaxed);
}

static void make(void *page)
{
	if (!vm_os_make_huge(page))
		atomic_store_explicit(&huge.refused, true, memory_order_relaxed);
}

void vm_huge_make_noted(void)
{
	if (!atomic_exchange_explicit(&vm_huge_noted, false, memory_order_acquire))
		return;
	void *page = take(&huge.begun);
	if (page)
		make(page);
	for (int i = 0; i < FILLED_AT_ONCE; i++) {
		page = take(&huge.filled[i]);
		if (page && is_filled(page))
			make(page);
	}
}
