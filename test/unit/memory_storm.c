/* SPDX-License-Identifier: MIT */
/*
 * The whole core on the fake kernel at a limit of memory, while maps are few: mmap, the break and
 * commits of reserves are refused beyond it. A refusal is NULL and ENOMEM, and known by its cause;
 * contents stay; what was freed is to be had again, and nothing is left at the end.
 */
#include "blocks.h"
#include "core.h"
#include "crew.h"
#include "fake_os.h"
#include "must.h"
#include "suite.h"

#include "boot.h"

#include <pthread.h>
#include <stdatomic.h>

#include <vmalloc.h>

/* All threads together want several times ROOM. */
enum { THREADS = 16, SLOTS = 1600, STEPS = 12000, ROUNDS = 2 };

#define ROOM (24 * MIB)

/* In the place of standalone.c's: the heap begins at the break. */
bool vm_is_process_malloc(void)
{
	return true;
}

static struct blocks blocks[THREADS];
static unsigned crew;
static enum vm_cause cause;
static bool others_move_it;
static _Atomic size_t refused, named;
static pthread_barrier_t ready;

/* Others commit, too, and give back; what is left may be less than what we have. */
static void move_commit_limit(struct rng *rng)
{
	const size_t used = fake_os_writable_bytes();
	const size_t taken = min_size(used, rng_below(rng, 4 * MIB));
	fake_os.commit_limit = used - taken + rng_below(rng, 8 * MIB);
}

static void check_cause(void)
{
	struct vm_failure failure;

	must(vm_last_failure(&failure));
	/* Since then another thread may have given back what was wanted. */
	must(failure.cause == cause || (crew > 1 && failure.cause == VM_CAUSE_MEMORY));
	named += failure.cause == cause;
	refused++;
}

static void storm(unsigned index)
{
	struct blocks *const own = &blocks[index];

	vm_free(vm_malloc(1)); /* gives the thread a cache, where failures are kept */
	pthread_barrier_wait(&ready);
	blocks_init(own, SLOTS / crew, 2 * MIB, rng_process_seed() + index);
	for (unsigned i = 0; i < STEPS / crew; i++) {
		const size_t refused_before = own->refused;
		if (i % 100 == 0)
			fake_os_advance(rng_below(&own->rng, 100));
		if (others_move_it && index == 0 && i % 50 == 0)
			move_commit_limit(&own->rng);
		blocks_step(own);
		if (own->refused > refused_before)
			check_cause();
	}
	blocks_free(own);
}

/* Far below the limit, after all was freed. */
static void check_there_is_room(void)
{
	blocks_init(blocks, 200, 100000, rng_process_seed());
	blocks_steps(blocks, 4000);
	blocks_free(blocks);
	must(!blocks->refused);
}

static void check_nothing_is_left(void)
{
	vm_malloc_trim(0);
	core_check_tables();
	core_must_be_empty();
	must(!core_stray_bytes(core_ballast_bytes));
	fake_maps_check();
}

static void run_storms(unsigned threads, _Atomic size_t *limit, const size_t *used, enum vm_cause its_cause)
{
	blocks_allocator = &core_allocator;
	vm_free(vm_malloc(1));
	fake_os.slow = threads > 1;
	crew = threads;
	cause = its_cause;
	must(!pthread_barrier_init(&ready, NULL, threads));
	*limit = *used + ROOM;
	for (unsigned round = 0; round < ROUNDS; round++) {
		refused = named = 0;
		crew_run(threads, NULL, storm);
		ck_assert_uint_gt(named, refused / 2);
		ck_assert_uint_gt(refused, 100);
		*limit = *used + ROOM / 2;
		check_there_is_room();
		check_nothing_is_left();
	}
}

static void run_at_commit_limit(unsigned threads)
{
	run_storms(threads, &fake_os.commit_limit, &fake_maps.writable_bytes, VM_CAUSE_OVERCOMMIT);
}

static void run_at_data_limit(unsigned threads)
{
	run_storms(threads, &fake_os.data_limit, &fake_maps.writable_bytes, VM_CAUSE_DATA_LIMIT);
}

static void run_at_address_limit(unsigned threads)
{
	run_storms(threads, &fake_os.address_limit, &fake_maps.bytes, VM_CAUSE_ADDRESS_LIMIT);
}

START_TEST(storm_at_a_commit_limit)
{
	run_at_commit_limit(1);
}
END_TEST

START_TEST(storm_at_a_commit_limit_of_16_threads)
{
	run_at_commit_limit(THREADS);
}
END_TEST

START_TEST(storm_at_a_commit_limit_that_others_move)
{
	others_move_it = true;
	run_at_commit_limit(1);
}
END_TEST

START_TEST(storm_at_a_commit_limit_that_others_move_of_16_threads)
{
	others_move_it = true;
	run_at_commit_limit(THREADS);
}
END_TEST

START_TEST(storm_at_a_data_limit)
{
	run_at_data_limit(1);
}
END_TEST

START_TEST(storm_at_a_data_limit_of_16_threads)
{
	run_at_data_limit(THREADS);
}
END_TEST

START_TEST(storm_at_an_address_space_limit)
{
	run_at_address_limit(1);
}
END_TEST

START_TEST(storm_at_an_address_space_limit_of_16_threads)
{
	run_at_address_limit(THREADS);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		storm_at_a_commit_limit,
		storm_at_a_commit_limit_of_16_threads,
		storm_at_a_commit_limit_that_others_move,
		storm_at_a_commit_limit_that_others_move_of_16_threads,
		storm_at_a_data_limit,
		storm_at_a_data_limit_of_16_threads,
		storm_at_an_address_space_limit,
		storm_at_an_address_space_limit_of_16_threads,
		NULL,
	};
	rng_process_seed();
	return suite_run("memory_storm", tests, 120);
}
