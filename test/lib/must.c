/* SPDX-License-Identifier: MIT */
/* The report of a failed must(). */
#include "must.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

void must_failed(const char *file, int line, const char *condition)
{
	char text[512];
	const int n = snprintf(text, sizeof text, "%s:%d: must(%s) failed, errno %d\n", file, line, condition,
			       errno);
	if (write(STDERR_FILENO, text, (size_t)n) != n)
		_exit(98);
	_exit(99);
}
