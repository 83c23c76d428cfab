/* SPDX-License-Identifier: MIT */
/*
 * A library that stands between a program and the C library, as libfaketime and torsocks do: each call of what
 * it has in place of the C library's functions allocates, and some of the blocks stay.
 */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void *kept[8];

static void check(int holds)
{
	if (!holds)
		abort();
}

static void allocate(void)
{
	static __thread int depth;
	static unsigned calls;

	if (depth)
		return;
	depth++;
	void **place = &kept[calls++ % 8];
	char *block = malloc(100);
	check(block != NULL);
	memset(block, 7, 100);
	block = realloc(block, 5000);
	check(block && block[99] == 7);
	char *zeros = calloc(1, 50000);
	check(zeros && !zeros[0] && !memcmp(zeros, zeros + 1, 49999));
	void *line = aligned_alloc(64, 192);
	void *page = aligned_alloc(4096, 8192);
	check(line && (uintptr_t)line % 64 == 0 && page && (uintptr_t)page % 4096 == 0);
	free(line);
	free(page);
	free(zeros);
	free(*place);
	*place = block;
	depth--;
}

/* The next definition; a name that nobody has makes the dynamic linker allocate for what it says of it. */
#define NEXT(name) \
	static __typeof__(name) *next; \
	allocate(); \
	if (!next) { \
		dlsym(RTLD_NEXT, "no_such_symbol"); \
		next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name); \
	}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	NEXT(clock_gettime)
	return next(clock, time);
}

long sysconf(int name)
{
	NEXT(sysconf)
	return next(name);
}

int getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
	NEXT(getrlimit)
	return next(resource, limit);
}

long syscall(long number, ...)
{
	NEXT(syscall)
	long argument[6];
	va_list list;
	va_start(list, number);
	for (int i = 0; i < 6; i++)
		argument[i] = va_arg(list, long);
	va_end(list);
	return next(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}
