/* SPDX-License-Identifier: MIT */
/* A user's program in C++, for scripts/check-install: it calls nothing of the library but operators. */
#include <cstdint>
#include <cstdio>
#include <new>
#include <vmalloc.h>

#pragma weak vm_stats

int main()
{
	const volatile std::size_t too_much = PTRDIFF_MAX - 4096;
	bool caught = false;

	try {
		char *volatile kept = new char[too_much]; /* volatile, else the pair may be left out */
		delete[] kept;
	} catch (const std::bad_alloc &) {
		caught = true;
	}
	const bool works = caught && vm_stats;
	std::puts(works ? "works" : "fails");
	return !works;
}
