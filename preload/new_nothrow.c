/* SPDX-License-Identifier: MIT */
/*
 * new_nothrow.c - the nothrow forms of operator new, for the shared library only.
 *
 * A failure must give NULL even where the program's new-handler throws (ISO C++20 17.6.3.2), and C
 * cannot catch. The C++ library's own nothrow operators can: they call the ordinary operator inside a try
 * block. A failure is theirs, and all of it where the program has an ordinary operator of its own; that is
 * called itself where they are out of sight, as in a plugin's own scope. A static program has only theirs.
 */
#include "new.h"

#include "alloc.h"

#include <dlfcn.h>
#include <malloc.h>

typedef void *nothrow_new(size_t size, const void *nothrow);
typedef void *aligned_nothrow_new(size_t size, size_t alignment, const void *nothrow);

static void *plain(const char *name, size_t size, const void *nothrow, void *ordinary(size_t))
{
	nothrow_new *next = (nothrow_new *)dlsym(RTLD_NEXT, name);
	if (next)
		return next(size, nothrow);
	return ordinary ? ordinary(size) : NULL;
}

static void *aligned(const char *name, size_t size, size_t alignment, const void *nothrow,
		     void *ordinary(size_t, size_t))
{
	aligned_nothrow_new *next = (aligned_nothrow_new *)dlsym(RTLD_NEXT, name);
	if (next)
		return next(size, alignment, nothrow);
	return ordinary ? ordinary(size, alignment) : NULL;
}

EXPORT void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow)
{
	bool own = _Znwm == vm_new;
	void *block = own ? alloc_malloc(size) : NULL;
	return LIKELY(block != NULL)
		       ? block
		       : plain("_ZnwmRKSt9nothrow_t", size, nothrow, own ? NULL : _Znwm);
}

EXPORT void *_ZnamRKSt9nothrow_t(size_t size, const void *nothrow)
{
	bool own = _Znam == vm_new_array && _Znwm == vm_new;
	void *block = own ? alloc_malloc(size) : NULL;
	return LIKELY(block != NULL)
		       ? block
		       : plain("_ZnamRKSt9nothrow_t", size, nothrow, own ? NULL : _Znam);
}

EXPORT void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *nothrow)
{
	bool own = _ZnwmSt11align_val_t == vm_new_aligned;
	void *block = own ? memalign(alignment, size) : NULL;
	return LIKELY(block != NULL) ? block
				     : aligned("_ZnwmSt11align_val_tRKSt9nothrow_t", size, alignment,
					       nothrow, own ? NULL : _ZnwmSt11align_val_t);
}

EXPORT void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *nothrow)
{
	bool own = _ZnamSt11align_val_t == vm_new_aligned_array &&
		   _ZnwmSt11align_val_t == vm_new_aligned;
	void *block = own ? memalign(alignment, size) : NULL;
	return LIKELY(block != NULL) ? block
				     : aligned("_ZnamSt11align_val_tRKSt9nothrow_t", size, alignment,
					       nothrow, own ? NULL : _ZnamSt11align_val_t);
}
