/* SPDX-License-Identifier: MIT */
/*
 * out.c: see out.h. A pipe that poll() calls writable takes PIPE_BUF bytes without blocking, no
 * more is promised; so pipes are written in such pieces, everything else in large ones.
 */
#include "cli/out.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_MAX ((size_t)1 << 30)

void out_init(struct out *o, int fd, int stop_fd)
{
	struct stat st;

	*o = (struct out){.fd = fd, .stop_fd = stop_fd, .chunk = OUT_FULL};
	buf_init(&o->b, BUFFER_MAX);
	if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode))
		o->chunk = PIPE_BUF;
}

void out_fini(struct out *o)
{
	buf_fini(&o->b);
}

static int wait_writable(const struct out *o)
{
	for (;;) {
		struct pollfd p[2] = {
			{.fd = o->fd, .events = POLLOUT},
			{.fd = o->stop_fd, .events = POLLIN},
		};
		if (poll(p, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (p[0].revents) /* errors too: write() tells which */
			return 0;
		if (p[1].revents)
			return -EINTR;
	}
}

int out_flush(struct out *o)
{
	size_t done = 0;
	int rc = 0;

	while (done < o->b.n) {
		size_t n = o->b.n - done < o->chunk ? o->b.n - done : o->chunk;
		ssize_t w;

		rc = wait_writable(o);
		if (rc)
			break;
		w = write(o->fd, o->b.p + done, n);
		if (w >= 0) {
			done += (size_t)w;
		} else if (errno != EINTR && errno != EAGAIN) {
			rc = -errno;
			break;
		}
	}
	buf_clear(&o->b);
	return rc;
}

bool out_is_closed(const struct out *o)
{
	struct pollfd p = {.fd = o->fd, .events = 0};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP | POLLNVAL));
}
