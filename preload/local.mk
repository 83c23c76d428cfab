# SPDX-License-Identifier: MIT
# The products. Each object is compiled once (libtool: once more without PIC, for the archives).

lib_LTLIBRARIES += libvmalloc.la
noinst_LTLIBRARIES += libvm_preload.la

libvm_preload_la_CFLAGS = $(LIBRARY_CFLAGS)
libvm_preload_la_SOURCES = \
	preload/introspect.c \
	preload/malloc.c \
	preload/new.c \
	preload/new.h

# libvmalloc.so. Its own sources are what the archive does not have: a static program takes the
# nothrow operators from its C++ library, which calls ours.
libvmalloc_la_CFLAGS = $(LIBRARY_CFLAGS)
libvmalloc_la_SOURCES = preload/dlopen.c preload/new_nothrow.c $(coverage_sources)
libvmalloc_la_LIBADD = libvm_core.la libvm_os.la libvm_preload.la
libvmalloc_la_LDFLAGS = -shared -version-info $(INTERFACE) -Wl,-z,initfirst,-z,defs \
	$(exports)
EXTRA_libvmalloc_la_DEPENDENCIES = preload/libvmalloc.map

# The archives hold one object each, so that a program gets the whole malloc family or nothing of it
# - never our free beside the C library's malloc - and names that are not public become local.
archivedir = $(libdir)
archive_DATA = libvmalloc.a libvmalloc_prefixed.a

archive_objects = $(libvm_core_la_OBJECTS) $(libvm_os_la_OBJECTS) $(libvm_preload_la_OBJECTS)
prefixed_objects = $(libvm_core_la_OBJECTS) $(libvm_os_la_OBJECTS) $(libvm_standalone_la_OBJECTS)

archive = $(AM_V_GEN)rm -f $@ && $(LD) -r -o $@.o $(1) && $(OBJCOPY) --localize-hidden $@.o && \
	$(AR) $(ARFLAGS) $@ $@.o && rm -f $@.o

libvmalloc.a: $(archive_objects)
	$(call archive,$(archive_objects:.lo=.o))
libvmalloc_prefixed.a: $(prefixed_objects)
	$(call archive,$(prefixed_objects:.lo=.o))

bin_SCRIPTS = vmalloc-run
vmalloc-run: preload/vmalloc-run.in Makefile
	$(AM_V_GEN)sed 's|@libdir[@]|$(libdir)|' $(top_srcdir)/preload/vmalloc-run.in >$@ && chmod +x $@

dist_man_MANS = preload/vmalloc-run.1

CLEANFILES += $(archive_DATA) $(bin_SCRIPTS)
EXTRA_DIST += preload/libvmalloc.map preload/vmalloc-run.in
