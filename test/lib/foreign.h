/* SPDX-License-Identifier: MIT */
/* Memory at the break that belongs to the program itself, and forcing the allocator to move the break. */
#ifndef TEST_FOREIGN_H
#define TEST_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FOREIGN_MAX = 64 };

struct foreign {
	size_t count;
	struct {
		unsigned char *memory;
		size_t size;
	} part[FOREIGN_MAX];
};

/* Takes `size` bytes by sbrk and fills them with a pattern; false if the break is refused. */
bool foreign_grow(struct foreign *foreign, size_t size);

/* Gives the last part back by sbrk(-size). */
void foreign_shrink(struct foreign *foreign);

/* Ends the process by must() if a byte of any part has changed. */
void foreign_check(const struct foreign *foreign);

/*
 * Allocates checked blocks until the allocator moves the break, at most 8 MiB. The blocks stay live
 * and are checked by grown_check; false if the break did not move.
 */
bool grow_until_break_moves(void);
void grown_check(void);
void grown_free(void);

#endif
