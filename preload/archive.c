/* SPDX-License-Identifier: MIT */
/* archive.c - of libvmalloc.a only: a program that has it has its malloc. */
#include "boot.h"

LOAD_FIRST;

bool vm_is_process_malloc(void)
{
	return true;
}
