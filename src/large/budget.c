/* SPDX-License-Identifier: MIT */
#include "large/budget.h"

#include "os/os.h"

enum { RESERVE_LEAST = 2000 };

/* The bound moves this far, or a sixteenth of the limit, between two readings. */
enum { STEP_LEAST = 1000 };

static size_t minus(size_t a, size_t b)
{
	return a - min_size(a, b);
}

void vm_budget_begin(struct budget *budget, size_t limit, size_t share_percent, size_t reserve)
{
	limit = limit ? limit : USUAL_MAP_LIMIT;
	reserve = reserve ? reserve : max_size(limit / 10, RESERVE_LEAST);
	size_t of_all = limit - min_size(reserve, limit / 2);
	size_t by_count = minus(of_all, minus(budget->count, budget->own));
	size_t share = limit / 100 * share_percent + limit % 100 * share_percent / 100;

	budget->limit = limit;
	budget->by_count = by_count < share;
	/* Below the share, because ranges on their way to the kernel are not in the bound. */
	budget->tight_from = min_size(by_count, share - share / 16);
	budget->normal_below = min_size(minus(by_count, limit / 32), share - share / 4);
}

void vm_budget_enter(struct budget *budget, size_t count, size_t own, uint64_t now_ms)
{
	budget->count = count;
	budget->own = own;
	budget->next_ms = now_ms + os_count_pause_ms(count);
}

bool vm_budget_wants_reading(const struct budget *budget, size_t own)
{
	size_t step = max_size(budget->limit / 16, STEP_LEAST);
	return own >= budget->own + step || own + step <= budget->own ||
	       (budget->tight && budget->by_count);
}

bool vm_budget_claim_reading(struct budget *budget, size_t own, bool refused, uint64_t now_ms)
{
	if (now_ms < budget->next_ms || !(refused || vm_budget_wants_reading(budget, own)))
		return false;
	budget->next_ms = now_ms + os_count_pause_ms(max_size(budget->count, own));
	return true;
}
