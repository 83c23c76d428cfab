/* SPDX-License-Identifier: MIT */
/* free, realloc and malloc_usable_size of a pointer into a block: aligned or not, near its start or its end. */
#include "death.h"
#include "opaque.h"
#include "suite.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

struct misuse {
	size_t size;    /* of the block */
	size_t offset;  /* into it */
};

static char *pointer_into(const struct misuse *misuse)
{
	free(opaque(malloc(misuse->size)));
	return (char *)opaque(malloc(misuse->size)) + misuse->offset;
}

static void free_interior(void *misuse)
{
	free(death_by(pointer_into(misuse)));
}

static void realloc_interior(void *misuse)
{
	void *volatile result = realloc(death_by(pointer_into(misuse)), 50);
	free(result);
}

static void usable_size_of_interior(void *misuse)
{
	volatile size_t result = malloc_usable_size(death_by(pointer_into(misuse)));
	(void)result;
}

static void free_interior_and_trim(void *misuse)
{
	free_interior(misuse);
	malloc_trim(0);
}

static void expect(size_t size, size_t offset)
{
	struct misuse misuse = { size, offset };

	death_expect(free_interior, &misuse, "free", INSIDE_A_BLOCK);
}

/* A hit of free does not divide: the cache notices when it returns the pointer. */
static void expect_late(size_t size, size_t offset)
{
	struct misuse misuse = { size, offset };

	death_expect_late(free_interior_and_trim, &misuse, INSIDE_A_BLOCK);
}

START_TEST(free_into_a_small_block_is_noticed_when_the_caches_are_emptied)
{
	expect_late(100, 16);
	expect_late(100, 96);
	expect_late(5000, 4096);
	expect_late(5000, 2000);
	expect_late(32768, 16384);
	expect_late(32768, 32752);
	expect_late(16, 8);
}
END_TEST

START_TEST(free_into_a_medium_block_is_noticed_when_the_caches_are_emptied)
{
	expect_late(400000, 16);
	expect_late(400000, 4096);
	expect_late(400000, 399984);
	expect_late(600000, 65536);
	expect_late(300000, 32768);
}
END_TEST

START_TEST(free_into_a_large_block)
{
	expect(5000000, 16);
	expect(5000000, 4096);
	expect(5000000, 4096 * 1000);
	expect(50000000, 1 << 20);
	expect(5000000, 4999984);
}
END_TEST

START_TEST(free_of_a_misaligned_pointer)
{
	expect_late(8, 1);
	expect_late(100, 1);
	expect_late(100, 99);
	expect_late(5000, 4097);
	expect_late(400000, 1);
	expect_late(400000, 7);
	expect(5000000, 1);
	expect(5000000, 12345);
}
END_TEST

START_TEST(realloc_and_malloc_usable_size_into_a_block)
{
	static const size_t sizes[] = { 100, 20000, 400000, 5000000 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct misuse misuse = { sizes[i], i % 2 ? 16 : 64 };
		death_expect(realloc_interior, &misuse, "realloc", INSIDE_A_BLOCK);
		death_expect(usable_size_of_interior, &misuse, "malloc_usable_size", INSIDE_A_BLOCK);
	}
}
END_TEST

static void free_into_aligned(void *alignment)
{
	char *p = opaque(aligned_alloc((size_t)alignment, (size_t)alignment));
	free(death_by(p + 4096));
	malloc_trim(0);
}

START_TEST(free_into_an_aligned_block)
{
	death_expect_late(free_into_aligned, (void *)65536, INSIDE_A_BLOCK);
	death_expect(free_into_aligned, (void *)(2 << 20), "free", INSIDE_A_BLOCK);
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		free_into_a_small_block_is_noticed_when_the_caches_are_emptied,
		free_into_a_medium_block_is_noticed_when_the_caches_are_emptied,
		free_into_a_large_block,
		free_of_a_misaligned_pointer,
		realloc_and_malloc_usable_size_into_a_block,
		free_into_an_aligned_block,
		NULL,
	};
	return suite_main(argv, "interior_free", tests, 20);
}
