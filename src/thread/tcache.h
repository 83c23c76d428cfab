/* SPDX-License-Identifier: MIT */
/*
 * tcache.h - the thread cache: for each size class a stack of pointers to free blocks.
 *
 *      ceiling -> |         |   top == ceiling: full, a free flushes the older half
 *          top -> |         |   next free block goes here
 *                 | block   |   next malloc takes this
 *                 | ...     |
 *        floor -> | block   |   top == floor: empty, a malloc refills
 *
 * Only its thread touches a cache, as long as it has one, and never a block in it. A thread without
 * a cache - it has not allocated yet, or it is exiting - sees a constant one whose stacks are both
 * empty and full, so every operation is a miss and a hit needs no test for it. The same holds for
 * class 0.
 *
 * A stack starts small and doubles at its misses, as long as the cache's and all caches' bytes are
 * within the options; to how much, tcache.c tells. Stacks that had no miss since the last collection
 * give half of their blocks back.
 */
#ifndef VM_TCACHE_H
#define VM_TCACHE_H

#include "base/list.h"
#include "base/sizeclass.h"

#include <vmalloc.h>

struct cache_stack {
	void **top;
	void **floor;
	void **ceiling;
	uint16_t refills; /* since the last collection, up to the greatest number */
	uint16_t flushes;
	bool flushed;   /* the last miss was a flush */
	uint8_t row;    /* so many misses of its kind came in a row, up to LONG_ROW */
	uint8_t span;   /* and, of a thread that is alone, moved so many units of blocks, up to SPAN_MOST */
	uint8_t swings; /* one up at the end of a row that is a swing, one down at that of a shorter one (tcache.c) */
};

/* Blocks that share slabs, and blocks with a slab each: the larger leave the others their room. */
enum room_kind { ROOM_SHARED, ROOM_SINGLE, ROOM_KINDS };

struct tcache {
	struct cache_stack stacks[CLASS_COUNT];
	struct list link;     /* of those in use, or of those that were left (thread.c) */
	uint64_t collect_ms;  /* when idle stacks are looked for next */
	uint64_t goes_ms;     /* of one that was left: when it is deleted */
	size_t left_bytes;    /* and what is in it */
	uint32_t misses;      /* by which alloc.c paces the work that comes due with time */
	size_t room_bytes[ROOM_KINDS]; /* what the stacks have room for, beyond first ones, which counts */
	bool counts_all;               /* that for small blocks, too: there were threads at a miss (tcache.c) */
	unsigned shard;
	struct vm_failure failure; /* the thread's last (failure.c) */
};

/* What a thread sees that has no cache: not yet, no more. */
extern const struct tcache vm_tcache_none;
extern const struct tcache vm_tcache_exited;

/* The cache of this thread. */
extern __thread struct tcache *vm_tcache HIDDEN __attribute__((tls_model("initial-exec")));

/* Whether this thread has a cache of its own. */
static inline bool tcache_is_own(void)
{
	return vm_tcache != &vm_tcache_none && vm_tcache != &vm_tcache_exited;
}

/* Takes a block of the class; false where the stack is empty. */
static ALWAYS_INLINE inline bool tcache_pop(struct tcache *cache, size_t class, void **block)
{
	struct cache_stack *stack = &cache->stacks[class];
	void **top = stack->top;
	if (UNLIKELY(top == stack->floor))
		return false;
	stack->top = top - 1;
	*block = top[-1];
	return true;
}

/* The block that tcache_pop would take, or NULL. */
static inline void *tcache_top(const struct tcache *cache, size_t class)
{
	const struct cache_stack *stack = &cache->stacks[class];
	return stack->top == stack->floor ? NULL : stack->top[-1];
}

/* Keeps a block of the class; false where the stack is full. */
static ALWAYS_INLINE inline bool tcache_push(struct tcache *cache, size_t class, void *block)
{
	struct cache_stack *stack = &cache->stacks[class];
	void **top = stack->top;
	if (UNLIKELY(top == stack->ceiling))
		return false;
	*top = block;
	stack->top = top + 1;
	return true;
}

/* An empty cache, or NULL. */
struct tcache *vm_tcache_new(unsigned shard);

/* Returns all blocks, and the cache's own memory; it is in no list. */
void vm_tcache_delete(struct tcache *cache);

/* Makes room or flushes, then keeps the block. */
void vm_tcache_flush_push(struct tcache *cache, unsigned class, void *block);

/* Refills the empty stack and takes a block from it; NULL where the kernel refuses. */
void *vm_tcache_refill_pop(struct tcache *cache, unsigned class);

/* Counts a block that was not refilled by the above, but had elsewhere. */
void vm_tcache_note_refill(struct tcache *cache, unsigned class);

/* Halves the stacks that nobody used, at most once in two decay times. */
void vm_tcache_collect(struct tcache *cache, uint64_t now_ms);

/* Returns all blocks. */
void vm_tcache_trim(struct tcache *cache);

/* In a forked child: no cache's room counts any more, but for those that are then counted. */
void vm_tcache_forget_room(void);
void vm_tcache_count_room(const struct tcache *cache);

/* The bytes of the blocks in it, read by any thread: about right while its thread is at work. */
size_t vm_tcache_cached(const struct tcache *cache);

#endif
