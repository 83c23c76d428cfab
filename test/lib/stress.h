/* SPDX-License-Identifier: MIT */
/* The frame of the stress programs: PROGRAM [--smoke | --seconds N | --forever] [SEED]. */
#ifndef TEST_STRESS_H
#define TEST_STRESS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Preloads the library, reads the arguments, prints the seed and runs `work` under it: for 1 s (--smoke,
 * also without arguments, as `make check` runs it), N seconds, or for ever. `work` returns once stress_over()
 * says so; it ends the process by must().
 */
int stress_main(int argc, char **argv, void (*work)(uint64_t seed));

bool stress_over(void);

#endif
