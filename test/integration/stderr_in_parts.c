/* SPDX-License-Identifier: MIT */
/* What is told on stderr arrives whole where the kernel takes it in parts. */
#define _GNU_SOURCE 1
#include "child.h"
#include "must.h"
#include "refuse.h"
#include "suite.h"

#include "base/base.h"
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { PIPE_LEAST = 4096, LINE_BYTES = 5 * 65536 };

static char line[LINE_BYTES];
static int ends[2];
static size_t pipe_bytes;

/* stderr is a pipe that holds less than the line. */
static void setup(void)
{
	must(!pipe(ends));
	pipe_bytes = (size_t)fcntl(ends[1], F_SETPIPE_SZ, PIPE_LEAST); /* at least a page */
	must(pipe_bytes >= PIPE_LEAST && pipe_bytes < sizeof line);
	for (size_t i = 0; i < sizeof line; i++)
		line[i] = (char)('a' + i % 23);
}

static volatile sig_atomic_t interruptions;

static void interrupt(int number)
{
	(void)number;
	interruptions++;
}

/* A signal every millisecond; what it interrupts is not begun again by the kernel. */
static void tell_while_interrupted(void)
{
	const struct sigaction action = {.sa_handler = interrupt};
	const struct itimerval each_ms = {{0, 1000}, {0, 1000}};

	must(dup2(ends[1], STDERR_FILENO) >= 0 && !sigaction(SIGALRM, &action, NULL));
	must(!setitimer(ITIMER_REAL, &each_ms, NULL));
	vm_os_write_error(line, sizeof line);
	if (interruptions < 4)
		_exit(1);
}

static size_t read_slowly(char *arrived, size_t capacity)
{
	size_t length = 0;
	ssize_t got;

	do {
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		got = read(ends[0], arrived + length, min_size(capacity - length, pipe_bytes));
		must(got >= 0);
		length += (size_t)got;
	} while (got > 0);
	return length;
}

START_TEST(parts_and_interruptions_leave_nothing_out)
{
	static char arrived[2 * sizeof line];

	setup();
	const pid_t child = fork();
	must(child >= 0);
	if (child == 0) {
		tell_while_interrupted();
		_exit(0);
	}
	close(ends[1]);
	ck_assert_uint_eq(read_slowly(arrived, sizeof arrived), sizeof line);
	ck_assert_mem_eq(arrived, line, sizeof line);
	ck_assert_int_eq(child_wait(child), 0);
}
END_TEST

START_TEST(what_is_refused_is_not_tried_for_ever)
{
	static char arrived[2 * sizeof line];
	const int saved = dup(STDERR_FILENO);

	setup();
	must(saved >= 0 && !fcntl(ends[1], F_SETFL, O_NONBLOCK) && dup2(ends[1], STDERR_FILENO) >= 0);
	vm_os_write_error(line, sizeof line);
	must(dup2(saved, STDERR_FILENO) >= 0);
	ck_assert_int_eq(read(ends[0], arrived, sizeof arrived), (ssize_t)pipe_bytes);
	ck_assert_mem_eq(arrived, line, pipe_bytes);
}
END_TEST

static void tell_where_nothing_is_taken(void *unused)
{
	(void)unused;
	answer_system_call(SYS_write, 0);
	errno = EINTR; /* of an earlier call */
	vm_os_write_error(line, sizeof line);
	syscall(SYS_exit_group, 0); /* without writing counters of coverage */
}

START_TEST(where_nothing_is_taken_it_is_not_tried_for_ever)
{
	ck_assert_int_eq(child_status(tell_where_nothing_is_taken, NULL), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		parts_and_interruptions_leave_nothing_out,
		what_is_refused_is_not_tried_for_ever,
		where_nothing_is_taken_it_is_not_tried_for_ever,
		NULL,
	};
	return suite_run("stderr_in_parts", tests, 60);
}
