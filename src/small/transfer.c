/* SPDX-License-Identifier: MIT */
#include "small/transfer.h"

#include "base/sizeclass.h"
#include "meta/meta.h"
#include "os/conf.h"
#include "os/lock.h"
#include "small/bin.h"

#include <string.h>

struct stack {
	struct lock lock;
	uint32_t count;
	uint32_t room;   /* blocks that `blocks` holds */
	uint32_t lowest; /* of `count` since the last tick: so many were not needed */
	bool missed;     /* a get found too few since the last growth */
	void **blocks;
} ALIGNED_TO_LINE;

static struct stack (*stacks)[CLASS_COUNT]; /* a class has one */
static _Atomic uint64_t next_tick_ms;

/* Room of a stack in bytes of blocks, at first and at most, and in blocks at most. */
#define FIRST_BYTES (64 * KIB)
#define MOST_BYTES (1 * MIB)
enum { LEAST_BLOCKS = 1, MOST_BLOCKS = 8192, DRAIN_BATCH = 64 };

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

/* Without memory for it the stack stays as it is. */
static void set_room(struct stack *stack, uint32_t room)
{
	void **blocks = vm_meta_alloc(room * sizeof blocks[0]);
	if (!blocks)
		return;
	if (stack->count)
		memcpy(blocks, stack->blocks, stack->count * sizeof blocks[0]);
	vm_meta_free(stack->blocks, stack->room * sizeof blocks[0]);
	stack->blocks = blocks;
	stack->room = room;
	stack->missed = false;
}

static void grow(struct stack *stack, unsigned class)
{
	uint32_t most = room_for(class, MOST_BYTES);
	if (!stack->room)
		set_room(stack, room_for(class, FIRST_BYTES));
	else if (stack->missed && stack->room < most)
		set_room(stack, (uint32_t)min_size(2 * stack->room, most));
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
	lock_take(&stack->lock);
	stack->missed |= stack->count < count;
	count = pop(stack, blocks, count);
	lock_release(&stack->lock);
	return count;
}

size_t vm_transfer_put(unsigned class, void *const *blocks, size_t count)
{
	struct stack *stack = &(*stacks)[class];
	lock_take(&stack->lock);
	if (stack->room - stack->count < count)
		grow(stack, class);
	size_t moved = min_size(count, stack->room - stack->count);
	if (moved)
		memcpy(stack->blocks + stack->count, blocks + (count - moved),
		       moved * sizeof blocks[0]);
	stack->count += (uint32_t)moved;
	lock_release(&stack->lock);
	return moved;
}

/* Returns `count` blocks of a stack to the slabs, fewer if they have gone meanwhile. */
static void drain(struct stack *stack, unsigned class, size_t count)
{
	while (count) {
		void *blocks[DRAIN_BATCH];
		lock_take(&stack->lock);
		size_t taken = pop(stack, blocks, min_size(count, DRAIN_BATCH));
		lock_release(&stack->lock);
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
		stack->lowest = stack->count;
		lock_release(&stack->lock);
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
		bytes += (*stacks)[class].count * (size_t)vm_classes[class].bytes;
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
