/* SPDX-License-Identifier: MIT */
/* System calls that a seccomp filter refuses. */
#ifndef TEST_REFUSE_H
#define TEST_REFUSE_H

/* From now on, for good, `number` fails with EPERM in all threads of this process and its children. */
void refuse_system_call(unsigned number);

#endif
