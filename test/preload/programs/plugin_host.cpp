/* SPDX-License-Identifier: MIT */
/* With PLUGIN a library that calls nothrow new; without, a program that opens it where nobody else sees it. */
#include <cstdio>
#include <dlfcn.h>
#include <new>

static void *volatile seen;

#ifdef PLUGIN

extern "C" int run()
{
	seen = ::operator new(100, std::nothrow);
	int missing = !seen;
	::operator delete(seen);
	seen = new (std::nothrow) int[10];
	missing += !seen;
	operator delete[](seen);
	return missing;
}

#else

int main(int, char **argv)
{
	seen = ::operator new(10);
	::operator delete(seen);
	void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	if (!plugin)
		return 2;
	std::printf("%d missing\n", ((int (*)())dlsym(plugin, "run"))());
	return 0;
}

#endif
