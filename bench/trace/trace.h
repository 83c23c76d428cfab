/* SPDX-License-Identifier: MIT */
/*
 * The format of a trace: a byte of enum trace_op an event, then its numbers, seven bits a byte, the
 * lowest first, the top bit on all but a number's last. Each block made, also by realloc, has the next
 * number; which block is meant is said by how many were made since.
 */
#ifndef BENCH_TRACE_H
#define BENCH_TRACE_H

enum trace_op {
	TRACE_END,     /* zero: where the file was not written */
	TRACE_THREAD,  /* thread: events from here on are this one's */
	TRACE_MALLOC,  /* size */
	TRACE_CALLOC,  /* size */
	TRACE_ALIGNED, /* size, log2 of the alignment */
	TRACE_REALLOC, /* block, size */
	TRACE_FREE,    /* block */
	TRACE_OPS
};

#endif
