/* SPDX-License-Identifier: MIT */
#include "small/huge.h"

#include "base/sizeclass.h"
#include "os/conf.h"
#include "os/hugecost.h"
#include "os/os.h"
#include "small/region.h"

/*
 * So many are live where one is begun, and so many that the heap grew past proved filled, since one proved sparse.
 * (150 MB of 64 B, of which 95 % go, then as much of 200 B: 18,000 page faults instead of 80,000; memtables of 64
 * MB: 9,500 instead of 17,000; November 2026.) Twice as many each time that one proves sparse while they are
 * begun, a sixteenth fewer for each that proves filled then: a program that goes to and fro pays for it a few
 * times only, and later a tenth of its memory at most. (20 times 32 MB of 200 B and 48 MB of 64 KiB blocks of
 * which 4 KiB are used: 740 to 770 MB; 1,252 with the same number always, 734 without huge pages.)
 */
enum { LIVE_TO_BEGIN = 16, FILLED_TO_BEGIN = 12, FILLED_MOST = FILLED_TO_BEGIN << 4, FEWER = 16 };

/*
 * What was begun is filled in any case, and tells nothing. So one in so many that could be begun, or in as many as
 * a quarter of the heap has, is not, and is looked at: at the end of the heap as any other that it grows past, in
 * a hole when so many more have come. A program that goes over to sparse blocks is found out by then: each time it
 * does, a third of a small heap at most is resident in vain. In a heap that fills its holes, these are all there
 * is to tell, of whether to begin again too.
 */
enum { PROBE = 16, PROBE_SETTLES = 4 };

/*
 * So many are live where what is filled is made huge; each one takes two thirds of what its faults took. (A tree of
 * 15 MB that is searched at random: 0.8 of the time; a memtable of 70 MB: 0.75; November 2026.)
 */
enum { LIVE_TO_FILL = 4 };

/*
 * When the heap grows by one, so many from the end are left out, for their slabs may be filling. The first look is
 * early, for a heap that is small; the second finds what was too early then, and tells whether this program fills
 * its memory. (Of a memtable of 50 to 500 B the one before the last was filled every second time, the fourth from the
 * end always. A tree of 15 MB takes 1.2 times as long without the first; November 2026.)
 */
enum { LEFT_OUT_AT_FIRST = 1, LEFT_OUT_AT_SECOND = 3 };

/* Second looks each time that the heap grows past one, so that those from before it was large come to it as well. A
 * tick has one more looked at: 2 % of the time at most, in a heap that grows no more. (With a tick's alone the
 * memtable gained half as much, and a sort of 60 MB nothing.) */
enum { SECOND_LOOKS = 2 };

/*
 * How one was made. What was begun has no second look. Nor is one looked at by a tick in the pass in which it was made:
 * the kernel would go by each CPU for nothing, or make it anew when what was given back of it is in use again. (A cache
 * of values of up to 64 KiB made 136 instead of 106, a buffer pool 100 instead of 61; where memory is slow, that took
 * 5 and 10 % of the time; November 2026.) Of so many huge pages that follow each other each has a place of its own.
 */
enum way { NOT_MADE, BEGUN, FILLED, WAYS };
enum { MADE_MOST = 1 << 16, PASSES = 256 / WAYS };

/* What is not resident of a filled one, as a share of it. (With an eighth a cache of values of up to 64 KiB, whose
 * blocks leave pages untouched, would have 7 % more resident; November 2026.) */
enum { FILLED_BUT_FOR = 16 };

/* One that lacks more than such a share is sparse. One that lacks less, but is not filled, makes up for one that
 * was: a few do in any heap of many sizes, each of which has a slab that is filling. (That cache has 26,000 page
 * faults instead of 59,000, and the same peak; November 2026.) */
enum { SPARSE_FROM = 8 };

/*
 * Not made huge is what was filled for more than half with blocks above so much, or with free ones: mostly it is gone
 * through from end to end, and to copy it takes longer than that saves. (4 threads that compress data, in blocks of
 * 256 KiB to 1 MiB: 0.9 of the time; November 2026.) It counts as filled all the same. Blocks below that may be a
 * pool's chunks, with small ones in them. (A tree in chunks of 32 KiB is searched in 1.13 of the time where they have
 * no huge pages.)
 */
#define FINE_BYTES (64 * KIB)
enum { SAMPLES = 32 };

/* One that lacks such a share is cut in pieces, for the kernel to have what went of it at once. That takes as long as a
 * hundred page faults or more. */
enum { BROKEN_FROM = 2 };

/* So many ticks nothing is looked at after all were. */
enum { REST = 32 };

/* Whether there are any is looked up, in 20 us, by a heap of this size, which a filter of the program's is not
 * likely to be there before. */
#define HEAP_TO_LOOK MIB

/* How far a region has been gone through. */
struct passage {
	uintptr_t from;   /* what lies below is shared with other processes */
	uintptr_t end;    /* of the last huge page that the heap has grown past */
	uintptr_t second; /* next to have a second look */
	uintptr_t ticked; /* next at a tick */
};

/* Those that wait to be looked at, and to be made huge if they are filled. */
enum look {
	FIRST_LOOK,
	LOOK_OF_TICK,
	LOOK_IN_HOLE, /* at a probe, which has no second look there */
	SECOND_LOOK,
	LOOKS = SECOND_LOOK + SECOND_LOOKS
};

static struct {
	unsigned rest;    /* so many ticks more nothing is looked at */
	uintptr_t probe;  /* the last one, if it lay in a hole; or 0 */
	unsigned begins;  /* that could be since then */
	struct passage passages[REGIONS_MOST];
	_Atomic unsigned filled;   /* of the looks that tell, and no more than: */
	_Atomic unsigned to_begin; /* so many of them */
	_Atomic bool any; /* was made since the start */
	_Atomic uint8_t pass; /* of the looks at ticks, from 0 again after so many */
	void *_Atomic begun; /* to be made one, or NULL. Of two that are noted at once the second is. */
	void *_Atomic looks[LOOKS]; /* or NULL; the same for the first look and the one in a hole */
} huge = {.to_begin = FILLED_TO_BEGIN};

/* In which pass each was, and how, in the place that its address tells. Not a part of `huge`, which is not zero at the
 * start: these 64 KiB would be read from the library's file. */
static _Atomic uint8_t made[MADE_MOST];

_Atomic bool vm_huge_noted;

void vm_huge_find(size_t heap_bytes)
{
	if (heap_bytes >= HEAP_TO_LOOK && conf_wants_huge_pages())
		vm_os_find_huge_pages();
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
	passage->second = min_size(passage->second, passage->end);
	passage->from = min_size(passage->from, region_end(region));
	return passage;
}

/* The first one of a region that is ours alone. */
static uintptr_t first_own(const struct passage *passage, const struct region *region)
{
	return align_up(max_size(region->base, passage->from), vm_os.huge_bytes);
}

/* Where the last one that is to be looked at starts, if that is not before the first. */
static uintptr_t last_but(const struct passage *passage, unsigned left_out)
{
	size_t back = (1 + left_out) * vm_os.huge_bytes;
	return passage->end - min_size(passage->end, back);
}

/* The next one from a place on, which moves, but for so many at the end; or 0. */
static uintptr_t next_of(const struct passage *passage, const struct region *region, uintptr_t *place,
			 unsigned left_out)
{
	uintptr_t page = max_size(*place, first_own(passage, region));
	if (page > last_but(passage, left_out))
		return 0;
	*place = page + vm_os.huge_bytes;
	return page;
}

static void note_first_look(const struct passage *passage, const struct region *region)
{
	uintptr_t page = last_but(passage, LEFT_OUT_AT_FIRST);
	if (page >= first_own(passage, region))
		note(&huge.looks[FIRST_LOOK], page);
}

static _Atomic uint8_t *place_of(uintptr_t page)
{
	return &made[page / vm_os.huge_bytes % MADE_MOST];
}

static unsigned current_pass(void)
{
	return atomic_load_explicit(&huge.pass, memory_order_relaxed);
}

static void note_made(uintptr_t page, enum way way)
{
	atomic_store_explicit(place_of(page), (uint8_t)(current_pass() * WAYS + way), memory_order_relaxed);
}

/* In whichever pass. */
static enum way way_made(uintptr_t page)
{
	return atomic_load_explicit(place_of(page), memory_order_relaxed) % WAYS;
}

static bool was_made_in_this_pass(uintptr_t page)
{
	unsigned noted = atomic_load_explicit(place_of(page), memory_order_relaxed);
	return noted % WAYS != NOT_MADE && noted / WAYS == current_pass();
}

static void note_second_looks(struct passage *passage, const struct region *region)
{
	for (int i = 0; i < SECOND_LOOKS; i++) {
		void *_Atomic *look = &huge.looks[SECOND_LOOK + i];
		uintptr_t page = 0;
		if (!atomic_load_explicit(look, memory_order_relaxed))
			page = next_of(passage, region, &passage->second, LEFT_OUT_AT_SECOND);
		if (page && way_made(page) != BEGUN)
			note(look, page);
	}
}

/* False: all were looked at. */
static bool note_look_of_tick(const struct region *region)
{
	struct passage *passage = passage_of(region);
	if (atomic_load_explicit(&huge.looks[LOOK_OF_TICK], memory_order_relaxed))
		return true;
	uintptr_t page = next_of(passage, region, &passage->ticked, LEFT_OUT_AT_FIRST);
	if (page && !was_made_in_this_pass(page))
		note(&huge.looks[LOOK_OF_TICK], page);
	return page;
}

static size_t in_huge_pages(size_t bytes)
{
	return vm_os.huge_bytes ? bytes / vm_os.huge_bytes : 0;
}

/* Looks that are far behind tell too little. */
static bool is_looked_through(const struct passage *passage)
{
	return passage->second + SECOND_LOOKS * vm_os.huge_bytes >= last_but(passage, LEFT_OUT_AT_SECOND);
}

static bool is_known(void)
{
	return atomic_load_explicit(&huge.filled, memory_order_relaxed) >=
	       atomic_load_explicit(&huge.to_begin, memory_order_relaxed);
}

/* Whether one that could be is begun, or may be the next probe. */
static bool begins(const struct passage *passage, uintptr_t page, size_t live)
{
	bool known = is_known();
	if (live < LIVE_TO_BEGIN || !is_looked_through(passage))
		return false;
	if (++huge.begins == PROBE_SETTLES && huge.probe)
		note(&huge.looks[LOOK_IN_HOLE], huge.probe);
	if (huge.begins < (known ? min_size(PROBE, live / 4) : PROBE_SETTLES + 1))
		return known;
	huge.probe = page <= passage->end ? page : 0;
	huge.begins = 0;
	return false;
}

void vm_huge_taken(const struct region *region, uintptr_t start, uintptr_t end, size_t live_bytes,
		   uintptr_t clean_end)
{
	size_t live = in_huge_pages(live_bytes);
	struct passage *passage = passage_of(region);
	uintptr_t page = align_up(start, vm_os.huge_bytes);
	uintptr_t passed = align_down(end - 1, vm_os.huge_bytes);
	bool grows = passed > passage->end && live >= LIVE_TO_FILL;
	bool is_begun = page < end && clean_end >= page + vm_os.huge_bytes && begins(passage, page, live);
	passage->end = max_size(passage->end, passed);
	for (uintptr_t other = page; other < end; other += vm_os.huge_bytes)
		note_made(other, NOT_MADE);
	if (grows && live < LIVE_TO_BEGIN)
		note_first_look(passage, region);
	if (grows)
		note_second_looks(passage, region);
	if (!is_begun)
		return;
	/* Nobody has the run as yet. A huge page is made of memory that there is some of. */
	*(volatile char *)page = 0;
	uintptr_t lost = (uintptr_t)atomic_load_explicit(&huge.begun, memory_order_relaxed);
	if (lost)
		note_made(lost, NOT_MADE);
	note_made(page, BEGUN);
	note(&huge.begun, page);
}

/* Once all were looked at, it begins anew after a while: what was given back may have been filled again. */
void vm_huge_tick(size_t live_bytes)
{
	if (in_huge_pages(live_bytes) < LIVE_TO_FILL || vm_hugecost_pauses())
		return;
	if (huge.rest) {
		huge.rest--;
		return;
	}
	for (unsigned i = 0; i < region_count(); i++)
		if (note_look_of_tick(&vm_regions[i]))
			return;
	for (unsigned i = 0; i < region_count(); i++)
		huge.passages[i].ticked = 0;
	atomic_store_explicit(&huge.pass, (uint8_t)((current_pass() + 1) % PASSES), memory_order_relaxed);
	huge.rest = REST;
}

/* What the heap was filled with before tells nothing of what a child does, whose own memory may be little. But how
 * many must prove filled stays: a program may go to and fro and fork each time. */
void vm_huge_forked(void)
{
	for (unsigned i = 0; i < region_count(); i++)
		huge.passages[i].from = region_end(&vm_regions[i]);
	for (int i = 0; i < LOOKS; i++)
		atomic_store_explicit(&huge.looks[i], NULL, memory_order_relaxed);
	atomic_store_explicit(&huge.begun, NULL, memory_order_relaxed);
	huge.probe = 0;
	atomic_store_explicit(&huge.filled, 0, memory_order_relaxed);
}

static void *take(void *_Atomic *place)
{
	return atomic_exchange_explicit(place, NULL, memory_order_relaxed);
}

static bool make(void *page)
{
	bool is_huge = vm_hugecost_make(page);
	if (is_huge)
		atomic_store_explicit(&huge.any, true, memory_order_relaxed);
	return is_huge;
}

/* Of threads that do this at once one may count. */
static void count_look(bool is_filled, bool is_sparse)
{
	unsigned filled = atomic_load_explicit(&huge.filled, memory_order_relaxed);
	unsigned to_begin = atomic_load_explicit(&huge.to_begin, memory_order_relaxed);
	bool known = is_known();
	if (is_sparse && known)
		to_begin = min_size(2 * to_begin, FILLED_MOST);
	else if (is_filled && known)
		to_begin -= to_begin / FEWER;
	if (is_sparse)
		filled = 0;
	else if (is_filled)
		filled = min_size(filled + 1, to_begin);
	else
		filled -= filled > 0;
	atomic_store_explicit(&huge.filled, filled, memory_order_relaxed);
	atomic_store_explicit(&huge.to_begin, to_begin, memory_order_relaxed);
}

/* Pages that one has. */
static size_t pages_in_one(void)
{
	return vm_os.huge_bytes / vm_os.page_bytes;
}

static size_t count_missing(const void *page)
{
	return pages_in_one() - vm_os_count_resident(page, pages_in_one());
}

/* What lacks so many pages. Where all are missing nothing is left of it, or it could not be looked at. */
static bool cut_if_broken(void *page, size_t missing, size_t least)
{
	return missing >= least && missing < pages_in_one() &&
	       vm_os_cut_broken_huge_pages(page, vm_os.huge_bytes);
}

void vm_huge_cut_broken(uintptr_t start, uintptr_t end)
{
	if (!atomic_load_explicit(&huge.any, memory_order_relaxed))
		return;
	end = align_down(end, vm_os.huge_bytes);
	for (uintptr_t page = align_up(start, vm_os.huge_bytes); page < end; page += vm_os.huge_bytes)
		cut_if_broken((void *)page, count_missing((void *)page), 1);
}

/* Whether it is, for half, blocks of up to FINE_BYTES. */
static bool is_fine(const void *page)
{
	size_t fine = 0;
	lock_take(&vm_pageheap_lock);
	const struct region *region = region_of(page);
	bool whole = region && region_holds(region, (uintptr_t)page + vm_os.huge_bytes - 1);
	for (size_t i = 0; whole && i < SAMPLES; i++) {
		uintptr_t sample = (uintptr_t)page + i * (vm_os.huge_bytes / SAMPLES);
		unsigned class = region_class(region, region_page(region, sample));
		fine += class != CLASS_NONE && vm_classes[class].bytes <= FINE_BYTES;
	}
	lock_release(&vm_pageheap_lock);
	return fine >= SAMPLES / 2;
}

static void look_at(void *page, enum look look)
{
	const size_t pages = pages_in_one();
	size_t missing = count_missing(page);
	bool is_filled = missing <= pages / FILLED_BUT_FOR;
	bool is_sparse = missing > pages / SPARSE_FROM;
	if (is_filled && is_fine(page) && make(page) && way_made((uintptr_t)page) != BEGUN)
		note_made((uintptr_t)page, FILLED);
	if (look == LOOK_OF_TICK && way_made((uintptr_t)page) != NOT_MADE &&
	    cut_if_broken(page, missing, pages / BROKEN_FROM))
		note_made((uintptr_t)page, NOT_MADE);
	if (look >= LOOK_IN_HOLE)
		count_look(is_filled, is_sparse);
}

void vm_huge_make_noted(void)
{
	if (!atomic_exchange_explicit(&vm_huge_noted, false, memory_order_acquire))
		return;
	void *page = take(&huge.begun);
	if (page && !make(page))
		note_made((uintptr_t)page, NOT_MADE);
	for (int i = 0; i < LOOKS; i++) {
		page = take(&huge.looks[i]);
		if (page)
			look_at(page, i);
	}
}
