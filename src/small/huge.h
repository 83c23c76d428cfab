/* SPDX-License-Identifier: MIT */
/*
 * huge.h - which memory of the heap the kernel is asked to put into huge pages, and which of those to cut again.
 *
 * A program finds its way in a huge page by one entry of the TLB instead of 512, and its memory comes with one
 * fault. But all of it is resident, so there are two ways to become one:
 *   filled   memory that the heap has grown past, if it proves to be resident but for a little, and for half blocks
 *            of up to 64 KiB
 *   begun    memory that a slab begins, and of which nothing was written to as yet, where what the heap has grown past
 *            proved filled: it may be expected to be, soon
 * Both are asked for by MADV_COLLAPSE, which changes no map and leaves no mark: what is purged later stays so.
 *
 * What was noted is done by the next thread that has no lock. It may be gone by then, or somebody else's memory:
 * then nothing is done to it, or no harm.
 */
#ifndef VM_HUGE_H
#define VM_HUGE_H

#include "base/base.h"

#include <stdatomic.h>

struct region;

/* Under the page heap's lock: looks whether there are huge pages, for a heap of so many bytes. */
void vm_huge_find(size_t heap_bytes);

/*
 * Under the page heap's lock: [start, end) was taken out of what is free in a region, and is in nobody's hands
 * yet. From there to `clean_end` nothing was written to, and a slab begins it; `start` where that is not so.
 * `live_bytes` of the heap are in use.
 */
void vm_huge_taken(const struct region *region, uintptr_t start, uintptr_t end, size_t live_bytes,
		   uintptr_t clean_end);

/* Under the page heap's lock, now and then: has one more looked at for whether it is filled, or broken. */
void vm_huge_tick(size_t live_bytes);

/* Under the page heap's lock, after a fork, in the parent and the child: what they share is not to be copied. */
void vm_huge_forked(void);

/* Without a lock: cuts those in pieces between two places of the heap that lack a part, if any were ever made. */
void vm_huge_cut_broken(uintptr_t start, uintptr_t end);

extern _Atomic bool vm_huge_noted HIDDEN;

/* Without a lock: has what was noted made huge. */
void vm_huge_make_noted(void);

static inline void huge_make(void)
{
	if (UNLIKELY(atomic_load_explicit(&vm_huge_noted, memory_order_relaxed)))
		vm_huge_make_noted();
}

#endif
