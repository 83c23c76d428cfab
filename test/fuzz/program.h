/* SPDX-License-Identifier: MIT */
/*
 * A byte string as a program of calls, four bytes each; every string is one. The first four say how
 * it is run:
 *
 *	0: bits 0-1 threads - 1, bit 2 all at once
 *	1-3: settings of the kernel (kernel.h)
 *
 * and each four after them are a call:
 *
 *	0: bits 0-4 which, bits 5-7 slot / 256
 *	1: slot % 256
 *	2: size
 *	3: what is added to the size, or how, how often, how aligned
 *
 * In turns, one thread plays on until a call says which is next: the same program makes the same
 * calls in the same order. At once, each thread plays all of it from another place on, with blocks of
 * its own, and hands some of them to the others.
 */
#ifndef FUZZ_PROGRAM_H
#define FUZZ_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROGRAM_WORD = 4, PROGRAM_CALLS = 32 };

/* Plays all of it, frees what it left, and checks that nothing stays. Returns the calls made. */
uint64_t program_play(const uint8_t *bytes, size_t length);

/* Each call is written to stderr before it is made. */
extern bool program_trace;

/* Where a rule is broken, must() tells this as well. */
extern _Atomic uint64_t program_number; /* of those played before by this process */

#endif
