/* SPDX-License-Identifier: MIT */
/*
 * resize.h - realloc: in place, by the kernel moving pages, or by a copy, with room to grow for what is appended to.
 */
#ifndef VM_RESIZE_H
#define VM_RESIZE_H

#include <stddef.h>

/* As vm_realloc. */
void *vm_alloc_resize(void *block, size_t size);

#endif
