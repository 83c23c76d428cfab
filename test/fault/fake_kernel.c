/* SPDX-License-Identifier: MIT */
/* The fault sweep (sweep.h) over the core on the fake kernel, from the very first call on. */
#include "core.h"
#include "fake_os.h"
#include "must.h"
#include "sweep.h"

#include "boot.h"
#include "meta/meta.h"
#include "os/conf.h"

#include <stdatomic.h>

#include <vmalloc.h>

/* Few, so that the budget becomes tight in the scenarios. */
enum { MAP_LIMIT = 3000 };

/* In one scenario tables of pages are replaced, and stay. */
#define TABLES_OF_4_GIB (10 * MIB)
static size_t tables_replaced;

/* In the place of standalone.c's: the heap begins at the break. */
bool vm_is_process_malloc(void)
{
	return true;
}

/* Requests for records pass here (--wrap). */
static struct {
	_Atomic size_t in_use;
	_Atomic uint64_t requests;
	uint64_t fail_from;
	uint64_t fail_to;
} records;

void *__real_vm_meta_alloc(size_t bytes);
void __real_vm_meta_free(void *record, size_t bytes);
void *__wrap_vm_meta_alloc(size_t bytes);
void __wrap_vm_meta_free(void *record, size_t bytes);

void *__wrap_vm_meta_alloc(size_t bytes)
{
	const uint64_t request = ++records.requests;
	if (request >= records.fail_from && request < records.fail_to)
		return NULL;
	void *record = __real_vm_meta_alloc(bytes);
	records.in_use += record != NULL;
	return record;
}

void __wrap_vm_meta_free(void *record, size_t bytes)
{
	records.in_use -= record != NULL;
	__real_vm_meta_free(record, bytes);
}

static uint64_t calls_before;

static void refuse(uint64_t nth, bool for_ever, bool of_records)
{
	uint64_t *from = of_records ? &records.fail_from : &fake_os.fail_from;
	uint64_t *to = of_records ? &records.fail_to : &fake_os.fail_to;

	records.requests = 0;
	calls_before = fake_os.calls;
	records.fail_to = fake_os.fail_to = 0;
	*from = nth + (of_records ? 0 : calls_before);
	*to = nth ? (for_ever ? UINT64_MAX : *from + 1) : 0;
}

static uint64_t requests(bool of_records)
{
	return of_records ? records.requests : fake_os.calls - calls_before;
}

/* The library starts when it is loaded, before main: that is refused, so that each run makes it. */
static __attribute__((constructor(101))) void refuse_the_start_at_load(void)
{
	fake_os.map_limit = MAP_LIMIT;
	refuse(1, true, false);
}

static void begin(void)
{
	must(!atomic_load(&vm_booted));
	fake_os.slow = true;
}

static struct footprint footprint(void)
{
	core_must_be_empty();
	return (struct footprint){
		.bytes = fake_maps.bytes,
		.maps = fake_maps.count,
		.records = records.in_use,
		.strays = core_stray_bytes(core_ballast_bytes + tables_replaced),
	};
}

static void spare(bool meanwhile)
{
	static uint64_t fail_to;

	if (meanwhile)
		fail_to = fake_os.fail_to;
	fake_os.fail_to = meanwhile ? 0 : fail_to;
}

static void pass_time(void)
{
	fake_os_advance(1000000);
}

static size_t filled;

static void fill_maps(void)
{
	if (fake_maps.count > MAP_LIMIT)
		return;
	filled = MAP_LIMIT + 1 - fake_maps.count;
	fake_os_foreign_maps_add(filled);
}

static void empty_maps(void)
{
	fake_os_foreign_maps_remove(filled);
	filled = 0;
}

static void use_heap_only(void)
{
	tables_replaced = TABLES_OF_4_GIB;
	vm_options.mmap_threshold = GIB;
}

static void *by_realloc(size_t size)
{
	return vm_realloc(NULL, size);
}

static void *by_least_alignment(size_t size)
{
	return vm_aligned_alloc(1, size);
}

static void *(*const other_mallocs[])(size_t) = {by_realloc, by_least_alignment, NULL};
static void (*const other_frees[])(void *, size_t) = {vm_free_sized, NULL};

static void ask(void)
{
	struct vm_stats stats;
	struct vm_failure failure;

	must(vm_stats(&stats, sizeof stats) == sizeof stats);
	must(vm_last_failure(&failure) == (failure.cause != VM_CAUSE_NONE));
}

const struct world world = {
	.allocator = &core_allocator,
	.trim = vm_malloc_trim,
	.other_mallocs = other_mallocs,
	.other_frees = other_frees,
	.ask = ask,
	.begin = begin,
	.refuse = refuse,
	.requests = requests,
	.has_records = true,
	.check_tables = core_check_tables,
	.footprint = footprint,
	.spare = spare,
	.move_break = fake_os_foreign_move_break,
	.pass_time = pass_time,
	.is_writable = fake_os_is_writable,
	.forked = fake_os_become_child,
	.fill_maps = fill_maps,
	.empty_maps = empty_maps,
	.use_heap_only = use_heap_only,
};

int main(int argc, char **argv)
{
	return sweep_main(argc, argv, "fake_kernel", 2);
}
