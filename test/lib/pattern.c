/* SPDX-License-Identifier: MIT */
/* The contents at offset o are a function of the seed and o alone: word by word, the tail cut from its word. */
#include "pattern.h"

#include <string.h>

static uint64_t word_at(uint64_t seed, size_t index)
{
	return (seed + index) * 0x9E3779B97F4A7C15u | 1;
}

void pattern_fill(void *memory, size_t bytes, uint64_t seed)
{
	unsigned char *p = memory;
	const size_t words = bytes / 8;

	for (size_t i = 0; i < words; i++) {
		const uint64_t word = word_at(seed, i);
		memcpy(p + i * 8, &word, 8);
	}
	const uint64_t tail = word_at(seed, words);
	memcpy(p + words * 8, &tail, bytes % 8);
}

bool pattern_holds(const void *memory, size_t bytes, uint64_t seed)
{
	const unsigned char *p = memory;
	const size_t words = bytes / 8;
	uint64_t found;

	for (size_t i = 0; i < words; i++) {
		memcpy(&found, p + i * 8, 8);
		if (found != word_at(seed, i))
			return false;
	}
	const uint64_t tail = word_at(seed, words);
	return memcmp(p + words * 8, &tail, bytes % 8) == 0;
}

bool pattern_is_zero(const void *memory, size_t bytes)
{
	const unsigned char *p = memory;

	return bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0);
}
