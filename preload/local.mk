# SPDX-License-Identifier: MIT
# The products. Each object is compiled once (libtool: once more without PIC, for the archives).

lib_LTLIBRARIES += libvmalloc.la
noinst_LTLIBRARIES += libvm_preload.la libvm_new.la libvm_archive.la libvm_new_archive.la

libvm_preload_la_CFLAGS = $(LIBRARY_CFLAGS)
libvm_preload_la_SOURCES = \
	preload/introspect.c \
	preload/malloc.c

libvm_new_la_CFLAGS = $(LIBRARY_CFLAGS)
libvm_new_la_SOURCES = \
	preload/new.c \
	preload/new.h

libvm_archive_la_CFLAGS = $(LIBRARY_CFLAGS)
libvm_archive_la_SOURCES = preload/archive.c

libvm_new_archive_la_CFLAGS = $(LIBRARY_CFLAGS)
libvm_new_archive_la_SOURCES = preload/new_archive.c

# libvmalloc.so. Its own sources are what the archive does not have: a static program takes the
# nothrow operators from its C++ library, which calls ours.
libvmalloc_la_CFLAGS = $(LIBRARY_CFLAGS)
libvmalloc_la_SOURCES = preload/dlopen.c preload/new_nothrow.c preload/shared.c $(coverage_sources)
libvmalloc_la_LIBADD = libvm_core.la libvm_os.la libvm_preload.la libvm_new.la
# Never unloaded: blocks, each thread's end and fork's handlers need it for good.
libvmalloc_la_LDFLAGS = -shared -version-info $(INTERFACE) -Wl,-z,initfirst,-z,defs,-z,nodelete \
	$(exports)
EXTRA_libvmalloc_la_DEPENDENCIES = preload/libvmalloc.map

# A program gets the whole malloc family from an archive or nothing of it - never our free beside the C
# library's malloc - for it is one object. libvmalloc.a has a second one, which C++ programs take: the
# operators. Names that are not public become local, but for those by which the second reaches the first.
archivedir = $(libdir)
archive_DATA = libvmalloc.a libvmalloc_prefixed.a

family_objects = $(libvm_core_la_OBJECTS) $(libvm_os_la_OBJECTS) $(libvm_preload_la_OBJECTS) \
	$(libvm_archive_la_OBJECTS)
operator_objects = $(libvm_new_la_OBJECTS) $(libvm_new_archive_la_OBJECTS)
prefixed_objects = $(libvm_core_la_OBJECTS) $(libvm_os_la_OBJECTS) $(libvm_standalone_la_OBJECTS)

one_object = $(LD) -r -o $(1) $(2:.lo=.o) && $(OBJCOPY) --localize-hidden $(1)
archive = rm -f $@ && $(AR) $(ARFLAGS) $@ $(1) && rm -f $(1)

libvmalloc.a: $(family_objects) $(operator_objects)
	$(AM_V_GEN)$(LD) -r -o $@.operators.o $(operator_objects:.lo=.o) && \
	$(call one_object,$@.family.o,$(family_objects)) && \
	$(OBJCOPY) $$($(NM) -u $@.operators.o | sed 's/.* /--globalize-symbol=/') $@.family.o && \
	$(call archive,$@.family.o $@.operators.o)
libvmalloc_prefixed.a: $(prefixed_objects)
	$(AM_V_GEN)$(call one_object,$@.o,$(prefixed_objects)) && $(call archive,$@.o)

bin_SCRIPTS = vmalloc-run
vmalloc-run: preload/vmalloc-run.in Makefile
	$(AM_V_GEN)sed 's|@libdir[@]|$(libdir)|' $(top_srcdir)/preload/vmalloc-run.in >$@ && chmod +x $@

dist_man_MANS = preload/vmalloc-run.1

CLEANFILES += $(archive_DATA) $(bin_SCRIPTS)
EXTRA_DIST += preload/libvmalloc.map preload/vmalloc-run.in
