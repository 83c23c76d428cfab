/* SPDX-License-Identifier: MIT */
#include "fake_maps.h"

#include "must.h"

#include <stdlib.h>
#include <string.h>

#define HUGE_BYTES ((size_t)2 << 20)

struct fake_maps fake_maps;

static bool is_writable(const struct vma *vma)
{
	return vma->kind != FAKE_RESERVED && vma->kind != FAKE_FOREIGN;
}

static void account(const struct vma *vma, int sign)
{
	size_t bytes = vma->end - vma->start;
	fake_maps.bytes += (size_t)sign * bytes;
	if (is_writable(vma))
		fake_maps.writable_bytes += (size_t)sign * bytes;
}

/* The index of the highest map that starts at or below `address`: the one it lies in, if any. */
static size_t index_at(uintptr_t address)
{
	size_t low = 0;
	size_t high = fake_maps.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (fake_maps.vmas[middle].start <= address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

struct vma *fake_maps_at(uintptr_t address)
{
	size_t index = index_at(address);
	struct vma *vma = &fake_maps.vmas[index];
	return index < fake_maps.count && address < vma->end ? vma : NULL;
}

struct vma *fake_maps_below(uintptr_t end)
{
	size_t index = index_at(end - 1);
	return index < fake_maps.count ? &fake_maps.vmas[index] : NULL;
}

struct vma *fake_maps_next_lower(struct vma *vma)
{
	return vma + 1 < fake_maps.vmas + fake_maps.count ? vma + 1 : NULL;
}

void fake_maps_insert(struct vma vma)
{
	size_t index = index_at(vma.start);
	if (fake_maps.count == fake_maps.room) {
		fake_maps.room = fake_maps.room ? 2 * fake_maps.room : 1024;
		fake_maps.vmas = realloc(fake_maps.vmas, fake_maps.room * sizeof *fake_maps.vmas);
		must(fake_maps.vmas);
	}
	struct vma *place = &fake_maps.vmas[index];
	memmove(place + 1, place, (fake_maps.count - index) * sizeof vma);
	*place = vma;
	fake_maps.count++;
	account(&vma, +1);
}

void fake_maps_erase(struct vma *vma)
{
	account(vma, -1);
	fake_maps.count--;
	memmove(vma, vma + 1, (size_t)(fake_maps.vmas + fake_maps.count - vma) * sizeof *vma);
}

void fake_maps_split(uintptr_t address)
{
	struct vma *vma = fake_maps_at(address);
	if (!vma || vma->start == address)
		return;
	struct vma high = *vma;
	account(vma, -1);
	high.start = address;
	vma->end = address;
	account(vma, +1);
	fake_maps_insert(high);
}

static bool anons_agree(const struct vma *a, const struct vma *b)
{
	if (a->anon == b->anon)
		return true;
	const struct vma *only = !a->anon ? b : !b->anon ? a : NULL;
	return only && !only->inherited;
}

bool fake_maps_can_merge(const struct vma *low, const struct vma *high)
{
	return low->end == high->start && low->kind == high->kind &&
	       low->displaced == high->displaced && !low->unmergeable && !high->unmergeable &&
	       anons_agree(low, high);
}

void fake_maps_merge(uintptr_t address)
{
	struct vma *high = fake_maps_at(address);
	struct vma *low = high ? fake_maps_next_lower(high) : NULL;
	if (!low || high->start != address || !fake_maps_can_merge(low, high))
		return;
	uintptr_t end = high->end;
	if (!low->anon) {
		low->anon = high->anon;
		low->inherited = high->inherited;
	}
	fake_maps_erase(high); /* the lower ones move up */
	fake_maps_set_end(low - 1, end);
}

bool fake_maps_cover(uintptr_t start, uintptr_t end, bool writable)
{
	while (start < end) {
		const struct vma *vma = fake_maps_at(start);
		if (!vma || (writable && !is_writable(vma)))
			return false;
		start = vma->end;
	}
	return true;
}

bool fake_maps_vacant(uintptr_t start, uintptr_t end)
{
	const struct vma *vma = fake_maps_below(end);
	return !vma || vma->end <= start;
}

uintptr_t fake_maps_place(uintptr_t low, uintptr_t high, size_t bytes)
{
	for (size_t i = index_at(high - 1); i <= fake_maps.count && high >= low + bytes; i++) {
		const struct vma *below = i < fake_maps.count ? &fake_maps.vmas[i] : NULL;
		uintptr_t hole = below && below->end > low ? below->end : low;
		uintptr_t start = (high - bytes) & ~(uintptr_t)(bytes % HUGE_BYTES ? 0 : HUGE_BYTES - 1);
		if (hole + bytes <= high && start >= hole)
			return start;
		high = below ? below->start : 0;
	}
	return 0;
}

/* As find_mergeable_anon_vma: a neighbour's is taken where the two could then merge. */
static uint32_t anon_for(const struct vma *vma)
{
	const struct vma *above = fake_maps_at(vma->end);
	const struct vma *below = fake_maps_at(vma->start - 1);
	if (above && above->anon && !above->inherited && fake_maps_can_merge(vma, above))
		return above->anon;
	if (below && below->anon && !below->inherited && fake_maps_can_merge(below, vma))
		return below->anon;
	return ++fake_maps.anons;
}

void fake_maps_touch(struct vma *vma)
{
	if (!vma->anon)
		vma->anon = anon_for(vma);
}

void fake_maps_cut_out(uintptr_t start, uintptr_t end)
{
	fake_maps_split(start);
	fake_maps_split(end);
	for (struct vma *vma = fake_maps_below(end); vma && vma->start >= start;
	     vma = fake_maps_below(end))
		fake_maps_erase(vma);
}

void fake_maps_set_end(struct vma *vma, uintptr_t end)
{
	account(vma, -1);
	vma->end = end;
	account(vma, +1);
}

void fake_maps_set_kind(struct vma *vma, enum fake_kind kind)
{
	account(vma, -1);
	vma->kind = kind;
	account(vma, +1);
}

void fake_maps_check(void)
{
	size_t bytes = 0;
	size_t writable = 0;
	for (size_t i = 0; i < fake_maps.count; i++) {
		const struct vma *vma = &fake_maps.vmas[i];
		must(vma->start < vma->end);
		must(i == 0 || vma->end <= vma[-1].start);
		bytes += vma->end - vma->start;
		writable += is_writable(vma) ? vma->end - vma->start : 0;
	}
	must(bytes == fake_maps.bytes);
	must(writable == fake_maps.writable_bytes);
}
