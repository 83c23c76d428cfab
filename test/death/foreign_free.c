/* SPDX-License-Identifier: MIT */
/* free of what the allocator never gave out: the stack, statics, mappings of the program, wild addresses. */
#define _GNU_SOURCE 1
#include "death.h"
#include "must.h"
#include "opaque.h"
#include "suite.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static _Alignas(16) char in_static_memory[64];

static void free_this(void *p)
{
	free(opaque(malloc(100)));
	free(death_by(p));
}

static void free_stack(void *unused)
{
	_Alignas(16) char on_stack[64];

	(void)unused;
	free_this(on_stack);
}

static void free_mapping(void *offset)
{
	char *p = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED);
	free_this(p + (uintptr_t)offset);
}

static void free_foreign_break(void *unused)
{
	(void)unused;
	free(opaque(malloc(100)));
	char *p = sbrk(64 << 10);
	must(p != (void *)-1);
	for (int i = 0; i < 200; i++)
		must(opaque(malloc(30000)) != NULL);
	free_this((char *)(((uintptr_t)p + 8191) & ~(uintptr_t)4095));
}

static void free_beyond_break(void *distance)
{
	free(opaque(malloc(100)));
	free_this((char *)(((uintptr_t)sbrk(0) + 4095) & ~(uintptr_t)4095) + (uintptr_t)distance);
}

static void free_unmapped_large(void *unused)
{
	(void)unused;
	char *p = opaque(malloc(64 << 20));
	free_this(p + (200 << 20));
}

START_TEST(free_of_stack_memory)
{
	death_expect(free_stack, NULL, "free", NOT_A_BLOCK);
}
END_TEST

START_TEST(free_of_static_memory)
{
	death_expect(free_this, in_static_memory, "free", NOT_A_BLOCK);
	death_expect(free_this, (void *)(uintptr_t)free_this, "free", NOT_A_BLOCK);
}
END_TEST

START_TEST(free_of_a_mapping_of_the_program)
{
	death_expect(free_mapping, (void *)0, "free", NOT_A_BLOCK);
	death_expect(free_mapping, (void *)4096, "free", NOT_A_BLOCK);
	death_expect(free_mapping, (void *)16, "free", NOT_A_BLOCK);
}
END_TEST

START_TEST(free_of_memory_others_took_at_the_break)
{
	suite_skip_in_variant("no-break", "there is no break to take memory at");
	death_expect(free_foreign_break, NULL, "free", NOT_A_BLOCK);
}
END_TEST

START_TEST(free_beyond_the_break)
{
	suite_skip_in_variant("no-break", "there is no break to take memory at");
	death_expect(free_beyond_break, (void *)0, "free", NOT_A_BLOCK);
	death_expect(free_beyond_break, (void *)(1 << 20), "free", NOT_A_BLOCK);
	death_expect(free_beyond_break, (void *)((uintptr_t)1 << 40), "free", NOT_A_BLOCK);
}
END_TEST

START_TEST(free_of_wild_addresses)
{
	static const uintptr_t wild[] = {
		1, 8, 16, 4096, 0xdeadbeef, 0xdeadbeef00, (uintptr_t)1 << 46, (uintptr_t)1 << 47,
		(uintptr_t)1 << 48, 0x4141414141414141, (uintptr_t)1 << 63, UINTPTR_MAX - 15, UINTPTR_MAX,
	};

	for (size_t i = 0; i < sizeof wild / sizeof *wild; i++)
		death_expect(free_this, (void *)wild[i], "free", NOT_A_BLOCK);
}
END_TEST

START_TEST(free_far_from_a_large_block)
{
	death_expect(free_unmapped_large, NULL, "free", NOT_A_BLOCK);
}
END_TEST

static void free_as_first_operation(void *p)
{
	free(death_by(p));
}

START_TEST(free_of_a_foreign_pointer_as_the_first_operation)
{
	death_expect(free_as_first_operation, in_static_memory, "free", NOT_A_BLOCK);
}
END_TEST

static void realloc_this(void *p)
{
	void *volatile result = realloc(death_by(p), 100);
	free(result);
}

static void ask_usable_size(void *p)
{
	volatile size_t result = malloc_usable_size(death_by(p));
	(void)result;
}

START_TEST(realloc_and_malloc_usable_size_of_foreign_memory)
{
	death_expect(realloc_this, in_static_memory, "realloc", NOT_A_BLOCK);
	death_expect(realloc_this, (void *)0xdeadbeef00, "realloc", NOT_A_BLOCK);
	death_expect(ask_usable_size, in_static_memory, "malloc_usable_size", NOT_A_BLOCK);
	death_expect(ask_usable_size, (void *)0xdeadbeef00, "malloc_usable_size", NOT_A_BLOCK);
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		free_of_stack_memory,
		free_of_static_memory,
		free_of_a_mapping_of_the_program,
		free_of_memory_others_took_at_the_break,
		free_beyond_the_break,
		free_of_wild_addresses,
		free_far_from_a_large_block,
		free_of_a_foreign_pointer_as_the_first_operation,
		realloc_and_malloc_usable_size_of_foreign_memory,
		NULL,
	};
	return suite_main(argv, "foreign_free", tests, 20);
}
