# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# The postgres server: loading, grouping, sorting, JSON, pgbench. The clients are not measured.
needs=(initdb postgres psql pgbench setpriv)

# The server refuses to run as root, so all it needs lies where anybody may reach it.
user=()
[ "$(id -u)" != 0 ] || user=(setpriv --reuid=nobody --regid=nogroup --clear-groups)

folder_for_user() {
	folder=$(mktemp -d)
	# shellcheck disable=SC2064 # the folder of now
	trap "rm -rf '$folder'" EXIT
	[ "$(id -u)" != 0 ] || chown nobody "$folder"
}

prepare() {
	local folder
	folder_for_user
	(cd "$folder" && "${user[@]}" initdb -D data -A trust -U test --no-sync --no-instructions >/dev/null)
	tar -C "$folder" -cf data.tar data
}

run() {
	local folder server rows out=
	folder_for_user
	tar -C "$folder" -xf data.tar
	set -- postgres -D data -k "$folder" -c listen_addresses= -c fsync=off -c shared_buffers=16MB \
		-c max_parallel_workers_per_gather=2 -c autovacuum=off
	if [ -n "${BENCH_MEASURE-}" ]; then
		local measure option
		read -r measure option out _ <<<"$BENCH_MEASURE"
		cp "$measure" "$folder/measure"
		case ${BENCH_LIBRARY-} in
		'') ;;
		/usr/* | /lib/*) set -- -p "$BENCH_LIBRARY" "$@" ;;
		*) cp -L "$BENCH_LIBRARY" "$folder/" && set -- -p "$folder/${BENCH_LIBRARY##*/}" "$@" ;;
		esac
		set -- "$folder/measure" "$option" "$folder/measured" "$@"
	fi
	(cd "$folder" && exec "${user[@]}" "$@" &>log) &
	server=$!
	export PGHOST=$folder PGUSER=test PGDATABASE=postgres
	await psql -c ''
	rows=$(scaled 60000 8000 500)
	psql -Atq >"$folder/answers" <<-SQL
		create table t as select i, md5(i::text) as m, repeat('x', i % 200) as x from generate_series(1, $rows) i;
		create index on t(m);
		create index on t(i);
		create table d as select i, jsonb_build_object('a', array_agg(j), 'b', md5(i::text)) as doc
			from generate_series(1, $rows / 100) i, generate_series(1, 20) j group by i;
		analyze;
		select left(m, 2) as k, count(*), string_agg(i::text, ',' order by i desc) from t group by k order by k;
		select count(*) from t a join t b on a.m > b.m and b.i = a.i + 1;
		select sum((doc->'a'->>3)::int), max(doc->>'b') from d;
		do \$\$ begin for n in 1..$rows / 20 loop update t set x = x || n where i = n; end loop; end \$\$;
		select sum(length(regexp_replace(m, '[0-9]+', '<&>', 'g'))) from t;
	SQL
	pgbench -iq -s 1 &>"$folder/answers"
	pgbench -n -c 4 -j 1 -t "$(scaled 400 50 5)" &>"$folder/answers"
	psql -c 'checkpoint' >/dev/null
	# The postmaster, child of the measuring command, ends the fast way by INT.
	kill -INT "$(head -n 1 "$folder/data/postmaster.pid")"
	wait "$server"
	[ -z "$out" ] || cat "$folder/measured" >>"$out"
}
