/* SPDX-License-Identifier: MIT */
/* A crew of threads behind one barrier. */
#define _GNU_SOURCE 1
#include "crew.h"

#include "must.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

static pthread_barrier_t start;
static void (*crew_work)(unsigned index);

static void *member(void *index)
{
	pthread_barrier_wait(&start);
	crew_work((unsigned)(uintptr_t)index);
	return NULL;
}

void crew_run(unsigned threads, void (*prepare)(void), void (*work)(unsigned index))
{
	pthread_t thread[CREW_MAX];

	must(threads >= 1 && threads <= CREW_MAX);
	crew_work = work;
	must(pthread_barrier_init(&start, NULL, threads + 1) == 0);
	for (uintptr_t i = 0; threads > 1 && i < threads; i++)
		must(pthread_create(&thread[i], NULL, member, (void *)i) == 0);
	if (prepare)
		prepare();
	if (threads == 1) {
		work(0);
		return;
	}
	pthread_barrier_wait(&start);
	for (unsigned i = 0; i < threads; i++)
		must(pthread_join(thread[i], NULL) == 0);
}
