/* SPDX-License-Identifier: MIT */
/* Time, seed and arguments of a stress run. */
#define _GNU_SOURCE 1
#include "stress.h"

#include "rng.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double end;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

bool stress_over(void)
{
	return now() >= end;
}

int stress_main(int argc, char **argv, void (*work)(uint64_t seed))
{
	double seconds = 1;

	suite_preload(argv);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--smoke") == 0)
			seconds = 1;
		else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
			seconds = atof(argv[++i]);
		else if (strcmp(argv[i], "--forever") == 0)
			seconds = HUGE_VAL;
		else
			setenv("VM_TEST_SEED", argv[i], 1);
	}
	end = now() + seconds;
	work(rng_process_seed());
	puts("no fault found");
	return 0;
}
