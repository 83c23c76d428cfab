# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Helpers of the tests that run real programs under the preloaded library.
# VMALLOC_SO names the library; without it, the one in build/ is taken.

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
VMALLOC_SO=$(realpath -e "${VMALLOC_SO:-$here/../../build/.libs/libvmalloc.so}") || {
	echo "no library to test: build it, or set VMALLOC_SO" >&2
	exit 1
}
export VMALLOC_SO
export PROGRAMS=$here/programs
export LC_ALL=C TZ=UTC
unset LD_PRELOAD VMALLOC_CONF MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES

# pyenv and the like put a shell script before the interpreter.
PYTHON=/usr/bin/python3
[ -x "$PYTHON" ] || PYTHON=python3
export PYTHON

# need COMMAND...: skip the test, by name, on a machine without the command.
need() {
	local command
	for command; do
		command -v "$command" >/dev/null || skip "no $command"
	done
}

# need_root: skip what only the superuser can set up.
need_root() {
	[ "$(id -u)" = 0 ] || skip "not root"
}

plain() {
	timeout -k 5 60 env -u LD_PRELOAD "$@"
}

# PRELOAD names more libraries than the one.
preloaded() {
	timeout -k 5 60 env LD_PRELOAD="${PRELOAD:-$VMALLOC_SO}" "$@"
}

# check_maps FILE: FILE, a copy of some /proc/PID/maps, shows the library.
# Without the preload there is nothing to check.
check_maps() {
	[ -z "${LD_PRELOAD-}" ] || grep -qF "${VMALLOC_SO##*/}" "$1" || {
		echo "$1: ${VMALLOC_SO##*/} is not mapped"
		return 1
	}
}

# check_loaded PID: the same, of a process that runs now.
check_loaded() {
	check_maps "/proc/$1/maps"
}

# await SECONDS COMMAND...: until the command succeeds, quietly.
await() {
	local end=$((SECONDS + $1 + 1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || { echo "in vain: $*"; return 1; }
		sleep 0.02
	done
}
export -f check_maps check_loaded await

# in_folder WAY FOLDER COMMAND...: run the command WAY (plain or preloaded) in
# a new folder, leaving FOLDER.out, FOLDER.err and FOLDER.status. A COMMAND
# that is a function of the test file runs in a shell of its own, so that the
# preload reaches the shell and everything it starts.
in_folder() {
	local way=$1 folder=$2 status=0
	shift 2
	if [ "$(type -t "$1")" = function ]; then
		export -f "${1?}"
		set -- bash -euo pipefail -c '"$@"' bash "$@"
	fi
	rm -rf "$folder"
	mkdir -p "$folder"
	(cd "$folder" && "$way" "$@") >"$folder.out" 2>"$folder.err" </dev/null 3>&- || status=$?
	echo "$status" >"$folder.status"
}

# complain MESSAGE: fail, and show what the two runs left behind.
complain() {
	echo "$1"
	local file
	for file in "$BATS_TEST_TMPDIR"/{plain,preloaded}.{status,err,out}; do
		[ -s "$file" ] || continue
		echo "--- ${file##*/}"
		head -c 2000 "$file"
	done
	return 1
}

# succeeds COMMAND...: status 0 under the preload, and no word on stderr of
# the dynamic linker or of the library.
succeeds() {
	in_folder preloaded "$BATS_TEST_TMPDIR/preloaded" "$@"
	judge
}

judge() {
	local run=$BATS_TEST_TMPDIR/preloaded
	[ "$(<"$run.status")" = 0 ] || complain "fails under the preload: status $(<"$run.status")" || return
	# A refusal of memory is told once; all else from the library or the loader is wrong.
	! grep -E 'ld\.so|vmalloc:' "$run.err" | grep -qv 'libvmalloc: no memory for' || complain "words on stderr under the preload"
}

# same_output COMMAND...: the command succeeds and prints something without
# the preload; under it, it prints the same and succeeds, too. Both runs have
# a new folder as their working directory.
same_output() {
	local run=$BATS_TEST_TMPDIR
	in_folder plain "$run/plain" "$@"
	[ "$(<"$run/plain.status")" = 0 ] || complain "fails without the preload: status $(<"$run/plain.status")" || return
	[ -s "$run/plain.out" ] || complain "prints nothing" || return
	in_folder preloaded "$run/preloaded" "$@"
	cmp "$run/plain.out" "$run/preloaded.out" || complain "output differs" || return
	judge
}

# assert_preloaded COMMAND...: the command, which prints its /proc/self/maps,
# has the library mapped.
assert_preloaded() {
	in_folder preloaded "$BATS_TEST_TMPDIR/preloaded" "$@"
	judge || return
	LD_PRELOAD=$VMALLOC_SO check_maps "$BATS_TEST_TMPDIR/preloaded.out"
}
