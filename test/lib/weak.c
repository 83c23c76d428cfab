/* SPDX-License-Identifier: MIT */
#include "weak.h"

#include "choices.h"
#include "must.h"

#include <stdbool.h>
#include <string.h>

enum { LOCATIONS = 48, WRITES = 16 };

/* For each location the number of a write. */
struct view {
	uint8_t at[LOCATIONS];
};

/* Only what was written here: elsewhere there is one value, and the real memory has it. */
struct location {
	uintptr_t address;
	size_t count;
	struct {
		uint64_t value;
		struct view carries;
	} writes[WRITES];
};

static struct {
	struct location locations[LOCATIONS];
	size_t count;
	struct view seen[WEAK_THREADS];
	struct view fenced[WEAK_THREADS];  /* at the last release fence */
	struct view waiting[WEAK_THREADS]; /* seen at the next acquire fence */
	unsigned me;
	enum weak_flaw flaw;
} memory;

void weak_begin(enum weak_flaw flaw)
{
	memory.count = 0;
	memory.me = 0;
	memory.flaw = flaw;
	memset(memory.seen, 0, sizeof memory.seen);
	memset(memory.fenced, 0, sizeof memory.fenced);
	memset(memory.waiting, 0, sizeof memory.waiting);
}

static void see(struct view *view, const struct view *other)
{
	for (size_t i = 0; i < LOCATIONS; i++)
		view->at[i] = view->at[i] > other->at[i] ? view->at[i] : other->at[i];
}

void weak_become(unsigned thread)
{
	memory.me = thread;
}

void weak_hand_over_to(unsigned thread)
{
	see(&memory.seen[thread], &memory.seen[memory.me]);
}

static struct location *find(uintptr_t address)
{
	for (size_t i = 0; i < memory.count; i++)
		if (memory.locations[i].address == address)
			return &memory.locations[i];
	return NULL;
}

/* What stood there counts as a write that all have seen. */
static struct location *find_or_make(uintptr_t address)
{
	struct location *location = find(address);
	if (location)
		return location;
	must(memory.count < LOCATIONS);
	location = &memory.locations[memory.count++];
	location->address = address;
	location->count = 1;
	location->writes[0].value = *(uint64_t *)address;
	memset(&location->writes[0].carries, 0, sizeof location->writes[0].carries);
	return location;
}

static bool keeps(enum weak_flaw flaw, bool asked)
{
	return asked && memory.flaw != flaw;
}

static bool acquires(memory_order order)
{
	return order != memory_order_relaxed && order != memory_order_release;
}

static bool releases(memory_order order)
{
	return order != memory_order_relaxed && order != memory_order_acquire;
}

uint64_t weak_load(uintptr_t address, memory_order order)
{
	struct location *location = find(address);
	if (!location)
		return *(uint64_t *)address;
	uint8_t *seen = &memory.seen[memory.me].at[location - memory.locations];
	*seen += (uint8_t)(*seen + 1U < location->count ? choose(location->count - *seen) : 0);
	const struct view *carries = &location->writes[*seen].carries;
	uint64_t value = location->writes[*seen].value;
	see(&memory.waiting[memory.me], carries);
	if (keeps(WEAK_ACQUIRE_LOADS, acquires(order)))
		see(&memory.seen[memory.me], carries);
	return value;
}

void weak_store(uintptr_t address, uint64_t value, memory_order order)
{
	struct location *location = find_or_make(address);
	must(location->count < WRITES);
	size_t number = location->count++;
	size_t index = (size_t)(location - memory.locations);
	bool release = keeps(WEAK_RELEASE_STORES, releases(order));
	memory.seen[memory.me].at[index] = (uint8_t)number;
	location->writes[number].value = value;
	location->writes[number].carries = release ? memory.seen[memory.me] : memory.fenced[memory.me];
	location->writes[number].carries.at[index] = (uint8_t)number;
	*(uint64_t *)address = value;
}

void weak_fence(memory_order order)
{
	if (keeps(WEAK_RELEASE_FENCES, releases(order)))
		see(&memory.fenced[memory.me], &memory.seen[memory.me]);
	if (keeps(WEAK_ACQUIRE_FENCES, acquires(order)))
		see(&memory.seen[memory.me], &memory.waiting[memory.me]);
}
