/* SPDX-License-Identifier: MIT */
#include "small/bin.h"

#include "base/check.h"
#include "meta/meta.h"
#include "os/conf.h"
#include "os/fatal.h"
#include "os/lock.h"
#include "os/os.h"
#include "small/slab.h"

#include <stdatomic.h>
#include <string.h>

#include <vmalloc.h>

struct bin {
	struct lock lock;
	struct run *current;
	struct tree_node *partial;
	size_t live; /* slots taken, in all slabs of the bin */
	uint64_t purges;
	uint64_t purged_pages;
} ALIGNED_TO_LINE;

unsigned vm_shards;
static struct bin (*bins)[CLASS_COUNT]; /* [shard][class] */

/* Empty slabs are handed to the page heap after the bin's lock is released. */
enum { EMPTY_BATCH = 16 };

/* How long a slab's slots have not changed: since the last look at it, or longer; then its free pages
 * are given back, once. */
enum quiet { BUSY, QUIET, PURGED };

/* Where the next look goes on: at the slabs of a bin from an address on. One thread at a time. */
static struct {
	_Atomic uint64_t due_ms; /* NOT_NOW while a thread looks */
	uint64_t last_ms;
	uint64_t next_round_ms; /* for growth */
	unsigned bin;
	uintptr_t from;
} look;
#define NOT_NOW UINT64_MAX

/* Class 0 has none. */
enum { BINS_A_SHARD = CLASS_COUNT - 1 };

/* Between two rounds through all bins: what stays as it is meanwhile is quiet, however few they are. */
enum { ROUND_LEAST_MS = 8 };

/* Slabs that are looked at in one taking of a bin's lock. */
enum { LOOKS_A_LOCK = 16 };

/* What a tick does of the work, some ms at most: the more the longer the last one is ago, so that a
 * nearly idle process is done with a large heap in seconds; and for each page that the heap grows. */
enum { WORK_LEAST = 256, WORK_MOST = 4096, WORK_A_MS = 16, WORK_A_PAGE = 4 };

static bool lower_address(const struct tree_node *a, const struct tree_node *b)
{
	return CONTAINER_OF(a, const struct run, node)->start <
	       CONTAINER_OF(b, const struct run, node)->start;
}

/* Threads meet at a bin's lock only to refill or flush a cache past the transfer cache, so one
 * shard for four CPUs keeps them apart, and memory in few slabs. */
static unsigned choose_shards(void)
{
	size_t shards = vm_options.shards ? vm_options.shards : vm_os.cpus / 4;
	return (unsigned)clamp_size(shards, 1, SHARDS_MOST);
}

bool vm_bins_init(void)
{
	vm_shards = choose_shards();
	bins = vm_meta_alloc(vm_shards * sizeof bins[0]);
	if (!bins)
		return false;
	for (unsigned shard = 0; shard < vm_shards; shard++)
		for (unsigned class = 0; class < CLASS_COUNT; class++)
			bins[shard][class] = (struct bin){.lock = LOCK_INIT(RANK_BIN)};
	return true;
}

/* The lowest partial slab, out of the tree, or a new one; NULL where the kernel refuses. */
static struct run *next_slab(struct bin *bin, unsigned class, unsigned shard)
{
	struct tree_node *node = tree_first(bin->partial);
	if (node) {
		tree_remove(&bin->partial, node, lower_address);
		return CONTAINER_OF(node, struct run, node);
	}
	struct run *slab = vm_run_alloc_slab(class, shard);
	if (slab)
		vm_slab_init(slab);
	return slab;
}

/* Blocks so small that a line of memory may lie in two, which two threads may write to at a time. (Two
 * threads that each write to a block of 24 bytes, which the other's had lain beside: a sixth of the
 * time.) */
static bool keeps_lines_apart(unsigned class)
{
	size_t bytes = vm_classes[class].bytes;
	return bytes % CACHE_LINE && bytes < 4 * CACHE_LINE && !lock_is_alone();
}

size_t vm_bin_fill(unsigned class, unsigned shard, void **blocks, size_t count)
{
	struct bin *bin = &bins[shard][class];
	size_t left = count;
	lock_take(&bin->lock);
	for (;;) {
		if (bin->current) {
			if (keeps_lines_apart(class))
				left -= vm_slab_take_lines(bin->current, blocks, left);
			size_t some = min_size(left, bin->current->free_slots);
			left -= vm_slab_take(bin->current, blocks + left - some, some);
			/* Once it was free it would keep its memory from all other classes. */
			if (vm_classes[class].slots == 1)
				bin->current = NULL;
		}
		if (!left)
			break;
		bin->current = next_slab(bin, class, shard);
		if (!bin->current)
			break;
	}
	bin->live += count - left;
	lock_release(&bin->lock);
	if (left)
		memmove(blocks, blocks + left, (count - left) * sizeof blocks[0]);
	return count - left;
}

void *vm_bin_new_single(unsigned class, unsigned shard, size_t alignment, bool *zeroed)
{
	vm_assert(vm_classes[class].slots == 1);
	size_t alignment_pages = max_size(alignment >> PAGE_SHIFT, 1);
	struct run *slab = vm_run_alloc_aligned_slab(class, shard, alignment_pages, zeroed);
	if (!slab)
		return NULL;
	void *block;
	struct bin *bin = &bins[shard][class];
	vm_slab_init(slab);
	vm_slab_take(slab, &block, 1);
	lock_take(&bin->lock);
	bin->live++;
	lock_release(&bin->lock);
	return block;
}

static NOINLINE COLD NORETURN void refuse(const struct run *slab, const void *block)
{
	vm_misuse(slab_misuse(slab_slot_state(slab, block)), "free", block);
}

/* After blocks were given to a slab of `slots`; true: it has left the bin and is the caller's to free. */
static inline bool settle(struct bin *bin, struct run *slab, size_t slots, size_t given)
{
	bool was_full = slab->free_slots == given;
	bool is_empty = slab->free_slots == slots;
	if (LIKELY(!was_full && !is_empty) || slab == bin->current)
		return false;
	if (!is_empty)
		tree_insert(&bin->partial, &slab->node, lower_address);
	else if (!was_full)
		tree_remove(&bin->partial, &slab->node, lower_address);
	return is_empty;
}

/* The slab of a block of a class, whose record stays as it is while the block is the caller's (bin.pml).
 * A block freed twice may have taken its slab along. */
static ALWAYS_INLINE inline struct run *slab_of(unsigned class, const void *block)
{
	const struct region *region = region_of(block);
	struct run *slab =
		region ? region_run(region, region_page(region, (uintptr_t)block)) : NULL;
	if (UNLIKELY(!slab || slab->state != RUN_SLAB || slab->class != class))
		vm_misuse(MISUSE_FREED, "free", block);
	return slab;
}

static size_t flush_some(unsigned class, void *const *blocks, size_t count)
{
	const struct sizeclass *sizes = &vm_classes[class];
	struct run *empty[EMPTY_BATCH];
	size_t empties = 0;
	size_t done = 0;
	unsigned shard = slab_of(class, blocks[0])->shard;
	struct bin *bin = &bins[shard][class];
	lock_take(&bin->lock);
	while (done < count && empties < EMPTY_BATCH) {
		struct run *slab = slab_of(class, blocks[done]);
		if (slab->shard != shard)
			break;
		size_t given = slab_give(slab, sizes, blocks + done, count - done);
		if (UNLIKELY(!given))
			refuse(slab, blocks[done]);
		done += given;
		if (settle(bin, slab, sizes->slots, given))
			empty[empties++] = slab;
	}
	bin->live -= done;
	lock_release(&bin->lock);
	for (size_t i = 0; i < empties; i++)
		vm_run_free_slab(empty[i]);
	return done;
}

void vm_bin_flush(unsigned class, void *const *blocks, size_t count)
{
	while (count) {
		size_t done = flush_some(class, blocks, count);
		blocks += done;
		count -= done;
	}
}

void vm_bin_disown(struct run *slab)
{
	struct bin *bin = &bins[slab->shard][slab->class];
	lock_take(&bin->lock);
	if (bin->current == slab)
		bin->current = NULL;
	bin->live--;
	lock_release(&bin->lock);
}

/* Takes the current slab out of its bin if none of its slots is taken; NULL otherwise. */
static struct run *detach_empty_current(struct bin *bin, unsigned class)
{
	struct run *slab = NULL;
	lock_take(&bin->lock);
	if (bin->current && bin->current->free_slots == vm_classes[class].slots) {
		slab = bin->current;
		bin->current = NULL;
	}
	lock_release(&bin->lock);
	return slab;
}

static bool purge_slab(struct bin *bin, struct run *slab)
{
	size_t pages = vm_slab_purge(slab);
	slab->quiet = PURGED;
	bin->purges += pages > 0;
	bin->purged_pages += pages;
	return pages > 0;
}

static struct run *partial_from(const struct bin *bin, uintptr_t from)
{
	const struct run key = {.start = from};
	struct tree_node *node = tree_at_least(bin->partial, &key.node, lower_address);
	return node ? CONTAINER_OF(node, struct run, node) : NULL;
}

static void look_at(struct bin *bin, struct run *slab)
{
	if (slab->quiet == QUIET)
		purge_slab(bin, slab);
	else if (slab->quiet == BUSY)
		slab->quiet = QUIET;
}

/* Looks at some slabs from `*from` on, which is behind them then, or 0 behind the last. The work that
 * it was: slabs looked at, and pages given back. */
static size_t look_at_some(struct bin *bin, uintptr_t *from)
{
	size_t looks = 0;
	struct run *slab = NULL;
	lock_take(&bin->lock);
	const uint64_t purged_pages = bin->purged_pages;
	if (bin->current && !*from)
		look_at(bin, bin->current);
	while (looks < LOOKS_A_LOCK && (slab = partial_from(bin, *from))) {
		look_at(bin, slab);
		*from = slab->start + 1;
		looks++;
	}
	if (!slab)
		*from = 0;
	looks += bin->purged_pages - purged_pages;
	lock_release(&bin->lock);
	return looks;
}

/* Works so much, or a little more. True: all bins have been looked at. */
static bool look_further(size_t work)
{
	for (size_t done = 0; done < work;) {
		struct bin *bin = &bins[look.bin / BINS_A_SHARD][1 + look.bin % BINS_A_SHARD];
		done += max_size(look_at_some(bin, &look.from), 1);
		if (!look.from && ++look.bin == vm_shards * BINS_A_SHARD) {
			look.bin = 0;
			return true;
		}
	}
	return false;
}

static bool claim_look(uint64_t due_ms)
{
	return due_ms != NOT_NOW &&
	       atomic_compare_exchange_strong_explicit(&look.due_ms, &due_ms, NOT_NOW,
						       memory_order_acquire, memory_order_relaxed);
}

void vm_bins_give_back_for(size_t bytes, uint64_t now_ms)
{
	uint64_t due_ms = atomic_load_explicit(&look.due_ms, memory_order_relaxed);
	if (!claim_look(due_ms))
		return;
	if (now_ms >= look.next_round_ms &&
	    look_further(min_size(WORK_A_PAGE * pages_of(bytes), WORK_MOST)))
		look.next_round_ms = now_ms + ROUND_LEAST_MS;
	atomic_store_explicit(&look.due_ms, due_ms, memory_order_release);
}

void vm_bins_tick(uint64_t now_ms)
{
	uint64_t due_ms = atomic_load_explicit(&look.due_ms, memory_order_relaxed);
	if (now_ms < due_ms || !claim_look(due_ms))
		return;
	size_t work = clamp_size((now_ms - look.last_ms) * WORK_A_MS, WORK_LEAST, WORK_MOST);
	look.last_ms = now_ms;
	uint64_t pause_ms = look_further(work) ? conf_long_decay_ms() : 0;
	atomic_store_explicit(&look.due_ms, now_ms + pause_ms + 1, memory_order_release);
}

static bool purge_slabs(struct bin *bin)
{
	bool purged = false;
	struct run *slab;
	lock_take(&bin->lock);
	if (bin->current && bin->current->quiet != PURGED)
		purged = purge_slab(bin, bin->current);
	for (uintptr_t from = 0; (slab = partial_from(bin, from)); from = slab->start + 1)
		purged |= slab->quiet != PURGED && purge_slab(bin, slab);
	lock_release(&bin->lock);
	return purged;
}

bool vm_bins_trim(void)
{
	bool purged = false;
	for (unsigned shard = 0; shard < vm_shards; shard++) {
		for (unsigned class = 1; class < CLASS_COUNT; class++) {
			struct run *slab = detach_empty_current(&bins[shard][class], class);
			if (slab)
				vm_run_free_slab(slab);
			purged |= purge_slabs(&bins[shard][class]);
		}
	}
	return purged;
}

void vm_bins_stats(struct vm_stats *stats)
{
	for (unsigned shard = 0; shard < vm_shards; shard++) {
		for (unsigned class = 1; class < CLASS_COUNT; class++) {
			struct bin *bin = &bins[shard][class];
			lock_take(&bin->lock);
			stats->small_live += bin->live * vm_classes[class].bytes;
			stats->purges += bin->purges;
			stats->purged_bytes += bin->purged_pages << PAGE_SHIFT;
			lock_release(&bin->lock);
		}
	}
}

void vm_bins_lock_for_fork(void)
{
	for (unsigned shard = 0; shard < vm_shards; shard++)
		for (unsigned class = 1; class < CLASS_COUNT; class++)
			vm_lock_take_for_fork(&bins[shard][class].lock);
}

void vm_bins_unlock_after_fork(bool child)
{
	/* In the child nobody ends the look that was under way. */
	if (child) {
		look.bin = 0;
		look.from = 0;
		atomic_store_explicit(&look.due_ms, 0, memory_order_relaxed);
	}
	for (unsigned shard = 0; shard < vm_shards; shard++)
		for (unsigned class = 1; class < CLASS_COUNT; class++)
			vm_lock_release_after_fork(&bins[shard][class].lock);
}

static void check_partial(const struct tree_node *node)
{
	if (!node)
		return;
	const struct run *slab = CONTAINER_OF(node, const struct run, node);
	vm_slab_check(slab);
	vm_assert(slab->free_slots > 0 && slab->free_slots < vm_classes[slab->class].slots);
	check_partial(node->left);
	check_partial(node->right);
}

void vm_bins_check(void)
{
	for (unsigned shard = 0; shard < vm_shards; shard++) {
		for (unsigned class = 1; class < CLASS_COUNT; class++) {
			struct bin *bin = &bins[shard][class];
			lock_take(&bin->lock);
			if (bin->current)
				vm_slab_check(bin->current);
			check_partial(bin->partial);
			lock_release(&bin->lock);
		}
	}
}
