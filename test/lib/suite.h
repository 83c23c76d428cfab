/* SPDX-License-Identifier: MIT */
/* The frame of every test program: runs the tests with Check, each in its own process, under the library. */
#ifndef TEST_SUITE_H
#define TEST_SUITE_H

#include <check.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Executes the program again with the library of the environment variable VMALLOC_SO preloaded, unless
 * it is already, and makes sure that malloc is the library's. An empty VMALLOC_SO tests whatever malloc
 * the process has; without the variable the program ends with status 99: nothing would be tested.
 */
void suite_preload(char **argv);

/* True if the allocator under test is libvmalloc: false only with an empty VMALLOC_SO. */
bool suite_tests_the_library(void);

/* Runs the tests (NULL-ended) with a time limit each, and returns the exit status for main. */
int suite_run(const char *name, const TTest *const tests[], double timeout_s);

/*
 * For a test of what is so by default: skips it, by name and with this reason, where the suite is run
 * again in a variant of that name or with that option set (scripts/check-variants).
 */
#define suite_skip_in_variant(variant, reason) suite_skip_if_variant(__func__, variant, reason)
void suite_skip_if_variant(const char *test, const char *variant, const char *reason);

/* The same for all tests of a program, from its main. */
void suite_skip_all_in_variant(const char *variant, const char *reason);

/* suite_preload, then suite_run. */
int suite_main(char **argv, const char *name, const TTest *const tests[], double timeout_s);

/* Executes this program again (as argv) in the place of the process; argv[0] is set to it. */
void suite_exec_self(const char *argv[]) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif
#endif
