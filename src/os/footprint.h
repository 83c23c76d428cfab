/* SPDX-License-Identifier: MIT */
/*
 * footprint.h - what the heap and the mapped blocks hold together, and whether it is more than the
 * program ever needed at once.
 */
#ifndef VM_FOOTPRINT_H
#define VM_FOOTPRINT_H

#include "base/allowance.h"

enum footprint_part { FOOTPRINT_HEAP, FOOTPRINT_LARGE, FOOTPRINT_PARTS };

/* The bytes of a part that are in use, and those that are free but still have memory. */
void vm_footprint_note(enum footprint_part part, size_t live, size_t dirty);

/*
 * After memory that is new came into use, or before: how many of as many bytes that are free are to be
 * given back for it, so that both together are hardly more than was ever in use at once. What grew could
 * not use them, and would come on top of them. A part gives back no more than was in use, nor than
 * vm_options.dirty_bytes, in one decay time: that keeps what it costs a program that would have used
 * them soon under 2 % of its time.
 */
size_t vm_footprint_owed(struct allowance *allowance, size_t bytes, uint64_t now_ms);

#endif
