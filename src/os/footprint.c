/* SPDX-License-Identifier: MIT */
#include "os/footprint.h"

#include "os/conf.h"

#include <stdatomic.h>

/* Each part's figures are written under its own lock. Sums may mix moments: they are about right. */
static struct {
	_Atomic size_t live[FOOTPRINT_PARTS];
	_Atomic size_t dirty[FOOTPRINT_PARTS];
	_Atomic size_t live_most; /* in all parts at once */
} footprint;

static size_t sum(const _Atomic size_t *of_parts)
{
	size_t bytes = 0;
	for (int part = 0; part < FOOTPRINT_PARTS; part++)
		bytes += atomic_load_explicit(&of_parts[part], memory_order_relaxed);
	return bytes;
}

void vm_footprint_note(enum footprint_part part, size_t live, size_t dirty)
{
	atomic_store_explicit(&footprint.live[part], live, memory_order_relaxed);
	atomic_store_explicit(&footprint.dirty[part], dirty, memory_order_relaxed);
	live = sum(footprint.live);
	if (live > atomic_load_explicit(&footprint.live_most, memory_order_relaxed))
		atomic_store_explicit(&footprint.live_most, live, memory_order_relaxed);
}

size_t vm_footprint_owed(struct allowance *allowance, size_t bytes, uint64_t now_ms)
{
	size_t most = atomic_load_explicit(&footprint.live_most, memory_order_relaxed);
	size_t allowed = most + most / 16 + 512 * KIB;
	size_t held = sum(footprint.live) + sum(footprint.dirty);
	if (held <= allowed)
		return 0;
	return allowance_left(allowance, min_size(bytes, held - allowed),
			      min_size(most, vm_options.dirty_bytes), vm_options.decay_ms, now_ms);
}
