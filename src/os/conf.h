/* SPDX-License-Identifier: MIT */
/*
 * conf.h - the options: one table, read once at start from the string symbol vm_conf, then from the
 * environment variable VMALLOC_CONF (not in set-user-ID programs), later settings winning.
 */
#ifndef VM_CONF_H
#define VM_CONF_H

#include "base/base.h"

/* name, kind, default, least, greatest, help. Kinds: BYTES (takes K, M, G), COUNT, SWITCH. */
#define VM_OPTIONS(X)                                                                              \
	X(mmap_threshold, BYTES, 1 * MIB, 64 * KIB, 1 * GIB,                                       \
	  "blocks of at least this size are mapped on their own, but for some of up to 8M")        \
	X(trim_break, SWITCH, 1, 0, 1, "lower the break when the heap's top is free")              \
	X(decay_ms, COUNT, 250, 0, 3600000,                                                        \
	  "milliseconds that freed pages keep their memory, at most four times that if many")      \
	X(shards, COUNT, 0, 0, 32, "sets of slabs that threads are spread over; 0: by CPUs")       \
	X(cache_bytes, BYTES, 32 * MIB, 0, 64 * GIB,                                               \
	  "bytes that all thread caches may hold beyond a start, each half of what others leave")  \
	X(thread_cache_bytes, BYTES, 8 * MIB, 0, 1 * GIB,                                          \
	  "bytes that one thread cache may hold beyond its start, the more the larger the heap")   \
	X(dirty_bytes, BYTES, 64 * MIB, 0, 64 * GIB,                                               \
	  "freed memory that may raise the peak, or a quarter of the live, if that is more")       \
	X(huge_pages, SWITCH, 1, 0, 1,                                                             \
	  "ask for huge pages where much memory is filled, unless map_count is off")               \
	X(report_failures, SWITCH, 1, 0, 1,                                                        \
	  "tell on stderr, once for each cause, why memory was refused")                           \
	X(map_share, COUNT, 25, 1, 100,                                                            \
	  "per cent of vm.max_map_count that mapped blocks may be")                                \
	X(map_reserve, COUNT, 0, 0, 1000000000,                                                    \
	  "maps left to others below it; 0: a tenth of it, at least 2000")                         \
	X(map_count, SWITCH, 1, 0, 1,                                                              \
	  "read the count of maps from /proc when many are made or one is refused")                \
	X(help, SWITCH, 0, 0, 1, "print this table")

struct conf {
#define VM_OPTION_FIELD(name, kind, initial, least, greatest, help) uint64_t name;
	VM_OPTIONS(VM_OPTION_FIELD)
#undef VM_OPTION_FIELD
};

/* Read-only after vm_conf_init. */
extern struct conf vm_options;

/* What goes after vm_options.decay_ms has a bound (footprint.h); all goes after so many times that. */
enum { LONG_DECAY = 4 };

static inline uint64_t conf_long_decay_ms(void)
{
	return LONG_DECAY * vm_options.decay_ms;
}

/* Whether vm_os_find_huge_pages may be called: it opens a file, which map_count:false rules out. */
static inline bool conf_wants_huge_pages(void)
{
	return vm_options.huge_pages && vm_options.map_count;
}

void vm_conf_init(void);

#endif
