/* SPDX-License-Identifier: MIT */
/*
 * budget.h - whether our mappings may become more of the kernel's maps.
 *
 * TIGHT: they are nearly vm_options.map_share per cent of vm.max_map_count, or the process is within
 * vm_options.map_reserve of it, as far as is known: by the count when it was last read, and by how far
 * the bound of our own (vma.h) has moved since. Both ends of TIGHT lie apart, so that it does not
 * come and go with each map.
 *
 * Reading the count is dear (os_count_pause_ms), so it is read only after the bound has moved far,
 * when the kernel refused a map, and now and then while the process's count is what makes it TIGHT;
 * and never sooner than a thousand times the cost after the last time. Where every map is refused,
 * it is known without.
 *
 * Pure: no lock, no system call. Zeroed: to be begun.
 */
#ifndef VM_BUDGET_H
#define VM_BUDGET_H

#include "base/base.h"

struct budget {
	size_t limit;
	size_t count;         /* when last read; 0: never */
	size_t own;           /* the bound then */
	size_t tight_from;    /* of own: where TIGHT begins */
	size_t normal_below;  /* of own: where it ends */
	uint64_t next_ms;     /* no reading before */
	bool tight;
	bool by_count;        /* the process's count makes it TIGHT, not our share */
};

/* Sets the limits of TIGHT. limit 0: unknown, the kernel's default is assumed. reserve 0: a tenth of
 * the limit, at least 2,000. The reserve is never more than half of the limit. */
void vm_budget_begin(struct budget *budget, size_t limit, size_t share_percent, size_t reserve);

/* Enters what was read, at a bound of `own`. vm_budget_begin follows. */
void vm_budget_enter(struct budget *budget, size_t count, size_t own, uint64_t now_ms);

/* Whether the count should be read: `refused` tells that the kernel refused a map. Claims the reading:
 * nobody else is told so before its time. */
bool vm_budget_claim_reading(struct budget *budget, size_t own, bool refused, uint64_t now_ms);

/* Whether it would, time aside: for a look without the clock. */
bool vm_budget_wants_reading(const struct budget *budget, size_t own);

/* Judges anew; whether it is TIGHT. */
static inline bool budget_judge(struct budget *budget, size_t own)
{
	budget->tight = own >= (budget->tight ? budget->normal_below : budget->tight_from);
	return budget->tight;
}

#endif
