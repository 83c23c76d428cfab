/* SPDX-License-Identifier: MIT */
/* failure.h - why an allocation failed: kept for its thread, told once on stderr. */
#ifndef VM_FAILURE_H
#define VM_FAILURE_H

#include "base/base.h"

#include <vmalloc.h>

/* Finds the cause of a refusal of `size` bytes, SIZE_MAX where a product overflowed, keeps it in the
 * thread's cache, if it has one, and tells each cause but VM_CAUSE_SIZE once in a process. */
COLD void vm_failure_note(size_t size);

/* As vm_last_failure of vmalloc.h. */
bool vm_failure_last(struct vm_failure *failure);

#endif
