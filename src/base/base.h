/* SPDX-License-Identifier: MIT */
/* base.h - the ground: attributes, the allocator's page, and alignment helpers. No state, no calls. */
#ifndef VM_BASE_H
#define VM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOINLINE __attribute__((noinline))
#define ALWAYS_INLINE __attribute__((always_inline))
#define COLD __attribute__((cold))
#define NORETURN __attribute__((noreturn))
#define EXPORT __attribute__((visibility("default")))
/* For data that hits read: its address is then an offset from the code, not an entry of a table. */
#define HIDDEN __attribute__((visibility("hidden")))
/* Called by one jump through the dynamic linker's table, not by two. */
#if __has_attribute(noplt)
#define NOPLT __attribute__((noplt))
#else
#define NOPLT
#endif
#define CACHE_LINE 64
#define ALIGNED_TO_LINE __attribute__((aligned(CACHE_LINE)))

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* The allocator's own page, 4 KiB everywhere: runs, slabs and tables count in it. The kernel's page
 * may be larger (16 or 64 KiB on aarch64); os.h has it, and only what goes to the kernel minds it. */
#define PAGE_SHIFT 12
#define PAGE_BYTES ((size_t)1 << PAGE_SHIFT)

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

/* The structure of `type` whose member `member` lies at `pointer`. */
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))

static inline bool is_power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

/* Both take an alignment that is a power of two; align_up must not overflow. */
static inline uintptr_t align_up(uintptr_t n, size_t alignment)
{
	return (n + alignment - 1) & ~(uintptr_t)(alignment - 1);
}

static inline uintptr_t align_down(uintptr_t n, size_t alignment)
{
	return n & ~(uintptr_t)(alignment - 1);
}

/* The pages that `size` bytes take; size at most PTRDIFF_MAX. */
static inline size_t pages_of(size_t size)
{
	return (size + PAGE_BYTES - 1) >> PAGE_SHIFT;
}

static inline size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t max_size(size_t a, size_t b)
{
	return a > b ? a : b;
}

static inline size_t clamp_size(size_t n, size_t low, size_t high)
{
	return max_size(low, min_size(n, high));
}

/* The index of the highest set bit; n is not 0. */
static inline unsigned log2_floor(size_t n)
{
	return 63U - (unsigned)__builtin_clzl(n);
}

/* The least power of two that is not below n, which is 2 or more. */
static inline size_t power_of_two_from(size_t n)
{
	return (size_t)2 << log2_floor(n - 1);
}

/* What memalign takes an alignment for: the power of two from it on, where there is one. */
static inline size_t memalign_alignment(size_t alignment)
{
	return is_power_of_two(alignment) || alignment > PTRDIFF_MAX
		       ? alignment
		       : power_of_two_from(max_size(alignment, 2));
}

_Static_assert(sizeof(size_t) == 8, "the tables reckon with 64-bit addresses");

#endif
