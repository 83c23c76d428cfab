/* SPDX-License-Identifier: MIT */
/* For scripts/check-install: forks while another thread allocates, with a library that has fork handlers. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int has_handlers(void);

static void *allocate(void *unused)
{
	for (;;) {
		free(malloc(50));
		usleep(1000);
	}
	return unused;
}

int main(void)
{
	pthread_t thread;
	int status = 1;

	alarm(10);
	if (!has_handlers() || pthread_create(&thread, NULL, allocate, NULL))
		return 1;
	const pid_t child = fork();
	if (child == 0) {
		alarm(10);
		free(malloc(10));
		_exit(0);
	}
	waitpid(child, &status, 0);
	puts(status ? "fails" : "works");
	return status != 0;
}
