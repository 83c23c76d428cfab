/* SPDX-License-Identifier: MIT */
/* RLIMIT_DATA and RLIMIT_AS: NULL and ENOMEM at the limit, contents whole, all of it to be had again. */
#define _GNU_SOURCE 1
#include "blocks.h"
#include "child.h"
#include "exhaust.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "suite.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <vmalloc.h>

static struct blocks blocks;
static struct child child;
static const size_t MIB = 1 << 20;

static void limit(int resource, size_t bytes)
{
	const struct rlimit limits = { bytes, bytes };

	must(setrlimit(resource, &limits) == 0);
}

static void churn_at_limit(void)
{
	blocks_init(&blocks, 1000, 2 * MIB, rng_process_seed());
	blocks_steps(&blocks, 6000);
	ck_assert_uint_gt(blocks.refused, 0);
	blocks_free(&blocks);
}

static void check_at_limit(void)
{
	exhaust_all_kinds(200 * MIB);
	churn_at_limit();
	ck_assert_uint_gt(exhaust(3000, 200 * MIB), 12 * MIB);
}

START_TEST(data_limit_gives_enomem_and_everything_comes_back)
{
	limit(RLIMIT_DATA, proc_status_bytes("VmData:") + 24 * MIB);
	check_at_limit();
	ck_assert_uint_lt(exhaust(3000, 200 * MIB), 26 * MIB);
}
END_TEST

START_TEST(address_space_limit_gives_enomem_and_everything_comes_back)
{
	limit(RLIMIT_AS, proc_status_bytes("VmSize:") + 24 * MIB);
	check_at_limit();
	ck_assert_uint_lt(exhaust(3000, 200 * MIB), 64 * MIB);
}
END_TEST

/* What the heap holds free must serve them, or go back to the kernel to make room for them. */
START_TEST(large_blocks_are_to_be_had_after_churn_used_up_the_limit)
{
	limit(RLIMIT_DATA, proc_status_bytes("VmData:") + 24 * MIB);
	churn_at_limit();
	ck_assert_uint_gt(exhaust(3 * MIB, 200 * MIB), 9 * MIB);
	ck_assert_uint_gt(exhaust(700000, 200 * MIB), 12 * MIB);
}
END_TEST

START_TEST(large_blocks_are_to_be_had_after_churn_used_up_the_limit_and_a_trim)
{
	limit(RLIMIT_AS, proc_status_bytes("VmSize:") + 24 * MIB);
	churn_at_limit();
	malloc_trim(0);
	ck_assert_uint_gt(exhaust(3 * MIB, 200 * MIB), 9 * MIB);
}
END_TEST

/* Freed mappings that are kept for reuse are memory, too, when the kernel has no more. */
START_TEST(small_blocks_are_to_be_had_after_large_ones_used_up_the_limit)
{
	limit(RLIMIT_DATA, proc_status_bytes("VmData:") + 32 * MIB);
	ck_assert_uint_gt(exhaust(2 * MIB, 200 * MIB), 24 * MIB);
	ck_assert_uint_gt(exhaust(100, 200 * MIB), 20 * MIB);
	ck_assert_uint_gt(exhaust(2 * MIB, 200 * MIB), 24 * MIB);
	ck_assert_uint_gt(exhaust(100000, 200 * MIB), 20 * MIB);
}
END_TEST

START_TEST(refusals_under_a_data_limit_take_no_address_space)
{
	limit(RLIMIT_DATA, proc_status_bytes("VmData:") + 24 * MIB);
	exhaust(3000, 200 * MIB);
	const size_t before = proc_status_bytes("VmSize:");
	for (int i = 0; i < 20; i++)
		exhaust(3000, 200 * MIB);
	ck_assert_uint_lt(proc_status_bytes("VmSize:"), before + 64 * MIB);
}
END_TEST

START_TEST(nearly_all_of_the_limit_is_to_be_had)
{
	limit(RLIMIT_DATA, proc_status_bytes("VmData:") + 32 * MIB);
	ck_assert_uint_gt(exhaust(3000, 200 * MIB), 24 * MIB);
	ck_assert_uint_gt(exhaust(100000, 200 * MIB), 24 * MIB);
	ck_assert_uint_gt(exhaust(2 * MIB, 200 * MIB), 24 * MIB);
}
END_TEST

START_TEST(free_and_realloc_to_smaller_work_at_the_limit)
{
	enum { COUNT = 2000 };
	static unsigned char *held[COUNT];
	size_t count = 0;

	limit(RLIMIT_DATA, proc_status_bytes("VmData:") + 16 * MIB);
	while (count < COUNT && (held[count] = opaque(malloc(50000)))) {
		pattern_fill(held[count], 50000, count);
		count++;
	}
	ck_assert_uint_lt(count, COUNT);
	for (size_t i = 0; i < count; i++) {
		held[i] = opaque(realloc(held[i], 20000));
		ck_assert_ptr_nonnull(held[i]);
		ck_assert(pattern_holds(held[i], 20000, i));
		free(held[i]);
	}
}
END_TEST

START_TEST(a_raised_limit_is_used)
{
	const struct rlimit tight = { proc_status_bytes("VmData:") + 8 * MIB, RLIM_INFINITY };
	const struct rlimit wide = { RLIM_INFINITY, RLIM_INFINITY };

	ck_assert_int_eq(setrlimit(RLIMIT_DATA, &tight), 0);
	ck_assert_uint_lt(exhaust(5000, 100 * MIB), 12 * MIB);
	ck_assert_int_eq(setrlimit(RLIMIT_DATA, &wide), 0);
	ck_assert_uint_ge(exhaust(5000, 100 * MIB), 100 * MIB);
	ck_assert_uint_ge(exhaust(500000, 100 * MIB), 100 * MIB);
}
END_TEST

static void ck_last_failure(size_t size, enum vm_cause cause, size_t bytes)
{
	typedef bool last_failure(struct vm_failure *);
	last_failure *last = (last_failure *)dlsym(RTLD_DEFAULT, "vm_last_failure");
	struct vm_failure failure;

	if (!suite_tests_the_library())
		return;
	ck_assert(last(&failure));
	ck_assert_uint_eq(failure.size, size);
	ck_assert_msg(failure.cause == cause && failure.limit == bytes,
		      "%zu bytes: cause %d, limit %zu", size, (int)failure.cause, failure.limit);
}

/* Nothing of it is the fault of vm.max_map_count, although every map is refused. */
START_TEST(a_limit_lowered_below_what_there_is_is_told_as_the_cause)
{
	const size_t bytes = proc_status_bytes("VmSize:") / 2;

	limit(RLIMIT_AS, bytes);
	ck_assert_ptr_null(opaque(malloc(300 * MIB)));
	ck_last_failure(300 * MIB, VM_CAUSE_ADDRESS_LIMIT, bytes);
}
END_TEST

/* Up to the limit by blocks of one size, in whose slab's place smaller ones may still be had. */
static void ck_cause_by_size(int resource, const char *field, enum vm_cause cause)
{
	static const size_t sizes[] = { 20000, 10000, 5000, 2000, 1000, 300, 100, 16 };
	const size_t bytes = proc_status_bytes(field) + 24 * MIB;

	limit(resource, bytes);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		while (opaque(malloc(sizes[i])))
			;
		ck_last_failure(sizes[i], cause, bytes);
	}
}

START_TEST(a_data_limit_is_told_as_the_cause_by_a_block_of_any_size)
{
	ck_cause_by_size(RLIMIT_DATA, "VmData:", VM_CAUSE_DATA_LIMIT);
}
END_TEST

START_TEST(an_address_space_limit_is_told_as_the_cause_by_a_block_of_any_size)
{
	ck_cause_by_size(RLIMIT_AS, "VmSize:", VM_CAUSE_ADDRESS_LIMIT);
}
END_TEST

static int work_under_limit(void)
{
	blocks_init(&blocks, 200, 50000, 1);
	blocks_steps(&blocks, 10000);
	must(blocks.refused == 0);
	blocks_free(&blocks);
	must(exhaust(3000, 400 * MIB) > 8 * MIB);
	must(exhaust(3 * MIB, 400 * MIB) > 8 * MIB);
	return 0;
}

static void limit_address_space(void *bytes)
{
	limit(RLIMIT_AS, (uintptr_t)bytes);
}

static void limit_data(void *bytes)
{
	limit(RLIMIT_DATA, (uintptr_t)bytes);
}

static void check_start(void (*set_limit)(void *), size_t bytes)
{
	child_exec_self(&child, "work", set_limit, (void *)bytes);
	ck_assert_msg(child_exited(&child, 0), "limit %zu MiB, status %x: %s", bytes / MIB, child.status, child.err);
}

START_TEST(a_program_starts_and_works_under_ulimit_v_200000)
{
	check_start(limit_address_space, 200000u << 10);
	check_start(limit_address_space, 100 * MIB);
	check_start(limit_address_space, 50 * MIB);
}
END_TEST

START_TEST(a_program_starts_and_works_under_a_small_data_limit)
{
	check_start(limit_data, 64 * MIB);
	check_start(limit_data, 16 * MIB);
}
END_TEST

static int want_large_blocks_after_churn(void)
{
	limit(RLIMIT_DATA, proc_status_bytes("VmData:") + 24 * MIB);
	blocks_init(&blocks, 1000, 2 * MIB, 7);
	blocks_steps(&blocks, 6000);
	blocks_free(&blocks);
	must(exhaust(3 * MIB, 200 * MIB) > 9 * MIB);
	return 0;
}

static void purge_at_once(void *unused)
{
	(void)unused;
	must(setenv("VMALLOC_CONF", "dirty_bytes:0,decay_ms:0", 1) == 0);
}

START_TEST(what_leaves_the_caches_is_room_although_it_is_purged_on_the_way)
{
	child_exec_self(&child, "churn", purge_at_once, NULL);
	ck_assert_msg(child_exited(&child, 0), "status %x: %s", child.status, child.err);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		data_limit_gives_enomem_and_everything_comes_back,
		address_space_limit_gives_enomem_and_everything_comes_back,
		large_blocks_are_to_be_had_after_churn_used_up_the_limit,
		large_blocks_are_to_be_had_after_churn_used_up_the_limit_and_a_trim,
		small_blocks_are_to_be_had_after_large_ones_used_up_the_limit,
		refusals_under_a_data_limit_take_no_address_space,
		nearly_all_of_the_limit_is_to_be_had,
		free_and_realloc_to_smaller_work_at_the_limit,
		a_raised_limit_is_used,
		a_limit_lowered_below_what_there_is_is_told_as_the_cause,
		a_data_limit_is_told_as_the_cause_by_a_block_of_any_size,
		an_address_space_limit_is_told_as_the_cause_by_a_block_of_any_size,
		what_leaves_the_caches_is_room_although_it_is_purged_on_the_way,
		a_program_starts_and_works_under_ulimit_v_200000,
		a_program_starts_and_works_under_a_small_data_limit,
		NULL,
	};
	if (argc == 2 && strcmp(argv[1], "work") == 0)
		return work_under_limit();
	if (argc == 2 && strcmp(argv[1], "churn") == 0)
		return want_large_blocks_after_churn();
	suite_skip_all_in_variant("no-break", "limits count a reserve when it is made, not when it is used");
	return suite_main(argv, "break_limits", tests, 30);
}
