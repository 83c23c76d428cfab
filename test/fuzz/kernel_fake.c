/* SPDX-License-Identifier: MIT */
/*
 * The kernel of the unit tests (fake_os.h): with few maps, little memory, and calls that fail. The
 * core is linked in as if it were the process's malloc, so its heap grows by the break.
 */
#define _GNU_SOURCE 1
#include "kernel.h"

#include "fake_os.h"
#include "must.h"
#include "program.h"

#include "boot.h"
#include "os/conf.h"
#include "small/bin.h"
#include "small/pageheap.h"

/* The fake kernel takes as long for each as it has maps. */
enum { FOREIGN_MOST = 1000 };

/* A proof takes as long as the heap once was large. */
enum { PROGRAMS_A_PROOF = 16 };

/* It looks at each page that it hands out. */
#define ADDRESSES_MOST (16 * GIB)

static size_t foreign_maps;
static size_t raised_bytes;
static char *raised_to;

bool vm_is_process_malloc(void)
{
	return true;
}

void kernel_begin(const uint8_t settings[KERNEL_SETTINGS])
{
	static const size_t limits[] = { 65530, 1000, 300, 100, 60, 30 };
	static const size_t memory[] = { SIZE_MAX, SIZE_MAX, 512 * MIB, 64 * MIB };
	static const uint64_t decays[] = { 1000, 0, 1, 20 };
	static const uint64_t dirty[] = { 64 * MIB, 0, 256 * KIB, 4 * MIB };
	static const uint64_t thresholds[] = { 1 * MIB, 64 * KIB, 256 * KIB, 32 * MIB };
	static const uint64_t caches[] = { 2 * MIB, 0, 64 * KIB, 64 * MIB };
	static const uint64_t shares[] = { 25, 1, 50, 100 };

	fake_os.map_limit = limits[settings[0] % 6];
	fake_os.address_limit = fake_maps.bytes + ADDRESSES_MOST;
	fake_os.data_limit = memory[settings[0] >> 6];
	vm_options.decay_ms = decays[settings[1] & 3];
	vm_options.dirty_bytes = dirty[settings[1] >> 2 & 3];
	vm_options.mmap_threshold = thresholds[settings[1] >> 4 & 3];
	vm_options.trim_break = settings[1] >> 6 & 1 ? 0 : 1;
	vm_options.map_count = settings[1] >> 7 ? 0 : 1;
	vm_options.thread_cache_bytes = caches[settings[2] & 3];
	vm_options.cache_bytes = caches[settings[2] >> 2 & 3];
	vm_options.map_share = shares[settings[2] >> 4 & 3];
	vm_options.report_failures = 0;
}

void kernel_end(void)
{
	fake_os.fail_from = fake_os.fail_to = 0;
	fake_os.purge_refused = false;
	fake_os.map_limit = 65530;
	fake_os.data_limit = SIZE_MAX;
	fake_os_foreign_maps_remove(foreign_maps);
	foreign_maps = 0;
	raised_bytes = 0;
	if (program_number % PROGRAMS_A_PROOF == 0) {
		vm_bins_check();
		vm_pageheap_check();
	}
}

void kernel_pass_time(unsigned ms)
{
	fake_os_advance(ms);
}

static void lower_break(void)
{
	char *const at = fake_os_foreign_move_break(0);

	if (raised_bytes && at == raised_to &&
	    !fake_os_foreign_move_break(-(ptrdiff_t)raised_bytes))
		return; /* refused, like any other call of the kernel */
	raised_bytes = 0;
}

static void raise_break(size_t bytes)
{
	char *const old = fake_os_foreign_move_break((ptrdiff_t)bytes);

	if (!old)
		return;
	raised_to = old + bytes;
	raised_bytes = bytes;
}

static void refuse(unsigned from, unsigned count)
{
	fake_os.fail_from = fake_os.calls + 1 + from;
	fake_os.fail_to = fake_os.fail_from + count;
}

static void fill_up(size_t count)
{
	const size_t room =
		fake_maps.count < fake_os.map_limit ? fake_os.map_limit - fake_maps.count : 0;

	count = min_size(count, min_size(room, FOREIGN_MOST - foreign_maps));
	fake_os_foreign_maps_add(count);
	foreign_maps += count;
}

void kernel_disturb(unsigned kind, unsigned amount, bool alone)
{
	switch (kind % 8) {
	case 0:
		refuse(amount % 16, 1);
		break;
	case 1:
		refuse(0, 1 + amount);
		break;
	case 2:
		fake_os.purge_refused = amount & 1;
		break;
	default:
		break;
	}
	if (!alone)
		return;
	switch (kind % 8) {
	case 3:
		lower_break();
		raise_break(8 + amount * 512);
		break;
	case 4:
		lower_break();
		break;
	case 5:
		fill_up(amount < 200 ? amount : SIZE_MAX);
		break;
	case 6:
		fake_os_foreign_maps_remove(foreign_maps);
		foreign_maps = 0;
		break;
	default:
		break;
	}
}

/* The fake kernel's own lock does not wait for forks: another thread may hold it. */
bool kernel_may_fork(bool alone)
{
	return alone;
}

void kernel_forked(void)
{
	fake_os_become_child();
}

uint64_t kernel_refusals(void)
{
	return fake_os.refusals;
}

void kernel_touched(const void *memory, size_t bytes)
{
	must(fake_os_is_writable(memory, bytes));
	fake_os_touch(memory, bytes);
}
