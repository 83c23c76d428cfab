/* SPDX-License-Identifier: MIT */
/* Threads that exist before the mappings are used up and begin to work at once. */
#ifndef TEST_CREW_H
#define TEST_CREW_H

enum { CREW_MAX = 16 };

/*
 * Makes `threads` threads, calls prepare() when all wait, then work(index) in each; returns when all
 * have ended. One thread: the caller itself works. `prepare` may be NULL.
 */
void crew_run(unsigned threads, void (*prepare)(void), void (*work)(unsigned index));

#endif
