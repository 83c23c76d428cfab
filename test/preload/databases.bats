# SPDX-License-Identifier: MIT
# Databases under the preload: servers and clients alike, on unix sockets.

load common

teardown() {
	[ -z "${shared-}" ] || rm -rf "$shared"
}

sqlite_session() {
	sqlite3 base.db <<-'SQL'
		pragma journal_mode = memory;
		create table t(id integer primary key, name text, n integer, data blob);
		with recursive c(i) as (select 1 union all select i + 1 from c where i < 60000)
		insert into t select i, 'name ' || (i * 7919 % 60000), i % 977, zeroblob(i % 100) from c;
		create index by_name on t(name);
		create index by_n on t(n, name);
		select count(*), sum(n), sum(length(data)) from t;
		select n, count(*), group_concat(id) from t where n < 3 group by n;
		select count(*) from t a join t b on a.name = 'name ' || b.n where b.id < 20000;
		delete from t where id % 3 = 0;
		update t set name = upper(name) where n = 5;
		select name, row_number() over (order by name desc) from t where n = 5 limit 5;
		with recursive w(s) as (select 'x' union all select s || s from w where length(s) < 1000000)
		select max(length(s)) from w;
		vacuum;
		pragma integrity_check;
	SQL
	sqlite3 base.db .dump | sha256sum
}

@test "sqlite3" {
	need sqlite3
	# shellcheck disable=SC2016 # the shell that sqlite3 starts has the parent
	assert_preloaded sqlite3 :memory: '.shell cat /proc/$PPID/maps'
	same_output sqlite_session
}

redis_start() {
	redis-server --port 0 --unixsocket ./socket --dir . --save '' --appendonly no >>log &
	trap 'kill %% 2>/dev/null || true' EXIT
	await 20 redis-cli -s ./socket ping
	check_loaded $!
}

redis_session() {
	redis_start
	redis-benchmark -s ./socket -q -n 4000 -c 20 -d 300 -r 3000 \
		-t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100 >benchmark
	grep -c 'requests per second' benchmark
	redis-cli -s ./socket <<-'R' >answers
		flushall
		eval "for i = 1, 5000 do redis.call('set', 'key' .. i, string.rep('v', i % 500)) end" 0
		eval "for i = 1, 5000 do redis.call('hset', 'hash' .. i % 50, i, i * i) redis.call('zadd', 'z', i, i) end" 0
		eval "for i = 1, 5000, 3 do redis.call('del', 'key' .. i) end" 0
		config set activedefrag no
		setrange big 3000000 x
		append big tail
		strlen big
		hlen hash7
		zrangebyscore z 10 20
		dbsize
		debug digest
		bgsave
	R
	cat answers
	await 20 sh -c 'redis-cli -s ./socket info persistence | grep -q rdb_bgsave_in_progress:0'
	redis-cli -s ./socket info persistence | tr -d '\r' | grep rdb_last_bgsave_status
	kill -9 $!
	wait $! || true
	redis_start
	redis-cli -s ./socket <<-'R'
		dbsize
		strlen big
		hget hash7 4957
		memory purge
		shutdown nosave
	R
	wait $!
	echo "stopped: $?"
}

@test "redis: benchmark, bgsave, restart" {
	need redis-server redis-cli redis-benchmark
	export -f redis_start
	same_output redis_session
}

# memcached_ask: the answers to the requests on stdin.
memcached_ask() {
	"$PYTHON" -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("./socket")
s.sendall(sys.stdin.buffer.read().replace(b"\n", b"\r\n") + b"quit\r\n")
for line in s.makefile("r", newline="\r\n"):
    print(line.rstrip())
'
}

memcached_session() {
	memcached -u "$(id -un)" -s ./socket -m 64 -t 4 -I 4m &
	trap 'kill %% 2>/dev/null || true' EXIT
	await 20 test -S ./socket
	check_loaded $!
	local text i
	printf -v text '%0900d' 0
	for i in {1..6000}; do
		printf 'set key%d 0 0 %d noreply\n%s\n' "$i" $((i % 900)) "${text:0:i % 900}"
	done | memcached_ask
	printf -v text '%0900000d' 0
	printf 'set big 0 0 900000\n%s\nget big\n' "$text" | memcached_ask | sha256sum
	for i in {1..6000..7}; do
		printf 'append key%d 0 0 3 noreply\nabc\nget key%d\ndelete key%d\n' "$i" "$i" $((i + 1))
	done | memcached_ask | sha256sum
	printf 'incr key1 5\nget key2\nflush_all\nget key3\n' | memcached_ask
	kill $!
	wait $! || echo "stopped: $?"
}

@test "memcached" {
	need memcached "$PYTHON"
	export -f memcached_ask
	same_output memcached_session
}

# postgres refuses to run as root, so its folder and a copy of the library lie
# where anybody can reach them.
postgres_session() {
	cd "$(mktemp -d "$shared/XXXXXX")" || return
	initdb -D data -A trust -U test --no-sync --no-instructions >log
	postgres -D data -k "$PWD" -c listen_addresses= -c fsync=off -c shared_buffers=16MB \
		-c max_parallel_workers_per_gather=2 -c min_parallel_table_scan_size=0 -c parallel_setup_cost=0 &>log &
	trap 'kill -INT %%; wait' EXIT
	export PGHOST=$PWD PGUSER=test PGDATABASE=postgres
	await 20 psql -c ''
	check_loaded $!
	psql -Atq <<-'SQL'
		copy (select pg_read_file('/proc/self/maps')) to program 'cat >maps.server';
		create table t as select i, md5(i::text) as m, repeat('x', i % 200) as x from generate_series(1, 30000) i;
		create index on t(m);
		create index on t(i);
		create table d as select i, jsonb_build_object('a', array_agg(j), 'b', md5(i::text)) as doc
			from generate_series(1, 300) i, generate_series(1, 20) j group by i;
		analyze;
		select count(*), sum(length(x)), max(m) from t;
		select left(m, 1) as k, count(*), string_agg(i::text, ',' order by i desc) filter (where i < 100)
			from t group by k order by k;
		select count(*) from t a join t b on a.m > b.m and b.i = a.i + 1;
		select sum((doc->'a'->>3)::int), max(doc->>'b') from d;
		do $$ begin for n in 1..2000 loop update t set x = x || n where i = n; end loop; end $$;
		select sum(length(x)) from t where x ~ '(x+)(1+)$';
		vacuum full t;
		select count(*) from t;
	SQL
	check_maps data/maps.server
	pgbench -iq -s 1 2>log
	pgbench -n -c 3 -j 2 -t 50 2>>log | grep 'actually processed'
	pg_dump -t t | grep -vE '^(--|\\(un)?restrict)' | sha256sum
}

as_user() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"
	else
		"$@"
	fi
}

@test "postgres: initdb, queries, pgbench" {
	PATH=$(printf '%s:' /usr/lib/postgresql/*/bin)$PATH
	need initdb postgres psql pgbench setpriv
	shared=$(mktemp -d)
	chmod 1777 "$shared"
	install -m 755 "$VMALLOC_SO" "$shared/"
	VMALLOC_SO=$shared/${VMALLOC_SO##*/}
	export shared
	export -f postgres_session
	same_output as_user bash -euo pipefail -c postgres_session
}
