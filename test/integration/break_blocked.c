/* SPDX-License-Identifier: MIT */
/* A mapping of the program lies in the way of the break: allocation goes on elsewhere, the mapping stays whole. */
#define _GNU_SOURCE 1
#include "blocks.h"
#include "exhaust.h"
#include "foreign.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "suite.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct blocks blocks;
static struct foreign foreign;
enum { WALL = 16 << 10 };

static unsigned char *build_wall(size_t pages_above)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const uintptr_t at = (((uintptr_t)sbrk(0) + page - 1) & ~(page - 1)) + pages_above * page;
	unsigned char *wall = mmap((void *)at, WALL, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	ck_assert_ptr_eq(wall, (void *)at);
	pattern_fill(wall, WALL, at);
	return wall;
}

static void go_on_behind(unsigned char *wall)
{
	blocks_init(&blocks, 500, 900000, rng_process_seed());
	blocks_steps(&blocks, 3000);
	ck_assert_uint_eq(blocks.refused, 0);
	ck_assert(pattern_holds(wall, WALL, (uintptr_t)wall));
	blocks_free(&blocks);
	malloc_trim(0);
	ck_assert(pattern_holds(wall, WALL, (uintptr_t)wall));
}

static void check_wall(size_t pages_above)
{
	grow_until_break_moves();
	unsigned char *wall = build_wall(pages_above);
	go_on_behind(wall);
	ck_assert_uint_ge(exhaust(3000, 40 << 20), 40 << 20);
	grown_check();
	grown_free();
	go_on_behind(wall);
}

START_TEST(a_mapping_at_the_break) { check_wall(0); } END_TEST
START_TEST(a_mapping_one_page_above_the_break) { check_wall(1); } END_TEST
START_TEST(a_mapping_two_pages_above_the_break) { check_wall(2); } END_TEST
START_TEST(a_mapping_some_way_above_the_break) { check_wall(900); } END_TEST

START_TEST(the_break_goes_on_when_the_mapping_is_gone)
{
	grow_until_break_moves();
	unsigned char *wall = build_wall(1);
	go_on_behind(wall);
	munmap(wall, WALL);
	ck_assert_uint_ge(exhaust(3000, 40 << 20), 40 << 20);
	ck_assert_uint_ge(exhaust(200000, 40 << 20), 40 << 20);
	grown_check();
	grown_free();
}
END_TEST

START_TEST(realloc_at_the_wall_keeps_contents)
{
	grow_until_break_moves();
	unsigned char *wall = build_wall(3);
	unsigned char *p = opaque(malloc(1000));
	size_t size = 1000;
	pattern_fill(p, size, 1);
	while (size < 900000) {
		p = opaque(realloc(p, size + 5000));
		ck_assert_ptr_nonnull(p);
		ck_assert(pattern_holds(p, size, 1));
		pattern_fill(p, size += 5000, 1);
	}
	ck_assert(pattern_holds(wall, WALL, (uintptr_t)wall));
	grown_check();
}
END_TEST

START_TEST(foreign_growth_up_to_the_mapping)
{
	grow_until_break_moves();
	unsigned char *wall = build_wall(20);
	while (foreign_grow(&foreign, 10000))
		go_on_behind(wall);
	foreign_check(&foreign);
	go_on_behind(wall);
	foreign_check(&foreign);
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		a_mapping_at_the_break,
		a_mapping_one_page_above_the_break,
		a_mapping_two_pages_above_the_break,
		a_mapping_some_way_above_the_break,
		the_break_goes_on_when_the_mapping_is_gone,
		realloc_at_the_wall_keeps_contents,
		foreign_growth_up_to_the_mapping,
		NULL,
	};
	suite_skip_all_in_variant("no-break", "there is no break to block");
	return suite_main(argv, "break_blocked", tests, 20);
}
