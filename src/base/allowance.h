/* SPDX-License-Identifier: MIT */
/*
 * allowance.h - so much in a period, and no more: what bounds the cost of work that may be in vain.
 */
#ifndef VM_ALLOWANCE_H
#define VM_ALLOWANCE_H

#include "base/base.h"

struct allowance {
	uint64_t ends_ms; /* the period that `left` is for */
	size_t left;
	size_t beyond; /* used already of the periods to come */
};

/* What of `wanted` is still allowed, with `most` in `period_ms`. */
static inline size_t allowance_left(struct allowance *allowance, size_t wanted, size_t most,
				    uint64_t period_ms, uint64_t now_ms)
{
	if (now_ms >= allowance->ends_ms) {
		size_t used = min_size(allowance->beyond, most);
		allowance->ends_ms = now_ms + period_ms;
		allowance->beyond -= used;
		allowance->left = most - used;
	}
	return min_size(wanted, allowance->left);
}

static inline void allowance_use(struct allowance *allowance, size_t used)
{
	size_t within = min_size(allowance->left, used);
	allowance->left -= within;
	allowance->beyond += used - within;
}

#endif
