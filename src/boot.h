/* SPDX-License-Identifier: MIT */
/* boot.h - the start of the allocator, at the first call of all, and its part in fork (boot.pml). */
#ifndef VM_BOOT_H
#define VM_BOOT_H

#include "base/base.h"

#include <stdatomic.h>

extern _Atomic bool vm_booted;

/* Starts the allocator once; false: there is no memory for it, to be tried again, or this thread is in the
 * middle of it. */
bool vm_boot_once(void);

/* Whether this thread is in the middle of starting it. */
bool vm_is_booting(void);

static inline bool vm_boot(void)
{
	return LIKELY(atomic_load_explicit(&vm_booted, memory_order_acquire)) || vm_boot_once();
}

/*
 * Whether the process's malloc is ours, so that the break is ours to use. preload/malloc.c answers
 * it in the library that interposes malloc, standalone.c in the one that stands beside it.
 */
bool vm_is_process_malloc(void);

#endif
