/* SPDX-License-Identifier: MIT */
/*
 * shared.c - whether the process's malloc is the shared library's: where that was dlopen'ed, or another
 * library comes first, it is not.
 */
#include "boot.h"
#include "early.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdlib.h>

HIDDEN void *vm_own_malloc(size_t size);

/* Of an undefined symbol: an entry of a program that takes the function's address (Debian's python3 and node
 * take malloc's), and that leads to the definition. */
static bool is_entry_of_program(const void *function)
{
	Dl_info info;
	void *entry;
	if (!dladdr1(function, &info, &entry, RTLD_DL_SYMENT) || !entry)
		return false;
	return ((const ElfW(Sym) *)entry)->st_shndx == SHN_UNDEF;
}

/* Who allocates during the start of this library gets an early block from it. */
static bool leads_here(void *allocate(size_t), void release(void *))
{
	void *block = allocate(1);
	bool here = early_holds(block);
	release(block);
	return here;
}

/* Another's malloc is not called: it would set itself up before the C library has an environment. */
bool vm_is_process_malloc(void)
{
	void *(*volatile allocate)(size_t) = malloc;
	void (*volatile release)(void *) = free;
	if (allocate == vm_own_malloc)
		return true;
	return is_entry_of_program((const void *)(uintptr_t)allocate) && leads_here(allocate, release);
}
