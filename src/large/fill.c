/* SPDX-License-Identifier: MIT */
#include "large/fill.h"

#include "os/conf.h"

/* Of one block. A block of which a tenth is missing passes for filled once in five times. */
enum { SAMPLES = 16 };

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

/* One page of each part, at no regular distance, and the last one. */
static bool is_filled(const char *block, size_t pages)
{
	const size_t part = pages / SAMPLES;
	for (size_t i = 0; i < SAMPLES; i++) {
		size_t scattered = (i + 1) * UINT64_C(0x9E3779B97F4A7C15) >> 32;
		size_t page = i == SAMPLES - 1 ? pages - 1 : i * part + scattered % part;
		if (!vm_os_count_resident(block + page * vm_os.page_bytes, 1))
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
