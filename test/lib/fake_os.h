/* SPDX-License-Identifier: MIT */
/*
 * A kernel for unit tests, in the place of src/os/os.c: it keeps its maps (fake_maps.h) by the rules
 * that Linux 6.18 was measured to keep - merging, splitting, placement, what needs how much room below
 * the limit on their number -, refuses when told to, and backs all addresses by real memory out of one
 * arena, so that contents can be checked.
 *
 * It stops the test where the allocator does what a kernel would not forgive: unmapping or purging
 * what is not mapped, writing to what it had unmapped, committing outside a reserve.
 */
#ifndef TEST_FAKE_OS_H
#define TEST_FAKE_OS_H

#include "fake_maps.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmalloc.h>

struct fake_os {
	/* Set by tests, at any time. */
	size_t page_bytes;            /* the kernel's page; before vm_os_init */
	size_t huge_bytes;            /* a huge page, 0 where none are to be had */
	_Atomic size_t map_limit;     /* vm.max_map_count */
	_Atomic size_t address_limit; /* bytes of maps in all, as RLIMIT_AS */
	_Atomic size_t data_limit;    /* bytes of writable maps in all, as RLIMIT_DATA */
	_Atomic size_t commit_limit;  /* of the same, as vm.overcommit_memory=2 leaves to it */
	bool purge_refused;           /* as if all memory were locked */
	bool huge_refused;            /* as if memory were in pieces */
	uint64_t cpu_us_a_look;       /* what passes of this thread's time from one look at it to the next */
	bool slow;                    /* calls let other threads run first */
	_Atomic uint64_t now_ms;
	_Atomic uint64_t clock_reads;
	enum vm_cause cause;          /* of refusals; VM_CAUSE_NONE: by the limits */

	/* The calls numbered from fail_from up to fail_to are refused; 0 and 0: none. */
	uint64_t fail_from;
	uint64_t fail_to;

	/* Read by tests. */
	_Atomic uint64_t calls;    /* that can be refused, since start */
	_Atomic uint64_t refusals; /* of them, for whatever reason */
	uint64_t unmaps;           /* calls */
	uint64_t purges;           /* calls */
	uint64_t purges_for_good;  /* those of them */
	uint64_t huge_looks;       /* whether there are huge pages */
	uint64_t huge_pages;       /* calls for one */
	uint64_t huge_begun;       /* those of them for one that had memory under its first page only */
	void *huge_asked[1024];    /* for which ones; the first so many calls */
	uint64_t huge_advices;     /* ranges to be filled by them */
	uint64_t small_advices;    /* those that are not, after all */
	uint64_t broken_cuts;      /* ranges of which parts went before */
	void *broken_cut;          /* the last one */
	uint64_t huge_cuts;        /* ranges that are to go without what shares them */
	size_t cause_bytes;        /* that the last question for a cause was about */
	char error[4096];          /* what went to stderr, cut at this size */
};

extern struct fake_os fake_os;

/* Moves the clock on; what it then shows. */
uint64_t fake_os_advance(uint64_t ms);

/* What a page fault does: gives maps that hold part of the range an anon_vma, which later keeps them
 * from merging. Writing to memory alone does not tell the fake kernel. */
void fake_os_touch(const void *address, size_t bytes);

/* All maps are now those of a forked child. */
void fake_os_become_child(void);

/* Maps of others. Plain ones merge with those of vm_os_map. NULL: refused. */
void *fake_os_foreign_map(size_t bytes, bool plain);

/* A foreign map at an address that is free. */
void *fake_os_foreign_map_at(void *address, size_t bytes, bool plain);
bool fake_os_foreign_unmap(void *address, size_t bytes);

/* Fills the process up with `count` foreign maps that merge with nothing, and takes them away. */
void fake_os_foreign_maps_add(size_t count);
void fake_os_foreign_maps_remove(size_t count);

/* Another's sbrk. */
void *fake_os_foreign_move_break(ptrdiff_t bytes);

/* True if all of the range is mapped, readable and writable. */
bool fake_os_is_writable(const void *address, size_t bytes);

/* Bytes of writable maps in all, also while other threads make calls. */
size_t fake_os_writable_bytes(void);

/* Resident bytes of the range. */
size_t fake_os_resident_bytes(const void *address, size_t bytes);

#endif
