/* SPDX-License-Identifier: MIT */
/* stats.h - the figures of all modules, gathered. */
#ifndef VM_STATS_GATHER_H
#define VM_STATS_GATHER_H

#include <vmalloc.h>

/* All fields of *stats as of about now; zeros but for `version` where there is no memory to start
 * the allocator with, which this does. Takes locks, never two. */
void vm_stats_gather(struct vm_stats *stats);

#endif
