/* SPDX-License-Identifier: MIT */
/* must() of the fuzzer's programs: it ends by SIGABRT, which fuzzers take for a finding. */
#include "must.h"

#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void must_failed(const char *file, int line, const char *condition)
{
	dprintf(STDERR_FILENO, "%s:%d: must(%s) failed in program %llu, errno %d\n", file, line,
		condition, (unsigned long long)program_number, errno);
	abort();
}
