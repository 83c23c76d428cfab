/* SPDX-License-Identifier: MIT */
/*
 * The recorder, to be preloaded: writes what a program asks of the C library's malloc to
 * BENCH_TRACE.PID (trace.h has the format), the first BENCH_TRACE_EVENTS events (8 million).
 *
 * - One lock orders the events of all threads; a block's free is written before it happens and its
 *   allocation after, so that no block is made in the trace while another lives at its address.
 * - The file is written through a shared map, which _exit and signals do not lose.
 * - A forked child is not recorded; what it executes is, in a file of its own.
 */
#include "trace.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's own names of what is replaced here. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

enum { WINDOW_BYTES = 1 << 20, LONGEST_EVENT = 32 };

/* Which block lives at an address: a hash table with linear probing, half full at most. */
struct entry {
	uintptr_t address; /* 0: none */
	uint64_t number;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool recording;
static char path[4096];
static off_t window_offset;
static unsigned char *window, *next;
static uint64_t block_count, events_left;
static unsigned thread_count, last_thread;
static __thread unsigned own_thread __attribute__((tls_model("initial-exec")));
static size_t (*libc_usable_size)(void *block);
static struct entry *table;
static size_t table_size, table_used;

static void *map_table(size_t entries)
{
	void *memory = mmap(NULL, entries * sizeof(struct entry), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

static size_t slot_of(uintptr_t address)
{
	return (size_t)((address >> 3) * 0x9E3779B97F4A7C15u >> 20) & (table_size - 1);
}

static struct entry *find(uintptr_t address)
{
	size_t slot = slot_of(address);

	while (table[slot].address && table[slot].address != address)
		slot = (slot + 1) & (table_size - 1);
	return &table[slot];
}

static bool grow_table(void)
{
	struct entry *const old = table;
	const size_t old_size = table_size;
	struct entry *const larger = map_table(2 * old_size);

	if (!larger)
		return false;
	table = larger;
	table_size = 2 * old_size;
	for (size_t i = 0; i < old_size; i++)
		if (old[i].address)
			*find(old[i].address) = old[i];
	munmap(old, old_size * sizeof *old);
	return true;
}

/* Whoever probed past the freed slot has to be found without it. */
static void erase(struct entry *entry)
{
	size_t hole = (size_t)(entry - table), slot = hole;

	table_used--;
	for (;;) {
		slot = (slot + 1) & (table_size - 1);
		if (!table[slot].address)
			break;
		const size_t home = slot_of(table[slot].address);
		if (((slot - home) & (table_size - 1)) >= ((slot - hole) & (table_size - 1))) {
			table[hole] = table[slot];
			hole = slot;
		}
	}
	table[hole].address = 0;
}

/* By name each time: programs close files that they did not open. */
static bool open_window(int flags)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0666);

	if (fd < 0)
		return false;
	const bool grown = ftruncate(fd, window_offset + WINDOW_BYTES) == 0;
	void *memory = !grown ? MAP_FAILED :
		mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, window_offset);
	close(fd);
	if (memory == MAP_FAILED)
		return false;
	window = next = memory;
	return true;
}

static void put(uint64_t number)
{
	for (; number >= 128; number >>= 7)
		*next++ = (unsigned char)(number | 128);
	*next++ = (unsigned char)number;
}

/* The lock is held. An event that does not fit ends its window with TRACE_END's zeros. */
static bool begin(enum trace_op op)
{
	if (!recording || events_left == 0)
		return recording = false;
	events_left--;
	if (window + WINDOW_BYTES - next < LONGEST_EVENT) {
		munmap(window, WINDOW_BYTES);
		window_offset += WINDOW_BYTES;
		if (!open_window(0))
			return recording = false;
	}
	if (!own_thread)
		own_thread = ++thread_count;
	if (own_thread != last_thread) {
		*next++ = TRACE_THREAD;
		put(own_thread - 1);
		last_thread = own_thread;
	}
	*next++ = (unsigned char)op;
	return true;
}

static void insert(void *block, uint64_t number)
{
	if (2 * table_used >= table_size && !grow_table()) {
		recording = false;
		return;
	}
	struct entry *entry = find((uintptr_t)block);
	table_used += !entry->address;
	*entry = (struct entry){(uintptr_t)block, number};
}

static void *made(enum trace_op op, void *block, size_t size, size_t alignment)
{
	const int saved = errno;

	if (!block || !recording)
		return block;
	pthread_mutex_lock(&lock);
	if (begin(op)) {
		put(size);
		if (op == TRACE_ALIGNED)
			put((uint64_t)__builtin_ctzl(alignment));
		insert(block, block_count++);
	}
	pthread_mutex_unlock(&lock);
	errno = saved;
	return block;
}

void *malloc(size_t size)
{
	return made(TRACE_MALLOC, __libc_malloc(size), size, 0);
}

void *calloc(size_t count, size_t size)
{
	return made(TRACE_CALLOC, __libc_calloc(count, size), count * size, 0);
}

void *memalign(size_t alignment, size_t size)
{
	return made(TRACE_ALIGNED, __libc_memalign(alignment, size), size, alignment);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
	if (alignment < sizeof(void *) || (alignment & (alignment - 1)))
		return EINVAL;
	void *made_block = memalign(alignment, size);
	if (!made_block)
		return ENOMEM;
	*block = made_block;
	return 0;
}

void *valloc(size_t size)
{
	return memalign((size_t)sysconf(_SC_PAGESIZE), size);
}

void free(void *block)
{
	if (block && recording) {
		const int saved = errno;
		pthread_mutex_lock(&lock);
		struct entry *entry = recording ? find((uintptr_t)block) : NULL;
		if (entry && entry->address && begin(TRACE_FREE)) {
			put(block_count - entry->number);
			erase(entry);
		}
		pthread_mutex_unlock(&lock);
		errno = saved;
	}
	__libc_free(block);
}

void *realloc(void *block, size_t size)
{
	uint64_t number = 0;
	bool known = false;

	if (!block)
		return malloc(size);
	if (size == 0) {
		free(block);
		return NULL;
	}
	/* From here on the address may be another thread's. */
	pthread_mutex_lock(&lock);
	if (recording) {
		struct entry *entry = find((uintptr_t)block);
		known = entry->address;
		number = entry->number;
		if (known)
			erase(entry);
	}
	pthread_mutex_unlock(&lock);
	void *resized = __libc_realloc(block, size);
	if (!known)
		return made(TRACE_MALLOC, resized, size, 0);

	const int saved = errno;
	pthread_mutex_lock(&lock);
	if (!resized) {
		insert(block, number);
	} else if (begin(TRACE_REALLOC)) {
		put(block_count - number);
		put(size);
		insert(resized, block_count++);
	}
	pthread_mutex_unlock(&lock);
	errno = saved;
	return resized;
}

void *reallocarray(void *block, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(block, bytes);
}

/* A program may be linked with an allocator whose answer would be about blocks that are not its own. */
size_t malloc_usable_size(void *block)
{
	return libc_usable_size ? libc_usable_size(block) : 0;
}

static void hold(void)
{
	pthread_mutex_lock(&lock);
}

static void release(void)
{
	pthread_mutex_unlock(&lock);
}

static void stop_in_child(void)
{
	recording = false;
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void start(void)
{
	const char *name = getenv("BENCH_TRACE"), *events = getenv("BENCH_TRACE_EVENTS");
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	bool opened = false;

	if (libc)
		libc_usable_size = (size_t (*)(void *))dlsym(libc, "malloc_usable_size");
	if (!name)
		return;
	pthread_atfork(hold, release, stop_in_child);
	table_size = 1 << 16;
	table = map_table(table_size);
	/* A process that executes another program keeps its number. */
	for (int i = 0; i < 100 && !opened; i++) {
		snprintf(path, sizeof path, "%s.%d.%d", name, (int)getpid(), i);
		opened = open_window(O_CREAT | O_EXCL);
	}
	events_left = events ? strtoull(events, NULL, 10) : 8000000;
	recording = table && opened;
}
