/* SPDX-License-Identifier: MIT */
/*
 * What the space benches share: the size of the run, blocks of random sizes, and samples of what the
 * process holds. A sample is lines "MOMENT METRIC VALUE" on stdout: rss and live in KiB, overhead
 * (their ratio), vmas; the peak also has faults.
 */
#ifndef BENCH_SPACE_H
#define BENCH_SPACE_H

#include "rng.h"

#include <stddef.h>

struct block {
	char *memory;
	size_t bytes;
};

/* The scale is the program's argument: smoke, quick, default or full. */
void space_start(int argc, char **argv);

/* The figure for this scale; `full` is the default's, too. */
size_t space_scaled(size_t full, size_t quick, size_t smoke);

/* A size from least (a power of two) up to most, each power of two equally likely. */
size_t space_size(struct rng *rng, size_t least, size_t most);

/* A block whose pages are all written; there is none left at a failure. */
struct block space_make(size_t bytes);

/* Bytes that are asked for and not freed, in all blocks of space_make. */
size_t space_live_bytes(void);
void space_free(struct block *block);

void space_sample(const char *moment);

/*
 * Samples 1 s and 10 s (quick: 1 s; full: 60 s as well) after what was freed. The process is not quite idle: each
 * 10 ms it makes some blocks and frees them, as a server does that waits for requests.
 */
void space_settle(const char *what);

/* The peak, at the end of the program. */
void space_end(void);

#endif
