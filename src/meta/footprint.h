/* SPDX-License-Identifier: MIT */
/*
 * footprint.h - how much of the freed memory may stay resident, in the page heap and in large blocks.
 *
 * Each may keep a fixed amount or a quarter of its live bytes, which may raise the peak of the
 * program's memory by as much; and what does not raise it, as far as both together were more before,
 * up to as much as its live bytes or a sixteenth of the machine's memory.
 */
#ifndef VM_FOOTPRINT_H
#define VM_FOOTPRINT_H

#include "base/base.h"

enum footprint_part { FOOTPRINT_HEAP, FOOTPRINT_LARGE, FOOTPRINT_PARTS };

/* Tells what a part has in bytes, under its lock, whenever that has changed. Returns how much of the
 * freed it may keep. */
size_t vm_footprint_note(enum footprint_part part, size_t live, size_t dirty);

/* Whether both together have more than that, since one has grown: asked for now and then, true at most
 * once in some ms, since what is locked in memory cannot be given back. */
bool vm_footprint_exceeded(uint64_t now_ms);

#endif
