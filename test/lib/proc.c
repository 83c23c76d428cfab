/* SPDX-License-Identifier: MIT */
/* Reads /proc/self with plain system calls. */
#define _GNU_SOURCE 1
#include "proc.h"

#include "must.h"
#include "opaque.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t field_bytes(const char *path, const char *field)
{
	char text[8192];
	size_t length = 0;
	ssize_t n;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	must(fd >= 0);
	while ((n = read(fd, text + length, sizeof text - 1 - length)) > 0)
		length += (size_t)n;
	close(fd);
	text[length] = '\0';
	const char *found = strstr(text, field);
	must(found != NULL);
	return strtoull(found + strlen(field), NULL, 10) * 1024;
}

size_t proc_rss_bytes(void)
{
	return field_bytes("/proc/self/smaps_rollup", "Rss:");
}

size_t proc_status_bytes(const char *field)
{
	return field_bytes("/proc/self/status", field);
}

unsigned proc_maps_count(void)
{
	char text[4096];
	unsigned lines = 0;
	ssize_t n;
	const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	must(fd >= 0);
	while ((n = read(fd, text, sizeof text)) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines += text[i] == '\n';
	close(fd);
	return lines;
}

void proc_grow_up(void)
{
	usleep(20000);
	free(opaque(malloc(2 << 20)));
}

size_t proc_resident_bytes(const void *memory, size_t bytes)
{
	enum { BATCH = 256 };
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const uintptr_t end = ((uintptr_t)memory + bytes + page - 1) & ~(page - 1);
	unsigned char present[BATCH];
	size_t resident = 0;

	for (uintptr_t at = (uintptr_t)memory & ~(page - 1); at < end; at += BATCH * page) {
		const size_t pages = (end - at) / page < BATCH ? (end - at) / page : BATCH;
		must(mincore((void *)at, pages * page, present) == 0);
		for (size_t i = 0; i < pages; i++)
			resident += (present[i] & 1u) * page;
	}
	return resident;
}
