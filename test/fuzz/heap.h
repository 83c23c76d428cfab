/* SPDX-License-Identifier: MIT */
/*
 * The allocator that programs of the fuzzer run on, chosen when linking: heap_std.c has the
 * standard names of the process, heap_vm.c the vm_* functions. What one of them lacks it makes of
 * what it has.
 */
#ifndef FUZZ_HEAP_H
#define FUZZ_HEAP_H

#include <stddef.h>

/* The first thing in main: may execute the program again. */
void heap_prepare(char **argv);

void *heap_malloc(size_t size);
void *heap_calloc(size_t count, size_t size);
void *heap_realloc(void *block, size_t size);
void *heap_reallocarray(void *block, size_t count, size_t size);
void *heap_aligned_alloc(size_t alignment, size_t size);
void *heap_memalign(size_t alignment, size_t size);
int heap_posix_memalign(void **block, size_t alignment, size_t size);
void *heap_valloc(size_t size);
void *heap_pvalloc(size_t size);
void heap_free(void *block);
void heap_free_sized(void *block, size_t size);
void heap_free_aligned_sized(void *block, size_t alignment, size_t size);
size_t heap_usable_size(void *block);
void heap_trim(size_t pad);

/* Stops where the allocator does not tell rightly whether it was the size itself that made it refuse
 * this thread's last call. */
enum fault { FAULT_OF_SIZE, FAULT_OF_KERNEL, FAULT_OF_EITHER };
void heap_must_tell(enum fault fault);

/* Stops unless nothing is live and, after heap_trim, all of what is free was given back. Where the
 * process itself allocates there, nothing is judged. */
void heap_must_be_empty(void);

#endif
