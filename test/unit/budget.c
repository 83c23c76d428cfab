/* SPDX-License-Identifier: MIT */
/* large/budget.h: where TIGHT begins and ends, and when the count of maps is read. */
#include "suite.h"

#include "large/budget.h"

static struct budget begin(size_t limit, size_t share, size_t reserve)
{
	struct budget budget = {0};
	vm_budget_begin(&budget, limit, share, reserve);
	return budget;
}

START_TEST(tight_begins_a_sixteenth_below_the_share_and_ends_at_three_quarters_of_it)
{
	struct budget budget = begin(16000, 50, 1000);
	ck_assert(!budget_judge(&budget, 7499));
	ck_assert(budget_judge(&budget, 7500));
	ck_assert(budget_judge(&budget, 6000));
	ck_assert(!budget_judge(&budget, 5999));
	ck_assert(!budget_judge(&budget, 7499));
	budget = begin(16050, 50, 1000);
	ck_assert_uint_eq(budget.tight_from, 8025 - 8025 / 16);
}
END_TEST

START_TEST(what_others_have_mapped_makes_it_tight_where_only_the_reserve_is_left)
{
	struct budget budget = begin(16000, 50, 1000);
	vm_budget_enter(&budget, 12100, 100, 0);
	vm_budget_begin(&budget, 16000, 50, 1000);
	ck_assert(!budget_judge(&budget, 2999));
	ck_assert(budget_judge(&budget, 3000));
	ck_assert(budget_judge(&budget, 2500));
	ck_assert(!budget_judge(&budget, 2499));
}
END_TEST

START_TEST(a_limit_that_is_not_known_is_the_kernels_default_and_a_reserve_is_half_of_it_at_most)
{
	struct budget budget = begin(0, 100, 1000000);
	ck_assert_uint_eq(budget.limit, 65530);
	ck_assert(!budget_judge(&budget, 32764));
	ck_assert(budget_judge(&budget, 32765));

	/* A tenth where it is not set, and 2,000 at least. */
	budget = begin(50000, 100, 0);
	ck_assert_uint_eq(budget.tight_from, 45000);
	budget = begin(10000, 100, 0);
	ck_assert_uint_eq(budget.tight_from, 8000);
}
END_TEST

START_TEST(the_count_is_read_after_the_bound_has_moved_far_and_no_sooner_than_it_may)
{
	struct budget budget = begin(64000, 50, 1000);
	vm_budget_enter(&budget, 12000, 5000, 100); /* 3001 ms are waited */
	vm_budget_begin(&budget, 64000, 50, 1000);
	ck_assert(!vm_budget_wants_reading(&budget, 8999));
	ck_assert(vm_budget_wants_reading(&budget, 9000));
	ck_assert(!vm_budget_wants_reading(&budget, 1001));
	ck_assert(vm_budget_wants_reading(&budget, 1000));

	ck_assert(!vm_budget_claim_reading(&budget, 9000, false, 3100));
	ck_assert(!vm_budget_claim_reading(&budget, 8999, false, 3101));
	ck_assert(vm_budget_claim_reading(&budget, 9000, false, 3101));
	ck_assert(!vm_budget_claim_reading(&budget, 9000, false, 6101));
	ck_assert(vm_budget_claim_reading(&budget, 9000, false, 6102));
}
END_TEST

START_TEST(the_count_is_read_when_a_map_was_refused_or_while_it_makes_it_tight)
{
	struct budget budget = begin(64000, 50, 1000);
	vm_budget_enter(&budget, 12000, 5000, 100);
	vm_budget_begin(&budget, 64000, 50, 1000);
	ck_assert(vm_budget_claim_reading(&budget, 5000, true, 3101));

	vm_budget_enter(&budget, 63000, 5000, 0);
	vm_budget_begin(&budget, 64000, 50, 1000);
	ck_assert(!vm_budget_wants_reading(&budget, 5000));
	ck_assert(budget_judge(&budget, 5000));
	ck_assert(vm_budget_wants_reading(&budget, 5000));

	budget = begin(64000, 1, 1000); /* the share makes it so: others do not matter */
	ck_assert(budget_judge(&budget, 900));
	ck_assert(!vm_budget_wants_reading(&budget, 900));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		tight_begins_a_sixteenth_below_the_share_and_ends_at_three_quarters_of_it,
		what_others_have_mapped_makes_it_tight_where_only_the_reserve_is_left,
		a_limit_that_is_not_known_is_the_kernels_default_and_a_reserve_is_half_of_it_at_most,
		the_count_is_read_after_the_bound_has_moved_far_and_no_sooner_than_it_may,
		the_count_is_read_when_a_map_was_refused_or_while_it_makes_it_tight,
		NULL,
	};
	return suite_run("budget", tests, 60);
}
