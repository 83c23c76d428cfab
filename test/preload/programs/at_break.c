/* SPDX-License-Identifier: MIT */
/* Tells whether small blocks lie at the break, in a program that takes malloc's address. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
	void *(*volatile allocate)(size_t) = malloc;
	char *block = allocate(100);
	char *end = sbrk(0);

	puts(block < end && block > end - (16 << 20) ? "at the break" : "elsewhere");
	return 0;
}
