/* SPDX-License-Identifier: MIT */
/* failure.h: each thread knows its last failure, and each cause is told once. */
#include "fake_os.h"
#include "must.h"
#include "suite.h"

#include "failure.h"
#include "os/conf.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <vmalloc.h>

enum { LIMIT = 4711 };

/* Gives the thread a cache, where failures are kept. */
static void setup(void)
{
	vm_free(vm_malloc(1));
	fake_os.map_limit = LIMIT;
	fake_os.error[0] = 0;
}

static void refuse(enum vm_cause cause, size_t size)
{
	fake_os.cause = cause;
	vm_failure_note(size);
}

static void expect_last(enum vm_cause cause, size_t size, size_t limit)
{
	struct vm_failure failure;
	ck_assert(vm_last_failure(&failure));
	ck_assert_int_eq(failure.cause, cause);
	ck_assert_uint_eq(failure.size, size);
	ck_assert_uint_eq(failure.limit, limit);
}

START_TEST(the_last_failure_is_kept_with_what_was_asked_for)
{
	setup();
	struct vm_failure failure = {.cause = VM_CAUSE_SIZE};
	ck_assert(!vm_last_failure(&failure));
	ck_assert_int_eq(failure.cause, VM_CAUSE_NONE);
	refuse(VM_CAUSE_OVERCOMMIT, 123456);
	expect_last(VM_CAUSE_OVERCOMMIT, 123456, 0);
	ck_assert_uint_eq(fake_os.cause_bytes, 123456);
	refuse(VM_CAUSE_OVERCOMMIT, 0);
	expect_last(VM_CAUSE_OVERCOMMIT, 0, 0);
	ck_assert_uint_eq(fake_os.cause_bytes, 1);
	refuse(VM_CAUSE_MEMORY, PTRDIFF_MAX);
	expect_last(VM_CAUSE_MEMORY, PTRDIFF_MAX, 0);
}
END_TEST

/* A small block takes a slab, and its slab a record: what a page would still be had for. */
START_TEST(what_a_block_takes_beside_its_bytes_may_be_the_cause)
{
	setup();
	fake_os.data_limit = fake_maps.writable_bytes + PAGE_BYTES;
	vm_failure_note(100);
	expect_last(VM_CAUSE_DATA_LIMIT, 100, fake_os.data_limit);
	fake_os.data_limit = SIZE_MAX;
	fake_os.commit_limit = fake_maps.writable_bytes + MIB;
	vm_failure_note(MIB);
	expect_last(VM_CAUSE_OVERCOMMIT, MIB, 0);
	fake_os.commit_limit = fake_maps.writable_bytes + 100 * MIB;
	vm_failure_note(50 * MIB);
	expect_last(VM_CAUSE_MEMORY, 50 * MIB, 0);
}
END_TEST

START_TEST(a_size_beyond_any_is_its_own_cause_and_is_not_told)
{
	setup();
	refuse(VM_CAUSE_MEMORY, (size_t)PTRDIFF_MAX + 1);
	expect_last(VM_CAUSE_SIZE, (size_t)PTRDIFF_MAX + 1, 0);
	ck_assert_uint_eq(fake_os.cause_bytes, 0);
	ck_assert_str_eq(fake_os.error, "");
}
END_TEST

START_TEST(each_cause_is_told_once_with_its_limit_if_it_has_one)
{
	static const struct {
		enum vm_cause cause;
		const char *sentence;
	} told[] = {
		{VM_CAUSE_MAP_LIMIT, "the process has used up vm.max_map_count (4711): "
				     "raise it with sysctl, or map less"},
		{VM_CAUSE_ADDRESS_LIMIT, "the limit of the address space, RLIMIT_AS (4711 bytes), "
					 "is reached: raise it with ulimit -v"},
		{VM_CAUSE_DATA_LIMIT, "the limit of writable memory, RLIMIT_DATA (4711 bytes), "
				      "is reached: raise it with ulimit -d"},
		{VM_CAUSE_OVERCOMMIT, "the kernel does not promise so much memory: see vm.overcommit_memory"},
		{VM_CAUSE_MEMORY, "the kernel had no memory"},
	};
	setup();
	for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
		char line[300];
		snprintf(line, sizeof line, "libvmalloc: no memory for 77 bytes: %s\n", told[i].sentence);
		fake_os.error[0] = 0;
		refuse(told[i].cause, 77);
		ck_assert_str_eq(fake_os.error, line);
		refuse(told[i].cause, 78);
		ck_assert_str_eq(fake_os.error, line);
	}
}
END_TEST

START_TEST(a_limit_that_is_not_known_is_called_so)
{
	setup();
	fake_os.map_limit = 0;
	refuse(VM_CAUSE_MAP_LIMIT, 5);
	ck_assert_str_eq(fake_os.error, "libvmalloc: no memory for 5 bytes: the process has used up "
					"vm.max_map_count (unknown): raise it with sysctl, or map less\n");
}
END_TEST

START_TEST(nothing_is_told_where_the_option_says_so)
{
	setup();
	vm_options.report_failures = false;
	refuse(VM_CAUSE_MEMORY, 5);
	ck_assert_str_eq(fake_os.error, "");
	expect_last(VM_CAUSE_MEMORY, 5, 0);
}
END_TEST

static void *fail_without_a_cache(void *argument)
{
	struct vm_failure failure;
	refuse(VM_CAUSE_MEMORY, 6);
	must(!vm_last_failure(&failure) && failure.cause == VM_CAUSE_NONE);
	return argument;
}

START_TEST(failures_are_a_threads_own)
{
	setup();
	refuse(VM_CAUSE_OVERCOMMIT, 5);
	pthread_t thread;
	must(!pthread_create(&thread, NULL, fail_without_a_cache, NULL));
	must(!pthread_join(thread, NULL));
	expect_last(VM_CAUSE_OVERCOMMIT, 5, 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		the_last_failure_is_kept_with_what_was_asked_for,
		what_a_block_takes_beside_its_bytes_may_be_the_cause,
		a_size_beyond_any_is_its_own_cause_and_is_not_told,
		each_cause_is_told_once_with_its_limit_if_it_has_one,
		a_limit_that_is_not_known_is_called_so,
		nothing_is_told_where_the_option_says_so,
		failures_are_a_threads_own,
		NULL,
	};
	return suite_run("failure", tests, 60);
}
