/* SPDX-License-Identifier: MIT */
/* Forks without pause while threads allocate; children check the parent's blocks, allocate and fork again. */
#define _GNU_SOURCE 1
#include "blocks.h"
#include "child.h"
#include "must.h"
#include "stress.h"
#include "team.h"

#include <pthread.h>

static struct team team;
static struct blocks parents, own;

static void work_in_child(void *depth)
{
	blocks_check(&parents);
	blocks_init(&own, 100, 100000, (uintptr_t)depth);
	blocks_steps(&own, 300);
	if ((uintptr_t)depth % 3)
		must(child_status(work_in_child, (void *)((uintptr_t)depth - 1)) == 0);
	blocks_free(&own);
	blocks_free(&parents);
}

static void fork_storm(uint64_t seed)
{
	blocks_init(&parents, 200, 50000, seed);
	team_start(&team, 3, 200000);
	for (uintptr_t i = 0; !stress_over(); i++) {
		blocks_steps(&parents, 100);
		must(child_status(work_in_child, (void *)(i % 6)) == 0);
	}
	team_stop(&team);
	blocks_free(&parents);
}

int main(int argc, char **argv)
{
	return stress_main(argc, argv, fork_storm);
}
