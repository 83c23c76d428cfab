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
#include "small/purge.h"

#include <string.h>

#include <vmalloc.h>

static struct {
	size_t slab_pages;
	_Atomic uint64_t next_tick_ms; /* no earlier is anything due */
} heap;

/* The pages of a region from the byte `at` on are new: they become FREE. */
static void adopt(struct run *run, const struct region *region, size_t at)
{
	run_describe(run, region, at >> PAGE_SHIFT, (region->bytes - at) >> PAGE_SHIFT);
	vm_freeruns_merge(run);
}

static bool grow(size_t pages)
{
	vm_huge_find(vm_region_pages << PAGE_SHIFT);
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
	vm_purge_init();
	struct run *run = vm_meta_alloc(sizeof *run);
	if (!run || !vm_region_init(own_break)) {
		vm_meta_free(run, sizeof *run);
		return false;
	}
	adopt(run, &vm_regions[0], 0);
	return true;
}

/* After pages were taken, of which so many had no memory. */
static void count_growth(size_t pages)
{
	vm_purge_tell_footprint();
	vm_footprint_grown(FOOTPRINT_HEAP, pages << PAGE_SHIFT);
}

static struct run *take_from(struct run *free, size_t pages, size_t alignment_pages)
{
	struct run *run = vm_freeruns_carve(free, pages, alignment_pages);
	if (run)
		count_growth(run->pages - run->dirty_pages);
	return run;
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
	return run ? take_from(run, pages, alignment_pages) : NULL;
}

static struct run *take_ready(size_t pages, uint64_t now_ms)
{
	if (!vm_purge_unpaid(pages << PAGE_SHIFT, now_ms) || !vm_regions_mend())
		return NULL;
	struct run *run = vm_freeruns_find_ready(pages);
	return run ? take_from(run, pages, 1) : NULL;
}

/* A run that was taken, and is in nobody's hands yet. */
static void note_huge_pages(const struct run *run)
{
	if (!vm_os.huge_bytes)
		return;
	const struct run *behind = freeruns_at(run_region(run), run_page(run) + run->pages);
	bool begins = run->state == RUN_SLAB && !run->dirty_pages && behind && !behind->dirty_pages;
	vm_huge_taken(run_region(run), run->start, run_end(run), vm_purge_count_live() << PAGE_SHIFT,
		      begins ? run_end(behind) : run->start);
}

static void enter_used(struct run *run)
{
	struct region *region = run_region(run);
	size_t page = run_page(run);
	run->state = RUN_USED;
	run->roomy = false;
	note_huge_pages(run);
	region->run_of[page] = run;
	memset(region->dirty + page, 1, run->pages);
}

struct run *vm_run_alloc(size_t pages, size_t alignment_pages, bool *zeroed)
{
	if (pages + alignment_pages > UINT32_MAX)
		return NULL;
	lock_take(&vm_pageheap_lock);
	struct run *run = take(pages, alignment_pages);
	if (run) {
		*zeroed = run->dirty_pages == 0;
		enter_used(run);
	}
	lock_release(&vm_pageheap_lock);
	return run;
}

struct run *vm_run_alloc_ready(size_t pages)
{
	vm_assert(pages <= UINT32_MAX);
	uint64_t now_ms = vm_os_now_ms();
	lock_take(&vm_pageheap_lock);
	struct run *run = take_ready(pages, now_ms);
	if (run)
		enter_used(run);
	lock_release(&vm_pageheap_lock);
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
	lock_take(&vm_pageheap_lock);
	struct run *run = take(vm_classes[class].pages, alignment_pages);
	if (run) {
		*zeroed = run->dirty_pages == 0;
		run->state = RUN_SLAB;
		run->class = (uint8_t)class;
		run->shard = (uint8_t)shard;
		note_huge_pages(run);
		enter_slab(run);
	}
	lock_release(&vm_pageheap_lock);
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
	lock_take(&vm_pageheap_lock);
	clear_tables(slab);
	slab->state = RUN_USED;
	slab->roomy = false;
	run_region(slab)->run_of[run_page(slab)] = slab;
	lock_release(&vm_pageheap_lock);
}

static void free_at(struct run *run, uint64_t now_ms)
{
	lock_take(&vm_pageheap_lock);
	clear_tables(run);
	run->dirty_pages = run->pages;
	run->freed_ms = now_ms;
	vm_freeruns_merge(run);
	vm_purge_excess(now_ms);
	lock_release(&vm_pageheap_lock);
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
	vm_purge_excess(now_ms);
	return true;
}

bool vm_run_resize(struct run *run, size_t pages)
{
	if (pages > UINT32_MAX)
		return false;
	uint64_t now_ms = vm_os_now_ms();
	lock_take(&vm_pageheap_lock);
	bool done = true;
	if (pages > run->pages)
		done = extend(run, pages);
	else if (pages < run->pages)
		done = shorten(run, pages, now_ms);
	lock_release(&vm_pageheap_lock);
	return done;
}

struct run *vm_run_holding(const struct region *region, uintptr_t address)
{
	lock_take(&vm_pageheap_lock);
	size_t page = region_page(region, address);
	while (page > 0 && !region->run_of[page])
		page--;
	struct run *run = region->run_of[page];
	if (run && address - run->start >= (uintptr_t)run->pages << PAGE_SHIFT)
		run = NULL;
	lock_release(&vm_pageheap_lock);
	return run;
}

void vm_pageheap_tick(uint64_t now_ms)
{
	if (now_ms < atomic_load_explicit(&heap.next_tick_ms, memory_order_relaxed))
		return;
	atomic_store_explicit(&heap.next_tick_ms, now_ms + vm_options.decay_ms / 8 + 1,
			      memory_order_relaxed);
	lock_take(&vm_pageheap_lock);
	vm_huge_tick(vm_purge_count_live() << PAGE_SHIFT);
	vm_purge_due(now_ms);
	lock_release(&vm_pageheap_lock);
}

void vm_pageheap_give_excess_back(uint64_t now_ms)
{
	lock_take(&vm_pageheap_lock);
	vm_purge_excess(now_ms);
	lock_release(&vm_pageheap_lock);
}

void vm_pageheap_give_back_for(size_t bytes, uint64_t now_ms)
{
	lock_take(&vm_pageheap_lock);
	vm_purge_for_growth(bytes, now_ms);
	lock_release(&vm_pageheap_lock);
}

/* Without the lock while it looks, for that may take long. */
static void cut_broken_huge_pages(void)
{
	for (unsigned i = 0; i < region_count(); i++) {
		lock_take(&vm_pageheap_lock);
		uintptr_t start = vm_regions[i].base;
		uintptr_t end = region_end(&vm_regions[i]);
		lock_release(&vm_pageheap_lock);
		vm_huge_cut_broken(start, end);
	}
}

bool vm_pageheap_trim(size_t pad)
{
	uint64_t now_ms = vm_os_now_ms();
	lock_take(&vm_pageheap_lock);
	bool given_back = vm_purge_all(pages_of(min_size(pad, PTRDIFF_MAX)), now_ms);
	lock_release(&vm_pageheap_lock);
	cut_broken_huge_pages();
	return given_back;
}

size_t vm_pageheap_bytes(void)
{
	lock_take(&vm_pageheap_lock);
	size_t bytes = vm_region_pages << PAGE_SHIFT;
	lock_release(&vm_pageheap_lock);
	return bytes;
}

void vm_pageheap_stats(struct vm_stats *stats)
{
	lock_take(&vm_pageheap_lock);
	stats->medium_live += (vm_purge_count_live() - heap.slab_pages) << PAGE_SHIFT;
	stats->heap_mapped += vm_region_pages << PAGE_SHIFT;
	stats->heap_free_dirty += vm_freeruns.dirty_pages << PAGE_SHIFT;
	stats->heap_free_clean += (vm_freeruns.pages - vm_freeruns.dirty_pages) << PAGE_SHIFT;
	vm_purge_stats(stats);
	for (unsigned i = 0; i < region_count(); i++)
		stats->break_bytes += vm_regions[i].by_break ? vm_regions[i].bytes : 0;
	lock_release(&vm_pageheap_lock);
}

void vm_pageheap_lock_for_fork(void)
{
	vm_lock_take_for_fork(&vm_pageheap_lock);
	if (!vm_lifeboat_held())
		vm_regions_commit_ahead();
}

void vm_pageheap_unlock_after_fork(bool child)
{
	if (child)
		vm_purge_forked();
	vm_huge_forked();
	vm_lock_release_after_fork(&vm_pageheap_lock);
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
	size_t pages = 0;
	size_t free_pages = 0;
	lock_take(&vm_pageheap_lock);
	for (unsigned i = 0; i < region_count(); i++) {
		pages += vm_regions[i].bytes >> PAGE_SHIFT;
		free_pages += check_region(&vm_regions[i]);
	}
	vm_assert(vm_region_pages == pages);
	vm_freeruns_check(free_pages);
	lock_release(&vm_pageheap_lock);
}
