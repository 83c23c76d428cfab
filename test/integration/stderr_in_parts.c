/* SPDX-License-Identifier: MIT */
/* What is told on stderr arrives whole where the kernel takes it in parts. */
#define _GNU_SOURCE 1
#include "must.h"
#include "suite.h"

#include "base/base.h"
#include "os/os.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ARGUMENTS = 6, PART = 7 };

static unsigned writes;
static long refused_from = -1; /* of them, counted from 0; -1: none */
static bool takes_nothing;     /* any more, and tells of no error */

/* By the linker's --wrap. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
	long argument[ARGUMENTS];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < ARGUMENTS; i++)
		argument[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_write && argument[0] == STDERR_FILENO) {
		const unsigned count = writes++;
		if (takes_nothing)
			return 0;
		if (count % 2 == 0) {
			errno = EINTR;
			return -1;
		}
		if (refused_from >= 0 && count >= refused_from) {
			errno = EAGAIN;
			return -1;
		}
		argument[2] = (long)min_size((size_t)argument[2], PART);
	}
	return __real_syscall(number, argument[0], argument[1], argument[2], argument[3],
			      argument[4], argument[5]);
}

static const char line[] = "libvmalloc: a line that is longer than one part, and than two\n";

/* What arrives of the line. */
static size_t tell(char *arrived, size_t capacity)
{
	int ends[2];
	const int saved = dup(STDERR_FILENO);

	must(saved >= 0 && !pipe(ends) && dup2(ends[1], STDERR_FILENO) >= 0);
	vm_os_write_error(line, sizeof line - 1);
	must(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	close(ends[1]);
	const ssize_t length = read(ends[0], arrived, capacity);
	must(length >= 0);
	close(ends[0]);
	return (size_t)length;
}

START_TEST(parts_and_interruptions_leave_nothing_out)
{
	char arrived[2 * sizeof line];

	ck_assert_uint_eq(tell(arrived, sizeof arrived), sizeof line - 1);
	ck_assert_mem_eq(arrived, line, sizeof line - 1);
	ck_assert_uint_eq(writes, 2 * ((sizeof line - 1 + PART - 1) / PART));
}
END_TEST

START_TEST(what_is_refused_is_not_tried_for_ever)
{
	char arrived[2 * sizeof line];

	refused_from = 4;
	ck_assert_uint_eq(tell(arrived, sizeof arrived), 2 * PART);
	ck_assert_mem_eq(arrived, line, 2 * PART);
	ck_assert_uint_eq(writes, 6);
}
END_TEST

START_TEST(where_nothing_is_taken_it_is_not_tried_for_ever)
{
	char arrived[2 * sizeof line];

	takes_nothing = true;
	errno = EINTR; /* of an earlier call */
	ck_assert_uint_eq(tell(arrived, sizeof arrived), 0);
	ck_assert_uint_eq(writes, 1);
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
