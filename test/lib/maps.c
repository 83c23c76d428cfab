/* SPDX-License-Identifier: MIT */
/*
 * Chunks of pages, every second one readable: each page is a mapping. The last few are single shared
 * pages, which never merge. Each chunk ends readable and begins without access, so neighbours do not merge.
 */
#define _GNU_SOURCE 1
#include "maps.h"

#include "must.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, CHUNK_PAGES = 512, CHUNKS_MAX = 8192, SINGLES_MAX = 4096, NEAR = 16 };

static unsigned char *chunk[CHUNKS_MAX];
static void *single[SINGLES_MAX];
static size_t chunks, singles;

unsigned maps_limit(void)
{
	static unsigned limit;
	char text[32] = "";
	const int fd = limit ? -1 : open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);

	if (!limit) {
		must(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
		close(fd);
		limit = (unsigned)strtoul(text, NULL, 10);
	}
	return limit;
}

unsigned maps_count(void)
{
	static const char vsyscall[] = "[vsyscall]\n";
	char text[65536];
	size_t matched = 0;
	unsigned lines = 0, uncounted = 0;
	ssize_t n;
	const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	must(fd >= 0);
	while ((n = read(fd, text, sizeof text)) > 0)
		for (ssize_t i = 0; i < n; i++) {
			lines += text[i] == '\n';
			matched = text[i] == vsyscall[matched] ? matched + 1 : text[i] == '[';
			uncounted += matched == sizeof vsyscall - 1;
			matched %= sizeof vsyscall - 1;
		}
	close(fd);
	return lines - uncounted;
}

/* A line is "START-END ..."; what follows the addresses is passed over. */
void maps_visit(void (*visit)(uintptr_t start, uintptr_t end, void *arg), void *arg)
{
	enum { FIRST, SECOND, REST } part = FIRST;
	uintptr_t number = 0, start = 0;
	char text[65536];
	ssize_t n;
	const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	must(fd >= 0);
	while ((n = read(fd, text, sizeof text)) > 0)
		for (ssize_t i = 0; i < n; i++) {
			const char c = text[i];
			if (c == '\n') {
				part = FIRST;
				number = 0;
			} else if (part == FIRST && c == '-') {
				part = SECOND;
				start = number;
				number = 0;
			} else if (part == SECOND && c == ' ') {
				part = REST;
				visit(start, number, arg);
			} else if (part != REST) {
				number = number << 4 | (uintptr_t)(c <= '9' ? c - '0' : c - 'a' + 10);
			}
		}
	close(fd);
}

static bool add_single(void)
{
	if (singles == SINGLES_MAX)
		return false;
	void *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return false;
	single[singles++] = page;
	return true;
}

/* CHUNK_PAGES more mappings, or fewer where the kernel refuses: then false. */
static bool add_chunk(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

	if (chunks == CHUNKS_MAX)
		return false;
	unsigned char *memory = mmap(NULL, CHUNK_PAGES * PAGE, PROT_NONE, flags, -1, 0);
	if (memory == MAP_FAILED)
		return false;
	chunk[chunks++] = memory;
	for (size_t i = 1; i < CHUNK_PAGES; i += 2)
		if (mprotect(memory + i * PAGE, PAGE, PROT_READ) != 0)
			return false;
	return true;
}

unsigned maps_fill(unsigned target)
{
	unsigned count = maps_count();

	while (count + CHUNK_PAGES + NEAR <= target) {
		const unsigned whole = (target - count - NEAR) / CHUNK_PAGES;
		for (unsigned i = 0; i < whole; i++)
			if (!add_chunk())
				return maps_count();
		count = maps_count();
	}
	while (count < target && add_single())
		count++;
	return count;
}

unsigned maps_fill_all(void)
{
	maps_fill(maps_limit() - NEAR);
	while (add_single())
		;
	return maps_count();
}

void maps_drop(unsigned count)
{
	for (; singles > 0 && count > 0; count--)
		must(munmap(single[--singles], PAGE) == 0);
	for (; chunks > 0 && count > 0; count -= count < CHUNK_PAGES ? count : CHUNK_PAGES)
		must(munmap(chunk[--chunks], CHUNK_PAGES * PAGE) == 0);
}

void maps_drop_all(void)
{
	maps_drop(~0u);
	must(singles == 0 && chunks == 0);
}
