// SPDX-License-Identifier: MIT
// start_time COUNT LIBRARY PROGRAM: runs the program COUNT times each without
// and with the library, in turn, and prints by how many microseconds the
// median run is longer with it.
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static double run(char **arguments, char **environment)
{
	double start = now();
	pid_t child;
	int status;
	if (posix_spawn(&child, arguments[0], NULL, NULL, arguments, environment) ||
	    waitpid(child, &status, 0) != child || status)
		exit(1);
	return now() - start;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	int count = atoi(argv[1]);
	char preload[4096];
	snprintf(preload, sizeof preload, "LD_PRELOAD=%s", argv[2]);
	char *none[] = { NULL }, *with[] = { preload, NULL };
	double *plain = calloc(count, sizeof *plain), *loaded = calloc(count, sizeof *loaded);
	for (int i = 0; i < count; i++) {
		plain[i] = run(argv + 3, none);
		loaded[i] = run(argv + 3, with);
	}
	qsort(plain, count, sizeof *plain, compare);
	qsort(loaded, count, sizeof *loaded, compare);
	printf("%.0f\n", loaded[count / 2] - plain[count / 2]);
}
