// SPDX-License-Identifier: MIT
// Blocks that another thread frees than made them: producers and consumers, threads in a ring, and
// a server whose threads leave their live blocks to their successors. Times are wall time.
#include "micro.h"

#include <thread>

namespace {

void free_all(Batch &batch)
{
	for (size_t i = 0; i < batch.count; i++)
		free(batch.blocks[i]);
	batch.count = 0;
}

void produce(Queue &queue, size_t blocks, size_t bytes)
{
	Batch batch;

	while (blocks > 0) {
		for (; batch.count < Batch::capacity && blocks > 0; blocks--)
			batch.blocks[batch.count++] = make(bytes);
		queue.put(batch);
		batch.count = 0;
	}
}

void consume(Queue &queue)
{
	for (Batch batch = queue.take(); batch.count > 0; batch = queue.take())
		free_all(batch);
}

// The time of a block, from the start of the threads to their end.
void producers_consumers(benchmark::State &state, size_t pairs, size_t bytes, size_t blocks)
{
	while (state.KeepRunningBatch(static_cast<benchmark::IterationCount>(blocks))) {
		Queue queue;
		std::vector<std::thread> producers, consumers;
		for (size_t i = 0; i < pairs; i++) {
			producers.emplace_back(produce, std::ref(queue), blocks / pairs, bytes);
			consumers.emplace_back(consume, std::ref(queue));
		}
		for (std::thread &thread : producers)
			thread.join();
		for (size_t i = 0; i < pairs; i++)
			queue.put(Batch{});
		for (std::thread &thread : consumers)
			thread.join();
	}
}

// Each frees what its neighbour made and makes as much for the next.
void ring(benchmark::State &state, size_t threads, const Sizes &sizes, size_t blocks)
{
	const size_t rounds = blocks / threads / Batch::capacity + 1;

	while (state.KeepRunningBatch(static_cast<benchmark::IterationCount>(blocks))) {
		std::vector<Queue> queues(threads);
		std::vector<std::thread> members;
		for (size_t i = 0; i < threads; i++)
			members.emplace_back([&, i] {
				Random random{i};
				Batch batch;
				for (size_t round = 0; round < rounds; round++) {
					while (batch.count < Batch::capacity)
						batch.blocks[batch.count++] = make(sizes.draw(random));
					queues[(i + 1) % threads].put(batch);
					batch = queues[i].take();
					free_all(batch);
				}
			});
		for (std::thread &thread : members)
			thread.join();
	}
}

// Two tables of sessions; in each generation two new threads take them over, the other one than
// their like before, replace random blocks, and die. The time is that of a generation.
void server(benchmark::State &state, size_t sessions, size_t replaced)
{
	const Sizes sizes = Sizes::log_uniform(16, 4096);
	std::vector<void *> tables[2] = {std::vector<void *>(sessions), std::vector<void *>(sessions)};
	size_t generation = 0;
	auto serve = [&](size_t table) {
		Random random{generation * 2 + table};
		for (size_t i = 0; i < replaced; i++) {
			void *&block = tables[table][random.below(sessions)];
			free(block);
			block = make(sizes.draw(random));
		}
	};

	for (auto _ : state) {
		std::thread first(serve, generation % 2), second(serve, (generation + 1) % 2);
		first.join();
		second.join();
		generation++;
	}
	for (std::vector<void *> &table : tables)
		for (void *block : table)
			free(block);
}

} // namespace

void add_handover_rows()
{
	const size_t blocks = scaled(1 << 16, 1 << 14, 1 << 8);
	auto unit = [](auto *row) { return row->UseRealTime()->MeasureProcessCPUTime(); };

	for (const size_t bytes : {16, 256, 4 << 10, 64 << 10})
		unit(benchmark::RegisterBenchmark(("producer_consumer/1:1/" + size_name(bytes)).c_str(),
			producers_consumers, 1, bytes, blocks));
	for (const size_t bytes : {16, 256, 4 << 10, 64 << 10})
		unit(benchmark::RegisterBenchmark(("producer_consumer/4:4/" + size_name(bytes)).c_str(),
			producers_consumers, 4, bytes, blocks));
	unit(benchmark::RegisterBenchmark("ring/small", ring, 4, Sizes::log_uniform(16, 1024), blocks));
	unit(benchmark::RegisterBenchmark("ring/all", ring, 4, Sizes::log_uniform(16, 64 << 10), blocks));
	unit(benchmark::RegisterBenchmark("server", server, scaled(20000, 20000, 100), scaled(40000, 10000, 100)))
		->Unit(benchmark::kMicrosecond);
}
