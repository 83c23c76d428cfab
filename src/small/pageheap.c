/* SPDX-License-Identifier: MIT */
#include "small/pageheap.h"

#include "base/check.h"
#include "base/sizeclass.h"
#include "meta/footprint.h"
#include "meta/meta.h"
#include "os/conf.h"
#include "os/lifeboat.h"
#include "os/lock.h"
#include "os/os.h"
#include "small/freeruns.h"
#include "small/huge.h"

#include <string.h>

#include <vmalloc.h>

static struct {
	struct lock lock;
	struct list purging;
	size_t slab_pages;
	size_t region_pages; /* of all regions */
	size_t purging_pages;
	struct allowance for_growth; /* what vm_pageheap_give_back_for gives back */
	struct allowance for_age;    /* what a tick does before the long decay time is over */
	uint64_t purges;
	uint64_t purged_pages;
	uint64_t trims;
	_Atomic uint64_t next_tick_ms; /* no earlier is anything due */
} heap = {.lock = LOCK_INIT(RANK_PAGEHEAP)};

/* Ranges purged by one round, with one taking of the lock before and one after. */
enum { PURGE_BATCH = 32 };

/* The pages of a region from the byte `at` on are new: they become FREE. */
static void adopt(struct run *run, const struct region *region, size_t at)
{
	size_t pages = (region->bytes - at) >> PAGE_SHIFT;
	run_describe(run, region, at >> PAGE_SHIFT, pages);
	heap.region_pages += pages;
	vm_freeruns_merge(run);
}

static bool grow(size_t pages)
{
	vm_huge_find(heap.region_pages << PAGE_SHIFT);
	struct run *run = vm_meta_alloc(sizeof *run);
	size_t at;
	struct region *region = run ? vm_region_grow(pages, &at) : NULL;
	if (region)
		adopt(run, region, at);
	else
		vm_meta_free(run, sizeof *run);
	return region;
}

bool vm_pageheap_init(bool own_break)
{
	vm_freeruns_init();
	list_init(&heap.purging);
	struct run *run = vm_meta_alloc(sizeof *run);
	if (!run || !vm_region_init(own_break)) {
		vm_meta_free(run, sizeof *run);
		return false;
	}
	adopt(run, &vm_regions[0], 0);
	return true;
}

static size_t live_pages(void)
{
	return heap.region_pages - vm_freeruns.pages - heap.purging_pages;
}

/* The dirty pages that may be kept. */
static size_t note_footprint(void)
{
	return vm_footprint_note(FOOTPRINT_HEAP, live_pages() << PAGE_SHIFT,
				 vm_freeruns.dirty_pages << PAGE_SHIFT) >>
	       PAGE_SHIFT;
}

/* After pages were taken, of which so many had no memory. */
static void count_growth(size_t pages)
{
	note_footprint();
	vm_footprint_grown(FOOTPRINT_HEAP, pages << PAGE_SHIFT);
}

static struct run *take(size_t pages, size_t alignment_pages)
{
	if (!vm_regions_mend())
		return NULL;
	struct run *run = vm_freeruns_find(pages, alignment_pages);
	if (!run) {
		/* An aligned run may need all of that, but the last free pages count too. */
		if (!grow(pages + alignment_pages - 1) && !grow(pages))
			return NULL;
		run = vm_freeruns_find(pages, alignment_pages);
	}
	run = run ? vm_freeruns_carve(run, pages, alignment_pages) : NULL;
	if (run)
		count_growth(run->pages - run->dirty_pages);
	return run;
}

/* A run that was taken, and is in nobody's hands yet. */
static void note_huge_pages(const struct run *run)
{
	if (!vm_os.huge_bytes)
		return;
	const struct run *behind = freeruns_at(run_region(run), run_page(run) + run->pages);
	bool begins = run->state == RUN_SLAB && !run->dirty_pages && behind && !behind->dirty_pages;
	vm_huge_taken(run_region(run), run->start, run_end(run), live_pages() << PAGE_SHIFT,
		      begins ? run_end(behind) : run->start);
}

struct run *vm_run_alloc(size_t pages, size_t alignment_pages, bool *zeroed)
{
	if (pages + alignment_pages > UINT32_MAX)
		return NULL;
	lock_take(&heap.lock);
	struct run *run = take(pages, alignment_pages);
	if (run) {
		struct region *region = run_region(run);
		size_t page = run_page(run);
		run->state = RUN_USED;
		run->roomy = false;
		*zeroed = run->dirty_pages == 0;
		note_huge_pages(run);
		region->run_of[page] = run;
		memset(region->dirty + page, 1, pages);
	}
	lock_release(&heap.lock);
	return run;
}

static void enter_slab(struct run *run)
{
	struct region *region = run_region(run);
	size_t page = run_page(run);
	memset(region->class_of + page, run->class, run->pages);
	memset(region->dirty + page, 1, run->pages);
	for (size_t i = 0; i < run->pages; i++)
		region->run_of[page + i] = run;
	heap.slab_pages += run->pages;
}

struct run *vm_run_alloc_aligned_slab(unsigned class, unsigned shard, size_t alignment_pages,
				      bool *zeroed)
{
	lock_take(&heap.lock);
	struct run *run = take(vm_classes[class].pages, alignment_pages);
	if (run) {
		*zeroed = run->dirty_pages == 0;
		run->state = RUN_SLAB;
		run->class = (uint8_t)class;
		run->shard = (uint8_t)shard;
		note_huge_pages(run);
		enter_slab(run);
	}
	lock_release(&heap.lock);
	return run;
}

struct run *vm_run_alloc_slab(unsigned class, unsigned shard)
{
	bool zeroed;
	return vm_run_alloc_aligned_slab(class, shard, 1, &zeroed);
}

static void clear_tables(const struct run *run)
{
	struct region *region = run_region(run);
	size_t page = run_page(run);
	if (run->state == RUN_SLAB) {
		memset(region->class_of + page, CLASS_NONE, run->pages);
		memset(region->run_of + page, 0, run->pages * sizeof region->run_of[0]);
		heap.slab_pages -= run->pages;
	} else {
		region->run_of[page] = NULL;
	}
}

void vm_run_from_slab(struct run *slab)
{
	lock_take(&heap.lock);
	clear_tables(slab);
	slab->state = RUN_USED;
	slab->roomy = false;
	run_region(slab)->run_of[run_page(slab)] = slab;
	lock_release(&heap.lock);
}

/* The free run at the end of a break region, or NULL. */
static struct run *top_run(struct region *region)
{
	return region->by_break && region->bytes
		       ? freeruns_at(region, (region->bytes >> PAGE_SHIFT) - 1)
		       : NULL;
}

/* Lowers the break by all of a FREE run but its first `keep_pages`. */
static bool lower(struct run *run, size_t keep_pages)
{
	struct region *region = run_region(run);
	if (run->pages <= keep_pages)
		return false;
	keep_pages = align_up(keep_pages << PAGE_SHIFT, vm_os.page_bytes) >> PAGE_SHIFT;
	/* Where the kernel's page is larger, the run may begin inside one. */
	keep_pages += (align_up(run->start, vm_os.page_bytes) - run->start) >> PAGE_SHIFT;
	if (run->pages <= keep_pages || !vm_region_lower(region, run->pages - keep_pages))
		return false;

	size_t page = run_page(run);
	size_t gone = run->pages - keep_pages;
	struct list *place = vm_freeruns_remove(run);
	memset(region->dirty + page + keep_pages, 0, gone);
	run->pages = (uint32_t)keep_pages;
	run->dirty_pages = (uint32_t)region_count_dirty(region, page, keep_pages);
	if (keep_pages)
		vm_freeruns_insert(run, place);
	else
		vm_meta_free(run, sizeof *run);
	vm_region_purge_tables(region, gone);
	heap.region_pages -= gone;
	heap.trims++;
	return true;
}

/* The run is in no tree. */
static void begin_purge(struct run *run)
{
	heap.purging_pages += run->pages;
	run->state = RUN_PURGING;
	list_insert_before(&heap.purging, &run->link);
}

/* Without the lock. A run's dirty pages may lie anywhere in it: purging clean ones costs little. */
static bool purge_memory(const struct run *run, bool for_good)
{
	uintptr_t from = align_up(run->start, vm_os.page_bytes);
	uintptr_t to = align_down(run_end(run), vm_os.page_bytes);
	if (to <= from)
		return false;
	return for_good ? vm_os_purge_for_good((void *)from, to - from)
			: vm_os_purge((void *)from, to - from);
}

static void finish_purge(struct run *run, bool purged, uint64_t now_ms)
{
	struct region *region = run_region(run);
	list_remove(&run->link);
	if (purged) {
		size_t from = region_page(region, align_up(run->start, vm_os.page_bytes));
		size_t to = region_page(region, align_down(run_end(run), vm_os.page_bytes));
		heap.purges++;
		heap.purged_pages += run->dirty_pages;
		memset(region->dirty + from, 0, to - from);
		run->dirty_pages = (uint32_t)region_count_dirty(region, run_page(run), run->pages);
	}
	run->freed_ms = now_ms; /* what could not be purged is not tried again at once */
	heap.purging_pages -= run->pages;
	vm_freeruns_merge(run);
}

/* The pages of a FREE run that stay where so many dirty ones are to go: those below the highest so many, or
 * none where it has hardly more. */
static size_t pages_below(const struct run *run, size_t dirty)
{
	dirty = max_size(dirty, FOOTPRINT_CUT_LEAST >> PAGE_SHIFT);
	if (run->dirty_pages <= dirty)
		return 0;
	const uint8_t *is_dirty = run_region(run)->dirty + run_page(run);
	size_t page = run->pages;
	while (dirty)
		dirty -= is_dirty[--page];
	return page;
}

/*
 * Gives back the oldest dirty runs that were freed at `until_ms` or before, as long as more than
 * `keep_pages` are dirty, the last one in part; a run at the top by lowering the break, but for
 * `pad_pages`. What could not be given back (locked in memory, less than a kernel page) counts as freed
 * after `now_ms`, unless it joins a larger part that stayed, and ends the round. Holds the lock on entry
 * and return, but not while memory is given back. Returns the pages given back.
 */
static size_t purge(uint64_t until_ms, size_t keep_pages, size_t pad_pages, uint64_t now_ms, bool for_good)
{
	size_t done = 0;
	struct run *batch[PURGE_BATCH];
	bool purged[PURGE_BATCH];
	size_t count;
	if (!vm_regions_mend())
		return 0;
	do {
		count = 0;
		struct run *run;
		while (count < PURGE_BATCH && (run = vm_freeruns_oldest()) &&
		       run->freed_ms <= until_ms && vm_freeruns.dirty_pages > keep_pages) {
			size_t dirty = vm_freeruns.dirty_pages;
			size_t below = pages_below(run, dirty - keep_pages);
			if (run == top_run(run_region(run)) &&
			    lower(run, max_size(pad_pages, below))) {
				done += dirty - vm_freeruns.dirty_pages;
				continue;
			}
			batch[count] = vm_freeruns_cut_off(run, below);
			begin_purge(batch[count++]);
		}
		if (!count)
			break;
		lock_release(&heap.lock);
		for (size_t i = 0; i < count; i++)
			purged[i] = purge_memory(batch[i], for_good);
		lock_take(&heap.lock);
		for (size_t i = 0; i < count; i++) {
			done += purged[i] ? batch[i]->dirty_pages : 0;
			finish_purge(batch[i], purged[i], now_ms + 1);
		}
	} while (count == PURGE_BATCH);
	note_footprint();
	return done;
}

/* Gives back what is dirty beyond what may be kept, and some more, so that rounds are few. */
static void bound_dirty(uint64_t now_ms)
{
	size_t allowed = note_footprint();
	if (vm_freeruns.dirty_pages > allowed)
		purge(now_ms, allowed - allowed / 8, 0, now_ms, false);
}

/* So many bytes of what was freed at `until_ms` or before. */
static void pay(struct allowance *allowance, size_t bytes, uint64_t until_ms, uint64_t now_ms)
{
	size_t pages = bytes >> PAGE_SHIFT;
	if (!pages)
		return;
	size_t keep = vm_freeruns.dirty_pages - min_size(vm_freeruns.dirty_pages, pages);
	allowance_use(allowance, purge(until_ms, keep, 0, now_ms, false) << PAGE_SHIFT);
}

void vm_pageheap_give_back_for(size_t bytes, uint64_t now_ms)
{
	lock_take(&heap.lock);
	if (vm_freeruns.dirty_pages)
		pay(&heap.for_growth, vm_footprint_owed(&heap.for_growth, bytes, now_ms), now_ms,
		    now_ms);
	lock_release(&heap.lock);
}

static void free_at(struct run *run, uint64_t now_ms)
{
	lock_take(&heap.lock);
	clear_tables(run);
	run->dirty_pages = run->pages;
	run->freed_ms = now_ms;
	vm_freeruns_merge(run);
	bound_dirty(now_ms);
	lock_release(&heap.lock);
}

void vm_run_free(struct run *run)
{
	free_at(run, vm_os_now_ms());
}

void vm_run_free_slab(struct run *slab)
{
	free_at(slab, os_noted_ms());
}

/* A region's end moves on by so many pages. False: the kernel refuses. */
static bool grow_at_end(struct region *region, size_t pages)
{
	struct run *run = vm_meta_alloc(sizeof *run);
	size_t at;
	if (!run || !vm_region_grow_in_place(region, pages, &at)) {
		vm_meta_free(run, sizeof *run);
		return false;
	}
	adopt(run, region, at);
	return true;
}

/* The FREE run behind a USED one that is to be of `pages`; or NULL. The end of the region moves for it
 * where no memory lies ready elsewhere, up to where a block is better mapped: there it goes on without a
 * copy. (Without that bound a buffer that grows to 8 MiB beside others took 16 MB, with it 12.) */
static struct run *room_behind(const struct run *run, size_t pages)
{
	struct region *region = run_region(run);
	size_t page = run_page(run) + run->pages;
	struct run *behind = freeruns_at(region, page);
	size_t there = run->pages + (behind ? behind->pages : 0);
	if (there >= pages)
		return behind;
	bool at_end = run_page(run) + there == region->bytes >> PAGE_SHIFT;
	if (!at_end || pages > pages_of(vm_options.mmap_threshold) ||
	    vm_freeruns_find_dirty(pages, 1) || !grow_at_end(region, pages - there))
		return NULL;
	return freeruns_at(region, page);
}

/* The border between a USED run and the FREE one behind it moves up. */
static void take_from_behind(struct run *run, size_t pages, struct run *behind)
{
	struct region *region = run_region(run);
	size_t page = run_page(behind);
	struct list *place = vm_freeruns_remove(behind);
	size_t dirty = behind->dirty_pages ? region_count_dirty(region, page, pages) : 0;
	behind->dirty_pages -= (uint32_t)dirty;
	behind->start += pages << PAGE_SHIFT;
	behind->pages -= (uint32_t)pages;
	if (behind->pages)
		vm_freeruns_insert(behind, place);
	else
		vm_meta_free(behind, sizeof *behind);
	memset(region->dirty + page, 1, pages);
	run->pages += (uint32_t)pages;
	count_growth(pages - dirty);
}

/* It moves down. */
static void give_to_behind(struct run *run, size_t pages, struct run *behind, uint64_t now_ms)
{
	struct list *place = vm_freeruns_remove(behind);
	if (pages >= behind->dirty_pages) { /* its age and place: freeruns.h */
		behind->freed_ms = now_ms;
		place = &vm_freeruns.by_age;
	}
	run->pages -= (uint32_t)pages;
	behind->start -= pages << PAGE_SHIFT;
	behind->pages += (uint32_t)pages;
	behind->dirty_pages += (uint32_t)pages;
	vm_freeruns_insert(behind, place);
}

static bool extend(struct run *run, size_t pages)
{
	if (!vm_regions_mend())
		return false;
	struct run *behind = room_behind(run, pages);
	if (behind)
		take_from_behind(run, pages - run->pages, behind);
	return behind;
}

static bool shorten(struct run *run, size_t pages, uint64_t now_ms)
{
	const struct region *region = run_region(run);
	size_t gone = run->pages - pages;
	struct run *behind = freeruns_at(region, run_page(run) + run->pages);
	if (behind) {
		give_to_behind(run, gone, behind, now_ms);
	} else {
		struct run *rest = vm_meta_alloc(sizeof *rest);
		if (!rest)
			return false;
		run_describe(rest, region, run_page(run) + pages, gone);
		run->pages = (uint32_t)pages;
		rest->dirty_pages = rest->pages;
		rest->freed_ms = now_ms;
		vm_freeruns_insert(rest, &vm_freeruns.by_age);
	}
	bound_dirty(now_ms);
	return true;
}

bool vm_run_resize(struct run *run, size_t pages)
{
	if (pages > UINT32_MAX)
		return false;
	uint64_t now_ms = vm_os_now_ms();
	lock_take(&heap.lock);
	bool done = true;
	if (pages > run->pages)
		done = extend(run, pages);
	else if (pages < run->pages)
		done = shorten(run, pages, now_ms);
	lock_release(&heap.lock);
	return done;
}

struct run *vm_run_holding(const struct region *region, uintptr_t address)
{
	lock_take(&heap.lock);
	size_t page = region_page(region, address);
	while (page > 0 && !region->run_of[page])
		page--;
	struct run *run = region->run_of[page];
	if (run && address - run->start >= (uintptr_t)run->pages << PAGE_SHIFT)
		run = NULL;
	lock_release(&heap.lock);
	return run;
}

static uint64_t ago(uint64_t now_ms, uint64_t ms)
{
	return now_ms > ms ? now_ms - ms : 0;
}

void vm_pageheap_tick(uint64_t now_ms)
{
	if (now_ms < atomic_load_explicit(&heap.next_tick_ms, memory_order_relaxed))
		return;
	atomic_store_explicit(&heap.next_tick_ms, now_ms + vm_options.decay_ms / 8 + 1,
			      memory_order_relaxed);
	lock_take(&heap.lock);
	vm_huge_tick(live_pages() << PAGE_SHIFT);
	purge(ago(now_ms, conf_long_decay_ms()), 0, 0, now_ms, true);
	size_t allowed = vm_footprint_allowed(&heap.for_age, vm_freeruns.dirty_pages << PAGE_SHIFT, now_ms);
	pay(&heap.for_age, allowed, ago(now_ms, vm_options.decay_ms), now_ms);
	lock_release(&heap.lock);
}

void vm_pageheap_give_excess_back(uint64_t now_ms)
{
	lock_take(&heap.lock);
	bound_dirty(now_ms);
	lock_release(&heap.lock);
}

bool vm_pageheap_trim(size_t pad)
{
	uint64_t now_ms = vm_os_now_ms();
	size_t pad_pages = pages_of(min_size(pad, PTRDIFF_MAX));
	lock_take(&heap.lock);
	bool lowered = false;
	for (unsigned i = 0; i < region_count(); i++) {
		struct run *top = top_run(&vm_regions[i]);
		lowered |= top && lower(top, pad_pages);
	}
	bool purged = purge(now_ms, 0, pad_pages, now_ms, true) > 0;
	lock_release(&heap.lock);
	return lowered || purged;
}

size_t vm_pageheap_bytes(void)
{
	lock_take(&heap.lock);
	size_t bytes = heap.region_pages << PAGE_SHIFT;
	lock_release(&heap.lock);
	return bytes;
}

void vm_pageheap_stats(struct vm_stats *stats)
{
	lock_take(&heap.lock);
	stats->medium_live += (live_pages() - heap.slab_pages) << PAGE_SHIFT;
	stats->heap_mapped += heap.region_pages << PAGE_SHIFT;
	stats->heap_free_dirty += vm_freeruns.dirty_pages << PAGE_SHIFT;
	stats->heap_free_clean += (vm_freeruns.pages - vm_freeruns.dirty_pages) << PAGE_SHIFT;
	stats->purges += heap.purges;
	stats->purged_bytes += heap.purged_pages << PAGE_SHIFT;
	stats->trims += heap.trims;
	for (unsigned i = 0; i < region_count(); i++)
		stats->break_bytes += vm_regions[i].by_break ? vm_regions[i].bytes : 0;
	lock_release(&heap.lock);
}

void vm_pageheap_lock_for_fork(void)
{
	vm_lock_take_for_fork(&heap.lock);
	if (!vm_lifeboat_held())
		vm_regions_commit_ahead();
}

/* In the child nobody finishes the purges that were under way. */
static void take_back_purging(void)
{
	while (!list_empty(&heap.purging)) {
		struct run *run = CONTAINER_OF(heap.purging.next, struct run, link);
		finish_purge(run, false, run->freed_ms);
	}
}

void vm_pageheap_unlock_after_fork(bool child)
{
	if (child)
		take_back_purging();
	vm_huge_forked();
	vm_lock_release_after_fork(&heap.lock);
}

/* Returns its pages if it is FREE. */
static size_t check_run(const struct run *run, size_t page, size_t pages_left)
{
	const struct region *region = run_region(run);
	bool slab = run->state == RUN_SLAB;
	vm_assert(run->pages > 0 && run->pages <= pages_left);
	vm_assert(run_page(run) == page);
	for (size_t i = 0; i < run->pages; i++) {
		vm_assert(region->class_of[page + i] == (slab ? run->class : CLASS_NONE));
		vm_assert(!slab || region->run_of[page + i] == run);
	}
	if (run->state != RUN_FREE)
		return 0;
	vm_assert(region_count_dirty(region, page, run->pages) == run->dirty_pages);
	vm_assert(region->run_of[page + run->pages - 1] == run);
	vm_assert(!freeruns_at(region, page + run->pages));
	return run->pages;
}

/* Returns the pages of its FREE runs. */
static size_t check_region(const struct region *region)
{
	size_t pages = region->bytes >> PAGE_SHIFT;
	size_t free_pages = 0;
	for (size_t page = 0; page < pages;) {
		const struct run *run = region->run_of[page];
		if (!run) { /* of a PURGING run, which is not entered */
			page++;
			continue;
		}
		free_pages += check_run(run, page, pages - page);
		page += run->pages;
	}
	return free_pages;
}

void vm_pageheap_check(void)
{
	size_t free_pages = 0;
	lock_take(&heap.lock);
	for (unsigned i = 0; i < region_count(); i++)
		free_pages += check_region(&vm_regions[i]);
	vm_freeruns_check(free_pages);
	lock_release(&heap.lock);
}
