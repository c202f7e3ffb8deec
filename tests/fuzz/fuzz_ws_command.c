/* SPDX-License-Identifier: MIT */
/*
 * fuzz_ws_command: JSON frames of clients through a whole front door: socket, WebSocket,
 * ws_command, hub, and a log that is moved by hand (tests/unit/broker/fake_history.h). The input:
 * frames separated by line feeds; an empty one lets the log work, "!" lets somebody else publish,
 * "~" drains. Bytes that are no UTF-8 end the connection, as they should.
 *
 * Whatever the client says: every frame that comes back is a JSON object with a type that the
 * protocol knows, nothing follows a close frame, ids of messages ascend, and when the client is
 * gone nothing is left behind.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/session_id.h"
#include "base/utf8.h"
#include "net/ws_frame.h"
#include "tests/unit/broker/fake_history.h"
#include "transports/gateway.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX  2048
#define FRAMES_MAX 48

static struct loop *loop;
static struct counters *counters;
static struct namespace_table *namespaces;

static const struct hub_limits limits = {
	.channels_per_subscriber = 3,
	.patterns_per_subscriber = 2,
	.patterns = 2,
	.page_scan = 3,
	.pages = 32,
	.replay_turn_bytes = 1 << 20,
	.message_bytes = 200,
	.last_max = 20,
	.recent_count = 4,
	.recent_bytes = 10000,
	.recent_total_bytes = 100000,
	.page_rows = 3,
	.page_bytes = 10000,
	.idle_channel_ms = 1000,
	.idle_channels = 10,
};

static const struct gateway_config config = {
	.out_queue_bytes = 4096,
	.replay_window_bytes = 2048,
	.poll_bytes = 2000,
	.history_limit = 5,
	.channels_per_subscription = 3,
	.patterns_per_subscription = 2,
	.message_bytes = 200,
	.last_limit = 20,
	.pending_publishes = 3,
	.ws_origins = "*",
	.ws = {.message_max = INPUT_MAX, .fragments_max = 1, .close_timeout_ms = 1000},
};

struct rig {
	struct conn_env env;
	struct history *history;
	struct census *census;
	struct hub *hub;
	struct gateway gateway;
	struct http_config http;
	int fd;
	struct buf out;
};

static void set_up_once(void)
{
	clock_fake_set(1000000, 1790000000123);
	loop = loop_new("fuzz");
	counters = counters_new();
	namespaces = namespace_table_new(3);
	for (size_t i = 0; i < namespaces->n; i++)
		namespaces->ns[i].durability = DURABILITY_COMMIT;
	strcpy(namespaces->ns[1].name, "few");
	namespaces->ns[1].history_count = 2;
	strcpy(namespaces->ns[2].name, "closed");
	namespaces->ns[2].publish = namespaces->ns[2].subscribe = ACCESS_ADMIN;
}

static void turn(struct rig *r)
{
	char bytes[65536];
	ssize_t n;

	for (int i = 0; i < 4; i++)
		loop_turn(loop, false);
	while ((n = recv(r->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		buf_add(&r->out, bytes, (size_t)n);
}

static void settle(struct rig *r)
{
	size_t before;

	do {
		before = r->out.n;
		turn(r);
		fake_settle(r->history);
		turn(r);
	} while (r->out.n != before || fake_waiting(r->history) || r->history->query_n);
}

static const struct session_key session_key = {{1}};

static void begin(struct rig *r)
{
	static const char request[] = "GET /v1/ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
				      "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
				      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
	int fds[2], rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);

	assert(rc == 0);
	*r = (struct rig){.fd = fds[1]};
	r->env = (struct conn_env){.loop = loop, .counters = counters, .in_max = 65536};
	LIST_INIT(&r->env.all);
	r->history = fake_history_new(0, 1);
	r->census = census_new();
	r->hub = hub_new(loop, r->history, &r->history->workers[0].mailbox, r->census, namespaces,
			 counters, &limits);
	r->history->workers[0].hub = r->hub;
	r->gateway = (struct gateway){.loop = loop,
				      .hub = r->hub,
				      .counters = counters,
				      .config = &config,
				      .session_key = &session_key};
	LIST_INIT(&r->gateway.sessions);
	r->http = (struct http_config){.head_max = 4096,
				       .target_max = 1000,
				       .body_max = 1000,
				       .on_request = gateway_on_request,
				       .arg = &r->gateway};
	http_serve(conn_new(&r->env, fds[0], &conn_io_plain, NULL, NULL), &r->http);
	ssize_t n = send(r->fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
	assert(n == sizeof(request) - 1);
	turn(r);
	const char *end = memmem(r->out.p, r->out.n, "\r\n\r\n", 4);
	assert(end);
	buf_consume(&r->out, (size_t)(end + 4 - r->out.p));
}

static void end(struct rig *r)
{
	close(r->fd);
	turn(r);
	fake_settle(r->history); /* answers whose asker is gone */
	turn(r);
	assert(LIST_EMPTY(&r->env.all) && LIST_EMPTY(&r->gateway.sessions));
	assert(r->gateway.session_n == 0);
	assert(atomic_load(&counters->v[COUNTER_SUBSCRIPTIONS]) == 0);
	assert(atomic_load(&counters->v[COUNTER_CATCHING_UP]) == 0);
	assert(atomic_load(&counters->v[COUNTER_SESSIONS_WEBSOCKET]) == 0);
	hub_free(r->hub);
	gateway_fini(&r->gateway);
	conn_env_fini(&r->env);
	fake_history_free(r->history);
	census_free(r->census);
	buf_fini(&r->out);
}

/* --- what the client says -------------------------------------------------------------------- */

static void say(struct rig *r, struct slice text)
{
	static const uint8_t mask[4];
	uint8_t head[WS_HEAD_MAX];
	size_t n = ws_head_encode_masked(head, WS_TEXT, true, text.n, mask);

	/* What does not go through at once would only tear frames apart. */
	if (send(r->fd, head, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n && text.n)
		(void)!send(r->fd, text.p, text.n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void play(struct rig *r, struct slice in)
{
	for (int i = 0; in.n && i < FRAMES_MAX; i++) {
		const char *lf = memchr(in.p, '\n', in.n);
		struct slice text = slice_make(in.p, lf ? (size_t)(lf - in.p) : in.n);

		in = slice_skip(in, text.n + 1);
		if (text.n == 0) {
			settle(r);
		} else if (slice_eq_str(text, "!")) {
			fake_publish(r->history, "few:a", DURABILITY_COMMIT, "x");
			fake_trim(r->history, "few:a", 2);
			fake_publish(r->history, "b", DURABILITY_EPHEMERAL, "y");
			turn(r);
		} else if (slice_eq_str(text, "~")) {
			gateway_drain(&r->gateway, 0);
		} else {
			say(r, text);
			turn(r);
		}
	}
}

/* --- what it is told ------------------------------------------------------------------------- */

static void check_text(struct slice text, uint64_t *io_last)
{
	static const char *const types[] = {"hello", "message", "gap",    "ok",
					    "error", "pong",    "goodbye"};
	struct epoch epoch = {"fake"};
	struct slice type, id;
	size_t i = 0;
	uint64_t seq;

	assert(json_is_valid(text, NULL) && json_object_get(text, "type", &type));
	while (i < ARRAY_LEN(types) && !slice_eq_str(slice_make(type.p + 1, type.n - 2), types[i]))
		i++;
	assert(i < ARRAY_LEN(types));
	/* Subscribing to more with an older start goes back; within one reply it ascends. */
	if (slice_eq_str(type, "\"ok\""))
		*io_last = 0;
	if (!slice_eq_str(type, "\"message\"") || !json_object_get(text, "id", &id))
		return;
	assert(id_parse(slice_make(id.p + 1, id.n - 2), &epoch, &seq) == ID_VALID);
	assert(seq > *io_last);
	*io_last = seq;
}

static void check_output(struct slice out)
{
	bool is_closed = false;
	uint64_t last = 0;
	struct ws_head h;

	while (out.n) {
		assert(ws_head_decode(out, &h) == WS_OK && h.fin && !h.rsv && !h.masked);
		assert(h.payload_n <= out.n - h.head_n && !is_closed);
		if (h.opcode == WS_TEXT)
			check_text(slice_make(out.p + h.head_n, (size_t)h.payload_n), &last);
		else
			assert(h.opcode == WS_CLOSE);
		is_closed = h.opcode == WS_CLOSE;
		out = slice_skip(out, h.head_n + (size_t)h.payload_n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig r;

	if (size > INPUT_MAX)
		return 0;
	if (!loop)
		set_up_once();
	begin(&r);
	play(&r, slice_make((const char *)data, size));
	settle(&r);
	check_output(buf_slice(&r.out));
	end(&r);
	return 0;
}
