// SPDX-License-Identifier: MIT
// Threads that share nothing but the allocator: a live set each, and the life of a short thread.
#include "micro.h"

#include <thread>

namespace {

// The same work in all, whatever the number of threads. The time is that of a replaced block.
void live_sets(benchmark::State &state, size_t threads, size_t work)
{
	const Sizes sizes = Sizes::log_uniform(16, 2048);

	while (state.KeepRunningBatch(static_cast<benchmark::IterationCount>(work))) {
		std::vector<std::thread> members;
		for (size_t i = 0; i < threads; i++)
			members.emplace_back([&sizes, i, share = work / threads] {
				void *blocks[256] = {};
				Random random{i};
				for (size_t done = 0; done < share; done++) {
					void *&block = blocks[random.below(256)];
					free(block);
					block = make(sizes.draw(random));
				}
				for (void *block : blocks)
					free(block);
			});
		for (std::thread &thread : members)
			thread.join();
	}
}

// Start, a first block of some sizes, exit.
void short_thread(benchmark::State &state)
{
	for (auto _ : state)
		std::thread([] {
			void *blocks[] = {make(24), make(200), make(1500)};
			for (void *block : blocks)
				free(block);
		}).join();
}

} // namespace

void add_thread_rows()
{
	const size_t work = scaled(1 << 20, 1 << 18, 1 << 10);

	for (const size_t threads : {2, 8, 32, 256})
		benchmark::RegisterBenchmark(("threads/" + std::to_string(threads)).c_str(), live_sets,
			scaled(threads, threads, threads / 2 + 1), work)->UseRealTime()->MeasureProcessCPUTime();
	benchmark::RegisterBenchmark("thread_start", short_thread)
		->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);
}
