# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# The redis server under a mix of requests; the client is not measured.
needs=(redis-server redis-cli redis-benchmark)
run() {
	local folder requests
	folder=$(mktemp -d)
	requests=$(scaled 40000 8000 500)
	measured redis-server --port 0 --unixsocket "$folder/socket" --dir "$folder" --save '' --appendonly no \
		--hz 10 >"$folder/log" &
	local server=$!
	# shellcheck disable=SC2064 # what they are now
	trap "kill $server 2>/dev/null || :; rm -rf '$folder'" EXIT
	await redis-cli -s "$folder/socket" ping
	redis-benchmark -s "$folder/socket" -q -n "$requests" -c 20 -P 8 -d 200 -r 20000 \
		-t set,get,incr,lpush,rpush,lpop,sadd,hset,zadd,lrange_100 >"$folder/out"
	redis-cli -s "$folder/socket" shutdown nosave >/dev/null 2>&1 || :
	wait "$server"
}
