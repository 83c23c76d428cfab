// SPDX-License-Identifier: MIT
// Large blocks, every page written: buffers of a fixed size that come and go, and a few of changing
// sizes alive at a time.
#include "micro.h"

namespace {

void buffer(benchmark::State &state, size_t bytes)
{
	for (auto _ : state)
		free(make(bytes));
}

void buffers(benchmark::State &state, size_t most)
{
	void *blocks[8] = {};
	Random random{5};

	for (auto _ : state) {
		void *&block = blocks[random.below(8)];
		free(block);
		block = make((most >> 5) + random.below(most));
	}
	for (void *block : blocks)
		free(block);
}

} // namespace

void add_large_rows()
{
	for (const size_t mebibytes : {1, 8, 64})
		benchmark::RegisterBenchmark(("large/" + std::to_string(mebibytes) + "M").c_str(), buffer,
			scaled(mebibytes << 20, mebibytes << 20, 1 << 20))->Unit(benchmark::kMicrosecond);
	benchmark::RegisterBenchmark("large/mixed", buffers, scaled(32 << 20, 32 << 20, 1 << 20))
		->Unit(benchmark::kMicrosecond);
}
