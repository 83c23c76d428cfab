/* SPDX-License-Identifier: MIT */
#include "alloc.h"

#include "boot.h"
#include "early.h"
#include "failure.h"
#include "large/clear.h"
#include "large/large.h"
#include "meta/footprint.h"
#include "os/fatal.h"
#include "os/lifeboat.h"
#include "os/os.h"
#include "small/bin.h"
#include "small/huge.h"
#include "small/pageheap.h"
#include "small/slab.h"
#include "small/transfer.h"
#include "thread/thread.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* Debug builds prove the heap at each so many misses: a proof takes as long as the heap is large. */
enum { MISSES_A_PROOF = 4096 };

static void prove_now_and_then(void)
{
	static _Atomic unsigned misses;
	if (atomic_fetch_add_explicit(&misses, 1, memory_order_relaxed) % MISSES_A_PROOF == 0) {
		vm_bins_check();
		vm_pageheap_check();
	}
}

/* So many misses of a cache between two looks at the clock: a small program never takes one. */
enum { MISSES_A_LOOK = 8 };

__thread uint32_t vm_hits_left = HITS_A_LOOK;

/* What comes into use in one place is paid for with what is free in all (footprint.h). */
static void pay_for_growth(uint64_t now_ms)
{
	size_t grown[FOOTPRINT_PARTS];
	size_t bytes = vm_footprint_growth(grown);
	if (bytes) {
		vm_pageheap_give_back_for(bytes, now_ms);
		vm_large_give_back_for(bytes, now_ms);
	}
	if (grown[FOOTPRINT_HEAP])
		vm_bins_give_back_for(grown[FOOTPRINT_HEAP], now_ms);
}

/* The work that comes due with time; cheap where none is. */
static void tick(struct tcache *cache)
{
	if (VM_DEBUG)
		prove_now_and_then();
	if (cache && vm_hits_left && ++cache->misses % MISSES_A_LOOK)
		return;
	vm_hits_left = HITS_A_LOOK;
	uint64_t now_ms = os_note_time();
	pay_for_growth(now_ms);
	if (cache)
		vm_tcache_collect(cache, now_ms);
	vm_lifeboat_tick(now_ms);
	vm_threads_tick(now_ms);
	vm_transfer_tick(now_ms);
	vm_bins_tick(now_ms);
	vm_pageheap_tick(now_ms);
	vm_large_tick(now_ms);
	if (vm_footprint_exceeded(now_ms)) {
		vm_pageheap_give_excess_back(now_ms);
		vm_large_give_excess_back(now_ms);
	}
}

void *vm_alloc_out_of_memory(size_t size)
{
	vm_failure_note(size);
	errno = ENOMEM;
	return NULL;
}

/* Small ------------------------------------------------------------------------------------- */

static void *alloc_small(unsigned class)
{
	struct tcache *cache = vm_thread_cache_to_alloc();
	void *block = NULL;
	if (!cache)
		vm_bin_fill(class, 0, &block, 1);
	else if (!tcache_pop(cache, class, &block))
		block = vm_tcache_refill_pop(cache, class);
	huge_make();
	tick(cache);
	return block;
}

static void free_small(unsigned class, void *block)
{
	struct tcache *cache = vm_thread_cache_to_free();
	if (!cache || !tcache_push(cache, class, block)) {
		os_note_time(); /* for slabs that become empty */
		if (cache)
			vm_tcache_flush_push(cache, class, block);
		else
			vm_bin_flush(class, &block, 1);
	}
	tick(cache);
}

bool vm_alloc_trim(size_t pad)
{
	if (!vm_boot())
		return false;
	struct tcache *cache = vm_thread_cache_to_free();
	if (cache)
		vm_tcache_trim(cache);
	vm_threads_trim();
	vm_transfer_trim();
	bool given_back = vm_bins_trim();
	given_back |= vm_pageheap_trim(pad);
	given_back |= vm_large_trim() > 0;
	return given_back;
}

/* Page runs and mapped blocks --------------------------------------------------------------- */

static void *alloc_run(size_t size, size_t alignment, size_t *dirty)
{
	bool zeroed = false;
	struct run *run = vm_run_alloc(max_size(pages_of(size), 1),
				       max_size(alignment >> PAGE_SHIFT, 1), &zeroed);
	large_tell_dirty(dirty, zeroed ? 0 : size);
	return run ? (void *)run->start : NULL;
}

/* The work that comes due with time, after an operation that may be one of many quick ones. */
static void tick_now_and_then(void)
{
	tick(tcache_is_own() ? vm_tcache : NULL);
}

/* Where this thread parks large blocks: caches lie a page or more apart. */
static unsigned parking_place(void)
{
	return (unsigned)((uintptr_t)vm_tcache >> PAGE_SHIFT);
}

/* The large block that was freed last, without a lock, where it is one like that; or NULL. */
static inline void *alloc_parked(size_t size, size_t alignment)
{
	if (!alloc_is_large(size, alignment))
		return NULL;
	void *block = vm_large_take_parked(max_size(size, 1), alignment, parking_place());
	if (block)
		tick_now_and_then();
	return block;
}

/* Each kind stands in for the other where the kernel or the budget of maps refuses it. */
void *vm_alloc_pages(size_t size, size_t alignment, size_t *dirty)
{
	bool large = alloc_is_large(size, alignment);
	size_t bytes = max_size(size, 1);
	void *block = large ? vm_large_alloc(bytes, alignment, dirty)
			    : alloc_run(size, alignment, dirty);
	if (!block)
		block = large ? alloc_run(size, alignment, dirty)
			      : vm_large_alloc(bytes, alignment, dirty);
	if (!block)
		block = vm_large_alloc_at_any_price(bytes, alignment, dirty);
	huge_make();
	tick(NULL);
	return block;
}

struct run *vm_alloc_used_run(const struct region *region, const void *block, const char *function)
{
	uintptr_t address = (uintptr_t)block;
	struct run *run = region_run(region, region_page(region, address));
	if (LIKELY(run && run->state == RUN_USED && run->start == address))
		return run;
	run = vm_run_holding(region, address);
	vm_misuse(!run || run->state == RUN_FREE ? MISUSE_FREED : MISUSE_INTERIOR, function, block);
}

/* What the kernel refused may be had from what is free in other forms: in caches, in slabs, in runs
 * too short. False: there is too little of it to try again. Whether the trim gave anything back does
 * not tell: what left the caches may have been purged on the way. */
static bool make_room(size_t size)
{
	if (size > vm_pageheap_bytes())
		return false;
	vm_alloc_trim(0);
	return true;
}

static NOINLINE COLD void *alloc_unbooted(size_t size, size_t alignment)
{
	if (!vm_is_booting())
		return vm_alloc_out_of_memory(size);
	void *block = vm_early_alloc(size, alignment);
	if (!block)
		errno = ENOMEM; /* and no word of the cause: what tells it has not started */
	return block;
}

void *vm_alloc_pages_or_trim(size_t size, size_t alignment, size_t *dirty)
{
	if (!vm_boot()) {
		large_tell_dirty(dirty, 0);
		return alloc_unbooted(size, alignment);
	}
	void *block = alloc_parked(size, alignment);
	if (block) {
		large_tell_dirty(dirty, size);
		return block;
	}
	block = vm_alloc_pages(size, alignment, dirty);
	if (!block && make_room(size))
		block = vm_alloc_pages(size, alignment, dirty);
	return block ? block : vm_alloc_out_of_memory(max_size(size, alignment));
}

/*
 * A block that would be mapped, out of freed memory that lies ready: of a block like it, or of small ones where a new
 * map would come on top of what the heap keeps (footprint.h; a compiler's front end has 52 MB at the peak instead of
 * 64). The latter not for calloc, which may be for a table of which little is used, nor for what realloc makes
 * longer, which the kernel does without a copy. What malloc had from the heap realloc lengthens there as far as free
 * memory goes, and then copies, once; so it is no longer than READY_MOST at first. NULL: there is none.
 */
#define READY_MOST (8 * MIB)
static void *alloc_ready(size_t size)
{
	void *block = vm_large_alloc_ready(size);
	struct run *run = block || size > READY_MOST ? NULL : vm_run_alloc_ready(pages_of(size));
	if (run)
		block = (void *)run->start;
	if (block) {
		huge_make();
		tick(NULL);
	}
	return block;
}

/* Any class, by the kind of block ------------------------------------------------------------ */

void *vm_alloc_any(size_t size)
{
	void *block = NULL;
	if (alloc_is_large(size, 1))
		block = alloc_ready(size);
	else if (size <= SMALL_MOST)
		block = alloc_small(class_of_size(size));
	return block || size <= SLOT_MOST ? block : vm_alloc_pages(size, 1, NULL);
}

static NOINLINE void *alloc_any_or_trim(size_t size)
{
	if (size > PTRDIFF_MAX)
		return vm_alloc_out_of_memory(size);
	if (!vm_boot()) /* as aligned as a slot of that size */
		return alloc_unbooted(size, min_size(size & -size, PAGE_BYTES));
	void *block = vm_alloc_any(size);
	if (!block && make_room(size))
		block = vm_alloc_any(size);
	return block ? block : vm_alloc_out_of_memory(size);
}

void *vm_malloc_miss(size_t size)
{
	void *block = alloc_parked(size, 1) ?: alloc_any_or_trim(size);
	if (VM_DEBUG && block)
		vm_debug_allocated(block, size);
	return block;
}

static void free_any(void *block)
{
	if (UNLIKELY(early_holds(block)))
		return;
	const struct region *region = region_of(block);
	if (region) {
		unsigned class = region_class(region, region_page(region, (uintptr_t)block));
		if (class) {
			free_small(class, block);
			return;
		}
		vm_run_free(vm_alloc_used_run(region, block, "free"));
	} else if (!vm_large_free(block)) {
		vm_misuse(vm_large_classify(block), "free", block);
	}
	tick(NULL);
}

static NOINLINE void free_keeping_errno(void *block)
{
	int saved = errno;
	free_any(block);
	errno = saved;
}

/* Without a lock: a small block of another region than the first, a large one to be parked. */
static bool free_quickly(void *block)
{
	const struct region *region = region_of(block);
	if (!region)
		return vm_large_park(block, parking_place());
	unsigned class = region_class(region, region_page(region, (uintptr_t)block));
	return tcache_push(vm_tcache, class, block);
}

void vm_free_miss(void *block)
{
	if (block && !free_quickly(block))
		free_keeping_errno(block);
}

/* Without the lock of the bin: the bit of a block that the caller owns does not change meanwhile. */
static inline void prove_taken(const struct run *slab, const void *block, const char *function)
{
	enum slot_state state = slab_slot_state(slab, block);
	if (UNLIKELY(state != SLOT_TAKEN))
		vm_misuse(slab_misuse(state), function, block);
}

/* Only up to SLOT_MOST: in larger blocks the patterns would touch pages that the program did not. */
void vm_debug_allocated(void *block, size_t size)
{
	if (size <= SLOT_MOST)
		memset(block, 0xAA, size);
}

void vm_debug_freed(void *block)
{
	const struct region *region = region_of(block);
	if (!region)
		return;
	size_t page = region_page(region, (uintptr_t)block);
	unsigned class = region_class(region, page);
	if (!class)
		return;
	prove_taken(region_run(region, page), block, "free");
	if (vm_classes[class].bytes <= SLOT_MOST)
		memset(block, 0x55, vm_classes[class].bytes);
}

size_t vm_alloc_usable_size(const void *block, const char *function)
{
	const struct region *region = region_of(block);
	if (!region) {
		size_t bytes = early_holds(block) ? vm_early_usable_size(block)
						  : vm_large_usable_size(block);
		if (!bytes)
			vm_misuse(vm_large_classify(block), function, block);
		return bytes;
	}
	size_t page = region_page(region, (uintptr_t)block);
	unsigned class = region_class(region, page);
	if (!class)
		return (size_t)vm_alloc_used_run(region, block, function)->pages << PAGE_SHIFT;
	prove_taken(region_run(region, page), block, function);
	return vm_classes[class].bytes;
}

/* A block that has a slab to itself: as aligned as its pages, and as clean. NULL: there is none of
 * that size, or the kernel refuses. */
static void *alloc_single(size_t size, size_t alignment, bool *zeroed)
{
	if (size > SMALL_MOST || alloc_is_large(size, alignment) || !vm_boot())
		return NULL;
	unsigned class = class_of_size(size);
	if (vm_classes[class].slots > 1)
		return NULL;
	struct tcache *cache = vm_thread_cache_to_alloc();
	if (!cache)
		return NULL;
	void *block = tcache_top(cache, class);
	if (block && !((uintptr_t)block & (alignment - 1)) && tcache_pop(cache, class, &block)) {
		*zeroed = false;
	} else {
		vm_tcache_note_refill(cache, class);
		block = vm_bin_new_single(class, cache->shard, alignment, zeroed);
		tick(cache);
	}
	return block;
}

static NOINLINE void *alloc_zeroed_pages(size_t bytes)
{
	bool zeroed;
	void *block = alloc_single(bytes, 1, &zeroed);
	if (block)
		return zeroed ? block : vm_clear(block, bytes);
	size_t dirty;
	block = vm_alloc_pages_or_trim(bytes, 1, &dirty);
	return block && dirty ? vm_clear(block, min_size(dirty, bytes)) : block;
}

void *vm_alloc_zeroed(size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX)
		return vm_alloc_out_of_memory(SIZE_MAX);
	if (bytes > SLOT_MOST)
		return alloc_zeroed_pages(bytes);
	void *block = alloc_malloc(bytes);
	return block ? memset(block, 0, bytes) : NULL;
}

static NOINLINE void *alloc_aligned_pages(size_t alignment, size_t size)
{
	bool zeroed;
	void *block = alloc_single(size, alignment, &zeroed);
	return block ? block : vm_alloc_pages_or_trim(size, alignment, NULL);
}

void *vm_alloc_aligned_miss(size_t alignment, size_t size)
{
	size_t rounded = alloc_aligned_size(alignment, size);
	if (rounded)
		return vm_malloc_miss(rounded);
	if (size > PTRDIFF_MAX || alignment > PTRDIFF_MAX)
		return vm_alloc_out_of_memory(max_size(size, alignment));
	return alloc_aligned_pages(alignment, size);
}

void *vm_alloc_aligned(size_t alignment, size_t size)
{
	void *block;
	return LIKELY(alloc_aligned_hit(alignment, size, &block))
		       ? block
		       : vm_alloc_aligned_miss(alignment, size);
}
