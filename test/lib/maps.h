/* SPDX-License-Identifier: MIT */
/* The process's mappings as the kernel counts them, and a program that uses them up. Allocates nothing. */
#ifndef TEST_MAPS_H
#define TEST_MAPS_H

#include <stdint.h>

/* vm.max_map_count; read once. */
unsigned maps_limit(void);

/* The kernel's count: the lines of /proc/self/maps less that of [vsyscall]. mmap fails above the limit. */
unsigned maps_count(void);

/* Calls visit for each mapping in order of address, as far as /proc/self/maps tells; [vsyscall] too. */
void maps_visit(void (*visit)(uintptr_t start, uintptr_t end, void *arg), void *arg);

/*
 * Raises the count to `target` with unaccessible and read-only pages, two mappings a call (40 ms for
 * 65,530). Exact while no other thread maps; stops early where the kernel refuses. Returns the count.
 */
unsigned maps_fill(unsigned target);

/* Fills until mmap itself is refused: the count is limit + 1, and whoever asks next gets nothing. */
unsigned maps_fill_all(void);

/* Takes about `count` of them back, the youngest first, or all; works at any count. */
void maps_drop(unsigned count);
void maps_drop_all(void);

#endif
