/* SPDX-License-Identifier: MIT */
/*
 * vmalloc.h - what libvmalloc offers beyond the standard malloc family.
 *
 * The vm_* functions are there in every build: in libvmalloc.so and libvmalloc.a they work on the same
 * blocks as malloc, free ...; in libvmalloc_prefixed.a they stand alone beside the program's own malloc. A
 * block belongs to the family that made it: never mix the two there.
 *
 * Unless a function says otherwise: sizes are in bytes; a block is aligned to 16 bytes (8 for sizes
 * of 8 and below); every function may be called from any thread at any time, but not from a signal
 * handler; a failing function returns NULL and sets errno to ENOMEM; the size PTRDIFF_MAX is the
 * largest that is ever served. Any thread may fork, and the child may use them all.
 */
#ifndef VMALLOC_H
#define VMALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VM_VERSION_MAJOR 0
#define VM_VERSION_MINOR 1

/* As malloc(3): a block of at least `size` bytes, contents undefined. Size 0 gives a unique block. */
void *vm_malloc(size_t size) __attribute__((malloc, alloc_size(1), warn_unused_result));

/* As calloc(3): a zeroed block for `count` members of `size` bytes; ENOMEM where the product overflows. */
void *vm_calloc(size_t count, size_t size)
	__attribute__((malloc, alloc_size(1, 2), warn_unused_result));

/*
 * As realloc(3): resizes a block and keeps the contents up to the smaller size. It never moves a
 * block for a size of at most vm_malloc_usable_size(block). NULL as block is vm_malloc; size 0
 * frees the block and returns NULL. On failure the block stays as it was. An alignment above 16 is
 * kept only while the block does not move.
 */
void *vm_realloc(void *block, size_t size) __attribute__((alloc_size(2), warn_unused_result));

/*
 * As aligned_alloc(3) (C11 7.22.3.1): a block at a multiple of `alignment`, a power of two (else
 * NULL and EINVAL). `size` need not be a multiple of it.
 */
void *vm_aligned_alloc(size_t alignment, size_t size)
	__attribute__((malloc, alloc_align(1), alloc_size(2), warn_unused_result));

/*
 * As free(3): NULL is allowed, errno is kept. A pointer that is no live block ends the process with one
 * line on stderr that names it: at once, or, where it lies in a slab of small blocks (freed already, or
 * interior), when it leaves the thread's cache for its slab, which may be never.
 */
void vm_free(void *block);

/* As free_sized (C23 7.24.3.4): `size` is the size the block was asked for with. It is not checked. */
void vm_free_sized(void *block, size_t size);

/* As malloc_usable_size(3): the bytes the block really has, at least the size asked for; 0 for NULL.
 * Any other pointer that is no live block ends the process, as in vm_free. */
size_t vm_malloc_usable_size(void *block);

/*
 * As malloc_trim(3): gives the kernel back all memory that is free - the calling thread's cache, the
 * shared caches, empty slabs, free pages, large ranges - and lowers the break, keeping `pad` bytes
 * at its top. What lies in other threads' caches stays, and a sixteenth of huge pages may. Returns 1
 * if memory was given back, else 0.
 */
int vm_malloc_trim(size_t pad);

/*
 * The allocator's figures at about one moment, in bytes unless named otherwise. Fields are only ever
 * added, at the end; `version` counts the times.
 */
#define VM_STATS_VERSION 2
struct vm_stats {
	uint64_t version;           /* VM_STATS_VERSION of the library */
	uint64_t small_live;        /* blocks of the size classes that the program holds */
	uint64_t small_cached;      /* the same in thread caches and transfer caches */
	uint64_t medium_live;       /* page runs that the program holds: grown by realloc, aligned, or large ones
				     * that took free memory of the heap */
	uint64_t large_live;        /* mapped blocks that the program holds */
	uint64_t large_blocks;      /* their number */
	uint64_t large_dirty;       /* freed mapped ranges kept with their memory */
	uint64_t large_clean;       /* freed mapped ranges kept as address space only */
	uint64_t heap_mapped;       /* heap regions: the break's range and others */
	uint64_t heap_free_dirty;   /* free pages in them that still hold memory */
	uint64_t heap_free_clean;   /* free pages in them that hold none, but for some in huge pages */
	uint64_t meta_mapped;       /* the allocator's own records */
	uint64_t break_bytes;       /* the part of heap_mapped that the break made */
	uint64_t threads;           /* thread caches in use (count) */
	uint64_t purges;            /* calls that gave pages back (count) */
	uint64_t purged_bytes;      /* bytes given back by them, summed up since start */
	uint64_t trims;             /* times the break was lowered (count) */
	/* Since version 2, counts but for the switches: */
	uint64_t large_dirty_ranges; /* the ranges of large_dirty */
	uint64_t large_clean_ranges; /* the ranges of large_clean */
	uint64_t map_limit;         /* vm.max_map_count when last read */
	uint64_t map_count;         /* the process's maps when last read; 0: not read yet */
	uint64_t own_maps;          /* those that mapped blocks and their ranges are, at most */
	uint64_t map_tight;         /* 1 while no more are made as long as there is another way */
	uint64_t lifeboat_held;     /* 1 while some maps are held ready for when the limit is reached */
	uint64_t splits_avoided;    /* ranges not unmapped because that would have left a hole */
	uint64_t unmaps_refused;    /* ranges that the kernel did not unmap */
};

/*
 * Fills the first `size` bytes of *stats (pass sizeof *stats) with what they can hold. Returns the
 * number of bytes the library knows, so a caller built for a newer library can tell. Takes locks,
 * allocates nothing.
 */
size_t vm_stats(struct vm_stats *stats, size_t size);

/* Why the kernel refused memory. */
enum vm_cause {
	VM_CAUSE_NONE,          /* no allocation has failed */
	VM_CAUSE_SIZE,          /* the size, or its overflow, is beyond any address space */
	VM_CAUSE_MAP_LIMIT,     /* the process has vm.max_map_count maps */
	VM_CAUSE_ADDRESS_LIMIT, /* RLIMIT_AS (ulimit -v) */
	VM_CAUSE_DATA_LIMIT,    /* RLIMIT_DATA (ulimit -d) */
	VM_CAUSE_OVERCOMMIT,    /* vm.overcommit_memory: more than the kernel would ever back */
	VM_CAUSE_MEMORY,        /* none at that moment, for no limit that can be told */
};

struct vm_failure {
	enum vm_cause cause;
	size_t size;  /* asked for, or the alignment if more; SIZE_MAX where a product overflowed */
	size_t limit; /* in force then: maps, or bytes of RLIMIT_AS or RLIMIT_DATA; else 0 */
};

/*
 * Stores in *failure why the last allocation that failed in this thread did. False, and cause
 * VM_CAUSE_NONE, where none has, or where a thread without a cache (it never had one, or ends) could not
 * keep it. The cause is found when it happens, by asking the kernel for address space and memory in turn;
 * no file is opened, nothing allocated, no lock taken.
 */
bool vm_last_failure(struct vm_failure *failure);

/*
 * A program may define this string to set options, in the form of the environment variable
 * VMALLOC_CONF ("name:value,name:value"), which wins over it. Read once, when the library is loaded or
 * at the first allocation, whichever comes first: it takes a static initialiser, and a program that
 * the library is preloaded into has to export it (-rdynamic).
 */
extern const char *vm_conf __attribute__((weak));

#ifdef __cplusplus
}
#endif
#endif
