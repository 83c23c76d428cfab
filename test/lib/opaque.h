/* SPDX-License-Identifier: MIT */
/* Hides values from the optimiser, which otherwise removes malloc/free pairs and warns of misuse we test. */
#ifndef TEST_OPAQUE_H
#define TEST_OPAQUE_H

#include <stddef.h>

static inline void *opaque(void *p)
{
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static inline size_t opaque_size(size_t n)
{
	__asm__ volatile("" : "+r"(n));
	return n;
}

#endif
