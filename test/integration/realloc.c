/* SPDX-License-Identifier: MIT */
/* realloc: contents over every change of kind, no needless move, failure and size 0. */
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "rng.h"
#include "suite.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const size_t sizes[] = {
	1, 8, 15, 16, 17, 100, 1024, 4096, 30000, 32768, 32769, 50000, 262144, 1000000, 1048576, 1100000, 5000000,
	40000000,
};
enum { SIZES = sizeof sizes / sizeof *sizes };

START_TEST(realloc_keeps_contents_between_all_kinds_of_blocks)
{
	for (size_t from = 0; from < SIZES; from++)
		for (size_t to = 0; to < SIZES; to++) {
			const size_t kept = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
			void *p = opaque(malloc(sizes[from]));
			pattern_fill(p, sizes[from], from);
			p = opaque(realloc(p, sizes[to]));
			ck_assert_ptr_nonnull(p);
			ck_assert_msg(pattern_holds(p, kept, from), "%zu -> %zu", sizes[from], sizes[to]);
			ck_assert_uint_ge(malloc_usable_size(p), sizes[to]);
			pattern_fill(p, malloc_usable_size(p), to);
			free(p);
		}
}
END_TEST

START_TEST(realloc_within_usable_size_never_moves)
{
	struct rng rng = rng_make(rng_process_seed());

	for (int i = 0; i < 20000; i++) {
		const size_t size = 1 + rng_size(&rng, i % 50 ? 100000 : 8 << 20);
		void *p = opaque(malloc(size));
		for (int j = 0; j < 3; j++) {
			const size_t usable = malloc_usable_size(p);
			const size_t wanted = j == 0 ? usable : 1 + rng_below(&rng, usable);
			void *moved = opaque(realloc(p, wanted));
			ck_assert_msg(moved == p, "realloc of %zu usable bytes to %zu moved", usable, wanted);
		}
		free(p);
	}
}
END_TEST

START_TEST(realloc_of_null_is_malloc)
{
	for (size_t i = 0; i < SIZES; i++) {
		void *p = opaque(realloc(NULL, sizes[i]));
		ck_assert_ptr_nonnull(p);
		pattern_fill(p, sizes[i], i);
		free(p);
	}
}
END_TEST

START_TEST(realloc_to_zero_frees_and_returns_null)
{
	for (int round = 0; round < 200; round++)
		for (size_t i = 0; i < SIZES; i++)
			ck_assert_ptr_null(opaque(realloc(opaque(malloc(sizes[i])), opaque_size(0))));
	ck_assert_uint_lt(proc_status_bytes("VmData:"), 400u << 20);
}
END_TEST

static void check_refused(void *p, size_t size, size_t wanted)
{
	errno = 0;
	ck_assert_ptr_null(opaque(realloc(p, opaque_size(wanted))));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert(pattern_holds(p, size, size));
}

START_TEST(failed_realloc_keeps_the_block)
{
	for (size_t i = 0; i < SIZES; i++) {
		void *p = opaque(malloc(sizes[i]));
		pattern_fill(p, sizes[i], sizes[i]);
		check_refused(p, sizes[i], SIZE_MAX);
		check_refused(p, sizes[i], (size_t)PTRDIFF_MAX + 1);
		check_refused(p, sizes[i], (size_t)1 << 50);
		free(p);
	}
}
END_TEST

START_TEST(realloc_that_the_kernel_refuses_keeps_the_block)
{
	suite_skip_in_variant("no-break", "RLIMIT_AS does not refuse a heap that has its addresses reserved");
	const size_t now = proc_status_bytes("VmSize:");
	const struct rlimit limit = { now + (64 << 20), now + (64 << 20) };
	void *held[SIZES];

	for (size_t i = 0; i < SIZES; i++)
		pattern_fill(held[i] = opaque(malloc(sizes[i])), sizes[i], sizes[i]);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	for (size_t i = 0; i < SIZES; i++) {
		check_refused(held[i], sizes[i], 300u << 20);
		free(held[i]);
	}
}
END_TEST

START_TEST(a_buffer_grown_step_by_step_keeps_its_contents)
{
	unsigned char *p = NULL;
	size_t size = 0;

	while (size < (64u << 20)) {
		const size_t wanted = size + 1 + size / 7;
		p = opaque(realloc(p, wanted));
		ck_assert_ptr_nonnull(p);
		ck_assert(pattern_holds(p, size < 4096 ? size : 4096, 7));
		memset(p + size, 0xEE, wanted - size);
		pattern_fill(p, wanted < 4096 ? wanted : 4096, 7);
		size = wanted;
	}
	for (size_t i = 4096; i < size; i += 1021)
		ck_assert_uint_eq(p[i], 0xEE);
	free(p);
}
END_TEST

START_TEST(a_small_block_that_is_appended_to_moves_four_times_a_doubling_at_most)
{
	int moves = 0;
	void *p = opaque(malloc(64));

	for (size_t size = 64; size <= 32 << 10; size += 8) {
		void *grown = opaque(realloc(p, size));
		moves += grown != p;
		p = grown;
	}
	ck_assert_int_le(moves, 9 * 4);
	free(p);
}
END_TEST

/* Where all are runs of the heap, and none has the pages behind it for long. */
START_TEST(buffers_side_by_side_that_are_appended_to_move_four_times_a_doubling_at_most)
{
	enum { BUFFERS = 8, STEP = 4096 };
	suite_skip_in_variant("mmap_threshold", "what is mapped moves without a copy");
	void *buffers[BUFFERS] = { NULL };
	int moves = 0;

	for (size_t size = STEP; size <= 800 << 10; size += STEP)
		for (int i = 0; i < BUFFERS; i++) {
			void *grown = opaque(realloc(buffers[i], size));
			ck_assert_ptr_nonnull(grown);
			moves += grown != buffers[i];
			buffers[i] = grown;
		}
	ck_assert_int_le(moves, BUFFERS * 8 * 4);
	for (int i = 0; i < BUFFERS; i++)
		free(buffers[i]);
}
END_TEST

START_TEST(shrinking_a_large_block_gives_its_memory_back)
{
	void *p = opaque(malloc(128 << 20));
	memset(p, 1, 128 << 20);
	const size_t before = proc_rss_bytes();

	p = opaque(realloc(p, 2 << 20));
	ck_assert_uint_lt(malloc_usable_size(p), 4 << 20);
	malloc_trim(0);
	ck_assert_uint_lt(proc_rss_bytes(), before - (120 << 20));
	free(p);
}
END_TEST

START_TEST(growing_a_large_block_does_not_hold_it_twice)
{
	suite_skip_in_variant("mmap_threshold", "the block is to be a mapping, which moves without a copy");
	void *p = opaque(malloc(96 << 20));
	memset(p, 1, 96 << 20);
	p = opaque(realloc(p, 192 << 20));
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_lt(proc_status_bytes("VmHWM:"), 140u << 20);
	free(p);
}
END_TEST

START_TEST(nor_does_it_where_much_of_the_heap_is_free)
{
	suite_skip_in_variant("mmap_threshold", "the block is to be a mapping, which moves without a copy");
	enum { COUNT = 120 << 10, BYTES = 1000 };
	static void *small[COUNT];
	for (size_t i = 0; i < COUNT; i++)
		memset(small[i] = opaque(malloc(BYTES)), 1, BYTES);
	for (size_t i = 0; i < COUNT; i++)
		free(small[i]);
	void *p = opaque(malloc(96 << 20));
	memset(p, 1, 96 << 20);
	const size_t before = proc_rss_bytes();
	p = opaque(realloc(p, 192 << 20));
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_lt(proc_rss_bytes(), before + (40 << 20));
	free(p);
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		realloc_keeps_contents_between_all_kinds_of_blocks,
		realloc_within_usable_size_never_moves,
		realloc_of_null_is_malloc,
		realloc_to_zero_frees_and_returns_null,
		failed_realloc_keeps_the_block,
		realloc_that_the_kernel_refuses_keeps_the_block,
		a_buffer_grown_step_by_step_keeps_its_contents,
		a_small_block_that_is_appended_to_moves_four_times_a_doubling_at_most,
		buffers_side_by_side_that_are_appended_to_move_four_times_a_doubling_at_most,
		shrinking_a_large_block_gives_its_memory_back,
		growing_a_large_block_does_not_hold_it_twice,
		nor_does_it_where_much_of_the_heap_is_free,
		NULL,
	};
	return suite_main(argv, "realloc", tests, 30);
}
