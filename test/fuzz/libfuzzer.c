/* SPDX-License-Identifier: MIT */
/* The target of libFuzzer. What it played is counted and told at the end. */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static uint64_t calls;

static void tell(void)
{
	fprintf(stderr, "stat::allocator_calls: %llu\n", (unsigned long long)calls);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return atexit(tell);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	calls += program_play(bytes, length);
	return 0;
}
