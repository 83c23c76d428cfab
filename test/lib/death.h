/* SPDX-License-Identifier: MIT */
/* Death tests: a misuse must end the process with SIGABRT after exactly one known line on stderr. */
#ifndef TEST_DEATH_H
#define TEST_DEATH_H

/* Called by the misuse just before it happens: tells which pointer the line must name. Returns it. */
void *death_by(void *pointer);

/* Runs the misuse in a child; the line must be "libvmalloc: FUNCTION(POINTER): SENTENCE". */
void death_expect(void (*misuse)(void *), void *arg, const char *function, const char *sentence);

/* The same where any function of the library may be the one that notices. */
void death_expect_late(void (*misuse)(void *), void *arg, const char *sentence);

/* The sentences. */
extern const char *const NOT_A_BLOCK;
extern const char *const INSIDE_A_BLOCK;
extern const char *const ALREADY_FREE;

#endif
