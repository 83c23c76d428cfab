/* SPDX-License-Identifier: MIT */
/* Runs a list of tests with Check. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* VM_TEST_VARIANT has the variant's name, then its options, as "NAME:VALUE,NAME:VALUE". */
static bool is_variant(const char *variant)
{
	const char *found = getenv("VM_TEST_VARIANT");
	const size_t length = strlen(variant);

	for (; found; found = strchr(found, ',')) {
		found += *found == ',';
		if (strncmp(found, variant, length) == 0 && found[length] == ':')
			return true;
	}
	return false;
}

void suite_skip_if_variant(const char *test, const char *variant, const char *reason)
{
	const char *path = getenv("VM_TEST_SKIPPED");
	const size_t length = strlen(test) - strlen("_fn"); /* Check's name of the function */

	if (!is_variant(variant))
		return;
	FILE *file = path ? fopen(path, "ae") : NULL;
	if (file) {
		fprintf(file, "%.*s\t%s: %s\n", (int)length, test, variant, reason);
		fclose(file);
	}
	exit(EXIT_SUCCESS);
}

void suite_skip_all_in_variant(const char *variant, const char *reason)
{
	if (!is_variant(variant))
		return;
	printf("%s: %s\n", variant, reason);
	exit(77);
}

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
