/* SPDX-License-Identifier: MIT */
/* os/conf.h: what is read, from where, and what is said of what cannot be. */
#include "fake_os.h"
#include "suite.h"

#include "base/base.h"
#include "os/conf.h"
#include "os/os.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include <vmalloc.h>

/* As a program may define it; no settings until a test gives some. */
const char *vm_conf;

static void init_with(const char *symbol, const char *environment)
{
	vm_os_init();
	vm_conf = symbol;
	unsetenv("VMALLOC_CONF");
	if (environment)
		setenv("VMALLOC_CONF", environment, 1);
	vm_conf_init();
}

static size_t lines_said(void)
{
	size_t lines = 0;
	for (const char *at = fake_os.error; (at = strchr(at, '\n')); at++)
		lines++;
	return lines;
}

START_TEST(without_settings_the_defaults_hold_and_nothing_is_said)
{
	init_with(NULL, NULL);
#define EXPECT_DEFAULT(name, kind, initial, least, greatest, help)                                 \
	ck_assert_uint_eq(vm_options.name, (uint64_t)(initial));                                   \
	ck_assert_uint_ge((uint64_t)(greatest), vm_options.name);                                  \
	ck_assert_uint_ge(vm_options.name + 1, (uint64_t)(least) + 1);
	VM_OPTIONS(EXPECT_DEFAULT)
	ck_assert_str_eq(fake_os.error, "");
}
END_TEST

START_TEST(bytes_take_units_of_either_case_and_none)
{
	static const struct {
		const char *setting;
		uint64_t value;
	} settings[] = {
		{"mmap_threshold:65536", 64 * KIB}, {"mmap_threshold:65537", 64 * KIB + 1},
		{"mmap_threshold:128K", 128 * KIB}, {"mmap_threshold:129k", 129 * KIB},
		{"mmap_threshold:3M", 3 * MIB},     {"mmap_threshold:4m", 4 * MIB},
		{"mmap_threshold:1G", GIB},         {"mmap_threshold:1g", GIB},
		{"mmap_threshold:00000000000000000000000070000", 70000},
	};
	for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
		init_with(NULL, settings[i].setting);
		ck_assert_uint_eq(vm_options.mmap_threshold, settings[i].value);
	}
	ck_assert_str_eq(fake_os.error, "");
}
END_TEST

START_TEST(each_option_takes_its_least_and_its_greatest_value)
{
	init_with("mmap_threshold:64K,trim_break:false,decay_ms:0,shards:0,cache_bytes:0,"
		  "thread_cache_bytes:0,dirty_bytes:0,huge_pages:false,report_failures:false,map_share:1,"
		  "map_reserve:0,map_count:false,help:false",
		  NULL);
	ck_assert_uint_eq(vm_options.trim_break, 0);
	ck_assert_uint_eq(vm_options.decay_ms, 0);
	ck_assert_uint_eq(vm_options.thread_cache_bytes, 0);
	ck_assert_uint_eq(vm_options.map_share, 1);
	ck_assert_uint_eq(vm_options.map_count, 0);
	init_with("mmap_threshold:1G,trim_break:true,decay_ms:3600000,shards:32,cache_bytes:64G,"
		  "thread_cache_bytes:1G,dirty_bytes:64G,huge_pages:true,report_failures:true,map_share:100,"
		  "map_reserve:1000000000,map_count:true",
		  NULL);
	ck_assert_uint_eq(vm_options.trim_break, 1);
	ck_assert_uint_eq(vm_options.decay_ms, 3600000);
	ck_assert_uint_eq(vm_options.shards, 32);
	ck_assert_uint_eq(vm_options.cache_bytes, 64 * GIB);
	ck_assert_uint_eq(vm_options.map_reserve, 1000000000);
	ck_assert_str_eq(fake_os.error, "");
}
END_TEST

START_TEST(a_bad_value_is_named_and_keeps_the_old_one)
{
	static const char *const bad[] = {
		"", "x", "-1", "+1", " 5000", "5000 ", "1.5", "1Q", "1KK", "1KB", "0x1000", "K",
		"3600001", "1K", "18446744073709551616", "99999999999999999999999999",
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char setting[100] = "decay_ms:250,decay_ms:";
		strcat(setting, bad[i]);
		fake_os.error[0] = 0;
		init_with(NULL, setting);
		ck_assert_uint_eq(vm_options.decay_ms, 250);
		char expected[300] = "libvmalloc: VMALLOC_CONF: bad value \"";
		strcat(expected, bad[i]);
		strcat(expected, "\" for decay_ms; accepted is 0 to 3600000, kept 250\n");
		ck_assert_str_eq(fake_os.error, expected);
	}
}
END_TEST

START_TEST(bytes_are_told_in_the_largest_unit_that_divides_them)
{
	static const char *const values[] = {"65537", "65K", "3M", "1G"};
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		char setting[100];
		char expected[300];
		snprintf(setting, sizeof setting, "mmap_threshold:%s,mmap_threshold:x", values[i]);
		snprintf(expected, sizeof expected,
			 "libvmalloc: VMALLOC_CONF: bad value \"x\" for mmap_threshold; "
			 "accepted is 64K to 1G, kept %s\n",
			 values[i]);
		fake_os.error[0] = 0;
		init_with(NULL, setting);
		ck_assert_str_eq(fake_os.error, expected);
	}
}
END_TEST

START_TEST(bytes_out_of_range_or_too_large_for_64_bits_are_bad)
{
	static const char *const bad[] = {"63K",   "65535", "2G",           "1073741825",
					  "1T",    "64KK",  "17179869184G", "18446744073709551615K",
					  "64K\n", "64`",   "64\x0b"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char setting[100] = "mmap_threshold:";
		strcat(setting, bad[i]);
		fake_os.error[0] = 0;
		init_with(NULL, setting);
		ck_assert_uint_eq(vm_options.mmap_threshold, MIB);
		ck_assert_ptr_nonnull(strstr(fake_os.error, "bad value"));
		ck_assert_ptr_nonnull(strstr(fake_os.error, "accepted is 64K to 1G, kept 1M\n"));
	}
}
END_TEST

START_TEST(a_switch_is_true_or_false_and_nothing_else)
{
	static const char *const bad[] = {"1", "0", "yes", "TRUE", "tru", "truee", "", "false "};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char setting[100] = "trim_break:";
		strcat(setting, bad[i]);
		fake_os.error[0] = 0;
		init_with(NULL, setting);
		ck_assert_uint_eq(vm_options.trim_break, 1);
		ck_assert_ptr_nonnull(strstr(
			fake_os.error, "for trim_break; accepted is true or false, kept true\n"));
	}
	init_with(NULL, "trim_break:false");
	ck_assert_uint_eq(vm_options.trim_break, 0);
}
END_TEST

START_TEST(an_unknown_name_is_told_with_all_that_are_known)
{
	init_with(NULL, "decay:1,decay_mss:2,DECAY_MS:3,:4,decay_ms:77");
	ck_assert_uint_eq(vm_options.decay_ms, 77);
	ck_assert_uint_eq(lines_said(), 4);
	ck_assert_ptr_nonnull(strstr(fake_os.error, "VMALLOC_CONF: unknown option \"decay\";"));
	ck_assert_ptr_nonnull(strstr(fake_os.error, "unknown option \"decay_mss\";"));
	ck_assert_ptr_nonnull(strstr(fake_os.error, "unknown option \"DECAY_MS\";"));
	ck_assert_ptr_nonnull(strstr(fake_os.error, "unknown option \"\";"));
#define EXPECT_NAMED(name, kind, initial, least, greatest, help)                                   \
	ck_assert_ptr_nonnull(strstr(fake_os.error, " " #name));
	VM_OPTIONS(EXPECT_NAMED)
}
END_TEST

START_TEST(a_name_of_any_length_is_cut_and_the_line_ends)
{
	static char setting[5000];
	memset(setting, 'n', sizeof setting - 1);
	init_with(NULL, setting);
	ck_assert_uint_eq(lines_said(), 1);
	ck_assert_uint_le(strlen(fake_os.error), 400);
	memcpy(setting, "decay_ms:", 9);
	fake_os.error[0] = 0;
	init_with(NULL, setting);
	ck_assert_uint_eq(lines_said(), 1);
	ck_assert_ptr_nonnull(strstr(fake_os.error, "kept 250\n"));
}
END_TEST

START_TEST(empty_settings_are_passed_over)
{
	init_with(",,,", ",decay_ms:5,,shards:3,");
	ck_assert_uint_eq(vm_options.decay_ms, 5);
	ck_assert_uint_eq(vm_options.shards, 3);
	ck_assert_str_eq(fake_os.error, "");
}
END_TEST

START_TEST(a_name_without_a_value_is_bad)
{
	init_with(NULL, "decay_ms,shards:2");
	ck_assert_uint_eq(vm_options.decay_ms, 250);
	ck_assert_uint_eq(vm_options.shards, 2);
	ck_assert_ptr_nonnull(strstr(fake_os.error, "bad value \"\" for decay_ms;"));
}
END_TEST

START_TEST(the_environment_wins_over_the_symbol_and_later_over_earlier)
{
	init_with("decay_ms:1,decay_ms:2,shards:5,map_share:x", "decay_ms:3,decay_ms:4");
	ck_assert_uint_eq(vm_options.decay_ms, 4);
	ck_assert_uint_eq(vm_options.shards, 5);
	ck_assert_ptr_nonnull(strstr(fake_os.error, "libvmalloc: vm_conf: bad value \"x\""));
	ck_assert_uint_eq(lines_said(), 1);
}
END_TEST

START_TEST(a_set_user_id_program_does_not_read_the_environment)
{
	vm_os_init();
	vm_os.secure = true;
	vm_conf = "shards:5";
	setenv("VMALLOC_CONF", "decay_ms:3,shards:6,help:true,nonsense:1", 1);
	vm_conf_init();
	ck_assert_uint_eq(vm_options.decay_ms, 250);
	ck_assert_uint_eq(vm_options.shards, 5);
	ck_assert_str_eq(fake_os.error, "");
}
END_TEST

START_TEST(help_prints_each_option_with_its_value_in_one_line)
{
	init_with(NULL, "help:true,decay_ms:123,cache_bytes:1536K,trim_break:false");
	size_t options = 0;
#define COUNT_OPTION(name, kind, initial, least, greatest, help) options++;
	VM_OPTIONS(COUNT_OPTION)
	ck_assert_uint_eq(lines_said(), options);
	ck_assert_ptr_nonnull(
		strstr(fake_os.error, "libvmalloc: decay_ms:123 (0 to 3600000) milliseconds"));
	ck_assert_ptr_nonnull(strstr(fake_os.error, "libvmalloc: cache_bytes:1536K (0 to 64G) "));
	ck_assert_ptr_nonnull(
		strstr(fake_os.error, "libvmalloc: trim_break:false (true or false) "));
	ck_assert_ptr_nonnull(strstr(fake_os.error, "libvmalloc: help:true"));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		without_settings_the_defaults_hold_and_nothing_is_said,
		bytes_take_units_of_either_case_and_none,
		each_option_takes_its_least_and_its_greatest_value,
		a_bad_value_is_named_and_keeps_the_old_one,
		bytes_are_told_in_the_largest_unit_that_divides_them,
		bytes_out_of_range_or_too_large_for_64_bits_are_bad,
		a_switch_is_true_or_false_and_nothing_else,
		an_unknown_name_is_told_with_all_that_are_known,
		a_name_of_any_length_is_cut_and_the_line_ends,
		empty_settings_are_passed_over,
		a_name_without_a_value_is_bad,
		the_environment_wins_over_the_symbol_and_later_over_earlier,
		a_set_user_id_program_does_not_read_the_environment,
		help_prints_each_option_with_its_value_in_one_line,
		NULL,
	};
	return suite_run("conf", tests, 60);
}
