/* SPDX-License-Identifier: MIT */
/* os/os.h on the kernel that runs: what it is told of the machine, and what its calls do. */
#define _GNU_SOURCE 1
#include "child.h"
#include "maps.h"
#include "must.h"
#include "pattern.h"
#include "proc.h"
#include "suite.h"

#include "os/os.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* A number of pages that no buffer holds by chance. */
enum { PAGES = 37 };

static size_t page, bytes;

static void setup(void)
{
	vm_os_init();
	page = vm_os.page_bytes;
	bytes = PAGES * page;
}

static void set_limit(int resource, size_t limit)
{
	struct rlimit rlimit;
	must(!getrlimit(resource, &rlimit));
	rlimit.rlim_cur = limit;
	must(!setrlimit(resource, &rlimit));
}

/* What the machine is ------------------------------------------------------------------------ */

START_TEST(the_machine_is_as_the_C_library_knows_it)
{
	cpu_set_t set;
	setup();
	ck_assert_uint_eq(page, (size_t)sysconf(_SC_PAGESIZE));
	ck_assert_uint_eq(vm_os.memory_bytes, (size_t)sysconf(_SC_PHYS_PAGES) * page);
	must(!sched_getaffinity(0, sizeof set, &set));
	ck_assert_uint_eq(vm_os.cpus, (unsigned)CPU_COUNT(&set));
	ck_assert_uint_eq(vm_os.map_limit, maps_limit());
	ck_assert(!vm_os.secure);
}
END_TEST

START_TEST(limits_of_the_process_are_noticed)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	must(!sched_setaffinity(0, sizeof set, &set));
	set_limit(RLIMIT_AS, GIB);
	setup();
	ck_assert_uint_eq(vm_os.cpus, 1);
	ck_assert_uint_eq(vm_os.address_limit, GIB);
	set_limit(RLIMIT_AS, RLIM_INFINITY);
	setup();
	ck_assert_uint_eq(vm_os.address_limit, SIZE_MAX);
}
END_TEST

/* Maps --------------------------------------------------------------------------------------- */

/* So many that the text comes in many parts. */
START_TEST(maps_are_counted_as_the_kernel_does)
{
	setup();
	ck_assert_uint_eq(vm_os_map_limit(), maps_limit());
	ck_assert_uint_eq(vm_os_count_maps(), maps_count());
	for (unsigned i = 1; i < 4; i++) {
		maps_fill(maps_count() + 1001);
		ck_assert_uint_eq(vm_os_count_maps(), maps_count());
	}
}
END_TEST

START_TEST(maps_held_are_so_many_until_they_are_released)
{
	enum { MAPS = 16 };
	setup();
	unsigned before = maps_count();
	void *range = vm_os_hold_maps(MAPS);
	ck_assert_ptr_nonnull(range);
	ck_assert_uint_ge(maps_count(), before + MAPS - 2); /* the ends may merge with others */
	ck_assert_uint_le(maps_count(), before + MAPS);
	ck_assert(vm_os_release_maps(range, MAPS));
	ck_assert_uint_eq(maps_count(), before);
	ck_assert_ptr_null(vm_os_hold_maps(SIZE_MAX / 2 / page));
	/* What is refused half-way is given back. */
	maps_fill(maps_limit() - MAPS / 2);
	before = maps_count();
	size_t mapped = proc_status_bytes("VmSize:");
	ck_assert_ptr_null(vm_os_hold_maps(MAPS));
	ck_assert_uint_eq(maps_count(), before);
	ck_assert_uint_eq(proc_status_bytes("VmSize:"), mapped);
}
END_TEST

START_TEST(only_at_the_limit_are_maps_out)
{
	setup();
	unsigned before = maps_count();
	ck_assert(!vm_os_out_of_maps());
	ck_assert_uint_eq(maps_count(), before);
	maps_fill_all();
	ck_assert(vm_os_out_of_maps());
	ck_assert_ptr_null(vm_os_map(page));
	ck_assert_ptr_null(vm_os_reserve(page));
	maps_drop_all();
	ck_assert(!vm_os_out_of_maps());
}
END_TEST

static void write_there(void *address)
{
	*(volatile char *)address = 1;
}

static bool is_writable(void *address)
{
	return child_status(write_there, address) == 0;
}

START_TEST(a_map_is_zeroed_and_goes)
{
	setup();
	char *range = vm_os_map(bytes);
	ck_assert(pattern_is_zero(range, bytes));
	pattern_fill(range, bytes, 1);
	ck_assert(vm_os_unmap(range + page, bytes - page));
	ck_assert(pattern_holds(range, page, 1));
	ck_assert(!is_writable(range + page));
	ck_assert(vm_os_unmap(range, page));
	ck_assert_ptr_null(vm_os_map((size_t)1 << 60));
}
END_TEST

START_TEST(a_reserve_costs_nothing_and_is_committed_in_parts)
{
	setup();
	size_t data = proc_status_bytes("VmData:");
	char *range = vm_os_reserve(bytes);
	ck_assert(!is_writable(range));
	ck_assert_uint_eq(proc_status_bytes("VmData:"), data);
	ck_assert(vm_os_commit(range, 2 * page));
	unsigned maps = maps_count();
	ck_assert(vm_os_commit(range + 2 * page, 3 * page));
	ck_assert_uint_eq(maps_count(), maps);
	ck_assert(pattern_is_zero(range, 5 * page));
	pattern_fill(range, 5 * page, 1);
	ck_assert(!is_writable(range + 5 * page));
	ck_assert(!vm_os_commit((void *)page, page)); /* nothing is there */
}
END_TEST

START_TEST(purged_memory_reads_as_zero_unless_it_is_locked)
{
	setup();
	char *range = vm_os_map(bytes);
	pattern_fill(range, bytes, 1);
	ck_assert(vm_os_purge(range + page, bytes - page));
	ck_assert(pattern_is_zero(range + page, bytes - page));
	ck_assert(pattern_holds(range, page, 1));
	if (mlock(range, page))
		return; /* the limit allows for none */
	ck_assert(!vm_os_purge(range, bytes));
	ck_assert(pattern_holds(range, page, 1));
}
END_TEST

START_TEST(pages_that_have_memory_are_counted)
{
	setup();
	char *range = vm_os_map(8 * page);
	ck_assert_uint_eq(vm_os_count_resident(range, 8), 0);
	range[0] = range[3 * page] = range[8 * page - 1] = 1;
	ck_assert_uint_eq(vm_os_count_resident(range, 8), 3);
	ck_assert_uint_eq(vm_os_count_resident(range + page, 2), 0);
	must(vm_os_unmap(range + 2 * page, 2 * page));
	ck_assert_uint_eq(vm_os_count_resident(range, 8), 2);
	errno = 0;
	struct rlimit files = {0};
	must(!setrlimit(RLIMIT_NOFILE, &files));
	ck_assert_uint_eq(vm_os_count_resident(range, 8), 0);
	ck_assert_int_eq(errno, 0);
}
END_TEST

START_TEST(huge_pages_are_looked_for_once)
{
	setup();
	vm_os_find_huge_pages();
	vm_os.huge_bytes = page;
	vm_os_find_huge_pages();
	ck_assert_uint_eq(vm_os.huge_bytes, page);
}
END_TEST

/* A new range of so many huge pages that one begins; NULL where the machine has none for programs that ask. */
static char *map_huge(size_t pages)
{
	vm_os_find_huge_pages();
	size_t huge = vm_os.huge_bytes;
	if (!huge)
		return NULL;
	char *range = vm_os_map((pages + 1) * huge);
	must(range);
	return range + (-(uintptr_t)range & (huge - 1));
}

START_TEST(an_advised_range_is_filled_by_huge_pages)
{
	setup();
	char *place = map_huge(4);
	if (!place)
		return;
	size_t huge = vm_os.huge_bytes;
	unsigned maps = maps_count();
	errno = 0;
	bool advised = vm_os_advise_huge(place + huge, 2 * huge);
	ck_assert_int_eq(errno, 0);
	if (!advised)
		return; /* a kernel without huge pages */
	ck_assert_uint_eq(maps_count(), maps + 2);
	place[huge] = 1;
	size_t pages = vm_os_count_resident(place + huge, huge / page);
	ck_assert(pages == 1 || pages == huge / page); /* one where memory is in pieces */
	ck_assert_uint_eq(vm_os_count_resident(place, huge / page), 0);
}
END_TEST

START_TEST(an_advised_range_comes_by_pages_again_when_told_so)
{
	setup();
	char *place = map_huge(4);
	if (!place || !vm_os_advise_huge(place, 2 * vm_os.huge_bytes))
		return;
	errno = 0;
	vm_os_advise_small(place, 2 * vm_os.huge_bytes);
	ck_assert_int_eq(errno, 0);
	place[0] = 1;
	ck_assert_uint_eq(vm_os_count_resident(place, vm_os.huge_bytes / page), 1);
}
END_TEST

/* A figure of the whole machine's. */
static uint64_t vmstat(const char *name)
{
	char line[100];
	uint64_t figure = 0;
	FILE *file = fopen("/proc/vmstat", "r");
	must(file);
	while (fgets(line, sizeof line, file))
		if (!strncmp(line, name, strlen(name)))
			figure = strtoull(line + strlen(name), NULL, 10);
	fclose(file);
	return figure;
}

/* So many huge pages that are made, with 1 in their first byte. NULL: memory is in pieces, or the kernel is old. */
static char *make_huge(size_t count)
{
	char *place = map_huge(count);
	for (size_t i = 0; place && i < count; i++) {
		place[i * vm_os.huge_bytes] = 1;
		if (!vm_os_make_huge(place + i * vm_os.huge_bytes))
			return NULL;
	}
	return place;
}

START_TEST(part_of_a_huge_page_that_is_purged_for_good_is_free_at_once)
{
	enum { PAGES = 8 };
	setup();
	char *place = make_huge(PAGES);
	if (!place)
		return;
	size_t huge = vm_os.huge_bytes;
	uint64_t split = vmstat("thp_split_page ");
	for (size_t i = 0; i < PAGES; i++)
		ck_assert(vm_os_purge_for_good(place + i * huge + page, huge - page));
	ck_assert_uint_ge(vmstat("thp_split_page "), split + PAGES);
	for (size_t i = 0; i < PAGES; i++) {
		ck_assert_int_eq(place[i * huge], 1);
		ck_assert_uint_eq(vm_os_count_resident(place + i * huge, huge / page), 1);
	}
}
END_TEST

START_TEST(a_huge_page_of_which_a_part_went_is_cut_and_keeps_what_is_there)
{
	enum { PAGES = 8 };
	setup();
	char *place = make_huge(PAGES);
	if (!place)
		return;
	size_t huge = vm_os.huge_bytes;
	uint64_t split = vmstat("thp_split_page ");
	for (size_t i = 0; i < PAGES; i++) {
		pattern_fill(place + i * huge, page, i);
		ck_assert(vm_os_purge(place + i * huge + page, huge - page));
	}
	ck_assert(vm_os_cut_broken_huge_pages(place, PAGES * huge));
	ck_assert_uint_ge(vmstat("thp_split_page "), split + PAGES);
	for (size_t i = 0; i < PAGES; i++) {
		ck_assert_uint_eq(vm_os_count_resident(place + i * huge, huge / page), 1);
		ck_assert(pattern_holds(place + i * huge, page, i));
	}
}
END_TEST

START_TEST(a_huge_page_keeps_what_was_there_and_changes_no_map)
{
	setup();
	char *place = map_huge(2);
	if (!place)
		return;
	size_t huge = vm_os.huge_bytes;
	pattern_fill(place + page, page, 1);
	unsigned maps = maps_count();
	size_t resident = proc_status_bytes("VmRSS:");
	errno = 0;
	bool made = vm_os_make_huge(place); /* not by an old kernel, or if memory is in pieces */
	ck_assert_int_eq(errno, 0);
	ck_assert(pattern_holds(place + page, page, 1));
	ck_assert(pattern_is_zero(place + 2 * page, huge - 2 * page));
	ck_assert_uint_eq(maps_count(), maps);
	if (!made)
		return;
	ck_assert_uint_gt(proc_status_bytes("VmRSS:"), resident + huge / 2);
	/* Nothing is left of it once it is given back. */
	ck_assert(vm_os_purge(place, huge));
	place[0] = 1;
	ck_assert_uint_lt(proc_status_bytes("VmRSS:"), resident + huge / 2);
	ck_assert_uint_eq(maps_count(), maps);
}
END_TEST

START_TEST(a_map_moves_only_where_it_may)
{
	setup();
	char *range = vm_os_map(bytes);
	pattern_fill(range, bytes, 1);
	ck_assert(vm_os_unmap(range + bytes / page / 2 * page, page)); /* nothing grows over it: */
	size_t part = bytes / page / 2 * page;
	char *above = range + part + page;
	ck_assert_ptr_eq(vm_os_remap(range, part, part + page, false), range);
	ck_assert_ptr_null(vm_os_remap(range, part + page, 2 * bytes, false));
	ck_assert(pattern_holds(range, part, 1));
	char *moved = vm_os_remap(range, part + page, 2 * bytes, true);
	ck_assert_ptr_nonnull(moved);
	ck_assert(moved != range && is_writable(above));
	ck_assert(pattern_holds(moved, part, 1));
	ck_assert(pattern_is_zero(moved + part + page, 2 * bytes - part - page));
}
END_TEST

/* The cause of a refusal --------------------------------------------------------------------- */

static void expect_cause(size_t wanted, enum vm_cause cause, size_t its_limit)
{
	size_t limit = 4711;
	unsigned before = maps_count();
	size_t mapped = proc_status_bytes("VmSize:");
	ck_assert_int_eq(vm_os_find_cause(wanted, &limit), cause);
	ck_assert_uint_eq(limit, its_limit);
	ck_assert_uint_eq(maps_count(), before);
	ck_assert_uint_eq(proc_status_bytes("VmSize:"), mapped);
}

START_TEST(the_cause_is_the_limit_that_is_reached)
{
	setup();
	expect_cause(1, VM_CAUSE_MEMORY, 0);
	expect_cause((size_t)1 << 60, VM_CAUSE_SIZE, 0);
	set_limit(RLIMIT_AS, 64 * GIB);
	expect_cause(16 * MIB, VM_CAUSE_MEMORY, 0);
	expect_cause(64 * GIB, VM_CAUSE_ADDRESS_LIMIT, 64 * GIB);
	set_limit(RLIMIT_DATA, 64 * MIB);
	expect_cause(page, VM_CAUSE_MEMORY, 0);
	expect_cause(64 * MIB, VM_CAUSE_DATA_LIMIT, 64 * MIB);
	maps_fill_all();
	expect_cause(64 * GIB, VM_CAUSE_MAP_LIMIT, maps_limit());
}
END_TEST

/* The rest ----------------------------------------------------------------------------------- */

START_TEST(the_break_moves_as_sbrk_says)
{
	setup();
	char *at = vm_os_break();
	ck_assert_ptr_eq(at, sbrk(0));
	ck_assert_ptr_eq(vm_os_move_break(3 * (ptrdiff_t)page), at);
	ck_assert_ptr_eq(sbrk(0), at + 3 * page);
	ck_assert_ptr_eq(vm_os_move_break(-(ptrdiff_t)page), at + 3 * page);
	ck_assert_ptr_eq(vm_os_break(), at + 2 * page);
	ck_assert_ptr_null(vm_os_move_break(PTRDIFF_MAX));
	ck_assert_ptr_eq(vm_os_break(), at + 2 * page);
}
END_TEST

static uint64_t clock_ms(void)
{
	struct timespec now;
	must(!clock_gettime(CLOCK_MONOTONIC, &now));
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

START_TEST(the_clock_is_some_ms_behind_at_most)
{
	for (int i = 0; i < 100; i++) {
		uint64_t before = clock_ms();
		uint64_t now = vm_os_now_ms();
		ck_assert_uint_le(now, clock_ms());
		ck_assert_uint_ge(now + 20, before);
		nanosleep(&(struct timespec){.tv_nsec = 1700000}, NULL);
	}
}
END_TEST

/* Of those that the process was started with. */
static char *first_variable;

static void *work(void *argument)
{
	uint64_t from = vm_os_cpu_us();
	while (vm_os_cpu_us() < from + 60000)
		;
	return argument;
}

START_TEST(processor_time_passes_for_who_works_and_not_for_who_sleeps)
{
	pthread_t thread;
	uint64_t before = vm_os_cpu_us();
	uint64_t from = clock_ms();
	while (vm_os_cpu_us() < before + 20000)
		;
	ck_assert_uint_ge(clock_ms() - from, 19);
	before = vm_os_cpu_us();
	must(!pthread_create(&thread, NULL, work, NULL));
	must(!pthread_join(thread, NULL));
	ck_assert_uint_lt(vm_os_cpu_us() - before, 50000);
}
END_TEST

START_TEST(variables_are_found_by_their_whole_name_before_libc_knows_them_too)
{
	must(!setenv("VM_OS_TEST", "a=b", 1) && !setenv("VM_OS_TEST_EMPTY", "", 1));
	ck_assert_str_eq(vm_os_environment("VM_OS_TEST"), "a=b");
	ck_assert_str_eq(vm_os_environment("VM_OS_TEST_EMPTY"), "");
	ck_assert_ptr_null(vm_os_environment("VM_OS_TES"));
	ck_assert_ptr_null(vm_os_environment("VM_OS_TEST_"));
	environ = NULL;
	ck_assert_ptr_null(vm_os_environment("VM_OS_TEST"));
	char *value = strchr(first_variable, '=');
	*value = 0; /* in what the kernel laid there */
	char name[200];
	ck_assert_uint_lt(strlen(first_variable), sizeof name);
	strcpy(name, first_variable);
	*value = '=';
	ck_assert_ptr_eq(vm_os_environment(name), value + 1);
}
END_TEST

static _Atomic uint32_t word;
static _Atomic bool awake;

static void *sleep_on_word(void *argument)
{
	while (!word)
		vm_os_wait(&word, 0);
	awake = true;
	return argument;
}

START_TEST(who_waits_sleeps_until_he_is_woken)
{
	pthread_t thread;
	vm_os_wait(&word, 1); /* it is not 1 */
	must(!pthread_create(&thread, NULL, sleep_on_word, NULL));
	clockid_t its_time;
	struct timespec used;
	must(!pthread_getcpuclockid(thread, &its_time));
	nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	must(!clock_gettime(its_time, &used));
	ck_assert(!awake);
	ck_assert(!used.tv_sec && used.tv_nsec < 50000000);
	word = 1;
	vm_os_wake_one(&word);
	must(!pthread_join(thread, NULL));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		the_machine_is_as_the_C_library_knows_it,
		limits_of_the_process_are_noticed,
		maps_are_counted_as_the_kernel_does,
		maps_held_are_so_many_until_they_are_released,
		only_at_the_limit_are_maps_out,
		a_map_is_zeroed_and_goes,
		a_reserve_costs_nothing_and_is_committed_in_parts,
		purged_memory_reads_as_zero_unless_it_is_locked,
		pages_that_have_memory_are_counted,
		huge_pages_are_looked_for_once,
		an_advised_range_is_filled_by_huge_pages,
		an_advised_range_comes_by_pages_again_when_told_so,
		part_of_a_huge_page_that_is_purged_for_good_is_free_at_once,
		a_huge_page_of_which_a_part_went_is_cut_and_keeps_what_is_there,
		a_huge_page_keeps_what_was_there_and_changes_no_map,
		a_map_moves_only_where_it_may,
		the_cause_is_the_limit_that_is_reached,
		the_break_moves_as_sbrk_says,
		the_clock_is_some_ms_behind_at_most,
		processor_time_passes_for_who_works_and_not_for_who_sleeps,
		variables_are_found_by_their_whole_name_before_libc_knows_them_too,
		who_waits_sleeps_until_he_is_woken,
		NULL,
	};
	first_variable = environ[0];
	return suite_run("os", tests, 60);
}
