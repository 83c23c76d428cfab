/* SPDX-License-Identifier: MIT */
#include "large/pool.h"

#include "base/check.h"
#include "large/budget.h"
#include "meta/footprint.h"
#include "meta/meta.h"
#include "os/conf.h"
#include "os/lifeboat.h"
#include "os/lock.h"
#include "os/os.h"

#include <stdatomic.h>

struct parking_place vm_parking[PARKING_PLACES];

static struct {
	struct lock gate; /* held by a fork from before it waits until it is over */
	struct lock lock;
	struct mapping mapping;
	struct vma_model maps;
	struct budget budget;
	_Atomic bool tight;        /* budget.tight, to be read without the lock */
	size_t published;          /* maps.count when `tight` and `read_ms` were set */
	_Atomic unsigned launches; /* of the lifeboat that the budget knows of */
	_Atomic uint64_t due_ms;   /* when a DIRTY range may be to go; read without the lock */
	_Atomic uint64_t unpark_ms; /* when what is parked is freed in the table */
	_Atomic uint64_t read_ms;  /* when the count of maps is to be read; read without the lock */
	_Atomic uint32_t underway; /* operations outside the lock; written under it */
	bool fork_waits;           /* for `underway` to become 0, or has it so */
	struct allowance for_growth; /* what vm_pool_give_back_for gives back */
	struct allowance for_age;    /* what goes before the long decay time is over */
	uint64_t allowed_ms;         /* from when on some may, by for_age */
	uint64_t purges;
	uint64_t purged_bytes;
	uint64_t splits_avoided;   /* unmaps not tried because they would have left a hole */
	uint64_t unmaps_refused;   /* by the kernel */
	size_t unchecked;          /* debug: visits since the last vm_mapping_check */
} pool = {
	.gate = LOCK_INIT(RANK_GATE),
	.lock = LOCK_INIT(RANK_LARGE),
	.mapping = MAPPING_INIT(pool.mapping),
	.due_ms = UINT64_MAX,
	.read_ms = UINT64_MAX,
};

struct mapping *vm_pool_return(void)
{
	lock_take(&pool.lock);
	return &pool.mapping;
}

struct mapping *vm_pool_enter(void)
{
	lock_take(&pool.lock);
	while (UNLIKELY(pool.fork_waits)) {
		lock_release(&pool.lock);
		lock_take(&pool.gate);
		lock_release(&pool.gate);
		lock_take(&pool.lock);
	}
	return &pool.mapping;
}

struct range *vm_pool_unpark(struct range *range, uint64_t now_ms)
{
	atomic_store_explicit(&range->parked, false, memory_order_relaxed);
	return vm_mapping_free(&pool.mapping, range, now_ms);
}

static void unpark_all(uint64_t now_ms)
{
	for (unsigned place = 0; place < PARKING_PLACES; place++) {
		struct range *range = pool_take_parked(place);
		if (range)
			vm_pool_unpark(range, now_ms);
	}
}

static bool any_is_parked(void)
{
	for (unsigned place = 0; place < PARKING_PLACES; place++)
		if (atomic_load_explicit(&vm_parking[place].range, memory_order_relaxed))
			return true;
	return false;
}

struct mapping *vm_pool_enter_unparked(void)
{
	if (!any_is_parked())
		return vm_pool_enter();
	uint64_t now_ms = vm_os_now_ms();
	vm_pool_enter();
	unpark_all(now_ms);
	return &pool.mapping;
}

const struct mapping *vm_pool_unlocked(void)
{
	return &pool.mapping;
}

/* The check walks the whole table, so it is made once per as many visits as it has ranges. */
static void check_now_and_then(void)
{
	if (pool.unchecked++ < pool.mapping.all.count)
		return;
	pool.unchecked = 0;
	vm_mapping_check(&pool.mapping);
	vm_vma_check(&pool.maps);
	if (!atomic_load_explicit(&pool.underway, memory_order_relaxed))
		vm_assert(pool.maps.bytes == pool.mapping.live_bytes + pool.mapping.dirty.bytes +
						     pool.mapping.clean.bytes);
}

struct vma_model *vm_pool_maps(void)
{
	return &pool.maps;
}

bool vm_pool_reserve_segments(size_t segments)
{
	while (!vm_vma_reserve(&pool.maps, segments)) {
		struct segment *segment = vm_meta_alloc(sizeof *segment);
		if (!segment)
			return false;
		vm_vma_feed(&pool.maps, segment);
	}
	return true;
}

struct segment *vm_pool_take_out(uintptr_t start, size_t bytes)
{
	enum { RECORDS = 2 };
	if (!vm_pool_reserve_segments(RECORDS))
		return NULL;
	struct segment *out = vm_vma_take_out(&pool.maps, start, bytes);
	vm_vma_release(&pool.maps, RECORDS);
	return out;
}

static bool is_tight(void)
{
	return atomic_load_explicit(&pool.tight, memory_order_relaxed);
}

/* Not after a launch, until the next tick has told the budget of it: the maps that the launch has freed are for
 * the heap, which serves large blocks meanwhile. */
bool vm_pool_may_map(void)
{
	return !is_tight() && atomic_load_explicit(&pool.launches, memory_order_relaxed) ==
				      vm_lifeboat_launches();
}

static bool judge_budget(void)
{
	if (UNLIKELY(!pool.budget.limit))
		vm_budget_begin(&pool.budget, vm_os.map_limit, vm_options.map_share,
				vm_options.map_reserve);
	return budget_judge(&pool.budget, pool.maps.count);
}

static void publish_budget(void)
{
	pool.published = pool.maps.count;
	atomic_store_explicit(&pool.tight, judge_budget(), memory_order_relaxed);
	bool wants_reading = vm_options.map_count &&
			     vm_budget_wants_reading(&pool.budget, pool.maps.count);
	atomic_store_explicit(&pool.read_ms, wants_reading ? pool.budget.next_ms : UINT64_MAX,
			      memory_order_relaxed);
}

bool vm_pool_may_keep_apart(void)
{
	return pool.maps.count < pool.budget.normal_below / 4;
}

/* The DIRTY bytes that may be kept. */
static size_t note_footprint(void)
{
	return vm_footprint_note(FOOTPRINT_LARGE, pool.mapping.live_bytes, pool.mapping.dirty.bytes);
}

/* When a DIRTY range is old, and some may go, or when it is too old. */
static uint64_t due_ms(void)
{
	const struct range *oldest = vm_mapping_oldest(&pool.mapping);
	if (!oldest)
		return UINT64_MAX;
	uint64_t old_ms = oldest->freed_ms + vm_options.decay_ms;
	uint64_t too_old_ms = oldest->freed_ms + conf_long_decay_ms();
	if (old_ms < pool.allowed_ms)
		old_ms = pool.allowed_ms;
	return old_ms < too_old_ms ? old_ms : too_old_ms;
}

void vm_pool_leave(void)
{
	if (VM_DEBUG)
		check_now_and_then();
	note_footprint();
	if (UNLIKELY(pool.maps.count != pool.published))
		publish_budget();
	atomic_store_explicit(&pool.due_ms, due_ms(), memory_order_relaxed);
	lock_release(&pool.lock);
}

void vm_pool_begin(void)
{
	atomic_fetch_add_explicit(&pool.underway, 1, memory_order_relaxed);
}

void vm_pool_end(void)
{
	atomic_fetch_sub_explicit(&pool.underway, 1, memory_order_relaxed);
	if (UNLIKELY(pool.fork_waits))
		vm_os_wake_one(&pool.underway);
}

/* Takes note of the count of maps where it is known or due to be read; the files without the lock. */
static void read_maps(bool refused, bool all_used, uint64_t now_ms)
{
	vm_pool_enter();
	size_t own = pool.maps.count;
	bool due = all_used || vm_budget_claim_reading(&pool.budget, own, refused, now_ms);
	publish_budget();
	vm_pool_leave();
	if (!due)
		return;
	size_t limit = vm_os_map_limit() ?: vm_os.map_limit;
	size_t count = all_used ? limit : vm_os_count_maps();
	vm_pool_enter();
	if (count)
		vm_budget_enter(&pool.budget, count, own, now_ms);
	vm_budget_begin(&pool.budget, limit, vm_options.map_share, vm_options.map_reserve);
	publish_budget();
	vm_pool_leave();
}

void vm_pool_note_refusal(void)
{
	/* Where the kernel itself says that it is the limit nothing waits for a reading. */
	if (vm_options.map_count)
		read_maps(true, !is_tight() && vm_os_out_of_maps(), vm_os_now_ms());
}

void vm_pool_batch_init(struct pool_batch *batch)
{
	list_init(&batch->ranges);
	batch->count = 0;
}

void vm_pool_batch_add(struct pool_batch *batch, struct range *range)
{
	vm_assert(range->state == RANGE_HELD && batch->count < POOL_BATCH_MOST);
	list_insert_before(&batch->ranges, &range->by_age);
	batch->count++;
}

static void hold(struct pool_batch *batch, struct range *range)
{
	vm_mapping_hold_widest(&pool.mapping, range);
	vm_pool_batch_add(batch, range);
}

/* How many of so many DIRTY bytes are too much. */
static size_t excess_of(size_t dirty)
{
	return dirty > vm_options.dirty_bytes ? dirty - min_size(dirty, note_footprint()) : 0;
}

/* The end of a DIRTY range, of so many bytes or a few more; or its beginning, where the end would leave a
 * hole; or all of it, where that is hardly more, or memory is out. */
static struct range *cut_for(struct range *range, size_t bytes)
{
	bytes = align_up(max_size(bytes, FOOTPRINT_CUT_LEAST), vm_os.page_bytes);
	if (range->bytes <= bytes || !vm_mapping_prepay(&pool.mapping, 1))
		return range;
	size_t rest = range->bytes - bytes;
	if (!vm_vma_splits(&pool.maps, range->start + rest, bytes))
		return vm_mapping_cut_dirty(&pool.mapping, range, rest);
	vm_mapping_cut_dirty(&pool.mapping, range, bytes);
	return range;
}

static bool is_old(const struct range *range, uint64_t ms, uint64_t now_ms)
{
	return now_ms >= range->freed_ms + ms;
}

/* How many bytes of a range go because it is old; they count as given back. */
static size_t claim_for_age(const struct range *range, uint64_t now_ms)
{
	if (!is_old(range, vm_options.decay_ms, now_ms))
		return 0;
	size_t bytes = vm_footprint_allowed(&pool.for_age, range->bytes, now_ms);
	allowance_use(&pool.for_age, bytes);
	pool.allowed_ms = vm_footprint_allowed_from(&pool.for_age);
	return bytes;
}

/* Of the oldest range what is to go, or NULL: all where it is too old, else as much as is too much, or
 * as may go where it is old. */
static struct range *part_due(struct range *oldest, uint64_t now_ms)
{
	if (is_old(oldest, conf_long_decay_ms(), now_ms))
		return oldest;
	size_t bytes = max_size(claim_for_age(oldest, now_ms), excess_of(pool.mapping.dirty.bytes));
	return bytes ? cut_for(oldest, bytes) : NULL;
}

/* Holds what is too old, or too much, the oldest first. */
static void collect_due(struct pool_batch *batch, uint64_t now_ms)
{
	struct range *oldest, *part;
	while (batch->count < POOL_BATCH_MOST && (oldest = vm_mapping_oldest(&pool.mapping)) &&
	       (part = part_due(oldest, now_ms)))
		hold(batch, part);
}

void vm_pool_collect(struct pool_batch *batch, struct range *freed, uint64_t now_ms)
{
	if (excess_of(freed->bytes))
		hold(batch, freed);
	collect_due(batch, now_ms);
}

void vm_pool_collect_excess(struct pool_batch *batch)
{
	collect_due(batch, 0);
}

/* What came of giving back. */
struct outcome {
	size_t bytes;   /* that the kernel took: addresses or memory */
	size_t refused; /* ranges whose addresses it did not take, or was not offered */
};

/* Under the lock: takes a range that is to be unmapped out of the model; NULL if it is to stay. */
static struct segment *let_go(const struct range *range)
{
	if (vm_vma_splits(&pool.maps, range->start, range->bytes) && judge_budget()) {
		pool.splits_avoided += range->has_memory; /* else it was one before */
		return NULL;
	}
	return vm_pool_take_out(range->start, range->bytes);
}

/* What the kernel keeps beside a longer one is less than half of it at each end; to cut it off takes more time than
 * that is worth. (malloc-large of the suites, 5 to 25 MiB: 1.07 of the time with all; November 2026.) */
static bool is_short_block(const struct range *range)
{
	return range && range->state == RANGE_LIVE && range->bytes < 2 * vm_os.huge_bytes;
}

/* Under the lock; a range with memory. */
static bool borders_on_short_block(const struct range *range)
{
	return is_short_block(vm_ranges_touching_below(&pool.mapping.all, range)) ||
	       is_short_block(vm_ranges_touching_above(&pool.mapping.all, range));
}

/*
 * The fate of one range: unmapped, or, where that would need a map that is not to be had, purged, or,
 * where it is locked in memory, left as it is to be tried again later.
 */
static enum range_state try_to_give_back(const struct range *range)
{
	if (range->borders_on_short_block)
		vm_os_cut_huge_pages((void *)range->start, range->bytes);
	if (range->gone && vm_os_unmap((void *)range->start, range->bytes))
		return RANGE_HELD;
	if (!range->has_memory || vm_os_purge((void *)range->start, range->bytes))
		return RANGE_CLEAN;
	return RANGE_DIRTY;
}

static void settle(struct range *range, enum range_state fate, struct outcome *outcome)
{
	if (fate == RANGE_HELD || (fate == RANGE_CLEAN && range->has_memory)) {
		pool.purges++;
		pool.purged_bytes += range->bytes;
		outcome->bytes += range->bytes;
	}
	if (range->gone && fate == RANGE_HELD) {
		vm_vma_drop(&pool.maps, range->gone);
	} else if (range->gone) {
		vm_vma_put_back(&pool.maps, range->gone);
		pool.unmaps_refused++;
	}
	if (fate == RANGE_HELD)
		vm_mapping_put_record(&pool.mapping, range);
	else if (fate == RANGE_CLEAN)
		vm_mapping_add_clean(&pool.mapping, range);
	else
		vm_mapping_add_dirty(&pool.mapping, range, os_noted_ms());
	outcome->refused += fate != RANGE_HELD;
}

static struct outcome leave_and_give_back(struct pool_batch *batch)
{
	struct outcome outcome = {0};
	enum range_state fate[POOL_BATCH_MOST];
	size_t at = 0;
	if (!batch->count) {
		vm_pool_leave();
		return outcome;
	}
	for (struct list *link = batch->ranges.next; link != &batch->ranges; link = link->next) {
		struct range *range = CONTAINER_OF(link, struct range, by_age);
		range->gone = let_go(range);
		range->borders_on_short_block = range->has_memory && borders_on_short_block(range);
	}
	vm_pool_begin();
	vm_pool_leave();

	for (struct list *link = batch->ranges.next; link != &batch->ranges; link = link->next)
		fate[at++] = try_to_give_back(CONTAINER_OF(link, struct range, by_age));

	vm_pool_return();
	uint64_t unmaps_refused = pool.unmaps_refused;
	for (at = 0; !list_empty(&batch->ranges); at++) {
		struct range *range = CONTAINER_OF(batch->ranges.next, struct range, by_age);
		list_remove(&range->by_age);
		settle(range, fate[at], &outcome);
	}
	vm_pool_end();
	bool refused = pool.unmaps_refused > unmaps_refused;
	vm_pool_leave();
	if (UNLIKELY(refused))
		vm_pool_note_refusal();
	return outcome;
}

void vm_pool_leave_and_give_back(struct pool_batch *batch)
{
	leave_and_give_back(batch);
}

static struct outcome give_back_due(uint64_t now_ms)
{
	struct pool_batch batch;
	vm_pool_batch_init(&batch);
	vm_pool_enter();
	collect_due(&batch, now_ms);
	return leave_and_give_back(&batch);
}

void vm_pool_give_back_for(size_t bytes, uint64_t now_ms)
{
	if (atomic_load_explicit(&pool.due_ms, memory_order_relaxed) == UINT64_MAX)
		return;
	struct pool_batch batch;
	vm_pool_batch_init(&batch);
	vm_pool_enter();
	bytes = vm_footprint_owed(&pool.for_growth, bytes, now_ms);
	size_t dirty = pool.mapping.dirty.bytes;
	size_t keep = dirty - min_size(dirty, bytes);
	while (batch.count < POOL_BATCH_MOST && pool.mapping.dirty.bytes > keep)
		hold(&batch, cut_for(vm_mapping_oldest(&pool.mapping), pool.mapping.dirty.bytes - keep));
	allowance_use(&pool.for_growth, dirty - pool.mapping.dirty.bytes);
	leave_and_give_back(&batch);
}

/* Offers the CLEAN ranges from *cursor up to the kernel again and moves the cursor past them. */
static struct outcome give_back_clean(uintptr_t *cursor)
{
	struct pool_batch batch;
	vm_pool_batch_init(&batch);
	vm_pool_enter();
	struct range *range = vm_mapping_clean_from(&pool.mapping, *cursor);
	while (range && batch.count < POOL_BATCH_MOST) {
		*cursor = range_end(range);
		hold(&batch, range);
		range = vm_mapping_clean_from(&pool.mapping, *cursor);
	}
	if (!range)
		*cursor = UINTPTR_MAX;
	return leave_and_give_back(&batch);
}

/* One pass over the CLEAN ranges. Each that goes may make room under the map limit for the next. */
static struct outcome give_back_all_clean(void)
{
	struct outcome sum = {0};
	for (uintptr_t cursor = 1; cursor != UINTPTR_MAX;) {
		struct outcome outcome = give_back_clean(&cursor);
		sum.bytes += outcome.bytes;
		sum.refused += outcome.refused;
	}
	return sum;
}

size_t vm_pool_trim(void)
{
	size_t bytes = 0;
	struct outcome outcome;
	vm_pool_enter_unparked();
	vm_pool_leave();
	while ((outcome = give_back_due(UINT64_MAX)).bytes)
		bytes += outcome.bytes;
	do {
		outcome = give_back_all_clean();
		bytes += outcome.bytes;
	} while (outcome.bytes && outcome.refused);
	return bytes;
}

/* So that what is parked grows no older than it would be DIRTY, or not much. */
static void unpark_due(uint64_t now_ms)
{
	if (now_ms < atomic_load_explicit(&pool.unpark_ms, memory_order_relaxed))
		return;
	atomic_store_explicit(&pool.unpark_ms, now_ms + vm_options.decay_ms / 8 + 1,
			      memory_order_relaxed);
	vm_pool_enter_unparked();
	vm_pool_leave();
}

void vm_pool_give_excess_back(uint64_t now_ms)
{
	while (give_back_due(now_ms).bytes)
		;
}

/* The lifeboat is launched at the limit only. */
static void note_launches(uint64_t now_ms)
{
	unsigned launches = vm_lifeboat_launches();
	if (LIKELY(atomic_load_explicit(&pool.launches, memory_order_relaxed) == launches))
		return;
	if (vm_options.map_count)
		read_maps(true, true, now_ms);
	atomic_store_explicit(&pool.launches, launches, memory_order_relaxed);
}

void vm_pool_tick(uint64_t now_ms)
{
	unpark_due(now_ms);
	while (now_ms >= atomic_load_explicit(&pool.due_ms, memory_order_relaxed))
		if (!give_back_due(now_ms).bytes)
			break;
	if (now_ms >= atomic_load_explicit(&pool.read_ms, memory_order_relaxed))
		read_maps(false, false, now_ms);
	note_launches(now_ms);
}

void vm_pool_stats(struct vm_stats *stats)
{
	vm_pool_enter_unparked();
	stats->large_live = pool.mapping.live_bytes;
	stats->large_blocks = pool.mapping.live.count;
	stats->large_dirty = pool.mapping.dirty.bytes;
	stats->large_clean = pool.mapping.clean.bytes;
	stats->purges += pool.purges;
	stats->purged_bytes += pool.purged_bytes;
	stats->large_dirty_ranges = pool.mapping.dirty.count;
	stats->large_clean_ranges = pool.mapping.clean.count;
	stats->map_tight = judge_budget();
	stats->map_limit = pool.budget.limit;
	stats->map_count = pool.budget.count;
	stats->own_maps = pool.maps.count;
	stats->splits_avoided = pool.splits_avoided;
	stats->unmaps_refused = pool.unmaps_refused;
	stats->lifeboat_held = vm_lifeboat_held();
	vm_pool_leave();
}

void vm_pool_lock_for_fork(void)
{
	vm_lock_take_for_fork(&pool.gate);
	vm_lock_take_for_fork(&pool.lock);
	/* A signal handler may fork in the middle of an operation of this thread, which would not end. */
	pool.fork_waits = !lock_is_alone();
	uint32_t underway;
	while (pool.fork_waits &&
	       (underway = atomic_load_explicit(&pool.underway, memory_order_relaxed)) != 0) {
		vm_lock_release_after_fork(&pool.lock);
		vm_os_wait(&pool.underway, underway);
		vm_lock_take_for_fork(&pool.lock);
	}
}

void vm_pool_unlock_after_fork(bool child)
{
	if (child)
		vm_vma_forked(&pool.maps);
	pool.fork_waits = false;
	vm_lock_release_after_fork(&pool.lock);
	vm_lock_release_after_fork(&pool.gate);
}
