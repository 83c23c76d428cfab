/* SPDX-License-Identifier: MIT */
/*
 * maplimit STORM: one storm on vm.max_map_count under whatever malloc the process has, and one line
 * with its result. Prints without stdio, which would allocate.
 */
#define _GNU_SOURCE 1
#include "maps.h"
#include "must.h"
#include "opaque.h"
#include "pattern.h"
#include "proc.h"
#include "rng.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MIXED = 10000, LIVE = 2000, STAMP = 64, BOARD = 160000, BOARD_BYTES = 140000, LARGE = 140000 };

static const size_t MIB = 1 << 20;
static unsigned char *block[BOARD];
static size_t size_of[BOARD];

static void say(const char *format, ...)
{
	char line[200];
	va_list args;

	va_start(args, format);
	const int length = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	must(write(STDOUT_FILENO, line, (size_t)length) == length);
}

static void stamp(size_t i)
{
	pattern_fill(block[i], size_of[i] < STAMP ? size_of[i] : STAMP, i);
}

static void end(size_t i)
{
	if (!block[i])
		return;
	must(pattern_holds(block[i], size_of[i] < STAMP ? size_of[i] : STAMP, i));
	free(block[i]);
	block[i] = NULL;
}

/* `count` allocations of 16 B to 8 MiB, LIVE of them at once. */
static unsigned mixed(unsigned count)
{
	struct rng rng = rng_make(1);
	unsigned failed = 0;

	for (unsigned n = 0; n < count; n++) {
		const size_t i = rng_below(&rng, LIVE);
		end(i);
		size_of[i] = 16 + rng_size(&rng, 8 * MIB - 16);
		block[i] = opaque(malloc(size_of[i]));
		if (block[i])
			stamp(i);
		else
			failed++;
	}
	for (size_t i = 0; i < LIVE; i++)
		end(i);
	return failed;
}

static void storm_mixed(void)
{
	maps_fill_all();
	say("%u\n", mixed(MIXED));
}

/* 32 blocks of 50 KB that are there before; each grows by half until it has 30 MB. */
static void storm_realloc(void)
{
	unsigned failed = 0, calls = 0;

	for (size_t i = 0; i < 32; i++) {
		size_of[i] = 50000;
		must((block[i] = opaque(malloc(size_of[i]))) != NULL);
		stamp(i);
	}
	maps_fill_all();
	for (size_t size = 75000; size < 30000000; size += size / 2)
		for (size_t i = 0; i < 32; i++) {
			unsigned char *p = opaque(realloc(block[i], size));
			calls++;
			failed += !p;
			block[i] = p ? p : block[i];
			must(pattern_holds(block[i], STAMP, i));
		}
	say("%u of %u\n", failed, calls);
}

/* What each allocator offers to give memory back at once. */
static void trim(void)
{
	int (*const mallctl)(const char *, void *, size_t *, void *, size_t) =
		(int (*)(const char *, void *, size_t *, void *, size_t))(uintptr_t)dlsym(RTLD_DEFAULT, "mallctl");
	void (*const collect)(bool) = (void (*)(bool))(uintptr_t)dlsym(RTLD_DEFAULT, "mi_collect");
	void (*const release)(void) =
		(void (*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "MallocExtension_ReleaseFreeMemory");
	int (*const standard)(size_t) = (int (*)(size_t))(uintptr_t)dlsym(RTLD_DEFAULT, "malloc_trim");

	if (mallctl)
		mallctl("arena.4096.purge", NULL, NULL, NULL, 0); /* MALLCTL_ARENAS_ALL */
	else if (collect)
		collect(true);
	else if (release)
		release();
	else if (standard)
		standard(0);
}

static void ordinary_use(void)
{
	for (int i = 0; i < 1000; i++) {
		for (int j = 0; j < 20; j++) {
			void *p = opaque(malloc((size_t)100 << rng_below(&(struct rng){ (uint64_t)(i * 20 + j) }, 11)));
			if (p)
				memset(p, 1, 100);
			free(p);
		}
		usleep(2000);
	}
}

static size_t percent(size_t peak, size_t now, size_t freed)
{
	return now < peak ? 100 * (peak - now) / freed : 0;
}

/* Half of 3 GiB, every second block, is freed: by 512 KiB. */
static void storm_give_back(void)
{
	enum { COUNT = 6144 };
	const size_t bytes = 512 << 10, freed = COUNT / 2 * bytes;

	for (size_t i = 0; i < COUNT; i++) {
		must((block[i] = opaque(malloc(bytes))) != NULL);
		memset(block[i], 1, bytes);
	}
	dlsym(RTLD_DEFAULT, "mallctl"); /* what dlsym itself allocates */
	maps_fill_all();
	const size_t peak = proc_rss_bytes();
	for (size_t i = 0; i < COUNT; i += 2)
		free(block[i]);
	ordinary_use();
	const size_t used = proc_rss_bytes();
	trim();
	say("%zu %%, asked %zu %%\n", percent(peak, used, freed), percent(peak, proc_rss_bytes(), freed));
}

static void storm_fork(void)
{
	int status;

	mixed(100);
	maps_fill_all();
	const pid_t pid = fork();
	must(pid >= 0);
	if (pid == 0) {
		say("%u\n", mixed(1000));
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status))
		raise(WTERMSIG(status));
	must(status == 0);
}

static void make(size_t count, size_t bytes)
{
	for (size_t i = 0; i < count; i++) {
		block[i] = opaque(malloc(bytes));
		if (block[i])
			block[i][0] = 1;
	}
}

static void free_every_second(size_t count)
{
	for (size_t i = 0; i < count; i += 2)
		free(block[i]);
}

static void *body(void *arg)
{
	return arg;
}

/* 140,000 blocks of 1 MiB and a bit, every second freed: what is left for the rest of the program. */
static void storm_others(void)
{
	unsigned threads = 0, maps = 0;
	pthread_t thread[16];

	make(LARGE, MIB + 5000);
	free_every_second(LARGE);
	trim();
	for (int i = 0; i < 16; i++) {
		if (pthread_create(&thread[i - (int)threads], NULL, body, NULL) != 0)
			threads++;
	}
	for (int i = 0; i < 16 - (int)threads; i++)
		pthread_join(thread[i], NULL);
	const bool library = dlopen("libresolv.so.2", RTLD_NOW) != NULL;
	for (int i = 0; i < 100; i++)
		maps += mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
	say("%u of 16, %u of 1, %u of 100\n", threads, !library, maps);
}

static void storm_board(void)
{
	const unsigned before = maps_count();
	unsigned failed = 0;

	make(BOARD, BOARD_BYTES);
	const unsigned whole = maps_count() - before;
	for (size_t i = 0; i < BOARD; i++)
		failed += !block[i];
	free_every_second(BOARD);
	trim();
	const unsigned most = maps_count() - before > whole ? maps_count() - before : whole;
	if (failed)
		say("%u, %u failed\n", most, failed);
	else
		say("%u\n", most);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} storms[] = {
		{ "mixed", storm_mixed },   { "realloc", storm_realloc }, { "give_back", storm_give_back },
		{ "fork", storm_fork }, { "others", storm_others },   { "board", storm_board },
	};

	alarm(120);
	for (size_t i = 0; argc == 2 && i < sizeof storms / sizeof *storms; i++)
		if (strcmp(argv[1], storms[i].name) == 0) {
			storms[i].run();
			_exit(0);
		}
	return 2;
}
