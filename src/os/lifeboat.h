/* SPDX-License-Identifier: MIT */
/*
 * lifeboat.h - room for a few more maps of the kernel's when the process has used up
 * vm.max_map_count, when it refuses every mmap and every growth of the break.
 *
 *             [vm_lifeboat_launch, or vm_lifeboat_init where the kernel refuses the ballast]
 *      HELD ------------------------> LAUNCHED
 *       ^                                 |
 *       +---------------------------------+
 *        [vm_lifeboat_tick: the count has fallen far below the limit]
 *
 * HELD: some maps without memory (the ballast) stand ready, a third of them from the start and all from the
 * first tick on that finds the process no longer young, or from the start where the limit is lower than
 * usual. LAUNCHED: they were given up, and what they made room for is a reserve for records, which meta.c
 * commits, and whatever the caller maps next: region.c a last large reserve. Both grow from there by moving
 * one edge of protection, which the kernel allows at any count. What no record took of the reserve is
 * unmapped when the ballast is held again.
 */
#ifndef VM_LIFEBOAT_H
#define VM_LIFEBOAT_H

#include "base/base.h"

void vm_lifeboat_init(void);

/* Gives a part of the ballast up if the process is out of maps. True: it was held, so a map that was
 * refused is worth another try, and if it fails, another launch. */
bool vm_lifeboat_launch(void);

/* `bytes` for records, zeroed, from the reserve of a launch; NULL where there is none. */
void *vm_lifeboat_records(size_t bytes);

/* Takes the ballast again when there is room for it, and gives the reserve back; takes all of it
 * once the process is no longer young. Cheap while it is held. */
void vm_lifeboat_tick(uint64_t now_ms);

/* Whether the ballast is held. */
bool vm_lifeboat_held(void);

/* How many launches there were: at each the process was at its limit on maps. No lock. */
unsigned vm_lifeboat_launches(void);

void vm_lifeboat_lock_for_fork(void);
void vm_lifeboat_unlock_after_fork(void);

#endif
