/* SPDX-License-Identifier: MIT */
/* Each part's figures are written under its own lock. Sums may mix moments: they are about right. */
#include "meta/footprint.h"

#include "os/conf.h"
#include "os/os.h"

#include <stdatomic.h>

/* In so long a program touches some MiB; a look costs a few loads. */
enum { PAUSE_MS = 8 };

static struct {
	_Atomic size_t live[FOOTPRINT_PARTS];
	_Atomic size_t dirty[FOOTPRINT_PARTS];
	_Atomic size_t grown[FOOTPRINT_PARTS];
	_Atomic size_t live_most;    /* in all parts at once */
	_Atomic size_t counted_most; /* with what of the dirty may raise the peak */
	_Atomic uint64_t next_ms;    /* that vm_footprint_exceeded looks */
} footprint;

struct sums {
	size_t live;
	size_t resident;
	size_t counted;
};

static size_t may_always_keep(size_t live)
{
	return max_size(vm_options.dirty_bytes, live / 4);
}

static size_t get(const _Atomic size_t *figure)
{
	return atomic_load_explicit(figure, memory_order_relaxed);
}

static struct sums add_up(void)
{
	struct sums sums = {0};
	for (unsigned part = 0; part < FOOTPRINT_PARTS; part++) {
		size_t live = get(&footprint.live[part]);
		size_t dirty = get(&footprint.dirty[part]);
		sums.live += live;
		sums.resident += live + dirty;
		sums.counted += live + min_size(dirty, may_always_keep(live));
	}
	return sums;
}

static void raise_to(_Atomic size_t *most, size_t bytes)
{
	if (bytes > get(most))
		atomic_store_explicit(most, bytes, memory_order_relaxed);
}

size_t vm_footprint_note(enum footprint_part part, size_t live, size_t dirty)
{
	atomic_store_explicit(&footprint.live[part], live, memory_order_relaxed);
	atomic_store_explicit(&footprint.dirty[part], dirty, memory_order_relaxed);
	struct sums sums = add_up();
	raise_to(&footprint.live_most, sums.live);
	raise_to(&footprint.counted_most, sums.counted);
	size_t in_use = sums.resident - min_size(sums.resident, dirty);
	size_t peak = get(&footprint.counted_most);
	size_t below_peak = peak - min_size(peak, in_use);
	return max_size(may_always_keep(live),
			min_size(below_peak, max_size(live, vm_os.memory_bytes / 16)));
}

size_t vm_footprint_live(enum footprint_part part)
{
	return get(&footprint.live[part]);
}

bool vm_footprint_exceeded(uint64_t now_ms)
{
	if (now_ms < atomic_load_explicit(&footprint.next_ms, memory_order_relaxed))
		return false;
	atomic_store_explicit(&footprint.next_ms, now_ms + PAUSE_MS, memory_order_relaxed);
	return add_up().resident > get(&footprint.counted_most);
}

void vm_footprint_grown(enum footprint_part part, size_t bytes)
{
	if (bytes)
		atomic_fetch_add_explicit(&footprint.grown[part], bytes, memory_order_relaxed);
}

size_t vm_footprint_growth(size_t of_part[FOOTPRINT_PARTS])
{
	size_t all = 0;
	for (unsigned part = 0; part < FOOTPRINT_PARTS; part++) {
		of_part[part] = get(&footprint.grown[part]);
		if (of_part[part])
			of_part[part] = atomic_exchange_explicit(&footprint.grown[part], 0,
								 memory_order_relaxed);
		all += of_part[part];
	}
	return all;
}

/* A little is always allowed. (20 blocks of 64 KiB to 4 MiB reallocated at random: 38,000 faults with a
 * quarter of what was in use, 43,000 with half, 49,000 with three quarters; sqlite's peak: 96, 89, 89 MB.) */
static size_t allowed_in_long_decay(void)
{
	return min_size(max_size(get(&footprint.live_most) / 2, 4 * MIB), vm_options.dirty_bytes);
}

size_t vm_footprint_allowed(struct allowance *allowance, size_t bytes, uint64_t now_ms)
{
	return allowance_left(allowance, bytes, allowed_in_long_decay(), conf_long_decay_ms(),
			      now_ms);
}

uint64_t vm_footprint_allowed_from(const struct allowance *allowance)
{
	return allowance->used < allowed_in_long_decay() ? 0 : allowance->ends_ms;
}

/* What both have, with so many live bytes more, beyond what was ever live at once, and a sixteenth. */
static size_t above_live_most(size_t more)
{
	struct sums sums = add_up();
	size_t live_most = max_size(get(&footprint.live_most), sums.live + more);
	size_t allowed = live_most + live_most / 16 + 512 * KIB;
	size_t held = sums.resident + more;
	return held - min_size(held, allowed);
}

size_t vm_footprint_owed(struct allowance *allowance, size_t bytes, uint64_t now_ms)
{
	size_t owed = min_size(bytes, above_live_most(0));
	return owed ? vm_footprint_allowed(allowance, owed, now_ms) : 0;
}

bool vm_footprint_unpaid(struct allowance *allowance, size_t bytes, uint64_t now_ms)
{
	size_t owed = min_size(bytes, above_live_most(bytes));
	return owed && vm_footprint_allowed(allowance, owed, now_ms) < owed;
}
