/* SPDX-License-Identifier: MIT */
/*
 * Where hardly any of a block was written to, as of a table that is never full, to give it back is quicker
 * than to clear it, and what the next owner does not write to stays without memory. (64 MiB of which a page
 * in 256 is written to: 160 us instead of 850; 20 blocks of 5 to 25 MiB of which none is: 2 MB instead of
 * 498.)
 */
#include "large/clear.h"

#include "os/os.h"

#include <stdatomic.h>
#include <string.h>

/* From here on it pays to look. */
#define SPARSE_LEAST (4 * MIB)

static struct {
	_Atomic uint64_t purges;
	_Atomic uint64_t purged_bytes;
} cleared;

static bool reads_as_zero(const char *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE_BYTES - 1);
}

/* Whether pages all over a block read as zeros; the first one, which tells nothing, is not among them. */
static bool is_sparse(const char *block, size_t bytes)
{
	enum { SAMPLES = 16 };
	size_t pages = bytes >> PAGE_SHIFT;
	for (size_t i = 1; i <= SAMPLES; i++) {
		/* Golden sections of it: evenly apart, and of no period that it may have. */
		uint32_t section = (uint32_t)(i * 0x9E3779B1u);
		if (!reads_as_zero(block + ((uint64_t)section * pages >> 32 << PAGE_SHIFT)))
			return false;
	}
	return true;
}

void *vm_clear(void *block, size_t bytes)
{
	uintptr_t start = (uintptr_t)block;
	uintptr_t end = start + bytes;
	uintptr_t from = align_up(start, vm_os.page_bytes);
	uintptr_t to = align_down(end, vm_os.page_bytes);
	if (bytes < SPARSE_LEAST || !is_sparse(block, bytes) || !vm_os_purge((void *)from, to - from))
		return memset(block, 0, bytes);
	atomic_fetch_add_explicit(&cleared.purges, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&cleared.purged_bytes, to - from, memory_order_relaxed);
	memset(block, 0, from - start);
	memset((void *)to, 0, end - to);
	return block;
}

void vm_clear_stats(struct vm_stats *stats)
{
	stats->purges += atomic_load_explicit(&cleared.purges, memory_order_relaxed);
	stats->purged_bytes += atomic_load_explicit(&cleared.purged_bytes, memory_order_relaxed);
}
