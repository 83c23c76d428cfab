/* SPDX-License-Identifier: MIT */
/* System calls that a seccomp filter answers in the place of the kernel. */
#ifndef TEST_REFUSE_H
#define TEST_REFUSE_H

/* From now on, for good, `number` fails with `error` in all threads of this process and its children; with 0 it
 * does nothing and returns 0. */
void answer_system_call(unsigned number, unsigned error);

/* With EPERM. */
void refuse_system_call(unsigned number);

#endif
