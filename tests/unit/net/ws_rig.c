/* SPDX-License-Identifier: MIT */
/* ws_rig: see ws_rig.h. */
#include "tests/unit/net/ws_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/xalloc.h"

/* --- the server's side ----------------------------------------------------------------------- */

uint32_t rig_checksum(struct slice s)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (uint8_t)s.p[i]) * 16777619u;
	return h;
}

static void note_message(struct rig *r, enum ws_opcode opcode, struct slice payload)
{
	const char *kind = opcode == WS_TEXT ? "text" : "binary";

	if (payload.n <= NOTE_SHORT_MAX)
		buf_addf(&r->notes, "%s %.*s\n", kind, SLICE_ARG(payload));
	else
		buf_addf(&r->notes, "%s %zu %x\n", kind, payload.n, rig_checksum(payload));
}

static void on_message(struct ws *w, enum ws_opcode opcode, struct slice payload)
{
	struct rig *r = container_of(w, struct rig, socket);

	if (r->on_message)
		r->on_message(r, payload);
	note_message(r, opcode, payload); /* last: it must still be readable */
}

static void on_drain(struct ws *w)
{
	struct rig *r = container_of(w, struct rig, socket);

	buf_add_str(&r->notes, "drain\n");
}

static void on_heartbeat(struct ws *w)
{
	struct rig *r = container_of(w, struct rig, socket);

	buf_add_str(&r->notes, "heartbeat\n");
}

static void on_closed(struct ws *w, enum close_reason reason)
{
	struct rig *r = container_of(w, struct rig, socket);

	assert_false(ws_is_open(w));
	buf_addf(&r->notes, "closed %s\n", close_reason_info(reason)->text);
	r->closed_n++;
	r->conn = NULL;
	r->ws = NULL;
}

const struct ws_ops rig_ops = {
	.on_message = on_message,
	.on_drain = on_drain,
	.on_heartbeat = on_heartbeat,
	.on_closed = on_closed,
};

/* --- the client's side ----------------------------------------------------------------------- */

static void receive(struct rig *r)
{
	char bytes[65536];
	ssize_t n;

	while (!r->peer_eof && (n = recv(r->peer, bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0) {
		buf_add(&r->in, bytes, (size_t)n);
		r->peer_eof = n == 0;
	}
}

/* Let everything happen that can happen without the clock moving. */
void rig_settle(struct rig *r)
{
	for (int i = 0; i < 6; i++) {
		loop_turn(r->loop, false);
		receive(r);
	}
}

void client_sends(struct rig *r, struct slice bytes)
{
	while (bytes.n > 0 && r->closed_n == 0) {
		ssize_t n = send(r->peer, bytes.p, bytes.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0) {
			assert_true(errno == EAGAIN || errno == EPIPE);
			n = errno == EAGAIN ? 0 : (ssize_t)bytes.n;
		}
		bytes = slice_skip(bytes, (size_t)n);
		loop_turn(r->loop, false);
		receive(r);
	}
	rig_settle(r);
}

void rig_add_frame(struct buf *b, bool fin, unsigned opcode, struct slice payload)
{
	static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
	uint8_t head[WS_HEAD_MAX];

	buf_add(b, head, ws_head_encode_masked(head, opcode, fin, payload.n, mask));
	buf_add_slice(b, payload);
	if (payload.n > 0)
		ws_mask(b->p + b->n - payload.n, payload.n, mask, 0);
	assert_false(b->failed);
}

void client_sends_frame(struct rig *r, bool fin, unsigned opcode, struct slice payload)
{
	struct buf b;

	buf_init(&b, 0);
	rig_add_frame(&b, fin, opcode, payload);
	client_sends(r, buf_slice(&b));
	buf_fini(&b);
}

/* The next frame the client has received is this one. */
void expect_frame(struct rig *r, enum ws_opcode opcode, struct slice payload)
{
	struct ws_head h;

	assert_int_equal(ws_head_decode(buf_slice(&r->in), &h), WS_OK);
	assert_true(h.fin);
	assert_false(h.masked);
	assert_int_equal(h.rsv, 0);
	assert_int_equal(h.opcode, opcode);
	assert_true(h.payload_n == payload.n && r->in.n >= h.head_n + payload.n);
	if (payload.n > 0)
		assert_memory_equal(r->in.p + h.head_n, payload.p, payload.n);
	buf_consume(&r->in, h.head_n + payload.n);
}

/* A close frame with this code (0: none), whatever its text. */
void expect_close(struct rig *r, unsigned code)
{
	struct ws_head h;

	assert_int_equal(ws_head_decode(buf_slice(&r->in), &h), WS_OK);
	assert_int_equal(h.opcode, WS_CLOSE);
	assert_true(h.payload_n <= 125);
	if (code == 0) {
		assert_int_equal(h.payload_n, 0);
	} else {
		const uint8_t *p = (const uint8_t *)r->in.p + h.head_n;
		assert_true(h.payload_n >= 2);
		assert_int_equal(p[0] << 8 | p[1], code);
	}
	buf_consume(&r->in, h.head_n + (size_t)h.payload_n);
}

void expect_notes(struct rig *r, const char *want)
{
	buf_add_char(&r->notes, '\0');
	assert_string_equal(r->notes.p, want);
	buf_clear(&r->notes);
}

/* The client hangs up after its part of the closing. */
void client_closes(struct rig *r)
{
	if (r->peer >= 0)
		close(r->peer);
	r->peer = -1;
	r->peer_eof = true;
	rig_settle(r);
}

void rig_pass_ms(struct rig *r, uint64_t ms)
{
	clock_fake_advance(ms * 1000);
	rig_settle(r);
}

/* --- setting up ------------------------------------------------------------------------------ */

int rig_setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	int fds[2];

	clock_fake_set(1000000, 1000000);
	r->loop = loop_new("test");
	r->env = (struct conn_env){
		.loop = r->loop,
		.counters = counters_new(),
		.write_timeout_ms = 30000,
		.linger_ms = 5000,
		.in_max = 1 << 20,
	};
	LIST_INIT(&r->env.all);
	r->cfg = (struct ws_config){
		.message_max = 16 << 20,
		.fragments_max = 65536,
		.heartbeat_ms = 25000,
		.pong_timeout_ms = 10000,
		.close_timeout_ms = 5000,
	};
	buf_init(&r->in, 0);
	buf_init(&r->notes, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	r->peer = fds[1];
	r->conn = conn_new(&r->env, fds[0], &conn_io_plain, NULL, NULL);
	*state = r;
	return 0;
}

void rig_speak_ws(struct rig *r)
{
	ws_init(&r->socket, r->conn, &r->cfg, &rig_ops);
	r->ws = &r->socket;
}

int rig_setup_ws(void **state)
{
	struct rig *r;

	rig_setup(state);
	r = *state;
	rig_speak_ws(r);
	rig_settle(r);
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *r = *state;

	if (r->conn)
		conn_close(r->conn, CLOSE_NORMAL);
	rig_settle(r);
	assert_true(LIST_EMPTY(&r->env.all));
	if (r->peer >= 0)
		close(r->peer);
	loop_free(r->loop);
	conn_env_fini(&r->env);
	counters_free(r->env.counters);
	buf_fini(&r->in);
	buf_fini(&r->notes);
	free(r);
	clock_fake_off();
	return 0;
}
