/* SPDX-License-Identifier: MIT */
/* standalone.c - the answer of the prefixed library: the program's malloc is not ours. */
#include "boot.h"

bool vm_is_process_malloc(void)
{
	return false;
}
