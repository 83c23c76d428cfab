/* SPDX-License-Identifier: MIT */
/* base/sizeclass.h: every size, every class and every offset, against plain arithmetic. */
#include "must.h"
#include "suite.h"

#include "base/sizeclass.h"

START_TEST(every_size_maps_to_the_least_class_that_holds_it)
{
	unsigned least = 1;
	for (size_t size = 0; size <= SMALL_MOST; size++) {
		if (size > vm_classes[least].bytes)
			least++;
		must(class_of_size(size) == least);
		must(vm_classes[least].bytes >= size);
	}
	ck_assert_uint_eq(least, CLASS_COUNT - 1);
	ck_assert_uint_eq(vm_classes[least].bytes, SMALL_MOST);
}
END_TEST

START_TEST(both_ways_to_a_class_agree_where_both_hold)
{
	for (size_t size = 129; size <= SMALL_LOOKUP; size++)
		must(class_looked_up(size) == class_computed(size));
}
END_TEST

START_TEST(no_block_above_128_wastes_an_eighth_of_its_size_nor_above_32_KiB_a_quarter)
{
	for (size_t size = 129; size <= SMALL_MOST; size++)
		must((vm_classes[class_of_size(size)].bytes - size) * (size <= 32 * KIB ? 8 : 4) < size);
}
END_TEST

START_TEST(blocks_of_16_bytes_and_more_are_aligned_to_16)
{
	ck_assert_uint_eq(vm_classes[1].bytes, 8);
	for (unsigned class = 2; class < CLASS_COUNT; class++) {
		ck_assert_uint_eq(vm_classes[class].bytes % 16, 0);
		ck_assert_uint_gt(vm_classes[class].bytes, vm_classes[class - 1].bytes);
	}
}
END_TEST

/* Where a power of two is a class, its blocks are aligned to it as far as the pages are. */
START_TEST(a_power_of_two_is_a_class_of_its_own)
{
	for (size_t size = 8; size <= SMALL_MOST; size *= 2)
		ck_assert_uint_eq(vm_classes[class_of_size(size)].bytes, size);
}
END_TEST

START_TEST(the_class_of_a_multiple_of_an_alignment_up_to_a_page_is_one_too)
{
	for (size_t alignment = 8; alignment <= PAGE_BYTES; alignment *= 2)
		for (size_t size = alignment; size <= SMALL_MOST; size += alignment)
			must(vm_classes[class_of_size(size)].bytes % alignment == 0);
}
END_TEST

START_TEST(slabs_have_no_rest_and_fit_their_record)
{
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		const struct sizeclass *c = &vm_classes[class];
		ck_assert_uint_eq((size_t)c->bytes * c->slots, c->pages * PAGE_BYTES);
		ck_assert_uint_ge(c->slots, 1);
		ck_assert_uint_le(c->slots, SLAB_SLOTS_MOST);
		ck_assert_uint_eq(c->slots == 1, c->bytes > 32 * KIB);
	}
}
END_TEST

START_TEST(the_reciprocal_divides_every_offset_of_a_slab_exactly)
{
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		const struct sizeclass *c = &vm_classes[class];
		size_t offset = 0;
		for (unsigned slot = 0; slot < c->slots; slot++)
			for (unsigned byte = 0; byte < c->bytes; byte++, offset++)
				must(class_slot(c, offset) == slot);
		must(offset == c->pages * PAGE_BYTES);
	}
}
END_TEST

START_TEST(class_0_is_no_class)
{
	ck_assert_uint_eq(vm_classes[CLASS_NONE].bytes, 0);
	ck_assert_uint_eq(vm_classes[CLASS_NONE].slots, 0);
	ck_assert_uint_eq(class_slot(&vm_classes[CLASS_NONE], PAGE_BYTES), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		every_size_maps_to_the_least_class_that_holds_it,
		both_ways_to_a_class_agree_where_both_hold,
		no_block_above_128_wastes_an_eighth_of_its_size_nor_above_32_KiB_a_quarter,
		blocks_of_16_bytes_and_more_are_aligned_to_16,
		a_power_of_two_is_a_class_of_its_own,
		the_class_of_a_multiple_of_an_alignment_up_to_a_page_is_one_too,
		slabs_have_no_rest_and_fit_their_record,
		the_reciprocal_divides_every_offset_of_a_slab_exactly,
		class_0_is_no_class,
		NULL,
	};
	return suite_run("sizeclass", tests, 60);
}
