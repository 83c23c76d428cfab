/* SPDX-License-Identifier: MIT */
/*
 * new.c - the C++ operators new and delete (ISO C++20 17.6.3) in C, by their mangled names of the
 * Itanium ABI, so that no C++ library is linked: what is needed of it is referred to weakly and is
 * there in every program that can call these. The nothrow forms of new are in new_nothrow.c.
 */
#include "alloc.h"

#include <malloc.h>

typedef void new_handler(void);

extern new_handler *get_new_handler(void) __asm__("_ZSt15get_new_handlerv") __attribute__((weak));
extern NORETURN void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv")
	__attribute__((weak));

/* What a failed new does before each further try: the program's handler, or the exception. */
static NOINLINE COLD void handle_failure(void)
{
	new_handler *handler = get_new_handler ? get_new_handler() : NULL;
	if (handler)
		handler();
	else if (throw_bad_alloc)
		throw_bad_alloc();
	else
		__builtin_trap(); /* no C++ library, so no one who could catch */
}

static NOINLINE COLD void *new_again(size_t size)
{
	void *block;
	do {
		handle_failure();
	} while (!(block = alloc_malloc(size)));
	return block;
}

EXPORT void *_Znwm(size_t size)
{
	void *block = alloc_malloc(size);
	return LIKELY(block != NULL) ? block : new_again(size);
}

/* By memalign's public name: valgrind replaces that, but not this operator. */
EXPORT void *_ZnwmSt11align_val_t(size_t size, size_t alignment)
{
	void *block;
	while (!(block = memalign(alignment, size)))
		handle_failure();
	return block;
}

EXPORT void _ZdlPv(void *block)
{
	alloc_free(block);
}

#define ALIAS(name) EXPORT __attribute__((alias(#name)))

ALIAS(_Znwm) void *_Znam(size_t size);
ALIAS(_ZnwmSt11align_val_t) void *_ZnamSt11align_val_t(size_t size, size_t alignment);

/* Array, nothrow, sized and aligned delete: their further arguments tell nothing that is needed, and
 * may be left over in the calling conventions of all our targets. */
ALIAS(_ZdlPv) void _ZdaPv(void *block);
ALIAS(_ZdlPv) void _ZdlPvRKSt9nothrow_t(void *block);
ALIAS(_ZdlPv) void _ZdaPvRKSt9nothrow_t(void *block);
ALIAS(_ZdlPv) void _ZdlPvm(void *block);
ALIAS(_ZdlPv) void _ZdaPvm(void *block);
ALIAS(_ZdlPv) void _ZdlPvSt11align_val_t(void *block);
ALIAS(_ZdlPv) void _ZdaPvSt11align_val_t(void *block);
ALIAS(_ZdlPv) void _ZdlPvmSt11align_val_t(void *block);
ALIAS(_ZdlPv) void _ZdaPvmSt11align_val_t(void *block);
ALIAS(_ZdlPv) void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *block);
ALIAS(_ZdlPv) void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *block);
