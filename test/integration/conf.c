/* SPDX-License-Identifier: MIT */
/* VMALLOC_CONF: what is wrong is said in one line on stderr and does not stop the program; help prints the table. */
#define _GNU_SOURCE 1
#include "child.h"
#include "must.h"
#include "opaque.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct child child;

/* The program under the options: allocates a little of everything, prints "alive". */
static int allocate_and_say_alive(void)
{
	for (size_t size = 1; size < 20000000; size *= 7)
		free(opaque(calloc(1, size)));
	return puts("alive") < 0;
}

static void set_options(void *options)
{
	must(setenv("VMALLOC_CONF", options, 1) == 0);
}

static void run_with(const char *options)
{
	child_exec_self(&child, "alive", set_options,
		   (void *)(uintptr_t)options);
	ck_assert_msg(child_exited(&child, 0), "%s: status %x: %s", options, child.status, child.err);
	ck_assert_str_eq(child.out, "alive\n");
}

static size_t lines(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

static void check_line_about(const char *first, const char *second)
{
	ck_assert_msg(lines(child.err) == 1, "not one line: %s", child.err);
	ck_assert_msg(strncmp(child.err, "libvmalloc: ", 12) == 0, "%s", child.err);
	ck_assert_msg(strstr(child.err, first) && strstr(child.err, second), "no %s or %s in: %s", first, second,
		      child.err);
}

static const char *const names[] = { "mmap_threshold", "trim_break", "decay_ms", "shards", "cache_bytes" };
enum { NAMES = sizeof names / sizeof *names };

START_TEST(no_options_print_nothing)
{
	run_with("");
	ck_assert_str_eq(child.err, "");
}
END_TEST

START_TEST(good_values_print_nothing)
{
	static const char *const good[] = {
		"mmap_threshold:2097152", "trim_break:false", "trim_break:true",
		"decay_ms:0", "decay_ms:1000", "shards:1", "shards:2",
		"cache_bytes:65536", "shards:1,decay_ms:100,trim_break:false,mmap_threshold:1048576",
	};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		run_with(good[i]);
		ck_assert_msg(child.err[0] == '\0', "%s: %s", good[i], child.err);
	}
}
END_TEST

START_TEST(an_unknown_name_is_named_with_the_names_accepted)
{
	run_with("no_such_option:1");
	check_line_about("no_such_option", "mmap_threshold");
	for (size_t i = 0; i < NAMES; i++)
		check_line_about("no_such_option", names[i]);
	run_with("mmap_threshol:1");
	check_line_about("mmap_threshol", "shards");
	run_with("mmap_threshold2:1");
	check_line_about("mmap_threshold2", "shards");
}
END_TEST

START_TEST(a_bad_value_is_named_with_what_is_accepted)
{
	static const char *const bad[] = { "x", "-1", "99999999999999999999999", "12x", "", "0x" };
	char options[64];

	for (size_t i = 0; i < NAMES; i++)
		for (size_t j = 0; j < sizeof bad / sizeof *bad; j++) {
			snprintf(options, sizeof options, "%s:%s", names[i], bad[j]);
			run_with(options);
			check_line_about(names[i], bad[j]);
		}
	run_with("trim_break:maybe");
	check_line_about("trim_break", "maybe");
	check_line_about("true", "false");
}
END_TEST

START_TEST(a_name_without_value_is_named)
{
	run_with("shards");
	check_line_about("shards", "");
}
END_TEST

START_TEST(each_wrong_option_has_its_line_and_the_others_stand)
{
	run_with("nonsense:1,shards:1,decay_ms:never,trim_break:false");
	ck_assert_uint_eq(lines(child.err), 2);
	ck_assert_ptr_nonnull(strstr(child.err, "nonsense"));
	ck_assert_ptr_nonnull(strstr(child.err, "never"));
}
END_TEST

START_TEST(separators_alone_do_no_harm)
{
	static const char *const odd[] = { ",", ",,,", ":", ":,:", "shards:1,", ",shards:1", "shards:1:2", "=" };

	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
		run_with(odd[i]);
}
END_TEST

START_TEST(a_very_long_value_does_no_harm)
{
	static char options[20000];

	memset(options, 'a', sizeof options - 1);
	run_with(options);
	memcpy(options, "shards:", 7);
	run_with(options);
	memset(options + 7, '1', sizeof options - 8);
	run_with(options);
	ck_assert_ptr_nonnull(strstr(child.err, "shards"));
}
END_TEST

START_TEST(help_prints_the_table_of_options)
{
	run_with("help:true");
	for (size_t i = 0; i < NAMES; i++)
		ck_assert_msg(strstr(child.err, names[i]) != NULL, "no %s in: %s", names[i], child.err);
	ck_assert_uint_ge(lines(child.err), NAMES);
	run_with("help:false");
	ck_assert_str_eq(child.err, "");
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		no_options_print_nothing,
		good_values_print_nothing,
		an_unknown_name_is_named_with_the_names_accepted,
		a_bad_value_is_named_with_what_is_accepted,
		a_name_without_value_is_named,
		each_wrong_option_has_its_line_and_the_others_stand,
		separators_alone_do_no_harm,
		a_very_long_value_does_no_harm,
		help_prints_the_table_of_options,
		NULL,
	};
	if (argc == 2 && strcmp(argv[1], "alive") == 0)
		return allocate_and_say_alive();
	return suite_main(argv, "conf", tests, 20);
}
