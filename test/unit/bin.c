/* SPDX-License-Identifier: MIT */
/* small/bin.h: blocks of all classes and shards are distinct, go back where they came from, and their
 * empty slabs go to the page heap. */
#include "fake_os.h"
#include "must.h"
#include "pattern.h"
#include "rng.h"
#include "suite.h"

#include "os/conf.h"
#include "os/os.h"
#include "small/bin.h"
#include "small/slab.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmalloc.h>

enum { BLOCKS = 6000, STEPS = 12000, BATCH = 300, SHARDS = 3 };

struct block {
	void *memory;
	uint64_t seed;
};

/* The blocks out, for each class. */
static struct {
	struct block blocks[BLOCKS];
	size_t count;
} out[CLASS_COUNT];
static size_t live_bytes;

static void setup(void)
{
	vm_os_init();
	vm_options.shards = SHARDS;
	must(vm_pageheap_init(true));
	must(vm_bins_init());
	must(vm_shards == SHARDS);
}

static struct vm_stats stats(void)
{
	struct vm_stats figures = {0};
	vm_bins_stats(&figures);
	vm_pageheap_stats(&figures);
	return figures;
}

static size_t heap_used(void)
{
	struct vm_stats figures = stats();
	return figures.heap_mapped - figures.heap_free_dirty - figures.heap_free_clean;
}

static void remember(unsigned class, void *memory, struct rng *rng)
{
	struct block *block = &out[class].blocks[out[class].count++];
	*block = (struct block){memory, rng_next(rng)};
	pattern_fill(memory, vm_classes[class].bytes, block->seed);
	live_bytes += vm_classes[class].bytes;
}

static void *forget(unsigned class, size_t index)
{
	struct block block = out[class].blocks[index];
	must(pattern_holds(block.memory, vm_classes[class].bytes, block.seed));
	out[class].blocks[index] = out[class].blocks[--out[class].count];
	live_bytes -= vm_classes[class].bytes;
	return block.memory;
}

/* Few of the large. */
static size_t batch_most(unsigned class)
{
	return clamp_size(256 * KIB / vm_classes[class].bytes, 2, BATCH);
}

static void fill(struct rng *rng, unsigned class)
{
	void *blocks[BATCH];
	size_t count = 1 + rng_below(rng, batch_most(class));
	unsigned shard = (unsigned)rng_below(rng, SHARDS);
	if (out[class].count + count > BLOCKS)
		return;
	must(vm_bin_fill(class, shard, blocks, count) == count);
	for (size_t i = 0; i < count; i++) {
		const struct region *region = region_of(blocks[i]);
		must(region);
		size_t page = region_page(region, (uintptr_t)blocks[i]);
		must(region->class_of[page] == class);
		must(region->run_of[page]->shard == shard);
		must(slab_slot_state(region->run_of[page], blocks[i]) == SLOT_TAKEN);
		remember(class, blocks[i], rng);
	}
}

static void flush(struct rng *rng, unsigned class, size_t count)
{
	void *blocks[BLOCKS];
	count = min_size(count, out[class].count);
	for (size_t i = 0; i < count; i++)
		blocks[i] = forget(class, rng_below(rng, out[class].count));
	vm_bin_flush(class, blocks, count);
}

static void churn(struct rng *rng)
{
	for (int i = 0; i < STEPS; i++) {
		/* Some classes often, that their slabs empty and fill. */
		size_t classes = rng_below(rng, 2) ? 6 : CLASS_COUNT - 1;
		unsigned class = 1 + (unsigned)rng_below(rng, classes);
		if (rng_below(rng, 2))
			fill(rng, class);
		else
			flush(rng, class, 1 + rng_below(rng, batch_most(class) * 3 / 2));
		if (i % 500 == 0) {
			vm_bins_check();
			vm_pageheap_check();
			must(stats().small_live == live_bytes);
		}
	}
}

START_TEST(any_sequence_keeps_blocks_apart_and_gives_all_slabs_back)
{
	setup();
	struct rng rng = rng_make(rng_process_seed());
	churn(&rng);
	for (unsigned class = 1; class < CLASS_COUNT; class++)
		flush(&rng, class, BLOCKS);
	vm_bins_check();
	ck_assert_uint_eq(stats().small_live, 0);
	vm_bins_trim();
	ck_assert_uint_eq(heap_used(), 0);
	vm_pageheap_check();
}
END_TEST

START_TEST(each_empty_slab_but_the_current_one_goes_back_at_once)
{
	setup();
	unsigned class = class_of_size(64);
	size_t slab_bytes = vm_classes[class].pages * PAGE_BYTES;
	static void *blocks[10 * SLAB_SLOTS_MOST];
	size_t count = 10 * (size_t)vm_classes[class].slots;
	ck_assert_uint_eq(vm_bin_fill(class, 0, blocks, count), count);
	ck_assert_uint_eq(heap_used(), 10 * slab_bytes);
	vm_bin_flush(class, blocks, count);
	ck_assert_uint_eq(heap_used(), slab_bytes);
	vm_bins_trim();
	ck_assert_uint_eq(heap_used(), 0);
}
END_TEST

START_TEST(a_slab_that_is_one_slot_goes_back_at_once)
{
	setup();
	for (size_t size = 36 * KIB; size <= MIB; size *= 2) {
		void *blocks[2];
		unsigned class = class_of_size(size);
		ck_assert_uint_eq(vm_bin_fill(class, 0, blocks, 2), 2);
		vm_bin_flush(class, blocks, 2);
		ck_assert_uint_eq(heap_used(), 0);
	}
}
END_TEST

/* Ticks for so many milliseconds. */
static void tick_for(uint64_t *now_ms, uint64_t ms)
{
	for (uint64_t end_ms = *now_ms + ms; *now_ms < end_ms; ++*now_ms)
		vm_bins_tick(*now_ms);
}

static bool page_reads_as_zero(const char *page)
{
	static const char zeros[PAGE_BYTES];
	return memcmp(page, zeros, sizeof zeros) == 0;
}

static bool all_slots_free(const struct run *slab, uintptr_t page)
{
	for (uintptr_t at = page; at < page + PAGE_BYTES; at++) {
		size_t slot = (at - slab->start) / vm_classes[slab->class].bytes;
		if (!(slab->slots[slot / 64] >> slot % 64 & 1))
			return false;
	}
	return true;
}

/* How many pages of a class's slabs hold nothing but free slots; all of them must read as zeros. */
static size_t free_pages_of(unsigned class)
{
	size_t pages = 0;
	for (size_t page = 0; page < region_page(vm_regions, region_end(vm_regions)); page++) {
		const struct run *slab = vm_regions[0].run_of[page];
		uintptr_t at = vm_regions[0].base + page * PAGE_BYTES;
		if (!slab || slab->state != RUN_SLAB || slab->class != class ||
		    slab->free_slots == vm_classes[class].slots || !all_slots_free(slab, at))
			continue;
		must(page_reads_as_zero((const char *)at));
		pages++;
	}
	return pages;
}

/* After each class has had what `looks` stands for. */
static void try_quiet_slabs(void (*looks)(uint64_t *now_ms))
{
	setup();
	struct rng rng = rng_make(rng_process_seed());
	const size_t sizes[] = {16, 100, 640, 1000, 5000, 20000};
	static void *blocks[BLOCKS];
	static void *freed[BLOCKS];
	uint64_t now_ms = 1;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		unsigned class = class_of_size(sizes[i]);
		size_t bytes = vm_classes[class].bytes;
		size_t count = 16 * MIB / bytes < BLOCKS ? 16 * MIB / bytes : BLOCKS;
		size_t gone = 0;
		must(vm_bin_fill(class, 0, blocks, count) == count);
		for (size_t j = 0; j < count; j++) {
			memset(blocks[j], 0xa5, bytes);
			if (rng_below(&rng, 4096 / bytes * 2 + 4) || j % 2) {
				freed[gone++] = blocks[j];
				blocks[j] = NULL;
			}
		}
		vm_bin_flush(class, freed, gone);
		uint64_t before = stats().purged_bytes;
		looks(&now_ms);
		must(stats().purged_bytes - before >= free_pages_of(class) * PAGE_BYTES);
		for (size_t j = 0; j < count; j++)
			for (size_t k = 0; blocks[j] && k < bytes; k++)
				must(((unsigned char *)blocks[j])[k] == 0xa5);
	}
	must(stats().purged_bytes > 0);
	vm_bins_check();
}

static void let_time_pass(uint64_t *now_ms)
{
	tick_for(now_ms, 12 * vm_options.decay_ms);
}

static void grow_elsewhere(uint64_t *now_ms)
{
	for (int i = 0; i < 64; i++)
		vm_bins_give_back_for(MIB, *now_ms += 10);
}

START_TEST(free_pages_of_quiet_slabs_are_given_back_and_live_blocks_stay)
{
	try_quiet_slabs(let_time_pass);
}
END_TEST

START_TEST(slabs_that_stay_as_they_are_while_the_heap_grows_are_quiet)
{
	try_quiet_slabs(grow_elsewhere);
}
END_TEST

enum { PARTIAL = 6000 };

/* Slabs with one slot free each; nothing of them is touched. */
static unsigned make_partial_slabs(void)
{
	unsigned class = class_of_size(16 * KIB);
	size_t slots = vm_classes[class].slots;
	static void *blocks[PARTIAL * 8];
	must(slots > 1 && slots <= 8);
	must(vm_bin_fill(class, 0, blocks, PARTIAL * slots) == PARTIAL * slots);
	for (size_t i = 0; i < PARTIAL; i++)
		vm_bin_flush(class, &blocks[i * slots], 1);
	return class;
}

/* The slabs of the class that have been looked at since their slots changed. */
static size_t looked_at(unsigned class)
{
	size_t count = 0;
	for (size_t page = 0; page < region_page(vm_regions, region_end(vm_regions)); page++) {
		const struct run *slab = vm_regions[0].run_of[page];
		bool begins = slab && slab->start == vm_regions[0].base + page * PAGE_BYTES;
		count += begins && slab->state == RUN_SLAB && slab->class == class && slab->quiet;
	}
	return count;
}

static void expect_looks(unsigned class, size_t *before, size_t least)
{
	size_t now = looked_at(class);
	ck_assert_uint_ge(now - *before, least);
	ck_assert_uint_lt(now - *before, least + 16); /* as many as one lock is taken for */
	*before = now;
}

START_TEST(a_tick_looks_at_the_more_slabs_the_longer_the_last_one_is_ago)
{
	setup();
	unsigned class = make_partial_slabs();
	uint64_t now_ms = 1000000;
	vm_bins_tick(now_ms);
	size_t looks = looked_at(class);
	ck_assert_uint_le(looks, 4096 + 16);
	ck_assert_uint_gt(looks, 4096 - SHARDS * CLASS_COUNT);
	vm_bins_tick(now_ms); /* not so soon */
	expect_looks(class, &looks, 0);
	vm_bins_tick(now_ms += 1);
	expect_looks(class, &looks, 256);
	vm_bins_tick(now_ms += 50);
	expect_looks(class, &looks, 800);

	/* When all have been looked at, it begins again after four decay times. */
	vm_bins_tick(now_ms += 1000);
	ck_assert_uint_ge(looked_at(class), PARTIAL - 1);
	ck_assert_uint_eq(stats().purges, 0);
	vm_bins_tick(now_ms + 4 * vm_options.decay_ms);
	ck_assert_uint_eq(stats().purges, 0);
	/* A slab has four pages to give back, which are work, too. */
	vm_bins_tick(now_ms + 4 * vm_options.decay_ms + 1);
	ck_assert_uint_le(stats().purges, 4096 / 5 + 16);
	ck_assert_uint_gt(stats().purges, (4096 - SHARDS * CLASS_COUNT) / 5);
	vm_bins_check();
}
END_TEST

START_TEST(growth_looks_at_four_slabs_a_page_and_no_sooner_again_than_after_8_ms)
{
	setup();
	unsigned class = make_partial_slabs();
	uint64_t now_ms = 1000000;
	vm_bins_give_back_for(2 * MIB, now_ms); /* to the first slab of the class */
	size_t looks = looked_at(class);
	ck_assert_uint_gt(looks, 0);
	vm_bins_give_back_for(100 * PAGE_BYTES, now_ms);
	expect_looks(class, &looks, 400);
	vm_bins_give_back_for(GIB, now_ms);
	expect_looks(class, &looks, PARTIAL - 1 - looks < 4096 ? PARTIAL - 1 - looks : 4096);
	while (looked_at(class) < PARTIAL - 1)
		vm_bins_give_back_for(GIB, now_ms);
	ck_assert_uint_eq(stats().purges, 0);
	vm_bins_give_back_for(GIB, now_ms + 7);
	ck_assert_uint_eq(stats().purges, 0);
	vm_bins_give_back_for(GIB, now_ms + 8);
	ck_assert_uint_gt(stats().purges, 0);
}
END_TEST

START_TEST(a_slab_in_use_keeps_its_pages)
{
	setup();
	unsigned class = class_of_size(1024);
	size_t slots = vm_classes[class].slots;
	void *blocks[2 * SLAB_SLOTS_MOST];
	uint64_t now_ms = 1;
	must(vm_bin_fill(class, 0, blocks, 2 * slots) == 2 * slots);
	for (size_t i = 0; i + 1 < slots; i++) {
		vm_bin_flush(class, &blocks[slots + i], 1); /* of the slab that is full, not current */
		tick_for(&now_ms, 2 * vm_options.decay_ms);
	}
	ck_assert_uint_eq(stats().purges, 0);
	vm_bins_trim();
	ck_assert_uint_gt(stats().purges, 0);
}
END_TEST

START_TEST(blocks_come_lowest_last_and_then_from_the_lowest_partial_slab)
{
	setup();
	unsigned class = class_of_size(4096);
	size_t slots = vm_classes[class].slots;
	static void *blocks[6 * SLAB_SLOTS_MOST];
	ck_assert_uint_eq(vm_bin_fill(class, 1, blocks, 6 * slots), 6 * slots);
	for (size_t i = 1; i < 6 * slots; i++)
		must(blocks[i] < blocks[i - 1]);

	/* A hole in the third slab, one in the first; the first is used first. */
	void *holes[] = {blocks[4 * slots - 1], blocks[6 * slots - 2]};
	vm_bin_flush(class, holes, 2);
	void *again[2];
	ck_assert_uint_eq(vm_bin_fill(class, 1, again, 2), 2);
	ck_assert_ptr_eq(again[1], holes[1]);
	ck_assert_ptr_eq(again[0], holes[0]);
}
END_TEST

START_TEST(where_the_kernel_refuses_what_there_is_comes_and_later_more)
{
	setup();
	unsigned class = class_of_size(32 * KIB);
	static void *blocks[20000];
	fake_os.address_limit = fake_maps.bytes + 2 * MIB;
	size_t count = vm_bin_fill(class, 0, blocks, 20000);
	ck_assert_uint_gt(count, 8);
	ck_assert_uint_lt(count, 200);
	for (size_t i = 0; i < count; i++)
		memset(blocks[i], 1, 32 * KIB);
	ck_assert_uint_eq(stats().small_live, count * 32 * KIB);
	ck_assert_uint_eq(vm_bin_fill(class, 0, blocks + count, 1), 0);
	vm_bins_check();
	fake_os.address_limit = SIZE_MAX;
	ck_assert_uint_eq(vm_bin_fill(class, 0, blocks + count, 100), 100);
	vm_bin_flush(class, blocks, count + 100);
	vm_bins_trim();
	ck_assert_uint_eq(heap_used(), 0);
}
END_TEST

START_TEST(a_slab_that_is_one_slot_can_leave_its_bin)
{
	setup();
	unsigned class = class_of_size(100000);
	for (int current = 0; current < 2; current++) {
		void *blocks[2];
		ck_assert_uint_eq(vm_bin_fill(class, 0, blocks, 2), 2);
		const struct region *region = region_of(blocks[current]);
		size_t page = region_page(region, (uintptr_t)blocks[current]);
		struct run *slab = region->run_of[page];
		vm_bin_disown(slab);
		vm_run_from_slab(slab);
		ck_assert_uint_eq(region->class_of[page], CLASS_NONE);
		ck_assert_uint_eq(stats().small_live, vm_classes[class].bytes);
		vm_bin_flush(class, &blocks[!current], 1);
		vm_run_free(slab);
		vm_bins_trim();
		vm_pageheap_check();
		ck_assert_uint_eq(heap_used(), 0);
	}
}
END_TEST

START_TEST(a_single_block_is_aligned_and_known_to_be_zero_where_it_is)
{
	setup();
	unsigned class = class_of_size(64 * KIB);
	for (size_t alignment = 16; alignment <= 512 * KIB; alignment *= 2) {
		void *blocks[2];
		bool zeroed[2];
		blocks[0] = vm_bin_new_single(class, 0, alignment, &zeroed[0]);
		blocks[1] = vm_bin_new_single(class, 0, alignment, &zeroed[1]);
		ck_assert_uint_eq((uintptr_t)blocks[0] % alignment, 0);
		ck_assert_uint_eq((uintptr_t)blocks[1] % alignment, 0);
		ck_assert_uint_eq(stats().small_live, 2 * 64 * KIB);
		vm_bin_flush(class, blocks, 2);
		void *again = vm_bin_new_single(class, 0, alignment, &zeroed[0]);
		ck_assert_ptr_eq(again, blocks[blocks[1] < blocks[0]]);
		ck_assert(!zeroed[0]);
		vm_bin_flush(class, &again, 1);
		ck_assert_uint_eq(heap_used(), 0);
		vm_pageheap_trim(0);
		again = vm_bin_new_single(class, 0, alignment, &zeroed[0]);
		ck_assert(zeroed[0]);
		vm_bin_flush(class, &again, 1);
	}
}
END_TEST

/* What a misuse says and how it ends, in a child. */
static void expect_death(unsigned class, void *block, const char *sentence)
{
	int pipes[2];
	char said[500] = "";
	must(!pipe(pipes));
	pid_t child = fork();
	if (!child) {
		dup2(pipes[1], STDERR_FILENO);
		vm_bin_flush(class, &block, 1);
		_exit(0);
	}
	close(pipes[1]);
	int status;
	must(waitpid(child, &status, 0) == child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	must(read(pipes[0], said, sizeof said - 1) >= 0);
	ck_assert_ptr_nonnull(strstr(said, sentence));
	close(pipes[0]);
}

START_TEST(what_is_no_block_ends_the_process)
{
	setup();
	unsigned class = class_of_size(48);
	void *blocks[2];
	ck_assert_uint_eq(vm_bin_fill(class, 0, blocks, 2), 2);
	expect_death(class, (char *)blocks[0] + 16, "points into a block");
	vm_bin_flush(class, blocks, 1);
	expect_death(class, blocks[0], "already free");
	vm_bin_flush(class, blocks + 1, 1);
	vm_bins_trim();
	expect_death(class, blocks[0], "already free");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		any_sequence_keeps_blocks_apart_and_gives_all_slabs_back,
		each_empty_slab_but_the_current_one_goes_back_at_once,
		a_slab_that_is_one_slot_goes_back_at_once,
		blocks_come_lowest_last_and_then_from_the_lowest_partial_slab,
		where_the_kernel_refuses_what_there_is_comes_and_later_more,
		a_slab_that_is_one_slot_can_leave_its_bin,
		free_pages_of_quiet_slabs_are_given_back_and_live_blocks_stay,
		slabs_that_stay_as_they_are_while_the_heap_grows_are_quiet,
		a_tick_looks_at_the_more_slabs_the_longer_the_last_one_is_ago,
		growth_looks_at_four_slabs_a_page_and_no_sooner_again_than_after_8_ms,
		a_slab_in_use_keeps_its_pages,
		a_single_block_is_aligned_and_known_to_be_zero_where_it_is,
		what_is_no_block_ends_the_process,
		NULL,
	};
	return suite_run("bin", tests, 60);
}
