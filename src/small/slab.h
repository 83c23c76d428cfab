/* SPDX-License-Identifier: MIT */
/*
 * slab.h - a SLAB run as slots of one class: which are free, taken from the lowest address up.
 *
 * The bitmap lies in the run's record, never in the slots. Whoever calls holds the lock of the
 * slab's bin.
 */
#ifndef VM_SLAB_H
#define VM_SLAB_H

#include "base/sizeclass.h"
#include "small/pageheap.h"

/* All slots free. */
void vm_slab_init(struct run *slab);

/* Takes up to `count` free slots, the lowest, and stores them at out[0] to out[taken - 1]; the
 * first is the highest, so that a stack gives them out in order of address. Returns how many. */
size_t vm_slab_take(struct run *slab, void **out, size_t count);

enum slot_state { SLOT_TAKEN, SLOT_FREE, SLOT_ASKEW };

/* What a pointer into the slab is: a slot that is taken or free, or no start of a slot. */
static inline enum slot_state slab_slot_state(const struct run *slab, const void *block)
{
	const struct sizeclass *class = &vm_classes[slab->class];
	size_t offset = (uintptr_t)block - slab->start;
	unsigned slot = class_slot(class, offset);
	if (slot * (size_t)class->bytes != offset)
		return SLOT_ASKEW;
	return slab->slots[slot / 64] >> slot % 64 & 1 ? SLOT_FREE : SLOT_TAKEN;
}

/* Gives a slot back. Anything but SLOT_TAKEN: it was none to give, nothing changed. */
static inline enum slot_state slab_give(struct run *slab, const void *block)
{
	enum slot_state state = slab_slot_state(slab, block);
	if (UNLIKELY(state != SLOT_TAKEN))
		return state;
	unsigned slot = class_slot(&vm_classes[slab->class], (uintptr_t)block - slab->start);
	slab->slots[slot / 64] |= UINT64_C(1) << slot % 64;
	slab->free_slots++;
	return SLOT_TAKEN;
}

void vm_slab_check(const struct run *slab);

#endif
