# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# RocksDB's own bench: writes and reads at random, in a store that stays in memory tables and caches.
needs=(db_bench)
run() {
	local store=./store
	[ ! -d /dev/shm ] || store=$(mktemp -d /dev/shm/bench-XXXXXX)
	measured db_bench --benchmarks=fillrandom,readrandom,readwhilewriting --num="$(scaled 20000 8000 500)" \
		--reads="$(scaled 20000 8000 500)" --threads=2 --value_size=200 --write_buffer_size=2000000 \
		--cache_size=8000000 --disable_wal=1 --compression_type=none --seed=1 --db="$store"
	rm -rf "$store"
}
