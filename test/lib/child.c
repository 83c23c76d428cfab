/* SPDX-License-Identifier: MIT */
/* Children with captured output; allocates nothing itself, so that it works under any limit. */
#define _GNU_SOURCE 1
#include "child.h"

#include "must.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

unsigned child_seconds = 20;

/* As Check's own limits. */
static void limit_seconds(unsigned seconds)
{
	const char *multiplier = getenv("CK_TIMEOUT_MULTIPLIER");

	alarm(seconds * (multiplier ? (unsigned)atoi(multiplier) : 1));
}

struct call {
	void (*fn)(void *);
	void *arg;
	const char *const *argv;
};

struct sink {
	char *text;
	size_t used;
};

static void be_the_child(const struct call *call, int out, int err)
{
	const struct rlimit none = { 0, 0 };

	must(dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0);
	setrlimit(RLIMIT_CORE, &none);
	limit_seconds(30);
	if (call->fn)
		call->fn(call->arg);
	if (!call->argv)
		_exit(0);
	execvp(call->argv[0], (char *const *)(void *)call->argv);
	must(!"exec");
}

static void take(struct pollfd *source, struct sink *sink, size_t capacity)
{
	char rest[4096];

	if (source->fd < 0 || source->revents == 0)
		return;
	const size_t room = capacity - 1 - sink->used;
	const ssize_t n = room ? read(source->fd, sink->text + sink->used, room)
			       : read(source->fd, rest, sizeof rest);
	if (n <= 0)
		source->fd = -1;
	else if (room)
		sink->used += (size_t)n;
}

static void run(struct child *child, const struct call *call)
{
	int out[2], err[2];

	must(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
	const pid_t pid = fork();
	must(pid >= 0);
	if (pid == 0)
		be_the_child(call, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	struct pollfd source[2] = { { out[0], POLLIN, 0 }, { err[0], POLLIN, 0 } };
	struct sink sink[2] = { { child->out, 0 }, { child->err, 0 } };
	while (source[0].fd >= 0 || source[1].fd >= 0) {
		if (poll(source, 2, -1) < 0)
			continue;
		take(&source[0], &sink[0], sizeof child->out);
		take(&source[1], &sink[1], sizeof child->err);
	}
	child->out[sink[0].used] = '\0';
	child->err[sink[1].used] = '\0';
	close(out[0]);
	close(err[0]);
	must(waitpid(pid, &child->status, 0) == pid);
}

void child_run(struct child *child, void (*fn)(void *), void *arg)
{
	run(child, &(struct call){ fn, arg, NULL });
}

void child_exec(struct child *child, const char *const argv[], void (*fn)(void *), void *arg)
{
	run(child, &(struct call){ fn, arg, argv });
}

void child_exec_self(struct child *child, const char *argument, void (*fn)(void *), void *arg)
{
	char self[PATH_MAX] = "";
	const char *emulator = getenv("EMULATOR");
	const char *const argv[] = { emulator, self, argument, NULL };

	must(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	child_exec(child, emulator && *emulator ? argv : argv + 1, fn, arg);
}

bool child_exited(const struct child *child, int code)
{
	return WIFEXITED(child->status) && WEXITSTATUS(child->status) == code;
}

bool child_signalled(const struct child *child, int signal)
{
	return WIFSIGNALED(child->status) && WTERMSIG(child->status) == signal;
}

int child_wait(int pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		must(errno == EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int child_status(void (*fn)(void *), void *arg)
{
	const pid_t pid = fork();

	must(pid >= 0);
	if (pid == 0) {
		signal(SIGALRM, SIG_DFL); /* Check's handler would kill all, as if by themselves */
		limit_seconds(child_seconds);
		fn(arg);
		_exit(0);
	}
	return child_wait(pid);
}
