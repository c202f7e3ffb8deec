/* SPDX-License-Identifier: MIT */
/*
 * fuzz_ws: a client's bytes through ws.c, twice: once through the socket as they are, once handed
 * to ws.c in small pieces. Both must tell the same story. The story must be a legal one:
 *
 *  - messages are within the limits, and text is UTF-8;
 *  - what leaves is whole unmasked frames, at most one close frame, and nothing behind it;
 *  - on_closed comes exactly once.
 *
 * And all of it once more with permessage-deflate agreed on, where frames may be compressed.
 *
 * The input begins with a byte of options (see struct plan), then come the client's bytes.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "net/deflate.h"
#include "net/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX     8192 /* so that the pongs to it stay below the mark where they begin to wait */
#define MESSAGE_MAX   600
#define FRAGMENTS_MAX 5

struct plan {
	size_t piece; /* bytes at once in the second run */
	enum { DO_NOTHING, DO_CLOSE, DO_DESTROY, DO_PAUSE } action;
	unsigned on_message; /* at which message the server does it */
	bool deflates;
};

struct rig {
	struct plan plan;
	struct conn_env env;
	struct conn *conn;
	struct ws ws;
	int peer;
	bool paused, over;
	unsigned messages_n;
	struct buf out;   /* what the client received */
	struct buf story; /* what ws_ops were told */
};

static struct loop *loop;
static struct counters *counters;

static struct ws_config cfg = {
	.message_max = MESSAGE_MAX,
	.fragments_max = FRAGMENTS_MAX,
	.heartbeat_ms = 1000,
	.pong_timeout_ms = 1000,
	.close_timeout_ms = 1000,
};

static void on_message(struct ws *w, enum ws_opcode opcode, struct slice payload)
{
	struct rig *r = container_of(w, struct rig, ws);

	assert(!r->over && !r->paused && ws_is_open(w));
	assert(payload.n <= MESSAGE_MAX);
	assert(opcode == WS_BINARY || (opcode == WS_TEXT && utf8_is_valid(payload.p, payload.n)));
	if (r->messages_n++ == r->plan.on_message) {
		if (r->plan.action == DO_CLOSE)
			ws_close(w, CLOSE_KICKED, 1008, "enough");
		else if (r->plan.action == DO_DESTROY)
			conn_close(ws_conn(w), CLOSE_OVERLOAD);
	}
	if (r->plan.action == DO_PAUSE && r->messages_n % 2 == r->plan.on_message % 2) {
		ws_pause(w);
		r->paused = true;
	}
	buf_addf(&r->story, "%d %zu:", opcode, payload.n);
	buf_add_slice(&r->story, payload);
}

static void on_closed(struct ws *w, enum close_reason reason)
{
	struct rig *r = container_of(w, struct rig, ws);

	assert(!r->over);
	r->over = true;
	buf_addf(&r->story, "closed %d", reason);
}

static const struct ws_ops ops = {.on_message = on_message, .on_closed = on_closed};

static void receive(struct rig *r)
{
	char bytes[4096];
	ssize_t n;

	while ((n = recv(r->peer, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		buf_add(&r->out, bytes, (size_t)n);
}

static void settle(struct rig *r)
{
	do {
		if (r->paused && !r->over) {
			r->paused = false;
			ws_resume(&r->ws);
		}
		for (int i = 0; i < 3; i++) {
			loop_turn(loop, false);
			receive(r);
		}
	} while (r->paused && !r->over);
}

static void begin(struct rig *r, const struct plan *plan)
{
	int fds[2], rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);

	assert(rc == 0);
	*r = (struct rig){.plan = *plan, .peer = fds[1]};
	r->env = (struct conn_env){
		.loop = loop,
		.counters = counters,
		.write_timeout_ms = 1000,
		.linger_ms = 1000,
		.in_max = 2 * INPUT_MAX,
	};
	LIST_INIT(&r->env.all);
	buf_init(&r->out, 0);
	buf_init(&r->story, 0);
	r->conn = conn_new(&r->env, fds[0], &conn_io_plain, NULL, NULL);
	ws_init(&r->ws, r->conn, &cfg, &ops);
	if (plan->deflates)
		ws_set_deflates(&r->ws);
	loop_turn(loop, false);
}

static void end(struct rig *r)
{
	settle(r);
	close(r->peer);
	while (!r->over)
		loop_turn(loop, false);
	loop_turn(loop, false);
	assert(LIST_EMPTY(&r->env.all));
	conn_env_fini(&r->env);
}

static void run_through_the_socket(struct rig *r, const struct plan *plan, struct slice in)
{
	begin(r, plan);
	if (in.n > 0) {
		ssize_t n = send(r->peer, in.p, in.n, MSG_NOSIGNAL);
		assert(n == (ssize_t)in.n);
	}
	end(r);
}

/* Plays conn's part: keeps what was not consumed, and gives it again with more behind it. */
static void run_in_pieces(struct rig *r, const struct plan *plan, struct slice in)
{
	struct buf kept;

	begin(r, plan);
	buf_init(&kept, 0);
	for (size_t at = 0; at < in.n || r->paused;) {
		size_t n = in.n - at < plan->piece ? in.n - at : plan->piece;
		if (r->over || !conn_is_open(r->conn))
			break;
		if (r->paused) {
			r->paused = false;
			ws_resume(&r->ws);
		} else {
			buf_add(&kept, in.p + at, n);
			at += n;
		}
		if (kept.n > 0)
			buf_consume(&kept, r->conn->ops->on_input(r->conn, buf_slice(&kept)));
	}
	buf_fini(&kept);
	end(r);
}

static void check_output(struct slice out)
{
	bool closed = false;
	struct ws_head h;

	while (out.n > 0) {
		enum ws_verdict v = ws_head_decode(out, &h);
		assert(v == WS_OK && h.fin && h.rsv == 0 && !h.masked);
		assert(h.opcode == WS_PONG || h.opcode == WS_CLOSE);
		assert(h.payload_n <= 125 && h.head_n + h.payload_n <= out.n);
		assert(!closed);
		closed = h.opcode == WS_CLOSE;
		out = slice_skip(out, h.head_n + (size_t)h.payload_n);
	}
}

/* A head is read as it would have been written. */
static void check_head(struct slice in)
{
	uint8_t again[WS_HEAD_MAX];
	struct ws_head h;
	size_t n;

	if (ws_head_decode(in, &h) != WS_OK || h.rsv)
		return;
	if (h.masked)
		n = ws_head_encode_masked(again, h.opcode, h.fin, h.payload_n, h.mask);
	else
		n = ws_head_encode(again, h.opcode, h.fin, h.payload_n);
	assert(slice_eq(slice_make((const char *)again, n), slice_make(in.p, h.head_n)));
}

static void run(const struct plan *plan, struct slice in)
{
	struct rig whole, pieces;

	run_through_the_socket(&whole, plan, in);
	run_in_pieces(&pieces, plan, in);
	check_output(buf_slice(&whole.out));
	assert(slice_eq(buf_slice(&whole.out), buf_slice(&pieces.out)));
	assert(slice_eq(buf_slice(&whole.story), buf_slice(&pieces.story)));
	buf_fini(&whole.out);
	buf_fini(&whole.story);
	buf_fini(&pieces.out);
	buf_fini(&pieces.story);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in;
	struct plan plan = {0};

	if (size < 1 || size > INPUT_MAX)
		return 0;
	if (!loop) {
		clock_fake_set(1000000, 1000000);
		loop = loop_new("fuzz");
		counters = counters_new();
		cfg.deflater = deflater_new(&(struct deflate_config){.level = 1, .window_bits = 9},
					    counters);
	}
	plan.piece = (size_t)1 << (data[0] & 7);
	plan.action = data[0] >> 3 & 3;
	plan.on_message = data[0] >> 5;
	in = slice_make((const char *)data + 1, size - 1);
	check_head(in);
	run(&plan, in);
	plan.deflates = true;
	run(&plan, in);
	return 0;
}
