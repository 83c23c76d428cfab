// SPDX-License-Identifier: MIT
// A process with a big heap forks; the child frees some of what it inherited and makes some more.
#include "micro.h"

#include <sys/wait.h>
#include <unistd.h>

namespace {

void fork_with_heap(benchmark::State &state, size_t heap_bytes)
{
	const Sizes sizes = Sizes::log_uniform(16, 4096);
	std::vector<void *> blocks(heap_bytes / sizes.mean());
	Random random{6};

	for (void *&block : blocks)
		block = make(sizes.draw(random));
	for (auto _ : state) {
		const pid_t child = fork();
		if (child < 0)
			abort();
		if (child == 0) {
			for (size_t i = 0; i < 200 && i < blocks.size(); i++) {
				free(blocks[i * (blocks.size() / 200 + 1) % blocks.size()]);
				make(sizes.draw(random));
			}
			_exit(0);
		}
		waitpid(child, nullptr, 0);
	}
	for (void *block : blocks)
		free(block);
}

} // namespace

void add_fork_row()
{
	benchmark::RegisterBenchmark("fork", fork_with_heap, scaled(256 << 20, 64 << 20, 1 << 20))
		->UseRealTime()->Unit(benchmark::kMicrosecond);
}
