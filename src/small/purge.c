/* SPDX-License-Identifier: MIT */
#include "small/purge.h"

#include "meta/footprint.h"
#include "meta/meta.h"
#include "os/conf.h"
#include "os/lock.h"
#include "os/os.h"
#include "small/freeruns.h"

#include <string.h>

#include <vmalloc.h>

static struct {
	struct list runs; /* PURGING */
	size_t pages;     /* of those */
	struct allowance for_growth; /* what vm_purge_for_growth gives back */
	struct allowance for_age;    /* what vm_purge_due does before the long decay time is over */
	uint64_t refused_ms; /* until then no room is made */
	uint64_t count;
	uint64_t pages_given_back;
	uint64_t trims;
} purges;

/* Ranges purged with one taking of the lock before and one after. */
enum { PURGE_BATCH = 32 };

/* After the kernel took nothing of a batch, as of memory that is locked, no room is made for so long. (mlockall,
 * 60,000 blocks of 40,000 B, of which 52,500 are freed: 0.05 s instead of 8 to 15; November 2026.) */
enum { REFUSED_PAUSE_MS = 8 };

/* What makes room goes the quickest way; what was no use for long goes for good (vm_os_purge_for_good), but for short
 * pieces; or all of what is dirty goes, whatever is refused. */
enum how { FOR_ROOM, FOR_GOOD, ALL };

/* To cut a huge page takes as long as a hundred page faults or more. (A cache of values of up to 64 KiB: 0.8 of the
 * time without that for shorter runs and for slabs, which are 1 % of its memory; November 2026.) */
#define CUT_LEAST (128 * KIB)

void vm_purge_init(void)
{
	list_init(&purges.runs);
}

size_t vm_purge_count_live(void)
{
	return vm_region_pages - vm_freeruns.pages - purges.pages;
}

size_t vm_purge_tell_footprint(void)
{
	return vm_footprint_note(FOOTPRINT_HEAP, vm_purge_count_live() << PAGE_SHIFT,
				 vm_freeruns.dirty_pages << PAGE_SHIFT) >>
	       PAGE_SHIFT;
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
	purges.trims++;
	return true;
}

/* The run is in no tree. */
static void begin_purge(struct run *run)
{
	purges.pages += run->pages;
	run->state = RUN_PURGING;
	list_insert_before(&purges.runs, &run->link);
}

/* What of a run are whole pages of the kernel, if the one is below the other. */
static uintptr_t whole_from(const struct run *run)
{
	return align_up(run->start, vm_os.page_bytes);
}

static uintptr_t whole_to(const struct run *run)
{
	return align_down(run_end(run), vm_os.page_bytes);
}

static bool has_whole_page(const struct run *run)
{
	return whole_from(run) < whole_to(run);
}

/* Without the lock. A run's dirty pages may lie anywhere in it: purging clean ones costs little. */
static bool purge_memory(const struct run *run, enum how how)
{
	if (!has_whole_page(run))
		return false;
	void *from = (void *)whole_from(run);
	size_t bytes = whole_to(run) - whole_from(run);
	return how == FOR_GOOD && bytes >= CUT_LEAST ? vm_os_purge_for_good(from, bytes) : vm_os_purge(from, bytes);
}

static void finish_purge(struct run *run, bool purged, uint64_t now_ms)
{
	struct region *region = run_region(run);
	list_remove(&run->link);
	if (purged) {
		size_t from = region_page(region, whole_from(run));
		size_t to = region_page(region, whole_to(run));
		purges.count++;
		purges.pages_given_back += run->dirty_pages;
		memset(region->dirty + from, 0, to - from);
		run->dirty_pages = (uint32_t)region_count_dirty(region, run_page(run), run->pages);
	}
	run->freed_ms = now_ms; /* what could not be purged is not tried again at once */
	purges.pages -= run->pages;
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
 * after `now_ms`, unless it joins a larger part that stayed; a batch of which the kernel took nothing that
 * it was offered ends the round, unless all are to go. Holds the lock on entry and return, but not while
 * memory is given back. Returns the pages given back.
 */
static size_t purge(uint64_t until_ms, size_t keep_pages, size_t pad_pages, uint64_t now_ms, enum how how)
{
	size_t done = 0;
	struct run *batch[PURGE_BATCH];
	bool purged[PURGE_BATCH];
	bool refused;
	size_t count;
	if ((how == FOR_ROOM && now_ms < purges.refused_ms) || !vm_regions_mend())
		return 0;
	do {
		count = 0;
		refused = false;
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
		size_t done_before = done;
		lock_release(&vm_pageheap_lock);
		for (size_t i = 0; i < count; i++)
			purged[i] = purge_memory(batch[i], how);
		lock_take(&vm_pageheap_lock);
		for (size_t i = 0; i < count; i++) {
			done += purged[i] ? batch[i]->dirty_pages : 0;
			refused |= !purged[i] && has_whole_page(batch[i]);
			finish_purge(batch[i], purged[i], now_ms + 1);
		}
		refused = refused && done == done_before;
		if (refused)
			purges.refused_ms = now_ms + REFUSED_PAUSE_MS;
	} while (count == PURGE_BATCH && (how == ALL || !refused));
	vm_purge_tell_footprint();
	return done;
}

void vm_purge_excess(uint64_t now_ms)
{
	size_t allowed = vm_purge_tell_footprint();
	if (vm_freeruns.dirty_pages > allowed)
		purge(now_ms, allowed - allowed / 8, 0, now_ms, FOR_ROOM);
}

/* So many bytes of what was freed at `until_ms` or before. */
static void pay(struct allowance *allowance, size_t bytes, uint64_t until_ms, uint64_t now_ms, enum how how)
{
	size_t pages = bytes >> PAGE_SHIFT;
	if (!pages)
		return;
	size_t keep = vm_freeruns.dirty_pages - min_size(vm_freeruns.dirty_pages, pages);
	allowance_use(allowance, purge(until_ms, keep, 0, now_ms, how) << PAGE_SHIFT);
}

void vm_purge_for_growth(size_t bytes, uint64_t now_ms)
{
	if (vm_freeruns.dirty_pages)
		pay(&purges.for_growth, vm_footprint_owed(&purges.for_growth, bytes, now_ms), now_ms, now_ms,
		    FOR_ROOM);
}

bool vm_purge_unpaid(size_t bytes, uint64_t now_ms)
{
	return vm_footprint_unpaid(&purges.for_growth, bytes, now_ms);
}

static uint64_t ago(uint64_t now_ms, uint64_t ms)
{
	return now_ms > ms ? now_ms - ms : 0;
}

void vm_purge_due(uint64_t now_ms)
{
	purge(ago(now_ms, conf_long_decay_ms()), 0, 0, now_ms, FOR_GOOD);
	size_t allowed = vm_footprint_allowed(&purges.for_age, vm_freeruns.dirty_pages << PAGE_SHIFT, now_ms);
	pay(&purges.for_age, allowed, ago(now_ms, vm_options.decay_ms), now_ms, FOR_GOOD);
}

bool vm_purge_all(size_t pad_pages, uint64_t now_ms)
{
	bool lowered = false;
	for (unsigned i = 0; i < region_count(); i++) {
		struct run *top = top_run(&vm_regions[i]);
		lowered |= top && lower(top, pad_pages);
	}
	bool purged = purge(now_ms, 0, pad_pages, now_ms, ALL) > 0;
	return lowered || purged;
}

void vm_purge_forked(void)
{
	while (!list_empty(&purges.runs)) {
		struct run *run = CONTAINER_OF(purges.runs.next, struct run, link);
		finish_purge(run, false, run->freed_ms);
	}
}

void vm_purge_stats(struct vm_stats *stats)
{
	stats->purges += purges.count;
	stats->purged_bytes += purges.pages_given_back << PAGE_SHIFT;
	stats->trims += purges.trims;
}
