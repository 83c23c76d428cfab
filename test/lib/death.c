/* SPDX-License-Identifier: MIT */
/* Judges the last words of a child. */
#define _GNU_SOURCE 1
#include "death.h"

#include "child.h"
#include "must.h"
#include "opaque.h"

#include <check.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *const NOT_A_BLOCK = "not a block of this allocator";
const char *const INSIDE_A_BLOCK = "points into a block, not to its start";
const char *const ALREADY_FREE = "block is already free";

static struct child child;

void *death_by(void *pointer)
{
	must(dprintf(STDOUT_FILENO, "%p", pointer) > 0);
	return opaque(pointer);
}

static void run(void (*misuse)(void *), void *arg)
{
	child_run(&child, misuse, arg);
	ck_assert_msg(child.out[0] != '\0', "died too early: status %x: %s", child.status, child.err);
	ck_assert_msg(child_signalled(&child, SIGABRT), "no SIGABRT but status %x for %s: %s", child.status, child.out,
		      child.err);
}

void death_expect(void (*misuse)(void *), void *arg, const char *function, const char *sentence)
{
	char line[256];

	run(misuse, arg);
	snprintf(line, sizeof line, "libvmalloc: %s(%.32s): %s\n", function, child.out, sentence);
	ck_assert_str_eq(child.err, line);
}

void death_expect_late(void (*misuse)(void *), void *arg, const char *sentence)
{
	char pattern[256];
	regex_t regex;

	run(misuse, arg);
	snprintf(pattern, sizeof pattern, "^libvmalloc: [a-z_]+\\(%.32s\\): %s\n$", child.out, sentence);
	ck_assert_int_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	ck_assert_msg(regexec(&regex, child.err, 0, NULL, 0) == 0, "expected %sfound %s", pattern, child.err);
	regfree(&regex);
}
