/* SPDX-License-Identifier: MIT */
/* suite_main of programs that are linked with the library under test; preload.c has the other. */
#include "suite.h"

int suite_main(char **argv, const char *name, const TTest *const tests[], double timeout_s)
{
	(void)argv;
	return suite_run(name, tests, timeout_s);
}
