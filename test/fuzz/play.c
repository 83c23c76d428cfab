/* SPDX-License-Identifier: MIT */
/*
 * Plays programs without a fuzzer: files, or random ones in rounds, each round a process of its own
 * so that its seed alone repeats it.
 *
 *	PROGRAM                         the corpus, then a second of rounds, as in `make check`
 *	PROGRAM --calls N | --seconds N rounds until so many calls are made, or for so long
 *	PROGRAM seed=N                  one round
 *	PROGRAM FILE...                 these programs
 *
 * Before any of them, --trace: each call is written to stderr first. VM_TEST_SEED is that of the
 * first round.
 */
#define _GNU_SOURCE 1
#include "child.h"
#include "heap.h"
#include "must.h"
#include "program.h"
#include "random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Enough to fill the allocator's caches and lists many times over, and a second to repeat. */
enum { ROUND_CALLS = 250000, ROUND_SECONDS = 300 };

static uint8_t bytes[1 << 20];

static uint64_t play_file(int folder, const char *name)
{
	const int file = openat(folder, name, O_RDONLY | O_CLOEXEC);

	must(file >= 0);
	const ssize_t length = read(file, bytes, sizeof bytes);
	must(length >= 0);
	close(file);
	return program_play(bytes, (size_t)length);
}

static void play_corpus(void)
{
	const char *source = getenv("srcdir");
	char path[4096];
	uint64_t calls = 0;

	snprintf(path, sizeof path, "%s/test/fuzz/corpus", source ? source : ".");
	DIR *folder = opendir(path);
	must(folder != NULL);
	for (struct dirent *entry; (entry = readdir(folder));)
		if (entry->d_name[0] != '.')
			calls += play_file(dirfd(folder), entry->d_name);
	closedir(folder);
	printf("corpus: %llu calls\n", (unsigned long long)calls);
}

static void play_round(uint64_t seed)
{
	struct rng rng = rng_make(seed);
	uint64_t calls = 0;

	alarm(ROUND_SECONDS);
	while (calls < ROUND_CALLS)
		calls += program_play(bytes, random_program(&rng, bytes));
	printf("%llu\n", (unsigned long long)calls);
}

/* Of the real kernel; over the fake one, each program sets some of its own. */
static const char *conf_of(uint64_t seed)
{
	static const char *const confs[] = {
		"",
		"decay_ms:0",
		"thread_cache_bytes:0,cache_bytes:0",
		"mmap_threshold:64K,dirty_bytes:1M",
		"mmap_threshold:1G,decay_ms:20",
		"shards:4,decay_ms:20",
		"dirty_bytes:0,trim_break:false",
		"map_share:1,map_reserve:65000,mmap_threshold:64K",
	};

	return confs[seed % (sizeof confs / sizeof *confs)];
}

static void set_conf(void *seed)
{
	setenv("VMALLOC_CONF", conf_of(*(uint64_t *)seed), 1);
}

/* Returns the calls made. */
static uint64_t run_round(uint64_t seed)
{
	static struct child child;
	char argument[32];

	snprintf(argument, sizeof argument, "seed=%llu", (unsigned long long)seed);
	child_exec_self(&child, argument, set_conf, &seed);
	if (child_exited(&child, 0))
		return strtoull(child.out, NULL, 10);
	fprintf(stderr, "%sstatus %#x; to repeat: VMALLOC_CONF=%s %s %s\n", child.err, child.status,
		conf_of(seed), program_invocation_name, argument);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run_rounds(double calls_most, double seconds)
{
	const uint64_t first = rng_process_seed();
	const double end = now() + seconds;
	uint64_t rounds = 0, calls = 0;

	while ((double)calls < calls_most && now() < end)
		calls += run_round(first + rounds++);
	printf("seeds %llu to %llu: %llu calls in %llu rounds, no rule broken\n",
	       (unsigned long long)first, (unsigned long long)(first + rounds - 1),
	       (unsigned long long)calls, (unsigned long long)rounds);
}

int main(int argc, char **argv)
{
	int i = 1;

	heap_prepare(argv);
	program_trace = argc > i && strcmp(argv[i], "--trace") == 0;
	i += program_trace;
	if (i == argc) {
		play_corpus();
		run_rounds(HUGE_VAL, 1);
	} else if (i + 1 < argc && strcmp(argv[i], "--calls") == 0) {
		run_rounds(atof(argv[i + 1]), HUGE_VAL);
	} else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0) {
		run_rounds(HUGE_VAL, atof(argv[i + 1]));
	} else if (strncmp(argv[i], "seed=", 5) == 0) {
		play_round(strtoull(argv[i] + 5, NULL, 0));
	} else {
		for (; i < argc; i++)
			play_file(AT_FDCWD, argv[i]);
	}
	return 0;
}
