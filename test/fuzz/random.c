/* SPDX-License-Identifier: MIT */
/* A program's taste is drawn first, its calls by that taste. */
#include "random.h"

enum { FAVOURITES = 4 };

struct taste {
	unsigned size_codes; /* sizes are below this code */
	unsigned slots;
	uint32_t calls; /* those made; the bits of the others are 0 */
	uint8_t favourite[FAVOURITES];
};

static unsigned one_of(struct rng *rng, const unsigned *values, size_t count)
{
	return values[rng_below(rng, count)];
}
#define ONE_OF(rng, ...)                                                                           \
	one_of(rng, (const unsigned[]){ __VA_ARGS__ },                                             \
	       sizeof((const unsigned[]){ __VA_ARGS__ }) / sizeof(unsigned))

static struct taste draw_taste(struct rng *rng)
{
	struct taste taste = {
		.size_codes = ONE_OF(rng, 40, 90, 130, 180, 200, 216, 256),
		.slots = ONE_OF(rng, 8, 64, 512, 2048),
		/* A quarter of the calls is left out, so that each is sometimes. */
		.calls = (uint32_t)(rng_next(rng) | rng_next(rng)),
	};

	for (unsigned i = 0; i < FAVOURITES; i++)
		taste.favourite[i] = (uint8_t)rng_below(rng, taste.size_codes);
	return taste;
}

static void draw_call(struct rng *rng, const struct taste *taste, uint8_t byte[PROGRAM_WORD])
{
	const size_t slot = rng_below(rng, taste->slots);
	const uint64_t bits = rng_next(rng);
	unsigned call = bits % PROGRAM_CALLS;

	while (!(taste->calls >> call & 1))
		call = (call + 1) % PROGRAM_CALLS;
	byte[0] = (uint8_t)(slot >> 8 << 5 | call);
	byte[1] = (uint8_t)slot;
	byte[2] = bits >> 8 & 1 ? taste->favourite[bits >> 9 & (FAVOURITES - 1)]
				: (uint8_t)rng_below(rng, taste->size_codes);
	/* Small numbers are more frequent: that of many calls is one of them. */
	byte[3] = (uint8_t)(bits >> 16 >> (bits >> 11 & 7) & 255 >> (bits >> 11 & 7));
}

size_t random_program(struct rng *rng, uint8_t bytes[RANDOM_BYTES])
{
	const struct taste taste = draw_taste(rng);
	const size_t words = RANDOM_WORDS / 10 + rng_below(rng, RANDOM_WORDS - RANDOM_WORDS / 10);

	for (size_t i = 0; i < words; i++)
		draw_call(rng, &taste, bytes + (1 + i) * PROGRAM_WORD);
	bytes[0] = (uint8_t)ONE_OF(rng, 0, 0, 0, 1, 2, 3, 5, 7, 7);
	for (unsigned i = 1; i < PROGRAM_WORD; i++)
		bytes[i] = (uint8_t)(rng_below(rng, 2) ? 0 : rng_next(rng));
	return (1 + words) * PROGRAM_WORD;
}
