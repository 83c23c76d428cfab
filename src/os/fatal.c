/* SPDX-License-Identifier: MIT */
#include "os/fatal.h"

#include "base/check.h"
#include "base/print.h"
#include "os/os.h"

static const char *const misuse_sentences[] = {
	[MISUSE_FOREIGN] = "not a block of this allocator",
	[MISUSE_INTERIOR] = "points into a block, not to its start",
	[MISUSE_FREED] = "block is already free",
};

static NORETURN void finish(struct print *line)
{
	vm_print_text(line, "\n");
	vm_os_write_error(line->text, line->length);
	vm_os_abort();
}

void vm_misuse(enum misuse misuse, const char *function, const void *pointer)
{
	char buffer[160];
	struct print line = print_to(buffer, sizeof buffer);
	vm_print_text(&line, "libvmalloc: ");
	vm_print_text(&line, function);
	vm_print_text(&line, "(");
	vm_print_pointer(&line, pointer);
	vm_print_text(&line, "): ");
	vm_print_text(&line, misuse_sentences[misuse]);
	finish(&line);
}

void vm_assert_failed(const char *condition, const char *file, int line_number)
{
	char buffer[240];
	struct print line = print_to(buffer, sizeof buffer);
	vm_print_text(&line, "libvmalloc: broken invariant at ");
	vm_print_text(&line, file);
	vm_print_text(&line, ":");
	vm_print_number(&line, (uint64_t)line_number);
	vm_print_text(&line, ": ");
	vm_print_text(&line, condition);
	finish(&line);
}
