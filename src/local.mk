# SPDX-License-Identifier: MIT
# The allocator, in three pieces that the products and the tests put together differently: the core,
# the door to the kernel (unit tests have a fake one), and what stands in for preload/ where the
# library is not the process's malloc.

noinst_LTLIBRARIES += libvm_core.la libvm_os.la libvm_standalone.la

libvm_core_la_CFLAGS = $(LIBRARY_CFLAGS)
libvm_core_la_SOURCES = \
	src/base/allowance.h \
	src/base/base.h \
	src/base/check.h \
	src/base/list.h \
	src/base/print.c src/base/print.h \
	src/base/sizeclass.c src/base/sizeclass.h \
	src/base/tree.h \
	src/os/conf.c src/os/conf.h \
	src/os/fatal.c src/os/fatal.h \
	src/os/hugecost.c src/os/hugecost.h \
	src/os/lifeboat.c src/os/lifeboat.h \
	src/os/lock.c src/os/lock.h \
	src/os/os.h \
	src/meta/meta.c src/meta/meta.h \
	src/meta/footprint.c src/meta/footprint.h \
	src/small/bin.c src/small/bin.h \
	src/small/freeruns.c src/small/freeruns.h \
	src/small/huge.c src/small/huge.h \
	src/small/pageheap.c src/small/pageheap.h \
	src/small/purge.c src/small/purge.h \
	src/small/region.c src/small/region.h \
	src/small/run.h \
	src/small/slab.c src/small/slab.h \
	src/small/transfer.c src/small/transfer.h \
	src/large/budget.c src/large/budget.h \
	src/large/index.c src/large/index.h \
	src/large/clear.c src/large/clear.h \
	src/large/fill.c src/large/fill.h \
	src/large/large.c src/large/large.h \
	src/large/mapping.c src/large/mapping.h \
	src/large/pool.c src/large/pool.h \
	src/large/ranges.c src/large/ranges.h \
	src/large/vma.c src/large/vma.h \
	src/thread/tcache.c src/thread/tcache.h \
	src/thread/thread.c src/thread/thread.h \
	src/alloc.c src/alloc.h \
	src/boot.c src/boot.h \
	src/early.c src/early.h \
	src/failure.c src/failure.h \
	src/resize.c src/resize.h \
	src/stats.c src/stats.h \
	src/vmalloc.c

libvm_os_la_CFLAGS = $(LIBRARY_CFLAGS)
libvm_os_la_SOURCES = src/os/os.c src/os/syscall.h

libvm_standalone_la_CFLAGS = $(LIBRARY_CFLAGS)
libvm_standalone_la_SOURCES = src/standalone.c

# What scripts/check-models checks.
models = \
	src/boot.pml \
	src/large/index.pml \
	src/large/parking.pml \
	src/large/pool.pml \
	src/os/lock.pml \
	src/small/bin.pml \
	src/small/region.pml \
	src/small/transfer.pml \
	src/thread/tcache.pml

EXTRA_DIST += src/LAYERS src/base/memory.pml $(models)
