/* SPDX-License-Identifier: MIT */
/*
 * new.h - operator new by its mangled names, and this library's under names that nobody replaces, to tell
 * whether the process has ours.
 */
#ifndef VM_NEW_H
#define VM_NEW_H

#include "base/base.h"

/* Weak also where they are only declared: else clang takes two functions for different ones unseen. */
#define PUBLIC EXPORT NOPLT __attribute__((weak))

PUBLIC void *_Znwm(size_t size);
PUBLIC void *_Znam(size_t size);
PUBLIC void *_ZnwmSt11align_val_t(size_t size, size_t alignment);
PUBLIC void *_ZnamSt11align_val_t(size_t size, size_t alignment);

HIDDEN void *vm_new(size_t size);
HIDDEN void *vm_new_array(size_t size);
HIDDEN void *vm_new_aligned(size_t size, size_t alignment);
HIDDEN void *vm_new_aligned_array(size_t size, size_t alignment);

#endif
