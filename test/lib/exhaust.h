/* SPDX-License-Identifier: MIT */
/* Allocation until nothing more is given, and proof that the allocator survives it. */
#ifndef TEST_EXHAUST_H
#define TEST_EXHAUST_H

#include <stddef.h>

/*
 * Allocates blocks of `size`, filled, until NULL + ENOMEM or until `most` bytes; checks and frees them
 * all. Returns the bytes that were had at once. The blocks are chained through their first word.
 */
size_t exhaust(size_t size, size_t most);

/* exhaust with small, medium and large blocks, twice each: the second time must get about as far. */
void exhaust_all_kinds(size_t most);

#endif
