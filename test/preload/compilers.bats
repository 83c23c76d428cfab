# SPDX-License-Identifier: MIT
# Compilers and build tools under the preload: the same bytes come out.

bats_require_minimum_version 1.5.0
load common

# source FUNCTIONS: C text of that many functions on stdout.
source_text() {
	local i
	printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n'
	for ((i = 0; i < $1; i++)); do
		cat <<-C
			struct s$i { int a[$((i % 9 + 1))]; const char *text; };
			static int f$i(struct s$i *s, int n)
			{
				for (int i = 0; i < n; i++) {
					s->a[i % $((i % 9 + 1))] += i * $i ^ (int)strlen(s->text);
					switch (i & 7) {
					case 1: s->text = "text $i"; break;
					case 5: n -= s->a[0] & 1; break;
					}
				}
				return s->a[0];
			}
		C
	done
	printf 'int main(void)\n{\n\tlong sum = 0;\n'
	for ((i = 0; i < $1; i++)); do
		printf '\tstruct s%d v%d = { .text = "x" };\n\tsum += f%d(&v%d, 20);\n' "$i" "$i" "$i" "$i"
	done
	printf '\tprintf("%%ld\\n", sum);\n}\n'
}
export -f source_text

# The compiler is a chain of processes, so its maps are not at hand; that the
# preload goes down the whole chain is seen at a wrapper of the assembler.
compile_c() {
	source_text 80 >program.c
	"$@" -g -O2 -ffile-prefix-map="$PWD"=. -c program.c -o program.o
	"$@" program.o -o program
	sha256sum program.o program
	./program
}

@test "gcc" {
	need gcc
	mkdir "$BATS_TEST_TMPDIR/bin"
	cat >"$BATS_TEST_TMPDIR/bin/as" <<-'S'
		#!/bin/bash
		check_loaded $$ >&2 && exec as "$@" # by PATH, not by -B
	S
	chmod +x "$BATS_TEST_TMPDIR/bin/as"
	same_output compile_c gcc -B"$BATS_TEST_TMPDIR/bin/"
}

@test "clang" {
	need clang
	same_output compile_c clang
}

compile_templates() {
	"$@" -std=c++17 -c "$PROGRAMS/templates.cpp" -o templates.o
	"$@" templates.o -o templates
	sha256sum templates.o templates
	./templates
}

@test "g++: templates" {
	need g++
	same_output compile_templates g++
}

@test "clang++: templates" {
	need clang++
	same_output compile_templates clang++
}

parallel_make() {
	local i
	for i in {1..12}; do
		source_text "$i" | sed "s/int main/int main$i/" >"part$i.c"
	done
	cat >Makefile <<-'M'
		parts := $(patsubst %.c,%.o,$(sort $(wildcard part*.c)))
		all.a: $(parts); @rm -f $@; ar rcD $@ $^; sha256sum $@; cp /proc/self/maps maps
		%.o: %.c; @gcc -O1 -c $< -o $@
	M
	make -j2
	check_maps maps
	make -j2
}

@test "make -j2" {
	need make gcc ar
	same_output parallel_make
}

cmake_project() {
	mkdir source
	source_text 5 >source/main.c
	printf '%s\n' 'cmake_minimum_required(VERSION 3.10)' 'project(p C)' \
		'foreach(i RANGE 2000)' ' list(APPEND l "item ${i}")' ' set(v${i} "${l}")' 'endforeach()' \
		'list(LENGTH l n)' 'message(STATUS "length ${n}")' 'add_executable(p main.c)' >source/CMakeLists.txt
	cmake -S source -B build | grep length
	cmake --build build >log
	build/p
}

@test "cmake" {
	need cmake make gcc
	same_output cmake_project
}

# rustc and cargo bring an allocator of their own; the system's libraries in
# the same processes use the preloaded one.
cargo_project() {
	cargo init -q --vcs none --name traits .
	cp "$PROGRAMS/traits.rs" src/main.rs
	cargo run -q --offline
}

@test "rustc and cargo" {
	need rustc cargo gcc
	export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}
	rustc --version >/dev/null 2>&1 || skip "no rust toolchain behind rustc"
	same_output cargo_project
}
