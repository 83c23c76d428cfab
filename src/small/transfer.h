/* SPDX-License-Identifier: MIT */
/*
 * transfer.h - the transfer caches: blocks of a class on their way from one thread cache to another.
 *
 * A stack of pointers a class, under a lock that is held for one memcpy: a batch that passes through
 * it costs no slab work. A stack's room doubles when it proves too small both ways - a batch did not
 * fit although one was missed before - as long as what all have beyond their first rooms is little
 * beside the heap, and halves when it is not used. What lay unused for a while goes back to the slabs,
 * while others are at work (transfer.pml). One that is empty, or full, is passed by without its lock. A thread that is
 * alone brings and takes large ones only (tcache.c).
 */
#ifndef VM_TRANSFER_H
#define VM_TRANSFER_H

#include "base/base.h"

/* False: no memory for the records. */
bool vm_transfer_init(void);

/* Moves up to `count` blocks of a class out; returns how many. */
size_t vm_transfer_get(unsigned class, void **blocks, size_t count);

/* Moves up to `count` blocks of a class in, the last ones first; returns how many. */
size_t vm_transfer_put(unsigned class, void *const *blocks, size_t count);

/* Returns what lay unused since the last time to the slabs, and halves room that was; at most once in a decay time. */
void vm_transfer_tick(uint64_t now_ms);

/* Returns everything to the slabs. */
void vm_transfer_trim(void);

/* The bytes of the blocks in the caches. */
size_t vm_transfer_cached(void);

void vm_transfer_lock_for_fork(void);
void vm_transfer_unlock_after_fork(void);

#endif
