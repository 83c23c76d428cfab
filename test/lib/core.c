/* SPDX-License-Identifier: MIT */
#include "core.h"

#include "fake_os.h"
#include "must.h"

#include "boot.h"
#include "large/pool.h"
#include "os/os.h"
#include "small/bin.h"
#include "small/pageheap.h"
#include "small/region.h"

#include <stdatomic.h>

#include <vmalloc.h>

const struct allocator core_allocator = {
	vm_malloc, vm_calloc, vm_realloc, vm_aligned_alloc, vm_free, vm_malloc_usable_size,
};

const size_t core_ballast_bytes = 48 * PAGE_BYTES;

void core_check_tables(void)
{
	if (!atomic_load(&vm_booted))
		return;
	vm_bins_check();
	vm_pageheap_check();
	const struct mapping *mapping = vm_pool_enter();
	const struct vma_model *maps = vm_pool_maps();
	vm_mapping_check(mapping);
	vm_vma_check(maps);
	must(!mapping->held_count);
	must(!maps->reserved);
	must(maps->bytes == mapping->live_bytes + mapping->dirty.bytes + mapping->clean.bytes);
	vm_pool_leave();
}

static struct vm_stats all_stats(void)
{
	struct vm_stats stats;
	must(vm_stats(&stats, sizeof stats) == sizeof stats);
	return stats;
}

void core_must_be_empty(void)
{
	const struct vm_stats stats = all_stats();
	must(stats.heap_mapped == stats.heap_free_clean);
	must(!stats.heap_free_dirty && !stats.small_live && !stats.small_cached);
	must(!stats.large_blocks && !stats.large_live && !stats.large_dirty && !stats.large_clean);
}

static size_t bytes_of_regions(void)
{
	size_t bytes = 0;
	for (unsigned i = 0; i < REGIONS_MOST; i++) {
		const struct region *region = &vm_regions[i];
		const size_t pages = region->table_pages;
		if (i < vm_region_count)
			bytes += region->by_break ? region->bytes : region->limit_bytes;
		bytes += 2 * align_up(pages, 64 * KIB) + align_up(pages * sizeof(void *), 64 * KIB);
	}
	return bytes;
}

size_t core_stray_bytes(size_t untold_most)
{
	const size_t told = all_stats().meta_mapped + bytes_of_regions() + untold_most;
	return fake_maps.bytes - min_size(told, fake_maps.bytes);
}
