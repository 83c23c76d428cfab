/* SPDX-License-Identifier: MIT */
/*
 * The rows whose instructions are counted (scripts/check-instructions): single-threaded work of malloc,
 * always the same. Prints "ROW OPERATIONS" for each. A row runs twice, and what callgrind counts between
 * row_begin and row_end is the second time, when the first has filled the caches.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_BLOCKS = 100000 };

static void *blocks[MOST_BLOCKS];
static uint64_t random_state;

static size_t below(size_t bound)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)((random_state >> 33) % bound);
}

static void *keep(void *block)
{
	if (!block)
		abort();
	return block;
}

/* Each returns the number of its operations: a block made and freed, or resized. */
static size_t pair(size_t size)
{
	for (int i = 0; i < 1000; i++) {
		void *volatile block = malloc(size);
		free(block);
	}
	return 1000;
}

static size_t pair_calloc(size_t size)
{
	for (int i = 0; i < 1000; i++) {
		void *volatile block = calloc(1, size);
		free(block);
	}
	return 1000;
}

static size_t aligned(size_t size)
{
	for (int i = 0; i < 1000; i++) {
		void *block = NULL;
		if (posix_memalign(&block, size, size))
			abort();
		free(block);
	}
	return 1000;
}

static size_t batch_lifo(size_t count)
{
	for (size_t i = 0; i < count; i++)
		blocks[i] = keep(malloc(64));
	for (size_t i = count; i-- > 0;)
		free(blocks[i]);
	return count;
}

static size_t batch_fifo(size_t count)
{
	for (size_t i = 0; i < count; i++)
		blocks[i] = keep(malloc(64));
	for (size_t i = 0; i < count; i++)
		free(blocks[i]);
	return count;
}

static size_t churn(size_t count)
{
	random_state = 1;
	for (size_t i = 0; i < count; i++)
		blocks[i] = keep(malloc(16 + below(1000)));
	for (size_t i = 0; i < 4 * count; i++) {
		const size_t at = below(count);
		free(blocks[at]);
		blocks[at] = keep(malloc(16 + below(1000)));
	}
	for (size_t i = 0; i < count; i++)
		free(blocks[i]);
	return 5 * count;
}

/* By a half each time, as arrays grow. */
static size_t grow(size_t limit)
{
	size_t operations = 0;

	for (int i = 0; i < 10; i++) {
		void *block = NULL;
		for (size_t size = 16; size <= limit; size += size / 2, operations++)
			block = keep(realloc(block, size));
		free(block);
	}
	return operations;
}

static size_t append(size_t limit)
{
	void *block = NULL;

	for (size_t size = 16; size <= limit; size += 16)
		block = keep(realloc(block, size));
	free(block);
	return limit / 16;
}

static size_t several_large(size_t size)
{
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 8; i++)
			blocks[i] = keep(malloc(size + (size_t)i * 100000));
		for (int i = 0; i < 8; i++)
			free(blocks[i]);
	}
	return 400;
}

static const struct row {
	const char *name;
	size_t (*run)(size_t argument);
	size_t argument;
} rows[] = {
	{"pair/8", pair, 8},
	{"pair/64", pair, 64},
	{"pair/1K", pair, 1024},
	{"pair/32K", pair, 32768},
	{"pair/256K", pair, 262144},
	{"pair/512K", pair, 524288},
	{"pair/2M", pair, 2097152},
	{"calloc/64", pair_calloc, 64},
	{"calloc/4K", pair_calloc, 4096},
	{"aligned/64", aligned, 64},
	{"aligned/64K", aligned, 65536},
	{"batch/1000/lifo", batch_lifo, 1000},
	{"batch/10000/lifo", batch_lifo, 10000},
	{"batch/10000/fifo", batch_fifo, 10000},
	{"batch/100000/fifo", batch_fifo, 100000},
	{"churn/1000", churn, 1000},
	{"churn/50000", churn, 50000},
	{"realloc/grow/1M", grow, 1 << 20},
	{"realloc/append/16K", append, 16 << 10},
	{"large", several_large, 2 << 20},
};

/* Callgrind zeroes its counters when the one begins and dumps them when the other does. */
__attribute__((noinline)) void row_begin(void);
__attribute__((noinline)) void row_end(void);

void row_begin(void)
{
	__asm__ volatile("");
}

void row_end(void)
{
	__asm__ volatile("");
}

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		rows[i].run(rows[i].argument);
		row_begin();
		const size_t operations = rows[i].run(rows[i].argument);
		row_end();
		printf("%s %zu\n", rows[i].name, operations);
	}
	return 0;
}
