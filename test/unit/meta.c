/* SPDX-License-Identifier: MIT */
/* meta/meta.h: records do not overlap, are aligned, are used again, and run out with an answer. */
#include "fake_os.h"
#include "must.h"
#include "pattern.h"
#include "rng.h"
#include "suite.h"

#include "base/base.h"
#include "meta/meta.h"
#include "os/os.h"

#include <pthread.h>

enum { RECORDS = 500 };

struct record {
	void *memory;
	size_t bytes;
	uint64_t seed;
};

static bool is_aligned(const struct record *record)
{
	size_t alignment = 64;
	while (alignment < record->bytes && alignment < PAGE_BYTES)
		alignment *= 2;
	return (uintptr_t)record->memory % alignment == 0;
}

static void take(struct rng *rng, struct record *record)
{
	record->bytes = 1 + rng_size(rng, MIB - 1);
	record->seed = rng_next(rng);
	record->memory = vm_meta_alloc(record->bytes);
	must(record->memory);
	must(is_aligned(record));
	must(fake_os_is_writable(record->memory, record->bytes));
	pattern_fill(record->memory, record->bytes, record->seed);
}

static void give(struct record *record)
{
	must(pattern_holds(record->memory, record->bytes, record->seed));
	vm_meta_free(record->memory, record->bytes);
	record->memory = NULL;
}

static void *churn(void *argument)
{
	static _Thread_local struct record records[RECORDS];
	struct rng rng = rng_make(*(uint64_t *)argument);
	for (int i = 0; i < 20000; i++) {
		struct record *record = &records[rng_below(&rng, RECORDS)];
		if (record->memory)
			give(record);
		else
			take(&rng, record);
	}
	for (size_t i = 0; i < RECORDS; i++)
		if (records[i].memory)
			give(&records[i]);
	return NULL;
}

START_TEST(records_keep_their_contents)
{
	vm_os_init();
	uint64_t seed = rng_process_seed();
	churn(&seed);
}
END_TEST

START_TEST(threads_do_not_get_the_same_record)
{
	vm_os_init();
	pthread_t threads[3];
	uint64_t seeds[3];
	for (size_t i = 0; i < 3; i++) {
		seeds[i] = rng_process_seed() + i;
		must(!pthread_create(&threads[i], NULL, churn, &seeds[i]));
	}
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

START_TEST(freed_records_are_used_again)
{
	vm_os_init();
	for (size_t bytes = 1; bytes <= MIB; bytes *= 2) {
		void *record = vm_meta_alloc(bytes);
		size_t mapped = vm_meta_mapped();
		for (int i = 0; i < 100; i++) {
			vm_meta_free(record, bytes);
			ck_assert_ptr_eq(vm_meta_alloc(bytes), record);
		}
		ck_assert_uint_eq(vm_meta_mapped(), mapped);
	}
}
END_TEST

START_TEST(many_records_take_few_maps_and_little_more_than_their_bytes)
{
	vm_os_init();
	enum { COUNT = 1000000 };
	for (int i = 0; i < COUNT; i++)
		must(vm_meta_alloc(128));
	ck_assert_uint_lt(vm_meta_mapped(), COUNT * (size_t)128 * 5 / 4);
	ck_assert_uint_lt(fake_os.calls, 40);
	ck_assert_uint_eq(fake_maps.bytes, vm_meta_mapped());
}
END_TEST

START_TEST(what_alignment_skips_is_used_for_smaller_records)
{
	vm_os_init();
	size_t bytes = 0;
	for (int i = 0; i < 10000; i++) {
		must(vm_meta_alloc(64));
		must(vm_meta_alloc(PAGE_BYTES));
		bytes += 64 + PAGE_BYTES;
	}
	ck_assert_uint_lt(vm_meta_mapped(), bytes * 5 / 4);
	for (size_t i = 0; i < 10000 * (PAGE_BYTES - 64) / 64 / 2; i++)
		must(vm_meta_alloc(64));
	ck_assert_uint_lt(vm_meta_mapped(), 10000 * 2 * PAGE_BYTES * 5 / 4);
	ck_assert_uint_gt(vm_meta_mapped(), bytes);
}
END_TEST

START_TEST(a_page_is_not_cut_for_smaller_records)
{
	vm_os_init();
	void *page = vm_meta_alloc(PAGE_BYTES);
	vm_meta_free(page, PAGE_BYTES);
	for (int i = 0; i < 1000; i++)
		must(vm_meta_alloc(64));
	ck_assert_ptr_eq(vm_meta_alloc(PAGE_BYTES), page);
}
END_TEST

START_TEST(a_refusal_is_an_answer_and_passes)
{
	vm_os_init();
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	ck_assert_ptr_null(vm_meta_alloc(64));
	ck_assert_ptr_null(vm_meta_alloc(MIB));
	ck_assert_uint_eq(vm_meta_mapped(), 0);
	fake_os.fail_to = 0;
	ck_assert_ptr_nonnull(vm_meta_alloc(64));
	ck_assert_ptr_nonnull(vm_meta_alloc(MIB));
	ck_assert_ptr_null(vm_meta_alloc(2 * MIB));
}
END_TEST

START_TEST(near_a_limit_of_memory_chunks_are_small)
{
	vm_os_init();
	while (vm_meta_mapped() < 64 * MIB)
		must(vm_meta_alloc(PAGE_BYTES));
	size_t mapped = vm_meta_mapped();
	fake_os.data_limit = fake_maps.writable_bytes + MIB;
	while (vm_meta_alloc(PAGE_BYTES))
		;
	ck_assert_uint_eq(vm_meta_mapped(), mapped + MIB);
}
END_TEST

START_TEST(null_is_no_record)
{
	vm_os_init();
	vm_meta_free(NULL, 100);
	void *first = vm_meta_alloc(100);
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_ne(vm_meta_alloc(100), first);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		records_keep_their_contents,
		threads_do_not_get_the_same_record,
		freed_records_are_used_again,
		many_records_take_few_maps_and_little_more_than_their_bytes,
		what_alignment_skips_is_used_for_smaller_records,
		a_page_is_not_cut_for_smaller_records,
		a_refusal_is_an_answer_and_passes,
		near_a_limit_of_memory_chunks_are_small,
		null_is_no_record,
		NULL,
	};
	return suite_run("meta", tests, 60);
}
