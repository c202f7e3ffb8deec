/* SPDX-License-Identifier: MIT */
/*
 * out: standard output for a stream that must neither lag nor hang: bytes are gathered, go out
 * before every wait, and a reader that is stuck does not keep a signal from ending the program.
 * Thread: main.
 */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define OUT_FULL ((size_t)64 << 10) /* flush when more than this is gathered */

struct out {
	struct buf b; /* append here */
	int fd;
	int stop_fd;  /* readable: give up when the reader is stuck */
	size_t chunk; /* most bytes of one write that can not block after POLLOUT */
};

void out_init(struct out *o, int fd, int stop_fd);
void out_fini(struct out *o);
/* Write everything. Return 0, -EPIPE (nobody reads any more), -EINTR (told to stop while stuck), or
 * another -errno. */
int out_flush(struct out *o);
/* Has the reader gone while nothing was written? */
bool out_is_closed(const struct out *o);

#endif
