/* SPDX-License-Identifier: MIT */
/* Contents that differ for every block and every offset, so that overlap, loss and shift of memory show. */
#ifndef TEST_PATTERN_H
#define TEST_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void pattern_fill(void *memory, size_t bytes, uint64_t seed);

/* True if the first `bytes` still hold what pattern_fill wrote with this seed (for that or a larger size). */
bool pattern_holds(const void *memory, size_t bytes, uint64_t seed);

bool pattern_is_zero(const void *memory, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
