/* SPDX-License-Identifier: MIT */
/* clear.h - zeros in a block that had others' memory. */
#ifndef VM_CLEAR_H
#define VM_CLEAR_H

#include "base/base.h"

#include <vmalloc.h>

/* Makes a block, which the caller owns, read as zeros, and returns it. */
void *vm_clear(void *block, size_t bytes);

/* What that gave back. */
void vm_clear_stats(struct vm_stats *stats);

#endif
