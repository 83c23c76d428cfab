/* SPDX-License-Identifier: MIT */
/* What the kernel says of this process, read without allocating. */
#ifndef TEST_PROC_H
#define TEST_PROC_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Resident memory, exact (smaps_rollup: statm may lag by many pages a CPU). */
size_t proc_rss_bytes(void);

/* A field of /proc/self/status in bytes, as "VmSize:" or "VmData:". */
size_t proc_status_bytes(const char *field);

/* Lines of /proc/self/maps. */
unsigned proc_maps_count(void);

/* Waits until the process is no longer young: from then on the allocator holds all maps that it holds ready.
 * Allocates. */
void proc_grow_up(void);

/* Bytes of [memory, memory + bytes) that are resident; whole pages are counted. */
size_t proc_resident_bytes(const void *memory, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
