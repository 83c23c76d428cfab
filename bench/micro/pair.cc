// SPDX-License-Identifier: MIT
// A block that is freed at once: the hit paths, by size, also of calloc and of aligned blocks.
#include "micro.h"

namespace {

void pair(benchmark::State &state, size_t bytes)
{
	for (auto _ : state) {
		char *block = static_cast<char *>(must_have(malloc(bytes)));
		*const_cast<volatile char *>(block) = 1;
		free(block);
	}
}

// Written on each page up to `written`: who gets the zeros from the kernel pays at the first write.
void pair_calloc(benchmark::State &state, size_t bytes, size_t written)
{
	for (auto _ : state) {
		char *block = static_cast<char *>(must_have(calloc(1, bytes)));
		for (size_t at = 0; at < written; at += 4096)
			*const_cast<volatile char *>(block + at) = 1;
		free(block);
	}
}

// Blocks as large as their alignment, a few alive at a time as in a pool of buffers.
void aligned(benchmark::State &state, size_t bytes)
{
	void *blocks[8] = {};
	size_t at = 0;

	for (auto _ : state) {
		free(blocks[at]);
		if (posix_memalign(&blocks[at], bytes, bytes))
			abort();
		*static_cast<volatile char *>(blocks[at]) = 1;
		at = (at + 1) % 8;
	}
	for (void *block : blocks)
		free(block);
}

} // namespace

void add_pair_rows()
{
	for (const size_t bytes : {8, 64, 512, 4 << 10, 32 << 10, 256 << 10, 1 << 20, 4 << 20})
		benchmark::RegisterBenchmark(("pair/" + size_name(bytes)).c_str(), pair, bytes);
	for (const size_t bytes : {64, 4 << 10, 64 << 10, 1 << 20})
		benchmark::RegisterBenchmark(("calloc/" + size_name(bytes)).c_str(), pair_calloc, bytes,
			bytes);
	benchmark::RegisterBenchmark("calloc/1M_sparse", pair_calloc, 1 << 20, 1);
	for (const size_t bytes : {64, 4 << 10, 64 << 10, 2 << 20})
		benchmark::RegisterBenchmark(("aligned/" + size_name(bytes)).c_str(), aligned, bytes);
}
