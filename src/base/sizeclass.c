/* SPDX-License-Identifier: MIT */
#include "base/sizeclass.h"

/*
 * The one table: X(class, size of the class below, size, pages of a slab, slots of a slab).
 * DOUBLING gives the classes from 8 * 2^m to 16 * 2^m. A slab is `times` the least one without a
 * rest: twice where that makes 512 slots or less of small ones, since blocks that follow each other
 * in a longer slab are walked faster (python3 building and walking dicts and lists of a JSON text: 5 %
 * less time than with half the size, lua: 4 % less memory; 2026-11-20), and up to 32 KiB, where the
 * least slabs hold 2 slots only. WHOLE_DOUBLING gives the classes from 4 * 2^m to 8 * 2^m, whose steps
 * are whole pages, a slab for each slot.
 */
#define DOUBLING(X, first, m, times)                                                               \
	STEP(X, first, 1, m, times)                                                                \
	STEP(X, first, 2, m, times)                                                                \
	STEP(X, first, 3, m, times)                                                                \
	STEP(X, first, 4, m, times)                                                                \
	STEP(X, first, 5, m, times)                                                                \
	STEP(X, first, 6, m, times)                                                                \
	STEP(X, first, 7, m, times)                                                                \
	STEP(X, first, 8, m, times)

#define STEP(X, first, k, m, times)                                                                \
	X((first) + (k) - 1, (7 + (k)) << (m), (8 + (k)) << (m), (8 + (k)) * (times),              \
	  (4096 >> (m)) * (times))

#define WHOLE_DOUBLING(X, first, m)                                                                \
	WHOLE_STEP(X, first, 1, m)                                                                 \
	WHOLE_STEP(X, first, 2, m)                                                                 \
	WHOLE_STEP(X, first, 3, m)                                                                 \
	WHOLE_STEP(X, first, 4, m)

#define WHOLE_STEP(X, first, k, m)                                                                 \
	X((first) + (k) - 1, (3 + (k)) << (m), (4 + (k)) << (m), (4 + (k)) << ((m) - 12), 1)

#define LOOKED_UP_CLASSES(X)                                                                       \
	X(1, 0, 8, 1, 512)                                                                         \
	X(2, 8, 16, 2, 512)                                                                        \
	X(3, 16, 32, 4, 512)                                                                       \
	X(4, 32, 48, 6, 512)                                                                       \
	X(5, 48, 64, 8, 512)                                                                       \
	X(6, 64, 80, 10, 512)                                                                      \
	X(7, 80, 96, 12, 512)                                                                      \
	X(8, 96, 112, 14, 512)                                                                     \
	X(9, 112, 128, 16, 512)                                                                    \
	DOUBLING(X, 10, 4, 2)                                                                      \
	DOUBLING(X, 18, 5, 2)                                                                      \
	DOUBLING(X, 26, 6, 1)

#define COMPUTED_CLASSES(X)                                                                        \
	DOUBLING(X, 34, 7, 1)                                                                      \
	DOUBLING(X, 42, 8, 1)                                                                      \
	DOUBLING(X, 50, 9, 1)                                                                      \
	DOUBLING(X, 58, 10, 1)                                                                     \
	DOUBLING(X, 66, 11, 2)                                                                     \
	WHOLE_DOUBLING(X, 74, 13)                                                                  \
	WHOLE_DOUBLING(X, 78, 14)                                                                  \
	WHOLE_DOUBLING(X, 82, 15)                                                                  \
	WHOLE_DOUBLING(X, 86, 16)                                                                  \
	WHOLE_DOUBLING(X, 90, 17)

#define CLASS_ROW(class, below, size, slab_pages, slab_slots)                                      \
	[class] = {.bytes = (size),                                                                \
		   .slots = (slab_slots),                                                          \
		   .pages = (slab_pages),                                                          \
		   .reciprocal = ((UINT64_C(1) << 40) + (size) - 1) / (size)},

const struct sizeclass vm_classes[CLASS_COUNT] = {LOOKED_UP_CLASSES(CLASS_ROW)
							  COMPUTED_CLASSES(CLASS_ROW)};

#define LOOKUP_RANGE(class, below, size, slab_pages, slab_slots)                                   \
	[(below) / 8 + 1 ... (size) / 8] = (class),

/* Size 0 is served as size 8. */
const uint8_t vm_class_lookup[SMALL_LOOKUP / 8 + 1] = {[0] = 1,
						       LOOKED_UP_CLASSES(LOOKUP_RANGE)};

#define TIE(class, below, size, slab_pages, slab_slots)                                            \
	_Static_assert((size) * (slab_slots) == (slab_pages) * 4096, "a slab has no rest");        \
	_Static_assert((slab_slots) <= SLAB_SLOTS_MOST, "a slab's record holds its bitmap");

LOOKED_UP_CLASSES(TIE)
COMPUTED_CLASSES(TIE)
