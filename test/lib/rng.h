/* SPDX-License-Identifier: MIT */
/* A small random generator whose seed comes from VM_TEST_SEED and is printed, so that a failure can be repeated. */
#ifndef TEST_RNG_H
#define TEST_RNG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rng {
	uint64_t state;
};

/* The seed of this process: VM_TEST_SEED where it is set, else from the clock; printed to stderr once. */
uint64_t rng_process_seed(void);

struct rng rng_make(uint64_t seed);

uint64_t rng_next(struct rng *rng);

/* A number in [0, bound). */
size_t rng_below(struct rng *rng, size_t bound);

/* A size in [0, max], each power of two about equally likely: small sizes dominate as in programs. */
size_t rng_size(struct rng *rng, size_t max);

#ifdef __cplusplus
}
#endif
#endif
