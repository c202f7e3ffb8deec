/* SPDX-License-Identifier: MIT */
/*
 * lines.c: the adaptive half of `pub -`. There is no timer and no batch size to tune: whatever has
 * gathered while the last batch was under way is the next one. A slow stream (tail -f) therefore
 * goes out line by line at once, a fast one in batches as large as the server takes.
 */
#include "cli/lines.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define READ_SIZE ((size_t)64 << 10)
#define READS_MAX 4

void lines_init(struct lines *l, int fd, size_t in_max)
{
	*l = (struct lines){.fd = fd, .in_max = in_max};
	buf_init(&l->in, in_max + READ_SIZE);
}

void lines_fini(struct lines *l)
{
	buf_fini(&l->in);
}

bool lines_wants_input(const struct lines *l)
{
	return !l->is_ended && l->in.n < l->in_max;
}

void lines_read(struct lines *l)
{
	for (int i = 0; i < READS_MAX && lines_wants_input(l); i++) {
		struct pollfd p = {.fd = l->fd, .events = POLLIN};
		ssize_t n;

		if (poll(&p, 1, 0) <= 0)
			return;
		if (buf_reserve(&l->in, READ_SIZE))
			return;
		n = read(l->fd, l->in.p + l->in.n, READ_SIZE);
		if (n > 0) {
			l->in.n += (size_t)n;
		} else if (n == 0) {
			l->is_ended = true;
		} else if (errno != EINTR && errno != EAGAIN) {
			l->error = errno;
			l->is_ended = true;
		}
	}
}

void lines_stop(struct lines *l)
{
	const char *last = l->in.n ? memrchr(l->in.p, '\n', l->in.n) : NULL;

	l->is_ended = true;
	l->in.n = last ? (size_t)(last + 1 - l->in.p) : 0;
}

struct slice lines_batch(struct lines *l, size_t bytes_max, size_t lines_max, size_t *ret_n)
{
	const char *start = l->in.p;
	size_t taken = 0, lines = 0;

	while (lines < lines_max && taken < l->in.n) {
		size_t from = taken > l->scanned ? taken : l->scanned;
		const char *lf = memchr(start + from, '\n', l->in.n - from);
		size_t end;

		if (!lf && !l->is_ended) {
			if (taken == 0)
				l->scanned = l->in.n;
			break;
		}
		end = lf ? (size_t)(lf + 1 - start) : l->in.n;
		if (lines && end > bytes_max)
			break;
		taken = end;
		lines++;
	}
	*ret_n = lines;
	return slice_make(taken ? start : "", taken);
}

void lines_drop(struct lines *l, size_t bytes)
{
	buf_consume(&l->in, bytes);
	l->scanned = 0;
}

bool lines_is_stuck(const struct lines *l)
{
	return l->in.n >= l->in_max && l->scanned >= l->in.n && !l->is_ended;
}

bool lines_is_done(const struct lines *l)
{
	return l->is_ended && l->in.n == 0;
}
