// SPDX-License-Identifier: MIT
// What the micro benches share: how large a run is, blocks that are touched as programs touch them,
// cheap random numbers, and threads that hand blocks to each other.
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include <benchmark/benchmark.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

enum class Scale { full, quick, smoke };
extern Scale scale;

// A figure for each scale: a smoke run shows only that the row works.
inline size_t scaled(size_t full, size_t quick, size_t smoke)
{
	return scale == Scale::full ? full : scale == Scale::quick ? quick : smoke;
}

// Each file adds its rows.
void add_pair_rows();
void add_batch_rows();
void add_churn_rows();
void add_realloc_rows();
void add_handover_rows();
void add_thread_rows();
void add_large_rows();
void add_fork_row();

// "64", "32K", "1M": how a row's name says bytes.
std::string size_name(size_t bytes);

inline void *must_have(void *block)
{
	if (!block)
		abort();
	return block;
}

// A program that asks for memory writes into it; to the kernel the first byte of a page is the page.
inline void *make(size_t bytes)
{
	char *block = static_cast<char *>(must_have(malloc(bytes)));

	for (size_t at = 0; at < bytes; at += 4096)
		*const_cast<volatile char *>(block + at) = 1;
	return block;
}

// splitmix64: one multiplication more than a load, so that what is measured is the allocator.
struct Random {
	uint64_t state;

	uint64_t next()
	{
		uint64_t z = state += 0x9E3779B97F4A7C15u;
		z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
		return z ^ z >> 31;
	}
	size_t below(size_t bound) { return static_cast<size_t>((next() >> 32) * bound >> 32); }
};

// Sizes drawn beforehand, so that drawing costs one load.
class Sizes {
public:
	// Each power of two from least to most is equally likely, and within it each size.
	static Sizes log_uniform(size_t least, size_t most);

	struct Weight {
		size_t bytes;
		unsigned weight;
	};
	static Sizes weighted(const std::vector<Weight> &weights);

	size_t draw(Random &random) const { return table[random.next() % count]; }
	size_t mean() const;

private:
	static constexpr size_t count = 1 << 14;
	std::vector<uint32_t> table;
};

// A bounded queue of batches. Batches, because a queue that costs more than malloc measures itself.
struct Batch {
	static constexpr size_t capacity = 64;
	size_t count = 0;
	void *blocks[capacity];
};

class Queue {
public:
	void put(const Batch &batch);
	Batch take(); // an empty batch means the end

private:
	static constexpr size_t limit = 16;
	std::mutex mutex;
	std::condition_variable filled, emptied;
	Batch ring[limit];
	size_t head = 0, length = 0;
};

#endif
