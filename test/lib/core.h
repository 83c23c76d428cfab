/* SPDX-License-Identifier: MIT */
/* What the core holds on the fake kernel, where nobody else allocates. Ends the process by must(). */
#ifndef TEST_CORE_H
#define TEST_CORE_H

#include "allocator.h"

extern const struct allocator core_allocator;

/* All tables are whole. While no other thread is in the core. */
void core_check_tables(void);

/* After a trim: no block is live, and no memory or range of a freed one is kept. */
void core_must_be_empty(void);

/* The ballast, which the core does not tell of. */
extern const size_t core_ballast_bytes;

/* Of the fake kernel's bytes, those that neither the core's figures nor `untold_most` tell of. */
size_t core_stray_bytes(size_t untold_most);

#endif
