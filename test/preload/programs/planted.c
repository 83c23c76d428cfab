// SPDX-License-Identifier: MIT
// planted FAULT: heap work with one fault planted, or none, for memcheck.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *volatile block;

static void work(void)
{
	static char *held[2000];
	size_t sum = 0;
	for (int i = 0; i < 20000; i++) {
		int at = i * 7919 % 2000;
		free(held[at]);
		size_t size = 1 + (size_t)i * 31 % 3000;
		held[at] = i % 3 ? malloc(size) : calloc(size, 1);
		if (i % 3)
			memset(held[at], 'x', size);
		if (i % 7 == 0)
			held[at] = realloc(held[at], size * 2);
		sum += (unsigned char)held[at][size - 1];
	}
	for (int i = 0; i < 2000; i++)
		free(held[i]);
	void *aligned;
	if (posix_memalign(&aligned, 4096, 10000))
		exit(1);
	free(aligned);
	char *large = calloc(1 << 22, 1);
	sum += (unsigned char)large[1 << 21];
	free(large);
	printf("sum %zu\n", sum);
}

int main(int argc, char **argv)
{
	const char *fault = argc > 1 ? argv[1] : "none";
	work();
	block = malloc(40);
	memset(block, 0, 40);
	if (!strcmp(fault, "overflow"))
		block[40] = 1;
	if (!strcmp(fault, "leak"))
		block = malloc(77);
	free(block);
	if (!strcmp(fault, "use"))
		printf("%d\n", block[3]);
	block = NULL;
	return 0;
}
