/* SPDX-License-Identifier: MIT */
/* memalign, posix_memalign, aligned_alloc, valloc, pvalloc: alignment, rules of refusal, and cost. */
#define _GNU_SOURCE 1
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "rng.h"
#include "suite.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmalloc.h>

static const size_t GIB = (size_t)1 << 30;
static void *const UNTOUCHED = (void *)0x1234;

static void *by_posix_memalign(size_t alignment, size_t size)
{
	void *p = NULL;

	ck_assert_int_eq(posix_memalign(&p, alignment, size), 0);
	return opaque(p);
}

static void check_block(void *p, size_t alignment, size_t size)
{
	ck_assert_msg(p != NULL, "alignment %zu, size %zu: refused", alignment, size);
	ck_assert_msg((uintptr_t)p % alignment == 0, "alignment %zu, size %zu: %p", alignment, size, p);
	ck_assert_uint_ge(malloc_usable_size(p), size);
	if (size <= 1 << 20)
		pattern_fill(p, size, alignment);
}

START_TEST(every_power_of_two_up_to_1_gib_is_served_by_every_function)
{
	static const size_t sizes[] = { 0, 1, 8, 24, 100, 4096, 5000, 40000, 300000, 2000000 };

	for (size_t alignment = 1; alignment <= GIB; alignment *= 2)
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			void *p = opaque(memalign(alignment, sizes[i]));
			void *q = opaque(aligned_alloc(alignment, sizes[i]));
			void *r = by_posix_memalign(alignment < 8 ? 8 : alignment, sizes[i]);
			check_block(p, alignment, sizes[i]);
			check_block(q, alignment, sizes[i]);
			check_block(r, alignment, sizes[i]);
			if (sizes[i] <= 1 << 20)
				ck_assert(pattern_holds(p, sizes[i], alignment));
			free(p);
			free(q);
			free(r);
		}
}
END_TEST

START_TEST(aligned_blocks_in_random_traffic_keep_contents)
{
	enum { HELD = 256 };
	struct rng rng = rng_make(rng_process_seed());
	static struct { void *p; size_t size; } held[HELD];

	for (size_t i = 0; i < 40000; i++) {
		const size_t k = rng_below(&rng, HELD);
		const size_t alignment = (size_t)1 << rng_below(&rng, 21);
		ck_assert(pattern_holds(held[k].p, held[k].size, k));
		free(held[k].p);
		held[k].size = rng_size(&rng, 1 << 17);
		held[k].p = opaque(memalign(alignment, held[k].size));
		check_block(held[k].p, alignment, held[k].size);
		pattern_fill(held[k].p, held[k].size, k);
	}
}
END_TEST

START_TEST(realloc_of_an_aligned_block_keeps_contents)
{
	for (size_t alignment = 16; alignment <= 1 << 24; alignment *= 4)
		for (size_t size = 10; size < 3000000; size *= 9) {
			void *p = opaque(memalign(alignment, size));
			pattern_fill(p, size, size);
			p = opaque(realloc(p, size * 5));
			ck_assert(pattern_holds(p, size, size));
			p = opaque(realloc(p, size / 2 + 1));
			ck_assert(pattern_holds(p, size / 2 + 1, size));
			free(p);
		}
}
END_TEST

static const size_t bad_alignments[] = { 0, 3, 12, 24, 48, 100, 4095, 4097, SIZE_MAX, SIZE_MAX - 1, 6ul << 40 };

START_TEST(aligned_alloc_refuses_other_than_powers_of_two_with_einval)
{
	for (size_t i = 0; i < sizeof bad_alignments / sizeof *bad_alignments; i++) {
		errno = 0;
		ck_assert_ptr_null(opaque(aligned_alloc(opaque_size(bad_alignments[i]), 64)));
		ck_assert_int_eq(errno, EINVAL);
	}
}
END_TEST

/* As glibc does. */
START_TEST(memalign_rounds_up_to_a_power_of_two)
{
	static const struct { size_t asked, had; } rounded[] = {
		{ 0, 2 }, { 3, 4 }, { 12, 16 }, { 24, 32 }, { 48, 64 }, { 100, 128 }, { 4095, 4096 }, { 4097, 8192 },
		{ 70000, 131072 },
	};

	for (size_t i = 0; i < sizeof rounded / sizeof *rounded; i++) {
		char *p = opaque(memalign(opaque_size(rounded[i].asked), 64));
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq((uintptr_t)p % rounded[i].had, 0);
		pattern_fill(p, 64, i);
		free(p);
	}
	errno = 0;
	ck_assert_ptr_null(opaque(memalign(opaque_size(SIZE_MAX), 64)));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(posix_memalign_refuses_bad_alignment_and_leaves_memptr_untouched)
{
	for (size_t i = 0; i < sizeof bad_alignments / sizeof *bad_alignments; i++) {
		void *p = UNTOUCHED;
		ck_assert_int_eq(posix_memalign(&p, opaque_size(bad_alignments[i]), 64), EINVAL);
		ck_assert_ptr_eq(p, UNTOUCHED);
	}
	for (size_t alignment = 1; alignment < sizeof(void *); alignment *= 2) {
		void *p = UNTOUCHED;
		ck_assert_int_eq(posix_memalign(&p, opaque_size(alignment), 64), EINVAL);
		ck_assert_ptr_eq(p, UNTOUCHED);
	}
}
END_TEST

START_TEST(posix_memalign_returns_enomem_and_leaves_memptr_untouched)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX - 100 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (size_t alignment = 8; alignment <= GIB; alignment *= 8) {
			void *p = UNTOUCHED;
			ck_assert_int_eq(posix_memalign(&p, alignment, opaque_size(sizes[i])), ENOMEM);
			ck_assert_ptr_eq(p, UNTOUCHED);
		}
}
END_TEST

START_TEST(valloc_and_pvalloc_give_whole_aligned_pages)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (size_t size = 1; size < 2000000; size = size * 3 + 1) {
		void *p = opaque(valloc(size));
		void *q = opaque(pvalloc(size));
		check_block(p, page, size);
		check_block(q, page, (size + page - 1) / page * page);
		free(p);
		free(q);
	}
}
END_TEST

static int by_address(const void *a, const void *b)
{
	const uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return (x > y) - (x < y);
}

/* Blocks of `size` at `size`: their addresses must lie densely and their memory be no more than they are. */
static void check_cost(size_t size, size_t count)
{
	static uintptr_t held[4096];
	const size_t rss = proc_rss_bytes(), mapped = proc_status_bytes("VmSize:");

	for (size_t i = 0; i < count; i++) {
		void *p = opaque(aligned_alloc(size, size));
		ck_assert_ptr_nonnull(p);
		memset(p, 1, size);
		ck_assert_uint_le(malloc_usable_size(p), size + size / 8);
		held[i] = (uintptr_t)p;
	}
	const size_t total = size * count, slack = total / 8 + (3 << 20);
	ck_assert_uint_lt(proc_rss_bytes(), rss + total + slack);
	ck_assert_uint_lt(proc_status_bytes("VmSize:"), mapped + total + slack + (8 << 20));
	qsort(held, count, sizeof *held, by_address);
	size_t dense = 0;
	for (size_t i = 1; i < count; i++)
		dense += held[i] - held[i - 1] == size;
	ck_assert_msg(dense >= count * 3 / 4, "of %zu blocks of %zu only %zu have a neighbour", count, size, dense);
	for (size_t i = 0; i < count; i++)
		free((void *)held[i]);
}

START_TEST(an_aligned_block_of_its_alignment_costs_its_size)
{
	check_cost(64 << 10, 256);
	check_cost(256, 4096);
	check_cost(4096, 2048);
	check_cost(16 << 10, 512);
	check_cost(256 << 10, 128);
}
END_TEST

START_TEST(an_aligned_large_block_costs_its_size)
{
	check_cost(2 << 20, 32);
}
END_TEST

START_TEST(a_small_block_at_a_huge_alignment_does_not_hold_the_distance)
{
	suite_skip_in_variant("mmap_threshold", "the distance is to be one between mappings");
	const size_t rss = proc_rss_bytes(), mapped = proc_status_bytes("VmSize:");

	for (int i = 0; i < 8; i++)
		ck_assert_ptr_nonnull(opaque(memalign(256 << 20, 100)));
	ck_assert_uint_lt(proc_rss_bytes(), rss + (1 << 20));
	ck_assert_uint_lt(proc_status_bytes("VmSize:"), mapped + (512 << 20));
}
END_TEST

START_TEST(vm_last_failure_tells_an_alignment_beyond_any_address_space)
{
	bool (*const last)(struct vm_failure *) =
		(bool (*)(struct vm_failure *))(uintptr_t)dlsym(RTLD_DEFAULT, "vm_last_failure");
	struct vm_failure failure;

	if (!suite_tests_the_library())
		return;
	free(opaque(malloc(1))); /* a cache, which keeps the failure */
	ck_assert_ptr_null(opaque(memalign(opaque_size((size_t)1 << 60), 100)));
	ck_assert(last(&failure));
	ck_assert_int_eq(failure.cause, VM_CAUSE_SIZE);
	ck_assert_uint_eq(failure.size, (size_t)1 << 60);
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		every_power_of_two_up_to_1_gib_is_served_by_every_function,
		aligned_blocks_in_random_traffic_keep_contents,
		realloc_of_an_aligned_block_keeps_contents,
		aligned_alloc_refuses_other_than_powers_of_two_with_einval,
		memalign_rounds_up_to_a_power_of_two,
		posix_memalign_refuses_bad_alignment_and_leaves_memptr_untouched,
		posix_memalign_returns_enomem_and_leaves_memptr_untouched,
		valloc_and_pvalloc_give_whole_aligned_pages,
		an_aligned_block_of_its_alignment_costs_its_size,
		an_aligned_large_block_costs_its_size,
		a_small_block_at_a_huge_alignment_does_not_hold_the_distance,
		vm_last_failure_tells_an_alignment_beyond_any_address_space,
		NULL,
	};
	return suite_main(argv, "aligned", tests, 30);
}
