// SPDX-License-Identifier: MIT
// Blocks that change their size: arrays that grow by a factor, text that grows by a little, buffers
// that shrink.
#include "micro.h"

#include <algorithm>
#include <cstring>

namespace {

void *resize(void *block, size_t bytes)
{
	return must_have(realloc(block, bytes));
}

// As a vector does: by a factor, and what is new is written.
void grow(benchmark::State &state, size_t numerator, size_t limit)
{
	for (auto _ : state) {
		size_t bytes = 64;
		char *block = static_cast<char *>(must_have(malloc(bytes)));
		while (bytes < limit) {
			const size_t more = std::min(bytes * numerator / 2, limit);
			block = static_cast<char *>(resize(block, more));
			memset(block + bytes, 1, more - bytes);
			bytes = more;
		}
		free(block);
	}
}

// Some texts side by side that grow by a line each, so that none has the room behind it for long.
void append(benchmark::State &state, size_t limit)
{
	constexpr size_t texts = 16, line = 48;

	for (auto _ : state) {
		void *blocks[texts] = {};
		for (size_t bytes = line; bytes <= limit; bytes += line)
			for (void *&block : blocks) {
				block = resize(block, bytes);
				memset(static_cast<char *>(block) + bytes - line, 1, line);
			}
		for (void *block : blocks)
			free(block);
	}
}

void shrink(benchmark::State &state, size_t start)
{
	for (auto _ : state) {
		void *block = make(start);
		for (size_t bytes = start / 2; bytes >= 16; bytes /= 2)
			block = resize(block, bytes);
		free(block);
	}
}

} // namespace

void add_realloc_rows()
{
	const size_t limit = scaled(1 << 30, 256 << 20, 1 << 20);

	for (const size_t most : {size_t{64} << 10, size_t{8} << 20, limit}) {
		const std::string name = most == limit ? "huge" : size_name(most);
		benchmark::RegisterBenchmark(("realloc/grow_1.5/" + name).c_str(), grow, 3, most)
			->Unit(benchmark::kMicrosecond);
		benchmark::RegisterBenchmark(("realloc/grow_2/" + name).c_str(), grow, 4, most)
			->Unit(benchmark::kMicrosecond);
	}
	benchmark::RegisterBenchmark("realloc/append", append, scaled(16 << 10, 16 << 10, 1 << 10))
		->Unit(benchmark::kMicrosecond);
	for (const size_t start : {64 << 10, 4 << 20})
		benchmark::RegisterBenchmark(("realloc/shrink/" + size_name(start)).c_str(), shrink, start)
			->Unit(benchmark::kMicrosecond);
}
