/* SPDX-License-Identifier: MIT */
#include "choices.h"

#include "must.h"

#include <stdbool.h>
#include <stdint.h>

enum { CHOICES = 256 };

static struct {
	uint8_t made[CHOICES];
	uint8_t of[CHOICES];
	size_t count;
	size_t next;
} choices;

size_t choose(size_t count)
{
	must(count && count <= UINT8_MAX && choices.next < CHOICES);
	if (choices.next == choices.count) {
		choices.made[choices.count] = 0;
		choices.of[choices.count++] = (uint8_t)count;
	}
	must(choices.of[choices.next] == count);
	return choices.made[choices.next++];
}

/* The next sequence in order. False: that was the last. */
static bool choose_otherwise(void)
{
	while (choices.count) {
		if (++choices.made[choices.count - 1] < choices.of[choices.count - 1])
			return true;
		choices.count--;
	}
	return false;
}

size_t choices_all(void (*body)(void))
{
	size_t runs = 0;
	choices.count = 0;
	do {
		choices.next = 0;
		body();
		runs++;
	} while (choose_otherwise());
	return runs;
}
