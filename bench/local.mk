# SPDX-License-Identifier: MIT
# Benches never link the library: LD_PRELOAD chooses the allocator of one and the same binary.
# To add a row to the micro benches, write it in bench/micro; to add a program, a file in bench/real.

bench_programs = bench/tools/measure bench/instructions/rows $(bench_micro) $(bench_space) $(bench_trace)

bench_space = \
	bench/space/churn \
	bench/space/idle_threads \
	bench/space/leak \
	bench/space/phases \
	bench/space/spike
bench_trace = bench/trace/replay
# A recorder is preloaded, too.
check_LTLIBRARIES = bench/trace/record.la

if HAVE_BENCHMARK
bench_micro = bench/micro/micro
endif

check_PROGRAMS += $(bench_programs)

check_LIBRARIES += libspace.a
libspace_a_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/test/lib
libspace_a_SOURCES = \
	bench/space/space.c bench/space/space.h \
	test/lib/must.c test/lib/proc.c test/lib/rng.c
$(bench_space) $(bench_trace): CPPFLAGS += -I$(top_srcdir)/test/lib
$(bench_space) $(bench_trace): LDADD = libspace.a
$(bench_space) $(bench_trace): libspace.a

bench_trace_replay_SOURCES = bench/trace/replay.c bench/trace/trace.h
bench_trace_record_la_SOURCES = bench/trace/record.c bench/trace/trace.h
bench_trace_record_la_CFLAGS = $(LIBRARY_CFLAGS) -fvisibility=default
bench_trace_record_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere

bench_instructions_rows_SOURCES = bench/instructions/rows.c
bench_tools_measure_SOURCES = bench/tools/measure.c

EXTRA_PROGRAMS += bench/micro/micro

bench_micro_micro_LDADD = $(BENCHMARK_LIBS)
bench_micro_micro_SOURCES = \
	bench/micro/batch.cc \
	bench/micro/churn.cc \
	bench/micro/fork.cc \
	bench/micro/handover.cc \
	bench/micro/large.cc \
	bench/micro/micro.cc bench/micro/micro.h \
	bench/micro/mixes.h \
	bench/micro/pair.cc \
	bench/micro/realloc.cc \
	bench/micro/threads.cc

bench_scripts = bench/compare bench/trace/mix bench/real/run

bench: libvmalloc.la $(bench_programs) $(check_LTLIBRARIES)
	BENCH_BUILD='$(abs_builddir)' $(srcdir)/bench/compare $(ARGS)
instructions: libvmalloc.la bench/instructions/rows
	@$(AM_TESTS_ENVIRONMENT) $(srcdir)/scripts/check-instructions $(ARGS)
bench-programs: libvmalloc.la $(bench_programs) $(check_LTLIBRARIES)
.PHONY: bench bench-programs instructions

EXTRA_DIST += $(bench_scripts) scripts/packages.bench \
	bench/instructions.tsv \
	bench/report.py \
	bench/real/clang.sh \
	bench/real/ghostscript.sh \
	bench/real/git.sh \
	bench/real/gxx.sh \
	bench/real/lib \
	bench/real/lua.sh \
	bench/real/node.sh \
	bench/real/perl.sh \
	bench/real/postgres.sh \
	bench/real/python.sh \
	bench/real/redis.sh \
	bench/real/rocksdb.sh \
	bench/real/ruby.sh \
	bench/real/sqlite.sh \
	bench/real/work.js \
	bench/real/work.lua \
	bench/real/work.pl \
	bench/real/work.py \
	bench/real/work.rb \
	bench/real/xz.sh \
	bench/real/z3.sh

# The table of what happens at vm.max_map_count.
EXTRA_PROGRAMS += bench/maplimit/maplimit
EXTRA_DIST += bench/maplimit/run
bench_maplimit_maplimit_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/test/lib
bench_maplimit_maplimit_LDADD = -ldl
bench_maplimit_maplimit_SOURCES = \
	bench/maplimit/maplimit.c \
	test/lib/maps.c test/lib/must.c test/lib/pattern.c test/lib/proc.c test/lib/rng.c
