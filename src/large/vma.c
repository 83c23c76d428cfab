/* SPDX-License-Identifier: MIT */
#include "large/vma.h"

#include "base/check.h"

/* The family of segments that are no longer plain whatever happens. */
enum { APART = UINT32_MAX };

static struct segment *segment_of(const struct tree_node *node)
{
	return node ? CONTAINER_OF(node, struct segment, node) : NULL;
}

static bool lies_below(const struct tree_node *a, const struct tree_node *b)
{
	return segment_of(a)->start < segment_of(b)->start;
}

static struct segment *at_least(const struct vma_model *model, uintptr_t address)
{
	struct segment key = {.start = address};
	return segment_of(tree_at_least(model->root, &key.node, lies_below));
}

static struct segment *below(const struct vma_model *model, uintptr_t address)
{
	struct segment key = {.start = address};
	return segment_of(tree_below(model->root, &key.node, lies_below));
}

/* The segment that `address`, one of ours, lies in. */
static struct segment *holding(const struct vma_model *model, uintptr_t address)
{
	struct segment *segment = below(model, address + 1);
	vm_assert(segment && address < segment->end);
	return segment;
}

void vm_vma_feed(struct vma_model *model, struct segment *segment)
{
	segment->node.left = model->spare ? &model->spare->node : NULL;
	model->spare = segment;
	model->spare_count++;
}

bool vm_vma_reserve(struct vma_model *model, size_t segments)
{
	if (model->spare_count < model->reserved + segments)
		return false;
	model->reserved += segments;
	return true;
}

void vm_vma_release(struct vma_model *model, size_t segments)
{
	vm_assert(model->reserved >= segments);
	model->reserved -= segments;
}

static void insert(struct vma_model *model, uintptr_t start, uintptr_t end, uint32_t family)
{
	struct segment *segment = model->spare;
	vm_assert(segment);
	model->spare = segment_of(segment->node.left);
	model->spare_count--;
	*segment = (struct segment){.start = start, .end = end, .family = family};
	tree_insert(&model->root, &segment->node, lies_below);
	model->count++;
}

void vm_vma_mapped(struct vma_model *model, uintptr_t start, size_t bytes)
{
	uintptr_t end = start + bytes;
	struct segment *low = below(model, start);
	struct segment *high = at_least(model, start);
	vm_assert(!low || low->end <= start);
	vm_assert(!high || high->start >= end);
	bool touches_low = low && low->end == start;
	bool touches_high = high && high->start == end;
	model->changes++;
	model->bytes += bytes;
	if (touches_low && low->family == model->family)
		low->end = end;
	else if (!touches_low && touches_high && high->family == model->family)
		high->start = start;
	else
		insert(model, start, end, model->family);
}

void vm_vma_mapped_apart(struct vma_model *model, uintptr_t start, size_t bytes)
{
	model->changes++;
	model->bytes += bytes;
	insert(model, start, start + bytes, APART);
}

/* Makes two of the segment that goes across `address`; false: none does. */
static bool cut(struct vma_model *model, uintptr_t address)
{
	struct segment *low = below(model, address);
	if (!low || low->end <= address)
		return false;
	uintptr_t end = low->end;
	low->end = address;
	insert(model, address, end, low->family);
	return true;
}

/* Makes one again of what was cut. */
static void join(struct vma_model *model, uintptr_t address)
{
	struct segment *low = holding(model, address - 1);
	struct segment *high = holding(model, address);
	tree_remove(&model->root, &high->node, lies_below);
	low->end = high->end;
	model->count--;
	vm_vma_feed(model, high);
}

struct segment *vm_vma_take_out(struct vma_model *model, uintptr_t start, size_t bytes)
{
	struct segment *out = NULL;
	uintptr_t end = start + bytes;
	bool cut_low = cut(model, start);
	bool cut_high = cut(model, end);
	do {
		struct segment *segment = holding(model, start);
		start = segment->end;
		tree_remove(&model->root, &segment->node, lies_below);
		model->count--;
		model->bytes -= segment->end - segment->start;
		segment->node.left = out ? &out->node : NULL;
		out = segment;
	} while (start < end);
	out->cut_low = cut_low;
	out->cut_high = cut_high;
	out->taken_out = ++model->changes;
	return out;
}

/* Returns where the lowest begins. */
static uintptr_t reinsert(struct vma_model *model, struct segment *segments)
{
	uintptr_t start = 0;
	while (segments) {
		struct segment *segment = segments;
		segments = segment_of(segment->node.left);
		tree_insert(&model->root, &segment->node, lies_below);
		model->count++;
		model->bytes += segment->end - segment->start;
		start = segment->start;
	}
	model->changes++;
	return start;
}

void vm_vma_put_back(struct vma_model *model, struct segment *segments)
{
	for (struct segment *segment = segments; segment; segment = segment_of(segment->node.left))
		segment->family = APART;
	reinsert(model, segments);
}

void vm_vma_restore(struct vma_model *model, struct segment *segments)
{
	if (segments->taken_out != model->changes) {
		vm_vma_put_back(model, segments);
		return;
	}
	uintptr_t end = segments->end;
	bool cut_low = segments->cut_low;
	bool cut_high = segments->cut_high;
	uintptr_t start = reinsert(model, segments);
	if (cut_low)
		join(model, start);
	if (cut_high)
		join(model, end);
}

void vm_vma_drop(struct vma_model *model, struct segment *segments)
{
	while (segments) {
		struct segment *segment = segments;
		segments = segment_of(segment->node.left);
		vm_vma_feed(model, segment);
	}
}

bool vm_vma_splits(const struct vma_model *model, uintptr_t start, size_t bytes)
{
	const struct segment *segment = holding(model, start);
	return segment->start < start && segment->end > start + bytes;
}

bool vm_vma_ends_at(const struct vma_model *model, uintptr_t end)
{
	return holding(model, end - 1)->end == end;
}

bool vm_vma_is_one(const struct vma_model *model, uintptr_t start, size_t bytes)
{
	return holding(model, start)->end >= start + bytes;
}

bool vm_vma_is_whole(const struct vma_model *model, uintptr_t start, size_t bytes)
{
	return holding(model, start)->start == start && vm_vma_ends_at(model, start + bytes);
}

void vm_vma_forked(struct vma_model *model)
{
	model->family++;
}

void vm_vma_check(const struct vma_model *model)
{
	size_t count = 0;
	size_t bytes = 0;
	uintptr_t end = 0;
	for (const struct segment *segment = at_least(model, 0); segment;
	     segment = at_least(model, segment->start + 1)) {
		vm_assert(segment->start >= end && segment->end > segment->start);
		end = segment->end;
		bytes += segment->end - segment->start;
		count++;
	}
	vm_assert(count == model->count);
	vm_assert(bytes == model->bytes);
	vm_assert(model->reserved <= model->spare_count);
}
