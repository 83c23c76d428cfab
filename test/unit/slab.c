/* SPDX-License-Identifier: MIT */
/* small/slab.h against an oracle that knows each slot, for every class. */
#include "must.h"
#include "rng.h"
#include "suite.h"

#include "small/slab.h"

#include <string.h>

enum { STEPS = 400 };

static const uintptr_t START = (uintptr_t)1 << 40;

static bool slot_free[SLAB_SLOTS_MOST];
static size_t free_count;

static struct run new_slab(unsigned class)
{
	struct run slab = {
		.start = START,
		.pages = vm_classes[class].pages,
		.state = RUN_SLAB,
		.class = (uint8_t)class,
	};
	memset(slab.slots, 0xaa, sizeof slab.slots);
	vm_slab_init(&slab);
	memset(slot_free, 0, sizeof slot_free);
	memset(slot_free, 1, vm_classes[class].slots);
	free_count = vm_classes[class].slots;
	return slab;
}

static void *slot_address(unsigned class, size_t slot)
{
	return (void *)(START + slot * vm_classes[class].bytes);
}

static void check(const struct run *slab)
{
	vm_slab_check(slab);
	must(slab->free_slots == free_count);
	for (size_t slot = 0; slot < SLAB_SLOTS_MOST; slot++) {
		must((slab->slots[slot / 64] >> slot % 64 & 1) == slot_free[slot]);
		if (slot < vm_classes[slab->class].slots)
			must(slab_slot_state(slab, slot_address(slab->class, slot)) ==
			     (slot_free[slot] ? SLOT_FREE : SLOT_TAKEN));
	}
}

static void take(struct run *slab, size_t count)
{
	void *out[SLAB_SLOTS_MOST + 10];
	size_t taken = vm_slab_take(slab, out, count);
	must(taken == (count < free_count ? count : free_count));
	size_t slot = 0;
	for (size_t i = taken; i-- > 0; slot++) {
		while (!slot_free[slot])
			slot++;
		must(out[i] == slot_address(slab->class, slot));
		slot_free[slot] = false;
	}
	free_count -= taken;
}

static void give(struct run *slab, size_t slot)
{
	void *block = slot_address(slab->class, slot);
	must(slab_slot_state(slab, block) == (slot_free[slot] ? SLOT_FREE : SLOT_TAKEN));
	must(slab_give(slab, &vm_classes[slab->class], &block, 1) == !slot_free[slot]);
	free_count += !slot_free[slot];
	slot_free[slot] = true;
}

static bool shares_a_line(const struct run *slab, unsigned slot)
{
	const size_t bytes = vm_classes[slab->class].bytes;
	for (unsigned other = 0; other < vm_classes[slab->class].slots; other++)
		if (!slot_free[other] && other != slot &&
		    (other + 1) * bytes > align_down(slot * bytes, CACHE_LINE) &&
		    other * bytes < align_up((slot + 1) * bytes, CACHE_LINE))
			return true;
	return false;
}

START_TEST(any_sequence_takes_the_lowest_slots_and_gives_each_once)
{
	struct rng rng = rng_make(rng_process_seed());
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		struct run slab = new_slab(class);
		check(&slab);
		for (int i = 0; i < STEPS; i++) {
			size_t slots = vm_classes[class].slots;
			if (rng_below(&rng, 3) == 0)
				take(&slab, rng_size(&rng, SLAB_SLOTS_MOST + 9));
			for (size_t j = rng_size(&rng, slots); j > 0; j--)
				give(&slab, rng_below(&rng, slots));
			check(&slab);
		}
	}
}
END_TEST

START_TEST(whole_lines_hold_no_slot_that_was_taken_before)
{
	struct rng rng = rng_make(rng_process_seed());
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		struct run slab = new_slab(class);
		for (int i = 0; i < STEPS; i++) {
			void *out[SLAB_SLOTS_MOST];
			size_t slots = vm_classes[class].slots;
			size_t count = rng_size(&rng, slots);
			size_t taken = vm_slab_take_lines(&slab, out, count);
			for (size_t j = count - taken; j < count; j++) {
				unsigned slot;
				must(slab_slot(&vm_classes[class], (uintptr_t)out[j] - START, &slot));
				must(slot_free[slot] && !shares_a_line(&slab, slot));
			}
			for (size_t j = count - taken; j < count; j++)
				slot_free[((uintptr_t)out[j] - START) / vm_classes[class].bytes] = false;
			free_count -= taken;
			check(&slab);
			for (size_t j = rng_size(&rng, slots); j > 0; j--)
				give(&slab, rng_below(&rng, slots));
			if (taken < count)
				take(&slab, count - taken);
		}
	}
}
END_TEST

START_TEST(a_new_slab_has_whole_lines_only)
{
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		struct run slab = new_slab(class);
		void *out[SLAB_SLOTS_MOST];
		size_t slots = vm_classes[class].slots / 8 * 8;
		ck_assert_uint_eq(vm_slab_take_lines(&slab, out, slots), slots);
	}
}
END_TEST

enum { WINDOW = 8 };

/* A slab of which only slots of a window from `first` on are free, as the bits of `pattern` say. */
static struct run slab_with_free(unsigned class, size_t first, size_t pattern)
{
	struct run slab = new_slab(class);
	free_count = 0;
	for (size_t slot = 0; slot < vm_classes[class].slots; slot++) {
		slot_free[slot] = slot >= first && slot < first + WINDOW && pattern >> (slot - first) & 1;
		free_count += slot_free[slot];
		if (!slot_free[slot])
			slab.slots[slot / 64] &= ~(UINT64_C(1) << slot % 64);
	}
	slab.free_slots = (uint16_t)free_count;
	return slab;
}

static void try_window(unsigned class, size_t first, size_t pattern)
{
	struct run slab;
	for (size_t count = 0; count <= WINDOW + 1; count++) {
		slab = slab_with_free(class, first, pattern);
		take(&slab, count);
		check(&slab);
	}
	for (size_t slot = first; slot < first + WINDOW && slot < vm_classes[class].slots; slot++) {
		slab = slab_with_free(class, first, pattern);
		give(&slab, slot);
		check(&slab);
	}
}

/* At the start and across each border of two words. */
START_TEST(any_eight_neighbours_in_any_state_are_taken_and_given_as_they_should)
{
	for (unsigned class = 1; class < CLASS_COUNT; class++)
		if (vm_classes[class].slots != vm_classes[class - 1].slots)
			for (size_t first = 0; first < vm_classes[class].slots;
			     first += first ? 64 : 64 - WINDOW / 2)
				for (size_t pattern = 0; pattern < 1 << WINDOW; pattern++)
					try_window(class, first, pattern);
}
END_TEST

START_TEST(a_new_slab_gives_all_its_slots_and_then_none)
{
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		struct run slab = new_slab(class);
		take(&slab, SLAB_SLOTS_MOST + 1);
		check(&slab);
		void *none;
		ck_assert_uint_eq(slab.free_slots, 0);
		ck_assert_uint_eq(vm_slab_take(&slab, &none, 1), 0);
	}
}
END_TEST

START_TEST(every_address_inside_a_slot_is_askew_and_changes_nothing)
{
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		struct run slab = new_slab(class);
		take(&slab, SLAB_SLOTS_MOST / 2);
		size_t bytes = vm_classes[class].bytes;
		size_t step = bytes > 1024 ? 509 : 1; /* all would take long */
		for (size_t offset = 1; offset < slab.pages * PAGE_BYTES; offset += step) {
			if (offset % bytes == 0)
				continue;
			void *block = (char *)START + offset;
			must(slab_slot_state(&slab, block) == SLOT_ASKEW);
			must(slab_give(&slab, &vm_classes[slab.class], &block, 1) == 0);
			must(slab.free_slots == free_count);
		}
		check(&slab);
	}
}
END_TEST

START_TEST(of_many_blocks_those_before_the_first_that_is_none_to_give_are_given)
{
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		struct run slab = new_slab(class);
		size_t slots = vm_classes[class].slots;
		void *out[SLAB_SLOTS_MOST + 1];
		must(vm_slab_take(&slab, out, slots) == slots);
		out[slots] = (char *)START + slab.pages * PAGE_BYTES; /* the next slab's */
		const struct sizeclass *sizes = &vm_classes[class];
		must(slab_give(&slab, sizes, out + slots / 2, slots - slots / 2 + 1) == slots - slots / 2);
		must(slab_give(&slab, sizes, out, slots) == slots / 2);
		must(slab.free_slots == slots);
		vm_slab_check(&slab);
	}
}
END_TEST

START_TEST(a_free_slot_cannot_be_given)
{
	for (unsigned class = 1; class < CLASS_COUNT; class++) {
		struct run slab = new_slab(class);
		for (size_t slot = 0; slot < vm_classes[class].slots; slot++) {
			void *block = slot_address(class, slot);
			must(slab_give(&slab, &vm_classes[slab.class], &block, 1) == 0);
		}
		check(&slab);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		any_sequence_takes_the_lowest_slots_and_gives_each_once,
		whole_lines_hold_no_slot_that_was_taken_before,
		a_new_slab_has_whole_lines_only,
		any_eight_neighbours_in_any_state_are_taken_and_given_as_they_should,
		a_new_slab_gives_all_its_slots_and_then_none,
		every_address_inside_a_slot_is_askew_and_changes_nothing,
		of_many_blocks_those_before_the_first_that_is_none_to_give_are_given,
		a_free_slot_cannot_be_given,
		NULL,
	};
	return suite_run("slab", tests, 60);
}
