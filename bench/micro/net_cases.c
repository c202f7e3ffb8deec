/* SPDX-License-Identifier: MIT */
/* net_cases: a WebSocket client's frames, a publish request, and the out queue of a connection. */
#include <assert.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/micro/micro.h"
#include "net/http.h"
#include "net/ws.h"

static struct conn_env env;
static struct conn *conn;
static struct ws ws;
static int peer;
static struct buf input;
static size_t seen;

static void connect_pair(void)
{
	int fds[2], rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);

	assert(rc == 0);
	env = (struct conn_env){
		.loop = loop_new("micro"),
		.counters = counters_new(),
		.write_timeout_ms = 1000,
		.linger_ms = 1000,
	};
	LIST_INIT(&env.all);
	peer = fds[1];
	conn = conn_new(&env, fds[0], &conn_io_plain, NULL, NULL);
	seen = 0;
}

static void hang_up(void)
{
	conn_close(conn, CLOSE_NORMAL);
	loop_free(env.loop);
	conn_env_fini(&env);
	counters_free(env.counters);
	close(peer);
	buf_fini(&input);
}

static size_t receive(void)
{
	char bytes[65536];
	ssize_t n = recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT);

	assert(n > 0);
	return (size_t)n;
}

/* --- WebSocket ------------------------------------------------------------------------------- */

#define FRAMES 16

static void on_message(struct ws *w, enum ws_opcode opcode, struct slice payload)
{
	micro_use(w);
	assert(opcode == WS_TEXT && payload.n == 128);
	seen++;
}

static void on_ws_closed(struct ws *w, enum close_reason reason)
{
	micro_use(w);
	assert(reason == CLOSE_NORMAL);
}

static void ws_set_up(void)
{
	static const struct ws_config cfg = {.message_max = 65536, .fragments_max = 8};
	static const struct ws_ops ops = {.on_message = on_message, .on_closed = on_ws_closed};
	static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};

	connect_pair();
	ws_init(&ws, conn, &cfg, &ops);
	loop_turn(env.loop, false);
	for (int i = 0; i < FRAMES; i++) {
		uint8_t head[WS_HEAD_MAX];
		size_t n = ws_head_encode_masked(head, WS_TEXT, true, 128, mask);
		char payload[128];
		memset(payload, 'x', sizeof(payload));
		ws_mask(payload, sizeof(payload), mask, 0);
		buf_add(&input, head, n);
		buf_add(&input, payload, sizeof(payload));
	}
}

/* Straight into the parser, as a connection gives it what it has read. It unmasks in place. */
static void run_ws(size_t n)
{
	char bytes[FRAMES * (128 + WS_HEAD_MAX)];

	assert(input.n <= sizeof(bytes));
	for (size_t i = 0; i < n; i += FRAMES) {
		memcpy(bytes, input.p, input.n);
		size_t taken = conn->ops->on_input(conn, slice_make(bytes, input.n));
		assert(taken == input.n);
	}
	assert(seen % FRAMES == 0 && seen > 0);
}

/* --- HTTP ------------------------------------------------------------------------------------ */

static void on_request(void *arg, struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);

	micro_use(arg);
	assert(r->method == HTTP_POST_ && r->body.n == 128 && r->param_n == 1);
	seen++;
	http_respond(x, 200, "application/json", "", SLICE("{\"id\":\"k3v9q2.123456789\"}\n"));
}

static void http_set_up(void)
{
	static const struct http_config cfg = {
		.head_max = 16384,
		.target_max = 9000,
		.body_max = 65536,
		.pipeline_max = 8,
		.cors_origins = "",
		.on_request = on_request,
	};

	connect_pair();
	http_serve(conn, &cfg);
	buf_add_str(&input, "POST /v1/publish?channel=room%3A1234 HTTP/1.1\r\n"
			    "Host: 127.0.0.1:8080\r\nContent-Type: application/json\r\n"
			    "Content-Length: 128\r\n\r\n");
	for (int i = 0; i < 128; i++)
		buf_add_char(&input, '1');
}

static void run_http(size_t n)
{
	size_t before = seen;

	for (size_t i = 0; i < n; i++) {
		ssize_t sent = send(peer, input.p, input.n, 0);
		assert(sent == (ssize_t)input.n);
		while (seen == before + i)
			loop_turn(env.loop, false);
		receive(); /* the answer leaves in the turn of the request */
	}
}

/* --- the out queue --------------------------------------------------------------------------- */

static struct frame *frames[FRAMES];

static size_t on_input(struct conn *c, struct slice bytes)
{
	micro_use(c);
	return bytes.n;
}

static void on_eof(struct conn *c)
{
	micro_use(c);
}

static void on_closed(struct conn *c, enum close_reason reason)
{
	micro_use(c);
	assert(reason == CLOSE_NORMAL);
}

static void out_set_up(void)
{
	static const struct conn_ops ops = {
		.on_input = on_input, .on_eof = on_eof, .on_closed = on_closed};

	connect_pair();
	conn_set_owner(conn, &ops, NULL);
	loop_turn(env.loop, false);
	for (size_t i = 0; i < FRAMES; i++) {
		frames[i] = frame_new(200);
		memset(frames[i]->bytes, 'x', 200);
		frames[i]->is_message = true;
		frames[i]->seq = i + 1;
	}
}

static void out_tear_down(void)
{
	hang_up();
	for (size_t i = 0; i < FRAMES; i++)
		frames[i] = frame_unref(frames[i]);
}

static void run_out(size_t n)
{
	for (size_t i = 0; i < n; i += FRAMES) {
		for (size_t k = 0; k < FRAMES; k++)
			conn_send(conn, frames[k]);
		loop_turn(env.loop, false);
		size_t got = receive();
		assert(got == FRAMES * 200);
	}
}

const struct micro_case net_cases[] = {
	{"ws-parse", "a client's WebSocket frame of 128 bytes parsed", 1600, ws_set_up, run_ws,
	 hang_up},
	{"http-publish", "a publish request read from a socket, parsed and answered", 200,
	 http_set_up, run_http, hang_up},
	{"conn-out", "a frame queued and written with 15 others", 1600, out_set_up, run_out,
	 out_tear_down},
	{NULL},
};
