/* SPDX-License-Identifier: MIT */
/*
 * meta.h - memory for the allocator's own records, apart from the program's blocks.
 *
 * Records lie in chunks mapped for them, each a quarter of all before it, so that there are few
 * however many records. Sizes are rounded up to powers of two; freed records wait in a list of their
 * size, or, below a page, are cut for smaller ones. Nothing goes back to the kernel: the records are
 * a few per cent of the heap they describe.
 */
#ifndef VM_META_H
#define VM_META_H

#include "base/base.h"

/* `bytes` (at most 1 MiB) of undefined content, aligned to their power of two, at least a cache line
 * and at most a page; NULL where memory is out. Takes RANK_META. */
void *vm_meta_alloc(size_t bytes);
void vm_meta_free(void *record, size_t bytes);

/* The bytes mapped. */
size_t vm_meta_mapped(void);

void vm_meta_lock_for_fork(void);
void vm_meta_unlock_after_fork(void);

#endif
