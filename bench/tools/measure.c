/* SPDX-License-Identifier: MIT */
/*
 * measure -o FILE [-p LIBRARY] PROGRAM ARGS...: runs PROGRAM with LIBRARY preloaded and appends a line
 * to FILE: wall time, processor time (both in s, with all descendants that were waited for), the
 * greatest peak RSS of one process (KiB), page faults. Its exit status is the program's.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double seconds(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static pid_t child;

/* Who stops this process means the program, whose measures are still wanted. */
static void pass_on(int number)
{
	if (child > 0)
		kill(child, number);
}

int main(int argc, char **argv)
{
	const char *library = NULL, *path = NULL;
	struct rusage usage;
	int option, status;

	while ((option = getopt(argc, argv, "+o:p:")) != -1) {
		if (option == 'o')
			path = optarg;
		else if (option == 'p')
			library = optarg;
		else
			return 2;
	}
	if (!path || optind == argc) {
		fputs("usage: measure -o FILE [-p LIBRARY] PROGRAM ARGS...\n", stderr);
		return 2;
	}
	const int out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (out < 0) {
		perror(path);
		return 2;
	}

	struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	const double start = now();
	child = fork();
	if (child < 0) {
		perror("fork");
		return 2;
	}
	if (child == 0) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		if (library && *library)
			setenv("LD_PRELOAD", library, 1);
		execvp(argv[optind], argv + optind);
		perror(argv[optind]);
		_exit(127);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	const double wall = now() - start;
	getrusage(RUSAGE_CHILDREN, &usage);
	dprintf(out, "%.6f %.6f %ld %ld\n", wall, seconds(usage.ru_utime) + seconds(usage.ru_stime),
		usage.ru_maxrss, usage.ru_minflt + usage.ru_majflt);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
