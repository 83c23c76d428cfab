/* SPDX-License-Identifier: MIT */
/*
 * hugecost.h - asks for huge pages, unless they take long of late.
 *
 * The kernel has one ready, or has to make room for it first; and where it runs in a virtual machine, what is free in
 * pieces of that size may have gone back to the host (virtio-balloon's free page reporting: after 2 s), which gives it
 * anew in pages of 4 KiB. Then one takes ten times as long as the 512 pages in its place, which come from what is
 * free in small pieces. So they are timed, and after one that took long, or was refused, none is asked for until many
 * times as long has passed.
 *
 * Any thread, no lock. The time is that of the last look at the clock (os_note_time). errno is preserved.
 */
#ifndef VM_HUGECOST_H
#define VM_HUGECOST_H

#include "base/base.h"

/* Whether none is to be asked for now. */
bool vm_hugecost_pauses(void);

/* vm_os_make_huge, but not in a pause. Looks at the clock: without a lock. */
bool vm_hugecost_make(void *page);

/* vm_os_advise_huge, for a map that nothing was written to. Its first huge pages are there afterwards; if one takes
 * long, it is the last, but the map is another kind than those without advice all the same. */
bool vm_hugecost_advise(void *map, size_t bytes);

#endif
