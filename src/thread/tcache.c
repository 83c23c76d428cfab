/* SPDX-License-Identifier: MIT */
#include "thread/tcache.h"

#include "base/check.h"
#include "meta/footprint.h"
#include "meta/meta.h"
#include "os/conf.h"
#include "os/lock.h"
#include "os/os.h"
#include "small/bin.h"
#include "small/transfer.h"

#include <stdatomic.h>
#include <string.h>

const struct tcache vm_tcache_none;
const struct tcache vm_tcache_exited;

__thread struct tcache *vm_tcache = (struct tcache *)&vm_tcache_none;

/* The room of a stack, in bytes of its blocks: at first, at most, at most where it swings, and where the thread is
 * alone and it swings often. */
#define FIRST_BYTES (2 * KIB)
#define MOST_BYTES (32 * KIB)
#define SWING_BYTES (256 * KIB)
#define OFTEN_BYTES (1 * MIB)
enum { FIRST_LEAST = 2, FIRST_MOST = 8, MOST_LEAST = 4, MOST_BLOCKS = 4096, OFTEN_BLOCKS = 4 * MOST_BLOCKS };

/*
 * A stack swings where its misses come in rows of the same kind: many blocks are taken, then many
 * freed, and more room saves most of the misses. About a level the kinds follow each other at
 * random, misses are rare, and more room only spreads what is in use over more memory.
 */
enum { SWING_ROW = 4, SWINGS = 4, LONG_ROW = 16 };

/*
 * A thread that is alone has no transfer cache for small blocks, nor room for swings that are rare: a block of up to
 * 1 KiB that goes through its slab costs 1 to 3 ns more, but comes in order of address, and what comes in the order in
 * which it was freed is slower to use as long as it lives. (29 programs of one thread: 0.99 of the time and 0.98 of
 * the peak; tables that are joined 0.87 to 0.95 of the time, DOM trees 0.90 to 0.94.) Only a stack of small blocks that
 * swings so often, of which each collection forgets half, and no further than SPAN_BYTES, has room for it: those do
 * not live long. (Batches of 10,000: half of the time. Batches of 1 to 4 MiB of blocks of 128 B to 32 KiB take 1.4 to
 * 3.5 times as long where no swing may exceed 1 MiB; November 2026.) Two misses in a row will do: what happens so
 * often is no chance.
 */
enum { SWING_ROW_ALONE = 2, SWINGS_OFTEN = 32, SPAN_MOST = UINT8_MAX };
#define SPAN_BYTES (4 * MIB)
#define SPAN_UNIT (SPAN_BYTES / (SPAN_MOST + 1))

/* Enough to amortise a lock for threads that only allocate or only free; beyond MOST_BYTES as long as
 * all stacks of the cache have room for less than so many bytes. Misses there come in long rows for every
 * class, so that each would take the most. (2 threads that pass blocks of 16 B to 2 KB to 2 others: 7.5 MB
 * instead of 10.3, in the same time.) */
enum { ONE_WAY = 128 };
#define ONE_WAY_BYTES (384 * KIB)

/* Blocks with a slab each, 40 KiB to 1 MiB, stay in a cache that they missed so often of late: the former
 * tables of a table that grows are of no use there. (emacs, 200,000 hashed strings: 66 MB instead of 72; what
 * g++ asked for, in 20 ms: 10.1 MB instead of 11.3 with 6 misses.) So do those above 1 KiB, sooner: a thread
 * that made a few of them and waits would keep half of its memory in them. (1,000 that used ten classes
 * three times: 15.1 KiB each instead of 17.2.) */
enum { SINGLE_MISSES_TO_STAY = 32, MISSES_TO_STAY = 8 };

/*
 * Room of a kind: of so much and an eighth of the heap a cache leaves the others as much, if it `counts`; some it may
 * have in any case. (4 threads that pass on blocks of 32 to 432 B, 4,096 each at most: a peak of 6 MB instead of 17
 * without a bound, in the same time. What node asked for: 138 MB instead of 141 with half of the heap. gawk with
 * strings that grow: 43 MB instead of 46 without it for blocks with a slab each. 32 threads with live sets of 16 B to 4
 * KiB: 0.81 of the peak that they have with 512 KiB of their own, in 1.00 to 1.02 of the time; November 2026.)
 */
#define ALL_ROOM_BYTES (2 * MIB)
static const size_t own_room_bytes[ROOM_KINDS] = {[ROOM_SHARED] = 128 * KIB, [ROOM_SINGLE] = 512 * KIB};

/* All caches' room_bytes, as far as they count (tcache.pml). */
static _Atomic size_t all_room_bytes[ROOM_KINDS];

static enum room_kind kind_of(unsigned class)
{
	return vm_classes[class].slots > 1 ? ROOM_SHARED : ROOM_SINGLE;
}

static size_t sum_of_kinds(const size_t bytes[ROOM_KINDS])
{
	size_t sum = 0;
	for (int kind = 0; kind < ROOM_KINDS; kind++)
		sum += bytes[kind];
	return sum;
}

static void read_all_room(size_t bytes[ROOM_KINDS])
{
	for (int kind = 0; kind < ROOM_KINDS; kind++)
		bytes[kind] = atomic_load_explicit(&all_room_bytes[kind], memory_order_relaxed);
}

static size_t stack_room(const struct cache_stack *stack)
{
	return (size_t)(stack->ceiling - stack->floor);
}

static size_t stack_count(const struct cache_stack *stack)
{
	return (size_t)(stack->top - stack->floor);
}

/* What any cache may have, which does not count; none of blocks that have a slab each. */
static size_t first_room(unsigned class)
{
	return kind_of(class) == ROOM_SINGLE
		       ? 0
		       : clamp_size(FIRST_BYTES / vm_classes[class].bytes, FIRST_LEAST, FIRST_MOST);
}

/* The most room of a stack, which with threads depends on whether it swings. */
static size_t room_for(const struct cache_stack *stack, unsigned class, bool swings)
{
	size_t bytes = MOST_BYTES;
	size_t blocks = MOST_BLOCKS;
	if (!lock_is_alone()) {
		bytes = swings ? SWING_BYTES : MOST_BYTES;
	} else if (stack->swings >= SWINGS_OFTEN && kind_of(class) == ROOM_SHARED) {
		bytes = OFTEN_BYTES;
		blocks = OFTEN_BLOCKS;
	}
	return clamp_size(bytes / vm_classes[class].bytes, MOST_LEAST, blocks);
}

static size_t most_room(const struct tcache *cache, unsigned class)
{
	const struct cache_stack *stack = &cache->stacks[class];
	bool both_ways = stack->refills && stack->flushes;
	bool swings = (stack->swings >= SWINGS || stack->row >= LONG_ROW) &&
		      (both_ways || sum_of_kinds(cache->room_bytes) < ONE_WAY_BYTES);
	size_t most = room_for(stack, class, swings);
	return both_ways ? most : min_size(most, ONE_WAY);
}

static bool uses_transfer(unsigned class)
{
	return !lock_is_alone() || kind_of(class) == ROOM_SINGLE;
}

static unsigned misses_to_stay(unsigned class)
{
	if (kind_of(class) == ROOM_SINGLE)
		return SINGLE_MISSES_TO_STAY;
	return vm_classes[class].bytes > KIB ? MISSES_TO_STAY : 0;
}

struct tcache *vm_tcache_new(unsigned shard)
{
	struct tcache *cache = vm_meta_alloc(sizeof *cache);
	if (!cache)
		return NULL;
	*cache = (struct tcache){.shard = shard, .counts_all = !lock_is_alone()};
	return cache;
}

static size_t counted_room(unsigned class, size_t room)
{
	return (room - min_size(room, first_room(class))) * vm_classes[class].bytes;
}

/*
 * As long as a thread is alone it takes all the room for small blocks that there is, and leaves none, which nobody
 * misses. (Batches of 10,000 blocks of 16 B to 1 KiB: 0.67 of the time that they take with half of it. With that of
 * blocks that have a slab each, too, DOM trees have 1.05 of the peak; November 2026.)
 */
static bool counts(const struct tcache *cache, enum room_kind kind)
{
	return cache->counts_all || kind == ROOM_SINGLE;
}

static void change_room(struct tcache *cache, unsigned class, size_t from, size_t to)
{
	size_t bytes = counted_room(class, to) - counted_room(class, from);
	enum room_kind kind = kind_of(class);
	cache->room_bytes[kind] += bytes;
	if (counts(cache, kind))
		atomic_fetch_add_explicit(&all_room_bytes[kind], bytes, memory_order_relaxed);
}

/* A stack of `room` with the same blocks, which it can hold. False: no memory, the old one stays. */
static bool set_room(struct tcache *cache, unsigned class, size_t room)
{
	struct cache_stack *stack = &cache->stacks[class];
	size_t old_room = stack_room(stack);
	size_t count = stack_count(stack);
	void **floor = NULL;
	if (room && !(floor = vm_meta_alloc(room * sizeof floor[0])))
		return false;
	if (count)
		memcpy(floor, stack->floor, count * sizeof floor[0]);
	vm_meta_free(stack->floor, old_room * sizeof floor[0]);
	stack->floor = floor;
	stack->top = floor + count;
	stack->ceiling = floor + room;
	change_room(cache, class, old_room, room);
	return true;
}

/* So many more bytes for a cache. What counts leaves the others as much, of what the options and the heap allow:
 * a few that take what they can get would leave nothing for the next. */
static bool may_have(const struct tcache *cache, enum room_kind kind, size_t bytes)
{
	size_t all[ROOM_KINDS];
	read_all_room(all);
	if (counts(cache, kind))
		all[kind] += bytes;
	size_t own = sum_of_kinds(cache->room_bytes) + bytes;
	if (own > vm_options.thread_cache_bytes || sum_of_kinds(all) + own > vm_options.cache_bytes)
		return false;
	size_t own_of_kind = cache->room_bytes[kind] + bytes;
	size_t most = vm_footprint_live(FOOTPRINT_HEAP) / 8 + ALL_ROOM_BYTES;
	return own_of_kind <= own_room_bytes[kind] || all[kind] + own_of_kind <= most;
}

/* Doubles the room of a stack where its misses and the options allow it. */
static bool grow(struct tcache *cache, unsigned class)
{
	struct cache_stack *stack = &cache->stacks[class];
	size_t room = stack_room(stack);
	enum room_kind kind = kind_of(class);
	if (stack->refills + stack->flushes < misses_to_stay(class))
		return false;
	if (!room && first_room(class))
		return set_room(cache, class, first_room(class));
	size_t most = most_room(cache, class);
	size_t more = min_size(room ? 2 * room : 1, most) - min_size(room, most);
	return more && may_have(cache, kind, more * vm_classes[class].bytes) &&
	       set_room(cache, class, room + more);
}

/* Returns the `count` oldest blocks: to the transfer cache, as far as it takes them, if that is to have them. */
static void flush_oldest(struct cache_stack *stack, unsigned class, size_t count, bool may_transfer)
{
	if (!count)
		return;
	size_t left = count;
	if (may_transfer && uses_transfer(class))
		left -= vm_transfer_put(class, stack->floor, count);
	if (left)
		vm_bin_flush(class, stack->floor, left);
	size_t kept = stack_count(stack) - count;
	memmove(stack->floor, stack->floor + count, kept * sizeof stack->floor[0]);
	stack->top = stack->floor + kept;
}

/* From a row of misses of one kind to one of the other. */
static void turn(struct cache_stack *stack, bool flush)
{
	if (stack->row >= (lock_is_alone() ? SWING_ROW_ALONE : SWING_ROW))
		stack->swings += stack->swings < (lock_is_alone() ? SWINGS_OFTEN : SWINGS);
	else
		stack->swings -= stack->swings > 0;
	stack->flushed = flush;
	stack->row = 0;
	stack->span = 0;
}

static void count_span(struct cache_stack *stack, unsigned class)
{
	size_t moved = stack_room(stack) / 2 * vm_classes[class].bytes;
	stack->span = (uint8_t)min_size(stack->span + (moved + SPAN_UNIT / 2) / SPAN_UNIT, SPAN_MOST);
	if (stack->span == SPAN_MOST)
		stack->swings = 0;
}

static void begin_to_leave_room(struct tcache *cache)
{
	os_note_time(); /* for slabs that become empty: the last miss may be long ago */
	vm_tcache_trim(cache);
	cache->counts_all = true;
}

static void count_miss(struct tcache *cache, unsigned class, bool flush)
{
	struct cache_stack *stack = &cache->stacks[class];
	if (UNLIKELY(!cache->counts_all && !lock_is_alone()))
		begin_to_leave_room(cache);
	uint16_t *counter = flush ? &stack->flushes : &stack->refills;
	*counter += *counter < UINT16_MAX;
	if (stack->flushed != flush)
		turn(stack, flush);
	stack->row += stack->row < LONG_ROW;
	if (lock_is_alone())
		count_span(stack, class);
}

void vm_tcache_flush_push(struct tcache *cache, unsigned class, void *block)
{
	struct cache_stack *stack = &cache->stacks[class];
	count_miss(cache, class, true);
	if (!grow(cache, class)) {
		if (!stack_room(stack)) {
			vm_bin_flush(class, &block, 1);
			return;
		}
		flush_oldest(stack, class, (stack_room(stack) + 1) / 2, true);
	}
	*stack->top++ = block;
}

void *vm_tcache_refill_pop(struct tcache *cache, unsigned class)
{
	struct cache_stack *stack = &cache->stacks[class];
	count_miss(cache, class, false);
	if (!stack_room(stack) || stack->refills > 1)
		grow(cache, class);
	/* One at first, and after a collection: the thread may never want another. (1,000 that used ten
	 * classes once: 17.2 KiB of memory each instead of 19.5.) Not from the transfer cache, where the
	 * next thread would find what lies in the same line. */
	size_t wanted = stack->refills > 1 ? stack_room(stack) / 2 : 0;
	void *single;
	void **blocks = wanted ? stack->floor : &single;
	size_t count = wanted && uses_transfer(class) ? vm_transfer_get(class, blocks, wanted) : 0;
	if (!count)
		count = vm_bin_fill(class, cache->shard, blocks, max_size(wanted, 1));
	if (!count)
		return NULL;
	if (blocks == stack->floor)
		stack->top = blocks + count - 1;
	return blocks[count - 1];
}

void vm_tcache_note_refill(struct tcache *cache, unsigned class)
{
	count_miss(cache, class, false);
}

/* Takes back the room that a stack had for swings, if they are over. */
static void shrink(struct tcache *cache, unsigned class)
{
	struct cache_stack *stack = &cache->stacks[class];
	size_t room = room_for(stack, class, stack->swings || stack->row >= LONG_ROW);
	if (stack_room(stack) <= room)
		return;
	if (stack_count(stack) > room / 2)
		flush_oldest(stack, class, stack_count(stack) - room / 2, true);
	set_room(cache, class, room);
}

void vm_tcache_collect(struct tcache *cache, uint64_t now_ms)
{
	if (now_ms < cache->collect_ms)
		return;
	cache->collect_ms = now_ms + 2 * vm_options.decay_ms + 1;
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		struct cache_stack *stack = &cache->stacks[class];
		if (!stack->refills && !stack->flushes && stack_room(stack)) {
			flush_oldest(stack, class, (stack_count(stack) + 1) / 2, true);
			if (!stack_count(stack))
				set_room(cache, class, 0);
		} else {
			shrink(cache, class);
		}
		if (lock_is_alone())
			stack->swings /= 2;
		stack->refills = 0;
		stack->flushes = 0;
	}
}

void vm_tcache_trim(struct tcache *cache)
{
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		struct cache_stack *stack = &cache->stacks[class];
		flush_oldest(stack, class, stack_count(stack), false);
		set_room(cache, class, 0);
		stack->swings = 0;
	}
}

void vm_tcache_delete(struct tcache *cache)
{
	vm_tcache_trim(cache);
	vm_meta_free(cache, sizeof *cache);
}

void vm_tcache_forget_room(void)
{
	for (int kind = 0; kind < ROOM_KINDS; kind++)
		atomic_store_explicit(&all_room_bytes[kind], 0, memory_order_relaxed);
}

void vm_tcache_count_room(const struct tcache *cache)
{
	for (int kind = 0; kind < ROOM_KINDS; kind++)
		if (counts(cache, kind))
			atomic_fetch_add_explicit(&all_room_bytes[kind], cache->room_bytes[kind], memory_order_relaxed);
}

size_t vm_tcache_cached(const struct tcache *cache)
{
	size_t bytes = 0;
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		size_t count = stack_count(&cache->stacks[class]);
		if (count <= OFTEN_BLOCKS) /* else its thread is changing the stack right now */
			bytes += count * vm_classes[class].bytes;
	}
	return bytes;
}
