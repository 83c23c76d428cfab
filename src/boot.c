/* SPDX-License-Identifier: MIT */
#include "boot.h"

#include "large/large.h"
#include "meta/meta.h"
#include "os/conf.h"
#include "os/lifeboat.h"
#include "os/lock.h"
#include "os/os.h"
#include "small/bin.h"
#include "small/pageheap.h"
#include "small/transfer.h"
#include "thread/thread.h"

#include <pthread.h>

_Atomic bool vm_booted;

/*
 * Taken before all others, so it needs no rank; and, against the rule of lock.h, held over libc's functions
 * that may allocate: whoever does meets `booting` (early.h). Always an atomic lock: a library that stands
 * between us and libc may start a thread meanwhile.
 */
static struct lock boot_lock;

static bool look_around(void)
{
	vm_os_init();
	vm_conf_init();
	vm_lifeboat_init();
	return true;
}

static bool own_break;

static bool ask_whose_break(void)
{
	own_break = vm_is_process_malloc();
	return true;
}

static bool open_heap(void)
{
	return vm_pageheap_init(own_break);
}

/* Each step is made once, however many tries the start takes: it may hold maps and addresses. */
static bool start(void)
{
	static bool (*const steps[])(void) = {
		look_around, ask_whose_break, open_heap, vm_bins_init, vm_transfer_init, vm_threads_init,
	};
	static unsigned done;
	while (done < sizeof steps / sizeof steps[0] && steps[done]())
		done++;
	return done == sizeof steps / sizeof steps[0];
}

static __thread bool booting;

bool vm_is_booting(void)
{
	return booting;
}

bool vm_boot_once(void)
{
	if (booting)
		return false;
	vm_lock_take_for_fork(&boot_lock);
	booting = true;
	if (!atomic_load_explicit(&vm_booted, memory_order_relaxed))
		atomic_store_explicit(&vm_booted, start(), memory_order_release);
	booting = false;
	vm_lock_release_after_fork(&boot_lock);
	return atomic_load_explicit(&vm_booted, memory_order_relaxed);
}

/* Whether the allocator had started when the fork of this thread began: another thread may start it,
 * and fork, before this fork ends. */
static __thread bool locked_for_fork;

/* In the order of the ranks; fork then sees no structure in the middle of a change. */
static void prepare_fork(void)
{
	locked_for_fork = atomic_load_explicit(&vm_booted, memory_order_acquire);
	if (!locked_for_fork)
		return;
	vm_lock_begin_fork();
	vm_threads_lock_for_fork();
	vm_transfer_lock_for_fork();
	vm_bins_lock_for_fork();
	vm_large_lock_for_fork();
	vm_pageheap_lock_for_fork();
	vm_meta_lock_for_fork();
	vm_lifeboat_lock_for_fork();
}

static void finish_fork(bool child)
{
	if (!locked_for_fork)
		return;
	vm_lifeboat_unlock_after_fork();
	vm_meta_unlock_after_fork();
	vm_pageheap_unlock_after_fork(child);
	vm_large_unlock_after_fork(child);
	vm_bins_unlock_after_fork(child);
	vm_transfer_unlock_after_fork();
	vm_threads_unlock_after_fork(child);
	vm_lock_end_fork();
}

static void finish_fork_in_parent(void)
{
	finish_fork(false);
}

static void finish_fork_in_child(void)
{
	finish_fork(true);
}

enum { FIRST_CONSTRUCTOR = 101 }; /* the least priority that is not the compiler's */

__attribute__((constructor(FIRST_CONSTRUCTOR))) void vm_load(void)
{
	static bool loaded;
	if (loaded)
		return;
	loaded = true;
	vm_boot();
	pthread_atfork(prepare_fork, finish_fork_in_parent, finish_fork_in_child);
}
