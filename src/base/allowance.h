/* SPDX-License-Identifier: MIT */
/*
 * allowance.h - so much in a period, and no more: what bounds the cost of work that may be in vain.
 */
#ifndef VM_ALLOWANCE_H
#define VM_ALLOWANCE_H

#include "base/base.h"

struct allowance {
	uint64_t ends_ms; /* the period */
	size_t used;      /* in it; what is more than allowed counts for those to come */
};

/* What of `wanted` is still allowed, with `most` in `period_ms`. */
static inline size_t allowance_left(struct allowance *allowance, size_t wanted, size_t most,
				    uint64_t period_ms, uint64_t now_ms)
{
	if (now_ms >= allowance->ends_ms) {
		allowance->ends_ms = now_ms + period_ms;
		allowance->used -= min_size(allowance->used, most);
	}
	return min_size(wanted, most - min_size(most, allowance->used));
}

static inline void allowance_use(struct allowance *allowance, size_t used)
{
	allowance->used += used;
}

#endif
