/* SPDX-License-Identifier: MIT */
#include "large/large.h"

#include "base/check.h"
#include "large/fill.h"
#include "large/pool.h"
#include "meta/footprint.h"
#include "os/conf.h"
#include "os/hugecost.h"
#include "os/os.h"

#include <stdatomic.h>
#include <string.h>

static size_t round_to_pages(size_t bytes)
{
	return align_up(bytes, vm_os.page_bytes);
}

static bool is_parked(const struct range *range)
{
	return atomic_load_explicit(&range->parked, memory_order_relaxed);
}

/* The range of a block that is not free, or NULL. */
static struct range *block_at(const struct mapping *mapping, const void *block)
{
	struct range *range = vm_mapping_live(mapping, (uintptr_t)block);
	return range && !is_parked(range) ? range : NULL;
}

/* Of one range: all places hold no more than may be kept DIRTY. */
static size_t parked_bytes_most(void)
{
	return vm_options.decay_ms ? vm_options.dirty_bytes / PARKING_PLACES : 0;
}

static NOINLINE void free_parked(struct range *range)
{
	struct pool_batch batch;
	vm_pool_batch_init(&batch);
	uint64_t now_ms = vm_os_now_ms();
	vm_pool_enter();
	vm_pool_collect(&batch, vm_pool_unpark(range, now_ms), now_ms);
	vm_pool_leave_and_give_back(&batch);
}

/* False: another thread frees the block, too. */
static bool mark_parked(struct range *range)
{
	if (!lock_is_alone())
		return !atomic_exchange_explicit(&range->parked, true, memory_order_relaxed);
	atomic_store_explicit(&range->parked, true, memory_order_relaxed);
	return true;
}

/* A live block of the caller's, which is about to be free or to move. */
static inline void judge_fill(struct range *range)
{
	if (LIKELY(!range->fresh))
		return;
	range->fresh = false;
	vm_fill_judge((void *)range->start, range->bytes);
}

bool vm_large_park(void *block, unsigned place)
{
	struct range *range = block_at(vm_pool_unlocked(), block);
	if (UNLIKELY(!range))
		return false;
	judge_fill(range);
	if (range->bytes > parked_bytes_most() || !mark_parked(range))
		return false;
	if (pool_park(place, range))
		return true;
	atomic_store_explicit(&range->parked, false, memory_order_relaxed);
	return false;
}

void *vm_large_take_parked(size_t bytes, size_t alignment, unsigned place)
{
	struct range *range = pool_take_parked(place);
	if (!range)
		return NULL;
	if (range->bytes != round_to_pages(bytes) || range->start & (alignment - 1)) {
		/* vm_large_alloc or _alloc_ready, which comes next, frees it in the table. */
		if (!pool_park(place, range))
			free_parked(range);
		return NULL;
	}
	atomic_store_explicit(&range->parked, false, memory_order_relaxed);
	return (void *)range->start;
}

/* Makes a free range, or a part of it, a block. NULL: there is no range, or no record for its rest. */
static void *use(struct mapping *mapping, struct range *range, size_t bytes, size_t alignment)
{
	if (!range || !vm_mapping_prepay(mapping, 2))
		return NULL;
	return (void *)vm_mapping_use(mapping, range, bytes, alignment)->start;
}

static void *use_kept(size_t bytes, size_t alignment, size_t *dirty)
{
	struct mapping *mapping = vm_pool_enter_unparked();
	struct range *range = vm_mapping_best(mapping, bytes, alignment);
	large_tell_dirty(dirty, range && range->state == RANGE_DIRTY ? bytes : 0);
	void *block = use(mapping, range, bytes, alignment);
	vm_pool_leave();
	return block;
}

void *vm_large_alloc_ready(size_t bytes)
{
	bytes = round_to_pages(bytes);
	struct mapping *mapping = vm_pool_enter_unparked();
	void *block = use(mapping, vm_fits_best(&mapping->dirty, bytes, 1), bytes, 1);
	vm_pool_leave();
	return block;
}

/* What map_new may come to hold: the block, what lies beside it, a first try that lay badly. */
enum { PIECES_MOST = 4 };

struct pieces {
	struct range *range[PIECES_MOST];
	size_t spare;
	uintptr_t mapped; /* the map that the block is in */
	size_t mapped_bytes;
	bool wants_huge;  /* the block, once it is mapped */
	bool is_apart;    /* the map: advice was given, if the kernel took it or not */
	bool is_huge;     /* it took it */
	const struct range *misplaced; /* or NULL: the first try */
};

/* Those two. */
enum { MAPS_MOST = 2 };

static bool take_pieces(struct pieces *pieces, size_t bytes)
{
	struct mapping *mapping = vm_pool_enter();
	bool paid = vm_mapping_prepay(mapping, PIECES_MOST) && vm_pool_reserve_segments(MAPS_MOST);
	pieces->mapped = 0;
	pieces->misplaced = NULL;
	pieces->is_apart = pieces->is_huge = false;
	pieces->wants_huge = vm_pool_may_keep_apart() && !vm_hugecost_pauses() &&
			     vm_fill_expected(bytes, mapping->live_bytes + bytes);
	if (paid) {
		for (int i = 0; i < PIECES_MOST; i++)
			pieces->range[i] = vm_mapping_take_record(mapping);
		pieces->spare = PIECES_MOST;
		vm_pool_begin();
	}
	vm_pool_leave();
	return paid;
}

static uintptr_t map(struct pieces *pieces, size_t bytes)
{
	pieces->mapped = (uintptr_t)vm_os_map(bytes);
	pieces->mapped_bytes = bytes;
	return pieces->mapped;
}

static void enter_maps(const struct pieces *pieces)
{
	struct vma_model *maps = vm_pool_maps();
	const struct range *misplaced = pieces->misplaced;
	if (misplaced)
		vm_vma_mapped(maps, misplaced->start, misplaced->bytes);
	if (pieces->is_apart)
		vm_vma_mapped_apart(maps, pieces->mapped, pieces->mapped_bytes);
	else if (pieces->mapped)
		vm_vma_mapped(maps, pieces->mapped, pieces->mapped_bytes);
	vm_vma_release(maps, MAPS_MOST);
}

static struct range *piece(struct pieces *pieces, uintptr_t start, size_t bytes)
{
	struct range *range = pieces->range[--pieces->spare];
	range->start = start;
	range->bytes = bytes;
	range->has_memory = false;
	return range;
}

/*
 * Maps at a multiple of an alignment above the kernel's page. The kernel puts mappings one below the
 * other, so those of a multiple of the alignment lie well once the first does; else the block is cut
 * out of a mapping that is longer by the alignment.
 */
static uintptr_t map_aligned(size_t bytes, size_t alignment, struct pieces *pieces,
			     struct pool_batch *unwanted)
{
	if (bytes % alignment == 0) {
		uintptr_t start = map(pieces, bytes);
		if (start % alignment == 0)
			return start;
		if (!vm_os_unmap((void *)start, bytes)) {
			struct range *misplaced = piece(pieces, start, bytes);
			pieces->misplaced = misplaced;
			vm_pool_batch_add(unwanted, misplaced);
		}
	}
	size_t slack = alignment - vm_os.page_bytes;
	uintptr_t low = map(pieces, bytes + slack);
	if (!low)
		return 0;
	uintptr_t start = align_up(low, alignment);
	size_t above = slack - (start - low);
	if (start > low)
		vm_pool_batch_add(unwanted, piece(pieces, low, start - low));
	if (above)
		vm_pool_batch_add(unwanted, piece(pieces, start + bytes, above));
	return start;
}

/* `zeroed`: for calloc, whose block may be a table of which little is used: its huge pages come when it is. */
static void *map_new(size_t bytes, size_t alignment, bool zeroed)
{
	struct pieces pieces;
	struct pool_batch unwanted;
	vm_fill_look_back(bytes);
	if (!take_pieces(&pieces, bytes))
		return NULL;
	vm_pool_batch_init(&unwanted);
	uintptr_t start = alignment <= vm_os.page_bytes
				  ? map(&pieces, bytes)
				  : map_aligned(bytes, alignment, &pieces, &unwanted);
	/* One that was cut out of a longer map has none: that would be two maps more until what lies beside it goes. */
	if (start && pieces.wants_huge && pieces.mapped_bytes == bytes) {
		pieces.is_apart = true;
		pieces.is_huge = zeroed ? vm_os_advise_huge((void *)start, bytes)
					: vm_hugecost_advise((void *)start, bytes);
	}

	struct mapping *mapping = vm_pool_return();
	enter_maps(&pieces);
	if (start) {
		struct range *block = piece(&pieces, start, bytes);
		block->fresh = !pieces.is_huge;
		vm_mapping_add_live(mapping, block);
		vm_footprint_grown(FOOTPRINT_LARGE, bytes);
	}
	while (pieces.spare)
		vm_mapping_put_record(mapping, pieces.range[--pieces.spare]);
	vm_pool_collect_excess(&unwanted);
	vm_pool_end();
	vm_pool_leave_and_give_back(&unwanted);
	if (start && !pieces.is_huge)
		vm_fill_mapped((void *)start, bytes);
	return (void *)start;
}

/* Whether mremap may: a whole map that moves is still one; any other becomes one more. */
static bool may_move(const struct range *range)
{
	return vm_pool_may_map() || vm_vma_is_whole(vm_pool_maps(), range->start, range->bytes);
}

/* Has the kernel make a LIVE or DIRTY range longer, wherever, as a block. The pool's lock is held on entry,
 * but not on return; NULL: the range stays as it was. */
static void *remap(struct mapping *mapping, struct range *range, size_t bytes)
{
	struct vma_model *maps = vm_pool_maps();
	bool was_live = range->state == RANGE_LIVE;
	size_t old_bytes = range->bytes;
	bool movable = may_move(range);
	bool may_lengthen = movable || vm_vma_ends_at(maps, range_end(range));
	struct segment *gone = may_lengthen ? vm_pool_take_out(range->start, old_bytes) : NULL;
	if (gone) {
		if (was_live)
			vm_mapping_hold_live(mapping, range);
		else
			vm_mapping_hold_free(mapping, range);
		vm_pool_begin();
	}
	vm_pool_leave();
	if (!gone)
		return NULL;

	void *moved = vm_os_remap((void *)range->start, old_bytes, bytes, movable);

	vm_pool_return();
	if (moved) {
		range->start = (uintptr_t)moved;
		range->bytes = bytes;
		vm_vma_drop(maps, gone);
		vm_vma_mapped_apart(maps, range->start, range->bytes);
		vm_footprint_grown(FOOTPRINT_LARGE, bytes - min_size(old_bytes, bytes));
	} else {
		vm_vma_restore(maps, gone);
	}
	if (moved || was_live)
		vm_mapping_add_live(mapping, range);
	else
		vm_mapping_add_dirty(mapping, range, os_noted_ms());
	struct pool_batch excess;
	vm_pool_batch_init(&excess);
	vm_pool_collect_excess(&excess);
	vm_pool_end();
	vm_pool_leave_and_give_back(&excess);
	return moved;
}

static void *move_pages(void *block, size_t bytes)
{
	struct mapping *mapping = vm_pool_enter();
	struct range *range = block_at(mapping, block);
	if (range)
		return remap(mapping, range, bytes);
	vm_pool_leave();
	return NULL;
}

/*
 * A block made of the longest DIRTY range, where none is long enough, if it has `least` bytes. What it
 * lacks is mapped by the kernel behind it, which moves its pages if need be: to move a page costs a tenth
 * of a fault, and what is dirty does not come on top of what is new.
 */
static void *lengthen_dirty(size_t bytes, size_t least, size_t *dirty)
{
	struct mapping *mapping = vm_pool_enter();
	struct range *range = vm_fits_longest(&mapping->dirty);
	/* One that may not move would only lose its age. */
	if (range && range->bytes >= least && range->bytes < bytes &&
	    vm_vma_is_one(vm_pool_maps(), range->start, range->bytes) && may_move(range)) {
		large_tell_dirty(dirty, range->bytes);
		return remap(mapping, range, bytes);
	}
	vm_pool_leave();
	return NULL;
}

static void *alloc(size_t bytes, size_t alignment, size_t *dirty, bool at_any_price)
{
	bytes = round_to_pages(bytes);
	if (bytes > PTRDIFF_MAX - alignment)
		return NULL;

	for (bool last = false;; last = true) {
		void *block = use_kept(bytes, alignment, dirty);
		/* A buffer that doubles leaves a little less than half of the next behind. (What protoc
		 * makes of 700 messages: 364 MB instead of 388, and 90,000 faults instead of 99,000
		 * with half; November 2026.) */
		if (!block && alignment <= vm_os.page_bytes)
			block = lengthen_dirty(bytes, bytes / 4, dirty);
		if (block)
			return block;
		if (!at_any_price && UNLIKELY(!vm_pool_may_map()))
			return NULL;
		block = map_new(bytes, alignment, dirty);
		if (block) {
			large_tell_dirty(dirty, 0);
			return block;
		}
		vm_pool_note_refusal();
		/* With everything free given back, limits have more room, and what the kernel did
		 * not take has merged. */
		if (last || !vm_large_trim())
			return NULL;
	}
}

void *vm_large_alloc(size_t bytes, size_t alignment, size_t *dirty)
{
	return alloc(bytes, alignment, dirty, false);
}

void *vm_large_alloc_at_any_price(size_t bytes, size_t alignment, size_t *dirty)
{
	return alloc(bytes, alignment, dirty, true);
}

bool vm_large_free(void *block)
{
	struct pool_batch batch;
	vm_pool_batch_init(&batch);
	uint64_t now_ms = vm_os_now_ms();

	struct mapping *mapping = vm_pool_enter();
	struct range *range = block_at(mapping, block);
	if (range)
		vm_pool_collect(&batch, vm_mapping_free(mapping, range, now_ms), now_ms);
	vm_pool_leave_and_give_back(&batch);
	return range;
}

size_t vm_large_usable_size(const void *block)
{
	const struct range *range = block_at(vm_pool_unlocked(), block);
	if (LIKELY(range))
		return range->bytes;
	range = block_at(vm_pool_enter(), block);
	size_t bytes = range ? range->bytes : 0;
	vm_pool_leave();
	return bytes;
}

bool vm_large_resize(void *block, size_t bytes)
{
	bool resized = false;
	struct pool_batch batch;
	vm_pool_batch_init(&batch);
	uint64_t now_ms = vm_os_now_ms();
	bytes = round_to_pages(bytes);

	struct mapping *mapping = vm_pool_enter_unparked();
	struct range *range = block_at(mapping, block);
	if (range && bytes >= range->bytes) {
		resized = vm_mapping_grow(mapping, range, bytes);
	} else if (range && vm_mapping_prepay(mapping, 1)) {
		struct range *tail = vm_mapping_shrink(mapping, range, bytes, now_ms);
		vm_pool_collect(&batch, tail, now_ms);
		resized = true;
	}
	vm_pool_leave_and_give_back(&batch);
	return resized;
}

/*
 * Moving pages by the kernel costs a fault for each page that is new, about 0.7 us; copying into a
 * DIRTY range costs about 0.25 us for each page that is old, and none is new. And what is not taken from
 * the DIRTY ranges is purged in the end, so that the copy wins from a quarter more (8 blocks that grow by
 * a quarter to 16 MiB: 220,000 faults against 700,000 from a half more on; November 2026).
 */
static bool copy_pays(const struct range *range, size_t bytes)
{
	return bytes >= range->bytes + range->bytes / 4;
}

static void *copy_to_dirty(void *block, size_t bytes)
{
	void *copy = NULL;
	struct mapping *mapping = vm_pool_enter_unparked();
	struct range *range = block_at(mapping, block);
	if (range && copy_pays(range, bytes))
		copy = use(mapping, vm_fits_best(&mapping->dirty, bytes, 1), bytes, 1);
	vm_pool_leave();
	if (!copy)
		return NULL;
	memcpy(copy, block, range->bytes);
	vm_large_free(block);
	return copy;
}

/* Pays where a DIRTY range has half as much again as the block: to copy that takes less than to fault the
 * rest in. */
static void *copy_to_lengthened(void *block, size_t bytes)
{
	size_t old_bytes = vm_large_usable_size(block);
	void *copy = old_bytes ? lengthen_dirty(bytes, old_bytes + old_bytes / 2, NULL) : NULL;
	if (!copy)
		return NULL;
	memcpy(copy, block, old_bytes);
	vm_large_free(block);
	return copy;
}

void *vm_large_move(void *block, size_t bytes)
{
	struct range *range = block_at(vm_pool_unlocked(), block);
	if (LIKELY(range))
		judge_fill(range);
	bytes = round_to_pages(bytes);
	void *copy = copy_to_dirty(block, bytes);
	if (!copy)
		copy = copy_to_lengthened(block, bytes);
	return copy ? copy : move_pages(block, bytes);
}

enum misuse vm_large_classify(const void *pointer)
{
	enum misuse misuse = MISUSE_FOREIGN;
	const struct mapping *mapping = vm_pool_enter();
	const struct range *range = vm_ranges_at(&mapping->all, (uintptr_t)pointer);
	/* The start of a live block was free a moment ago: another thread has it now. */
	if (range && range->state == RANGE_LIVE && range->start != (uintptr_t)pointer)
		misuse = MISUSE_INTERIOR;
	else if (range)
		misuse = MISUSE_FREED;
	vm_pool_leave();
	return misuse;
}

size_t vm_large_trim(void)
{
	return vm_pool_trim();
}

void vm_large_give_back_for(size_t bytes, uint64_t now_ms)
{
	vm_pool_give_back_for(bytes, now_ms);
}

void vm_large_tick(uint64_t now_ms)
{
	vm_pool_tick(now_ms);
}

void vm_large_give_excess_back(uint64_t now_ms)
{
	vm_pool_give_excess_back(now_ms);
}

void vm_large_stats(struct vm_stats *stats)
{
	vm_pool_stats(stats);
}

void vm_large_lock_for_fork(void)
{
	vm_pool_lock_for_fork();
}

void vm_large_unlock_after_fork(bool child)
{
	vm_pool_unlock_after_fork(child);
}
