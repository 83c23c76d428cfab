/* SPDX-License-Identifier: MIT */
/* Processes and threads begin and end in every way while 16 threads allocate: nothing hangs, crashes or is lost. */
#define _GNU_SOURCE 1
#include "child.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "storm.h"
#include "team.h"

#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 16, WORKERS = 8, SLOTS = 100 };

/*
 * After a fork all threads fault on whatever they write to. With few blocks a fork costs 12 ms of CPU
 * time instead of 42; blocks of all three kinds are among them all the same.
 */
enum { TEAM_SLOTS = 20, SIZE_MOST = 300000 };
#define OPTIONS "mmap_threshold:128K"

static struct team team = { .slots = TEAM_SLOTS };
static struct blocks own[WORKERS];
static atomic_uint left; /* of what the threads still have to do, in all */

static unsigned times(unsigned quick, unsigned full)
{
	return storm_full ? full : quick;
}

static bool take_turn(void)
{
	unsigned turns = atomic_load(&left);

	while (turns > 0 && !atomic_compare_exchange_weak(&left, &turns, turns - 1))
		;
	return turns > 0;
}

/* Runs work(0 ... WORKERS - 1) in threads of their own, beside those that allocate. */
static void run_beside_team(void *(*work)(void *), unsigned turns)
{
	pthread_t thread[WORKERS];

	atomic_store(&left, turns);
	team_start(&team, THREADS, SIZE_MOST);
	team_await(&team, 20);
	for (uintptr_t i = 0; i < WORKERS; i++)
		must(pthread_create(&thread[i], NULL, work, (void *)i) == 0);
	for (unsigned i = 0; i < WORKERS; i++)
		must(pthread_join(thread[i], NULL) == 0);
	team_stop(&team);
}

/* fork --------------------------------------------------------------------------------------- */

static void allocate(struct blocks *blocks, size_t steps)
{
	blocks_init(blocks, SLOTS, SIZE_MOST, rng_process_seed() + (uint64_t)getpid());
	blocks_steps(blocks, steps);
	blocks_free(blocks);
}

/* What the parent made is checked and freed; every second child ends by way of exit's handlers. */
static void work_in_child(void *parents)
{
	static struct blocks blocks;

	allocate(&blocks, 50);
	blocks_check(parents);
	if (getpid() % 8 == 0)
		must(child_status(work_in_child, parents) == 0);
	blocks_free(parents);
	if (getpid() % 2)
		exit(0);
}

static void *fork_again_and_again(void *index)
{
	struct blocks *blocks = &own[(uintptr_t)index];

	blocks_init(blocks, SLOTS, 100000, rng_process_seed() + 100 + (uintptr_t)index);
	while (take_turn()) {
		blocks_steps(blocks, 20);
		must(child_status(work_in_child, blocks) == 0);
	}
	blocks_free(blocks);
	return NULL;
}

START_TEST(threads_fork_while_others_allocate)
{
	run_beside_team(fork_again_and_again, times(60, 10000));
}
END_TEST

/* A library that keeps blocks over the fork, and allocates in every phase. */
static __thread struct block kept[3];

static void allocate_before_fork(void)
{
	static const size_t sizes[] = { 100, 50000, 2000000 };
	struct rng rng = rng_make((uintptr_t)kept);

	for (int i = 0; i < 3; i++) {
		kept[i] = block_make(&rng, sizes[i]);
		must(kept[i].memory != NULL);
	}
}

static void free_after_fork(void)
{
	for (int i = 0; i < 3; i++)
		block_end(&kept[i]);
	free(opaque(calloc(1, 30000)));
	free(opaque(realloc(opaque(malloc(100)), 3000000)));
}

/* Another one, whose blocks do not outlive the phase. */
static void allocate_and_free(void)
{
	for (size_t size = 8; size < 4 << 20; size *= 8)
		free(opaque(malloc(size)));
}

START_TEST(fork_handlers_of_libraries_allocate_in_every_phase)
{
	must(pthread_atfork(allocate_and_free, allocate_and_free, allocate_and_free) == 0);
	must(pthread_atfork(allocate_before_fork, free_after_fork, free_after_fork) == 0);
	must(pthread_atfork(allocate_and_free, allocate_and_free, allocate_and_free) == 0);
	run_beside_team(fork_again_and_again, times(20, 3000));
}
END_TEST

/* What runs no handlers -------------------------------------------------------------------- */

static void spawn(void)
{
	char *const argv[] = { "sh", "-c", "exit 7", NULL };
	pid_t pid;

	must(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0);
	must(child_wait(pid) == 7);
}

static void execute(void)
{
	const pid_t pid = vfork();

	if (pid == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	must(child_wait(pid) == 0);
}

static void read_from_pipe(void)
{
	char line[16] = "";
	FILE *pipe = popen("echo word", "re");

	must(pipe && fgets(line, sizeof line, pipe) && strcmp(line, "word\n") == 0);
	must(pclose(pipe) == 0);
}

static void call_system(void)
{
	must(WEXITSTATUS(system("exit 5")) == 5);
}

static void *start_programs(void *index)
{
	static void (*const ways[])(void) = { spawn, execute, read_from_pipe, call_system };
	struct blocks *blocks = &own[(uintptr_t)index];

	blocks_init(blocks, SLOTS, 100000, rng_process_seed() + 100 + (uintptr_t)index);
	for (size_t i = (uintptr_t)index; take_turn(); i++) {
		blocks_steps(blocks, 20);
		ways[i % 4]();
	}
	blocks_free(blocks);
	return NULL;
}

START_TEST(threads_start_programs_while_others_allocate)
{
	run_beside_team(start_programs, times(20, 2000));
}
END_TEST

/* Threads that end ------------------------------------------------------------------------- */

enum { MAILBOXES = 256 };

static struct block mailbox[MAILBOXES];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t late;

static struct block exchange(size_t at, struct block in)
{
	pthread_mutex_lock(&mutex);
	const struct block out = mailbox[at];
	mailbox[at] = in;
	pthread_mutex_unlock(&mutex);
	return out;
}

/* Fills mailboxes with its own blocks and frees what is in them, which is mostly of threads that are gone. */
static void *live_shortly(void *seed)
{
	struct rng rng = rng_make(rng_process_seed() + (uintptr_t)seed);

	must(pthread_setspecific(late, opaque(malloc(1000))) == 0);
	for (int i = 0; i < 60; i++) {
		const struct block made = block_make(&rng, rng_size(&rng, i % 20 ? 20000 : 2 << 20));
		struct block taken = exchange(rng_below(&rng, MAILBOXES), made);
		block_end(&taken);
	}
	return NULL;
}

static void *begin_and_end_threads(void *index)
{
	for (uintptr_t i = (uintptr_t)index; take_turn(); i += WORKERS) {
		pthread_t thread;
		must(pthread_create(&thread, NULL, live_shortly, (void *)i) == 0);
		must(pthread_join(thread, NULL) == 0);
	}
	return NULL;
}

START_TEST(threads_end_while_others_free_their_blocks)
{
	must(pthread_key_create(&late, free) == 0);
	run_beside_team(begin_and_end_threads, times(200, 50000));
	for (int i = 0; i < MAILBOXES; i++)
		block_end(&mailbox[i]);
}
END_TEST

/* Cancelled between its steps, or asleep; its blocks stay, as they are. */
static void *work_until_cancelled(void *blocks)
{
	void *kept_for_cleanup = opaque(malloc(5000));

	pthread_cleanup_push(free, kept_for_cleanup);
	for (unsigned i = 1;; i++) {
		blocks_step(blocks);
		if (i % 16 == 0)
			usleep(1);
		pthread_testcancel();
	}
	pthread_cleanup_pop(1);
	return NULL;
}

static void *cancel_threads(void *index)
{
	struct blocks *blocks = &own[(uintptr_t)index];
	struct rng rng = rng_make(rng_process_seed() + 100 + (uintptr_t)index);
	pthread_t thread;
	void *result;

	while (take_turn()) {
		blocks_init(blocks, SLOTS, SIZE_MOST, rng_next(&rng));
		must(pthread_create(&thread, NULL, work_until_cancelled, blocks) == 0);
		usleep((useconds_t)rng_below(&rng, 3000));
		must(pthread_cancel(thread) == 0);
		must(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
		blocks_free(blocks);
	}
	return NULL;
}

START_TEST(threads_are_cancelled_at_random)
{
	run_beside_team(cancel_threads, times(60, 10000));
}
END_TEST

/* exit --------------------------------------------------------------------------------------- */

static void free_at_exit(void)
{
	blocks_free(&own[0]);
	allocate_and_free();
}

static void *exit_from_thread(void *unused)
{
	exit(unused != NULL);
}

static void end_somehow(void *way)
{
	pthread_t thread;

	blocks_init(&own[0], SLOTS, SIZE_MOST, rng_process_seed());
	blocks_steps(&own[0], 200);
	must(atexit(free_at_exit) == 0 && at_quick_exit(free_at_exit) == 0);
	team_start(&team, THREADS - 1, SIZE_MOST);
	team_await(&team, 1);
	if ((uintptr_t)way % 3 == 0)
		exit(0);
	if ((uintptr_t)way % 3 == 1)
		quick_exit(0);
	must(pthread_create(&thread, NULL, exit_from_thread, NULL) == 0);
	pthread_exit(NULL);
}

START_TEST(a_process_ends_while_its_16_threads_allocate)
{
	rng_process_seed();
	for (uintptr_t i = 0; i < times(15, 1000); i++)
		ck_assert_int_eq(child_status(end_somehow, (void *)i), 0);
}
END_TEST

/* Signals ------------------------------------------------------------------------------------ */

enum { SIGNALLED = 4, SIGNAL_EVERY_NS = 50000 };

static __thread sigjmp_buf back;
static __thread volatile sig_atomic_t may_jump;
static atomic_uint signals, jumps;

/* Out of code of the thread that does not allocate it jumps; the allocator it only interrupts. */
static void interrupt(int signal)
{
	(void)signal;
	atomic_fetch_add(&signals, 1);
	if (may_jump) {
		may_jump = 0;
		siglongjmp(back, 1);
	}
}

/* From a timer, which needs no thread that runs in time. */
static timer_t interrupt_again_and_again(pid_t thread)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	const struct itimerspec every = { { 0, SIGNAL_EVERY_NS }, { 0, SIGNAL_EVERY_NS } };
	timer_t timer;

	event._sigev_un._tid = thread;
	must(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	must(timer_settime(timer, 0, &every, NULL) == 0);
	return timer;
}

static void *be_interrupted(void *index)
{
	struct blocks *blocks = &own[(uintptr_t)index];
	const timer_t timer = interrupt_again_and_again(gettid());

	blocks_init(blocks, SLOTS, SIZE_MOST, rng_process_seed() + (uintptr_t)index);
	while (atomic_load(&signals) < times(5000, 500000) || atomic_load(&jumps) == 0) {
		blocks_step(blocks);
		if (sigsetjmp(back, 1) == 0) {
			may_jump = 1;
			for (volatile int spin = 0; spin < 1000; spin++)
				;
			may_jump = 0;
		} else {
			atomic_fetch_add(&jumps, 1);
		}
	}
	must(timer_delete(timer) == 0);
	blocks_free(blocks);
	return NULL;
}

START_TEST(signal_handlers_interrupt_the_allocator_and_jump)
{
	const struct sigaction action = { .sa_handler = interrupt };
	pthread_t thread[SIGNALLED];

	rng_process_seed();
	must(sigaction(SIGUSR1, &action, NULL) == 0);
	for (uintptr_t i = 0; i < SIGNALLED; i++)
		must(pthread_create(&thread[i], NULL, be_interrupted, (void *)i) == 0);
	for (int i = 0; i < SIGNALLED; i++)
		must(pthread_join(thread[i], NULL) == 0);
	ck_assert_uint_gt(signals, jumps);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		threads_fork_while_others_allocate,
		fork_handlers_of_libraries_allocate_in_every_phase,
		threads_start_programs_while_others_allocate,
		threads_end_while_others_free_their_blocks,
		threads_are_cancelled_at_random,
		a_process_ends_while_its_16_threads_allocate,
		signal_handlers_interrupt_the_allocator_and_jump,
		NULL,
	};
	return storm_main(argc, argv, "process_storm", tests, OPTIONS);
}
