/* SPDX-License-Identifier: MIT */
/* fork at any moment of a program whose threads allocate, and what runs no fork handlers: vfork, spawn, system. */
#define _GNU_SOURCE 1
#include "child.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "suite.h"
#include "team.h"

#include <malloc.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELD = 70 };

static struct team team;
static struct blocks blocks;
static void *held[HELD];
static const size_t sizes[] = { 10, 500, 8000, 30000, 70000, 400000, 1500000 };

static size_t size_of(size_t i)
{
	return sizes[i % (sizeof sizes / sizeof *sizes)];
}

static void make_parents_blocks(void)
{
	for (size_t i = 0; i < HELD; i++) {
		held[i] = opaque(malloc(size_of(i)));
		pattern_fill(held[i], size_of(i), i);
	}
}

static void free_parents_blocks(void)
{
	for (size_t i = 0; i < HELD; i++) {
		must(pattern_holds(held[i], size_of(i), i));
		if (i % 3 == 0)
			held[i] = opaque(realloc(held[i], size_of(i + 1)));
		must(held[i] != NULL);
		free(held[i]);
	}
}

static void allocate_something(void)
{
	blocks_init(&blocks, 100, 100000, (uint64_t)getpid());
	blocks_steps(&blocks, 200);
	blocks_free(&blocks);
	must(malloc_trim(0) >= 0);
	must(mallinfo2().uordblks < (size_t)1 << 40);
}

static void *allocate_in_thread(void *arg)
{
	allocate_something();
	return arg;
}

static void grandchild(void *unused)
{
	(void)unused;
	free_parents_blocks();
	allocate_something();
}

static void child_of_a_busy_parent(void *deep)
{
	pthread_t thread;

	allocate_something();
	if (deep) {
		must(child_status(grandchild, NULL) == 0);
		must(pthread_create(&thread, NULL, allocate_in_thread, NULL) == 0);
		must(pthread_join(thread, NULL) == 0);
		free_parents_blocks();
	}
}

static void fork_often(size_t max_size)
{
	make_parents_blocks();
	team_start(&team, 3, max_size);
	for (int i = 0; i < 25; i++) {
		team_await(&team, 1);
		ck_assert_int_eq(child_status(child_of_a_busy_parent, i % 4 ? NULL : held), 0);
	}
	team_stop(&team);
	free_parents_blocks();
}

START_TEST(fork_while_threads_allocate_small_blocks)
{
	fork_often(3000);
}
END_TEST

START_TEST(fork_while_threads_allocate_all_kinds)
{
	fork_often(3 << 20);
}
END_TEST

static void *fork_in_thread(void *arg)
{
	for (int i = 0; i < 8; i++)
		must(child_status(child_of_a_busy_parent, NULL) == 0);
	return arg;
}

START_TEST(several_threads_fork_at_once)
{
	pthread_t thread[3];

	team_start(&team, 2, 50000);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, fork_in_thread, NULL), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	team_stop(&team);
}
END_TEST

static void fork_again(void *depth)
{
	allocate_something();
	if ((uintptr_t)depth > 0)
		must(child_status(fork_again, (void *)((uintptr_t)depth - 1)) == 0);
	else
		free_parents_blocks();
}

START_TEST(a_chain_of_ten_forks_frees_the_first_ones_blocks)
{
	make_parents_blocks();
	fork_again((void *)10);
	free_parents_blocks();
}
END_TEST

START_TEST(the_child_does_not_change_the_parents_memory)
{
	make_parents_blocks();
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(child_status(grandchild, NULL), 0);
		allocate_something();
	}
	free_parents_blocks();
}
END_TEST

START_TEST(vfork_and_exec_while_threads_allocate)
{
	team_start(&team, 2, 50000);
	for (int i = 0; i < 20; i++) {
		const pid_t pid = vfork();
		if (pid == 0) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(1);
		}
		ck_assert_int_eq(child_wait(pid), 0);
	}
	team_stop(&team);
}
END_TEST

/* A vfork child shares the parent's memory and its thread's caches: what it frees stays freed. */
START_TEST(a_vfork_child_may_allocate_in_the_parents_place)
{
	make_parents_blocks();
	for (int i = 0; i < 20; i++) {
		void *volatile from_child = NULL;
		const pid_t pid = vfork();
		if (pid == 0) {
			from_child = opaque(malloc(1000));
			free(opaque(malloc(60000)));
			_exit(0);
		}
		ck_assert_int_eq(child_wait(pid), 0);
		free(from_child);
		allocate_something();
	}
	free_parents_blocks();
}
END_TEST

START_TEST(posix_spawn_system_and_popen_while_threads_allocate)
{
	team_start(&team, 2, 50000);
	for (int i = 0; i < 10; i++) {
		char *const argv[] = { "sh", "-c", "exit 7", NULL };
		char line[16] = "";
		pid_t pid;
		ck_assert_int_eq(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
		ck_assert_int_eq(child_wait(pid), 7);
		ck_assert_int_eq(WEXITSTATUS(system("exit 5")), 5);
		FILE *pipe = popen("echo word", "r");
		ck_assert_ptr_nonnull(fgets(line, sizeof line, pipe));
		ck_assert_str_eq(line, "word\n");
		ck_assert_int_eq(pclose(pipe), 0);
	}
	team_stop(&team);
}
END_TEST

/* Runs no fork handlers; with one thread no lock can be held, so the child must work. */
START_TEST(the_bare_system_call_in_a_single_thread)
{
	make_parents_blocks();
	for (int i = 0; i < 10; i++) {
		const pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
		if (pid == 0) {
			free_parents_blocks();
			allocate_something();
			_exit(0);
		}
		ck_assert_int_eq(child_wait(pid), 0);
	}
	free_parents_blocks();
}
END_TEST

static void allocate_in_handler(void)
{
	free(opaque(malloc(300)));
	free(opaque(malloc(300000)));
	free(opaque(calloc(1, 20000)));
}

/* Handlers of others run before or after ours, and may allocate. */
START_TEST(fork_handlers_of_the_program_may_allocate)
{
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(pthread_atfork(allocate_in_handler, allocate_in_handler, allocate_in_handler), 0);
	team_start(&team, 2, 50000);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(child_status(child_of_a_busy_parent, NULL), 0);
	team_stop(&team);
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		fork_while_threads_allocate_small_blocks,
		fork_while_threads_allocate_all_kinds,
		several_threads_fork_at_once,
		a_chain_of_ten_forks_frees_the_first_ones_blocks,
		the_child_does_not_change_the_parents_memory,
		vfork_and_exec_while_threads_allocate,
		a_vfork_child_may_allocate_in_the_parents_place,
		posix_spawn_system_and_popen_while_threads_allocate,
		the_bare_system_call_in_a_single_thread,
		fork_handlers_of_the_program_may_allocate,
		NULL,
	};
	return suite_main(argv, "fork", tests, 40);
}
