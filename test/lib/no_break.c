/* SPDX-License-Identifier: MIT */
/* no_break PROGRAM [ARGUMENT...]: runs a program whose break the kernel refuses to move. */
#define _GNU_SOURCE 1
#include "must.h"
#include "refuse.h"

#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	must(argc > 1);
	refuse_system_call(SYS_brk);
	execvp(argv[1], argv + 1);
	must(!"exec");
}
