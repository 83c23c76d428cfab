/* SPDX-License-Identifier: MIT */
/*
 * The kernel of the machine. Only the clock by which the allocator lets memory decay is ours, so
 * that a program always runs in the same way.
 */
#define _GNU_SOURCE 1
#include "kernel.h"

#include "must.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FOREIGN_MAPS = 16, PAGE = 4096 };

static atomic_uint_fast64_t now_ms = 1000;
static struct {
	void *memory;
	size_t bytes;
} foreign[FOREIGN_MAPS];
static char *raised_to;
static size_t raised_bytes;

/* The C library's, in the allocator's eyes: CLOCK_MONOTONIC_COARSE is asked by nobody else. */
int clock_gettime(clockid_t clock, struct timespec *time)
{
	const uint64_t ms = atomic_load_explicit(&now_ms, memory_order_relaxed);

	if (clock != CLOCK_MONOTONIC_COARSE)
		return (int)syscall(SYS_clock_gettime, clock, time);
	*time = (struct timespec){ (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
	return 0;
}

void kernel_begin(const uint8_t settings[KERNEL_SETTINGS])
{
	(void)settings;
}

static void lower_break(void)
{
	if (raised_bytes && sbrk(0) == raised_to)
		must(sbrk(-(intptr_t)raised_bytes) == raised_to);
	raised_bytes = 0;
}

static void raise_break(size_t bytes)
{
	char *const old = sbrk((intptr_t)bytes);

	must(old != (void *)-1);
	raised_to = old + bytes;
	raised_bytes = bytes;
}

static void exchange_map(unsigned index, size_t bytes)
{
	if (foreign[index].memory) {
		must(munmap(foreign[index].memory, foreign[index].bytes) == 0);
		foreign[index].memory = NULL;
		return;
	}
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(p != MAP_FAILED);
	foreign[index].memory = p;
	foreign[index].bytes = bytes;
}

void kernel_end(void)
{
	lower_break();
	for (unsigned i = 0; i < FOREIGN_MAPS; i++)
		if (foreign[i].memory)
			exchange_map(i, 0);
}

void kernel_pass_time(unsigned ms)
{
	atomic_fetch_add_explicit(&now_ms, ms, memory_order_relaxed);
}

/* sbrk is for one thread at a time, and so are the records here. */
void kernel_disturb(unsigned kind, unsigned amount, bool alone)
{
	if (!alone)
		return;
	switch (kind % 4) {
	case 0:
		lower_break();
		raise_break(8 + amount * 512);
		break;
	case 1:
		lower_break();
		break;
	default:
		exchange_map(amount % FOREIGN_MAPS, (size_t)(1 + amount) * PAGE);
	}
}

bool kernel_may_fork(bool alone)
{
	(void)alone;
	return true;
}

void kernel_forked(void)
{
}

uint64_t kernel_refusals(void)
{
	return 0;
}

void kernel_touched(const void *memory, size_t bytes)
{
	(void)memory;
	(void)bytes;
}
