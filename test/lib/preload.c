/* SPDX-License-Identifier: MIT */
/* The library under test is preloaded by executing the program again. Apart from suite.c for static programs. */
#define _GNU_SOURCE 1
#include "suite.h"

#include "must.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *library_path(void)
{
	const char *path = getenv("VMALLOC_SO");

	if (!path) {
		fputs("set VMALLOC_SO to the library (or to nothing, to test the process's own malloc)\n",
		      stderr);
		exit(99);
	}
	return path;
}

bool suite_tests_the_library(void)
{
	return *library_path() != '\0';
}

static void check_that_malloc_is_the_library(const char *path)
{
	char expected[PATH_MAX], found[PATH_MAX];
	Dl_info info;

	must(realpath(path, expected) != NULL);
	must(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) != 0);
	must(realpath(info.dli_fname, found) != NULL);
	if (strcmp(expected, found) != 0) {
		fprintf(stderr, "malloc comes from %s, not from %s\n", found, expected);
		exit(99);
	}
}

void suite_exec_self(const char *argv[])
{
	static char self[PATH_MAX];

	must(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	argv[0] = self;
	execv(self, (char *const *)(void *)argv);
	must(!"exec of the test program itself");
	abort();
}

void suite_preload(char **argv)
{
	const char *path = library_path();
	const char *loaded = getenv("LD_PRELOAD");

	if (!*path)
		return;
	if (loaded && strcmp(loaded, path) == 0) {
		check_that_malloc_is_the_library(path);
		return;
	}
	setenv("LD_PRELOAD", path, 1);
	suite_exec_self((const char **)(void *)argv);
}

int suite_main(char **argv, const char *name, const TTest *const tests[], double timeout_s)
{
	suite_preload(argv);
	return suite_run(name, tests, timeout_s);
}
