/* SPDX-License-Identifier: MIT */
#include "os/hugecost.h"

#include "os/os.h"

#include <stdatomic.h>

/*
 * What took so long was not ready: 0.3 to 0.7 ms is usual, 1 ms in hours in which memory is slow, 5 ms where the host
 * has to give it. And so many times as long nothing is asked for. (node's requests after 4 s in which 60 MB lay free:
 * 0.13 s instead of 0.18 to 0.49, JSON documents of 160 MB 0.78 of the time; a virtual machine with free page
 * reporting, November 2026.)
 */
#define LONG_US 2000
enum { PAUSE = 32 };

/* A refusal counts as one that took so long at least: in a heap that grows there would be one for each 2 MiB. */
#define REFUSED_US 1000

/* So many of a map are looked at, one after the other, for the first may come from what was free just now. They are
 * there at once then, used or not. (Of a map of 100 MB after 4 s of quiet the first came quickly 18 times in 18, while
 * the others took 70 to 130 ms instead of 33.) */
enum { LOOKED_AT = 8 };

static _Atomic uint64_t not_before_ms;

bool vm_hugecost_pauses(void)
{
	return os_noted_ms() < atomic_load_explicit(&not_before_ms, memory_order_relaxed);
}

/* Of two threads that do this at once one may count. */
static void pause_for(uint64_t took_us)
{
	uint64_t until_ms = os_noted_ms() + PAUSE * took_us / 1000;
	if (until_ms > atomic_load_explicit(&not_before_ms, memory_order_relaxed))
		atomic_store_explicit(&not_before_ms, until_ms, memory_order_relaxed);
}

bool vm_hugecost_make(void *page)
{
	os_note_time();
	if (vm_hugecost_pauses())
		return false;
	uint64_t from_us = vm_os_cpu_us();
	bool made = vm_os_make_huge(page);
	uint64_t took_us = vm_os_cpu_us() - from_us;
	if (!made)
		pause_for(max_size(took_us, REFUSED_US));
	else if (took_us >= LONG_US)
		pause_for(took_us);
	return made;
}

/* How long it took to write to a place for the first time. */
static uint64_t touch_us(uintptr_t place)
{
	uint64_t from_us = vm_os_cpu_us();
	*(volatile char *)place = 0;
	return vm_os_cpu_us() - from_us;
}

bool vm_hugecost_advise(void *map, size_t bytes)
{
	if (!vm_os_advise_huge(map, bytes))
		return false;
	const size_t huge = vm_os.huge_bytes;
	uintptr_t page = align_up((uintptr_t)map, huge);
	uintptr_t end = align_down((uintptr_t)map + bytes, huge);
	end = min_size(end, page + LOOKED_AT * huge);
	uint64_t took_us = 0;
	for (; page < end && took_us < LONG_US; page += huge)
		took_us = touch_us(page);
	if (took_us >= LONG_US) {
		vm_os_advise_small(map, bytes);
		pause_for(took_us);
	}
	return true;
}
