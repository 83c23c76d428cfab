/* SPDX-License-Identifier: MIT */
#include "meta/meta.h"

#include "os/lifeboat.h"
#include "os/lock.h"
#include "os/os.h"

enum {
	LEAST_SHIFT = 6,
	MOST_SHIFT = 20, /* the largest directory of the index of large blocks */
	SIZES = MOST_SHIFT - LEAST_SHIFT + 1,
};

#define CHUNK_LEAST (256 * KIB)
#define CHUNK_MOST (16 * MIB)

struct free_record {
	struct free_record *next;
};

static struct {
	struct lock lock;
	uintptr_t fresh; /* what was never handed out of the newest chunk: [fresh, end) */
	uintptr_t end;
	size_t mapped;
	struct free_record *free[SIZES];
} meta = {.lock = LOCK_INIT(RANK_META)};

static unsigned size_index(size_t bytes)
{
	return bytes <= 1U << LEAST_SHIFT ? 0 : log2_floor(bytes - 1) + 1 - LEAST_SHIFT;
}

static size_t index_bytes(unsigned index)
{
	return (size_t)1 << (LEAST_SHIFT + index);
}

static void put(uintptr_t address, unsigned index)
{
	struct free_record *record = (struct free_record *)address;
	record->next = meta.free[index];
	meta.free[index] = record;
}

/* Hands [from, to) to the lists in its largest pieces that are aligned to their size. */
static void keep(uintptr_t from, uintptr_t to)
{
	while (from < to) {
		unsigned aligned = (unsigned)__builtin_ctzl(from);
		unsigned fitting = log2_floor(to - from);
		unsigned shift = aligned < fitting ? aligned : fitting;
		unsigned index = (shift < MOST_SHIFT ? shift : MOST_SHIFT) - LEAST_SHIFT;
		put(from, index);
		from += index_bytes(index);
	}
}

/* A record that was free, or half of one twice as large, and so on, below a page: else each page for a
 * large record would leave a page of small ones behind it. (1,000 idle threads: 5 KiB instead of 9 each.) */
static void *take_free(unsigned index)
{
	unsigned from = index;
	while (!meta.free[from] && index_bytes(from + 1) < PAGE_BYTES)
		from++;
	struct free_record *record = meta.free[from];
	if (!record)
		return NULL;
	meta.free[from] = record->next;
	while (from-- > index)
		put((uintptr_t)record + index_bytes(from), from);
	return record;
}

/* Where no more maps are to be had, from the lifeboat's reserve. */
static void *map_or_launch(size_t bytes)
{
	void *address = vm_os_map(bytes);
	do {
		if (!address)
			address = vm_lifeboat_records(bytes);
	} while (!address && vm_lifeboat_launch());
	return address;
}

/* A new chunk of at least `bytes`, the least one where a larger is refused; what is left of the old
 * one goes to the lists. */
static bool map_chunk(size_t bytes)
{
	size_t least = max_size(bytes, CHUNK_LEAST);
	size_t chunk = clamp_size(meta.mapped / 4, CHUNK_LEAST, CHUNK_MOST);
	chunk = align_up(max_size(chunk, least), CHUNK_LEAST);
	void *address = map_or_launch(chunk);
	if (!address && chunk > least) {
		chunk = least;
		address = map_or_launch(chunk);
	}
	if (!address)
		return false;
	keep(meta.fresh, meta.end);
	meta.fresh = (uintptr_t)address;
	meta.end = meta.fresh + chunk;
	meta.mapped += chunk;
	return true;
}

static void *take_fresh(unsigned index)
{
	size_t bytes = index_bytes(index);
	size_t alignment = min_size(bytes, PAGE_BYTES);
	if (align_up(meta.fresh, alignment) + bytes > meta.end && !map_chunk(bytes))
		return NULL;
	uintptr_t start = align_up(meta.fresh, alignment);
	keep(meta.fresh, start);
	meta.fresh = start + bytes;
	return (void *)start;
}

void *vm_meta_alloc(size_t bytes)
{
	unsigned index = size_index(bytes);
	if (index >= SIZES)
		return NULL;
	lock_take(&meta.lock);
	void *record = take_free(index) ?: take_fresh(index);
	lock_release(&meta.lock);
	return record;
}

void vm_meta_free(void *record, size_t bytes)
{
	if (!record)
		return;
	lock_take(&meta.lock);
	put((uintptr_t)record, size_index(bytes));
	lock_release(&meta.lock);
}

size_t vm_meta_mapped(void)
{
	lock_take(&meta.lock);
	size_t mapped = meta.mapped;
	lock_release(&meta.lock);
	return mapped;
}

void vm_meta_lock_for_fork(void)
{
	vm_lock_take_for_fork(&meta.lock);
}

void vm_meta_unlock_after_fork(void)
{
	vm_lock_release_after_fork(&meta.lock);
}
