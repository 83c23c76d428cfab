/* SPDX-License-Identifier: MIT */
/* Threads hand each other blocks through shared mailboxes, while threads end and begin. */
#define _GNU_SOURCE 1
#include "blocks.h"
#include "must.h"
#include "stress.h"

#include <pthread.h>
#include <stdlib.h>

enum { THREADS = 6, MAILBOXES = 512, STEPS = 5000 };

static struct block mailbox[MAILBOXES];
static pthread_mutex_t mutex[MAILBOXES];
static uint64_t base_seed;

static struct block exchange(size_t at, struct block in)
{
	pthread_mutex_lock(&mutex[at]);
	const struct block out = mailbox[at];
	mailbox[at] = in;
	pthread_mutex_unlock(&mutex[at]);
	return out;
}

static void *work(void *index)
{
	struct rng rng = rng_make(base_seed + (uintptr_t)index);

	for (int i = 0; i < STEPS && !stress_over(); i++) {
		struct block made = { NULL, 0, 0 };
		if (rng_below(&rng, 3))
			made = block_make(&rng, rng_size(&rng, i % 64 ? 40000 : 4 << 20));
		struct block taken = exchange(rng_below(&rng, MAILBOXES), made);
		block_end(&taken);
	}
	return NULL;
}

static void cross_thread(uint64_t seed)
{
	pthread_t thread[THREADS];

	base_seed = seed;
	for (int i = 0; i < MAILBOXES; i++)
		pthread_mutex_init(&mutex[i], NULL);
	for (uintptr_t i = 0; i < THREADS; i++)
		must(pthread_create(&thread[i], NULL, work, (void *)i) == 0);
	for (uintptr_t i = THREADS; !stress_over(); i++) {
		pthread_join(thread[i % THREADS], NULL);
		must(pthread_create(&thread[i % THREADS], NULL, work, (void *)i) == 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < MAILBOXES; i++)
		block_end(&mailbox[i]);
}

int main(int argc, char **argv)
{
	return stress_main(argc, argv, cross_thread);
}
