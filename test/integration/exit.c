/* SPDX-License-Identifier: MIT */
/* The process ends while threads allocate: by exit, by quick_exit, out of a signal handler, by exec. */
#define _GNU_SOURCE 1
#include "child.h"
#include "must.h"
#include "opaque.h"
#include "suite.h"
#include "team.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HELD = 200, TIMES = 15 };

static struct team team;
static void *held[HELD];

static void free_held(void)
{
	for (int i = 0; i < HELD; i++) {
		free(held[i]);
		free(opaque(malloc((size_t)i * 1000)));
	}
}

static void prepare(void)
{
	for (size_t i = 0; i < HELD; i++)
		held[i] = opaque(malloc(i * 500));
	must(atexit(free_held) == 0 && at_quick_exit(free_held) == 0);
	team_start(&team, 3, 50000);
	team_await(&team, 100);
}

static void by_exit(void *unused)
{
	(void)unused;
	prepare();
	exit(0);
}

static void by_quick_exit(void *unused)
{
	(void)unused;
	prepare();
	quick_exit(0);
}

static void exit_from_handler(int signal)
{
	(void)signal;
	exit(0);
}

/* The main thread waits outside the allocator; its handler runs exit with all its handlers. */
static void by_signal(void *unused)
{
	(void)unused;
	prepare();
	signal(SIGALRM, exit_from_handler);
	ualarm(5000, 0);
	for (;;)
		pause();
}

static void _exit_from_handler(int signal)
{
	(void)signal;
	_exit(0);
}

/* The signal meets the thread in the middle of the allocator. */
static void by_signal_amid_malloc(void *unused)
{
	(void)unused;
	prepare();
	signal(SIGALRM, _exit_from_handler);
	ualarm(3000, 0);
	for (size_t i = 0;; i++)
		free(opaque(malloc(i % 100000)));
}

static void *end_the_process(void *unused)
{
	exit(unused != NULL);
}

static void by_exit_in_a_thread(void *unused)
{
	pthread_t thread;

	(void)unused;
	prepare();
	must(pthread_create(&thread, NULL, end_the_process, NULL) == 0);
	for (size_t i = 0;; i++)
		free(opaque(malloc(i % 100000)));
}

static void *stay_alive(void *unused)
{
	usleep(3000);
	free(opaque(malloc(100)));
	exit(unused != NULL);
}

static void by_main_thread_leaving_first(void *unused)
{
	pthread_t thread;

	(void)unused;
	prepare();
	must(pthread_create(&thread, NULL, stay_alive, NULL) == 0);
	pthread_exit(NULL);
}

static void by_exec(void *unused)
{
	(void)unused;
	prepare();
	execl("/bin/true", "true", (char *)NULL);
	must(!"exec");
}

static void check_ends(void (*way)(void *))
{
	for (int i = 0; i < TIMES; i++)
		ck_assert_int_eq(child_status(way, NULL), 0);
}

START_TEST(exit_while_threads_allocate) { check_ends(by_exit); } END_TEST
START_TEST(quick_exit_while_threads_allocate) { check_ends(by_quick_exit); } END_TEST
START_TEST(exit_in_a_signal_handler_frees) { check_ends(by_signal); } END_TEST
START_TEST(_exit_in_a_signal_handler_amid_malloc) { check_ends(by_signal_amid_malloc); } END_TEST
START_TEST(exit_in_a_thread_while_main_allocates) { check_ends(by_exit_in_a_thread); } END_TEST
START_TEST(the_main_thread_may_leave_before_others) { check_ends(by_main_thread_leaving_first); } END_TEST
START_TEST(exec_while_threads_allocate) { check_ends(by_exec); } END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		exit_while_threads_allocate,
		quick_exit_while_threads_allocate,
		exit_in_a_signal_handler_frees,
		_exit_in_a_signal_handler_amid_malloc,
		exit_in_a_thread_while_main_allocates,
		the_main_thread_may_leave_before_others,
		exec_while_threads_allocate,
		NULL,
	};
	return suite_main(argv, "exit", tests, 30);
}
