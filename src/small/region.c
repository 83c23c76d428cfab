/* SPDX-License-Identifier: MIT */
#include "small/region.h"

#include "base/check.h"
#include "os/conf.h"
#include "os/lifeboat.h"
#include "os/os.h"

#include <stdatomic.h>
#include <string.h>

struct region vm_regions[REGIONS_MOST];
_Atomic unsigned vm_region_count;
size_t vm_region_pages;
struct lock vm_pageheap_lock = LOCK_INIT(RANK_PAGEHEAP);

/* A region grows by a sixteenth of its size within these, and to where a huge page ends: few calls, little
 * address space unused. */
#define GROW_LEAST (256 * KIB)
#define GROW_MOST (16 * MIB)

/* The tables are committed in these steps of each table's own bytes, the largest kernel page. */
#define TABLE_STEP (64 * KIB)

/* The heap that the first tables describe. */
#define TABLES_FIRST (512 * MIB)

/* No reserve smaller than this is worth its maps. */
#define RESERVE_LEAST (4 * MIB)

static size_t part_bytes(size_t pages, size_t entry_bytes)
{
	return align_up(pages * entry_bytes, TABLE_STEP);
}

static bool commit_part(void *part, size_t entry_bytes, size_t old_pages, size_t pages)
{
	size_t from = part_bytes(old_pages, entry_bytes);
	size_t to = part_bytes(pages, entry_bytes);
	return from == to || vm_os_commit((char *)part + from, to - from);
}

/* Makes the tables hold the first `pages`, for which they have room. A half-done commit is done
 * again by the next call. */
static bool commit_tables(struct region *region, size_t pages)
{
	size_t old = region->table_committed;
	if (pages <= old)
		return true;
	if (!commit_part(region->class_of, sizeof region->class_of[0], old, pages) ||
	    !commit_part(region->run_of, sizeof region->run_of[0], old, pages) ||
	    !commit_part(region->dirty, sizeof region->dirty[0], old, pages))
		return false;
	region->table_committed = pages;
	return true;
}

static size_t tables_bytes(size_t pages)
{
	return 2 * part_bytes(pages, sizeof(uint8_t)) + part_bytes(pages, sizeof(struct run *));
}

/* Addresses for tables that are being made; also afterwards where that failed and the kernel did not
 * take them back, for who makes tables next. */
static struct {
	char *start; /* NULL: none */
	size_t pages;
} draft;

static bool discard_draft(void)
{
	if (draft.start && !vm_os_unmap(draft.start, tables_bytes(draft.pages)))
		return false;
	draft.start = NULL;
	return true;
}

static bool begin_draft(size_t pages)
{
	if (draft.start && draft.pages >= pages)
		return true;
	if (!discard_draft())
		return false;
	draft.start = vm_os_reserve(tables_bytes(pages));
	draft.pages = pages;
	return draft.start;
}

/* Tables with room for `pages`, with the content of the old ones. */
static bool open_tables(struct region *region, size_t pages)
{
	if (!begin_draft(pages))
		return false;
	char *tables = draft.start;
	pages = draft.pages;
	size_t byte_part = part_bytes(pages, sizeof(uint8_t));
	size_t run_part = part_bytes(pages, sizeof(struct run *));

	struct region larger = *region;
	size_t used = pages_of(region->bytes);
	larger.class_of = (uint8_t *)tables;
	larger.run_of = (struct run **)(tables + byte_part);
	larger.dirty = (uint8_t *)(tables + byte_part + run_part);
	larger.table_pages = pages;
	larger.table_committed = 0;
	if (!commit_tables(&larger, used)) {
		discard_draft();
		return false;
	}
	draft.start = NULL;
	if (used) {
		memcpy(larger.class_of, region->class_of, used * sizeof larger.class_of[0]);
		memcpy(larger.run_of, region->run_of, used * sizeof larger.run_of[0]);
		memcpy(larger.dirty, region->dirty, used * sizeof larger.dirty[0]);
	}
	/* A reader of a new pointer must find the content there. */
	__atomic_store_n(&region->class_of, larger.class_of, __ATOMIC_RELEASE);
	__atomic_store_n(&region->run_of, larger.run_of, __ATOMIC_RELEASE);
	region->dirty = larger.dirty;
	region->table_pages = larger.table_pages;
	region->table_committed = larger.table_committed;
	return true;
}

/* Tables that the kernel does not take back stay with their place in vm_regions. */
static void close_tables(struct region *region)
{
	if (!region->table_pages ||
	    !vm_os_unmap(region->class_of, tables_bytes(region->table_pages)))
		return;
	region->table_pages = 0;
	region->table_committed = 0;
}

/* Tables that hold the first `pages`. */
static bool grow_tables(struct region *region, size_t pages)
{
	size_t limit = pages_of(region->limit_bytes);
	size_t room = region->by_break
			      ? clamp_size(4 * region->table_pages, pages_of(TABLES_FIRST), limit)
			      : limit; /* a reserve may be the last map that we get */
	return (pages <= region->table_pages ||
		open_tables(region, max_size(room, pages))) &&
	       commit_tables(region, pages);
}

/* The break, which stands at `at`, below our end, back to it. */
static NOINLINE COLD bool raise_lowered(const struct region *region, uintptr_t at)
{
	return (uintptr_t)vm_os_move_break((ptrdiff_t)(region_end(region) - at)) == at;
}

/* The break back where we left it; false: it is somebody else's now. */
static bool break_is_ours(const struct region *region)
{
	uintptr_t end = region_end(region);
	uintptr_t at = (uintptr_t)vm_os_break();
	return at == end || (at && at < end && raise_lowered(region, at));
}

static bool raise_break(struct region *region, size_t bytes)
{
	if (!break_is_ours(region))
		return false;
	uintptr_t old = (uintptr_t)vm_os_move_break((ptrdiff_t)bytes);
	if (old == region_end(region))
		return true;
	if (old)
		vm_os_move_break(-(ptrdiff_t)bytes); /* another thread came between */
	return false;
}

/* Makes a reserve hold `bytes` in all. */
static bool commit_reserve(struct region *region, size_t bytes)
{
	size_t old = region->committed_bytes;
	if (bytes <= old)
		return true;
	if (!vm_os_commit((void *)(region->base + old), bytes - old))
		return false;
	region->committed_bytes = bytes;
	return true;
}

/* A look-up that finds bytes must find the base and the tables, too. */
static void set_bytes(struct region *region, size_t bytes)
{
	vm_region_pages += (bytes >> PAGE_SHIFT) - (region->bytes >> PAGE_SHIFT);
	__atomic_store_n(&region->bytes, bytes, __ATOMIC_RELEASE);
}

static bool grow_by(struct region *region, size_t bytes)
{
	if (bytes > region->limit_bytes - region->bytes ||
	    !grow_tables(region, pages_of(region->bytes + bytes)))
		return false;
	bool grown = region->by_break ? raise_break(region, bytes)
				      : commit_reserve(region, region->bytes + bytes);
	if (grown)
		set_bytes(region, region->bytes + bytes);
	return grown;
}

static size_t growth_step(const struct region *region)
{
	size_t step = clamp_size(region->bytes / 16, GROW_LEAST, GROW_MOST);
	bool huge = vm_os.huge_bytes && step >= vm_os.huge_bytes;
	uintptr_t end = region_end(region) + step;
	return step + (align_up(end, huge ? vm_os.huge_bytes : vm_os.page_bytes) - end);
}

/* By a step where the kernel allows it, else by just what is needed. */
static bool grow(struct region *region, size_t bytes)
{
	size_t step = growth_step(region);
	return (step > bytes && grow_by(region, step)) || grow_by(region, bytes);
}

static void set_region_count(unsigned count)
{
	atomic_store_explicit(&vm_region_count, count, memory_order_relaxed);
}

/* Without pages as yet, with the tables that its place may have from one before. */
static void open_at(struct region *region, uintptr_t base, size_t limit_bytes, bool by_break)
{
	vm_assert(!region->bytes);
	region->base = base;
	region->limit_bytes = limit_bytes;
	region->committed_bytes = 0;
	region->by_break = by_break;
	set_region_count(region_count() + 1);
}

static bool open_reserve(struct region *region, size_t bytes)
{
	void *base = vm_os_reserve(bytes);
	if (!base)
		return false;
	open_at(region, (uintptr_t)base, bytes, false);
	return true;
}

/* The largest heap worth describing: what memory can hold, or a limited address space. */
static size_t heap_most(void)
{
	size_t most = max_size(vm_os.memory_bytes, GIB);
	return align_up(min_size(most, vm_os.address_limit / 2), TABLE_STEP);
}

/* As large as the kernel grants but not smaller than `bytes`. */
static bool open_largest(struct region *region, size_t bytes)
{
	size_t least = max_size(align_up(bytes, RESERVE_LEAST), RESERVE_LEAST);
	for (size_t size = max_size(heap_most(), least); size >= least; size /= 2)
		if (open_reserve(region, align_down(size, TABLE_STEP)))
			return true;
	return false;
}

/* A further region, or NULL. None for more than all memory: the kernel, which refuses to promise
 * that at once, does not look at what is committed in a reserve. */
static struct region *open_another(size_t bytes)
{
	if (region_count() == REGIONS_MOST || bytes > heap_most())
		return NULL;
	struct region *region = &vm_regions[region_count()];
	while (!open_largest(region, bytes))
		if (!vm_lifeboat_launch())
			return NULL;
	return region;
}

/* Its first page is the first whole one above the break; the bytes below it are somebody else's. */
static bool open_break(struct region *region)
{
	uintptr_t at = (uintptr_t)vm_os_break();
	if (!at)
		return false;
	uintptr_t base = align_up(at, vm_os.page_bytes);
	if (base != at && !vm_os_move_break((ptrdiff_t)(base - at)))
		return false;
	open_at(region, base, heap_most(), true);
	return true;
}

static bool is_reserved(const struct region *region, size_t bytes)
{
	return !region->by_break && bytes <= region->limit_bytes - region->bytes;
}

/* The first pages of a reserve make edges, which are maps; so do, in a child, the first ones after the
 * fork (vm_regions_commit_ahead). */
static bool grow_or_launch(struct region *region, size_t bytes)
{
	bool grown;
	do {
		grown = grow(region, bytes);
	} while (!grown && is_reserved(region, bytes) && vm_lifeboat_launch());
	return grown;
}

/* A new region that has its first `bytes`. One that cannot have them is closed again; if the kernel
 * does not take its addresses back, it stays for the next who asks. */
static struct region *open_and_grow(size_t bytes)
{
	struct region *region = open_another(bytes);
	if (!region || grow_or_launch(region, bytes))
		return region;
	close_tables(region);
	if (vm_os_unmap((void *)region->base, region->limit_bytes))
		set_region_count(region_count() - 1);
	return NULL;
}

bool vm_region_init(bool own_break)
{
	if (region_count()) /* from a start that failed */
		return grow_or_launch(&vm_regions[0], vm_os.page_bytes);
	if (own_break && open_break(&vm_regions[0]) && grow(&vm_regions[0], vm_os.page_bytes))
		return true;
	/* A break that never moves is no region: hits look at region 0 only. */
	if (region_count())
		close_tables(&vm_regions[0]);
	set_region_count(0);
	return open_and_grow(vm_os.page_bytes);
}

struct region *vm_region_grow(size_t pages, size_t *at)
{
	size_t bytes = align_up(pages << PAGE_SHIFT, vm_os.page_bytes);
	for (unsigned i = 0; i < region_count(); i++) {
		struct region *region = &vm_regions[i];
		*at = region->bytes;
		if (grow_or_launch(region, bytes))
			return region;
		/* A reserve refuses for want of addresses, or of memory: then a further one would, too. */
		if (is_reserved(region, bytes))
			return NULL;
	}
	*at = 0;
	return open_and_grow(bytes);
}

bool vm_region_grow_in_place(struct region *region, size_t pages, size_t *at)
{
	*at = region->bytes;
	return grow(region, align_up(pages << PAGE_SHIFT, vm_os.page_bytes));
}

void vm_regions_commit_ahead(void)
{
	struct region *last = &vm_regions[region_count() - 1];
	if (last->by_break)
		return;
	size_t left = last->limit_bytes - last->bytes;
	for (size_t more = left / 2; more >= RESERVE_LEAST; more /= 2) {
		size_t bytes = last->bytes + align_down(more, TABLE_STEP);
		if (grow_tables(last, pages_of(bytes)) && commit_reserve(last, bytes))
			return;
	}
}

/* Nobody knows where the break is (0) where a filter lets it fail: libc keeps the error number. */
bool vm_regions_mend(void)
{
	const struct region *region = &vm_regions[0];
	if (!region->by_break)
		return true;
	uintptr_t at = (uintptr_t)vm_os_break();
	return LIKELY(at >= region_end(region)) || !at || raise_lowered(region, at);
}

bool vm_region_lower(struct region *region, size_t pages)
{
	size_t bytes = pages << PAGE_SHIFT;
	if (!region->by_break || !vm_options.trim_break || !break_is_ours(region) ||
	    !vm_os_move_break(-(ptrdiff_t)bytes))
		return false;
	set_bytes(region, region->bytes - bytes);
	return true;
}

/* Gives back what a table holds of the pages from `from` to `to`, which are zero there. */
static void purge_part(void *part, size_t entry_bytes, size_t from_page, size_t to_page)
{
	uintptr_t from = align_up((uintptr_t)part + from_page * entry_bytes, TABLE_STEP);
	uintptr_t to = align_down((uintptr_t)part + to_page * entry_bytes, TABLE_STEP);
	if (from < to)
		vm_os_purge((void *)from, to - from);
}

void vm_region_purge_tables(struct region *region, size_t pages)
{
	size_t from = pages_of(region->bytes);
	purge_part(region->class_of, sizeof region->class_of[0], from, from + pages);
	purge_part(region->run_of, sizeof region->run_of[0], from, from + pages);
	purge_part(region->dirty, sizeof region->dirty[0], from, from + pages);
}
