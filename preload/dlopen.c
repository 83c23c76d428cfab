/* SPDX-License-Identifier: MIT */
/*
 * dlopen.c - dlopen without RTLD_DEEPBIND, for the shared library only.
 *
 * That flag makes the opened library find the C library's malloc before ours (dlopen(3)), and its
 * blocks meet our free, or ours its free: PHP opens its extensions so.
 */
#include "base/base.h"

#include <dlfcn.h>

#ifndef RTLD_DEEPBIND /* musl has none */
#define RTLD_DEEPBIND 0
#endif

typedef void *open_function(const char *file, int mode);

/* A tail call: dlopen looks at its return address to know whose search path counts. */
EXPORT void *dlopen(const char *file, int mode)
{
	open_function *next = (open_function *)dlsym(RTLD_NEXT, "dlopen");
	return next(file, mode & ~RTLD_DEEPBIND);
}
