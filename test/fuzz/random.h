/* SPDX-License-Identifier: MIT */
/* Random programs that look like those of people: few sizes, few slots, phases. */
#ifndef FUZZ_RANDOM_H
#define FUZZ_RANDOM_H

#include "program.h"
#include "rng.h"

enum { RANDOM_WORDS = 4000, RANDOM_BYTES = (1 + RANDOM_WORDS) * PROGRAM_WORD };

/* Returns the length. */
size_t random_program(struct rng *rng, uint8_t bytes[RANDOM_BYTES]);

#endif
