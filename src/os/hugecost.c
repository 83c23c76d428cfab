/* SPDX-License-Identifier: MIT */
#include "os/hugecost.h"

#include "os/os.h"

#include <stdatomic.h>

/*
 * What took so long was not ready: 0.3 to 0.7 ms is usual, 1 ms in hours in which memory is slow, 5 ms where the host
 * has to give it. And so many times as long nothing is asked for: a 32nd of the time goes there at most. (node's
 * requests after 4 s in which 60 MB lay free: 0.13 s instead of 0.18 to 0.49, JSON documents of 160 MB 0.78 of the
 * time; a virtual machine with free page reporting, November 2026.)
 */
#define LONG_US 2000
enum { PAUSE = 32 };

static _Atomic uint64_t not_before_ms;

bool vm_hugecost_pauses(void)
{
	return os_noted_ms() < atomic_load_explicit(&not_before_ms, memory_order_relaxed);
}

static void pause_for(uint64_t took_us)
{
	atomic_store_explicit(&not_before_ms, os_noted_ms() + PAUSE * took_us / 1000, memory_order_relaxed);
}

bool vm_hugecost_make(void *page)
{
	if (vm_hugecost_pauses())
		return false;
	uint64_t from_us = vm_os_cpu_us();
	bool made = vm_os_make_huge(page);
	uint64_t took_us = vm_os_cpu_us() - from_us;
	if (!made || took_us >= LONG_US)
		pause_for(took_us);
	return made;
}

bool vm_hugecost_advise(void *map, size_t bytes)
{
	if (!vm_os_advise_huge(map, bytes))
		return false;
	volatile char *page = (char *)align_up((uintptr_t)map, vm_os.huge_bytes);
	uint64_t from_us = vm_os_cpu_us();
	*page = 0;
	uint64_t took_us = vm_os_cpu_us() - from_us;
	if (took_us >= LONG_US) {
		vm_os_advise_small(map, bytes);
		pause_for(took_us);
	}
	return true;
}
