/* SPDX-License-Identifier: MIT */
/* large/index.h: against an oracle, and with readers that take no lock while a writer works. */
#include "fake_os.h"
#include "must.h"
#include "rng.h"
#include "suite.h"

#include "large/index.h"
#include "large/ranges.h"
#include "meta/meta.h"
#include "os/os.h"

#include <pthread.h>
#include <stdlib.h>

enum { STARTS = 3000 };

static struct index index_;
static struct range ranges[STARTS];

static void setup(void)
{
	vm_os_init();
}

/* Distinct pages, in clusters as the kernel's placement makes them. */
static uintptr_t start_of(size_t i)
{
	return ((uintptr_t)1 << 46) - ((i * (i % 7 ? 1 : 512)) << PAGE_SHIFT);
}

static void enter(size_t i)
{
	ranges[i].start = start_of(i);
	must(vm_index_reserve(&index_, index_.count + 1));
	vm_index_insert(&index_, start_of(i), &ranges[i]);
}

START_TEST(finds_exactly_what_is_in)
{
	setup();
	struct rng rng = rng_make(rng_process_seed());
	bool in[STARTS] = {false};
	/* The starts that several numbers share are entered by the first only. */
	static bool usable[STARTS];
	for (size_t i = 0; i < STARTS; i++) {
		usable[i] = true;
		for (size_t j = 0; j < i; j++)
			if (start_of(j) == start_of(i))
				usable[i] = false;
	}
	for (int step = 0; step < 200000; step++) {
		/* The number in wanders, so that the table fills up and empties. */
		size_t i = rng_below(&rng, 1 + (size_t)step % STARTS);
		if (!usable[i])
			continue;
		must(vm_index_find(&index_, start_of(i)) == (in[i] ? &ranges[i] : NULL));
		if (in[i])
			vm_index_remove(&index_, start_of(i));
		else
			enter(i);
		in[i] = !in[i];
		must(vm_index_find(&index_, start_of(i)) == (in[i] ? &ranges[i] : NULL));
		if (step % 1000 == 0)
			vm_index_check(&index_);
	}
	for (size_t i = 0; i < STARTS; i++)
		if (usable[i])
			ck_assert_ptr_eq(vm_index_find(&index_, start_of(i)),
					 in[i] ? &ranges[i] : NULL);
}
END_TEST

START_TEST(an_empty_index_finds_nothing)
{
	setup();
	ck_assert_ptr_null(vm_index_find(&index_, start_of(1)));
	ck_assert_ptr_null(vm_index_find(&index_, 0));
	vm_index_check(&index_);
	enter(1);
	ck_assert_ptr_null(vm_index_find(&index_, 0));
	ck_assert_ptr_null(vm_index_find(&index_, start_of(2)));
	ck_assert_ptr_null(vm_index_find(&index_, start_of(1) + 1));
}
END_TEST

START_TEST(a_table_that_cannot_be_made_gives_its_records_back)
{
	enum { SMALL = 64, SEGMENT = 1024 };
	struct index index = {.count = 0};
	vm_os_init();
	void *records[] = {vm_meta_alloc(SMALL), vm_meta_alloc(SMALL)};
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	for (size_t bytes = SEGMENT; bytes >= SMALL; bytes /= 2)
		while (vm_meta_alloc(bytes))
			;
	/* For the table and its directory, but not for a segment. */
	vm_meta_free(records[0], SMALL);
	vm_meta_free(records[1], SMALL);
	for (int i = 0; i < 10; i++)
		ck_assert(!vm_index_reserve(&index, 1));
	ck_assert_ptr_nonnull(vm_meta_alloc(SMALL));
	ck_assert_ptr_nonnull(vm_meta_alloc(SMALL));
	ck_assert_ptr_null(vm_meta_alloc(SMALL));
}
END_TEST

START_TEST(refuses_where_records_are_out)
{
	setup();
	fake_os.map_limit = 3;
	fake_os.data_limit = 64 * MIB;
	size_t count = 1;
	while (vm_index_reserve(&index_, count))
		count *= 2;
	ck_assert_uint_gt(count, 65536);
	ck_assert(!vm_index_reserve(&index_, SIZE_MAX));
	enter(1);
	vm_index_check(&index_);
	ck_assert_ptr_eq(vm_index_find(&index_, start_of(1)), &ranges[1]);
}
END_TEST

/* Readers ----------------------------------------------------------------------------------- */

enum { OWNED = 16, OTHERS = 120, ROUNDS = 1000000 };

static _Atomic bool finished;
static _Atomic uint64_t looked_up;
static _Atomic uint64_t missed;

/* Looks up starts that stay in while others come and go around them: a miss is allowed, a wrong
 * range never. */
static void *read_owned(void *unused)
{
	uint64_t finds = 0;
	uint64_t misses = 0;
	while (!finished) {
		for (size_t i = 0; i < OWNED; i++) {
			struct range *range = vm_index_find(&index_, ranges[i].start);
			must(!range || range == &ranges[i]);
			misses += !range;
			finds++;
		}
	}
	looked_up += finds;
	missed += misses;
	return unused;
}

/* Fibonacci hashing sends pages at distances of a Fibonacci number to about the same place. */
static uintptr_t crowded_start(size_t i)
{
	return ((uintptr_t)1 << 40) + (i * 46368 << PAGE_SHIFT);
}

START_TEST(readers_without_a_lock_get_the_right_range_or_none)
{
	setup();
	struct rng rng = rng_make(rng_process_seed());
	pthread_t readers[2];
	bool in[OTHERS] = {false};
	for (size_t i = 0; i < OTHERS; i++)
		ranges[i].start = crowded_start(i * 7 % OTHERS);
	ck_assert(vm_index_reserve(&index_, OTHERS));
	for (size_t i = 0; i < OWNED; i++)
		vm_index_insert(&index_, ranges[i].start, &ranges[i]);
	for (size_t i = 0; i < 2; i++)
		ck_assert(!pthread_create(&readers[i], NULL, read_owned, NULL));

	for (int round = 0; round < ROUNDS; round++) {
		size_t i = OWNED + rng_below(&rng, OTHERS - OWNED);
		if (in[i])
			vm_index_remove(&index_, ranges[i].start);
		else
			vm_index_insert(&index_, ranges[i].start, &ranges[i]);
		in[i] = !in[i];
		/* Now and then the table is replaced. */
		if (round % (ROUNDS / 8) == 0)
			ck_assert(vm_index_reserve(&index_, OTHERS << round / (ROUNDS / 8)));
	}
	finished = true;
	for (size_t i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	vm_index_check(&index_);
	ck_assert_uint_gt(looked_up, 0);
	ck_assert_uint_lt(missed, looked_up / 10);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		finds_exactly_what_is_in,
		an_empty_index_finds_nothing,
		a_table_that_cannot_be_made_gives_its_records_back,
		refuses_where_records_are_out,
		readers_without_a_lock_get_the_right_range_or_none,
		NULL,
	};
	return suite_run("index", tests, 60);
}
