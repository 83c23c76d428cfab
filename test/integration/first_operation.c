/* SPDX-License-Identifier: MIT */
/* Every API function as the first one of a process and as the first one of a thread. */
#define _GNU_SOURCE 1
#include "child.h"
#include "must.h"
#include "opaque.h"
#include "suite.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Made by the main thread, for the operations that take a block; NULL as a process' first. */
static void *given;

static void kept(void *p)
{
	must(p != NULL);
	free(p);
}

static void first_malloc(void) { kept(opaque(malloc(100))); }
static void first_malloc_medium(void) { kept(opaque(malloc(100000))); }
static void first_malloc_large(void) { kept(opaque(malloc(10000000))); }
static void first_malloc_zero(void) { kept(opaque(malloc(opaque_size(0)))); }
static void first_malloc_refused(void) { must(!opaque(malloc(opaque_size(SIZE_MAX)))); }
static void first_calloc(void) { kept(opaque(calloc(10, 10))); }
static void first_realloc(void) { kept(opaque(realloc(given, 1000))); }
static void first_realloc_zero(void) { void *p = realloc(given, opaque_size(0)); free(opaque(p)); }
static void first_reallocarray(void) { kept(opaque(reallocarray(given, 100, 10))); }
static void first_memalign(void) { kept(opaque(memalign(4096, 10))); }
static void first_aligned_alloc(void) { kept(opaque(aligned_alloc(1 << 20, 10))); }
static void first_valloc(void) { kept(opaque(valloc(10))); }
static void first_pvalloc(void) { kept(opaque(pvalloc(10))); }
static void first_free(void) { free(given); }
static void first_usable_size(void) { must((malloc_usable_size(given) > 0) == (given != NULL)); free(given); }
static void first_trim(void) { must(malloc_trim(0) >= 0); free(given); }
static void first_mallinfo2(void) { must(mallinfo2().uordblks < (size_t)1 << 40); free(given); }
static void first_stats(void) { malloc_stats(); free(given); }
static void first_mallopt(void) { must(mallopt(M_ARENA_MAX, 1) >= 0); free(given); }

static void first_posix_memalign(void)
{
	void *p = NULL;

	must(posix_memalign(&p, 64, 100) == 0);
	kept(p);
}

static void first_malloc_info(void)
{
	must(malloc_info(0, stderr) == 0);
	free(given);
}

static void call_vm(const char *name)
{
	void *(*const allocate)(size_t) = (void *(*)(size_t))(uintptr_t)dlsym(RTLD_DEFAULT, name);

	must(allocate != NULL || !suite_tests_the_library());
	if (allocate)
		kept(opaque(allocate(100)));
}

static void first_vm_malloc(void) { call_vm("vm_malloc"); }

static const struct operation {
	const char *name;
	void (*run)(void);
} operations[] = {
	{ "malloc", first_malloc },
	{ "malloc_medium", first_malloc_medium },
	{ "malloc_large", first_malloc_large },
	{ "malloc_zero", first_malloc_zero },
	{ "malloc_refused", first_malloc_refused },
	{ "calloc", first_calloc },
	{ "realloc", first_realloc },
	{ "realloc_zero", first_realloc_zero },
	{ "reallocarray", first_reallocarray },
	{ "memalign", first_memalign },
	{ "aligned_alloc", first_aligned_alloc },
	{ "posix_memalign", first_posix_memalign },
	{ "valloc", first_valloc },
	{ "pvalloc", first_pvalloc },
	{ "free", first_free },
	{ "malloc_usable_size", first_usable_size },
	{ "malloc_trim", first_trim },
	{ "mallinfo2", first_mallinfo2 },
	{ "malloc_stats", first_stats },
	{ "malloc_info", first_malloc_info },
	{ "mallopt", first_mallopt },
	{ "vm_malloc", first_vm_malloc },
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

static void run_named(const char *name)
{
	for (size_t i = 0; i < OPERATIONS; i++)
		if (strcmp(operations[i].name, name) == 0)
			operations[i].run();
	first_malloc();
}

START_TEST(every_function_works_as_the_first_of_a_process)
{
	static struct child child;

	for (size_t i = 0; i < OPERATIONS; i++) {
		child_exec_self(&child, operations[i].name, NULL, NULL);
		ck_assert_msg(child_exited(&child, 0), "%s: %s", operations[i].name, child.err);
	}
}
END_TEST

static void *run_in_thread(void *operation)
{
	((const struct operation *)operation)->run();
	first_malloc();
	return NULL;
}

static void run_in_new_thread(void *operation)
{
	static const size_t sizes[] = { 100, 40000, 5000000 };
	pthread_t thread;

	for (size_t i = 0; i < 3; i++) {
		given = opaque(malloc(sizes[i]));
		must(pthread_create(&thread, NULL, run_in_thread, operation) == 0);
		must(pthread_join(thread, NULL) == 0);
	}
}

START_TEST(every_function_works_as_the_first_of_a_thread)
{
	static struct child child;

	for (size_t i = 0; i < OPERATIONS; i++) {
		child_run(&child, run_in_new_thread, (void *)(uintptr_t)&operations[i]);
		ck_assert_msg(child_exited(&child, 0), "%s: %s", operations[i].name, child.err);
	}
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		every_function_works_as_the_first_of_a_process,
		every_function_works_as_the_first_of_a_thread,
		NULL,
	};
	if (argc == 2) {
		run_named(argv[1]);
		return 0;
	}
	return suite_main(argv, "first_operation", tests, 20);
}
