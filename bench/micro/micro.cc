// SPDX-License-Identifier: MIT
// The main program of the micro benches: all rows in one binary, which does not know the allocator
// (LD_PRELOAD chooses it). Options besides google-benchmark's: --quick, --smoke, --list.
#include "micro.h"

#include <cstring>

Scale scale = Scale::full;

std::string size_name(size_t bytes)
{
	if (bytes >= 1 << 20 && bytes % (1 << 20) == 0)
		return std::to_string(bytes >> 20) + "M";
	if (bytes >= 1 << 10 && bytes % (1 << 10) == 0)
		return std::to_string(bytes >> 10) + "K";
	return std::to_string(bytes);
}

Sizes Sizes::log_uniform(size_t least, size_t most)
{
	Sizes sizes;
	Random random{1};
	size_t octaves = 0;

	while (least << (octaves + 1) <= most)
		octaves++;
	for (size_t i = 0; i < count; i++) {
		const size_t low = least << random.below(octaves);
		sizes.table.push_back(static_cast<uint32_t>(low + random.below(low)));
	}
	return sizes;
}

Sizes Sizes::weighted(const std::vector<Weight> &weights)
{
	Sizes sizes;
	Random random{2};
	size_t sum = 0;

	for (const Weight &each : weights)
		sum += each.weight;
	for (size_t i = 0; i < count; i++) {
		size_t ticket = random.below(sum), k = 0;
		while (ticket >= weights[k].weight)
			ticket -= weights[k++].weight;
		sizes.table.push_back(static_cast<uint32_t>(weights[k].bytes));
	}
	return sizes;
}

size_t Sizes::mean() const
{
	size_t sum = 0;

	for (const uint32_t size : table)
		sum += size;
	return sum / count;
}

void Queue::put(const Batch &batch)
{
	std::unique_lock lock(mutex);

	emptied.wait(lock, [this] { return length < limit; });
	ring[(head + length++) % limit] = batch;
	filled.notify_one();
}

Batch Queue::take()
{
	std::unique_lock lock(mutex);

	filled.wait(lock, [this] { return length > 0; });
	const Batch batch = ring[head];
	head = (head + 1) % limit;
	length--;
	emptied.notify_one();
	return batch;
}

int main(int argc, char **argv)
{
	std::vector<char *> arguments;
	static char once[] = "--benchmark_min_time=0", list[] = "--benchmark_list_tests";

	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--quick"))
			scale = Scale::quick;
		else if (!strcmp(argv[i], "--smoke"))
			scale = Scale::smoke;
		else
			arguments.push_back(strcmp(argv[i], "--list") ? argv[i] : list);
	}
	if (scale == Scale::smoke)
		arguments.push_back(once);
	int count = static_cast<int>(arguments.size());
	arguments.push_back(nullptr);

	add_pair_rows();
	add_batch_rows();
	add_churn_rows();
	add_realloc_rows();
	add_handover_rows();
	add_thread_rows();
	add_large_rows();
	add_fork_row();
	benchmark::Initialize(&count, arguments.data());
	if (benchmark::ReportUnrecognizedArguments(count, arguments.data()))
		return 2;
	benchmark::RunSpecifiedBenchmarks();
	return 0;
}
