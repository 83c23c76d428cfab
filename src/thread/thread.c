/* SPDX-License-Identifier: MIT */
#include "thread/thread.h"

#include "os/lock.h"
#include "os/os.h"
#include "small/bin.h"

#include <pthread.h>

#include <vmalloc.h>

static struct {
	struct lock lock;
	struct list caches;
	unsigned next_shard;
	pthread_key_t exit_key;
} threads = {.lock = LOCK_INIT(RANK_THREADS)};

/* A thread that frees more than this on its way out must have lived on others' blocks. */
enum { FREES_WITHOUT_CACHE = 16 };

static __thread unsigned frees_without_cache;

static void leave(void *value)
{
	struct tcache *cache = value;
	os_note_time(); /* for slabs that become empty */
	vm_tcache = (struct tcache *)&vm_tcache_exited;
	lock_take(&threads.lock);
	list_remove(&cache->link);
	lock_release(&threads.lock);
	vm_tcache_delete(cache);
}

bool vm_threads_init(void)
{
	list_init(&threads.caches);
	return !pthread_key_create(&threads.exit_key, leave);
}

static struct tcache *enter(void)
{
	lock_take(&threads.lock);
	unsigned shard = threads.next_shard++ % vm_shards;
	lock_release(&threads.lock);
	struct tcache *cache = vm_tcache_new(shard);
	if (!cache)
		return NULL;
	lock_take(&threads.lock);
	list_insert_before(&threads.caches, &cache->link);
	lock_release(&threads.lock);
	vm_tcache = cache;
	/* This may allocate, with the cache that is there now; a cache that nobody would take back is none. */
	if (pthread_setspecific(threads.exit_key, cache)) {
		leave(cache);
		return NULL;
	}
	return cache;
}

struct tcache *vm_thread_cache_to_alloc(void)
{
	if (LIKELY(vm_tcache != &vm_tcache_none))
		return vm_tcache == &vm_tcache_exited ? NULL : vm_tcache;
	return enter();
}

struct tcache *vm_thread_cache_to_free(void)
{
	if (vm_tcache == &vm_tcache_none && ++frees_without_cache <= FREES_WITHOUT_CACHE)
		return NULL;
	return vm_thread_cache_to_alloc();
}

void vm_threads_stats(struct vm_stats *stats)
{
	lock_take(&threads.lock);
	for (struct list *link = threads.caches.next; link != &threads.caches; link = link->next) {
		stats->threads++;
		stats->small_cached += vm_tcache_cached(CONTAINER_OF(link, struct tcache, link));
	}
	lock_release(&threads.lock);
}

void vm_threads_lock_for_fork(void)
{
	vm_lock_take_for_fork(&threads.lock);
}

void vm_threads_unlock_after_fork(bool child)
{
	if (child) {
		bool has_cache = tcache_is_own();
		list_init(&threads.caches);
		if (has_cache)
			list_insert_before(&threads.caches, &vm_tcache->link);
		vm_tcache_forget_others(has_cache ? vm_tcache : NULL);
	}
	vm_lock_release_after_fork(&threads.lock);
}
