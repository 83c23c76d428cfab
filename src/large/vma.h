/* SPDX-License-Identifier: MIT */
/*
 * vma.h - how many of the kernel's maps our mappings are, at most.
 *
 * Our addresses are cut into segments: wherever the border of two of the kernel's maps may lie between
 * addresses of ours, it lies between two segments. So there are at least as many segments as maps that
 * hold something of ours. The rules (linux/mm/vma.c; measured on Linux 6.18):
 *   1. A new map merges with the plain one below it, whatever is above; only where none of ours is
 *      below, with the plain one above. It may merge with both: there the border stays, to be safe.
 *   2. What mremap moved, and what was there before a fork, merges with nothing that is new.
 *   3. What lies in the middle of a map leaves two when it goes; a whole one or an edge leaves no more.
 *
 * Two things can hide a border: another's plain map that ends right where a new one of ours begins,
 * and calls of two threads that the kernel saw in another order than the model did. Each hides one
 * map at most; advice or protection that the program puts on its blocks may hide more. The true count
 * is there for these (budget.h).
 *
 * Pure: no lock, no system call, no allocation; records come from the caller, who reserves in advance
 * what an operation may take. Each takes logarithmic time.
 */
#ifndef VM_VMA_H
#define VM_VMA_H

#include "base/base.h"
#include "base/tree.h"

struct segment {
	struct tree_node node;
	uintptr_t start;
	uintptr_t end;
	size_t taken_out; /* of the last one taken out: vma_model.changes then */
	uint32_t family;  /* plain while it is the model's */
	bool cut_low;     /* of the last one taken out: whether all were cut off from what lies below */
	bool cut_high;    /* and from what lies above */
};

/* Empty when zeroed. */
struct vma_model {
	struct tree_node *root;
	size_t count;          /* of segments: the bound */
	size_t bytes;
	struct segment *spare; /* chained by node.left */
	size_t spare_count;
	size_t reserved;
	size_t changes;        /* of what is in it */
	uint32_t family;       /* of new maps; another after each fork */
};

/* Adds a record to the spare ones. */
void vm_vma_feed(struct vma_model *model, struct segment *segment);

/* Sets aside `segments` of the spare ones. False: there are too few. */
bool vm_vma_reserve(struct vma_model *model, size_t segments);
void vm_vma_release(struct vma_model *model, size_t segments);

/* A new map. Takes up to 1 record. */
void vm_vma_mapped(struct vma_model *model, uintptr_t start, size_t bytes);

/* A map that merges with nothing for all that is known: mremap made it, or it was given advice. Takes 1 record. */
void vm_vma_mapped_apart(struct vma_model *model, uintptr_t start, size_t bytes);

/* All of the range is ours, and leaves the model: what it consisted of is the caller's, as a chain by
 * node.left, until it is put back, restored or dropped. Takes up to 2 records. */
struct segment *vm_vma_take_out(struct vma_model *model, uintptr_t start, size_t bytes);

/* The kernel did not take it: as many maps as before, which merge with nothing for all that is known. */
void vm_vma_put_back(struct vma_model *model, struct segment *segments);

/* The kernel left it and what lies beside it as it was. So does this, unless the model has changed since: then
 * it puts it back. */
void vm_vma_restore(struct vma_model *model, struct segment *segments);

/* It is gone; there is at least one more spare record. */
void vm_vma_drop(struct vma_model *model, struct segment *segments);

/* Whether the count would rise if the range went. */
bool vm_vma_splits(const struct vma_model *model, uintptr_t start, size_t bytes);

/* Whether the range is whole segments. */
bool vm_vma_is_whole(const struct vma_model *model, uintptr_t start, size_t bytes);

/* Whether a segment ends there: only then may the kernel lengthen in its place what ends there. */
bool vm_vma_ends_at(const struct vma_model *model, uintptr_t end);

/* Whether the range lies in one segment, so that mremap takes it. */
bool vm_vma_is_one(const struct vma_model *model, uintptr_t start, size_t bytes);

/* In the child: rule 2. */
void vm_vma_forked(struct vma_model *model);

void vm_vma_check(const struct vma_model *model);

#endif
