/* SPDX-License-Identifier: MIT */
/* All histories of a few steps: runs a function once for each sequence of answers to its questions. */
#ifndef TEST_CHOICES_H
#define TEST_CHOICES_H

#include <stddef.h>

/* Runs `body` for each sequence of answers of `choose`; returns how many there are. */
size_t choices_all(void (*body)(void));

/* A number below `count`; in other runs, another. */
size_t choose(size_t count);

#endif
