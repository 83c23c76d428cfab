/* SPDX-License-Identifier: MIT */
#include "failure.h"

#include "base/print.h"
#include "os/conf.h"
#include "os/os.h"
#include "thread/tcache.h"

#include <stdatomic.h>

/* What is told of a cause; the limit, if it is one, goes between the two. */
static const struct {
	const char *before;
	const char *after;
} sentences[] = {
	[VM_CAUSE_MAP_LIMIT] = {"the process has used up vm.max_map_count (",
				"): raise it with sysctl, or map less"},
	[VM_CAUSE_ADDRESS_LIMIT] = {"the limit of the address space, RLIMIT_AS (",
				    " bytes), is reached: raise it with ulimit -v"},
	[VM_CAUSE_DATA_LIMIT] = {"the limit of writable memory, RLIMIT_DATA (",
				 " bytes), is reached: raise it with ulimit -d"},
	[VM_CAUSE_OVERCOMMIT] = {"the kernel does not promise so much memory: see vm.overcommit_memory", ""},
	[VM_CAUSE_MEMORY] = {"the kernel had no memory", ""},
};

static void tell(const struct vm_failure *failure)
{
	static _Atomic unsigned told;
	unsigned bit = 1U << failure->cause;
	if (!vm_options.report_failures || failure->cause == VM_CAUSE_SIZE ||
	    atomic_fetch_or_explicit(&told, bit, memory_order_relaxed) & bit)
		return;
	char buffer[240];
	struct print line = print_to(buffer, sizeof buffer);
	vm_print_text(&line, "libvmalloc: no memory for ");
	vm_print_number(&line, failure->size);
	vm_print_text(&line, " bytes: ");
	vm_print_text(&line, sentences[failure->cause].before);
	if (failure->limit)
		vm_print_number(&line, failure->limit);
	else if (*sentences[failure->cause].after)
		vm_print_text(&line, "unknown"); /* without /proc */
	vm_print_text(&line, sentences[failure->cause].after);
	vm_print_text(&line, "\n");
	vm_os_write_error(line.text, line.length);
}

/* More than a block takes of the kernel beside its own bytes: a whole slab, the least reserve for
 * it (4 MiB), that one's tables, a chunk of records. */
#define BESIDE (8 * MIB)

/* Where the block by itself would fit, what it takes beside is what was refused. */
static enum vm_cause find_cause(size_t size, size_t *limit)
{
	enum vm_cause cause = vm_os_find_cause(max_size(size, 1), limit);
	return cause == VM_CAUSE_MEMORY ? vm_os_find_cause(size + BESIDE, limit) : cause;
}

void vm_failure_note(size_t size)
{
	struct vm_failure failure = {.cause = VM_CAUSE_SIZE, .size = size};
	if (size <= PTRDIFF_MAX)
		failure.cause = find_cause(size, &failure.limit);
	if (tcache_is_own())
		vm_tcache->failure = failure;
	tell(&failure);
}

bool vm_failure_last(struct vm_failure *failure)
{
	*failure = tcache_is_own() ? vm_tcache->failure : (struct vm_failure){.cause = VM_CAUSE_NONE};
	return failure->cause != VM_CAUSE_NONE;
}
