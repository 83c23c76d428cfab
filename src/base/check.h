/* SPDX-License-Identifier: MIT */
/* check.h - assertions of our own invariants, alive in debug builds. */
#ifndef VM_CHECK_H
#define VM_CHECK_H

#include "base/base.h"

/* VM_DEBUG is 0 or 1, given by the build: both sides of `if (VM_DEBUG)` always compile. */

/* Writes the broken invariant to stderr and aborts (os/fatal.c). */
COLD NORETURN void vm_assert_failed(const char *condition, const char *file, int line);

#define vm_assert(condition)                                                                       \
	do {                                                                                       \
		if (VM_DEBUG && !(condition))                                                      \
			vm_assert_failed(#condition, __FILE__, __LINE__);                          \
	} while (0)

#endif
