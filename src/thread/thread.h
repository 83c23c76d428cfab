/* SPDX-License-Identifier: MIT */
/*
 * thread.h - which thread has which cache: from its first miss to its exit.
 *
 *                    [first miss]                 [key destructor]
 *      new or LEFT -----------------> IN USE -----------------------> LEFT, or deleted
 *                                               LEFT ---------------> deleted [vm_threads_tick, _trim]
 *
 * A thread gets its cache when it first allocates, or after it has freed some blocks without one: the one
 * that a thread left last, with the blocks in it, or a new one. What it does after its key destructor ran,
 * or frees before, goes straight to the bins, and leaves nothing behind. A cache that no thread took in
 * two decay times is deleted.
 *
 * A forked child has one thread, and the caches that were left. Those in use by others stay as they were
 * at the fork, out of reach: their threads may have been in the middle of a push.
 */
#ifndef VM_THREAD_H
#define VM_THREAD_H

#include "thread/tcache.h"

struct vm_stats;

/* False: no key is left. */
bool vm_threads_init(void);

/* The cache of this thread, made if it has none yet; NULL where it can have none. */
struct tcache *vm_thread_cache_to_alloc(void);

/* The same, but not made for the first few frees. */
struct tcache *vm_thread_cache_to_free(void);

/* Deletes the caches that were left long ago; one load where none is due. */
void vm_threads_tick(uint64_t now_ms);

/* Deletes all that were left. */
void vm_threads_trim(void);

/* Adds threads, and what the caches hold to small_cached. */
void vm_threads_stats(struct vm_stats *stats);

void vm_threads_lock_for_fork(void);
void vm_threads_unlock_after_fork(bool child);

#endif
