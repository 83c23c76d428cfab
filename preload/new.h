/* SPDX-License-Identifier: MIT */
/*
 * new.h - operator new by its mangled names, and this library's under names that nobody replaces, to tell
 * whether the process has ours.
 */
#ifndef VM_NEW_H
#define VM_NEW_H

#include "base/base.h"

/* Weak, so that a program that has the archive may have its own; also where they are only declared, else
 * clang takes two functions for different ones unseen. */
#define OPERATOR EXPORT NOPLT __attribute__((weak))

OPERATOR void *_Znwm(size_t size);
OPERATOR void *_Znam(size_t size);
OPERATOR void *_ZnwmSt11align_val_t(size_t size, size_t alignment);
OPERATOR void *_ZnamSt11align_val_t(size_t size, size_t alignment);

HIDDEN void *vm_new(size_t size);
HIDDEN void *vm_new_array(size_t size);
HIDDEN void *vm_new_aligned(size_t size, size_t alignment);
HIDDEN void *vm_new_aligned_array(size_t size, size_t alignment);

#endif
