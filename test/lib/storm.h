/* SPDX-License-Identifier: MIT */
/*
 * The storms on the mapping table. Contents are checked at both ends of each block and every 256 KiB
 * in between, so that hundreds of gigabytes of blocks fit into memory; all of it in long runs.
 */
#ifndef TEST_STORM_H
#define TEST_STORM_H

#include "blocks.h"
#include "suite.h"

#include <stdbool.h>
#include <stddef.h>

/* True in a run with --full: larger numbers. */
extern bool storm_full;

/* True in a run with --full or --seconds: whole contents are checked. */
extern bool storm_whole;

/*
 * The main of a storm program: PROGRAM [--full] [--seconds N] [SEED]. Preloads the library with
 * `options` (before what VMALLOC_CONF has already; may be NULL) and runs the tests with Check,
 * in a run of N seconds again and again, a whole round last.
 */
int storm_main(int argc, char **argv, const char *name, const TTest *const tests[], const char *options);

void storm_fill(void *memory, size_t size, uint64_t seed);

/* A block of any allocating function. Where refused memory is NULL, after a line on stderr. */
struct block storm_make(struct rng *rng, size_t size);
void storm_end(struct block *block);

/* `count` blocks of 16 B to max_size; a third is freed in between, all are checked. Returns the refused. */
unsigned storm_mixed(uint64_t seed, unsigned count, size_t max_size);

/* Blocks grow from 50 KB to 30 MB by realloc, several at a time. Returns the refused. */
unsigned storm_grow(uint64_t seed, unsigned blocks);

/* Blocks aligned to 4 KiB ... 4 MiB, freed at random while others are made. Returns the refused. */
unsigned storm_aligned(uint64_t seed, unsigned count);

/* Ends the process unless threads start, a library loads and the program's own mmap works. */
void storm_others_work(void);

/* Seconds of what programs do all the time: blocks up to 2 MiB come and go, with pauses. */
void storm_ordinary_use(double seconds);

#endif
