/* SPDX-License-Identifier: MIT */
#include "large/fill.h"

#include "os/conf.h"

/* So many stretches of a block are looked at, of so many pages at most. */
enum { STRETCHES = 4, STRETCH_MOST = 64 };

/* As many filled ones stand for one that was not. */
enum { FORFEIT = 8 };

_Atomic int vm_filled_blocks;

/* Once; blocks that are judged at the same time may all look. */
static size_t find_huge_bytes(void)
{
	static _Atomic bool looked;
	if (!atomic_load_explicit(&looked, memory_order_relaxed)) {
		if (conf_wants_huge_pages())
			vm_os_find_huge_pages();
		atomic_store_explicit(&looked, true, memory_order_relaxed);
	}
	return vm_os.huge_bytes;
}

/* A stretch of each quarter, somewhere in it, of the last one its end: what is filled from the front on and not to
 * the end is not filled, nor is what is used here and there. */
static bool is_filled(const char *block, size_t pages)
{
	const size_t quarter = pages / STRETCHES;
	const size_t stretch = min_size(quarter, STRETCH_MOST);
	for (size_t i = 1; i <= STRETCHES; i++) {
		size_t scattered = i * UINT64_C(0x9E3779B97F4A7C15) >> 32;
		size_t back = i == STRETCHES ? 0 : scattered % (quarter - stretch + 1);
		size_t page = (i == STRETCHES ? pages : i * quarter) - stretch - back;
		if (vm_os_count_resident(block + page * vm_os.page_bytes, stretch) < stretch)
			return false;
	}
	return true;
}

void vm_fill_judge(const void *block, size_t bytes)
{
	size_t huge_bytes = find_huge_bytes();
	if (!huge_bytes || bytes < FILL_BLOCK_LEAST * huge_bytes)
		return;
	int filled = atomic_load_explicit(&vm_filled_blocks, memory_order_relaxed);
	filled = is_filled(block, bytes / vm_os.page_bytes) ? filled + 1 : filled - FORFEIT;
	filled = filled > FILL_MOST ? FILL_MOST : filled < -FORFEIT ? -FORFEIT : filled;
	atomic_store_explicit(&vm_filled_blocks, filled, memory_order_relaxed);
}
