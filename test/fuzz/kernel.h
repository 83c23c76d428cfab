/* SPDX-License-Identifier: MIT */
/* The kernel below the allocator, chosen when linking: the real one, or that of the unit tests. */
#ifndef FUZZ_KERNEL_H
#define FUZZ_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KERNEL_SETTINGS = 3 };

/* Before a program: limits and options by the program's first bytes, where they can be had. */
void kernel_begin(const uint8_t settings[KERNEL_SETTINGS]);

/* After a program: nothing is refused any more, and what kernel_disturb took is given back. */
void kernel_end(void);

/* The allocator's clock goes on; it stands still otherwise. */
void kernel_pass_time(unsigned ms);

/* Others in the process do something, or one of the next requests is refused. `alone`: no other
 * thread runs. */
void kernel_disturb(unsigned kind, unsigned amount, bool alone);

/* Whether the process may fork now, and what the child does first. `alone` as above. */
bool kernel_may_fork(bool alone);
void kernel_forked(void);

/* The requests that were refused so far: as long as it stands still, NULL is no answer to a size
 * that a machine has. */
uint64_t kernel_refusals(void);

/* The program wrote to a block. */
void kernel_touched(const void *memory, size_t bytes);

#endif
