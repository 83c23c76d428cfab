# SPDX-License-Identifier: MIT
# valgrind with the library preloaded: memcheck puts its own malloc in the
# place of ours and finds the faults of the program; other tools run ours.

bats_require_minimum_version 1.5.0
load common

setup() {
	need valgrind gcc
	planted=$BATS_TEST_TMPDIR/planted
	gcc -g -O0 -fno-builtin -w -o "$planted" "$PROGRAMS/planted.c"
	local name=${VMALLOC_SO##*/}
	synonyms="--soname-synonyms=somalloc=${name%%.so*}.so*"
}

# memcheck FAULT: memcheck's words go to preloaded.err.
memcheck() {
	in_folder preloaded "$BATS_TEST_TMPDIR/preloaded" \
		valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
		"$synonyms" "$planted" "$1"
	cat "$BATS_TEST_TMPDIR/preloaded.err"
	return "$(<"$BATS_TEST_TMPDIR/preloaded.status")"
}

@test "memcheck finds nothing in a clean program" {
	run -0 memcheck none
	[ -z "$output" ]
}

@test "memcheck finds a planted overflow" {
	run -9 memcheck overflow
	[[ $output == *"Invalid write of size 1"*"planted.c"*"0 bytes after a block of size 40 alloc'd"* ]]
}

@test "memcheck finds a planted use after free" {
	run -9 memcheck use
	[[ $output == *"Invalid read of size 1"*"planted.c"*"3 bytes inside a block of size 40 free'd"* ]]
}

@test "memcheck finds a planted leak" {
	run -9 memcheck leak
	[[ $output == *"40 bytes in 1 blocks are definitely lost"*"planted.c"* ]]
}

@test "memcheck without options" {
	same_output valgrind -q "$planted" none
	[ ! -s "$BATS_TEST_TMPDIR/preloaded.err" ]
}

# sort takes a block from reallocarray, which memcheck does not know, and gives
# it to free, which it does: ours has to reach realloc by the exported name.
@test "memcheck on a real program" {
	same_output valgrind -q --error-exitcode=9 "$synonyms" "$(command -v sort)" /etc/passwd
}

@test "valgrind runs our malloc, with its small break" {
	need perl
	same_output valgrind -q --tool=none "$planted" none
	same_output valgrind -q --tool=none perl -e 'my @a; push @a, "x" x 3000 for 1 .. 20000; print scalar @a'
	same_output valgrind -q --soname-synonyms=somalloc=nouserintercepts --undef-value-errors=no "$planted" none
}

@test "callgrind and massif" {
	same_output valgrind -q --tool=callgrind --callgrind-out-file=/dev/null "$planted" none
	same_output valgrind -q --tool=massif --massif-out-file=/dev/null "$planted" none
}
