/* SPDX-License-Identifier: MIT */
/* standalone.c - of the prefixed archive only: the program's malloc is not ours. */
#include "boot.h"

LOAD_FIRST;

bool vm_is_process_malloc(void)
{
	return false;
}
