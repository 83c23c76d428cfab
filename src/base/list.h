/* SPDX-License-Identifier: MIT */
/* list.h - a circular doubly linked list whose links lie in its members. */
#ifndef VM_LIST_H
#define VM_LIST_H

#include "base/base.h"

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

/* Puts `link` before `next`; before the head means at the end. */
static inline void list_insert_before(struct list *next, struct list *link)
{
	link->next = next;
	link->prev = next->prev;
	next->prev->next = link;
	next->prev = link;
}

static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
}

#endif
