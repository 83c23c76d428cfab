/* SPDX-License-Identifier: MIT */
#include "large/fill.h"

#include "os/conf.h"
#include "os/os.h"

#include <stdatomic.h>

/* So many stretches of a block are looked at, of so many pages at most. */
enum { STRETCHES = 4, STRETCH_MOST = 64 };

/* A block of so many huge pages may be filled by them, where as many bytes are live as large blocks: what is resident
 * too early, at its end, is a quarter of that at most. And it is no longer than so many times the longest that was
 * filled, which for what doubles may be the one before the last: to be wrong about one costs no more. */
enum { BLOCK_LEAST = 2, LIVE_LEAST = 4, LONGER_MOST = 4 };

/* Whether there are huge pages is not looked up for shorter ones. */
#define LOOK_LEAST (4 * MIB)

/* From so many filled ones on; one that was not makes up for KNOWN_MOST, and more than so many are not counted. */
enum { EXPECTED_FROM = 2, KNOWN_MOST = 8 };

/* One in so many, at no regular distance, has no huge pages, in which what is not used is not to be seen. */
enum { PROBE_EACH = 8 };

/* So many at most have them before one that had none is judged: as many may prove to be used in part. */
enum { TRUSTED_MOST = 16 };

static struct {
	_Atomic int filled;     /* less what those that were not make up for */
	_Atomic size_t longest; /* of the filled ones */
	_Atomic unsigned asked;
	_Atomic int trusted;    /* so many more */
} known;

/* The last one that was mapped without huge pages, until it is freed or moves. Of two that are noted at once it may
 * have the start of the one and the length of the other: then a sample of something else is taken. */
static struct {
	_Atomic uintptr_t start;
	_Atomic size_t bytes;
	_Atomic uintptr_t counted; /* the one before, if it was filled by then */
} latest;

static bool is_long(size_t bytes)
{
	if (bytes >= LOOK_LEAST && conf_wants_huge_pages())
		vm_os_find_huge_pages();
	return vm_os.huge_bytes && bytes >= BLOCK_LEAST * vm_os.huge_bytes;
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

/* Of threads that do this at once one may count. */
static void count_filled(size_t bytes)
{
	int filled = atomic_load_explicit(&known.filled, memory_order_relaxed);
	if (filled < KNOWN_MOST)
		atomic_store_explicit(&known.filled, filled + 1, memory_order_relaxed);
	atomic_store_explicit(&known.trusted, TRUSTED_MOST, memory_order_relaxed);
	if (bytes > atomic_load_explicit(&known.longest, memory_order_relaxed))
		atomic_store_explicit(&known.longest, bytes, memory_order_relaxed);
}

static void count_unfilled(void)
{
	int filled = atomic_load_explicit(&known.filled, memory_order_relaxed);
	atomic_store_explicit(&known.filled, filled > 0 ? filled - KNOWN_MOST : -KNOWN_MOST, memory_order_relaxed);
}

/* It may be filled later. */
static void count_unfilled_as_yet(void)
{
	int filled = atomic_load_explicit(&known.filled, memory_order_relaxed);
	if (filled > 0)
		atomic_store_explicit(&known.filled, filled - 1, memory_order_relaxed);
}

/* Whether it is the block noted there, which is no more. */
static bool forget(_Atomic uintptr_t *noted, const void *block)
{
	uintptr_t start = (uintptr_t)block;
	return atomic_compare_exchange_strong_explicit(noted, &start, 0, memory_order_relaxed, memory_order_relaxed);
}

void vm_fill_judge(const void *block, size_t bytes)
{
	bool was_counted = forget(&latest.counted, block);
	forget(&latest.start, block);
	if (!is_long(bytes))
		return;
	if (!is_filled(block, bytes / vm_os.page_bytes))
		count_unfilled();
	else if (!was_counted)
		count_filled(bytes);
}

void vm_fill_look_back(size_t bytes)
{
	if (!is_long(bytes))
		return;
	uintptr_t start = atomic_load_explicit(&latest.start, memory_order_relaxed);
	size_t bytes_of_it = atomic_load_explicit(&latest.bytes, memory_order_relaxed);
	if (start && is_filled((const char *)start, bytes_of_it / vm_os.page_bytes) &&
	    forget(&latest.start, (const void *)start)) {
		count_filled(bytes_of_it);
		atomic_store_explicit(&latest.counted, start, memory_order_relaxed);
	}
}

void vm_fill_mapped(const void *block, size_t bytes)
{
	if (!is_long(bytes))
		return;
	atomic_store_explicit(&latest.bytes, bytes, memory_order_relaxed);
	if (atomic_exchange_explicit(&latest.start, (uintptr_t)block, memory_order_relaxed))
		count_unfilled_as_yet();
}

bool vm_fill_expected(size_t bytes, size_t live_bytes)
{
	if (atomic_load_explicit(&known.filled, memory_order_relaxed) < EXPECTED_FROM ||
	    bytes < BLOCK_LEAST * vm_os.huge_bytes || live_bytes < LIVE_LEAST * vm_os.huge_bytes ||
	    bytes / LONGER_MOST > atomic_load_explicit(&known.longest, memory_order_relaxed))
		return false;
	uint32_t asked = atomic_fetch_add_explicit(&known.asked, 1, memory_order_relaxed);
	uint32_t scattered = (asked + 1) * 0x9E3779B1u;
	return scattered >= UINT32_MAX / PROBE_EACH &&
	       atomic_fetch_sub_explicit(&known.trusted, 1, memory_order_relaxed) > 0;
}
