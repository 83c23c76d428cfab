/* SPDX-License-Identifier: MIT */
#include "base/print.h"

#include <string.h>

void vm_print_chars(struct print *print, const char *text, size_t length)
{
	length = min_size(length, print->room - print->length);
	memcpy(print->text + print->length, text, length);
	print->length += length;
}

void vm_print_text(struct print *print, const char *text)
{
	vm_print_chars(print, text, strlen(text));
}

static void print_digits(struct print *print, uint64_t number, unsigned base)
{
	char digits[20];
	size_t at = sizeof digits;
	do {
		digits[--at] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number);
	vm_print_chars(print, digits + at, sizeof digits - at);
}

void vm_print_number(struct print *print, uint64_t number)
{
	print_digits(print, number, 10);
}

void vm_print_pointer(struct print *print, const void *pointer)
{
	vm_print_text(print, "0x");
	print_digits(print, (uintptr_t)pointer, 16);
}
