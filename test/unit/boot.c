/* SPDX-License-Identifier: MIT */
/* boot.h where the start fails at first: another try, and forks that begin before it is made. */
#include "child.h"
#include "fake_os.h"
#include "must.h"
#include "suite.h"

#include "boot.h"
#include "large/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static void (*in_prepare)(void); /* run once, after the allocator's own handler */

static void prepare(void)
{
	void (*run)(void) = in_prepare;
	in_prepare = NULL;
	if (run)
		run();
}

/* Before the constructor of the allocator: no memory for the start, and a handler behind its own. */
static __attribute__((constructor(101))) void load_first(void)
{
	fake_os.fail_from = 1;
	fake_os.fail_to = UINT64_MAX;
	pthread_atfork(prepare, NULL, NULL);
}

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

int main(void)
{
	const TTest *const tests[] = {
		a_start_that_failed_is_made_again,
		a_fork_releases_only_the_locks_that_it_took,
		NULL,
	};
	return suite_run("boot", tests, 60);
}
