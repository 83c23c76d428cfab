/* SPDX-License-Identifier: MIT */
/*
 * index.h - the starts of live large blocks, found without a lock.
 *
 * A hash table with linear probing, at most half full. Writers hold the lock of the mapping table.
 * Readers take none, and this is what they may rely on: for a start that is in from before the look-up
 * until after it, vm_index_find gives its range or, seldom, NULL, because an entry was being moved
 * aside; NULL under the lock is the truth. A full table is replaced by one of twice the size; the old
 * ones stay readable for ever and sum up to less than the one in use. index.pml has spin prove it, and
 * test/unit/index_order.c tries this very code.
 */
#ifndef VM_INDEX_H
#define VM_INDEX_H

#include "base/base.h"

#include <stdatomic.h>

struct range;

struct index_table;

/* Empty when zeroed. */
struct index {
	struct index_table *_Atomic table;
	size_t count;
};

/* Makes room for `count` entries in all. False where memory is out. Takes RANK_META. */
bool vm_index_reserve(struct index *index, size_t count);

/* The start is not in yet; there is room. */
void vm_index_insert(struct index *index, uintptr_t start, struct range *range);

/* The start is in. */
void vm_index_remove(struct index *index, uintptr_t start);

/* The range entered for `start`, or NULL. */
struct range *vm_index_find(const struct index *index, uintptr_t start);

/* Proves that every entry can be found and that the count is right. The lock is held. */
void vm_index_check(const struct index *index);

#endif
