/* SPDX-License-Identifier: MIT */
/* A second user of the break. */
#define _GNU_SOURCE 1
#include "foreign.h"

#include "blocks.h"
#include "must.h"
#include "pattern.h"

#include <unistd.h>

enum { GROWN_MAX = 20000 };

static struct block grown[GROWN_MAX];
static size_t grown_count;

bool foreign_grow(struct foreign *foreign, size_t size)
{
	unsigned char *memory = sbrk((intptr_t)size);

	if (memory == (void *)-1)
		return false;
	must(foreign->count < FOREIGN_MAX);
	pattern_fill(memory, size, (uintptr_t)memory);
	foreign->part[foreign->count].memory = memory;
	foreign->part[foreign->count].size = size;
	foreign->count++;
	return true;
}

void foreign_shrink(struct foreign *foreign)
{
	must(foreign->count > 0);
	must(sbrk(-(intptr_t)foreign->part[--foreign->count].size) != (void *)-1);
}

void foreign_check(const struct foreign *foreign)
{
	for (size_t i = 0; i < foreign->count; i++)
		must(pattern_holds(foreign->part[i].memory, foreign->part[i].size,
				   (uintptr_t)foreign->part[i].memory));
}

bool grow_until_break_moves(void)
{
	static const size_t sizes[] = { 20000, 100000, 300, 5000, 60000 };
	static struct rng rng;
	const void *start = sbrk(0);
	size_t total = 0;

	while (sbrk(0) == start && total < 8 << 20) {
		const size_t size = sizes[grown_count % (sizeof sizes / sizeof *sizes)];
		must(grown_count < GROWN_MAX);
		grown[grown_count] = block_make(&rng, size);
		must(grown[grown_count++].memory != NULL);
		total += size;
	}
	return sbrk(0) != start;
}

void grown_check(void)
{
	for (size_t i = 0; i < grown_count; i++)
		block_check(&grown[i]);
}

void grown_free(void)
{
	while (grown_count > 0)
		block_end(&grown[--grown_count]);
}
