/* SPDX-License-Identifier: MIT */
/*
 * new.c - the C++ operators new and delete (ISO C++20 17.6.3) in C, by their mangled names of the
 * Itanium ABI, so that no C++ library is linked: what is needed of it is referred to weakly and is
 * there in every program that can call these. The nothrow forms of new are in new_nothrow.c.
 */
#include "new.h"

#include "alloc.h"

#include <malloc.h>
#include <stdlib.h>

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

/*
 * A program may replace any of them with its own, and the others then are to call that one (ISO C++20
 * 17.6.3): each form but the plain ones calls the next plainer one by its public name, through the dynamic
 * linker. (firefox has its own new and delete, but no sized delete; libraries that it loads use that.)
 */
OPERATOR void _ZdlPv(void *block);
OPERATOR void _ZdaPv(void *block);
OPERATOR void _ZdlPvSt11align_val_t(void *block, size_t alignment);
OPERATOR void _ZdaPvSt11align_val_t(void *block, size_t alignment);

OPERATOR void *_Znwm(size_t size)
{
	void *block = alloc_malloc(size);
	return LIKELY(block != NULL) ? block : new_again(size);
}

OPERATOR void *_Znam(size_t size)
{
	return _Znwm(size);
}

/* By memalign's public name: valgrind replaces that, but not this operator. */
OPERATOR void *_ZnwmSt11align_val_t(size_t size, size_t alignment)
{
	void *block;
	while (!(block = memalign(alignment, size)))
		handle_failure();
	return block;
}

OPERATOR void *_ZnamSt11align_val_t(size_t size, size_t alignment)
{
	return _ZnwmSt11align_val_t(size, alignment);
}

#define ALIAS(name) __attribute__((alias(#name)))

ALIAS(_Znwm) void *vm_new(size_t size);
ALIAS(_Znam) void *vm_new_array(size_t size);
ALIAS(_ZnwmSt11align_val_t) void *vm_new_aligned(size_t size, size_t alignment);
ALIAS(_ZnamSt11align_val_t) void *vm_new_aligned_array(size_t size, size_t alignment);

OPERATOR void _ZdlPv(void *block)
{
	alloc_free(block);
}

OPERATOR void _ZdaPv(void *block)
{
	_ZdlPv(block);
}

/* The other end of memalign. */
OPERATOR void _ZdlPvSt11align_val_t(void *block, size_t alignment)
{
	(void)alignment;
	free(block);
}

OPERATOR void _ZdaPvSt11align_val_t(void *block, size_t alignment)
{
	_ZdlPvSt11align_val_t(block, alignment);
}

/* The sizes cannot tell the class: realloc leaves a shrunk block in its class. */
OPERATOR void _ZdlPvm(void *block, size_t size)
{
	(void)size;
	_ZdlPv(block);
}

OPERATOR void _ZdaPvm(void *block, size_t size)
{
	(void)size;
	_ZdaPv(block);
}

OPERATOR void _ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment)
{
	(void)size;
	_ZdlPvSt11align_val_t(block, alignment);
}

OPERATOR void _ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment)
{
	(void)size;
	_ZdaPvSt11align_val_t(block, alignment);
}

OPERATOR void _ZdlPvRKSt9nothrow_t(void *block, const void *nothrow)
{
	(void)nothrow;
	_ZdlPv(block);
}

OPERATOR void _ZdaPvRKSt9nothrow_t(void *block, const void *nothrow)
{
	(void)nothrow;
	_ZdaPv(block);
}

OPERATOR void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, const void *nothrow)
{
	(void)nothrow;
	_ZdlPvSt11align_val_t(block, alignment);
}

OPERATOR void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, const void *nothrow)
{
	(void)nothrow;
	_ZdaPvSt11align_val_t(block, alignment);
}
