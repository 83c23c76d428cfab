/* SPDX-License-Identifier: MIT */
/*
 * replay [-u] TRACE: does what a recorded program asked of malloc, with as many threads, and prints
 * "METRIC VALUE" lines: time (processor time, s), rss (the peak above what the replay itself holds, KiB), live
 * (the greatest sum of requests, KiB), overhead (their ratio); with -u, which costs time, also internal
 * (usable bytes / requested bytes) and external (rss / usable) at the peak.
 *
 * A thread plays its own events in order. It waits for a block that it frees to be made by another
 * thread, and no thread is further ahead of the last one than `slack` events. Each page of a block is
 * written once, except in large blocks of calloc.
 */
#include "proc.h"
#include "trace.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct event {
	uint32_t when;  /* among all threads' */
	uint32_t block; /* that is made or freed */
	uint32_t old;   /* block that realloc takes */
	uint32_t size;
	uint8_t op, alignment_log2;
};

struct player {
	struct event *events;
	uint32_t count, filled;
	uint32_t first;
	uint32_t position; /* when of the next event; UINT32_MAX at the end. Read by all. */
	pthread_t thread;
	bool started;
} __attribute__((aligned(64)));

enum { MOST_THREADS = 4096 };
static const uint32_t slack = 20000;

static struct player players[MOST_THREADS];
static unsigned player_count;
static uint32_t started_before; /* events of threads that do not run yet are from here on */
static void **blocks;
static uint32_t *sizes;
static uint32_t block_count, event_count;
static uint64_t live_peak_bytes;
static bool count_usable;
static uint64_t usable_bytes, requested_bytes, usable_peak, requested_at_peak;

static void fail(const char *what)
{
	fprintf(stderr, "replay: %s\n", what);
	exit(1);
}

static void *map_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED)
		fail("no memory");
	return memory;
}

/* A reader of its own: what a map of the file holds would count as RSS. */
struct reader {
	int fd;
	size_t at, end;
	unsigned char buffer[1 << 16];
};

/* The next byte; at the end of the file, TRACE_END. */
static unsigned get_byte(struct reader *reader)
{
	if (reader->at == reader->end) {
		const ssize_t n = read(reader->fd, reader->buffer, sizeof reader->buffer);
		if (n <= 0)
			return TRACE_END;
		reader->at = 0;
		reader->end = (size_t)n;
	}
	return reader->buffer[reader->at++];
}

static uint64_t get(struct reader *reader)
{
	uint64_t number = 0;
	unsigned shift = 0, byte;

	do {
		byte = get_byte(reader);
		number |= (uint64_t)(byte & 127) << shift;
		shift += 7;
	} while (byte & 128 && shift < 64);
	return number;
}

static uint32_t get_size(struct reader *reader)
{
	const uint64_t size = get(reader);
	return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

/* Windows of the recorder end with zeros, of which there are few but in the last. */
static unsigned get_op(struct reader *reader)
{
	for (unsigned zeros = 0; zeros < 1024; zeros++) {
		const unsigned op = get_byte(reader);
		if (op >= TRACE_OPS)
			fail("not a trace");
		if (op != TRACE_END)
			return op;
	}
	return TRACE_END;
}

/* Once to count, and then to fill the players' events. */
static void read_trace(const char *path, bool fill)
{
	static struct reader reader;
	struct player *player = players;
	uint64_t live_bytes = 0;
	unsigned op;

	reader = (struct reader){.fd = open(path, O_RDONLY | O_CLOEXEC)};
	if (reader.fd < 0)
		fail("no such trace");
	block_count = event_count = 0;
	player_count = player_count ? player_count : 1;
	while ((op = get_op(&reader)) != TRACE_END) {
		struct event event = {.op = (uint8_t)op, .when = event_count};

		if (op == TRACE_THREAD) {
			const uint64_t thread = get(&reader);
			if (thread >= MOST_THREADS)
				fail("too many threads");
			if (thread >= player_count)
				player_count = (unsigned)thread + 1;
			player = &players[thread];
			continue;
		}
		if (op == TRACE_FREE || op == TRACE_REALLOC) {
			event.old = event.block = block_count - (uint32_t)get(&reader);
			if (event.block >= block_count)
				fail("a block before the first");
			if (fill)
				live_bytes -= sizes[event.block];
		}
		if (op != TRACE_FREE) {
			event.size = get_size(&reader);
			event.block = block_count++;
			if (op == TRACE_ALIGNED)
				event.alignment_log2 = (uint8_t)get(&reader);
			if (fill) {
				sizes[event.block] = event.size;
				live_bytes += event.size;
				if (live_bytes > live_peak_bytes)
					live_peak_bytes = live_bytes;
			}
		}
		if (fill) {
			if (player->filled == 0)
				player->first = player->position = event.when;
			player->events[player->filled++] = event;
		} else {
			player->count++;
		}
		event_count++;
	}
	close(reader.fd);
}

static void load(const char *path)
{
	read_trace(path, false);
	for (unsigned i = 0; i < player_count; i++)
		players[i].events = map_memory(players[i].count * sizeof(struct event));
	blocks = map_memory(block_count * sizeof *blocks);
	sizes = map_memory(block_count * sizeof *sizes);
	read_trace(path, true);
}

static void rest(void)
{
	static const struct timespec pause = {0, 50 * 1000};
	nanosleep(&pause, NULL);
}

static uint32_t slowest(void)
{
	uint32_t least = __atomic_load_n(&started_before, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < player_count; i++) {
		const uint32_t position = __atomic_load_n(&players[i].position, __ATOMIC_ACQUIRE);
		if (__atomic_load_n(&players[i].started, __ATOMIC_ACQUIRE) && position < least)
			least = position;
	}
	return least;
}

static void *take(uint32_t block)
{
	void *memory;

	while (!(memory = __atomic_load_n(&blocks[block], __ATOMIC_ACQUIRE)))
		rest();
	return memory;
}

/* The sums are of single-threaded traces exact, of others nearly. */
static void account(void *memory, uint32_t size, bool made)
{
	const size_t usable = malloc_usable_size(memory);

	if (!made) {
		usable_bytes -= usable;
		requested_bytes -= size;
		return;
	}
	usable_bytes += usable;
	requested_bytes += size;
	if (usable_bytes > usable_peak) {
		usable_peak = usable_bytes;
		requested_at_peak = requested_bytes;
	}
}

static void *make(const struct event *event)
{
	void *memory = NULL;

	switch (event->op) {
	case TRACE_MALLOC:
		memory = malloc(event->size);
		break;
	case TRACE_CALLOC:
		memory = calloc(1, event->size);
		break;
	case TRACE_REALLOC:
		memory = realloc(take(event->old), event->size);
		break;
	case TRACE_ALIGNED:
		if (posix_memalign(&memory, (size_t)1 << (event->alignment_log2 < 3 ? 3 : event->alignment_log2),
				   event->size))
			memory = NULL;
		break;
	}
	if (!memory)
		fail("no memory");
	return memory;
}

static void play(const struct event *event)
{
	if (event->op == TRACE_FREE) {
		void *memory = take(event->block);
		if (count_usable)
			account(memory, sizes[event->block], false);
		free(memory);
		return;
	}
	if (count_usable && event->op == TRACE_REALLOC)
		account(take(event->old), sizes[event->old], false);
	char *memory = make(event);
	const size_t old_bytes = event->op == TRACE_REALLOC ? sizes[event->old] : 0;
	if (event->op != TRACE_CALLOC || event->size <= 4096)
		for (size_t at = (old_bytes + 4095) & ~(size_t)4095; at < event->size; at += 4096)
			*(volatile char *)(memory + at) = 1;
	if (count_usable)
		account(memory, event->size, true);
	__atomic_store_n(&blocks[event->block], memory, __ATOMIC_RELEASE);
}

static void *play_all(void *argument)
{
	struct player *player = argument;
	uint32_t limit = slack;

	for (uint32_t i = 0; i < player->count; i++) {
		const struct event *event = &player->events[i];
		__atomic_store_n(&player->position, event->when, __ATOMIC_RELEASE);
		if (player_count > 1 && event->when > limit)
			while (event->when > (limit = slowest() + slack))
				rest();
		play(event);
	}
	__atomic_store_n(&player->position, UINT32_MAX, __ATOMIC_RELEASE);
	return NULL;
}

static int by_start(const void *a, const void *b)
{
	const struct player *const *left = a, *const *right = b;
	return (*left)->first < (*right)->first ? -1 : (*left)->first > (*right)->first;
}

/* Threads start when the others are about where the recorded one started. */
static void play_threads(void)
{
	static struct player *order[MOST_THREADS];
	unsigned count = 0;

	for (unsigned i = 0; i < player_count; i++)
		if (players[i].count > 0)
			order[count++] = &players[i];
	qsort(order, count, sizeof *order, by_start);
	for (unsigned i = 0; i < count; i++) {
		__atomic_store_n(&started_before, order[i]->first, __ATOMIC_RELEASE);
		while (i > 0 && slowest() < order[i]->first)
			rest();
		__atomic_store_n(&order[i]->started, true, __ATOMIC_RELEASE);
		if (i + 1 == count)
			__atomic_store_n(&started_before, UINT32_MAX - slack, __ATOMIC_RELEASE);
		if (pthread_create(&order[i]->thread, NULL, play_all, order[i]))
			fail("no thread");
	}
	for (unsigned i = 0; i < count; i++)
		pthread_join(order[i]->thread, NULL);
}

static double processor_time(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* From here on, the peak is what is held from here on. */
static void reset_peak(void)
{
	const int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "5", 1) != 1)
		fail("no /proc/self/clear_refs");
	close(fd);
}

int main(int argc, char **argv)
{
	const char *path = argv[argc - 1];

	if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[1], "-u")))
		fail("usage: replay [-u] TRACE");
	count_usable = argc == 3;
	load(path);
	reset_peak();
	const size_t before = proc_rss_bytes();
	const double start = processor_time();
	if (player_count == 1)
		play_all(&players[0]);
	else
		play_threads();
	const double time = processor_time() - start;
	const size_t peak = proc_status_bytes("VmHWM:") - before;

	printf("time %.6f\nrss %zu\nlive %llu\noverhead %.4f\nevents %u\n", time, peak / 1024,
	       (unsigned long long)live_peak_bytes / 1024, (double)peak / (double)live_peak_bytes, event_count);
	if (count_usable)
		printf("internal %.4f\nexternal %.4f\n", (double)usable_peak / (double)requested_at_peak,
		       (double)peak / (double)usable_peak);
	return 0;
}
