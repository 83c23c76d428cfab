/* SPDX-License-Identifier: MIT */
/*
 * slab.h - a SLAB run as slots of one class: which are free, taken from the lowest address up.
 *
 * The bitmap lies in the run's record, never in the slots. Whoever calls holds the lock of the
 * slab's bin, or is the only one that knows the slab.
 */
#ifndef VM_SLAB_H
#define VM_SLAB_H

#include "base/sizeclass.h"
#include "os/fatal.h"
#include "small/pageheap.h"

/* All slots free. */
void vm_slab_init(struct run *slab);

/* Takes up to `count` free slots, the lowest, and stores them at out[0] to out[taken - 1]; the
 * first is the highest, so that a stack gives them out in order of address. Returns how many. */
size_t vm_slab_take(struct run *slab, void **out, size_t count);

/* The same of slots that share no line of memory with a taken one, at out[count - taken] on. */
size_t vm_slab_take_lines(struct run *slab, void **out, size_t count);

enum slot_state { SLOT_TAKEN, SLOT_FREE, SLOT_ASKEW };

/* The slot that an offset from the slab's start lies in; false: it is not where that slot begins. */
static inline bool slab_slot(const struct sizeclass *class, size_t offset, unsigned *slot)
{
	*slot = class_slot(class, offset);
	return *slot * (size_t)class->bytes == offset;
}

/* What a pointer into the slab is: a slot that is taken or free, or no start of a slot. The owner of a
 * block may ask without the lock: its bit stays, while others' in the same word change. */
static inline enum slot_state slab_slot_state_by_class(const struct run *slab,
						      const struct sizeclass *class,
						      const void *block)
{
	unsigned slot;
	if (UNLIKELY(!slab_slot(class, (uintptr_t)block - slab->start, &slot)))
		return SLOT_ASKEW;
	uint64_t word = __atomic_load_n(&slab->slots[slot / 64], __ATOMIC_RELAXED);
	return word >> slot % 64 & 1 ? SLOT_FREE : SLOT_TAKEN;
}

static inline enum slot_state slab_slot_state(const struct run *slab, const void *block)
{
	return slab_slot_state_by_class(slab, &vm_classes[slab->class], block);
}

/* What to say of a pointer that is no taken slot. */
static inline enum misuse slab_misuse(enum slot_state state)
{
	return state == SLOT_FREE ? MISUSE_FREED : MISUSE_INTERIOR;
}

enum { NO_SLOT = UINT32_MAX };

/* The slot that begins at a pointer, NO_SLOT where none of this slab does. */
static inline unsigned slab_slot_at(const struct run *slab, const struct sizeclass *class,
				    const void *block)
{
	size_t offset = (uintptr_t)block - slab->start;
	unsigned slot;
	return offset < (size_t)class->pages << PAGE_SHIFT && slab_slot(class, offset, &slot) ? slot
											      : NO_SLOT;
}

/* Gives the first of `count` blocks back, as many as are taken slots of this slab, which is one of the
 * class; returns how many. Those of one word of the bitmap, which often follow each other, cost one load
 * and store of it. */
static inline size_t slab_give(struct run *slab, const struct sizeclass *class, void *const *blocks,
			       size_t count)
{
	size_t given = 0;
	unsigned slot = slab_slot_at(slab, class, blocks[0]);
	while (slot != NO_SLOT) {
		unsigned word = slot / 64;
		uint64_t free = slab->slots[word];
		do {
			uint64_t bit = UINT64_C(1) << slot % 64;
			if (free & bit) {
				slot = NO_SLOT;
				break;
			}
			free |= bit;
			given++;
			slot = given < count ? slab_slot_at(slab, class, blocks[given]) : NO_SLOT;
		} while (slot / 64 == word);
		__atomic_store_n(&slab->slots[word], free, __ATOMIC_RELAXED);
	}
	slab->free_slots += (uint16_t)given;
	slab->quiet = 0;
	return given;
}

/* Gives the kernel the memory of all pages that hold nothing but free slots; returns how many. */
size_t vm_slab_purge(const struct run *slab);

void vm_slab_check(const struct run *slab);

#endif
