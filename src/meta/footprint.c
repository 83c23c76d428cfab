/* SPDX-License-Identifier: MIT */
/* The parts have locks of their own: what one reads of the other is about right. */
#include "meta/footprint.h"

#include "os/conf.h"
#include "os/os.h"

#include <stdatomic.h>

/* At which a program touches some MiB. */
enum { PAUSE_MS = 8 };

static struct {
	_Atomic size_t resident[FOOTPRINT_PARTS]; /* live and dirty */
	_Atomic size_t counted[FOOTPRINT_PARTS];  /* without what is only kept below the peak */
	_Atomic size_t most;                      /* that `counted` was, of both together */
	_Atomic uint64_t next_ms;
} footprint;

static size_t sum(_Atomic size_t of_part[FOOTPRINT_PARTS])
{
	size_t all = 0;
	for (unsigned part = 0; part < FOOTPRINT_PARTS; part++)
		all += atomic_load_explicit(&of_part[part], memory_order_relaxed);
	return all;
}

size_t vm_footprint_note(enum footprint_part part, size_t live, size_t dirty)
{
	size_t always = max_size(vm_options.dirty_bytes, live / 4);
	atomic_store_explicit(&footprint.resident[part], live + dirty, memory_order_relaxed);
	atomic_store_explicit(&footprint.counted[part], live + min_size(dirty, always),
			      memory_order_relaxed);
	size_t most = atomic_load_explicit(&footprint.most, memory_order_relaxed);
	size_t counted = sum(footprint.counted);
	if (counted > most)
		atomic_store_explicit(&footprint.most, most = counted, memory_order_relaxed);
	size_t in_use = sum(footprint.resident) - dirty;
	size_t below_peak = most - min_size(most, in_use);
	return max_size(always, min_size(below_peak, max_size(live, vm_os.memory_bytes / 16)));
}

bool vm_footprint_exceeded(uint64_t now_ms)
{
	if (now_ms < atomic_load_explicit(&footprint.next_ms, memory_order_relaxed))
		return false;
	atomic_store_explicit(&footprint.next_ms, now_ms + PAUSE_MS, memory_order_relaxed);
	return sum(footprint.resident) >
	       atomic_load_explicit(&footprint.most, memory_order_relaxed);
}
