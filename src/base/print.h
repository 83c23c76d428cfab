/* SPDX-License-Identifier: MIT */
/* print.h - text and numbers into a caller's buffer; never allocates, never fails, cuts what is too long. */
#ifndef VM_PRINT_H
#define VM_PRINT_H

#include "base/base.h"

struct print {
	char *text;
	size_t length;
	size_t room;
};

/* A print over `buffer`, empty. */
static inline struct print print_to(char *buffer, size_t room)
{
	return (struct print){.text = buffer, .length = 0, .room = room};
}

void vm_print_text(struct print *print, const char *text);
void vm_print_chars(struct print *print, const char *text, size_t length);
void vm_print_number(struct print *print, uint64_t number);
void vm_print_pointer(struct print *print, const void *pointer);

#endif
