/* SPDX-License-Identifier: MIT */
/* The scenarios, and the one loop that sweeps them. */
#define _GNU_SOURCE 1
#include "sweep.h"

#include "child.h"
#include "crew.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "rng.h"
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Blocks with contents ------------------------------------------------------------------------ */

enum { HELD = 4096 };

struct held {
	unsigned char *memory; /* NULL: none, or refused */
	size_t size;
	uint64_t seed;
};

struct set {
	struct held held[HELD];
};

enum { SAMPLED_FROM = 8192, ENDS = 2048, TAIL = 64, STRIDE = 64 << 10, NEAR = 1 << 20 };

/* The kernel answers: nothing may be refused. */
static bool all_succeeds;

/* The offsets in large blocks that are marked, the same for every size: all STRIDEs, then all
 * powers of two. */
static size_t next_mark(size_t at)
{
	return at < NEAR ? at + STRIDE : 2 * at;
}

static void fill(struct held *held)
{
	if (held->size < SAMPLED_FROM) {
		pattern_fill(held->memory, held->size, held->seed);
		return;
	}
	pattern_fill(held->memory, ENDS, held->seed);
	for (size_t at = STRIDE; at + 2 * TAIL <= held->size; at = next_mark(at))
		memcpy(held->memory + at, &held->seed, sizeof held->seed);
	pattern_fill(held->memory + held->size - TAIL, TAIL, ~held->seed);
}

/* The first `bytes` of a block, its tail not among them. */
static bool begin_holds(const unsigned char *memory, size_t bytes, const struct held *held)
{
	if (held->size < SAMPLED_FROM || bytes < ENDS)
		return pattern_holds(memory, bytes, held->seed);
	for (size_t at = STRIDE; at + 2 * TAIL <= bytes; at = next_mark(at))
		if (memcmp(memory + at, &held->seed, sizeof held->seed) != 0)
			return false;
	return pattern_holds(memory, ENDS, held->seed);
}

static void check(const struct held *held)
{
	if (!held->memory)
		return;
	must(begin_holds(held->memory, held->size, held));
	must(held->size < SAMPLED_FROM ||
	     pattern_holds(held->memory + held->size - TAIL, TAIL, ~held->seed));
}

static void check_set(const struct set *set)
{
	for (size_t i = 0; i < HELD; i++)
		check(&set->held[i]);
}

static bool is_zero(const unsigned char *memory, size_t size)
{
	if (size < SAMPLED_FROM)
		return pattern_is_zero(memory, size);
	for (size_t at = STRIDE; at < size; at = next_mark(at))
		if (memory[at])
			return false;
	return pattern_is_zero(memory, ENDS) && pattern_is_zero(memory + size - TAIL, TAIL);
}

static void free_by_free(void *block, size_t size)
{
	(void)size;
	world.allocator->free(block);
}

static void drop_by(void (*by)(void *block, size_t size), struct set *set, size_t i)
{
	struct held *held = &set->held[i];

	check(held);
	errno = 12345;
	by(held->memory, held->size);
	must(errno == 12345);
	held->memory = NULL;
}

static void drop(struct set *set, size_t i)
{
	drop_by(free_by_free, set, i);
}

static void enter(struct held *held, void *memory, size_t size)
{
	must(memory || (errno == ENOMEM && !all_succeeds));
	*held = (struct held){memory, size, (uintptr_t)memory ^ size};
	if (!memory)
		return;
	must(world.allocator->usable_size(memory) >= size);
	must(!world.is_writable || world.is_writable(memory, size));
	fill(held);
}

/* Each puts a block, or none, in the place of another. */
static void take_by(void *(*by)(size_t size), struct set *set, size_t i, size_t size)
{
	drop(set, i);
	errno = 0;
	enter(&set->held[i], opaque(by(size)), size);
}

static void take(struct set *set, size_t i, size_t size)
{
	take_by(world.allocator->malloc, set, i, size);
}

static void take_zeroed(struct set *set, size_t i, size_t size)
{
	drop(set, i);
	errno = 0;
	void *memory = opaque(world.allocator->calloc(1, size));
	must(!memory || is_zero(memory, size));
	enter(&set->held[i], memory, size);
}

static void take_aligned(struct set *set, size_t i, size_t alignment, size_t size)
{
	drop(set, i);
	errno = 0;
	void *memory = opaque(world.allocator->aligned_alloc(alignment, size));
	must((uintptr_t)memory % alignment == 0);
	enter(&set->held[i], memory, size);
}

static void resize(struct set *set, size_t i, size_t size)
{
	struct held *held = &set->held[i];
	const size_t kept = held->memory ? (size < held->size ? size : held->size) : 0;

	check(held);
	errno = 0;
	void *memory = opaque(world.allocator->realloc(held->memory, size));
	if (!memory) {
		must(errno == ENOMEM && !all_succeeds);
		check(held);
		return;
	}
	must(begin_holds(memory, kept, held));
	enter(held, memory, size);
}

/* From `first` on, every `step`th. */
static void drop_some(struct set *set, size_t first, size_t step)
{
	for (size_t i = first; i < HELD; i += step)
		if (set->held[i].memory)
			drop(set, i);
}

static void drop_all(struct set *set)
{
	check_set(set);
	drop_some(set, 0, 1);
}

/* Scenarios ----------------------------------------------------------------------------------- */

/* Of all three kinds, and about their borders. */
static const size_t sizes[] = {1,      24,     128,     1000,    8000,   32768,
			       33000, 100000, 400000, 1048576, 1100000, 2500000};

enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* A few blocks of each size at the set's places from `at` on. */
static void take_mixed(struct set *set, size_t at)
{
	for (size_t i = 0; i < 3 * SIZES; i++)
		take(set, at + i, sizes[i % SIZES]);
}

static void mallocs(struct set *set)
{
	take_mixed(set, 0);
	drop_some(set, 0, 2);
	take_mixed(set, 100);
	take(set, 200, 0);
}

static void callocs(struct set *set)
{
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < 3 * SIZES; i++)
			take_zeroed(set, i, sizes[i % SIZES]);
		drop_all(set);
	}
}

static void reallocs(struct set *set)
{
	for (size_t from = 0; from < SIZES; from++) {
		for (size_t to = 0; to < SIZES; to++) {
			take(set, to, sizes[from]);
			resize(set, to, sizes[to]);
			resize(set, to, sizes[from] + 1);
		}
		drop_all(set);
	}
}

/* Several at a time, so that none can always grow where it is. */
static void growth_by_realloc(struct set *set)
{
	for (size_t size = 50000; size < 7000000; size += size / 2)
		for (size_t i = 0; i < 3; i++)
			resize(set, i, size + i);
	for (size_t size = 4000000; size > 50000; size -= size / 3)
		for (size_t i = 0; i < 3; i++)
			resize(set, i, size);
}

static void alignments(struct set *set)
{
	static const size_t alignments[] = {64, 4096, 8192, 65536, 1 << 20, 8 << 20};
	size_t at = 0;

	for (size_t i = 0; i < sizeof alignments / sizeof alignments[0]; i++)
		for (size_t j = 0; j < SIZES; j++)
			take_aligned(set, at++, alignments[i], sizes[j]);
	drop_some(set, 0, 2);
	for (size_t i = 0; i < 4; i++)
		take_aligned(set, at++, 2 << 20, 4 << 20);
}

/* Each way to allocate meets each way to free. */
static void other_functions(struct set *set)
{
	for (size_t way = 0; world.other_frees[way]; way++) {
		size_t count = 0;
		for (size_t i = 0; world.other_mallocs[i]; i++)
			for (size_t j = 0; j < SIZES; j++)
				take_by(world.other_mallocs[i], set, count++, sizes[j]);
		world.ask();
		check_set(set);
		for (size_t i = 0; i < count; i++)
			drop_by(world.other_frees[way], set, i);
		world.ask();
	}
}

static void trims(struct set *set)
{
	take_mixed(set, 0);
	world.trim(0);
	drop_some(set, 0, 2);
	world.trim(1 << 20);
	take_mixed(set, 100);
	drop_some(set, 1, 2);
	world.trim(0);
	check_set(set);
	take_mixed(set, 200);
}

static void many_small(struct set *set)
{
	for (size_t i = 0; i < HELD; i++)
		take(set, i, 16 + i % 1500);
	drop_some(set, 0, 3);
	for (size_t i = 0; i < HELD; i += 3)
		take(set, i, 3000);
}

static void many_medium(struct set *set)
{
	for (size_t i = 0; i < 60; i++)
		take_zeroed(set, i, 40000 + i * 8000);
	drop_some(set, 0, 2);
	for (size_t i = 0; i < 60; i++)
		resize(set, i, 300000);
}

/* Ranges with holes, whole ones, edges, and what decays meanwhile. */
static void large_storm(struct set *set)
{
	for (size_t i = 0; i < 60; i++)
		take(set, i, (1 << 20) + (i % 7 << 16));
	drop_some(set, 0, 2);
	world.pass_time();
	for (size_t i = 0; i < 30; i++)
		take(set, 200 + i, 2500000);
	drop_some(set, 1, 3);
	world.trim(0);
	for (size_t i = 0; i < 30; i++)
		resize(set, 200 + i, 3500000 - i * 80000);
	check_set(set);
}

static void decay(struct set *set)
{
	for (unsigned round = 0; round < 4; round++) {
		take_mixed(set, 0);
		drop_some(set, round % 2, 2);
		world.pass_time();
		for (size_t i = 0; i < SIZES; i++)
			take_zeroed(set, 100 + i, sizes[i]);
		take_zeroed(set, 200, 5000000);
		drop_all(set);
		world.pass_time();
	}
}

static void *move_break(ptrdiff_t bytes)
{
	world.spare(true);
	void *old = world.move_break(bytes);
	world.spare(false);
	return old;
}

/* The heap goes on in reserves, and back to the break when it is free again. */
static void foreign_break(struct set *set)
{
	take_mixed(set, 0);
	const bool moved = move_break(8192) != NULL;
	for (size_t i = 0; i < 100; i++)
		take_zeroed(set, 100 + i, 200000);
	drop_some(set, 0, 2);
	if (moved)
		move_break(-8192);
	for (size_t i = 0; i < 100; i++)
		take_zeroed(set, 300 + i, 200000);
}

/* Somebody takes the break down into what is free at the top of the heap. */
static void lowered_break(struct set *set)
{
	const size_t size = 900000, part = 512 << 10;

	world.trim(0);
	take_zeroed(set, 0, size);
	const unsigned char *block = set->held[0].memory;
	const unsigned char *end = move_break(0);
	const bool at_top = block && block < end && end < block + 2 * size;
	drop(set, 0);
	const bool moved = at_top && move_break(0) == end &&
			   move_break(-(ptrdiff_t)part);
	take_mixed(set, 100);
	world.pass_time();
	take_mixed(set, 200);
	for (size_t i = 0; i < 10; i++)
		take_zeroed(set, i, size);
	must(!moved || !all_succeeds || (unsigned char *)move_break(0) >= end);
}

enum { THREADS = 3 };

static struct set thread_sets[THREADS];

static void be_a_maker(unsigned index)
{
	struct set *set = &thread_sets[index];

	mallocs(set);
	take_aligned(set, 1000, 8192, 300000);
	take_zeroed(set, 1001, 300000);
	resize(set, 0, 300000);
}

static void be_a_dropper(unsigned index)
{
	struct set *set = &thread_sets[(index + 1) % THREADS];

	drop_some(set, 0, 2);
	take_mixed(set, 1100);
	for (size_t i = 2000; i < 2200; i++)
		take(set, i, i);
}

static void spare_no_more(void)
{
	world.spare(false);
}

/* Others free what threads made that are gone. */
static void threads(struct set *set)
{
	static void (*const work[])(unsigned) = {be_a_maker, be_a_dropper};

	take_mixed(set, 0);
	for (size_t i = 0; i < sizeof work / sizeof work[0]; i++) {
		world.spare(true); /* libc loses a stack whose unmapping is refused */
		crew_run(THREADS, spare_no_more, work[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		drop_all(&thread_sets[i]);
}

/* By all processes. */
static struct {
	/* Of each kind, in the first run, of the process that has most: a child counts on from its
	 * parent's. */
	uint64_t requests[2];
	uint64_t runs; /* of all scenarios */
} *shared;
static bool is_first_run;

static void note_requests(void)
{
	for (int records = 0; is_first_run && records <= world.has_records; records++)
		if (shared->requests[records] < world.requests(records))
			shared->requests[records] = world.requests(records);
}

static void be_a_child(void *set)
{
	if (world.forked)
		world.forked();
	check_set(set);
	mallocs(set);
	drop_all(set);
	world.trim(0);
	world.check_tables();
	take_mixed(set, 0);
	resize(set, 0, 2000000);
	drop_all(set);
	note_requests();
}

static void forks(struct set *set)
{
	take_mixed(set, 500);
	must(child_status(be_a_child, set) == 0);
	drop_some(set, 0, 2);
	take_mixed(set, 100);
	must(child_status(be_a_child, set) == 0);
}

/* Where every map is refused anyway, but for what the lifeboat has. */
static void no_maps_left(struct set *set)
{
	take_mixed(set, 0);
	world.pass_time(); /* the ballast is held by then */
	take_mixed(set, 0);
	world.fill_maps();
	take_mixed(set, 100);
	many_medium(set);
	must(child_status(be_a_child, set) == 0);
	drop_some(set, 0, 2);
	for (size_t i = 0; i < 6; i++)
		take_aligned(set, i, 4096 << 2 * i, 1000000);
	resize(set, 100, 2000000);
	world.trim(0);
	world.empty_maps();
}

/* Beyond what the first tables of pages describe. */
static void huge_heap(struct set *set)
{
	world.use_heap_only();
	for (size_t i = 0; i < 9; i++) {
		take_zeroed(set, i, (size_t)600 << 20);
		take(set, 100 + i, 5000);
	}
	drop_some(set, 0, 2);
	take_mixed(set, 200);
}

/* name, whether this world has it. */
#define SCENARIOS(ROW)                                                                             \
	ROW(mallocs, true)                                                                         \
	ROW(callocs, true)                                                                         \
	ROW(reallocs, true)                                                                        \
	ROW(growth_by_realloc, true)                                                               \
	ROW(alignments, true)                                                                      \
	ROW(other_functions, true)                                                                 \
	ROW(trims, true)                                                                           \
	ROW(many_small, true)                                                                      \
	ROW(many_medium, true)                                                                     \
	ROW(large_storm, true)                                                                     \
	ROW(decay, true)                                                                           \
	ROW(foreign_break, true)                                                                   \
	ROW(lowered_break, true)                                                                   \
	ROW(threads, true)                                                                         \
	ROW(forks, true)                                                                           \
	ROW(no_maps_left, world.fill_maps)                                                         \
	ROW(huge_heap, world.use_heap_only)


/* The sweep ----------------------------------------------------------------------------------- */

static const struct mode {
	const char *name;
	bool for_ever;
	bool records;
} modes[] = {
	{"once", false, false},
	{"ever", true, false},
	{"record-once", false, true},
	{"record-ever", true, true},
};

enum { MODES = sizeof modes / sizeof modes[0] };

struct fault {
	const char *name;
	void (*scenario)(struct set *set);
	uint64_t nth; /* 0: nothing is refused */
	const struct mode *mode;
};

/* So many times at most until a run takes no more than the one before: where it gets some records
 * only, it takes many runs to have all it needs. */
enum { ROUNDS_MOST = 50, SHOWN = 4 };

static struct footprint run(const struct fault *fault, uint64_t nth)
{
	static struct set set;

	world.refuse(nth, fault->mode->for_ever, fault->mode->records);
	fault->scenario(&set);
	drop_all(&set);
	note_requests();
	world.refuse(0, false, false);
	world.check_tables();

	/* What is due with time is looked at by operations, not by each of the quick ones. */
	world.pass_time();
	for (size_t i = 0; i < 10; i++) {
		take(&set, 0, 2000000 + i * 10000);
		drop(&set, 0);
	}
	world.trim(0);
	world.check_tables();
	return world.footprint();
}

static bool is_no_more(struct footprint now, struct footprint before)
{
	return now.bytes <= before.bytes && now.maps <= before.maps &&
	       now.records <= before.records;
}

static void show(const char *what, struct footprint footprint)
{
	dprintf(STDERR_FILENO,
		"# %s: %zu bytes, %zu maps, %zu records, %zu strays, live %zu, kept %zu\n", what,
		footprint.bytes, footprint.maps, footprint.records, footprint.strays,
		footprint.live, footprint.kept);
}

static void make_fault(void *arg)
{
	const struct fault *fault = arg;

	world.begin();
	shared->requests[0] = shared->requests[1] = 0;
	is_first_run = true;
	struct footprint before, now = run(fault, fault->nth);
	is_first_run = false;
	unsigned rounds = 1;
	do {
		must(rounds++ < ROUNDS_MOST);
		before = now;
		now = run(fault, fault->nth);
		if (rounds > ROUNDS_MOST - SHOWN)
			show("grown", now);
	} while (!is_no_more(now, before));

	all_succeeds = true;
	before = run(fault, 0);
	now = run(fault, 0);
	must(now.live == before.live);
	must(now.kept == before.kept);
	must(!now.strays);
}

static unsigned runs_wanted; /* 0: all */

/* By how many there are when nothing is refused. */
static uint64_t choose_stride(bool records)
{
	return runs_wanted ? shared->requests[records] / runs_wanted + 1 : 1;
}

static void sweep_mode(struct fault *fault, uint64_t first, uint64_t stride)
{
	const uint64_t *most = &shared->requests[fault->mode->records];
	unsigned runs = 0;

	for (fault->nth = first; !runs || fault->nth <= *most + stride; fault->nth += stride) {
		const int status = child_status(make_fault, fault);
		ck_assert_msg(status == 0, "%s %llu %s: status %d", fault->name,
			      (unsigned long long)fault->nth, fault->mode->name, status);
		runs++;
	}
	printf("%s %s: %u runs, every %llu.\n", fault->name, fault->mode->name, runs,
	       (unsigned long long)stride);
	fflush(stdout);
	shared->runs += runs;
}

static void sweep(const char *name, void (*scenario)(struct set *set))
{
	struct rng rng = rng_make(rng_process_seed());
	struct fault fault = {.name = name, .scenario = scenario, .mode = &modes[0]};

	ck_assert_msg(child_status(make_fault, &fault) == 0, "%s 0 once", name);
	const uint64_t strides[] = {choose_stride(false), choose_stride(true)};
	for (fault.mode = modes; fault.mode < modes + MODES; fault.mode++) {
		const uint64_t stride = strides[fault.mode->records];
		if (!fault.mode->records || world.has_records)
			sweep_mode(&fault, 1 + rng_below(&rng, stride), stride);
	}
}

#define ROW_TEST(name, in_this_world)                                                              \
	START_TEST(name##_under_refusals)                                                          \
	{                                                                                          \
		sweep(#name, name);                                                                \
	}                                                                                          \
	END_TEST
SCENARIOS(ROW_TEST)

/* For a debugger. */
static int run_one(char **argv)
{
	struct fault fault = {argv[1], NULL, strtoull(argv[2], NULL, 0), NULL};

	for (size_t i = 0; i < MODES; i++)
		if (strcmp(argv[3], modes[i].name) == 0)
			fault.mode = &modes[i];
#define ROW_FIND(row, in_this_world)                                                               \
	if ((in_this_world) && strcmp(argv[1], #row) == 0)                                         \
		fault.scenario = row;
	SCENARIOS(ROW_FIND)
	must(fault.scenario && fault.mode);
	make_fault(&fault);
	printf("%llu calls, %llu records\n", (unsigned long long)shared->requests[0],
	       (unsigned long long)shared->requests[1]);
	return 0;
}

int sweep_main(int argc, char **argv, const char *name, unsigned runs)
{
	const TTest *tests[32];
	size_t count = 0;

	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(shared != MAP_FAILED);
	if (argc == 4)
		return run_one(argv);
	const bool full = argc == 2 && strcmp(argv[1], "--full") == 0;
	runs_wanted = full ? 0 : runs;
	child_seconds = full ? 200 : 60; /* for what takes 2 on a machine of its own */
#define ROW_LIST(row, in_this_world)                                                               \
	if (in_this_world)                                                                         \
		tests[count++] = row##_under_refusals;
	SCENARIOS(ROW_LIST)
	tests[count] = NULL;
	rng_process_seed();
	const int status = suite_run(name, tests, full ? 3600 : 180);
	printf("%s: %llu runs in all.\n", name, (unsigned long long)shared->runs);
	return status;
}
