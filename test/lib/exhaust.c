/* SPDX-License-Identifier: MIT */
/* Takes all there is, gives it back, takes it again. */
#define _GNU_SOURCE 1
#include "exhaust.h"

#include "must.h"
#include "opaque.h"
#include "pattern.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

struct link {
	struct link *next;
	unsigned char contents[];
};

size_t exhaust(size_t size, size_t most)
{
	struct link *first = NULL;
	size_t total = 0;

	while (total < most) {
		errno = 0;
		struct link *link = opaque(malloc(size));
		if (!link) {
			must(errno == ENOMEM);
			break;
		}
		link->next = first;
		pattern_fill(link->contents, size - sizeof *link, (uintptr_t)link);
		first = link;
		total += size;
	}
	while (first) {
		struct link *next = first->next;
		must(pattern_holds(first->contents, size - sizeof *first, (uintptr_t)first));
		free(first);
		first = next;
	}
	return total;
}

void exhaust_all_kinds(size_t most)
{
	static const size_t sizes[] = { 100, 5000, 30000, 100000, 700000, 3000000 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		const size_t first = exhaust(sizes[i], most), second = exhaust(sizes[i], most);
		must(first > 0 && second >= first - first / 8);
	}
}
