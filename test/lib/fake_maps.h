/* SPDX-License-Identifier: MIT */
/*
 * The maps of the fake kernel: ordered, merged and split as Linux 6.18 was measured to do. No limits,
 * no refusals and no lock here; fake_os.c has them.
 */
#ifndef TEST_FAKE_MAPS_H
#define TEST_FAKE_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fake_kind {
	FAKE_PLAIN,     /* private, anonymous, readable and writable; the break too */
	FAKE_HUGE,      /* the same, to be filled by huge pages */
	FAKE_SMALL,     /* the same, not to be any more */
	FAKE_RESERVED,  /* no access, no reserve */
	FAKE_COMMITTED, /* a part of a reserve made readable and writable */
	FAKE_FOREIGN,   /* of others, with flags that no map of ours has */
};

struct vma {
	uintptr_t start;
	uintptr_t end;
	enum fake_kind kind;
	uint32_t anon;      /* the anon_vma's number, 0 for none */
	bool inherited;     /* the anon_vma came through fork */
	bool unmergeable;   /* of fake_os_foreign_maps_add */
	intptr_t displaced; /* page offset less address: not 0 where moved after a touch */
};

/* From the highest down, as the kernel places them, so that insertion is mostly at the end. */
struct fake_maps {
	struct vma *vmas;
	size_t count;
	size_t room;
	size_t bytes;
	size_t writable_bytes;
	uint32_t anons;
};

extern struct fake_maps fake_maps;

/* The map that `address` lies in, or NULL. Pointers hold until maps come or go. */
struct vma *fake_maps_at(uintptr_t address);

/* The highest map that starts below `end`, and the next lower one: for walking down a range. */
struct vma *fake_maps_below(uintptr_t end);
struct vma *fake_maps_next_lower(struct vma *vma);

void fake_maps_insert(struct vma vma);
void fake_maps_erase(struct vma *vma);
void fake_maps_set_end(struct vma *vma, uintptr_t end);
void fake_maps_set_kind(struct vma *vma, enum fake_kind kind);

void fake_maps_split(uintptr_t address);

/* Merges the maps that meet at `address`, if they can. */
void fake_maps_merge(uintptr_t address);
bool fake_maps_can_merge(const struct vma *low, const struct vma *high);

/* Takes away all maps between two addresses, splitting those across them. */
void fake_maps_cut_out(uintptr_t start, uintptr_t end);

/* A page fault in a map without an anon_vma. */
void fake_maps_touch(struct vma *vma);

bool fake_maps_cover(uintptr_t start, uintptr_t end, bool writable);
bool fake_maps_vacant(uintptr_t start, uintptr_t end);

/* The top of the highest hole in [low, high) that fits, where lengths of a multiple of 2 MiB begin at
 * one; 0: there is none. */
uintptr_t fake_maps_place(uintptr_t low, uintptr_t high, size_t bytes);

void fake_maps_check(void);

#endif
