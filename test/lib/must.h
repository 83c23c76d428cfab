/* SPDX-License-Identifier: MIT */
/* An assertion for threads and child processes, where Check's own assertions cannot report. */
#ifndef TEST_MUST_H
#define TEST_MUST_H

#ifdef __cplusplus
extern "C" {
#endif

/* Writes the place and the broken condition to stderr without allocating, and _exits with status 99. */
void must_failed(const char *file, int line, const char *condition) __attribute__((noreturn));

#define must(condition) ((condition) ? (void)0 : must_failed(__FILE__, __LINE__, #condition))

#ifdef __cplusplus
}
#endif
#endif
