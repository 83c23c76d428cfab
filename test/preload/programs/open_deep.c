// SPDX-License-Identifier: MIT
// Blocks cross to a library opened with RTLD_DEEPBIND, and back. With DEEP it
// is that library, without it the program. The library opens one more by its
// bare name, which only the library's own RUNPATH finds.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef DEEP
char *deep_exchange(char *text)
{
	char *answer = malloc(strlen(text) + 20);
	sprintf(answer, "%s and back", text);
	free(text);
	if (!dlopen("libfar.so", RTLD_NOW | RTLD_DEEPBIND))
		printf("%s\n", dlerror());
	return answer;
}
#else
int main(int argc, char **argv)
{
	void *deep = dlopen(argv[argc - 1], RTLD_NOW | RTLD_DEEPBIND);
	if (!deep)
		return puts(dlerror());
	char *(*exchange)(char *) = (char *(*)(char *))dlsym(deep, "deep_exchange");
	for (int size = 16; size < 1 << 22; size *= 2) {
		char *text = malloc(size);
		memset(text, 'x', size);
		text[size - 1] = 0;
		text = exchange(text);
		if (strlen(text) != (size_t)size - 1 + strlen(" and back"))
			return 1;
		text = realloc(text, size * 2);
		free(text);
	}
	puts("there and back");
	return 0;
}
#endif
