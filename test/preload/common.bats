# SPDX-License-Identifier: MIT
# The helpers of common.bash find what they are there to find.

bats_require_minimum_version 1.5.0
load common

# library NAME: build lib$NAME.so from the C text on stdin and test that one.
library() {
	need gcc
	VMALLOC_SO=$BATS_TEST_TMPDIR/lib$1.so
	gcc -shared -fPIC -x c -o "$VMALLOC_SO" - -ldl
}

@test "same_output passes with a library that changes nothing" {
	library idle <<<'int idle;'
	same_output echo text
}

@test "same_output sees a changed output" {
	library loud <<-'C'
		#include <unistd.h>
		__attribute__((constructor)) static void loud(void) { write(1, "!", 1); }
	C
	run ! same_output echo text
}

@test "same_output sees a changed status" {
	library late <<-'C'
		#include <unistd.h>
		__attribute__((destructor)) static void late(void) { _exit(3); }
	C
	run ! same_output cat /etc/passwd
}

@test "same_output sees a corrupted heap" {
	library rot <<-'C'
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <stddef.h>
		static char block[1 << 20];
		void *malloc(size_t n) { (void)n; return block; }
		void *realloc(void *p, size_t n) { (void)p; (void)n; return block; }
		void free(void *p) { (void)p; }
	C
	run ! same_output sort /etc/passwd
}

@test "same_output sees a program that fails in either case" {
	library idle <<<'int idle;'
	run ! same_output sh -c 'echo text; exit 1'
	run ! same_output true
}

@test "a library that cannot be loaded is a failure" {
	VMALLOC_SO=$BATS_TEST_TMPDIR/absent.so
	run ! same_output echo text
	run ! succeeds true
}

@test "assert_preloaded and check_loaded see a missing library" {
	library idle <<<'int idle;'
	assert_preloaded cat /proc/self/maps
	run ! assert_preloaded env -u LD_PRELOAD cat /proc/self/maps
	LD_PRELOAD=$VMALLOC_SO run ! check_loaded $$
}

@test "a function runs in a shell with the preload" {
	library idle <<<'int idle;'
	hello() { check_loaded $$; echo "hello $1"; false | true; }
	run ! same_output hello you
	hello() { check_loaded $$; echo "hello $1"; }
	same_output hello you
	grep -qx 'hello you' "$BATS_TEST_TMPDIR/preloaded.out"
}
