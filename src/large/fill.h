/* SPDX-License-Identifier: MIT */
/*
 * fill.h - whether a program fills the large blocks that it asks for, as far as a sample of them tells.
 *
 * A block that will be filled comes cheaper by huge pages (MADV_HUGEPAGE): one fault for 512. One of which a byte
 * in 64 KiB is used would be resident whole. So blocks whose pages came one by one are looked at when they are freed
 * or grow, and what the last ones were the next is expected to be. Any thread, no lock. errno is preserved.
 */
#ifndef VM_FILL_H
#define VM_FILL_H

#include "base/base.h"
#include "os/os.h"

#include <stdatomic.h>

/* A block of so many huge pages may have them, where so many bytes are live as large blocks: what is resident too
 * early at its end is a quarter of that at most. */
enum { FILL_BLOCK_LEAST = 2, FILL_LIVE_LEAST = 4 };

/* Filled blocks in a row, at most FILL_MOST; one that was not counts for many. */
enum { FILL_EXPECTED_FROM = 2, FILL_MOST = 8 };
extern _Atomic int vm_filled_blocks HIDDEN;

/* Takes note of a live block that was mapped for this use, and not by huge pages. */
void vm_fill_judge(const void *block, size_t bytes);

static inline bool fill_expected(size_t bytes, size_t live_bytes)
{
	size_t huge_bytes = atomic_load_explicit(&vm_os.huge_bytes, memory_order_relaxed);
	return atomic_load_explicit(&vm_filled_blocks, memory_order_relaxed) >= FILL_EXPECTED_FROM &&
	       bytes >= FILL_BLOCK_LEAST * huge_bytes && live_bytes >= FILL_LIVE_LEAST * huge_bytes;
}

#endif
