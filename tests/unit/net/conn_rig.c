/* SPDX-License-Identifier: MIT */
/* conn_rig: see conn_rig.h. */
#include "tests/unit/net/conn_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* --- the owner ------------------------------------------------------------------------------- */

size_t rig_on_input(struct conn *c, struct slice bytes)
{
	struct rig *r = c->owner;
	size_t n = bytes.n < r->take ? bytes.n : r->take;
	r->inputs++;
	buf_add(&r->input, bytes.p, n);
	if (r->on_input)
		r->on_input(r);
	return n;
}

void rig_on_eof(struct conn *c)
{
	struct rig *r = c->owner;
	r->eofs++;
}

static void on_drain(struct conn *c)
{
	struct rig *r = c->owner;
	r->drains++;
	r->drained_at = conn_out_bytes(c);
	if (r->on_drain)
		r->on_drain(r);
}

void rig_on_closed(struct conn *c, enum close_reason reason)
{
	struct rig *r = c->owner;
	r->w.closed++;
	r->w.reason = reason;
	/* Whatever an owner tries now must do nothing. */
	conn_send_bytes(c, SLICE("late"));
	conn_call_on_drain(c, 0);
	conn_drop_messages(c);
	conn_pause(c, true);
	conn_resume(c);
	conn_finish(c, CLOSE_INTERNAL);
	conn_close(c, CLOSE_INTERNAL);
}

const struct conn_ops rig_ops = {
	.on_input = rig_on_input,
	.on_eof = rig_on_eof,
	.on_drain = on_drain,
	.on_closed = rig_on_closed,
};

/* A socket that takes what the test says. */
static struct rig *scripted;

static ssize_t scripted_writev(struct conn *c, const struct iovec *iov, int n)
{
	ssize_t left = scripted->write_max, done = 0;
	if (n > scripted->iov_most)
		scripted->iov_most = n;
	if (left < 0)
		return left;
	for (int i = 0; i < n && left > 0; i++) {
		size_t part = iov[i].iov_len < (size_t)left ? iov[i].iov_len : (size_t)left;
		if (send(c->fd, iov[i].iov_base, part, MSG_DONTWAIT) != (ssize_t)part)
			abort();
		left -= (ssize_t)part;
		done += (ssize_t)part;
	}
	scripted->write_max = done ? 0 : scripted->write_again; /* the next one finds it full */
	return done ? done : -EAGAIN;
}

static ssize_t scripted_read(struct conn *c, void *p, size_t n)
{
	return scripted->read_error ? scripted->read_error : conn_io_plain.read(c, p, n);
}

static void scripted_shutdown(struct conn *c)
{
	conn_io_plain.shutdown(c);
}

static const struct conn_io scripted_io = {
	.name = "scripted",
	.read = scripted_read,
	.writev = scripted_writev,
	.shutdown = scripted_shutdown,
};

/* --- the rig --------------------------------------------------------------------------------- */

int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	wire_init(&r->w);
	r->take = SIZE_MAX;
	scripted = r;
	*state = r;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *r = *state;
	r->on_input = r->on_drain = NULL;
	wire_fini(&r->w);
	buf_fini(&r->input);
	free(r);
	return 0;
}

struct conn *rig_start(struct rig *r)
{
	wire_connect(&r->w, &rig_ops, r);
	return r->w.conn;
}

struct conn *rig_start_scripted(struct rig *r, ssize_t write_max)
{
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	r->write_max = write_max;
	r->w.peer = fds[1];
	r->w.conn = conn_new(&r->w.env, fds[0], &scripted_io, &rig_ops, r);
	return r->w.conn;
}

static struct frame *message(const char *text, uint64_t seq)
{
	struct frame *f = frame_copy(slice_str(text));
	f->is_message = true;
	f->seq = seq;
	return f;
}

void rig_send_message(struct conn *c, const char *text, uint64_t seq)
{
	struct frame *f = message(text, seq);
	conn_send(c, f);
	frame_unref(f);
}

void rig_expect_got(struct rig *r, const char *text)
{
	wire_settle(&r->w);
	if (!slice_eq_str(buf_slice(&r->w.got), text))
		fail_msg("received '%.*s', not '%s'", SLICE_ARG(buf_slice(&r->w.got)), text);
}

size_t rig_stuff(struct rig *r)
{
	static char block[16384];
	size_t sent = 0;
	memset(block, 'x', sizeof(block));
	while (conn_out_bytes(r->w.conn) < sizeof(block)) {
		conn_send_bytes(r->w.conn, slice_make(block, sizeof(block)));
		sent += sizeof(block);
		loop_turn(r->w.loop, false);
	}
	return sent;
}

int64_t rig_count(struct rig *r, enum counter_id id)
{
	return wire_counter(&r->w, id);
}
