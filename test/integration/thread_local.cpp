/* SPDX-License-Identifier: MIT */
/* C++ thread_local destructors free and allocate while their thread ends; static ones while the process does. */
#include "child.h"
#include "must.h"
#include "opaque.h"
#include "suite.h"

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

struct holder {
	std::vector<std::string> texts;

	void fill()
	{
		for (std::size_t i = 0; i < 100; i++)
			texts.push_back(std::string(i * 50, char('a' + i % 26)));
	}

	~holder()
	{
		for (std::size_t i = 0; i < texts.size(); i++)
			must(texts[i] == std::string(i * 50, char('a' + i % 26)));
		std::free(opaque(std::malloc(200000)));
	}
};

thread_local holder local;
holder global;

START_TEST(thread_local_destructors_free_and_allocate)
{
	for (int i = 0; i < 300; i++)
		std::thread([] { local.fill(); }).join();
}
END_TEST

START_TEST(threads_that_end_together_run_their_destructors)
{
	for (int round = 0; round < 10; round++) {
		std::vector<std::thread> threads;
		for (int i = 0; i < 40; i++)
			threads.emplace_back([] { local.fill(); });
		for (auto &thread : threads)
			thread.join();
	}
}
END_TEST

void exit_with_everything_held(void *)
{
	local.fill();
	global.fill();
	std::thread([] { local.fill(); }).detach();
	std::exit(0);
}

START_TEST(exit_runs_static_and_thread_local_destructors)
{
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(child_status(exit_with_everything_held, nullptr), 0);
}
END_TEST

} // namespace

int main(int, char **argv)
{
	const TTest *const tests[] = {
		thread_local_destructors_free_and_allocate,
		threads_that_end_together_run_their_destructors,
		exit_runs_static_and_thread_local_destructors,
		nullptr,
	};
	return suite_main(argv, "thread_local", tests, 20);
}
