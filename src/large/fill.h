/* SPDX-License-Identifier: MIT */
/*
 * fill.h - whether a program fills the large blocks that it asks for, as far as a sample of them tells.
 *
 * A block that will be filled comes cheaper by huge pages (MADV_HUGEPAGE): one fault for 512. One of which a byte
 * in 64 KiB is used would be resident whole. So blocks whose pages came one by one are looked at when they are freed
 * or move, and what the last ones were the next is expected to be; one in eight comes by pages, to go on
 * knowing. Where blocks stay, the last one is looked at before others are mapped, until it is filled; one that
 * is not when the next comes by pages makes up for one that was. Any thread, no lock. errno is preserved.
 */
#ifndef VM_FILL_H
#define VM_FILL_H

#include "base/base.h"

/* Takes note of a live block that was mapped for this use, and not by huge pages. */
void vm_fill_judge(const void *block, size_t bytes);

/* Before a block of so many bytes is mapped: takes note of whether the last one is filled by now. */
void vm_fill_look_back(size_t bytes);

/* Takes note of a block that was mapped just now, and not by huge pages; the last one is looked at no more. */
void vm_fill_mapped(const void *block, size_t bytes);

/* Whether a new block is to be filled by huge pages; `live_bytes` of all large blocks, this one included. To be asked
 * once for each. */
bool vm_fill_expected(size_t bytes, size_t live_bytes);

#endif
