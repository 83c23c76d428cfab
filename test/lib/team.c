/* SPDX-License-Identifier: MIT */
/* A team of allocating threads. */
#define _GNU_SOURCE 1
#include "team.h"

#include "must.h"

#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>

struct member {
	struct team *team;
	unsigned index;
};

static struct member members[TEAM_MAX];

static void *work(void *arg)
{
	const struct member *me = arg;
	struct team *team = me->team;
	struct blocks *blocks = mmap(NULL, sizeof *blocks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(blocks != MAP_FAILED);
	blocks_init(blocks, team->slots ? team->slots : 200, team->max_size, rng_process_seed() + me->index);
	while (!atomic_load_explicit(&team->stop, memory_order_relaxed)) {
		blocks_step(blocks);
		atomic_fetch_add_explicit(&team->steps[me->index], 1, memory_order_relaxed);
	}
	blocks_free(blocks);
	munmap(blocks, sizeof *blocks);
	return NULL;
}

void team_start(struct team *team, unsigned count, size_t max_size)
{
	rng_process_seed();
	team->count = count;
	team->max_size = max_size;
	atomic_store(&team->stop, false);
	for (unsigned i = 0; i < count; i++) {
		members[i] = (struct member){ team, i };
		atomic_store(&team->steps[i], 0);
		must(pthread_create(&team->thread[i], NULL, work, &members[i]) == 0);
	}
}

void team_await(struct team *team, unsigned long steps)
{
	unsigned long start[TEAM_MAX];

	for (unsigned i = 0; i < team->count; i++)
		start[i] = atomic_load(&team->steps[i]);
	for (unsigned i = 0; i < team->count; i++)
		while (atomic_load(&team->steps[i]) - start[i] < steps)
			sched_yield();
}

void team_stop(struct team *team)
{
	atomic_store(&team->stop, true);
	for (unsigned i = 0; i < team->count; i++)
		must(pthread_join(team->thread[i], NULL) == 0);
}
