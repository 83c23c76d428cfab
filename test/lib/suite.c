/* SPDX-License-Identifier: MIT */
/* Runs a list of tests with Check. */
#include "suite.h"

#include <stdlib.h>
#include <string.h>

int suite_run(const char *name, const TTest *const tests[], double timeout_s)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);
	const char *tap = getenv("CK_TAP_LOG_FILE_NAME");

	for (size_t i = 0; tests[i]; i++)
		tcase_add_test(tcase, tests[i]);
	tcase_set_timeout(tcase, timeout_s);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_FORK);
	srunner_run_all(runner, tap && strcmp(tap, "-") == 0 ? CK_SILENT : CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
