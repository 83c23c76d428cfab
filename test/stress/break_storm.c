/* SPDX-License-Identifier: MIT */
/* The break's other users and enemies, while threads allocate: nothing is refused without cause, nothing is lost. */
#define _GNU_SOURCE 1
#include "crew.h"
#include "foreign.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "refuse.h"
#include "storm.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS = 6, SLOTS = 400, SIZE_MOST = 300000 };

static const size_t MIB = 1 << 20;
static struct blocks of_thread[THREADS];
static struct rng rng;                /* the adversary's */
static atomic_bool storming;
static void (*disturb)(void);

/* sbrk is not thread-safe (POSIX): who calls it lets nobody allocate meanwhile. */
static pthread_rwlock_t at_work = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

static void allocate(struct blocks *blocks)
{
	for (unsigned i = 0; storming; i++) {
		pthread_rwlock_rdlock(&at_work);
		blocks_steps(blocks, 20);
		if (i % 200 == 199)
			blocks_free(blocks);
		if (i % 1000 == 999)
			malloc_trim(0);
		pthread_rwlock_unlock(&at_work);
	}
	blocks_check(blocks);
}

/* Thread 0 is the adversary. */
static void disturb_or_allocate(unsigned index)
{
	if (index != 0) {
		allocate(&of_thread[index]);
		return;
	}
	for (unsigned i = 0; i < (storm_full ? 20000u : 50u); i++) {
		disturb();
		usleep((useconds_t)rng_below(&rng, 3000));
	}
	storming = false;
}

static size_t refused(void)
{
	size_t sum = 0;

	for (int i = 0; i < THREADS; i++)
		sum += of_thread[i].refused;
	return sum;
}

static void end_all(void)
{
	for (int i = 0; i < THREADS; i++)
		blocks_free(&of_thread[i]);
	malloc_trim(0);
}

static void storm(void (*how)(void), void (*prepare)(void))
{
	rng = rng_make(rng_process_seed());
	for (int i = 0; i < THREADS; i++)
		blocks_init(&of_thread[i], SLOTS, SIZE_MOST, rng_next(&rng));
	disturb = how;
	storming = true;
	crew_run(THREADS, prepare, disturb_or_allocate);
}

static void go_on(void)
{
	end_all();
	blocks_init(&of_thread[0], SLOTS, SIZE_MOST, rng_next(&rng));
	blocks_steps(&of_thread[0], 3000);
	ck_assert_uint_eq(of_thread[0].refused, 0);
	end_all();
}

/* sbrk of others ----------------------------------------------------------------------------- */

static struct foreign foreign;

/* What it gives back lies at the break: then its own part is the last. */
static bool may_shrink(void)
{
	return foreign.count > 0 && foreign.part[foreign.count - 1].memory +
						    foreign.part[foreign.count - 1].size ==
					    (unsigned char *)sbrk(0);
}

static void move_the_break(void)
{
	pthread_rwlock_wrlock(&at_work);
	if (may_shrink() && (rng_below(&rng, 3) || foreign.count == FOREIGN_MAX))
		foreign_shrink(&foreign);
	else if (foreign.count < FOREIGN_MAX)
		foreign_grow(&foreign, 1 + rng_size(&rng, MIB));
	foreign_check(&foreign);
	pthread_rwlock_unlock(&at_work);
}

START_TEST(others_move_the_break_up_and_down)
{
	storm(move_the_break, NULL);
	ck_assert_uint_eq(refused(), 0);
	foreign_check(&foreign);
	go_on();
	foreign_check(&foreign);
}
END_TEST

enum { TRIES = 1000, TOP_SIZE = 50000 };

/* A block with a run of its own in which the heap ends, so that nobody else has anything on its last
 * page: not a live block, and not one in a thread's cache. NULL: the heap does not grow by the break. */
static void *block_at_the_top(void)
{
	static void *tried[TRIES];
	unsigned char *const end = sbrk(0);
	void *found = NULL;
	unsigned count = 0;

	while (count < TRIES && !found) {
		unsigned char *p = opaque(malloc(TOP_SIZE));
		if (p >= end && p < (unsigned char *)sbrk(0))
			found = p;
		else
			tried[count++] = p;
	}
	while (count)
		free(tried[--count]);
	malloc_trim(0);
	return found;
}

/* It lowers the break into a block of ours, which nobody reads. Into what others have in their caches it
 * must not: a thread may take it from there, and write to it, before any call looks at the break. */
static void cut_the_top(void)
{
	static void *top;

	pthread_rwlock_wrlock(&at_work);
	free(top);
	end_all();
	top = block_at_the_top();
	must(sbrk(64 << 10) != (void *)-1);
	must(sbrk(-(64 << 10) - (top ? (intptr_t)rng_below(&rng, 2) * 4096 : 0)) != (void *)-1);
	pthread_rwlock_unlock(&at_work);
}

START_TEST(others_take_more_of_the_break_than_is_theirs)
{
	storm(cut_the_top, NULL);
	ck_assert_uint_eq(refused(), 0);
	go_on();
}
END_TEST

/* Mappings in the way -------------------------------------------------------------------------- */

enum { WALLS = 16, WALL = 16 << 10 };

static unsigned char *wall[WALLS];

/* Another thread may take the place first: then it is tried again another time. */
static void build_or_take_down_a_wall(void)
{
	unsigned char **it = &wall[rng_below(&rng, WALLS)];
	const uintptr_t at = (((uintptr_t)sbrk(0) + 4095) & ~(uintptr_t)4095) + rng_below(&rng, 40) * 4096;

	if (*it) {
		must(pattern_holds(*it, WALL, (uintptr_t)*it));
		must(munmap(*it, WALL) == 0);
		*it = NULL;
		return;
	}
	void *memory = mmap((void *)at, WALL, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (memory == MAP_FAILED)
		return;
	pattern_fill(memory, WALL, (uintptr_t)memory);
	*it = memory;
}

START_TEST(mappings_come_and_go_just_above_the_break)
{
	storm(build_or_take_down_a_wall, NULL);
	ck_assert_uint_eq(refused(), 0);
	go_on();
	for (int i = 0; i < WALLS; i++)
		ck_assert(!wall[i] || pattern_holds(wall[i], WALL, (uintptr_t)wall[i]));
}
END_TEST

/* Limits --------------------------------------------------------------------------------------- */

static void limit(int resource, rlim_t bytes)
{
	must(setrlimit(resource, &(struct rlimit){ bytes, RLIM_INFINITY }) == 0);
}

static void lift_limits(void)
{
	limit(RLIMIT_DATA, RLIM_INFINITY);
	limit(RLIMIT_AS, RLIM_INFINITY);
}

/* Below what the process has already, just above it, or away. */
static void lower_or_raise_a_limit(void)
{
	const bool data = rng_below(&rng, 2);
	const size_t now = proc_status_bytes(data ? "VmData:" : "VmSize:");

	lift_limits();
	if (rng_below(&rng, 4))
		limit(data ? RLIMIT_DATA : RLIMIT_AS, now - 4 * MIB + rng_below(&rng, 12 * MIB));
}

START_TEST(limits_fall_and_rise_while_threads_allocate)
{
	storm(lower_or_raise_a_limit, NULL);
	lift_limits();
	go_on();
}
END_TEST

/* A filter ------------------------------------------------------------------------------------- */

static void refuse_brk_once(void)
{
	static bool done;

	if (!done && rng_below(&rng, 20) == 0) {
		refuse_system_call(SYS_brk);
		done = true;
	}
}

START_TEST(a_filter_refuses_the_break_from_the_middle_on)
{
	storm(refuse_brk_once, NULL);
	ck_assert_uint_eq(refused(), 0);
	go_on();
}
END_TEST

static void wall_and_limits_and_foreign_break(void)
{
	static void (*const ways[])(void) = { move_the_break, build_or_take_down_a_wall, lower_or_raise_a_limit };

	ways[rng_below(&rng, 3)]();
}

START_TEST(all_of_it_at_once)
{
	storm(wall_and_limits_and_foreign_break, NULL);
	lift_limits();
	foreign_check(&foreign);
	go_on();
	foreign_check(&foreign);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		others_move_the_break_up_and_down,
		others_take_more_of_the_break_than_is_theirs,
		mappings_come_and_go_just_above_the_break,
		limits_fall_and_rise_while_threads_allocate,
		a_filter_refuses_the_break_from_the_middle_on,
		all_of_it_at_once,
		NULL,
	};
	suite_skip_all_in_variant("no-break", "there is no break to storm");
	return storm_main(argc, argv, "break_storm", tests, NULL);
}
