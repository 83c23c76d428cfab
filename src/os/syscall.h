/* SPDX-License-Identifier: MIT */
/*
 * syscall.h - system calls that no library stands between: for the start, which comes before any library's
 * constructor, and for what is done under locks. (torsocks' syscall initialises itself at the first call, and
 * finds no environment then; and it refuses what it does not know.)
 *
 * Returns what the kernel does: -errno on an error; errno stays as it was.
 */
#ifndef VM_SYSCALL_H
#define VM_SYSCALL_H

#include <sys/syscall.h>

#if defined(__x86_64__)

static inline long os_syscall(long number, long a, long b, long c, long d)
{
	long result;
	register long fourth __asm__("r10") = d;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
			 : "rcx", "r11", "memory");
	return result;
}

#elif defined(__aarch64__)

static inline long os_syscall(long number, long a, long b, long c, long d)
{
	register long call __asm__("x8") = number;
	register long first __asm__("x0") = a;
	register long second __asm__("x1") = b;
	register long third __asm__("x2") = c;
	register long fourth __asm__("x3") = d;
	__asm__ volatile("svc 0"
			 : "+r"(first)
			 : "r"(call), "r"(second), "r"(third), "r"(fourth)
			 : "memory");
	return first;
}

#else

#include <errno.h>
#include <unistd.h>

static inline long os_syscall(long number, long a, long b, long c, long d)
{
	int saved = errno;
	long result = syscall(number, a, b, c, d);
	if (result == -1)
		result = -errno;
	errno = saved;
	return result;
}

#endif
#endif
