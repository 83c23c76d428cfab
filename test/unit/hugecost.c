/* SPDX-License-Identifier: MIT */
/* os/hugecost.h over the fake kernel: after what are huge pages not asked for, and for how long. */
#include "fake_maps.h"
#include "fake_os.h"
#include "must.h"
#include "suite.h"

#include "os/hugecost.h"
#include "os/os.h"

static const size_t HUGE = 64 * KIB;

static char *setup(size_t pages)
{
	fake_os.huge_bytes = HUGE;
	vm_os_init();
	vm_os_find_huge_pages();
	char *map = vm_os_map((pages + 1) * HUGE);
	must(map);
	return (char *)align_up((uintptr_t)map, HUGE);
}

static bool make(char *page)
{
	*page = 1;
	return vm_hugecost_make(page);
}

START_TEST(what_comes_in_less_than_two_milliseconds_is_followed_by_the_next)
{
	char *pages = setup(2);
	fake_os.cpu_us_a_look = 1999;
	ck_assert(make(pages));
	ck_assert(!vm_hugecost_pauses());
	ck_assert(make(pages + HUGE));
	ck_assert_uint_eq(fake_os.huge_pages, 2);
}
END_TEST

START_TEST(after_what_took_long_none_is_asked_for_32_times_as_long)
{
	char *pages = setup(2);
	fake_os.cpu_us_a_look = 5000;
	ck_assert(make(pages));
	fake_os_advance(159);
	ck_assert(vm_hugecost_pauses());
	ck_assert(!make(pages + HUGE));
	ck_assert_uint_eq(fake_os.huge_pages, 1);
	fake_os.now_ms++; /* and nobody has looked at the clock */
	ck_assert(make(pages + HUGE));
	ck_assert_uint_eq(fake_os.huge_pages, 2);
}
END_TEST

/* For how many ms after a refusal that took so long. */
static uint64_t pause_after_refusal(uint64_t took_us)
{
	char *pages = setup(2);
	fake_os.cpu_us_a_look = took_us;
	fake_os.huge_refused = true;
	must(!make(pages));
	fake_os.huge_refused = false;
	uint64_t ms = 0;
	for (; !make(pages + HUGE); ms++)
		fake_os_advance(1);
	return ms;
}

START_TEST(after_a_refusal_none_is_asked_for_32_times_as_long_as_it_took)
{
	ck_assert_uint_eq(pause_after_refusal(1500), 48);
}
END_TEST

START_TEST(a_refusal_at_once_counts_as_a_millisecond)
{
	ck_assert_uint_eq(pause_after_refusal(0), 32);
}
END_TEST

START_TEST(a_short_pause_does_not_end_a_longer_one)
{
	char *pages = setup(2);
	fake_os.cpu_us_a_look = 50000;
	ck_assert(make(pages));
	bool advised = vm_os_advise_huge(pages, HUGE);
	must(advised);
	fake_os.cpu_us_a_look = 2000;
	ck_assert(vm_hugecost_advise(pages + HUGE, HUGE));
	fake_os_advance(1599);
	ck_assert(vm_hugecost_pauses());
}
END_TEST

/* A new map of so many huge pages and two halves, and what came of the advice. */
static const char *advise(size_t pages, bool *advised)
{
	char *map = setup(pages + 1) + HUGE / 2;
	*advised = vm_hugecost_advise(map, (pages + 1) * HUGE);
	return map;
}

START_TEST(a_map_whose_huge_pages_come_quickly_has_them_all)
{
	bool advised;
	const char *map = advise(3, &advised);
	ck_assert(advised);
	ck_assert(fake_maps_at((uintptr_t)map)->kind == FAKE_HUGE);
	ck_assert_uint_eq(fake_os_resident_bytes(map, 4 * HUGE), 3 * vm_os.page_bytes); /* one of each whole one */
	ck_assert(!vm_hugecost_pauses());
}
END_TEST

START_TEST(of_a_long_map_eight_are_looked_at)
{
	bool advised;
	const char *map = advise(20, &advised);
	ck_assert_uint_eq(fake_os_resident_bytes(map, 21 * HUGE), 8 * vm_os.page_bytes);
}
END_TEST

START_TEST(a_map_of_which_one_takes_long_has_no_more)
{
	bool advised;
	fake_os.cpu_us_a_look = 2000;
	const char *map = advise(3, &advised);
	ck_assert(advised);
	ck_assert(fake_maps_at((uintptr_t)map)->kind == FAKE_SMALL);
	ck_assert_uint_eq(fake_os_resident_bytes(map, 4 * HUGE), vm_os.page_bytes);
	fake_os_advance(63);
	ck_assert(vm_hugecost_pauses());
	fake_os_advance(1);
	ck_assert(!vm_hugecost_pauses());
}
END_TEST

START_TEST(a_map_that_may_have_none_is_not_touched)
{
	bool advised;
	fake_os.huge_refused = true;
	const char *map = advise(3, &advised);
	ck_assert(!advised);
	ck_assert_uint_eq(fake_os_resident_bytes(map, 4 * HUGE), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		what_comes_in_less_than_two_milliseconds_is_followed_by_the_next,
		after_what_took_long_none_is_asked_for_32_times_as_long,
		after_a_refusal_none_is_asked_for_32_times_as_long_as_it_took,
		a_refusal_at_once_counts_as_a_millisecond,
		a_short_pause_does_not_end_a_longer_one,
		a_map_whose_huge_pages_come_quickly_has_them_all,
		of_a_long_map_eight_are_looked_at,
		a_map_of_which_one_takes_long_has_no_more,
		a_map_that_may_have_none_is_not_touched,
		NULL,
	};
	return suite_run("hugecost", tests, 60);
}
