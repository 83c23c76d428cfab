/* SPDX-License-Identifier: MIT */
/* introspect.c - glibc's windows into the allocator: mallinfo(3), malloc_info(3), malloc_stats(3),
 * malloc_trim(3), mallopt(3), told by our figures. */
#include "alloc.h"
#include "base/print.h"
#include "os/os.h"
#include "stats.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>

/* What the figures mean in glibc's terms: the arena is the heap regions, hblks the mapped blocks. */
EXPORT struct mallinfo2 mallinfo2(void)
{
	struct vm_stats stats;
	vm_stats_gather(&stats);
	/* Gathered one after the other: the heap may have shrunk meanwhile. */
	uint64_t live_in_heap = min_size(stats.small_live + stats.medium_live, stats.heap_mapped);
	return (struct mallinfo2){
		.arena = stats.heap_mapped,
		.smblks = 0,
		.hblks = stats.large_blocks,
		.hblkhd = stats.large_live,
		.fsmblks = stats.small_cached,
		.uordblks = live_in_heap,
		.fordblks = stats.heap_mapped - live_in_heap,
		.keepcost = stats.heap_free_dirty,
	};
}

static int as_int(size_t n)
{
	return n > INT32_MAX ? INT32_MAX : (int)n;
}

/* The old form, whose fields are too narrow: what does not fit is the greatest int. */
EXPORT struct mallinfo mallinfo(void)
{
	struct mallinfo2 wide = mallinfo2();
	return (struct mallinfo){
		.arena = as_int(wide.arena),
		.ordblks = as_int(wide.ordblks),
		.smblks = as_int(wide.smblks),
		.hblks = as_int(wide.hblks),
		.hblkhd = as_int(wide.hblkhd),
		.usmblks = as_int(wide.usmblks),
		.fsmblks = as_int(wide.fsmblks),
		.uordblks = as_int(wide.uordblks),
		.fordblks = as_int(wide.fordblks),
		.keepcost = as_int(wide.keepcost),
	};
}

EXPORT int malloc_trim(size_t pad)
{
	return vm_alloc_trim(pad);
}

struct figure {
	const char *name;
	uint64_t value;
};

enum { FIGURES_MOST = 32 };

/* The figures by name, in the order of struct vm_stats; returns how many. */
static size_t list_figures(struct figure figures[FIGURES_MOST])
{
	struct vm_stats stats;
	vm_stats_gather(&stats);
	const struct figure list[] = {
		{"small_live", stats.small_live},
		{"small_cached", stats.small_cached},
		{"medium_live", stats.medium_live},
		{"large_live", stats.large_live},
		{"large_blocks", stats.large_blocks},
		{"large_dirty", stats.large_dirty},
		{"large_clean", stats.large_clean},
		{"heap_mapped", stats.heap_mapped},
		{"heap_free_dirty", stats.heap_free_dirty},
		{"heap_free_clean", stats.heap_free_clean},
		{"meta_mapped", stats.meta_mapped},
		{"break_bytes", stats.break_bytes},
		{"threads", stats.threads},
		{"purges", stats.purges},
		{"purged_bytes", stats.purged_bytes},
		{"trims", stats.trims},
		{"large_dirty_ranges", stats.large_dirty_ranges},
		{"large_clean_ranges", stats.large_clean_ranges},
		{"map_limit", stats.map_limit},
		{"map_count", stats.map_count},
		{"own_maps", stats.own_maps},
		{"map_tight", stats.map_tight},
		{"lifeboat_held", stats.lifeboat_held},
		{"splits_avoided", stats.splits_avoided},
		{"unmaps_refused", stats.unmaps_refused},
	};
	size_t count = sizeof list / sizeof list[0];
	_Static_assert(sizeof list / sizeof list[0] <= FIGURES_MOST, "the caller has room");
	__builtin_memcpy(figures, list, sizeof list);
	return count;
}

EXPORT void malloc_stats(void)
{
	struct figure figures[FIGURES_MOST];
	size_t count = list_figures(figures);
	for (size_t i = 0; i < count; i++) {
		char buffer[80];
		struct print line = print_to(buffer, sizeof buffer);
		vm_print_text(&line, "libvmalloc: ");
		vm_print_text(&line, figures[i].name);
		vm_print_text(&line, " ");
		vm_print_number(&line, figures[i].value);
		vm_print_text(&line, "\n");
		vm_os_write_error(line.text, line.length);
	}
}

/* The root element is glibc's, for those who look for it; the figures are ours. */
EXPORT int malloc_info(int options, FILE *stream)
{
	if (options != 0) {
		errno = EINVAL;
		return -1;
	}
	struct figure figures[FIGURES_MOST];
	size_t count = list_figures(figures);
	fprintf(stream, "<malloc version=\"libvmalloc-%d.%d\">\n", VM_VERSION_MAJOR,
		VM_VERSION_MINOR);
	for (size_t i = 0; i < count; i++)
		fprintf(stream, "<%s value=\"%lu\"/>\n", figures[i].name,
			(unsigned long)figures[i].value);
	return fprintf(stream, "</malloc>\n") < 0 ? -1 : 0;
}

/* glibc's parameters have no counterpart here; 0 is its word for a parameter not taken. */
EXPORT int mallopt(int parameter, int value)
{
	(void)parameter;
	(void)value;
	return 0;
}
