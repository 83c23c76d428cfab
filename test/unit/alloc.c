/* SPDX-License-Identifier: MIT */
/* alloc.h by the public functions over the fake kernel: what stands in for what is refused, what time and
 * growth give back, what debug builds mark. */
#include "core.h"
#include "fake_os.h"
#include "must.h"
#include "opaque.h"
#include "suite.h"

#include "os/conf.h"
#include "small/region.h"

#include <errno.h>
#include <string.h>

#include <vmalloc.h>

static struct vm_stats stats(void)
{
	struct vm_stats figures;
	must(vm_stats(&figures, sizeof figures) == sizeof figures);
	return figures;
}

/* The allocator starts at its first call. */
static void setup(void)
{
	vm_free(vm_malloc(1));
}

static void *by_calloc(size_t size)
{
	return vm_calloc(1, size);
}

static void *by_alignment(size_t size)
{
	return vm_aligned_alloc(8192, size);
}

static void *by_realloc(size_t size)
{
	return vm_realloc(vm_malloc(1), size);
}

static void *(*const functions[])(size_t) = {vm_malloc, by_calloc, by_alignment, by_realloc};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

/* A quarter of a MiB each, side by side; four are in the cache then. */
static void fill_cache(void)
{
	void *blocks[4];
	for (size_t i = 0; i < 4; i++)
		must((blocks[i] = vm_malloc(256 * KIB)));
	for (size_t i = 0; i < 4; i++)
		vm_free(blocks[i]);
	ck_assert_uint_ge(stats().small_cached, MIB);
}

START_TEST(what_the_kernel_refuses_is_had_from_what_is_in_caches)
{
	setup();
	for (size_t i = 0; i < FUNCTIONS; i++) {
		fill_cache();
		fake_os.commit_limit = fake_maps.writable_bytes;
		ck_assert_uint_lt(stats().heap_free_dirty + stats().heap_free_clean, 768 * KIB);
		char *block = functions[i](768 * KIB);
		ck_assert_ptr_nonnull(block);
		memset(block, 1, 768 * KIB);
		vm_free(block);
		fake_os.commit_limit = SIZE_MAX;
		vm_malloc_trim(0);
	}
}
END_TEST

START_TEST(what_is_more_than_the_heap_is_refused_without_emptying_the_caches)
{
	setup();
	fill_cache();
	for (size_t i = 0; i < FUNCTIONS; i++) {
		errno = 0;
		ck_assert_ptr_null(functions[i](opaque_size((size_t)1 << 46)));
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert_uint_ge(stats().small_cached, MIB);
	}
}
END_TEST

/* Every second of some blocks is freed: nothing merges. */
static void free_every_second(size_t count, size_t size)
{
	void *blocks[100];
	for (size_t i = 0; i < count; i++)
		must((blocks[i] = vm_malloc(size)));
	for (size_t i = 0; i < count; i += 2)
		vm_free(blocks[i]);
}

/* More than growth pays for at once. */
START_TEST(what_the_heap_keeps_is_given_back_where_large_blocks_take_its_place)
{
	setup();
	vm_options.dirty_bytes = MIB;
	free_every_second(60, 512 * KIB);
	ck_assert_uint_ge(stats().heap_free_dirty, 12 * MIB);
	fake_os_advance(100);
	must(vm_malloc(40 * MIB));
	ck_assert_uint_le(stats().heap_free_dirty, 4 * MIB);
}
END_TEST

START_TEST(what_large_blocks_keep_is_given_back_where_the_heap_takes_its_place)
{
	setup();
	vm_options.dirty_bytes = MIB;
	free_every_second(16, 2 * MIB);
	ck_assert_uint_eq(stats().large_dirty, 16 * MIB);
	for (size_t i = 0; i < 60; i++) {
		must(vm_malloc(512 * KIB));
		fake_os_advance(10);
	}
	ck_assert_uint_le(stats().large_dirty, 4 * MIB);
}
END_TEST

START_TEST(a_block_freed_with_its_size_is_free)
{
	static const size_t sizes[] = {1, 100, 5000, 100000, 2 * MIB};
	setup();
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		void *block = vm_malloc(sizes[i]);
		struct vm_stats before = stats();
		ck_assert_uint_ge(before.small_live + before.large_live, sizes[i]);
		vm_free_sized(block, sizes[i]);
		ck_assert_uint_eq(stats().small_live + stats().large_live, 0);
	}
}
END_TEST

static bool is_filled(const void *block, size_t bytes, unsigned char mark)
{
	const volatile unsigned char *at = block;
	for (size_t i = 0; i < bytes; i++)
		if (at[i] != mark)
			return false;
	return true;
}

static void expect_marks(size_t size)
{
	unsigned char *block = opaque(vm_malloc(size));
	must(is_filled(block, size, 0xAA));
	memset(block, 1, size);
	vm_free(block);
	must(is_filled(block, size, 0x55));
}

/* A block that misses the cache, then ones that hit it. */
START_TEST(debug_builds_mark_what_is_not_written_yet_and_what_is_freed)
{
	if (!VM_DEBUG)
		return;
	setup();
	for (size_t size = 8; size <= 32 * KIB; size *= 4)
		for (int i = 0; i < 20; i++)
			expect_marks(size);
	for (size_t size = 64; size <= 8 * KIB; size *= 2) {
		unsigned char *block = vm_malloc(size);
		must(vm_malloc_usable_size(block) == size);
		memset(block, 1, size);
		unsigned char *grown = opaque(vm_realloc(block, 2 * size));
		ck_assert(is_filled(grown, size, 1));
		ck_assert(is_filled(grown + size, size, 0xAA));
		vm_free(grown);
	}
}
END_TEST

/* Nor is it by the marks of debug builds. */
START_TEST(a_block_above_32_KiB_is_not_touched_before_the_program_does)
{
	static const size_t sizes[] = {33 * KIB, 40 * KIB, 500 * KIB, 3 * MIB};
	setup();
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		char *block = vm_malloc(sizes[i]);
		char *from = (char *)align_up((uintptr_t)block, PAGE_BYTES);
		ck_assert_uint_eq(fake_os_resident_bytes(from, sizes[i] - PAGE_BYTES), 0);
		vm_free(block);
		ck_assert_uint_eq(fake_os_resident_bytes(from, sizes[i] - PAGE_BYTES), 0);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		what_the_kernel_refuses_is_had_from_what_is_in_caches,
		what_is_more_than_the_heap_is_refused_without_emptying_the_caches,
		what_the_heap_keeps_is_given_back_where_large_blocks_take_its_place,
		what_large_blocks_keep_is_given_back_where_the_heap_takes_its_place,
		a_block_freed_with_its_size_is_free,
		debug_builds_mark_what_is_not_written_yet_and_what_is_freed,
		a_block_above_32_KiB_is_not_touched_before_the_program_does,
		NULL,
	};
	return suite_run("alloc", tests, 60);
}
