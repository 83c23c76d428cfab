/* SPDX-License-Identifier: MIT */
/* fatal.h - the end of the process: one sentence on stderr, then SIGABRT. */
#ifndef VM_FATAL_H
#define VM_FATAL_H

#include "base/base.h"

/* What a program can do wrong with a pointer; the sentences are in fatal.c. */
enum misuse {
	MISUSE_FOREIGN,  /* no block of this allocator */
	MISUSE_INTERIOR, /* inside a block */
	MISUSE_FREED,    /* a block that was freed before */
};

/* `function` is the standard name of what was called, like "free". */
COLD NORETURN void vm_misuse(enum misuse misuse, const char *function, const void *pointer);

#endif
