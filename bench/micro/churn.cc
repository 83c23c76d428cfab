// SPDX-License-Identifier: MIT
// A live set of which random blocks are replaced: sets that fit in a cache of the processor or in
// none, and sizes as real programs ask for them.
#include "micro.h"

#include "mixes.h"

namespace {

void churn(benchmark::State &state, size_t live_bytes, const Sizes &sizes)
{
	std::vector<void *> blocks(live_bytes / sizes.mean() + 1);
	Random random{4};

	for (void *&block : blocks)
		block = make(sizes.draw(random));
	for (auto _ : state) {
		void *&block = blocks[random.below(blocks.size())];
		free(block);
		block = make(sizes.draw(random));
	}
	for (void *block : blocks)
		free(block);
}

void add(const std::string &name, size_t full, const Sizes &sizes)
{
	const size_t live_bytes = scaled(full, full, 64 << 10);

	benchmark::RegisterBenchmark(name.c_str(), churn, live_bytes, sizes);
}

} // namespace

void add_churn_rows()
{
	const Sizes sizes = Sizes::log_uniform(16, 2048);

	// Half of a common L2, half of a common L3, and more than any.
	add("churn/l2", 512 << 10, sizes);
	add("churn/l3", 8 << 20, sizes);
	add("churn/memory", 256 << 20, sizes);
	for (const Mix &mix : mixes)
		add(std::string("mix/") + mix.name, 4 << 20, Sizes::weighted(mix.weights));
}
