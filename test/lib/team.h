/* SPDX-License-Identifier: MIT */
/* Threads that allocate at full rate until they are told to stop, for tests of what happens meanwhile. */
#ifndef TEST_TEAM_H
#define TEST_TEAM_H

#include "blocks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { TEAM_MAX = 16 };

struct team {
	size_t slots;  /* of each thread's blocks; 0: 200 */
	atomic_bool stop;
	unsigned count;
	size_t max_size;
	pthread_t thread[TEAM_MAX];
	atomic_ulong steps[TEAM_MAX];
};

/* Starts `count` threads that run blocks_step with blocks up to max_size. */
void team_start(struct team *team, unsigned count, size_t max_size);

/* Waits until each thread has done `steps` more steps: until the team really runs. */
void team_await(struct team *team, unsigned long steps);

void team_stop(struct team *team);

#endif
