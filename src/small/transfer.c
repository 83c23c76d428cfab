/* SPDX-License-Identifier: MIT */
#include "small/transfer.h"

#include "base/sizeclass.h"
#include "meta/footprint.h"
#include "meta/meta.h"
#include "os/conf.h"
#include "os/lock.h"
#include "small/bin.h"

#include <stdatomic.h>
#include <string.h>

/* What a thread sees without the lock. It may be out of date: then a batch comes from the slabs, or goes there. */
enum hint { ASK, EMPTY, FULL };

struct stack {
	struct lock lock;
	uint32_t count;
	uint32_t room;    /* blocks that `blocks` holds */
	uint32_t lowest;  /* of `count` since the last tick: so many were not needed */
	uint32_t highest; /* of it since then */
	bool missed;      /* a get found too few since the room last changed */
	_Atomic uint8_t hint;
	void **blocks;
} ALIGNED_TO_LINE;

static struct stack (*stacks)[CLASS_COUNT]; /* a class has one */
static _Atomic uint64_t next_tick_ms;
static _Atomic size_t all_room_bytes; /* of all stacks, beyond their first rooms */

/* Room of a stack in bytes of blocks, at first and at most, and in blocks at most. */
#define FIRST_BYTES (64 * KIB)
#define MOST_BYTES (1 * MIB)
enum { LEAST_BLOCKS = 1, MOST_BLOCKS = 8192, DRAIN_BATCH = 64 };

/*
 * A stack grows as long as all have no more than so much and a sixteenth of the heap beyond their first rooms: those
 * are any class's own. (8 threads that fill 80 MB and free it, each time with other sizes: 128 MB instead of 145, in
 * 0.95 of the time. With 4 MiB 124 MB, but 10 sizes of 4 to 18 KB of which 60 each are made and then freed, again and
 * again, take 1.4 times as long; November 2026.)
 */
#define ALL_ROOM_BYTES (8 * MIB)

bool vm_transfer_init(void)
{
	stacks = vm_meta_alloc(sizeof *stacks);
	if (!stacks)
		return false;
	for (unsigned class = 0; class < CLASS_COUNT; class++)
		(*stacks)[class] = (struct stack){.lock = LOCK_INIT(RANK_TRANSFER)};
	return true;
}

static uint32_t room_for(unsigned class, size_t bytes)
{
	return (uint32_t)clamp_size(bytes / vm_classes[class].bytes, LEAST_BLOCKS, MOST_BLOCKS);
}

static size_t bytes_of(unsigned class, size_t blocks)
{
	return blocks * vm_classes[class].bytes;
}

/* Without memory for it the stack stays as it is. */
static void set_room(struct stack *stack, unsigned class, uint32_t room)
{
	void **blocks = vm_meta_alloc(room * sizeof blocks[0]);
	if (!blocks)
		return;
	if (stack->count)
		memcpy(blocks, stack->blocks, stack->count * sizeof blocks[0]);
	vm_meta_free(stack->blocks, stack->room * sizeof blocks[0]);
	if (stack->room)
		atomic_fetch_add_explicit(&all_room_bytes, bytes_of(class, room) - bytes_of(class, stack->room),
					  memory_order_relaxed);
	stack->blocks = blocks;
	stack->room = room;
	stack->missed = false;
}

/* The room for a put that does not fit: what there is, if that may not grow. */
static uint32_t next_room(const struct stack *stack, unsigned class)
{
	if (!stack->room)
		return room_for(class, FIRST_BYTES);
	if (!stack->missed ||
	    atomic_load_explicit(&all_room_bytes, memory_order_relaxed) + bytes_of(class, stack->room) >
		    ALL_ROOM_BYTES + vm_footprint_live(FOOTPRINT_HEAP) / 16)
		return stack->room;
	return (uint32_t)min_size(2 * stack->room, room_for(class, MOST_BYTES));
}

static void grow(struct stack *stack, unsigned class)
{
	uint32_t room = next_room(stack, class);
	if (room > stack->room)
		set_room(stack, class, room);
}

/* Halves the room of which no more than a quarter was in use since the last tick. */
static void shrink(struct stack *stack, unsigned class)
{
	uint32_t room = stack->room / 2;
	if (room >= room_for(class, FIRST_BYTES) && stack->highest <= room / 2)
		set_room(stack, class, room);
}

static bool hints(const struct stack *stack, enum hint hint)
{
	return atomic_load_explicit(&stack->hint, memory_order_relaxed) == hint;
}

static void release(struct stack *stack, unsigned class)
{
	enum hint hint = ASK;
	if (!stack->count && stack->missed)
		hint = EMPTY;
	else if (stack->count == stack->room && next_room(stack, class) == stack->room)
		hint = FULL;
	atomic_store_explicit(&stack->hint, hint, memory_order_relaxed);
	lock_release(&stack->lock);
}

/* The callers move blocks at the top. */
static size_t pop(struct stack *stack, void **blocks, size_t count)
{
	count = min_size(count, stack->count);
	stack->count -= (uint32_t)count;
	if (count)
		memcpy(blocks, stack->blocks + stack->count, count * sizeof blocks[0]);
	stack->lowest = (uint32_t)min_size(stack->lowest, stack->count);
	return count;
}

size_t vm_transfer_get(unsigned class, void **blocks, size_t count)
{
	struct stack *stack = &(*stacks)[class];
	if (hints(stack, EMPTY))
		return 0;
	lock_take(&stack->lock);
	stack->missed |= stack->count < count;
	count = pop(stack, blocks, count);
	release(stack, class);
	return count;
}

size_t vm_transfer_put(unsigned class, void *const *blocks, size_t count)
{
	struct stack *stack = &(*stacks)[class];
	if (hints(stack, FULL))
		return 0;
	lock_take(&stack->lock);
	if (stack->room - stack->count < count)
		grow(stack, class);
	size_t moved = min_size(count, stack->room - stack->count);
	if (moved)
		memcpy(stack->blocks + stack->count, blocks + (count - moved),
		       moved * sizeof blocks[0]);
	stack->count += (uint32_t)moved;
	stack->highest = (uint32_t)max_size(stack->highest, stack->count);
	release(stack, class);
	return moved;
}

/* Returns `count` blocks of a stack to the slabs, fewer if they have gone meanwhile. */
static void drain(struct stack *stack, unsigned class, size_t count)
{
	while (count) {
		void *blocks[DRAIN_BATCH];
		lock_take(&stack->lock);
		size_t taken = pop(stack, blocks, min_size(count, DRAIN_BATCH));
		release(stack, class);
		if (!taken)
			return;
		vm_bin_flush(class, blocks, taken);
		count -= taken;
	}
}

void vm_transfer_tick(uint64_t now_ms)
{
	uint64_t due_ms = atomic_load_explicit(&next_tick_ms, memory_order_relaxed);
	if (now_ms < due_ms ||
	    !atomic_compare_exchange_strong_explicit(&next_tick_ms, &due_ms,
						     now_ms + vm_options.decay_ms + 1,
						     memory_order_relaxed, memory_order_relaxed))
		return;
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		struct stack *stack = &(*stacks)[class];
		lock_take(&stack->lock);
		size_t unused = stack->lowest;
		lock_release(&stack->lock);
		drain(stack, class, unused);
		lock_take(&stack->lock);
		shrink(stack, class);
		stack->lowest = stack->count;
		stack->highest = stack->count;
		release(stack, class);
	}
}

void vm_transfer_trim(void)
{
	for (unsigned class = 1; class < CLASS_COUNT; class++)
		drain(&(*stacks)[class], class, MOST_BLOCKS);
}

size_t vm_transfer_cached(void)
{
	size_t bytes = 0;
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		lock_take(&(*stacks)[class].lock);
		bytes += bytes_of(class, (*stacks)[class].count);
		lock_release(&(*stacks)[class].lock);
	}
	return bytes;
}

void vm_transfer_lock_for_fork(void)
{
	for (unsigned class = 1; class < CLASS_COUNT; class++)
		vm_lock_take_for_fork(&(*stacks)[class].lock);
}

void vm_transfer_unlock_after_fork(void)
{
	for (unsigned class = 1; class < CLASS_COUNT; class++)
		vm_lock_release_after_fork(&(*stacks)[class].lock);
}
