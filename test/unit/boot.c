/* SPDX-License-Identifier: MIT */
/* boot.h: forks hold every lock; where the start fails at first, another try, and forks that begin before
 * it is made. */
#include "child.h"
#include "fake_os.h"
#include "must.h"
#include "suite.h"

#include "boot.h"
#include "large/pool.h"
#include "meta/meta.h"
#include "os/lifeboat.h"
#include "os/lock.h"
#include "small/bin.h"
#include "small/pageheap.h"
#include "small/transfer.h"
#include "thread/thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <vmalloc.h>

static void (*in_prepare)(void); /* run once, after the allocator's own handler */

static void prepare(void)
{
	void (*run)(void) = in_prepare;
	in_prepare = NULL;
	if (run)
		run();
}

const char *vm_conf = "shards:2";

/* Before the allocator is loaded: no memory for the start, and a handler behind its own. */
static void load_before(void)
{
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	pthread_atfork(prepare, NULL, NULL);
}

static void (*const first)(void) __attribute__((section(".preinit_array"), used)) = load_before;

static void allow_memory(void)
{
	fake_os.fail_from = fake_os.fail_to = 0;
}

START_TEST(a_start_that_failed_is_made_again)
{
	must(!vm_boot());
	must(!vm_boot());
	allow_memory();
	must(vm_boot());
	must(atomic_load(&vm_booted));
}
END_TEST

enum { STARTERS = 8 };
static pthread_barrier_t ready;

static void *start(void *unused)
{
	pthread_barrier_wait(&ready);
	must(vm_boot());
	return unused;
}

START_TEST(of_threads_that_start_it_at_once_one_does)
{
	pthread_t threads[STARTERS];
	allow_memory();
	fake_os.slow = true;
	must(!pthread_barrier_init(&ready, NULL, STARTERS));
	for (size_t i = 0; i < STARTERS; i++)
		must(!pthread_create(&threads[i], NULL, start, NULL));
	for (size_t i = 0; i < STARTERS; i++)
		must(!pthread_join(threads[i], NULL));
	ck_assert_uint_eq(vm_region_count, 1);
}
END_TEST

static pthread_t holder;
static atomic_bool holds;
static atomic_bool may_leave;
static atomic_bool entered;

static void nothing(void *unused)
{
	(void)unused;
}

static void *boot_fork_and_hold(void *unused)
{
	must(vm_boot());
	must(child_status(nothing, NULL) == 0);
	vm_pool_enter();
	holds = true;
	while (!may_leave)
		usleep(100);
	vm_pool_leave();
	return unused;
}

static void begin_to_hold(void)
{
	allow_memory();
	must(!pthread_create(&holder, NULL, boot_fork_and_hold, NULL));
	while (!holds)
		usleep(100);
}

static void *enter(void *unused)
{
	vm_pool_enter();
	entered = true;
	vm_pool_leave();
	return unused;
}

START_TEST(a_fork_releases_only_the_locks_that_it_took)
{
	pthread_t other;
	must(!vm_boot());
	in_prepare = begin_to_hold;
	must(child_status(nothing, NULL) == 0);
	must(holds);

	must(!pthread_create(&other, NULL, enter, NULL));
	usleep(50000);
	must(!entered);
	may_leave = true;
	must(!pthread_join(holder, NULL) && !pthread_join(other, NULL));
	must(entered);
}
END_TEST

static atomic_bool prepared;

static void note_prepared(void)
{
	prepared = true;
}

static void *hold(void *unused)
{
	vm_pool_enter();
	holds = true;
	while (!may_leave)
		usleep(100);
	must(!prepared);
	vm_pool_leave();
	return unused;
}

static void *fork_once(void *unused)
{
	must(child_status(nothing, NULL) == 0);
	return unused;
}

START_TEST(a_fork_waits_for_who_is_in_the_mapping_table)
{
	pthread_t forker;
	allow_memory();
	must(vm_boot());
	must(!pthread_create(&holder, NULL, hold, NULL));
	while (!holds)
		usleep(100);
	in_prepare = note_prepared;
	must(!pthread_create(&forker, NULL, fork_once, NULL));
	usleep(50000);
	must(!prepared);
	may_leave = true;
	must(!pthread_join(holder, NULL) && !pthread_join(forker, NULL));
	must(prepared);
}
END_TEST

static struct vm_stats figures;

static void take_threads(void)
{
	vm_threads_stats(&figures);
}

static void take_first_transfer(void)
{
	vm_transfer_cached();
}

static void take_last_transfer(void)
{
	vm_transfer_get(CLASS_COUNT - 1, NULL, 0);
}

static void take_first_bin(void)
{
	vm_bin_fill(1, 0, NULL, 0);
}

static void take_last_bin(void)
{
	vm_bin_fill(CLASS_COUNT - 1, vm_shards - 1, NULL, 0);
}

static void take_large(void)
{
	vm_pool_enter();
	vm_pool_leave();
}

static void take_pageheap(void)
{
	vm_pageheap_bytes();
}

static void take_meta(void)
{
	vm_meta_mapped();
}

static void take_lifeboat(void)
{
	vm_lifeboat_records(1);
}

/* Each takes one lock, another. */
static void (*const takers[])(void) = {
	take_threads, take_first_transfer, take_last_transfer, take_first_bin, take_last_bin,
	take_large, take_pageheap, take_meta, take_lifeboat,
};
enum { TAKERS = sizeof takers / sizeof takers[0] };
static pthread_t taker_threads[TAKERS];
static atomic_bool taken[TAKERS];

static void *take_one(void *index)
{
	takers[(uintptr_t)index]();
	taken[(uintptr_t)index] = true;
	return NULL;
}

/* As the C library knows, and as it stays. */
static void have_threads(void)
{
	pthread_t thread;
	must(!pthread_create(&thread, NULL, take_one, (void *)0));
	must(!pthread_join(thread, NULL));
	taken[0] = false;
}

static void begin_to_take(void)
{
	for (uintptr_t i = 0; i < TAKERS; i++)
		must(!pthread_create(&taker_threads[i], NULL, take_one, (void *)i));
	usleep(50000);
	for (size_t i = 0; i < TAKERS; i++)
		must(!taken[i]);
}

static void take_all(void *unused)
{
	(void)unused;
	for (size_t i = 0; i < TAKERS; i++)
		takers[i]();
}

static void take_all_in_handler(void)
{
	take_all(NULL);
}

START_TEST(a_fork_of_one_thread_holds_no_lock)
{
	allow_memory();
	must(vm_boot() && vm_shards == 2);
	if (!lock_is_alone())
		return;
	in_prepare = take_all_in_handler;
	must(child_status(take_all, NULL) == 0);
	take_all(NULL);
}
END_TEST

START_TEST(a_fork_holds_every_lock_and_both_sides_have_them_free_afterwards)
{
	allow_memory();
	must(vm_boot() && vm_shards == 2);
	take_all(NULL);
	have_threads();
	in_prepare = begin_to_take;
	must(child_status(take_all, NULL) == 0);
	for (size_t i = 0; i < TAKERS; i++)
		must(!pthread_join(taker_threads[i], NULL) && taken[i]);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_fork_waits_for_who_is_in_the_mapping_table,
		a_fork_of_one_thread_holds_no_lock,
		a_fork_holds_every_lock_and_both_sides_have_them_free_afterwards,
		a_start_that_failed_is_made_again,
		of_threads_that_start_it_at_once_one_does,
		a_fork_releases_only_the_locks_that_it_took,
		NULL,
	};
	return suite_run("boot", tests, 60);
}
