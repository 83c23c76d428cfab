# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# SQLite in memory: inserts, indices, joins, groups, text functions.
needs=(sqlite3)
prepare() {
	local rows
	rows=$(scaled 200000 40000 1000)
	cat >input.sql <<-SQL
		pragma cache_size = 2000;
		create table t(id integer primary key, name text, n integer, data blob);
		with recursive c(i) as (select 1 union all select i + 1 from c where i < $rows)
		insert into t select i, 'name ' || (i * 7919 % 60000), i % 977, zeroblob(i % 200) from c;
		create index by_name on t(name);
		create index by_n on t(n, name);
		select n, count(*), length(group_concat(name || id)) from t group by n order by 2, 1 limit 5;
		select count(*) from t a join t b on a.name = 'name ' || b.n where b.id < $rows / 4;
		select sum(length(replace(upper(name), 'N', 'nn') || hex(data))) from t;
		delete from t where id % 3 = 0;
		update t set name = name || ' again', data = zeroblob(300) where id % 5 = 0;
		select name, row_number() over (order by name desc) from t limit 3;
		select json_group_array(json_object('id', id, 'name', name)) ->> '\$[7].name' from t;
		vacuum;
	SQL
}
run() {
	measured sqlite3 -init input.sql :memory: 'select count(*) from t'
}
