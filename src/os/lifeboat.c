/* SPDX-License-Identifier: MIT */
#include "os/lifeboat.h"

#include "os/conf.h"
#include "os/lock.h"
#include "os/os.h"

/* The reserve for records takes 2 maps, a region 2, its tables 6; the rest is for those who map at
 * the same moment. What they take of one part of the ballast, the next makes up for. */
enum { BALLAST_MAPS = 16, BALLAST_PARTS = 3 };

/* A young process holds one part: each map costs its start, forks and end, and to make as many as the usual
 * limit takes longer. (One that does nothing takes 680 us instead of 740, 540 without us; November 2026.)
 * One that then makes them without any tick has but one launch. What the kernel refuses of the other parts
 * is asked for again after a while. */
enum { YOUNG_MS = 16, AGAIN_MS = 1000 };

/* A launch leads to a look at the process's maps, some ms at the limit: after so long, doubled each
 * time it finds no room. */
enum { FIRST_WAIT_MS = 1000, MOST_WAIT_MS = 64000 };

/* The ballast is taken when the count is this many below the limit. */
enum { ROOM_MAPS = 1000 };

/* The records of any heap that memory can hold. */
#define RECORDS_SHARE 32
#define RECORDS_LEAST (1 * MIB)
#define RECORDS_STEP (64 * KIB)

static struct {
	struct lock lock;
	void *ballast[BALLAST_PARTS]; /* NULL: given up */
	_Atomic unsigned parts;       /* that are wanted; to be read without the lock */
	uintptr_t records; /* what is left of the reserve: [records, records_end) */
	uintptr_t records_committed; /* what of it may be touched */
	uintptr_t records_end;
	uint64_t young_until_ms;
	uint64_t wait_ms;
	uint64_t next_look_ms;
	uint64_t rest_until_ms; /* the last look took so long */
	_Atomic bool launched; /* to be read without the lock */
	_Atomic unsigned launches;
} lifeboat = {.lock = LOCK_INIT(RANK_LIFEBOAT)};

static unsigned parts_wanted(void)
{
	return atomic_load_explicit(&lifeboat.parts, memory_order_relaxed);
}

/* Takes what parts of the ballast it can. True: all are held. */
static bool hold_ballast(void)
{
	bool held = true;
	for (unsigned i = 0; i < parts_wanted(); i++) {
		if (!lifeboat.ballast[i])
			lifeboat.ballast[i] = vm_os_hold_maps(BALLAST_MAPS);
		held = held && lifeboat.ballast[i];
	}
	return held;
}

/* What is not held is looked for later: a limit of the address space may have refused it. */
static void look_later(uint64_t now_ms, bool held)
{
	lifeboat.next_look_ms = max_size(now_ms + lifeboat.wait_ms, lifeboat.rest_until_ms);
	atomic_store_explicit(&lifeboat.launched, !held, memory_order_relaxed);
}

static void want_parts(unsigned parts)
{
	atomic_store_explicit(&lifeboat.parts, parts, memory_order_relaxed);
}

void vm_lifeboat_init(void)
{
	want_parts(vm_os.map_limit < USUAL_MAP_LIMIT ? BALLAST_PARTS : 1);
	lifeboat.young_until_ms = vm_os.start_ms + YOUNG_MS;
	lifeboat.wait_ms = FIRST_WAIT_MS;
	look_later(vm_os.start_ms, hold_ballast());
}

static bool commit_records(uintptr_t end)
{
	uintptr_t from = lifeboat.records_committed;
	if (end <= from)
		return true;
	if (end > lifeboat.records_end || !vm_os_commit((void *)from, end - from))
		return false;
	lifeboat.records_committed = end;
	return true;
}

/* A share of what the kernel grants: in a limited address space the heap needs the rest. */
static void reserve_records(void)
{
	size_t bytes = align_up(vm_os.memory_bytes, RECORDS_STEP);
	void *range = NULL;
	while (bytes >= RECORDS_LEAST && !(range = vm_os_reserve(bytes)))
		bytes = align_down(bytes / 2, RECORDS_STEP);
	if (!range)
		return;
	size_t kept = max_size(align_up(bytes / RECORDS_SHARE, RECORDS_STEP), RECORDS_LEAST);
	if (kept < bytes && vm_os_unmap((char *)range + kept, bytes - kept))
		bytes = kept;
	lifeboat.records = (uintptr_t)range;
	lifeboat.records_committed = lifeboat.records;
	lifeboat.records_end = lifeboat.records + bytes;
	/* Makes the edge, which takes a map: later there may be none. */
	commit_records(lifeboat.records + RECORDS_STEP);
}

/* What no record lies in. False: the kernel refused, so it stays for records. */
static bool give_reserve_back(void)
{
	size_t left = lifeboat.records_end - lifeboat.records;
	if (left && !vm_os_unmap((void *)lifeboat.records, left))
		return false;
	lifeboat.records_end = lifeboat.records_committed = lifeboat.records;
	return true;
}

/* Gives up the next part that is held and that the kernel takes. */
static bool release_part(void)
{
	for (unsigned i = 0; i < BALLAST_PARTS; i++) {
		if (lifeboat.ballast[i] && vm_os_release_maps(lifeboat.ballast[i], BALLAST_MAPS)) {
			lifeboat.ballast[i] = NULL;
			return true;
		}
	}
	return false;
}

bool vm_lifeboat_launch(void)
{
	lock_take(&lifeboat.lock);
	bool released = vm_os_out_of_maps() && release_part();
	if (released) {
		if (lifeboat.records == lifeboat.records_end)
			reserve_records();
		lifeboat.wait_ms = FIRST_WAIT_MS;
		look_later(os_noted_ms(), false);
		atomic_fetch_add_explicit(&lifeboat.launches, 1, memory_order_relaxed);
	}
	lock_release(&lifeboat.lock);
	return released;
}

void *vm_lifeboat_records(size_t bytes)
{
	void *records = NULL;
	lock_take(&lifeboat.lock);
	bytes = align_up(bytes, RECORDS_STEP);
	if (lifeboat.records && commit_records(lifeboat.records + bytes)) {
		records = (void *)lifeboat.records;
		lifeboat.records += bytes;
	}
	lock_release(&lifeboat.lock);
	return records;
}

/* Without counting nobody knows whether there is room: the ballast is not taken again then. */
static bool has_room(uint64_t now_ms)
{
	if (!vm_options.map_count)
		return false;
	size_t limit = vm_os_map_limit();
	size_t maps = vm_os_count_maps();
	lifeboat.rest_until_ms = now_ms + os_count_pause_ms(maps);
	return maps && maps + ROOM_MAPS < limit;
}

void vm_lifeboat_tick(uint64_t now_ms)
{
	bool wants_more = parts_wanted() < BALLAST_PARTS && now_ms >= lifeboat.young_until_ms;
	if (vm_lifeboat_held() && !wants_more)
		return;
	lock_take(&lifeboat.lock);
	if (wants_more) {
		want_parts(BALLAST_PARTS);
		if (vm_lifeboat_held() && !hold_ballast()) {
			want_parts(1);
			lifeboat.young_until_ms = now_ms + AGAIN_MS;
		}
	}
	if (!vm_lifeboat_held() && now_ms >= lifeboat.next_look_ms) {
		bool held = has_room(now_ms) && hold_ballast() && give_reserve_back();
		lifeboat.wait_ms = min_size(2 * lifeboat.wait_ms, MOST_WAIT_MS);
		look_later(now_ms, held);
	}
	lock_release(&lifeboat.lock);
}

unsigned vm_lifeboat_launches(void)
{
	return atomic_load_explicit(&lifeboat.launches, memory_order_relaxed);
}

bool vm_lifeboat_held(void)
{
	return !atomic_load_explicit(&lifeboat.launched, memory_order_relaxed);
}

void vm_lifeboat_lock_for_fork(void)
{
	vm_lock_take_for_fork(&lifeboat.lock);
	/* Why: region.h, vm_regions_commit_ahead. */
	size_t left = lifeboat.records_end - lifeboat.records;
	while (!vm_lifeboat_held() && left >= RECORDS_STEP &&
	       !commit_records(lifeboat.records + align_down(left, RECORDS_STEP)))
		left /= 2;
}

void vm_lifeboat_unlock_after_fork(void)
{
	vm_lock_release_after_fork(&lifeboat.lock);
}
