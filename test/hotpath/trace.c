/* SPDX-License-Identifier: MIT */
/*
 * Prints the instructions that malloc and free of the preloaded library really execute on a hit, one
 * a line, as "FUNCTION SIZE OBJECT OFFSET OFFSET" (in hex and in decimal). x86-64 only: the
 * processor's trap flag stops it after each.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#if !defined __x86_64__
int main(void)
{
	puts("single steps are read on x86-64 only");
	return 77;
}
#else
#include <x86intrin.h>

#define TRAP_FLAG 0x100ULL

static uintptr_t steps[4096];
static volatile unsigned step_count;

static void on_step(int signal, siginfo_t *info, void *context)
{
	const ucontext_t *interrupted = context;

	(void)signal, (void)info;
	if (step_count < sizeof steps / sizeof *steps)
		steps[step_count++] = (uintptr_t)interrupted->uc_mcontext.gregs[REG_RIP];
}

/* From the function's entry to its return into this program. */
static void print_steps(const char *function, size_t size, uintptr_t entry)
{
	Dl_info self, info;
	unsigned i = 0;

	dladdr(steps, &self);
	while (i < step_count && steps[i] != entry)
		i++;
	for (; i < step_count; i++) {
		if (!dladdr((void *)steps[i], &info))
			info = (Dl_info){.dli_fname = "?"};
		if (info.dli_fbase == self.dli_fbase)
			break;
		const unsigned long offset = steps[i] - (uintptr_t)info.dli_fbase;
		printf("%s %zu %s %lx %lu\n", function, size, info.dli_fname, offset, offset);
	}
}

static void *(*volatile malloc_under_test)(size_t) = malloc;
static void (*volatile free_under_test)(void *) = free;

static void trace_pair(size_t size)
{
	void *warm[8];

	for (unsigned i = 0; i < 8; i++)
		warm[i] = malloc_under_test(size);
	for (unsigned i = 0; i < 4; i++)
		free_under_test(warm[i]);

	step_count = 0;
	__writeeflags(__readeflags() | TRAP_FLAG);
	void *block = malloc_under_test(size);
	__writeeflags(__readeflags() & ~TRAP_FLAG);
	print_steps("malloc", size, (uintptr_t)malloc_under_test);

	step_count = 0;
	__writeeflags(__readeflags() | TRAP_FLAG);
	free_under_test(block);
	__writeeflags(__readeflags() & ~TRAP_FLAG);
	print_steps("free", size, (uintptr_t)free_under_test);

	for (unsigned i = 4; i < 8; i++)
		free_under_test(warm[i]);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};

	sigaction(SIGTRAP, &action, NULL);
	for (int i = 1; i < argc; i++)
		trace_pair((size_t)atol(argv[i]));
	return 0;
}
#endif
