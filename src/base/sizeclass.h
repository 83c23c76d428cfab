/* SPDX-License-Identifier: MIT */
/*
 * sizeclass.h - the size classes of small blocks, and all that follows from a class.
 *
 * Class 0 is no class: it stands in the page table for every page that holds no small blocks, and
 * its cache is never anything but empty and full. The classes are 8, the multiples of 16 up to 128, from
 * there eight equal steps to each doubling up to 32 KiB, and four up to 1 MiB: a block wastes less than an eighth of
 * its size, or a quarter, which then is pages that nothing is written to. Within a doubling the class sizes are
 * (8+k) * 2^m; a slab of (8+k) pages, or a multiple, then holds exactly PAGE_BYTES / 2^m slots, or the same multiple.
 * Above 32 KiB they are (4+k) * 2^m, and a slab is one slot.
 *
 * The more classes there are, the more of them keep a slab that the others could use. (Four steps instead of eight
 * from 32 KiB on: markdown 10.1 MB instead of 10.7, image planes of 0.3 to 8 MB 46 instead of 56; 34 programs 0.995
 * of the peak, 0.99 of the time. From 8 KiB on: 9.7, 48, 0.993, but blocks of 9 KB would take a tenth more; November
 * 2026.)
 */
#ifndef VM_SIZECLASS_H
#define VM_SIZECLASS_H

#include "base/base.h"

enum {
	CLASS_NONE = 0,
	CLASS_COUNT = 94,       /* with class 0 */
	SMALL_LOOKUP = 1024,    /* sizes up to it are looked up, larger ones computed */
	FINE_MOST = 32 << 10,   /* eight classes a doubling up to it, four beyond */
	SMALL_MOST = 1 << 20,   /* the largest class */
	SLAB_SLOTS_MOST = 512,
};

struct sizeclass {
	uint32_t bytes;        /* of a slot */
	uint16_t slots;        /* of a slab */
	uint16_t pages;        /* of a slab */
	uint64_t reciprocal;   /* 2^40 / bytes, rounded up: divides offsets in a slab exactly */
};

extern const struct sizeclass vm_classes[CLASS_COUNT];

/* The class of sizes up to SMALL_LOOKUP, by (size + 7) / 8. */
extern const uint8_t vm_class_lookup[SMALL_LOOKUP / 8 + 1] HIDDEN;

/* The class of a size above 128: the position of its highest bit and the three bits below it, or two. */
static inline unsigned class_computed(size_t size)
{
	unsigned highest = log2_floor(size - 1);
	return size <= FINE_MOST ? 8 * (highest - 3) + (unsigned)((size - 1) >> (highest - 3)) - 30
				 : 4 * (highest - 2) + (unsigned)((size - 1) >> (highest - 2)) + 18;
}

/* The class of a size up to SMALL_LOOKUP. */
static inline unsigned class_looked_up(size_t size)
{
	return vm_class_lookup[(size + 7) / 8];
}

/* The least class whose slots hold `size` bytes; size at most SMALL_MOST. */
static inline unsigned class_of_size(size_t size)
{
	return size <= SMALL_LOOKUP ? class_looked_up(size) : class_computed(size);
}

/* The slot of a slab that an offset from its start lies in. */
static inline unsigned class_slot(const struct sizeclass *class, size_t offset)
{
	return (unsigned)(offset * class->reciprocal >> 40);
}

#endif
