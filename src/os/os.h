/* SPDX-License-Identifier: MIT */
/*
 * os.h - the only door to the kernel.
 *
 * Addresses and lengths handed in are multiples of vm_os.page_bytes unless said otherwise; lengths
 * are above 0. A false or NULL means that the kernel refused (memory, a limit, or no map left) and
 * that nothing changed; errno is then the kernel's. No function allocates, takes a lock, or is a
 * cancellation point (pthreads(7)).
 */
#ifndef VM_OS_H
#define VM_OS_H

#include "base/base.h"

#include <stdatomic.h>

#include <vmalloc.h>

/* vm.max_map_count where nobody set it. */
enum { USUAL_MAP_LIMIT = 65530 };

/* What the machine is; written once by vm_os_init. */
struct os {
	size_t page_bytes;    /* the kernel's page, at least PAGE_BYTES */
	size_t memory_bytes;  /* physical memory */
	size_t address_limit; /* RLIMIT_AS at start, SIZE_MAX for none */
	size_t map_limit;     /* vm.max_map_count at start, 0 where unknown */
	_Atomic size_t huge_bytes; /* of a huge page; 0 at first (vm_os_find_huge_pages) */
	unsigned cpus;        /* those this process may run on */
	uint64_t start_ms;    /* vm_os_now_ms when this was written */
	bool secure;          /* set-user-ID and the like: the environment is not to be trusted */
};
extern struct os vm_os;

void vm_os_init(void);

/* A new range, readable and writable, zeroed. */
void *vm_os_map(size_t bytes);

/* A new range of addresses without memory or access, costing neither RLIMIT_DATA nor commit charge. */
void *vm_os_reserve(size_t bytes);

/* Makes part of a reserve, which nothing was written to, readable and writable. Where it begins at the edge of
 * a committed part, it needs no further map of the kernel's. */
bool vm_os_commit(void *address, size_t bytes);

/* Takes a range away. False: it would have split a mapping and no map is left; the range stays. */
bool vm_os_unmap(void *address, size_t bytes);

/* Resizes a mapping, and where `may_move`, to another place if need be. NULL: it stays as it was. */
void *vm_os_remap(void *address, size_t old_bytes, size_t new_bytes, bool may_move);

/* Gives the pages' memory back; they read as zero afterwards. False: locked in memory, all kept. What was part of
 * a huge page the kernel may keep until it is short of memory. */
bool vm_os_purge(void *address, size_t bytes);

/* Before part of a map goes: cuts the huge pages in pieces that are in the range in part, of whose memory the kernel
 * else has none before it is short of it. What the range holds may be lost. 0.1 to 0.5 ms for each. errno stays. */
void vm_os_cut_huge_pages(void *address, size_t bytes);

/* vm_os_purge after that. */
bool vm_os_purge_for_good(void *address, size_t bytes);

/* Cuts the huge pages in a range in pieces of which a part has gone, for the kernel to have that at once. What is there
 * stays, but is among what the kernel swaps out first. One that is whole, and wholly in the range, stays huge. False:
 * they stay as they are. */
bool vm_os_cut_broken_huge_pages(void *address, size_t bytes);

/* Sets vm_os.huge_bytes where programs are to ask for huge pages. The first time it opens a file: not for programs
 * under a filter. */
void vm_os_find_huge_pages(void);

/* Puts a huge page (vm_os.huge_bytes, at a multiple of that) under memory, of which some has been written to
 * and whose content stays. Neither the map is changed by it nor what the kernel does there later: purged memory
 * stays purged. False: none is to be had, part of the range is no memory any more or in use by the kernel for a
 * moment, or the kernel is older than 6.1. It takes as long as to fault all pages in, and waits for each CPU
 * to do some work of the kernel's: not under a lock. errno stays. */
bool vm_os_make_huge(void *address);

/* Has what is written to in a range put into huge pages where there is room for whole ones, from now on. Where the
 * range is not all of a map, this makes maps of what it is and what lies beside it. False: there is no map left,
 * or there are no huge pages. errno stays. */
bool vm_os_advise_huge(void *address, size_t bytes);

/* Has what is written to in an advised range come by pages again, as long as that is mapped; or not, where it would
 * cut a map and there is none left. errno stays. */
void vm_os_advise_small(void *address, size_t bytes);

/* How many of so many pages (vm_os.page_bytes) have memory; 0 where that is not to be known.
 * It opens a file: not for programs under a filter. errno stays. */
size_t vm_os_count_resident(const void *address, size_t pages);

/* A range without memory that takes up `maps` of the kernel's maps, until it is unmapped whole. */
void *vm_os_hold_maps(size_t maps);
bool vm_os_release_maps(void *range, size_t maps);

/* Whether the process has the most maps that it may have: of none can two be made, and at most one
 * more is to be had. */
bool vm_os_out_of_maps(void);

/* What refuses `bytes` (at least one page) of memory, by trying address space, writable address space
 * and memory in turn and giving each back at once. *limit is the figure that goes with it, or 0. */
enum vm_cause vm_os_find_cause(size_t bytes, size_t *limit);

/* The most maps that a process may have (vm.max_map_count), and how many this one has as the kernel
 * counts them; 0 where /proc does not tell. They open files: not for programs under a filter. */
size_t vm_os_map_limit(void);
size_t vm_os_count_maps(void);

/* Counting takes 0.15 to 0.25 us a map: at such a distance, a thousandth of the time at most. */
static inline uint64_t os_count_pause_ms(size_t maps)
{
	return 1 + maps / 4;
}

/* The program's break (sbrk(2)), or NULL where the kernel does not tell. */
void *vm_os_break(void);

/* Moves the break by `bytes` (either sign) and returns where it was, NULL where refused. */
void *vm_os_move_break(ptrdiff_t bytes);

/* Milliseconds of a clock that never goes back; coarse (some ms). What a program has instead of
 * the C library's clock may allocate: not under a lock, nor in the middle of a change. */
uint64_t vm_os_now_ms(void);

/* What it was when last noted, for there: before what may need it, and at each look at the clock. */
extern _Atomic uint64_t vm_os_noted_ms HIDDEN;

static inline uint64_t os_noted_ms(void)
{
	return atomic_load_explicit(&vm_os_noted_ms, memory_order_relaxed);
}

/* Written only when it has changed, once in some ms: all threads share the line. */
static inline uint64_t os_note_time(void)
{
	uint64_t now_ms = vm_os_now_ms();
	if (os_noted_ms() != now_ms)
		atomic_store_explicit(&vm_os_noted_ms, now_ms, memory_order_relaxed);
	return now_ms;
}

/* Microseconds of processor time that this thread has taken; 0 where the kernel does not tell. errno stays. */
uint64_t vm_os_cpu_us(void);

/* An environment variable of the process, NULL where unset. Works before the C library is initialised. */
const char *vm_os_environment(const char *name);

/* Writes to stderr, as far as it takes it. */
void vm_os_write_error(const char *text, size_t length);

/* Ends the process by SIGABRT. */
COLD NORETURN void vm_os_abort(void);

/* Sleeps while *word is `value`, until vm_os_wake_one or for no reason. */
void vm_os_wait(_Atomic uint32_t *word, uint32_t value);
void vm_os_wake_one(_Atomic uint32_t *word);

#endif
