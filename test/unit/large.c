/* SPDX-License-Identifier: MIT */
/* large/large.h over the fake kernel: contents, reuse, giving back, refusals. */
#include "fake_os.h"
#include "must.h"
#include "pattern.h"
#include "rng.h"
#include "suite.h"

#include "large/large.h"
#include "meta/footprint.h"
#include "meta/meta.h"
#include "os/conf.h"
#include "os/os.h"

#include <string.h>

static const size_t PAGE = PAGE_BYTES;

static void setup(void)
{
	vm_os_init();
	vm_conf_init();
	vm_options.map_count = false; /* what the kernel refuses is to be seen, not what the budget does */
}

/* What is mapped for blocks. */
static size_t block_bytes(void)
{
	return fake_maps.bytes - vm_meta_mapped();
}

static struct vm_stats stats(void)
{
	struct vm_stats stats = {0};
	vm_large_stats(&stats);
	return stats;
}

static void check_nothing_is_left(void)
{
	ck_assert_uint_eq(stats().large_live, 0);
	ck_assert_uint_eq(stats().large_blocks, 0);
	ck_assert_uint_eq(stats().large_dirty, 0);
	ck_assert_uint_eq(stats().large_clean, 0);
	ck_assert_uint_eq(block_bytes(), 0);
}

static void *alloc(size_t bytes)
{
	size_t dirty;
	void *block = vm_large_alloc(bytes, 16, &dirty);
	must(!block || dirty >= bytes || pattern_is_zero((char *)block + dirty, bytes - dirty));
	return block;
}

static void *alloc_touched(size_t bytes)
{
	void *block = alloc(bytes);
	ck_assert_ptr_nonnull(block);
	memset(block, 0x77, bytes);
	fake_os_touch(block, bytes);
	return block;
}

/* Of 1 MiB each, in one map where nothing lies between. */
static void alloc_blocks(char **blocks, int count)
{
	for (int i = 0; i < count; i++)
		blocks[i] = alloc_touched(MIB);
}

/* One block -------------------------------------------------------------------------------- */

START_TEST(a_block_has_the_pages_its_size_takes)
{
	setup();
	char *block = alloc(3 * PAGE + 1);
	ck_assert_uint_eq(vm_large_usable_size(block), 4 * PAGE);
	ck_assert(fake_os_is_writable(block, 4 * PAGE));
	ck_assert_uint_eq(vm_large_usable_size(block + PAGE), 0);
	ck_assert_uint_eq(vm_large_usable_size(block + 1), 0);
	ck_assert_uint_eq(stats().large_live, 4 * PAGE);
	ck_assert_uint_eq(stats().large_blocks, 1);
	ck_assert(vm_large_free(block));
	ck_assert_uint_eq(vm_large_usable_size(block), 0);
	ck_assert_uint_gt(vm_large_trim(), 0);
	check_nothing_is_left();
}
END_TEST

START_TEST(what_is_no_block_is_not_freed)
{
	setup();
	int on_stack;
	char *block = alloc(2 * PAGE);
	ck_assert(!vm_large_free(&on_stack));
	ck_assert(!vm_large_free(NULL));
	ck_assert(!vm_large_free(block + 1));
	ck_assert(!vm_large_free(block + PAGE));
	ck_assert_int_eq(vm_large_classify(&on_stack), MISUSE_FOREIGN);
	ck_assert_int_eq(vm_large_classify(block), MISUSE_FREED); /* and allocated again since */
	ck_assert_int_eq(vm_large_classify(block + 1), MISUSE_INTERIOR);
	ck_assert_int_eq(vm_large_classify(block + 2 * PAGE - 1), MISUSE_INTERIOR);
	ck_assert_int_eq(vm_large_classify(block + 2 * PAGE), MISUSE_FOREIGN);
	ck_assert(vm_large_free(block));
	ck_assert(!vm_large_free(block));
	ck_assert_int_eq(vm_large_classify(block), MISUSE_FREED);
	ck_assert_int_eq(vm_large_classify(block + PAGE), MISUSE_FREED);
	ck_assert(!vm_large_resize(block, 4 * PAGE));
	ck_assert_ptr_null(vm_large_move(block, 4 * PAGE));
}
END_TEST

START_TEST(sizes_that_no_machine_has_are_refused)
{
	setup();
	size_t dirty;
	ck_assert(vm_large_free(alloc_touched(MIB)));
	ck_assert_ptr_null(alloc(PTRDIFF_MAX));
	ck_assert_uint_eq(stats().large_dirty, MIB); /* nothing was given up for it */
	ck_assert_ptr_null(alloc((size_t)1 << 47));
	ck_assert_ptr_null(vm_large_alloc(PAGE, (size_t)1 << 62, &dirty));
	ck_assert_ptr_null(vm_large_alloc(PTRDIFF_MAX, (size_t)1 << 62, &dirty));
	check_nothing_is_left();
}
END_TEST

START_TEST(a_larger_page_of_the_kernel_is_minded)
{
	fake_os.page_bytes = 64 * KIB;
	setup();
	char *block = alloc(PAGE);
	ck_assert_uint_eq((uintptr_t)block % (64 * KIB), 0);
	ck_assert_uint_eq(vm_large_usable_size(block), 64 * KIB);
	ck_assert(vm_large_resize(block, 60 * KIB));
	ck_assert_uint_eq(vm_large_usable_size(block), 64 * KIB);
	ck_assert(vm_large_free(block));
	vm_large_trim();
	check_nothing_is_left();
}
END_TEST

/* Alignment --------------------------------------------------------------------------------- */

START_TEST(an_aligned_block_costs_no_more_than_its_size)
{
	setup();
	enum { COUNT = 64 };
	char *blocks[COUNT];
	size_t dirty;
	/* The places of a GiB's alignment are few under valgrind. */
	const size_t room = 4 * GIB;
	for (size_t alignment = PAGE; alignment <= GIB; alignment *= 2) {
		size_t bytes = alignment <= 4 * MIB ? alignment : 3 * PAGE;
		const size_t count = min_size(COUNT, room / alignment);
		for (size_t i = 0; i < count; i++) {
			blocks[i] = vm_large_alloc(bytes, alignment, &dirty);
			ck_assert_ptr_nonnull(blocks[i]);
			ck_assert_uint_eq((uintptr_t)blocks[i] % alignment, 0);
			memset(blocks[i], 1, PAGE);
		}
		ck_assert_uint_eq(block_bytes(), count * bytes);
		for (size_t i = 0; i < count; i++)
			ck_assert(vm_large_free(blocks[i]));
		vm_large_trim();
		check_nothing_is_left();
	}
}
END_TEST

START_TEST(aligned_blocks_of_one_size_take_two_calls_only_where_the_first_lies_badly)
{
	setup();
	size_t dirty;
	alloc(PAGE); /* the next one lies badly */
	vm_large_alloc(64 * KIB, 64 * KIB, &dirty);
	uint64_t calls = fake_os.calls;
	for (int i = 0; i < 100; i++)
		ck_assert_ptr_nonnull(vm_large_alloc(64 * KIB, 64 * KIB, &dirty));
	ck_assert_uint_eq(fake_os.calls - calls, 100);
}
END_TEST

START_TEST(an_aligned_block_is_cut_out_of_a_freed_range)
{
	setup();
	size_t dirty;
	char *range = alloc_touched(MIB);
	ck_assert(vm_large_free(range));
	uint64_t calls = fake_os.calls;
	char *block = vm_large_alloc(64 * KIB, 256 * KIB, &dirty);
	ck_assert_uint_eq(fake_os.calls, calls);
	ck_assert_uint_gt(dirty, 0);
	ck_assert(block >= range && block < range + MIB);
	ck_assert_uint_eq((uintptr_t)block % (256 * KIB), 0);
	ck_assert_uint_eq(stats().large_dirty, MIB - 64 * KIB);
	ck_assert(vm_large_free(block));
	ck_assert_uint_eq(stats().large_dirty, MIB);
	vm_large_trim();
	check_nothing_is_left();
}
END_TEST

/* Keeping and giving back ------------------------------------------------------------------- */

START_TEST(freed_memory_is_used_again_without_a_call)
{
	setup();
	char *first = alloc_touched(4 * MIB);
	ck_assert(vm_large_free(first));
	uint64_t calls = fake_os.calls;
	for (int i = 0; i < 100; i++) {
		char *block = alloc(4 * MIB - (size_t)i * PAGE);
		ck_assert_ptr_eq(block, first);
		ck_assert(vm_large_free(block));
	}
	ck_assert_uint_eq(fake_os.calls, calls);
}
END_TEST

START_TEST(what_lies_ready_is_a_freed_range_with_its_memory)
{
	setup();
	size_t dirty;
	void *first = alloc_touched(4 * MIB);
	ck_assert_ptr_null(vm_large_alloc_ready(4 * MIB));
	ck_assert(vm_large_free(first));
	uint64_t calls = fake_os.calls;
	ck_assert_ptr_null(vm_large_alloc_ready(4 * MIB + 1));
	ck_assert_ptr_eq(vm_large_alloc_ready(4 * MIB - 1), first);
	ck_assert_uint_eq(vm_large_usable_size(first), 4 * MIB);
	ck_assert_uint_eq(fake_os.calls, calls);

	fake_os.fail_from = calls + 2; /* after the map */
	fake_os.fail_to = UINT64_MAX;
	ck_assert_ptr_nonnull(vm_large_alloc(3 * PAGE, 64 * KIB, &dirty));
	ck_assert_uint_eq(stats().large_clean, 64 * KIB - PAGE);
	ck_assert_ptr_null(vm_large_alloc_ready(4 * PAGE));
}
END_TEST

START_TEST(no_more_is_kept_than_the_option_says)
{
	setup();
	vm_os.memory_bytes = 0; /* else what does not raise the peak may stay */
	vm_options.dirty_bytes = 10 * MIB;
	enum { COUNT = 20 };
	char *blocks[COUNT];
	char *others[COUNT];
	for (int i = 0; i < COUNT; i++) {
		blocks[i] = alloc_touched(MIB);
		others[i] = alloc(PAGE); /* keeps the blocks apart */
	}
	/* A peak above the live would allow for more. */
	for (int i = 0; i < 10; i++) {
		ck_assert(vm_large_free(blocks[i]));
		ck_assert_uint_eq(stats().large_dirty, (size_t)(i + 1) * MIB);
	}
	for (int i = 10; i < COUNT; i++)
		ck_assert(vm_large_free(blocks[i]));
	ck_assert_uint_eq(stats().large_dirty, 10 * MIB);
	/* The oldest went. */
	ck_assert_int_eq(vm_large_classify(blocks[0]), MISUSE_FOREIGN);
	ck_assert_int_eq(vm_large_classify(blocks[COUNT - 1]), MISUSE_FREED);
	for (int i = 0; i < COUNT; i++)
		ck_assert(vm_large_free(others[i]));
	vm_large_trim();
	check_nothing_is_left();
}
END_TEST

START_TEST(a_range_above_the_bound_goes_without_pushing_out_the_others)
{
	setup();
	vm_os.memory_bytes = 0;
	vm_options.dirty_bytes = 10 * MIB;
	char *small = alloc_touched(MIB);
	alloc(PAGE);
	char *great = alloc_touched(11 * MIB);
	ck_assert(vm_large_free(small));
	ck_assert(vm_large_free(great));
	ck_assert_uint_eq(stats().large_dirty, MIB);
	ck_assert_int_eq(vm_large_classify(small), MISUSE_FREED);
	ck_assert_int_eq(vm_large_classify(great), MISUSE_FOREIGN);
}
END_TEST

/* Blocks of some MiB, each right above the last, in a map of their own. */
static void alloc_row(char **blocks, const size_t *mebibytes, int count)
{
	size_t bytes = 0;
	for (int i = 0; i < count; i++)
		bytes += mebibytes[i] * MIB;
	char *next = alloc_touched(bytes);
	ck_assert(vm_large_free(next));
	for (int i = 0; i < count; i++) {
		blocks[i] = alloc(mebibytes[i] * MIB);
		ck_assert_ptr_eq(blocks[i], next);
		next += mebibytes[i] * MIB;
	}
}

/* What comes next finds the rest. */
START_TEST(of_the_oldest_range_no_more_goes_than_is_too_much)
{
	setup();
	enum { LOWEST, OLD, SEPARATOR, YOUNG, HIGHEST, COUNT };
	char *row[COUNT];
	alloc_row(row, (const size_t[]){1, 8, 1, 3, 1}, COUNT);
	vm_os.memory_bytes = 0;
	vm_options.dirty_bytes = 10 * MIB;
	ck_assert(vm_large_free(row[OLD]));
	ck_assert_uint_eq(stats().large_dirty, 8 * MIB);
	ck_assert(vm_large_free(row[YOUNG]));
	ck_assert_uint_eq(stats().large_dirty, 10 * MIB);
	ck_assert_int_eq(vm_large_classify(row[YOUNG]), MISUSE_FREED);
	/* A call is worth 256 KiB. */
	ck_assert(vm_large_resize(row[LOWEST], MIB - PAGE));
	ck_assert_uint_eq(stats().large_dirty, 10 * MIB + PAGE - 256 * KIB);
}
END_TEST

START_TEST(that_end_of_a_range_goes_that_leaves_no_hole)
{
	for (int highest = 0; highest < 2; highest++) {
		setup();
		char *row[3];
		const size_t mebibytes[] = {highest ? 3 : 8, 1, highest ? 8 : 3};
		alloc_row(row, mebibytes, 3);
		vm_os.memory_bytes = 0;
		vm_options.dirty_bytes = 10 * MIB;
		char *old = row[highest ? 2 : 0];
		char *gone = highest ? old + 7 * MIB : old;
		size_t maps = fake_maps.count;
		ck_assert(vm_large_free(old));
		ck_assert(vm_large_free(row[highest ? 0 : 2]));
		ck_assert_uint_eq(stats().large_dirty, 10 * MIB);
		for (char *part = old; part < old + 8 * MIB; part += MIB)
			ck_assert_int_eq(vm_large_classify(part),
					 part == gone ? MISUSE_FOREIGN : MISUSE_FREED);
		ck_assert_uint_eq(fake_maps.count, maps);
		ck_assert(vm_large_free(row[1]));
		vm_large_trim();
		check_nothing_is_left();
	}
}
END_TEST

/* Frees a page, upon which the bound is looked at. */
static void look_at_bound(void)
{
	ck_assert(vm_large_free(alloc(PAGE)));
}

START_TEST(a_quarter_of_the_live_may_be_kept)
{
	setup();
	vm_options.dirty_bytes = 0;
	alloc_touched(40 * MIB);
	char *blocks[5];
	for (int i = 0; i < 5; i++) {
		blocks[i] = alloc_touched(3 * MIB);
		alloc_touched(3 * MIB);
	}
	for (int i = 0; i < 5; i++)
		ck_assert(vm_large_free(blocks[i]));
	alloc_touched(20 * MIB); /* none below the peak any more */
	look_at_bound();
	ck_assert_uint_eq(stats().large_dirty, 15 * MIB);
}
END_TEST

START_TEST(below_its_own_peak_a_program_may_keep_as_much_as_it_has_live)
{
	setup();
	vm_options.dirty_bytes = 0;
	vm_os.memory_bytes = 0;
	enum { COUNT = 20 };
	char *blocks[COUNT];
	alloc_blocks(blocks, COUNT);
	for (int i = 0; i < COUNT; i += 2)
		ck_assert(vm_large_free(blocks[i]));
	ck_assert_uint_eq(stats().large_dirty, 10 * MIB);

	/* Less live: as much dirty at most. */
	ck_assert(vm_large_free(blocks[1]));
	look_at_bound();
	ck_assert_uint_le(stats().large_dirty, 9 * MIB);

	/* At the peak again: a quarter of it. */
	char *great = alloc_touched(11 * MIB);
	look_at_bound();
	ck_assert_uint_le(stats().large_dirty, 5 * MIB);
	ck_assert_uint_gt(stats().large_dirty, 0);
	ck_assert(vm_large_free(great));
}
END_TEST

START_TEST(below_its_own_peak_a_program_may_keep_a_sixteenth_of_the_memory)
{
	setup();
	vm_options.dirty_bytes = 10 * MIB;
	vm_os.memory_bytes = 16 * 15 * MIB;
	enum { COUNT = 20 };
	char *blocks[COUNT];
	for (int i = 0; i < COUNT; i++) {
		blocks[i] = alloc_touched(MIB);
		alloc(PAGE);
	}
	for (int i = 0; i < COUNT; i++)
		ck_assert(vm_large_free(blocks[i]));
	ck_assert_uint_eq(stats().large_dirty, 15 * MIB);
	look_at_bound();
	ck_assert_uint_eq(stats().large_dirty, 15 * MIB);
	/* No more than before in all, also where a map was made or grew. */
	char *great = alloc_touched(16 * MIB);
	ck_assert_uint_eq(stats().large_dirty, 10 * MIB);
	vm_options.dirty_bytes = 5 * MIB;
	ck_assert_ptr_nonnull(vm_large_move(great, 19 * MIB));
	ck_assert_uint_eq(stats().large_dirty, 7 * MIB);
}
END_TEST

/* Parked blocks ---------------------------------------------------------------------------- */

START_TEST(a_parked_block_is_free_and_is_the_next_of_its_size)
{
	setup();
	char *block = alloc_touched(MIB - 1);
	ck_assert(vm_large_park(block, 3));
	ck_assert_uint_eq(vm_large_usable_size(block), 0);
	ck_assert(!vm_large_park(block, 3));
	ck_assert(!vm_large_park(block, 4));
	ck_assert(!vm_large_free(block));
	ck_assert(!vm_large_resize(block, PAGE));
	ck_assert_ptr_null(vm_large_move(block, 2 * MIB));
	ck_assert_int_eq(vm_large_classify(block), MISUSE_FREED);
	ck_assert_ptr_null(vm_large_take_parked(MIB, 1, 4));
	/* The moves above have freed it in the table. */
	ck_assert(vm_large_free(alloc(MIB)));
	ck_assert_uint_eq(stats().large_dirty, MIB);

	block = alloc(MIB);
	ck_assert(vm_large_park(block, 3));
	uint64_t calls = fake_os.calls;
	ck_assert_ptr_eq(vm_large_take_parked(MIB - PAGE + 1, PAGE, 3), block);
	ck_assert_uint_eq(vm_large_usable_size(block), MIB);
	ck_assert_uint_eq(fake_os.calls, calls);
	ck_assert_ptr_null(vm_large_take_parked(MIB, 1, 3));
	ck_assert(vm_large_free(block));
}
END_TEST

START_TEST(a_parked_block_that_does_not_fit_is_freed)
{
	setup();
	const size_t sizes[] = {MIB - PAGE, MIB + PAGE};
	char *block = alloc_touched(MIB);
	for (int i = 0; i < 2; i++) {
		ck_assert(vm_large_park(block, 0));
		ck_assert_ptr_null(vm_large_take_parked(sizes[i], 1, 0));
		ck_assert_uint_eq(stats().large_dirty, MIB);
		block = alloc(MIB);
	}
	ck_assert(vm_large_park(block, 0));
	ck_assert_ptr_null(vm_large_take_parked(MIB, GIB, 0));
	ck_assert_uint_eq(stats().large_dirty, MIB);
}
END_TEST

START_TEST(parked_memory_serves_blocks_of_any_size_and_growth)
{
	setup();
	char *low = alloc(4 * MIB);
	ck_assert(vm_large_resize(low, MIB));
	char *high = alloc(3 * MIB);
	ck_assert_ptr_eq(high, low + MIB);
	uint64_t calls = fake_os.calls;
	ck_assert(vm_large_park(high, 0));
	char *block = alloc(2 * MIB);
	ck_assert_ptr_eq(block, high);
	ck_assert(vm_large_park(block, 0));
	ck_assert(vm_large_resize(low, 4 * MIB));
	ck_assert_uint_eq(fake_os.calls, calls);
}
END_TEST

START_TEST(parked_blocks_decay_and_are_trimmed)
{
	setup();
	ck_assert(vm_large_park(alloc_touched(MIB), 0));
	ck_assert_uint_eq(vm_large_trim(), MIB);
	check_nothing_is_left();
	for (unsigned place = 0; place < 8; place++)
		ck_assert(vm_large_park(alloc_touched(MIB), place));
	vm_large_tick(fake_os_advance(vm_options.decay_ms));
	vm_large_tick(fake_os_advance(vm_options.decay_ms));
	ck_assert_uint_eq(block_bytes(), 0);
	check_nothing_is_left();
}
END_TEST

START_TEST(what_is_parked_is_looked_for_each_eighth_of_the_decay_time)
{
	setup();
	vm_options.decay_ms = 1000;
	vm_large_tick(fake_os.now_ms);
	char *block = alloc_touched(MIB);
	ck_assert(vm_large_park(block, 0));
	vm_large_tick(fake_os_advance(125));
	ck_assert_ptr_eq(vm_large_take_parked(MIB, 1, 0), block);
	ck_assert(vm_large_park(block, 0));
	vm_large_tick(fake_os_advance(1));
	ck_assert_ptr_null(vm_large_take_parked(MIB, 1, 0));
	ck_assert_uint_eq(stats().large_dirty, MIB);
}
END_TEST

/* So many DIRTY ranges of a MiB each, apart, while others hold more than was ever in use. */
static void make_dirty(size_t count)
{
	char *blocks[100];
	for (size_t i = 0; i < count; i++) {
		blocks[i] = alloc_touched(MIB);
		alloc(PAGE);
	}
	for (size_t i = 0; i < count; i++)
		ck_assert(vm_large_free(blocks[i]));
	vm_footprint_note(FOOTPRINT_HEAP, 0, GIB);
}

START_TEST(what_was_parked_just_now_is_not_old_where_no_tick_was_for_long)
{
	setup();
	alloc(PAGE);
	char *block = alloc_touched(4 * MIB);
	alloc(PAGE);
	vm_large_tick(fake_os_advance(1));
	fake_os_advance(10 * vm_options.decay_ms);
	ck_assert(vm_large_park(block, 0));
	ck_assert_ptr_nonnull(alloc(3 * MIB));
	vm_large_tick(fake_os_advance(1));
	ck_assert_uint_eq(stats().large_dirty, MIB);
}
END_TEST

START_TEST(what_grows_elsewhere_is_paid_for_by_the_oldest)
{
	setup();
	uint64_t calls = fake_os.calls;
	vm_large_give_back_for(MIB, fake_os.now_ms); /* nothing is there */
	ck_assert_uint_eq(fake_os.calls, calls);
	vm_footprint_note(FOOTPRINT_HEAP, 160 * MIB, 0); /* much was in use, so much may go */
	make_dirty(30);
	vm_large_give_back_for(MIB, fake_os.now_ms);
	ck_assert_uint_eq(stats().large_dirty, 29 * MIB);
	vm_large_give_back_for(4 * MIB + PAGE, fake_os.now_ms);
	ck_assert_uint_eq(stats().large_dirty, 25 * MIB - 256 * KIB); /* a call is worth it */
	vm_large_give_back_for(GIB, fake_os.now_ms); /* a batch at a time: 16 ranges */
	ck_assert_uint_eq(stats().large_dirty, 9 * MIB);
	vm_large_give_back_for(GIB, fake_os.now_ms);
	ck_assert_uint_eq(stats().large_dirty, 0);
}
END_TEST

START_TEST(no_more_is_paid_in_four_decay_times_than_the_option_says)
{
	setup();
	vm_options.dirty_bytes = 4 * MIB;
	make_dirty(30);
	size_t dirty = stats().large_dirty;
	ck_assert_uint_gt(dirty, 10 * MIB);
	for (int i = 0; i < 10; i++)
		vm_large_give_back_for(MIB, fake_os.now_ms);
	ck_assert_uint_eq(stats().large_dirty, dirty - 4 * MIB);
	vm_large_give_back_for(MIB, fake_os.now_ms + 4 * vm_options.decay_ms);
	ck_assert_uint_eq(stats().large_dirty, dirty - 5 * MIB);
}
END_TEST

START_TEST(a_trim_gives_back_any_number_of_ranges_and_tells_of_all)
{
	setup();
	make_dirty(40);
	fake_os.map_limit = fake_maps.count;
	ck_assert_uint_eq(vm_large_trim(), 40 * MIB);
	ck_assert_uint_ge(stats().large_clean, 38 * MIB); /* but for what was an edge */
	size_t clean = stats().large_clean;
	fake_os.map_limit += 100;
	ck_assert_uint_eq(vm_large_trim(), clean);
	ck_assert_uint_eq(stats().large_clean, 0);
}
END_TEST

START_TEST(no_more_is_parked_than_may_be_kept)
{
	setup();
	vm_options.dirty_bytes = 8 * MIB;
	char *block = alloc(MIB);
	char *other = alloc(MIB);
	ck_assert(!vm_large_park(alloc(MIB + PAGE), 0));
	ck_assert(vm_large_park(block, 0));
	ck_assert(!vm_large_park(other, 0)); /* one at a place */
	ck_assert_ptr_eq(vm_large_take_parked(MIB, 1, 0), block);
	vm_options.decay_ms = 0;
	ck_assert(!vm_large_park(block, 0));
}
END_TEST

START_TEST(decay_gives_back_what_was_not_used_for_its_time)
{
	setup();
	vm_options.decay_ms = 1000;
	char *old = alloc_touched(MIB);
	alloc(PAGE);
	char *young = alloc_touched(MIB);
	ck_assert(vm_large_free(old));
	fake_os.now_ms += 600;
	ck_assert(vm_large_free(young));
	uint64_t calls = fake_os.calls;
	vm_large_tick(fake_os_advance(399));
	ck_assert_uint_eq(fake_os.calls, calls);
	ck_assert_uint_eq(stats().large_dirty, 2 * MIB);
	vm_large_tick(fake_os_advance(1));
	ck_assert_uint_eq(stats().large_dirty, MIB);
	ck_assert_int_eq(vm_large_classify(young), MISUSE_FREED);
	vm_large_tick(fake_os_advance(600));
	ck_assert_uint_eq(stats().large_dirty, 0);
	calls = fake_os.calls;
	vm_large_tick(fake_os_advance(100000));
	ck_assert_uint_eq(fake_os.calls, calls);
}
END_TEST

START_TEST(of_what_is_old_as_much_goes_as_is_allowed_and_after_four_decay_times_the_rest)
{
	setup();
	vm_options.decay_ms = 1000;
	char *block = alloc_touched(12 * MIB);
	alloc_touched(12 * MIB); /* lives: as much dirty is not too much */
	uint64_t freed_ms = fake_os_advance(5000);
	ck_assert(vm_large_free(block));
	vm_options.dirty_bytes = 4 * MIB;
	vm_large_tick(freed_ms + 999);
	ck_assert_uint_eq(stats().large_dirty, 12 * MIB);
	for (uint64_t ms = 1000; ms < 4000; ms += 200) {
		vm_large_tick(freed_ms + ms);
		ck_assert_uint_eq(stats().large_dirty, 8 * MIB);
	}
	vm_large_tick(freed_ms + 4000);
	ck_assert_uint_eq(stats().large_dirty, 0);
}
END_TEST

/* Whoever leaves the lock tells the footprint what is live. */
static bool tick_takes_the_lock(uint64_t now_ms)
{
	const size_t nonsense = 12345;
	vm_footprint_note(FOOTPRINT_LARGE, nonsense, 0);
	vm_large_tick(now_ms);
	return vm_footprint_live(FOOTPRINT_LARGE) != nonsense;
}

START_TEST(a_tick_takes_no_lock_until_more_of_what_is_old_may_go)
{
	for (size_t bound = 0; bound <= 4 * MIB; bound += 4 * MIB) {
		setup();
		vm_options.decay_ms = 1000;
		char *block = alloc_touched(12 * MIB);
		char *live = alloc_touched(12 * MIB);
		uint64_t freed_ms = fake_os_advance(50000);
		vm_large_tick(freed_ms);
		ck_assert(vm_large_free(block));
		vm_options.dirty_bytes = bound;
		vm_large_tick(freed_ms + 999); /* looks for what is parked */
		ck_assert(!tick_takes_the_lock(freed_ms + 999));
		ck_assert(tick_takes_the_lock(freed_ms + 1000));
		ck_assert_uint_eq(stats().large_dirty, 12 * MIB - bound);
		ck_assert(!tick_takes_the_lock(freed_ms + 1001));
		vm_large_tick(freed_ms + 3999);
		ck_assert(!tick_takes_the_lock(freed_ms + 3999));
		ck_assert(tick_takes_the_lock(freed_ms + 4000));
		ck_assert_uint_eq(stats().large_dirty, 0);
		ck_assert(vm_large_free(live));
		vm_large_trim();
	}
}
END_TEST

START_TEST(what_goes_in_part_are_whole_pages_of_the_kernel)
{
	fake_os.page_bytes = 64 * KIB;
	setup();
	enum { LOWEST, OLD, SEPARATOR, YOUNG, HIGHEST, COUNT };
	char *row[COUNT];
	alloc_row(row, (const size_t[]){1, 8, 1, 3, 1}, COUNT);
	vm_os.memory_bytes = 0;
	vm_options.dirty_bytes = 10 * MIB + PAGE;
	ck_assert(vm_large_free(row[OLD]));
	ck_assert(vm_large_free(row[YOUNG]));
	ck_assert_uint_eq(stats().large_dirty, 10 * MIB);
}
END_TEST

START_TEST(a_tick_gives_back_any_number_of_ranges)
{
	setup();
	enum { COUNT = 100 };
	char *blocks[COUNT];
	for (int i = 0; i < COUNT; i++) {
		blocks[i] = alloc_touched(64 * KIB);
		alloc(PAGE);
	}
	for (int i = 0; i < COUNT; i++)
		ck_assert(vm_large_free(blocks[i]));
	vm_large_tick(fake_os_advance(4 * vm_options.decay_ms));
	ck_assert_uint_eq(stats().large_dirty, 0);
	ck_assert_uint_eq(stats().purges, COUNT);
	ck_assert_uint_eq(stats().purged_bytes, COUNT * 64 * KIB);
}
END_TEST

START_TEST(no_decay_time_means_nothing_is_kept)
{
	setup();
	vm_options.decay_ms = 0;
	ck_assert(vm_large_free(alloc_touched(MIB)));
	check_nothing_is_left();
}
END_TEST

START_TEST(trim_says_what_it_gave_back)
{
	setup();
	ck_assert_uint_eq(vm_large_trim(), 0);
	char *block = alloc_touched(5 * MIB);
	ck_assert_uint_eq(vm_large_trim(), 0);
	ck_assert(vm_large_free(block));
	ck_assert_uint_eq(vm_large_trim(), 5 * MIB);
	ck_assert_uint_eq(vm_large_trim(), 0);
}
END_TEST

/* At the map limit -------------------------------------------------------------------------- */

START_TEST(a_block_that_cannot_grow_counts_as_no_more_maps)
{
	setup();
	char *blocks[5];
	alloc_blocks(blocks, 5);
	fake_os.address_limit = fake_maps.bytes;
	for (int i = 0; i < 5; i++) {
		ck_assert_ptr_null(vm_large_move(blocks[i], 2 * MIB));
		ck_assert_uint_eq(stats().own_maps, 1);
	}
}
END_TEST

/* Blocks of 1 MiB in one map, of which the second is free, and no more maps. */
static void setup_tight(char *blocks[5])
{
	setup();
	alloc_blocks(blocks, 5);
	fake_os.map_limit = fake_maps.count;
	vm_options.map_count = true;
	ck_assert(vm_large_free(blocks[1])); /* leads to a reading: TIGHT */
	vm_large_tick(fake_os_advance(100000));
	ck_assert_uint_eq(stats().map_tight, 1);
}

START_TEST(a_block_that_may_not_move_is_lengthened_only_at_the_end_of_its_map)
{
	char *blocks[5];
	setup_tight(blocks);
	const uint64_t calls = fake_os.calls;
	ck_assert_ptr_null(vm_large_move(blocks[4], 2 * MIB)); /* blocks[3] is above it */
	ck_assert_uint_eq(fake_os.calls, calls);
}
END_TEST

START_TEST(where_it_is_tight_a_block_is_mapped_only_at_any_price)
{
	char *blocks[5];
	setup_tight(blocks);
	size_t dirty;
	ck_assert_ptr_null(vm_large_alloc(16 * MIB, 16, &dirty));
	ck_assert_ptr_nonnull(vm_large_alloc_at_any_price(16 * MIB, 16, &dirty)); /* beside the others: no new map */
}
END_TEST

START_TEST(what_the_kernel_does_not_unmap_is_purged_kept_and_unmapped_later)
{
	setup();
	char *blocks[5];
	alloc_blocks(blocks, 5);
	fake_os.map_limit = fake_maps.count;
	vm_options.decay_ms = 0;

	ck_assert(vm_large_free(blocks[2])); /* a middle */
	ck_assert_uint_eq(stats().own_maps, 3); /* as far as is known */
	ck_assert_uint_eq(stats().large_clean, MIB);
	ck_assert_uint_eq(fake_os_resident_bytes(blocks[2], MIB), 0);
	ck_assert_int_eq(vm_large_classify(blocks[2]), MISUSE_FREED);

	/* It is used again, as zeroed memory. */
	size_t dirty;
	ck_assert_ptr_eq(vm_large_alloc(MIB, 16, &dirty), blocks[2]);
	ck_assert_uint_eq(dirty, 0);
	ck_assert(pattern_is_zero(blocks[2], MIB));
	ck_assert(vm_large_free(blocks[2]));

	/* With the neighbours below it gone it is an edge, and goes with them. */
	ck_assert(vm_large_free(blocks[3]));
	ck_assert_uint_eq(stats().large_clean, 2 * MIB);
	ck_assert(vm_large_free(blocks[4]));
	ck_assert_uint_eq(stats().large_clean, 0);
	ck_assert_uint_eq(block_bytes(), 2 * MIB);
	ck_assert(vm_large_free(blocks[1]));
	ck_assert(vm_large_free(blocks[0]));
	check_nothing_is_left();
}
END_TEST

START_TEST(trim_unmaps_clean_ranges_once_there_is_room)
{
	setup();
	char *blocks[9];
	alloc_blocks(blocks, 9);
	fake_os.map_limit = fake_maps.count;
	for (int i = 1; i < 9; i += 2)
		ck_assert(vm_large_free(blocks[i]));
	ck_assert_uint_eq(vm_large_trim(), 4 * MIB);
	ck_assert_uint_eq(stats().large_clean, 4 * MIB);
	uint64_t purges = fake_os.purges;
	ck_assert_uint_eq(vm_large_trim(), 0);
	ck_assert_uint_eq(fake_os.purges, purges); /* there is no memory in them */
	fake_os.map_limit += 2;
	ck_assert_uint_eq(vm_large_trim(), 2 * MIB);
	fake_os.map_limit += 2;
	ck_assert_uint_eq(vm_large_trim(), 2 * MIB);
	ck_assert_uint_eq(stats().large_clean, 0);
	for (int i = 0; i < 9; i += 2)
		ck_assert(vm_large_free(blocks[i]));
	vm_large_trim();
	check_nothing_is_left();
}
END_TEST

START_TEST(a_range_that_goes_makes_room_for_one_that_could_not)
{
	setup();
	alloc(PAGE);
	ck_assert_ptr_nonnull(fake_os_foreign_map(PAGE, false));
	char *alone = alloc_touched(MIB);
	ck_assert_ptr_nonnull(fake_os_foreign_map(PAGE, false));
	char *blocks[3];
	alloc_blocks(blocks, 3);
	fake_os.map_limit = fake_maps.count;
	vm_options.decay_ms = 0;
	fake_os.fail_from = fake_os.calls + 1;
	fake_os.fail_to = fake_os.fail_from + 1;
	ck_assert(vm_large_free(alone)); /* refused for once, or it would go at once */
	ck_assert(vm_large_free(blocks[1]));
	ck_assert_uint_eq(stats().large_clean, 2 * MIB);
	ck_assert_uint_eq(vm_large_trim(), 2 * MIB);
	ck_assert_uint_eq(stats().large_clean, 0);
}
END_TEST

START_TEST(memory_that_is_locked_stays_ours_until_it_is_not)
{
	setup();
	char *blocks[3];
	alloc_blocks(blocks, 3);
	fake_os.map_limit = fake_maps.count;
	fake_os.purge_refused = true;
	ck_assert(vm_large_free(blocks[1]));
	ck_assert_uint_eq(vm_large_trim(), 0);
	ck_assert_uint_eq(stats().large_dirty, MIB);
	ck_assert_uint_eq(stats().large_clean, 0);
	fake_os.purge_refused = false;
	vm_large_tick(fake_os_advance(vm_options.decay_ms));
	ck_assert_uint_eq(stats().large_dirty, 0);
	ck_assert_uint_eq(stats().large_clean, MIB);
	ck_assert_uint_eq(fake_os_resident_bytes(blocks[1], MIB), 0);
}
END_TEST

START_TEST(a_refused_block_is_served_from_what_is_free_but_scattered)
{
	setup();
	char *blocks[6];
	alloc_blocks(blocks, 6);
	fake_os.map_limit = fake_maps.count;
	vm_options.decay_ms = 0;
	ck_assert(vm_large_free(blocks[2])); /* CLEAN */
	vm_options.decay_ms = 1000;
	ck_assert(vm_large_free(blocks[3])); /* DIRTY */
	fake_os_foreign_maps_add(1);         /* above the limit: no map at all */
	char *block = alloc(2 * MIB);
	ck_assert_ptr_eq(block, blocks[3]);
	ck_assert_ptr_null(alloc(MIB));
}
END_TEST

/* What is known of a map that was just made is not what was known of the record that it got. */
START_TEST(the_rest_of_a_new_map_is_known_to_hold_nothing)
{
	setup();
	enum { COUNT = 6 };
	char *blocks[COUNT];
	size_t dirty;
	vm_options.decay_ms = 0;
	alloc_blocks(blocks, COUNT);
	for (int i = 0; i < COUNT; i++)
		ck_assert(vm_large_free(blocks[i]));
	uint64_t purges = fake_os.purges;
	fake_os.fail_from = fake_os.calls + 2; /* after the map */
	fake_os.fail_to = UINT64_MAX;
	ck_assert_ptr_nonnull(vm_large_alloc(3 * PAGE, 64 * KIB, &dirty));
	ck_assert_uint_eq(fake_os.purges, purges);
	ck_assert_uint_eq(stats().large_dirty, 0);
	ck_assert_uint_eq(stats().large_clean, 64 * KIB - PAGE);
}
END_TEST

START_TEST(a_refused_unmap_tells_the_budget_that_others_have_used_up_the_maps)
{
	fake_os.map_limit = 3000;
	setup();
	vm_options.map_count = true;
	vm_options.decay_ms = 0;
	char *blocks[5];
	alloc_blocks(blocks, 5);
	fake_os_foreign_maps_add(fake_os.map_limit - fake_maps.count);
	ck_assert(vm_large_free(blocks[1]));
	ck_assert_uint_eq(stats().unmaps_refused, 1);
	ck_assert_uint_eq(stats().splits_avoided, 0);
	ck_assert(vm_large_free(blocks[3]));
	ck_assert_uint_eq(stats().unmaps_refused, 1);
	ck_assert_uint_eq(stats().splits_avoided, 1);
}
END_TEST

START_TEST(the_figures_tell_of_blocks_ranges_and_maps)
{
	fake_os.map_limit = 8000;
	setup();
	char *blocks[7];
	alloc_blocks(blocks, 7);
	for (int i = 1; i < 6; i += 2)
		ck_assert(vm_large_free(blocks[i]));
	ck_assert_uint_eq(stats().large_blocks, 4);
	ck_assert_uint_eq(stats().large_live, 4 * MIB);
	ck_assert_uint_eq(stats().large_dirty, 3 * MIB);
	ck_assert_uint_eq(stats().large_dirty_ranges, 3);
	ck_assert_uint_eq(stats().own_maps, 1);
	ck_assert_uint_eq(stats().map_limit, 8000);
	ck_assert_uint_eq(stats().map_count, 0); /* not read yet */
	ck_assert_uint_eq(stats().map_tight, 0);
	ck_assert_uint_eq(stats().lifeboat_held, 1);

	fake_os.map_limit = fake_maps.count;
	ck_assert_uint_eq(vm_large_trim(), 3 * MIB);
	ck_assert_uint_eq(stats().large_dirty_ranges, 0);
	ck_assert_uint_eq(stats().large_clean_ranges, 3);
	ck_assert_uint_eq(stats().large_clean, 3 * MIB);
	ck_assert_uint_eq(stats().unmaps_refused, 6); /* offered again as CLEAN */
	ck_assert_uint_eq(stats().purges, 3);
	ck_assert_uint_eq(stats().purged_bytes, 3 * MIB);
	ck_assert_uint_eq(stats().splits_avoided, 0);

	vm_options.map_count = true;
	vm_options.map_share = 1;
	fake_os.map_limit = 2000;
	fake_os.fail_from = fake_os.calls + 1;
	fake_os.fail_to = fake_os.calls + 2;
	size_t count = fake_maps.count;
	ck_assert_ptr_nonnull(alloc(2 * MIB)); /* refused at first */
	ck_assert_uint_eq(stats().map_count, count);
	ck_assert_uint_eq(stats().map_limit, 2000);
}
END_TEST

START_TEST(maps_are_not_counted_while_few_are_made_and_none_is_refused)
{
	setup();
	vm_options.map_count = true;
	for (int i = 0; i < 10; i++) {
		char *block = alloc_touched(MIB);
		alloc(PAGE);
		ck_assert(vm_large_free(block));
		vm_large_tick(fake_os_advance(10000));
		ck_assert_uint_eq(vm_large_trim(), 0);
	}
	ck_assert_uint_eq(stats().map_count, 0);
}
END_TEST

/* Blocks that are each a map of the kernel's. */
static void alloc_apart(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		alloc(PAGE);
		must(fake_os_foreign_map(PAGE, false));
	}
}

START_TEST(a_tick_reads_the_count_of_maps_after_many_were_made_if_it_may)
{
	setup();
	alloc_apart(4500);
	vm_large_tick(fake_os_advance(1));
	ck_assert_uint_eq(stats().map_count, 0);
	vm_options.map_count = true;
	alloc_apart(1);
	vm_large_tick(fake_os_advance(1));
	size_t count = fake_maps.count;
	ck_assert_uint_eq(stats().map_count, count);
	/* And no sooner than a thousandth of the time allows. */
	uint64_t read_ms = fake_os.now_ms;
	alloc_apart(4500);
	vm_large_tick(read_ms + os_count_pause_ms(count) - 1);
	ck_assert_uint_eq(stats().map_count, count);
	vm_large_tick(read_ms + os_count_pause_ms(count));
	ck_assert_uint_eq(stats().map_count, fake_maps.count);
}
END_TEST

/* Resizing ---------------------------------------------------------------------------------- */

START_TEST(shrinking_gives_the_tail_back)
{
	setup();
	char *block = alloc(MIB);
	pattern_fill(block, MIB, 1);
	ck_assert(vm_large_resize(block, 100 * KIB));
	ck_assert_uint_eq(vm_large_usable_size(block), 100 * KIB);
	ck_assert(pattern_holds(block, 100 * KIB, 1));
	ck_assert_uint_eq(stats().large_dirty, MIB - 100 * KIB);
	ck_assert_int_eq(vm_large_classify(block + 100 * KIB), MISUSE_FREED);
	vm_large_trim();
	ck_assert_uint_eq(block_bytes(), 100 * KIB);
	ck_assert(pattern_holds(block, 100 * KIB, 1));
}
END_TEST

/* Of a block that becomes shorter, how often the rest is cut off the huge pages that it may share. */
static uint64_t cuts_of_shrinking(size_t bytes, size_t to)
{
	char *block = alloc_touched(bytes);
	uint64_t before = fake_os.huge_cuts;
	must(vm_large_resize(block, to));
	vm_large_trim();
	uint64_t cuts = fake_os.huge_cuts - before;
	must(vm_large_free(block));
	vm_large_trim();
	must(fake_os.huge_cuts == before + cuts); /* a whole map shares none */
	return cuts;
}

START_TEST(what_goes_from_beside_a_short_block_is_cut_off_its_huge_page)
{
	setup();
	fake_os.huge_bytes = 2 * MIB;
	vm_os_find_huge_pages();
	ck_assert_uint_eq(cuts_of_shrinking(6 * MIB, 100 * KIB), 1);
	ck_assert_uint_eq(cuts_of_shrinking(6 * MIB, 3 * MIB), 1);
	ck_assert_uint_eq(cuts_of_shrinking(12 * MIB, 5 * MIB), 0);

	char *above = alloc_touched(MIB);
	char *below = alloc_touched(5 * MIB);
	ck_assert_ptr_eq(below + 5 * MIB, above);
	uint64_t cuts = fake_os.huge_cuts;
	must(vm_large_free(below));
	vm_large_trim();
	ck_assert_uint_eq(fake_os.huge_cuts, cuts + 1);
	must(vm_large_free(above));
	vm_large_trim();
	check_nothing_is_left();
}
END_TEST

START_TEST(growing_takes_the_free_ranges_above)
{
	setup();
	char *high = alloc_touched(MIB);
	char *middle = alloc_touched(MIB);
	char *low = alloc_touched(MIB);
	ck_assert_ptr_eq(low + MIB, middle);
	ck_assert(!vm_large_resize(low, MIB + PAGE));
	ck_assert(vm_large_free(middle));
	ck_assert(vm_large_resize(low, MIB + PAGE));
	ck_assert(vm_large_resize(low, 2 * MIB));
	ck_assert(!vm_large_resize(low, 2 * MIB + PAGE));
	ck_assert_uint_eq(vm_large_usable_size(low), 2 * MIB);
	ck_assert_uint_eq(stats().large_dirty, 0);
	ck_assert_uint_eq(stats().large_live, 3 * MIB);
	ck_assert(vm_large_free(high));
	ck_assert(vm_large_free(low));
	vm_large_trim();
	check_nothing_is_left();
}
END_TEST

START_TEST(moving_keeps_the_contents_and_gives_up_the_old_place)
{
	setup();
	alloc(PAGE);
	char *block = alloc(MIB);
	pattern_fill(block, MIB, 5);
	fake_os_touch(block, MIB);
	char *moved = vm_large_move(block, 8 * MIB);
	ck_assert_ptr_nonnull(moved);
	ck_assert(pattern_holds(moved, MIB, 5));
	ck_assert(pattern_is_zero(moved + MIB, 7 * MIB));
	ck_assert_uint_eq(vm_large_usable_size(moved), 8 * MIB);
	ck_assert_uint_eq(stats().large_live, 8 * MIB + PAGE);
	ck_assert_uint_eq(block_bytes(), 8 * MIB + PAGE);
	ck_assert(moved == block || !vm_large_free(block));
	ck_assert(vm_large_free(moved));
}
END_TEST

START_TEST(a_block_that_grows_by_a_quarter_is_copied_into_freed_memory)
{
	setup();
	char *block = alloc(MIB);
	pattern_fill(block, MIB, 5);
	alloc(PAGE);
	char *freed = alloc_touched(2 * MIB);
	alloc(PAGE);
	ck_assert(vm_large_free(freed));
	uint64_t calls = fake_os.calls;
	char *moved = vm_large_move(block, MIB + MIB / 4);
	ck_assert_uint_eq(fake_os.calls, calls);
	ck_assert_ptr_eq(moved, freed);
	ck_assert(pattern_holds(moved, MIB, 5));
	ck_assert_uint_eq(vm_large_usable_size(moved), MIB + MIB / 4);
	ck_assert_int_eq(vm_large_classify(block), MISUSE_FREED);

	/* By less, its pages are moved. */
	moved = vm_large_move(moved, MIB + MIB / 2);
	ck_assert_uint_eq(fake_os.calls, calls + 1);
	ck_assert(pattern_holds(moved, MIB, 5));
}
END_TEST

START_TEST(where_no_freed_range_is_long_enough_the_longest_becomes_the_block)
{
	setup();
	alloc(PAGE);
	char *kept = alloc_touched(MIB);
	alloc(PAGE);
	char *freed = alloc_touched(6 * MIB);
	alloc(PAGE);
	ck_assert(vm_large_free(kept));
	ck_assert(vm_large_free(freed));
	size_t mapped = block_bytes();
	size_t dirty;
	char *block = vm_large_alloc(8 * MIB, 16, &dirty);
	ck_assert_uint_eq(vm_large_usable_size(block), 8 * MIB);
	ck_assert_uint_eq(fake_os_resident_bytes(block, 8 * MIB), 6 * MIB);
	ck_assert_uint_eq(block_bytes(), mapped + 2 * MIB);
	ck_assert_uint_eq(stats().large_dirty, MIB);
	/* Who wants zeros clears no more than was there. */
	ck_assert_uint_eq(dirty, 6 * MIB);
	ck_assert(pattern_is_zero(block + dirty, 2 * MIB));
	pattern_fill(block, 8 * MIB, 5);
	ck_assert(pattern_holds(block, 8 * MIB, 5));

	/* One that is not a quarter as long does not. */
	char *other = vm_large_alloc(4 * MIB + PAGE, 16, &dirty);
	ck_assert_uint_eq(dirty, 0);
	ck_assert_uint_eq(stats().large_dirty, MIB);
	char *longer = vm_large_alloc(4 * MIB, 16, &dirty);
	ck_assert_uint_eq(dirty, MIB);
	ck_assert_uint_eq(stats().large_dirty, 0);
	ck_assert(vm_large_free(longer));
	ck_assert(vm_large_free(other));
	ck_assert(vm_large_free(block));
}
END_TEST

START_TEST(a_block_that_grows_is_copied_where_a_freed_range_has_half_more_than_it)
{
	setup();
	alloc(PAGE);
	char *block = alloc(2 * MIB);
	pattern_fill(block, 2 * MIB, 5);
	fake_os_touch(block, 2 * MIB);
	alloc(PAGE);
	char *freed = alloc_touched(3 * MIB);
	alloc(PAGE);
	ck_assert(vm_large_free(freed));
	char *moved = vm_large_move(block, 4 * MIB);
	ck_assert(pattern_holds(moved, 2 * MIB, 5));
	ck_assert_uint_eq(fake_os_resident_bytes(moved, 4 * MIB), 3 * MIB);
	ck_assert_uint_eq(stats().large_dirty, 2 * MIB);
	ck_assert_int_eq(vm_large_classify(block), MISUSE_FREED);
	ck_assert(vm_large_free(moved));
}
END_TEST

START_TEST(where_the_kernel_does_not_lengthen_a_freed_range_it_stays_one)
{
	setup();
	alloc(PAGE);
	char *freed = alloc_touched(6 * MIB);
	alloc(PAGE);
	ck_assert(vm_large_free(freed));
	fake_os.fail_from = fake_os.calls + 1;
	fake_os.fail_to = fake_os.calls + 2;
	size_t dirty;
	char *block = vm_large_alloc(8 * MIB, 16, &dirty);
	ck_assert_ptr_nonnull(block);
	ck_assert_uint_eq(dirty, 0);
	ck_assert_uint_eq(fake_os_resident_bytes(block, 8 * MIB), 0);
	ck_assert_uint_eq(stats().large_dirty, 6 * MIB);
	ck_assert_int_eq(vm_large_classify(freed), MISUSE_FREED);
	ck_assert(vm_large_free(block));
}
END_TEST

START_TEST(a_refused_move_leaves_the_block_alone)
{
	setup();
	alloc(PAGE);
	char *block = alloc(MIB);
	pattern_fill(block, MIB, 5);
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	ck_assert_ptr_null(vm_large_move(block, 8 * MIB));
	ck_assert(pattern_holds(block, MIB, 5));
	ck_assert_uint_eq(vm_large_usable_size(block), MIB);
	ck_assert(vm_large_free(block));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_block_has_the_pages_its_size_takes,
		what_is_no_block_is_not_freed,
		sizes_that_no_machine_has_are_refused,
		a_larger_page_of_the_kernel_is_minded,
		an_aligned_block_costs_no_more_than_its_size,
		aligned_blocks_of_one_size_take_two_calls_only_where_the_first_lies_badly,
		an_aligned_block_is_cut_out_of_a_freed_range,
		freed_memory_is_used_again_without_a_call,
		what_lies_ready_is_a_freed_range_with_its_memory,
		no_more_is_kept_than_the_option_says,
		a_range_above_the_bound_goes_without_pushing_out_the_others,
		of_the_oldest_range_no_more_goes_than_is_too_much,
		that_end_of_a_range_goes_that_leaves_no_hole,
		a_quarter_of_the_live_may_be_kept,
		below_its_own_peak_a_program_may_keep_as_much_as_it_has_live,
		below_its_own_peak_a_program_may_keep_a_sixteenth_of_the_memory,
		a_parked_block_is_free_and_is_the_next_of_its_size,
		a_parked_block_that_does_not_fit_is_freed,
		parked_memory_serves_blocks_of_any_size_and_growth,
		parked_blocks_decay_and_are_trimmed,
		what_is_parked_is_looked_for_each_eighth_of_the_decay_time,
		what_was_parked_just_now_is_not_old_where_no_tick_was_for_long,
		what_grows_elsewhere_is_paid_for_by_the_oldest,
		no_more_is_paid_in_four_decay_times_than_the_option_says,
		a_trim_gives_back_any_number_of_ranges_and_tells_of_all,
		no_more_is_parked_than_may_be_kept,
		decay_gives_back_what_was_not_used_for_its_time,
		of_what_is_old_as_much_goes_as_is_allowed_and_after_four_decay_times_the_rest,
		a_tick_takes_no_lock_until_more_of_what_is_old_may_go,
		what_goes_in_part_are_whole_pages_of_the_kernel,
		a_tick_gives_back_any_number_of_ranges,
		no_decay_time_means_nothing_is_kept,
		trim_says_what_it_gave_back,
		a_block_that_cannot_grow_counts_as_no_more_maps,
		a_block_that_may_not_move_is_lengthened_only_at_the_end_of_its_map,
		where_it_is_tight_a_block_is_mapped_only_at_any_price,
		what_the_kernel_does_not_unmap_is_purged_kept_and_unmapped_later,
		trim_unmaps_clean_ranges_once_there_is_room,
		a_range_that_goes_makes_room_for_one_that_could_not,
		memory_that_is_locked_stays_ours_until_it_is_not,
		a_refused_block_is_served_from_what_is_free_but_scattered,
		the_rest_of_a_new_map_is_known_to_hold_nothing,
		a_refused_unmap_tells_the_budget_that_others_have_used_up_the_maps,
		the_figures_tell_of_blocks_ranges_and_maps,
		maps_are_not_counted_while_few_are_made_and_none_is_refused,
		a_tick_reads_the_count_of_maps_after_many_were_made_if_it_may,
		shrinking_gives_the_tail_back,
		what_goes_from_beside_a_short_block_is_cut_off_its_huge_page,
		growing_takes_the_free_ranges_above,
		moving_keeps_the_contents_and_gives_up_the_old_place,
		a_block_that_grows_by_a_quarter_is_copied_into_freed_memory,
		where_no_freed_range_is_long_enough_the_longest_becomes_the_block,
		a_block_that_grows_is_copied_where_a_freed_range_has_half_more_than_it,
		where_the_kernel_does_not_lengthen_a_freed_range_it_stays_one,
		a_refused_move_leaves_the_block_alone,
		NULL,
	};
	return suite_run("large", tests, 60);
}
