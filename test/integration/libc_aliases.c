/* SPDX-License-Identifier: MIT */
/* The C library's internal names for malloc lead to the same allocator, so that no block crosses allocators. */
#define _GNU_SOURCE 1
#include "opaque.h"
#include "pattern.h"
#include "suite.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

static uintptr_t entry(const char *name)
{
	return (uintptr_t)dlsym(RTLD_DEFAULT, name);
}

static const char *object_of(uintptr_t address)
{
	Dl_info info;

	ck_assert_int_ne(dladdr((void *)address, &info), 0);
	return info.dli_fname;
}

START_TEST(every_name_of_the_family_is_in_the_same_object)
{
	static const char *const names[] = {
		"malloc", "free", "calloc", "realloc", "reallocarray", "memalign", "posix_memalign", "aligned_alloc",
		"valloc", "pvalloc", "malloc_usable_size", "malloc_trim", "malloc_stats", "malloc_info", "mallopt",
		"mallinfo", "mallinfo2", "__libc_malloc", "__libc_free", "__libc_calloc", "__libc_realloc",
		"__libc_memalign", "__libc_valloc", "__libc_pvalloc", "cfree", "free_sized", "free_aligned_sized",
		"__posix_memalign", "vm_malloc", "vm_free", "vm_calloc", "vm_realloc", "vm_aligned_alloc",
		"vm_free_sized", "vm_malloc_usable_size", "vm_malloc_trim", "vm_stats",
		"_Znwm", "_Znam", "_ZdlPv", "_ZdaPv", "_ZnwmSt11align_val_t", "_ZdlPvmSt11align_val_t",
	};
	const char *home = object_of(entry("malloc"));

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		ck_assert_msg(entry(names[i]) != 0, "%s is missing", names[i]);
		ck_assert_msg(object_of(entry(names[i])) == home, "%s is in %s", names[i],
			      object_of(entry(names[i])));
	}
}
END_TEST

static void *block_of_kind(size_t kind, size_t size)
{
	void *block = NULL;

	switch (kind) {
	case 0:
		return malloc(size);
	case 1:
		return ((void *(*)(size_t))entry("__libc_malloc"))(size);
	case 2:
		return ((void *(*)(size_t, size_t))entry("__libc_calloc"))(size, 1);
	case 3:
		return ((void *(*)(void *, size_t))entry("__libc_realloc"))(NULL, size);
	case 4:
		return ((void *(*)(size_t, size_t))entry("__libc_memalign"))(64, size);
	case 5:
		return ((void *(*)(size_t))entry("__libc_valloc"))(size);
	case 6:
		ck_assert_int_eq(((int (*)(void **, size_t, size_t))entry("__posix_memalign"))(&block, 64, size), 0);
		return block;
	default:
		return ((void *(*)(size_t))entry("__libc_pvalloc"))(size);
	}
}

START_TEST(blocks_cross_freely_between_the_names)
{
	void (*const libc_free)(void *) = (void (*)(void *))entry("__libc_free");
	void *(*const libc_realloc)(void *, size_t) = (void *(*)(void *, size_t))entry("__libc_realloc");

	for (size_t size = 1; size < 4000000; size = size * 3 + 1)
		for (size_t kind = 0; kind < 8; kind++) {
			void *p = opaque(block_of_kind(kind, size));
			void *q = opaque(block_of_kind(kind, size));
			pattern_fill(p, size, kind);
			pattern_fill(q, size, kind + 100);
			p = opaque(realloc(p, size * 2));
			q = opaque(libc_realloc(q, size * 2));
			ck_assert(pattern_holds(p, size, kind) && pattern_holds(q, size, kind + 100));
			ck_assert_uint_ge(malloc_usable_size(p), size * 2);
			libc_free(p);
			free(q);
		}
}
END_TEST

int main(int argc __attribute__((unused)), char **argv)
{
	const TTest *const tests[] = {
		every_name_of_the_family_is_in_the_same_object,
		blocks_cross_freely_between_the_names,
		NULL,
	};
	return suite_main(argv, "libc_aliases", tests, 20);
}
