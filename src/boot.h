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
 * At load, before any thread and any other constructor, so that our prepare handler runs last and our child
 * handler first, while others' handlers may allocate: the shared library is linked to be initialised first; a
 * program that has an archive starts with what its .preinit_array names, before the libraries that it is
 * linked with (not everywhere: musl knows none). Not in vm_boot_once: registering may allocate.
 */
void vm_load(void);

#define LOAD_FIRST static void (*const load_first)(void) __attribute__((section(".preinit_array"), used)) = vm_load

/*
 * Whether the process's malloc is ours, so that the break is ours to use: preload/shared.c answers it in the
 * shared library, preload/archive.c in libvmalloc.a, standalone.c in the library that stands beside malloc.
 */
bool vm_is_process_malloc(void);

#endif
