/* SPDX-License-Identifier: MIT */
/* base/print.h: what it writes, and that it stays within the buffer. */
#include "suite.h"

#include "base/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static char buffer[64];
static struct print line;

static void begin(size_t room)
{
	memset(buffer, '#', sizeof buffer);
	line = print_to(buffer, room);
}

/* What was written, and that nothing was written behind it. */
static void expect(const char *text)
{
	ck_assert_uint_eq(line.length, strlen(text));
	ck_assert_mem_eq(buffer, text, strlen(text));
	for (size_t i = line.length; i < sizeof buffer; i++)
		ck_assert_int_eq(buffer[i], '#');
}

START_TEST(pieces_follow_one_another)
{
	begin(sizeof buffer);
	vm_print_text(&line, "one ");
	vm_print_text(&line, "");
	vm_print_chars(&line, "twofold", 3);
	vm_print_number(&line, 3);
	expect("one two3");
}
END_TEST

START_TEST(numbers_are_decimal)
{
	static const uint64_t numbers[] = {0, 1, 9, 10, 99, 100, 1234567890, UINT64_MAX - 1, UINT64_MAX};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		char text[32];
		snprintf(text, sizeof text, "%" PRIu64, numbers[i]);
		begin(sizeof buffer);
		vm_print_number(&line, numbers[i]);
		expect(text);
	}
}
END_TEST

START_TEST(pointers_are_hexadecimal)
{
	static const uint64_t pointers[] = {0, 15, 16, 0xdeadbeef, 0x7fffffffffff, UINT64_MAX};
	for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++) {
		char text[32];
		snprintf(text, sizeof text, "0x%" PRIx64, pointers[i]);
		begin(sizeof buffer);
		vm_print_pointer(&line, (void *)(uintptr_t)pointers[i]);
		expect(text);
	}
}
END_TEST

START_TEST(what_is_too_long_is_cut)
{
	begin(10);
	vm_print_text(&line, "four");
	vm_print_number(&line, 123456789);
	expect("four123456");
	vm_print_text(&line, "more");
	vm_print_pointer(&line, &line);
	expect("four123456");
	begin(0);
	vm_print_text(&line, "x");
	expect("");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		pieces_follow_one_another,
		numbers_are_decimal,
		pointers_are_hexadecimal,
		what_is_too_long_is_cut,
		NULL,
	};
	return suite_run("print", tests, 10);
}
