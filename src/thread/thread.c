/* SPDX-License-Identifier: MIT */
#include "thread/thread.h"

#include "meta/footprint.h"
#include "os/conf.h"
#include "os/lock.h"
#include "os/os.h"
#include "small/bin.h"

#include <pthread.h>
#include <stdatomic.h>

#include <vmalloc.h>

static struct {
	struct lock lock;
	struct list caches; /* in use */
	struct list left;   /* by their threads, the last one first */
	unsigned left_count;
	size_t left_bytes;
	unsigned next_shard;
	pthread_key_t exit_key;
	_Atomic uint64_t next_tick_ms; /* no earlier does a left cache go */
} threads = {.lock = LOCK_INIT(RANK_THREADS), .next_tick_ms = UINT64_MAX};

/*
 * So many caches wait for the next threads, with so many bytes in them and a sixteenth of the heap. (2,000
 * threads, four at a time, that make and free 1,000 blocks of 16 B to 2 KB: 0.18 s instead of 0.30, the same
 * memory; November 2026.)
 */
enum { LEFT_MOST = 16 };
#define LEFT_BYTES (512 * KIB)

/* A thread that frees more than this on its way out must have lived on others' blocks. */
enum { FREES_WITHOUT_CACHE = 16 };

static __thread unsigned frees_without_cache;

static struct tcache *cache_of_link(struct list *link)
{
	return CONTAINER_OF(link, struct tcache, link);
}

static void note_oldest(void)
{
	bool none = list_empty(&threads.left);
	uint64_t goes_ms = none ? UINT64_MAX : cache_of_link(threads.left.prev)->goes_ms;
	atomic_store_explicit(&threads.next_tick_ms, goes_ms, memory_order_relaxed);
}

/* A cache that is in no list, with so many bytes in it, for the next thread. False: more than may be left. */
static bool leave_to_next(struct tcache *cache, size_t bytes, uint64_t now_ms)
{
	if (!vm_options.decay_ms || threads.left_count == LEFT_MOST ||
	    threads.left_bytes + bytes > LEFT_BYTES + vm_footprint_live(FOOTPRINT_HEAP) / 16)
		return false;
	threads.left_bytes += bytes;
	threads.left_count++;
	cache->left_bytes = bytes;
	cache->goes_ms = now_ms + 2 * vm_options.decay_ms + 1;
	list_insert_before(threads.left.next, &cache->link);
	note_oldest();
	return true;
}

/* Takes a left cache out of the list. */
static struct tcache *take_left(struct list *link)
{
	struct tcache *cache = cache_of_link(link);
	list_remove(link);
	threads.left_bytes -= cache->left_bytes;
	threads.left_count--;
	note_oldest();
	return cache;
}

static void leave(void *value)
{
	struct tcache *cache = value;
	uint64_t now_ms = os_note_time(); /* for slabs that become empty */
	vm_tcache = (struct tcache *)&vm_tcache_exited;
	vm_tcache_collect(cache, now_ms); /* a row of threads with few misses each would never */
	size_t bytes = vm_tcache_cached(cache);
	lock_take(&threads.lock);
	list_remove(&cache->link);
	bool left = leave_to_next(cache, bytes, now_ms);
	lock_release(&threads.lock);
	if (!left)
		vm_tcache_delete(cache);
}

/* Those that were to go at `until_ms` or before. */
static void delete_left(uint64_t until_ms)
{
	struct tcache *cache;
	do {
		lock_take(&threads.lock);
		struct list *oldest = threads.left.prev;
		bool due = !list_empty(&threads.left) && cache_of_link(oldest)->goes_ms <= until_ms;
		cache = due ? take_left(oldest) : NULL;
		lock_release(&threads.lock);
		if (cache)
			vm_tcache_delete(cache);
	} while (cache);
}

void vm_threads_tick(uint64_t now_ms)
{
	if (now_ms >= atomic_load_explicit(&threads.next_tick_ms, memory_order_relaxed))
		delete_left(now_ms);
}

void vm_threads_trim(void)
{
	delete_left(UINT64_MAX);
}

bool vm_threads_init(void)
{
	list_init(&threads.caches);
	list_init(&threads.left);
	return !pthread_key_create(&threads.exit_key, leave);
}

/* The cache that was left last, as one in use; or NULL. */
static struct tcache *go_on_with_left(unsigned *next_shard)
{
	struct tcache *cache = NULL;
	lock_take(&threads.lock);
	if (!list_empty(&threads.left)) {
		cache = take_left(threads.left.next);
		cache->failure = (struct vm_failure){.cause = VM_CAUSE_NONE};
		list_insert_before(&threads.caches, &cache->link);
	} else {
		*next_shard = threads.next_shard++ % vm_shards;
	}
	lock_release(&threads.lock);
	return cache;
}

static struct tcache *make_cache(unsigned shard)
{
	struct tcache *cache = vm_tcache_new(shard);
	if (!cache)
		return NULL;
	lock_take(&threads.lock);
	list_insert_before(&threads.caches, &cache->link);
	lock_release(&threads.lock);
	return cache;
}

static struct tcache *enter(void)
{
	unsigned shard = 0;
	struct tcache *cache = go_on_with_left(&shard) ?: make_cache(shard);
	if (!cache)
		return NULL;
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
	stats->small_cached += threads.left_bytes;
	for (struct list *link = threads.caches.next; link != &threads.caches; link = link->next) {
		stats->threads++;
		stats->small_cached += vm_tcache_cached(cache_of_link(link));
	}
	lock_release(&threads.lock);
}

void vm_threads_lock_for_fork(void)
{
	vm_lock_take_for_fork(&threads.lock);
}

/* In a child: what is in use by another thread is out of reach. */
static void forget_others(void)
{
	list_init(&threads.caches);
	vm_tcache_forget_room();
	if (tcache_is_own()) {
		list_insert_before(&threads.caches, &vm_tcache->link);
		vm_tcache_count_room(vm_tcache);
	}
	for (struct list *link = threads.left.next; link != &threads.left; link = link->next)
		vm_tcache_count_room(cache_of_link(link));
}

void vm_threads_unlock_after_fork(bool child)
{
	if (child)
		forget_others();
	vm_lock_release_after_fork(&threads.lock);
}
