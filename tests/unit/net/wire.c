/* SPDX-License-Identifier: MIT */
/*
 * wire: see wire.h. "Nothing moves any more" is decided by a fixed number of turns that is larger
 * than any chain of causes in net/ (event → input → answer → write → room → input): a socketpair
 * has no delays of its own.
 */
#include "tests/unit/net/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define TURNS 6

void wire_init(struct wire *w)
{
	*w = (struct wire){.peer = -1};
	clock_fake_set(3600 * 1000000ull, 1790000000000);
	w->loop = loop_new("wire");
	w->env = (struct conn_env){
		.loop = w->loop,
		.counters = counters_new(),
		.write_timeout_ms = 1000,
		.linger_ms = 500,
		.in_max = 65536,
	};
	LIST_INIT(&w->env.all);
}

void wire_fini(struct wire *w)
{
	struct conn *c;
	while ((c = LIST_FIRST(&w->env.all)))
		conn_close(c, CLOSE_NORMAL);
	if (w->peer >= 0)
		close(w->peer);
	buf_fini(&w->got);
	loop_free(w->loop);
	conn_env_fini(&w->env);
	counters_free(w->env.counters);
	clock_fake_off();
}

void wire_connect(struct wire *w, const struct conn_ops *ops, void *owner)
{
	int fds[2];
	if (w->peer >= 0)
		close(w->peer);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
		abort();
	w->peer = fds[1];
	w->got_eof = w->got_reset = false;
	w->closed = 0;
	wire_clear(w);
	w->conn = conn_new(&w->env, fds[0], &conn_io_plain, ops, owner);
}

static void receive(struct wire *w)
{
	char bytes[65536];
	ssize_t n;
	while (w->peer >= 0 && !w->got_eof &&
	       (n = recv(w->peer, bytes, sizeof(bytes), MSG_DONTWAIT)) != -1) {
		if (n == 0)
			w->got_eof = true;
		buf_add(&w->got, bytes, (size_t)n);
	}
	if (w->peer >= 0 && !w->got_eof && errno != EAGAIN)
		w->got_reset = true;
}

void wire_turn(struct wire *w)
{
	for (int i = 0; i < TURNS; i++)
		loop_turn(w->loop, false);
}

void wire_settle(struct wire *w)
{
	size_t before;
	do {
		before = w->got.n;
		wire_turn(w);
		receive(w);
	} while (w->got.n != before);
}

void wire_send(struct wire *w, struct slice bytes)
{
	while (bytes.n > 0) {
		ssize_t n = send(w->peer, bytes.p, bytes.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			break; /* refused in the middle: the answer tells */
		if (n < 0) {
			size_t had = w->got.n;
			uint64_t in = w->conn->in_total;
			wire_settle(w);
			if (w->got.n == had && w->conn->in_total == in)
				break; /* the other side does not read now */
			continue;
		}
		bytes = slice_skip(bytes, (size_t)n);
	}
	wire_settle(w);
}

void wire_pass(struct wire *w, uint64_t ms)
{
	clock_fake_advance(ms * 1000);
	wire_settle(w);
}

void wire_half_close(struct wire *w)
{
	shutdown(w->peer, SHUT_WR);
	wire_settle(w);
}

void wire_hang_up(struct wire *w)
{
	close(w->peer);
	w->peer = -1;
	wire_settle(w);
}

void wire_clear(struct wire *w)
{
	buf_fini(&w->got);
}

unsigned wire_count(const struct wire *w, const char *text)
{
	unsigned n = 0;
	size_t len = strlen(text);
	for (size_t i = 0; i + len <= w->got.n; i++)
		n += memcmp(w->got.p + i, text, len) == 0;
	return n;
}

bool wire_has(const struct wire *w, const char *text)
{
	return wire_count(w, text) > 0;
}

int64_t wire_counter(const struct wire *w, enum counter_id id)
{
	return atomic_load_explicit(&w->env.counters->v[id], memory_order_relaxed);
}
