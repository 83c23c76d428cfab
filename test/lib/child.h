/* SPDX-License-Identifier: MIT */
/* Runs a function or a program in a child process and captures its standard output and error. */
#ifndef TEST_CHILD_H
#define TEST_CHILD_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct child {
	int status;         /* as waitpid gives it */
	char out[65536];    /* both texts end in NUL and are cut at this size */
	char err[65536];
};

/* Runs fn(arg) in a forked child, which ends with _exit(0) if fn returns. No core file is written. */
void child_run(struct child *child, void (*fn)(void *), void *arg);

/* Runs a program in a child, after fn(arg) where fn is not NULL (to set limits, environment ...). */
void child_exec(struct child *child, const char *const argv[], void (*fn)(void *), void *arg);

/* child_exec of this program with one argument; by way of EMULATOR where it is made for another machine. */
void child_exec_self(struct child *child, const char *argument, void (*fn)(void *), void *arg);

bool child_exited(const struct child *child, int code);
bool child_signalled(const struct child *child, int signal);

/* What child_status gives a child before SIGALRM, times CK_TIMEOUT_MULTIPLIER: 20 s where nobody sets it. */
extern unsigned child_seconds;

/* Forks and runs fn(arg) within child_seconds. Returns the exit status, or -signal. */
int child_status(void (*fn)(void *), void *arg);

/* waitpid until the child is gone; exit status, or -signal. */
int child_wait(int pid);

#ifdef __cplusplus
}
#endif
#endif
