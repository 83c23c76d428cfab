/* SPDX-License-Identifier: MIT */
/* os/lock.h: one thread at a time, sleepers are woken, and debug builds hold to the order. */
#include "child.h"
#include "must.h"
#include "suite.h"

#include "os/lock.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

static struct lock lock = LOCK_INIT(RANK_BIN);
static struct lock lower = LOCK_INIT(RANK_META);
static size_t counted;

static void *count_up(void *argument)
{
	(void)argument;
	for (int i = 0; i < 200000; i++) {
		lock_take(&lock);
		counted++;
		lock_release(&lock);
	}
	return NULL;
}

START_TEST(one_thread_at_a_time_is_inside)
{
	pthread_t threads[3];
	for (int i = 0; i < 3; i++)
		must(!pthread_create(&threads[i], NULL, count_up, NULL));
	for (int i = 0; i < 3; i++)
		must(!pthread_join(threads[i], NULL));
	ck_assert_uint_eq(counted, 600000);
	ck_assert_uint_eq(lock.state, 0);
}
END_TEST

static void *take_once(void *argument)
{
	lock_take(&lock);
	lock_release(&lock);
	return argument;
}

static void *take_once_for_fork(void *argument)
{
	vm_lock_take_for_fork(&lock);
	vm_lock_release_after_fork(&lock);
	return argument;
}

/* A thread that sleeps because of the lock, which is taken. */
static pthread_t sleeper(void *(*body)(void *))
{
	pthread_t thread;
	must(!pthread_create(&thread, NULL, body, NULL));
	while (lock.state != 2)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	return thread;
}

START_TEST(who_sleeps_is_woken_by_either_release)
{
	lock_take(&lock);
	pthread_t first = sleeper(take_once);
	lock_release(&lock);
	must(!pthread_join(first, NULL));
	vm_lock_take_for_fork(&lock);
	pthread_t second = sleeper(take_once);
	vm_lock_release_after_fork(&lock);
	must(!pthread_join(second, NULL));
	lock_take(&lock);
	pthread_t third = sleeper(take_once_for_fork);
	lock_release(&lock);
	must(!pthread_join(third, NULL));
	ck_assert_uint_eq(lock.state, 0);
}
END_TEST

static struct child child;

static void take_in_thread(void)
{
	pthread_t thread;
	must(!pthread_create(&thread, NULL, take_once, NULL));
	must(!pthread_join(thread, NULL));
}

START_TEST(a_fork_of_one_thread_leaves_the_locks_alone_and_one_of_several_takes_them)
{
	if (lock_is_alone()) { /* where the C library tells */
		vm_lock_begin_fork();
		vm_lock_take_for_fork(&lock);
		ck_assert_uint_eq(lock.state, 0);
		/* What the fork did not take is not its to release, though a handler made a thread. */
		take_in_thread();
		lock_take(&lock);
		vm_lock_release_after_fork(&lock);
		ck_assert_uint_eq(lock.state, 1);
		lock_release(&lock);
		vm_lock_end_fork();
	}
	take_in_thread();
	vm_lock_begin_fork();
	vm_lock_take_for_fork(&lock);
	ck_assert_uint_eq(lock.state, 1);
	vm_lock_release_after_fork(&lock);
	ck_assert_uint_eq(lock.state, 0);
	vm_lock_end_fork();
}
END_TEST

static void take_upward(void *argument)
{
	(void)argument;
	lock_take(&lower);
	lock_take(&lock);
}

static void take_two_of_a_rank(void *argument)
{
	static struct lock other = LOCK_INIT(RANK_BIN);
	(void)argument;
	lock_take(&lock);
	lock_take(&other);
}

static void release_what_is_free(void *argument)
{
	(void)argument;
	lock_release(&lock);
}

static void take_downward(void *argument)
{
	(void)argument;
	lock_take(&lock);
	lock_take(&lower);
	lock_release(&lower);
	lock_release(&lock);
	lock_take(&lower);
	lock_release(&lower);
}

static void expect_broken(void (*order)(void *), const char *condition)
{
	child_run(&child, order, NULL);
	ck_assert(child_signalled(&child, SIGABRT));
	ck_assert_ptr_nonnull(strstr(child.err, condition));
}

START_TEST(debug_builds_hold_to_the_order)
{
	child_run(&child, take_downward, NULL);
	ck_assert(child_exited(&child, 0));
	if (!VM_DEBUG)
		return;
	expect_broken(take_upward, "ranks_held >> lock->rank == 0");
	expect_broken(take_two_of_a_rank, "ranks_held >> lock->rank == 0");
	expect_broken(release_what_is_free, "ranks_held & 1U << lock->rank");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		one_thread_at_a_time_is_inside,
		who_sleeps_is_woken_by_either_release,
		a_fork_of_one_thread_leaves_the_locks_alone_and_one_of_several_takes_them,
		debug_builds_hold_to_the_order,
		NULL,
	};
	return suite_run("lock", tests, 60);
}
