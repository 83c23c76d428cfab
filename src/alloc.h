/* SPDX-License-Identifier: MIT */
/*
 * alloc.h - the hit paths of malloc and free, and all behind them that knows both small and large.
 *
 * A malloc hit: size to class, pop a pointer. A free hit: address to page, page to class, push. Both
 * take no lock, make no atomic access and touch no block; the exact number of their instructions is
 * checked by scripts/check-hotpath. Whatever else there is to do rides on a miss, and a miss is one
 * tail call.
 */
#ifndef VM_ALLOC_H
#define VM_ALLOC_H

#include "os/conf.h"
#include "small/region.h"
#include "thread/tcache.h"

#include <errno.h>

/* So many larger blocks from a cache until malloc misses, for the sake of the work that comes due with
 * time: what a program lives on that has become idle may all lie in its caches. (bench/space/spike
 * after 10 s, by its live bytes: 2.3 instead of 9.6; November 2026.) */
enum { HITS_A_LOOK = 128 };
extern __thread uint32_t vm_hits_left HIDDEN __attribute__((tls_model("initial-exec")));

/* malloc, aligned or not, and free where the cache does not do; they start the allocator if need be. */
NOINLINE void *vm_malloc_miss(size_t size);
NOINLINE void *vm_alloc_aligned_miss(size_t alignment, size_t size);
NOINLINE void vm_free_miss(void *block);

/* Debug builds: marks what is not yet written, proves and marks what is freed. */
void vm_debug_allocated(void *block, size_t size);
void vm_debug_freed(void *block);

/* False: the cache does not do. */
static ALWAYS_INLINE inline bool alloc_hit(size_t size, void **block)
{
	size_t class = CLASS_NONE;
	if (LIKELY(size <= SMALL_LOOKUP))
		class = class_looked_up(size);
	else if (size <= SMALL_MOST && LIKELY(--vm_hits_left))
		class = class_computed(size);
	if (UNLIKELY(!tcache_pop(vm_tcache, class, block)))
		return false;
	if (VM_DEBUG)
		vm_debug_allocated(*block, size);
	return true;
}

static ALWAYS_INLINE inline void *alloc_malloc(size_t size)
{
	void *block;
	return LIKELY(alloc_hit(size, &block)) ? block : vm_malloc_miss(size);
}

/* The size whose class has all slots aligned, or 0: slabs begin at a page, and the class of a multiple
 * is a multiple (up to 16 times the alignment each multiple is a class, beyond it each class is one). */
static inline size_t alloc_aligned_size(size_t alignment, size_t size)
{
	if (UNLIKELY(alignment > PAGE_BYTES || size > SMALL_MOST))
		return 0;
	return align_up(size + !size, alignment);
}

static ALWAYS_INLINE inline bool alloc_aligned_hit(size_t alignment, size_t size, void **block)
{
	size_t rounded = alloc_aligned_size(alignment, size);
	return LIKELY(rounded != 0) && alloc_hit(rounded, block);
}

/* One compare sends NULL, large and foreign pointers to the miss. */
static ALWAYS_INLINE inline void alloc_free(void *block)
{
	if (VM_DEBUG)
		vm_debug_freed(block);
	uintptr_t offset = (uintptr_t)block - vm_regions[0].base;
	if (LIKELY(offset < vm_regions[0].bytes) &&
	    LIKELY(tcache_push(vm_tcache, vm_regions[0].class_of[offset >> PAGE_SHIFT], block)))
		return;
	vm_free_miss(block);
}

/* The others: as the functions of vmalloc.h that are named like them. */
void *vm_alloc_zeroed(size_t count, size_t size);
void *vm_alloc_aligned(size_t alignment, size_t size);

/* NULL and EINVAL for an alignment that is no power of two. */
static inline void *alloc_aligned_if_valid(size_t alignment, size_t size)
{
	if (LIKELY(is_power_of_two(alignment)))
		return vm_alloc_aligned(alignment, size);
	errno = EINVAL;
	return NULL;
}

/* `function` is named in the sentence that ends the process for a pointer that is no block. */
size_t vm_alloc_usable_size(const void *block, const char *function);

/* Gives back what is free, as vm_malloc_trim. */
bool vm_alloc_trim(size_t pad);

/* Shared with resize.c ---------------------------------------------------------------------- */

/*
 * Above this size a slab is one slot: calloc and large alignments take a new one, which may be known to be
 * zero and can lie as it must; realloc makes it a run, which may grow where it lies.
 */
#define SLOT_MOST (32 * KIB)

static inline bool alloc_is_large(size_t size, size_t alignment)
{
	return max_size(size, alignment) >= vm_options.mmap_threshold;
}

/* As malloc does, but NULL without a word. */
void *vm_alloc_any(size_t size);

/* A page run or a mapped block; beyond its first *dirty bytes it reads as zeros, and `dirty` is NULL for one that need
 * not. NULL without a word, or, where memory has been given back before, as malloc's. */
void *vm_alloc_pages(size_t size, size_t alignment, size_t *dirty);
void *vm_alloc_pages_or_trim(size_t size, size_t alignment, size_t *dirty);

/* The USED run that starts at an address of a region. Anything else ends the process. */
struct run *vm_alloc_used_run(const struct region *region, const void *block, const char *function);

/* NULL, ENOMEM and a word of the cause. */
void *vm_alloc_out_of_memory(size_t size);

#endif
