# SPDX-License-Identifier: MIT
# To add a test: write test/FOLDER/NAME.c (or .cc) and put its name into the list of its folder.
# Everything in TESTS goes through scripts/run-test, which makes TAP of it: each case is counted.

# With the core and a fake kernel; malloc is the C library's.
unit_tests = \
	test/unit/alloc \
	test/unit/bin \
	test/unit/boot \
	test/unit/budget \
	test/unit/conf \
	test/unit/early \
	test/unit/failure \
	test/unit/fatal \
	test/unit/fill \
	test/unit/footprint \
	test/unit/huge \
	test/unit/hugecost \
	test/unit/index \
	test/unit/index_order \
	test/unit/large \
	test/unit/large_storm \
	test/unit/lifeboat \
	test/unit/lock \
	test/unit/mapping \
	test/unit/memory_storm \
	test/unit/meta \
	test/unit/pageheap \
	test/unit/print \
	test/unit/ranges \
	test/unit/region \
	test/unit/sizeclass \
	test/unit/slab \
	test/unit/tcache \
	test/unit/threads \
	test/unit/transfer \
	test/unit/tree \
	test/unit/vma

# The fault sweeps: on the fake kernel, and with the library preloaded. `PROGRAM --full` sweeps all.
fault_tests = \
	test/fault/fake_kernel \
	test/fault/real_kernel

# Alone; the library is preloaded (VMALLOC_SO), as into any program.
preloaded_tests = \
	test/integration/aligned \
	test/integration/break_blocked \
	test/integration/break_foreign \
	test/integration/break_limits \
	test/integration/break_seccomp \
	test/integration/break_start \
	test/integration/calloc \
	test/integration/conf \
	test/integration/conf_effect \
	test/integration/conf_symbol \
	test/integration/errno \
	test/integration/exit \
	test/integration/first_operation \
	test/integration/fork \
	test/integration/idle \
	test/integration/introspect \
	test/integration/kernel_limits \
	test/integration/libc_aliases \
	test/integration/locked_memory \
	test/integration/malloc \
	test/integration/malloc_zero \
	test/integration/realloc \
	test/integration/reallocarray \
	test/integration/sized_free \
	test/integration/thread_exit \
	test/integration/threads \
	test/integration/usable_size \
	test/integration/vma_count \
	test/death/double_free \
	test/death/foreign_free \
	test/death/interior_free \
	test/stress/break_storm \
	test/stress/churn \
	test/stress/cross_thread \
	test/stress/fork_storm \
	test/stress/process_storm \
	$(map_storms) \
	$(cxx_tests)

# The storms on vm.max_map_count; `make soak-maps` runs them for SOAK_SECONDS in all, in equal shares
# and whole rounds, with whole contents checked.
map_storms = \
	test/stress/map_pressure_foreign \
	test/stress/map_pressure_fork \
	test/stress/map_pressure_holes \
	test/stress/map_pressure_limit \
	test/stress/map_pressure_rlimit
SOAK_SECONDS = 600

# `./dev soak` runs the first of them for hours, and beside it the others and the storms in turn.
soak_programs = test/stress/soak

# The same, in C++.
if HAVE_CXX
cxx_tests = \
	test/integration/cxx \
	test/integration/own_operators \
	test/integration/thread_local
static_cxx_tests = \
	test/integration/cxx_static \
	test/integration/own_operators_static
endif
test_integration_cxx_SOURCES = test/integration/cxx.cpp
test_integration_cxx_static_SOURCES = test/integration/cxx.cpp test/lib/linked.c
test_integration_own_operators_SOURCES = test/integration/own_operators.cpp
test_integration_own_operators_static_SOURCES = test/integration/own_operators.cpp test/lib/linked.c
test_integration_thread_local_SOURCES = test/integration/thread_local.cpp

# With the core and the real kernel, to look inside; malloc is the C library's.
core_tests = \
	test/integration/os \
	test/integration/stderr_in_parts \
	test/integration/vma_model

# With the library in another way: opened, or one of the archives.
linked_tests = \
	test/integration/dlopen \
	test/integration/prefixed \
	test/integration/static_link \
	$(static_cxx_tests)

# Random programs of calls over a shadow model: each kind on the allocator and the kernel it is named
# after, played without a fuzzer.
fuzz_tests = \
	test/fuzz/fake \
	test/fuzz/prefixed \
	test/fuzz/standard

# The same for fuzzers, which bring their compilers (`./dev fuzz`).
fuzz_targets = \
	test/fuzz/libfuzzer_fake \
	test/fuzz/libfuzzer_prefixed

# Real programs.
bats_tests = \
	test/preload/common.bats \
	test/preload/compilers.bats \
	test/preload/databases.bats \
	test/preload/editors.bats \
	test/preload/languages.bats \
	test/preload/servers.bats \
	test/preload/start.bats \
	test/preload/tools.bats \
	test/preload/valgrind.bats

check_scripts = \
	scripts/check-benches \
	scripts/check-headers \
	scripts/check-hotpath \
	scripts/check-install \
	scripts/check-judged \
	scripts/check-instructions \
	scripts/check-layers \
	scripts/check-musl \
	scripts/check-symbols \
	scripts/check-variants

# What also runs in the build by another compiler.
quick_tests = $(unit_tests) $(fault_tests) $(preloaded_tests) $(core_tests) $(linked_tests) $(fuzz_tests) \
	scripts/check-hotpath scripts/check-symbols

# What means something under qemu-user, where memory, limits and signals are the emulator's, which also
# adds its own word to the last ones of a process. The storm of 20 s would take minutes.
emulated_tests = $(filter-out test/unit/fatal test/unit/memory_storm,$(unit_tests)) \
	test/fault/real_kernel \
	test/integration/calloc \
	test/integration/errno \
	test/integration/exit \
	test/integration/first_operation \
	test/integration/libc_aliases \
	test/integration/malloc_zero \
	test/integration/prefixed \
	test/integration/reallocarray \
	test/integration/sized_free \
	test/integration/static_link \
	test/integration/threads \
	test/stress/churn \
	test/stress/cross_thread \
	scripts/check-symbols

TESTS += $(bats_tests) $(check_scripts)
check_PROGRAMS += test/hotpath/trace
# For scripts/check-variants.
check_PROGRAMS += test/lib/no_break
test_lib_no_break_SOURCES = test/lib/no_break.c test/lib/must.c test/lib/refuse.c
check_DATA = libvmalloc.la libvmalloc_prefixed.a

if HAVE_CHECK
check_PROGRAMS += $(unit_tests) $(fault_tests) $(preloaded_tests) $(core_tests) $(linked_tests) $(fuzz_tests)
TESTS += $(unit_tests) $(fault_tests) $(preloaded_tests) $(core_tests) $(linked_tests) $(fuzz_tests)
EXTRA_PROGRAMS += $(soak_programs) $(fuzz_targets)
check_LIBRARIES += libtest.a
EXTRA_LTLIBRARIES = libvm_unit.la libvm_real.la
CLEANFILES += $(EXTRA_LTLIBRARIES)
endif

# What tests share.
libtest_a_CPPFLAGS = $(AM_CPPFLAGS) $(TEST_CPPFLAGS)
libtest_a_SOURCES = \
	test/lib/allocator.c test/lib/allocator.h \
	test/lib/blocks.c test/lib/blocks.h \
	test/lib/child.c test/lib/child.h \
	test/lib/choices.c test/lib/choices.h \
	test/lib/crew.c test/lib/crew.h \
	test/lib/death.c test/lib/death.h \
	test/lib/exhaust.c test/lib/exhaust.h \
	test/lib/foreign.c test/lib/foreign.h \
	test/lib/maps.c test/lib/maps.h \
	test/lib/must.c test/lib/must.h \
	test/lib/opaque.h \
	test/lib/pattern.c test/lib/pattern.h \
	test/lib/preload.c \
	test/lib/proc.c test/lib/proc.h \
	test/lib/refuse.c test/lib/refuse.h \
	test/lib/rng.c test/lib/rng.h \
	test/lib/storm.c test/lib/storm.h \
	test/lib/stress.c test/lib/stress.h \
	test/lib/suite.c test/lib/suite.h \
	test/lib/team.c test/lib/team.h \
	test/lib/weak.c test/lib/weak.h

libvm_unit_la_SOURCES = \
	test/lib/core.c test/lib/core.h \
	test/lib/fake_maps.c test/lib/fake_maps.h \
	test/lib/fake_os.c test/lib/fake_os.h
libvm_unit_la_LIBADD = libvm_core.la libvm_standalone.la

# What the fuzzer's programs are made of: one heap, one kernel, one driver.
fuzz_sources = \
	test/fuzz/broken.c \
	test/fuzz/heap.h \
	test/fuzz/kernel.h \
	test/fuzz/model.c test/fuzz/model.h \
	test/fuzz/program.c test/fuzz/program.h
play_sources = test/fuzz/play.c test/fuzz/random.c test/fuzz/random.h
test_fuzz_fake_SOURCES = $(fuzz_sources) $(play_sources) test/fuzz/heap_vm.c test/fuzz/kernel_fake.c
test_fuzz_prefixed_SOURCES = $(fuzz_sources) $(play_sources) test/fuzz/heap_vm.c test/fuzz/kernel_real.c
test_fuzz_standard_SOURCES = $(fuzz_sources) $(play_sources) test/fuzz/heap_std.c test/fuzz/kernel_real.c
test_fuzz_libfuzzer_fake_SOURCES = $(fuzz_sources) test/fuzz/libfuzzer.c test/fuzz/heap_vm.c \
	test/fuzz/kernel_fake.c
test_fuzz_libfuzzer_prefixed_SOURCES = $(fuzz_sources) test/fuzz/libfuzzer.c test/fuzz/heap_vm.c \
	test/fuzz/kernel_real.c

libvm_real_la_SOURCES =
libvm_real_la_LIBADD = libvm_core.la libvm_os.la libvm_standalone.la

# One rule for all programs of a kind (variables of the target, a feature of GNU make).
LDADD =
TEST_CPPFLAGS = -I$(top_srcdir)/test/lib $(CHECK_CFLAGS)
$(unit_tests) $(fault_tests) $(preloaded_tests) $(core_tests) $(linked_tests) $(soak_programs): \
	CPPFLAGS += $(TEST_CPPFLAGS)
$(fuzz_tests) $(fuzz_targets): CPPFLAGS += $(TEST_CPPFLAGS)
$(unit_tests): LDADD = libtest.a libvm_unit.la libtest.a $(CHECK_LIBS)
$(unit_tests): libtest.a libvm_unit.la
$(core_tests): LDADD = libtest.a libvm_real.la libtest.a $(CHECK_LIBS)
$(core_tests): libtest.a libvm_real.la
$(preloaded_tests) $(linked_tests) $(soak_programs): LDADD = libtest.a $(CHECK_LIBS) -ldl
$(preloaded_tests) $(linked_tests) $(soak_programs): libtest.a

test_unit_threads_LDFLAGS = -Wl,--wrap=pthread_setspecific

fault_sweep = test/fault/sweep.c test/fault/sweep.h
test_fault_fake_kernel_SOURCES = test/fault/fake_kernel.c $(fault_sweep)
test_fault_fake_kernel_LDADD = libtest.a libvm_unit.la libtest.a $(CHECK_LIBS)
test_fault_fake_kernel_LDFLAGS = -Wl,--wrap=vm_meta_alloc,--wrap=vm_meta_free
test_fault_real_kernel_SOURCES = test/fault/real_kernel.c $(fault_sweep)
test_fault_real_kernel_LDADD = libtest.a $(CHECK_LIBS) -ldl

test_integration_conf_symbol_LDFLAGS = -rdynamic
test_integration_prefixed_LDADD = libtest.a libvmalloc_prefixed.a $(CHECK_LIBS)
test_integration_static_link_LDADD = libtest.a libvmalloc.a $(CHECK_LIBS)
test_integration_static_link_LDFLAGS = -all-static
test_integration_cxx_static_LDADD = libtest.a libvmalloc.a $(CHECK_LIBS)
test_integration_cxx_static_LDFLAGS = -all-static
test_integration_own_operators_static_LDADD = libtest.a libvmalloc.a $(CHECK_LIBS)
test_integration_own_operators_static_LDFLAGS = -all-static

test_fuzz_fake_LDADD = libtest.a libvm_unit.la libtest.a
test_fuzz_prefixed_LDADD = libtest.a libvmalloc_prefixed.a
test_fuzz_standard_LDADD = libtest.a $(CHECK_LIBS) -ldl
# Not the archive: a linker's -r does not keep what the instrumentation needs.
test_fuzz_libfuzzer_fake_LDADD = libtest.a libvm_unit.la libtest.a
test_fuzz_libfuzzer_fake_LDFLAGS = -fsanitize=fuzzer
test_fuzz_libfuzzer_prefixed_LDADD = libtest.a libvm_core.la libvm_os.la libvm_standalone.la
test_fuzz_libfuzzer_prefixed_LDFLAGS = -fsanitize=fuzzer

unit-tests: $(unit_tests)
.PHONY: unit-tests

# What `make check` takes strides and a small part of, as a whole.
full_tests = $(fault_tests) test/stress/process_storm
check-full: libvmalloc.la $(full_tests)
	for program in $(full_tests); do \
		VMALLOC_SO='$(abs_top_builddir)/.libs/libvmalloc.so' ./$$program --full || exit 1; \
	done
.PHONY: check-full

soak-maps: libvmalloc.la $(map_storms)
	seconds=$$((($(SOAK_SECONDS) + $(words $(map_storms)) - 1) / $(words $(map_storms)))); \
	for storm in $(map_storms); do \
		VMALLOC_SO='$(abs_top_builddir)/.libs/libvmalloc.so' ./$$storm --full --seconds $$seconds || \
			exit 1; \
	done
# What is run again under other settings, VARIANTS of scripts/check-variants or all of them.
variant_tests = $(preloaded_tests)
VARIANTS =
check-variants: $(check_DATA) $(check_LIBRARIES) $(check_PROGRAMS)
	@$(AM_TESTS_ENVIRONMENT) VM_VARIANTS='$(variant_tests)' $(top_srcdir)/scripts/check-variants $(VARIANTS)
.PHONY: check-variants

# What scripts/soak runs.
soak-programs: libvmalloc.la $(soak_programs) $(map_storms) test/stress/process_storm \
	test/stress/break_storm test/stress/churn test/stress/cross_thread test/stress/fork_storm
.PHONY: soak-maps soak-programs

check-models:
	CC='$(CC)' srcdir='$(srcdir)' $(top_srcdir)/scripts/check-models
.PHONY: check-models

TEST_EXTENSIONS = .bats
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
LOG_COMPILER = $(top_srcdir)/scripts/run-test
BATS_LOG_DRIVER = $(LOG_DRIVER)
BATS_LOG_COMPILER = $(LOG_COMPILER)
# Which blocks a random test takes does not depend on the day: another seed is for those who look
# for what the tests have not met yet.
AM_TESTS_ENVIRONMENT = \
	VMALLOC_SO='$(abs_top_builddir)/.libs/libvmalloc.so' VM_DEBUG='$(VM_DEBUG)' \
	srcdir='$(srcdir)' CC='$(CC)' CXX='$(CXX)' NM='$(NM)' OBJDUMP='$(OBJDUMP)' LD='$(LD)' OBJCOPY='$(OBJCOPY)' MAKE='$(MAKE)' \
	host_cpu='$(host_cpu)' EMULATOR='$(EMULATOR)' VM_TEST_SEED="$${VM_TEST_SEED-1}"; \
	export VM_TEST_SEED VMALLOC_SO VM_DEBUG srcdir CC CXX NM OBJDUMP LD OBJCOPY MAKE host_cpu EMULATOR;

EXTRA_DIST += $(bats_tests) $(check_scripts) scripts/run-test scripts/soak scripts/tally \
	test/install/forks.c test/install/handlers.c test/install/program.c test/install/program.cpp \
	scripts/check-models scripts/emulate-aarch64 scripts/fetch-aarch64-check \
	scripts/deep.suppressions scripts/mutate scripts/mutants.judged \
	scripts/packages.build scripts/packages.deep scripts/packages.programs scripts/packages.test \
	test/preload/common.bash test/preload/programs test/fuzz/corpus
