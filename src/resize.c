/* SPDX-License-Identifier: MIT */
#include "resize.h"

#include "alloc.h"
#include "early.h"
#include "large/large.h"
#include "small/bin.h"
#include "small/pageheap.h"
#include "small/slab.h"

#include <string.h>

/* The run that a block of a region has to itself, a slab of one slot made a USED one; or NULL. */
static struct run *own_run(const struct region *region, const void *block)
{
	size_t page = region_page(region, (uintptr_t)block);
	unsigned class = region_class(region, page);
	if (!class)
		return vm_alloc_used_run(region, block, "realloc");
	if (vm_classes[class].slots > 1)
		return NULL;
	struct run *slab = region_run(region, page);
	vm_bin_disown(slab);
	vm_run_from_slab(slab);
	return slab;
}

/*
 * Blocks that grow get a quarter more: what is appended to is copied half as often. (16 texts of 16 KiB
 * that grow by 48 bytes: 38 us instead of 74, and 7.3 MB instead of 9.2.) But not beyond a power of two,
 * where programs like to stop. (2,000 lists that redis ends at 8 KiB: 37 MB instead of 41, the texts no
 * slower; November 2026.)
 */
static size_t with_room_to_grow(size_t size, size_t usable)
{
	return max_size(size, min_size(usable + usable / 4, power_of_two_from(size)));
}

/*
 * So do runs that grow by a sixteenth or less. (16 buffers that grow by 4 KiB to 800 KB: 30 ms instead of
 * 103, and 18.8 MB instead of 17.7. For whatever grows: 1.4 times the memory where 100 blocks of 64 KiB
 * to 1 MiB are reallocated at random; November 2026.)
 */
static size_t run_with_room_to_grow(size_t size, size_t usable)
{
	size_t roomy = with_room_to_grow(size, usable);
	bool appended = size <= usable + usable / 16;
	return appended && !alloc_is_large(roomy, 1) ? roomy : size;
}

static bool grow_run(struct run *run, size_t size)
{
	size_t roomy = run_with_room_to_grow(size, (size_t)run->pages << PAGE_SHIFT);
	run->roomy = roomy > size && vm_run_resize(run, pages_of(roomy));
	return run->roomy || vm_run_resize(run, pages_of(size));
}

static void shrink_run(struct run *run, size_t size)
{
	size_t pages = pages_of(size);
	if (run->roomy && pages >= run->pages - run->pages / 4)
		return;
	run->roomy = false;
	vm_run_resize(run, pages);
}

static void *alloc_pages_to_grow(size_t size, size_t usable)
{
	size_t roomy = run_with_room_to_grow(size, usable);
	void *with_room = roomy > size ? vm_alloc_pages(roomy, 1, NULL) : NULL;
	void *block = with_room ? with_room : vm_alloc_pages_or_trim(size, 1, NULL);
	const struct region *region = block ? region_of(block) : NULL;
	if (region)
		vm_alloc_used_run(region, block, "realloc")->roomy = with_room;
	return block;
}

/* A block of any kind in place, to fewer pages: what it has behind them goes back. */
static void shrink(void *block, size_t size)
{
	const struct region *region = region_of(block);
	struct run *run = region ? own_run(region, block) : NULL;
	if (run)
		shrink_run(run, size);
	else if (!region)
		vm_large_resize(block, size);
}

/* In place, or by the kernel moving its pages; NULL: neither does. */
static void *grow(void *block, size_t size)
{
	const struct region *region = region_of(block);
	if (!region)
		return vm_large_resize(block, size) ? block : vm_large_move(block, size);
	struct run *run = own_run(region, block);
	return run && grow_run(run, size) ? block : NULL;
}

/* The class of a block that shares its slab with others; class 0 of any else. */
static inline const struct sizeclass *shared_class(const void *block)
{
	const struct region *region = region_of(block);
	if (UNLIKELY(!region))
		return &vm_classes[CLASS_NONE];
	size_t page = region_page(region, (uintptr_t)block);
	const struct sizeclass *class = &vm_classes[region_class(region, page)];
	if (UNLIKELY(class->slots <= 1))
		return &vm_classes[CLASS_NONE];
	const struct run *slab = region_run(region, page);
	return LIKELY(slab_slot_state_by_class(slab, class, block) == SLOT_TAKEN)
		       ? class
		       : &vm_classes[CLASS_NONE];
}

/* NULL without a word, where it can be done without. */
static void *alloc_slot_quietly(size_t size)
{
	void *block;
	if (alloc_hit(size, &block))
		return block;
	block = vm_alloc_any(size);
	if (VM_DEBUG && block)
		vm_debug_allocated(block, size);
	return block;
}

static void *move(void *to, void *block, size_t kept)
{
	if (!to)
		return NULL;
	memcpy(to, block, kept);
	alloc_free(block);
	return to;
}

static NOINLINE void *grow_slot(void *block, size_t size, size_t usable)
{
	size_t roomy = min_size(with_room_to_grow(size, usable), SLOT_MOST);
	void *to = alloc_slot_quietly(roomy);
	return move(to ? to : alloc_malloc(size), block, usable);
}

static NOINLINE void *resize(void *block, size_t size)
{
	if (!block)
		return alloc_malloc(size);
	if (!size) {
		alloc_free(block);
		return NULL;
	}
	size_t usable = vm_alloc_usable_size(block, "realloc");
	if (UNLIKELY(early_holds(block)))
		return size <= usable ? block : move(alloc_malloc(size), block, usable);
	if (size <= usable) {
		if (pages_of(size) < pages_of(usable))
			shrink(block, size);
		return block;
	}
	if (size > PTRDIFF_MAX)
		return vm_alloc_out_of_memory(size);
	void *grown = grow(block, size);
	if (grown)
		return grown;
	if (size <= SLOT_MOST)
		return grow_slot(block, size, usable);
	return move(alloc_pages_to_grow(size, usable), block, usable);
}

/* Most calls are for text or an array that grows: such a block stays or goes to another slot. */
void *vm_alloc_resize(void *block, size_t size)
{
	size_t usable = shared_class(block)->bytes;
	if (LIKELY(size - 1 < usable))
		return block;
	return size && usable && size <= SLOT_MOST ? grow_slot(block, size, usable)
						   : resize(block, size);
}
