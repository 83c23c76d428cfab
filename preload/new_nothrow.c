/* SPDX-License-Identifier: MIT */
/*
 * new_nothrow.c - the nothrow forms of operator new, for the shared library only.
 *
 * A failure must give NULL even where the program's new-handler throws (ISO C++20 17.6.3.2), and C
 * cannot catch. The C++ library's own nothrow operators can: they call the ordinary operator, which
 * is ours, inside a try block. A failure is theirs; a static program has only theirs.
 */
#include "alloc.h"

#include <dlfcn.h>

typedef void *plain_new(size_t size, const void *nothrow);
typedef void *aligned_new(size_t size, size_t alignment, const void *nothrow);

EXPORT void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow)
{
	void *block = alloc_malloc(size);
	if (LIKELY(block != NULL))
		return block;
	plain_new *next = (plain_new *)dlsym(RTLD_NEXT, "_ZnwmRKSt9nothrow_t");
	return next ? next(size, nothrow) : NULL;
}

EXPORT void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *nothrow)
{
	void *block = vm_alloc_aligned(alignment, size);
	if (LIKELY(block != NULL))
		return block;
	aligned_new *next =
		(aligned_new *)dlsym(RTLD_NEXT, "_ZnwmSt11align_val_tRKSt9nothrow_t");
	return next ? next(size, alignment, nothrow) : NULL;
}

EXPORT __attribute__((alias("_ZnwmRKSt9nothrow_t"))) void *
_ZnamRKSt9nothrow_t(size_t size, const void *nothrow);
EXPORT __attribute__((alias("_ZnwmSt11align_val_tRKSt9nothrow_t"))) void *
_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *nothrow);
