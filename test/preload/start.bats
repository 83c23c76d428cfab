# SPDX-License-Identifier: MIT
# Ways to start a program under the preload, and what the start costs.

bats_require_minimum_version 1.5.0
load common

teardown() {
	[ -z "${shared-}" ] || rm -rf "$shared"
}

# A program that fills some hundred MiB with blocks of all sizes.
fill='my @held; for my $i (1 .. 60000) { $held[$i % 20000] = "x" x ($i * 37 % 9000); }
	my $sum = 0; $sum += length for grep { defined } @held; print "$sum\n"'

loader() {
	local file
	for file in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do
		[ ! -x "$file" ] || { echo "$file"; return; }
	done
}

through_loader() {
	local library=${LD_PRELOAD-}
	unset LD_PRELOAD
	"$loader" ${library:+--preload "$library"} "$@"
}

@test "ld.so --preload LIBRARY PROGRAM" {
	need perl
	loader=$(loader)
	[ -n "$loader" ] || skip "no ld.so known for this machine"
	export loader
	assert_preloaded through_loader /bin/cat /proc/self/maps
	same_output through_loader "$(command -v perl)" -e "$fill"
	same_output through_loader "$(command -v bash)" "$PROGRAMS/words.bash"
}

@test "LD_PRELOAD and ld.so PROGRAM" {
	need perl
	loader=$(loader)
	[ -n "$loader" ] || skip "no ld.so known for this machine"
	same_output "$loader" "$(command -v perl)" -e "$fill"
}

@test "setarch -R" {
	need setarch perl
	setarch -R true || skip "setarch -R is not permitted"
	same_output setarch -R perl -e "$fill"
	same_output setarch -R -L perl -e "$fill"
}

# The limit is set by a shell that the library is already in.
limited() {
	ulimit "$1" "$2"
	shift 2
	"$@"
}

@test "ulimit -v 200000 before the start" {
	need perl "$PYTHON"
	ulimit -v 200000
	same_output bash "$PROGRAMS/words.bash"
	same_output perl -e 'print "x" x 30000000 eq "y" ? 1 : 2, join ",", map { $_ x 9 } 1 .. 9999'
	same_output "$PYTHON" -c 'import json; print(len(json.dumps([{str(i): i} for i in range(50000)])))'
	same_output sort --parallel=2 /etc/services /etc/passwd
}

@test "ulimit -v 200000 in a running shell" {
	same_output limited -v 200000 bash "$PROGRAMS/words.bash"
	same_output limited -v 200000 eval 'for i in {1..20000}; do s+=$i; done; echo "${#s}"'
}

@test "ulimit -v: memory runs out, and the program goes on" {
	need "$PYTHON"
	ulimit -v 200000
	same_output env PYTHONMALLOC=malloc "$PYTHON" "$PROGRAMS/exhaust.py" 2000 600000
	same_output env PYTHONMALLOC=malloc "$PYTHON" "$PROGRAMS/exhaust.py" 40000 8000000
}

@test "ulimit -d small" {
	need perl
	same_output limited -d 4000 bash -c 'for i in {1..500}; do s+=$i; done; echo "$s"'
	same_output limited -d 6000 perl -e 'print join ",", map { $_ x 3 } 1 .. 2000'
	same_output limited -d 4000 sort /etc/passwd
}

@test "ulimit -d: memory runs out, and the program goes on" {
	need "$PYTHON"
	same_output limited -d 100000 env PYTHONMALLOC=malloc "$PYTHON" "$PROGRAMS/exhaust.py" 2000 600000
}

@test "ulimit -s unlimited: maps grow upward" {
	need perl "$PYTHON"
	(ulimit -s unlimited) 2>/dev/null || skip "the limit of the stack cannot be raised"
	same_output limited -s unlimited perl -e "$fill"
	same_output limited -s unlimited env PYTHONMALLOC=malloc "$PYTHON" "$PROGRAMS/objects.py"
}

@test "two preloads at once, in either order" {
	need gcc perl
	local other=$BATS_TEST_TMPDIR/libidle.so
	gcc -shared -fPIC -x c -o "$other" - <<-'C'
		#include <stdlib.h>
		__attribute__((constructor)) static void first(void) { free(realloc(malloc(7), 70000)); }
	C
	for PRELOAD in "$other:$VMALLOC_SO" "$VMALLOC_SO $other" "$VMALLOC_SO:$VMALLOC_SO"; do
		assert_preloaded cat /proc/self/maps
		same_output perl -e "$fill"
	done
}

@test "another malloc preloaded after it" {
	local other
	for other in /usr/lib/*/lib{jemalloc.so.2,tcmalloc_minimal.so.4,mimalloc.so.2}; do
		[ -e "$other" ] && [ "${other##*/}" != "${VMALLOC_SO##*/}" ] || continue
		PRELOAD=$VMALLOC_SO:$other
		same_output "$PYTHON" "$PROGRAMS/threads.py"
	done
	[ -n "${PRELOAD-}" ] || skip "no other malloc"
}

bare() {
	env -i ${LD_PRELOAD:+LD_PRELOAD="$LD_PRELOAD"} "$@"
}

@test "an empty environment" {
	need perl
	assert_preloaded bare /bin/cat /proc/self/maps
	same_output bare "$(command -v perl)" -e "$fill"
}

without_streams() {
	# shellcheck disable=SC2016 # the far shell's own
	bash -c 'exec <&- >&- 2>&-; exec 3>list; ls /proc/self/fd >&3'
	cat list
}

@test "no descriptor is left open, nor taken from a closed stream" {
	same_output ls /proc/self/fd
	same_output without_streams
}

no_proc() {
	# shellcheck disable=SC2016 # the far shell's own
	unshare -m bash -c 'umount -l /proc && exec "$@"' bash "$@"
}

@test "no /proc" {
	need unshare perl
	unshare -m umount -l /proc || skip "no mount name space of our own"
	same_output no_proc perl -e "$fill"
}

@test "a set-user-id program runs without the preload" {
	need_root
	need setpriv
	shared=$(mktemp -d)
	chmod 755 "$shared"
	install -m 755 "$VMALLOC_SO" "$shared/"
	install -m 4755 "$(command -v cat)" "$shared/cat"
	VMALLOC_SO=$shared/${VMALLOC_SO##*/}
	succeeds setpriv --reuid=nobody --clear-groups "$shared/cat" /proc/self/maps
	grep -q libc "$BATS_TEST_TMPDIR/preloaded.out"
	run -1 grep -F "$VMALLOC_SO" "$BATS_TEST_TMPDIR/preloaded.out"
}

@test "dlopen of the library, no preload" {
	need "$PYTHON"
	plain "$PYTHON" - <<-'P'
		import ctypes, os, threading
		library = ctypes.CDLL(os.environ["VMALLOC_SO"])
		library.vm_malloc.restype = ctypes.c_void_p
		library.vm_free.argtypes = [ctypes.c_void_p]
		def work():
		    for n in range(2000):
		        library.vm_free(library.vm_malloc(n * 50))
		threads = [threading.Thread(target=work) for _ in range(4)]
		for thread in threads: thread.start()
		for thread in threads: thread.join()
	P
}

# With RTLD_DEEPBIND a library's malloc and free are libc's, unless the preload
# does something about it; php opens its extensions so.
open_deep() {
	mkdir -p near/far
	gcc -shared -fPIC -x c -o near/far/libfar.so - <<<'int far;'
	# shellcheck disable=SC2016 # for the dynamic linker
	gcc -DDEEP -shared -fPIC -Wl,-rpath,'$ORIGIN/far' -o near/libnear.so "$PROGRAMS/open_deep.c"
	# shellcheck disable=SC2016
	gcc -Wl,-rpath,'$ORIGIN/near' -o open_deep "$PROGRAMS/open_deep.c"
	./open_deep libnear.so
}

@test "blocks cross to a library opened with RTLD_DEEPBIND, and back" {
	need gcc
	same_output open_deep
}

# The C++ library of the host is part of it, the plugin's own is in no scope but the plugin's.
plugin_host() {
	g++ -O1 -DPLUGIN -shared -fPIC -o plugin.so "$PROGRAMS/plugin_host.cpp"
	g++ -O1 -static-libstdc++ -rdynamic -o plugin_host "$PROGRAMS/plugin_host.cpp" -ldl
	./plugin_host ./plugin.so
}

@test "nothrow new of a plugin whose host has the operators" {
	need g++
	same_output plugin_host
}

@test "a program that takes the address of malloc has its heap at the break" {
	need gcc
	local how
	for how in "-fno-pie -no-pie" "-fpie -pie"; do
		# shellcheck disable=SC2086
		gcc -O1 $how -o "$BATS_TEST_TMPDIR/at_break" "$PROGRAMS/at_break.c"
		[ "$(preloaded "$BATS_TEST_TMPDIR/at_break")" = "at the break" ]
	done
}

@test "a library that allocates where it stands before the C library, before and after ours" {
	need gcc perl
	local between=$BATS_TEST_TMPDIR/between.so
	gcc -O1 -Wall -Wextra -shared -fPIC -o "$between" "$PROGRAMS/between.c"
	for PRELOAD in "$VMALLOC_SO:$between" "$between:$VMALLOC_SO"; do
		export PRELOAD
		assert_preloaded /bin/cat /proc/self/maps
		same_output perl -e "$fill"
		same_output bash "$PROGRAMS/words.bash"
	done
}

# median NUMBER...
median() {
	printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

@test "a trivial program's resident memory grows by at most 400 KiB" {
	need gcc
	[ "${VM_DEBUG:-0}" = 0 ] || skip "a debug build"
	# A fault maps 64 KiB of a file around it, cut by where the file happens to lie: a few hundred KiB
	# of libc come and go from run to run.
	local plain with growth attempts=3
	gcc -O1 -o "$BATS_TEST_TMPDIR/resident" "$PROGRAMS/resident.c"
	while ((attempts--)); do
		plain=() with=()
		while ((${#plain[@]} < 15)); do
			plain+=("$(plain "$BATS_TEST_TMPDIR/resident")")
			with+=("$(preloaded "$BATS_TEST_TMPDIR/resident")")
		done
		growth=$(($(median "${with[@]}") - $(median "${plain[@]}")))
		echo "# resident memory grows by $growth KiB" >&3
		[ "$growth" -gt 400 ] || return 0
	done
	false
}

# mlockall counts them all, and a user may lock 8 MiB.
@test "a trivial program has at most 5 MiB of addresses more" {
	local size='/^VmSize:/ { print $2 }'
	local growth=$(($(preloaded awk "$size" /proc/self/status) - $(plain awk "$size" /proc/self/status)))
	echo "# addresses grow by $growth KiB" >&3
	[ "$growth" -le 5120 ]
}

@test "a trivial program starts at most 1 ms later" {
	need gcc
	[ "${VM_DEBUG:-0}" = 0 ] || skip "a debug build"
	local later attempts=3 # a busy machine may spoil one
	gcc -O1 -o "$BATS_TEST_TMPDIR/start_time" "$PROGRAMS/start_time.c"
	while ((attempts--)); do
		later=$("$BATS_TEST_TMPDIR/start_time" 50 "$VMALLOC_SO" /bin/true)
		echo "# starts $later us later" >&3
		[ "$later" -gt 1000 ] || return 0
	done
	return 1
}
