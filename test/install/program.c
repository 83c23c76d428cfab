/* SPDX-License-Identifier: MIT */
/* A user's program, for scripts/check-install: the standard names and the vm_ names, in one process. */
#include <stdio.h>
#include <stdlib.h>
#include <vmalloc.h>

int main(void)
{
	void *volatile mine = vm_malloc(100);
	void *volatile standard = malloc(100);
	const int works = mine && standard && vm_malloc_usable_size(mine) >= 100;

	free(standard);
	vm_free(mine);
	puts(works ? "works" : "fails");
	return !works;
}
