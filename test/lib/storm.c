/* SPDX-License-Identifier: MIT */
/* Storms, each callable in any state of the process: at the limit, in a thread, in a forked child. */
#define _GNU_SOURCE 1
#include "storm.h"

#include "child.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ENDS = 2048, GROWN_MAX = 32, ALIGNED_LIVE = 512 };

static const size_t STRIDE = 256 << 10;

bool storm_full, storm_whole;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What the environment says wins. */
static void prepend_options(const char *options)
{
	char all[1000];
	const char *more = getenv("VMALLOC_CONF");

	must(snprintf(all, sizeof all, "%s,%s", options, more ? more : "") < (int)sizeof all);
	setenv("VMALLOC_CONF", all, 1);
}

int storm_main(int argc, char **argv, const char *name, const TTest *const tests[], const char *options)
{
	double seconds = 0;
	int failed = 0;

	if (options && !getenv("LD_PRELOAD"))
		prepend_options(options);
	suite_preload(argv);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--full") == 0) {
			storm_full = storm_whole = true;
		} else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
			storm_whole = true;
			seconds = atof(argv[++i]);
		} else {
			setenv("VM_TEST_SEED", argv[i], 1);
		}
	}
	child_seconds = storm_whole ? 200 : child_seconds;
	const double end = now() + seconds;
	do
		failed = suite_run(name, tests, storm_full ? 1800 : 120);
	while (failed == 0 && now() < end);
	return failed;
}

void storm_fill(void *memory, size_t size, uint64_t seed)
{
	unsigned char *p = memory;

	if (storm_whole || size <= 2 * ENDS) {
		pattern_fill(p, size, seed);
		return;
	}
	pattern_fill(p, ENDS, seed);
	for (size_t at = STRIDE; at + ENDS < size; at += STRIDE)
		memcpy(p + at, &seed, sizeof seed);
	pattern_fill(p + size - 64, 64, ~seed);
}

static bool storm_holds(const void *memory, size_t size, uint64_t seed)
{
	const unsigned char *p = memory;

	if (storm_whole || size <= 2 * ENDS)
		return pattern_holds(p, size, seed);
	for (size_t at = STRIDE; at + ENDS < size; at += STRIDE)
		if (memcmp(p + at, &seed, sizeof seed) != 0)
			return false;
	return pattern_holds(p, ENDS, seed) && pattern_holds(p + size - 64, 64, ~seed);
}

/* The first refusals of a process are named; the line is made without allocating. */
static void say_refused(const char *what, size_t size)
{
	static atomic_uint said;
	char line[160];

	if (atomic_fetch_add(&said, 1) >= 4)
		return;
	const int length = snprintf(line, sizeof line, "# refused: %s of %zu bytes: %s\n", what, size,
				    errno == ENOMEM ? "ENOMEM" : "no ENOMEM");
	must(write(STDERR_FILENO, line, (size_t)length) == length);
}

static void *zeroed(size_t size)
{
	unsigned char *p = opaque(calloc(1, size));

	for (size_t at = 0; p && at < size; at += size < STRIDE ? 1 : 4096)
		must(p[at] == 0);
	return p;
}

struct block storm_make(struct rng *rng, size_t size)
{
	struct block block = { NULL, size, rng_next(rng) };
	const size_t alignment = (size_t)32 << rng_below(rng, 10);
	const size_t kind = rng_below(rng, 8);

	errno = 0;
	block.memory = kind == 0 ? zeroed(size) :
		       kind == 1 ? opaque(realloc(NULL, size)) :
		       kind == 2 ? opaque(aligned_alloc(alignment, size)) :
				   opaque(malloc(size));
	if (!block.memory) {
		must(errno == ENOMEM);
		say_refused(kind == 0 ? "calloc" : kind == 1 ? "realloc" : kind == 2 ? "aligned_alloc" : "malloc",
			    size);
		return block;
	}
	must((uintptr_t)block.memory % (kind == 2 ? alignment : size < 16 ? 8 : 16) == 0);
	storm_fill(block.memory, size, block.seed);
	return block;
}

void storm_end(struct block *block)
{
	if (!block->memory)
		return;
	must(storm_holds(block->memory, block->size, block->seed));
	free(block->memory);
	block->memory = NULL;
}

static void swap(struct block *a, struct block *b)
{
	const struct block held = *a;

	*a = *b;
	*b = held;
}

unsigned storm_mixed(uint64_t seed, unsigned count, size_t max_size)
{
	struct block *block = opaque(calloc(count, sizeof *block));
	struct rng rng = rng_make(seed);
	unsigned refused = 0;

	if (!block)
		return count;

	for (unsigned i = 0; i < count; i++) {
		block[i] = storm_make(&rng, 16 + rng_size(&rng, max_size - 16));
		refused += !block[i].memory;
		if (i % 3 == 2)
			storm_end(&block[rng_below(&rng, i)]);
	}
	for (unsigned i = 0; i < count; i++) {
		swap(&block[i], &block[i + rng_below(&rng, count - i)]);
		storm_end(&block[i]);
	}
	free(block);
	return refused;
}

/* Returns false where refused; the block is then as it was. */
static bool grow(struct block *block, size_t size)
{
	errno = 0;
	unsigned char *p = opaque(realloc(block->memory, size));
	if (!p) {
		must(errno == ENOMEM);
		say_refused("realloc", size);
		must(storm_holds(block->memory, block->size, block->seed));
		return false;
	}
	block->memory = p;
	must(storm_holds(p, block->size, block->seed));
	block->size = size;
	storm_fill(p, size, block->seed);
	return true;
}

unsigned storm_grow(uint64_t seed, unsigned blocks)
{
	struct block block[GROWN_MAX];
	struct rng rng = rng_make(seed);
	unsigned refused = 0;

	must(blocks <= GROWN_MAX);
	for (unsigned i = 0; i < blocks; i++) {
		block[i] = storm_make(&rng, 50000);
		refused += !block[i].memory;
	}
	for (size_t size = 50000; size < 30000000; size += size / 2 + rng_below(&rng, 20000))
		for (unsigned i = 0; i < blocks; i++)
			if (block[i].memory)
				refused += !grow(&block[i], size);
	for (unsigned i = 0; i < blocks; i++)
		storm_end(&block[i]);
	return refused;
}

unsigned storm_aligned(uint64_t seed, unsigned count)
{
	struct block block[ALIGNED_LIVE] = { { NULL, 0, 0 } };
	struct rng rng = rng_make(seed);
	unsigned refused = 0;

	for (unsigned i = 0; i < count; i++) {
		struct block *const it = &block[rng_below(&rng, ALIGNED_LIVE)];
		const size_t alignment = (size_t)4096 << rng_below(&rng, 11);
		storm_end(it);
		*it = (struct block){ NULL, 1 + rng_size(&rng, 2 << 20), rng_next(&rng) };
		errno = 0;
		it->memory = opaque(aligned_alloc(alignment, it->size));
		if (it->memory) {
			must((uintptr_t)it->memory % alignment == 0);
			storm_fill(it->memory, it->size, it->seed);
		} else {
			must(errno == ENOMEM);
			say_refused("aligned_alloc", it->size);
			refused++;
		}
	}
	for (unsigned i = 0; i < ALIGNED_LIVE; i++)
		storm_end(&block[i]);
	return refused;
}

static void *thread_body(void *arg)
{
	free(opaque(malloc(100)));
	return arg;
}

/* Stacks too large for libc's cache: each is a new mapping, and goes when the thread ends. */
static void threads_start(void)
{
	enum { THREADS = 8 };
	static const size_t stack_size = 64 << 20;
	pthread_t thread[THREADS];
	pthread_attr_t attr;

	must(pthread_attr_init(&attr) == 0);
	must(pthread_attr_setstacksize(&attr, stack_size) == 0);
	for (int i = 0; i < THREADS; i++)
		must(pthread_create(&thread[i], &attr, thread_body, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		must(pthread_join(thread[i], NULL) == 0);
	must(pthread_attr_destroy(&attr) == 0);
}

void storm_others_work(void)
{
	enum { MAPS = 200, BYTES = 64 << 10 };
	void *map[MAPS];

	threads_start();
	void *library = dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL);
	must(library != NULL);
	must(dlclose(library) == 0);
	for (int i = 0; i < MAPS; i++) {
		map[i] = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		must(map[i] != MAP_FAILED);
	}
	for (int i = 0; i < MAPS; i++)
		must(munmap(map[i], BYTES) == 0);
}

void storm_ordinary_use(double seconds)
{
	const double end = now() + seconds;
	struct rng rng = rng_make(1);
	struct block block[64] = { { NULL, 0, 0 } };

	while (now() < end) {
		for (int i = 0; i < 100; i++) {
			struct block *const it = &block[rng_below(&rng, 64)];
			storm_end(it);
			*it = storm_make(&rng, 16 + rng_size(&rng, 2 << 20));
		}
		usleep(2000);
	}
	for (int i = 0; i < 64; i++)
		storm_end(&block[i]);
}
