// SPDX-License-Identifier: MIT
// Many blocks made, then all freed, in the order of a stack, of a queue, or in none. The time is
// that of one block.
#include "micro.h"

#include <algorithm>
#include <numeric>

namespace {

enum class Order { lifo, fifo, random };

void batch(benchmark::State &state, size_t count, Order order, const Sizes &sizes)
{
	std::vector<void *> blocks(count);
	std::vector<uint32_t> freed(count), bytes(count);
	Random random{3};

	for (uint32_t &each : bytes)
		each = static_cast<uint32_t>(sizes.draw(random));
	std::iota(freed.begin(), freed.end(), 0);
	if (order == Order::lifo)
		std::reverse(freed.begin(), freed.end());
	if (order == Order::random)
		for (size_t i = count; i > 1; i--)
			std::swap(freed[i - 1], freed[random.below(i)]);

	while (state.KeepRunningBatch(static_cast<benchmark::IterationCount>(count))) {
		for (size_t i = 0; i < count; i++)
			blocks[i] = make(bytes[i]);
		for (const uint32_t i : freed)
			free(blocks[i]);
	}
}

} // namespace

void add_batch_rows()
{
	const Sizes one = Sizes::weighted({{64, 1}}), mixed = Sizes::log_uniform(16, 1024);

	for (const size_t full : {100, 1000, 10000, 100000}) {
		const std::string name = "batch/" + std::to_string(full);
		const size_t count = scaled(full, full, 100);
		benchmark::RegisterBenchmark((name + "/lifo").c_str(), batch, count, Order::lifo, one);
		benchmark::RegisterBenchmark((name + "/fifo").c_str(), batch, count, Order::fifo, one);
		benchmark::RegisterBenchmark((name + "/random").c_str(), batch, count, Order::random, one);
		benchmark::RegisterBenchmark((name + "/mixed").c_str(), batch, count, Order::random, mixed);
	}
}
