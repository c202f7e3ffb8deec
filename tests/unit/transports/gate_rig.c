/* SPDX-License-Identifier: MIT */
/*
 * gate_rig: see gate_rig.h. Everything happens in loop_turn() of the one thread, so "nothing moves
 * any more" is a number of turns that is larger than any chain of causes: event, input, answer,
 * write, room, input.
 */
#include "tests/unit/transports/gate_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/ws_frame.h"
#include "transports/session.h"

#define TURNS 6

/* --- life ------------------------------------------------------------------------------------ */

static const struct hub_limits limits = {
	.channels_per_subscriber = 4,
	.patterns_per_subscriber = 2,
	.patterns = 100,
	.page_scan = 1000,
	.pages = 32,
	.replay_turn_bytes = 1 << 20,
	.message_bytes = 1000,
	.last_max = 20,
	.recent_count = 8,
	.recent_bytes = 100000,
	.recent_total_bytes = 1000000,
	.page_rows = 4,
	.page_bytes = 100000,
	.idle_channel_ms = 30000,
	.idle_channels = 100,
};

static const struct gateway_config config = {
	.out_queue_bytes = 8192,
	.replay_window_bytes = 4096,
	.heartbeat_ms = 25000,
	.sse_retry_ms = 2000,
	.poll_wait_max_ms = 60000,
	.poll_messages = 3,
	.poll_bytes = 4000,
	.history_limit = 5,
	.channels_per_subscription = 4,
	.patterns_per_subscription = 2,
	.message_bytes = 1000,
	.request_bytes = 2000,
	.batch_bytes = 640,
	.in_flight = 7,
	.in_flight_max = 7,
	.last_limit = 20,
	.pending_publishes = 4,
	.ws_origins = "*",
	.ws = {.message_max = 4000, .fragments_max = 8, .close_timeout_ms = 1000},
};

static struct namespace_table *namespaces(void)
{
	struct namespace_table *t = namespace_table_new(4);

	for (size_t i = 0; i < t->n; i++)
		t->ns[i].durability = DURABILITY_COMMIT;
	strcpy(t->ns[1].name, "few");
	t->ns[1].history_count = 3;
	strcpy(t->ns[2].name, "open");
	t->ns[2].is_public = true;
	strcpy(t->ns[3].name, "closed");
	t->ns[3].publish = t->ns[3].subscribe = ACCESS_ADMIN;
	return t;
}

static const struct session_key session_key = {{1}};

static void set_up_gateway(struct gate *g)
{
	g->cfg = config;
	g->gateway = (struct gateway){
		.loop = g->loop,
		.hub = g->hub,
		.counters = g->env.counters,
		.config = &g->cfg,
		.session_key = &session_key,
	};
	LIST_INIT(&g->gateway.sessions);
	g->http = (struct http_config){
		.head_max = 16384,
		.target_max = 9000,
		.body_max = 2000,
		.pipeline_max = 8,
		.cors_origins = "",
		.on_request = gateway_on_request,
		.body_limit = gateway_body_limit,
		.arg = &g->gateway,
	};
}

int gate_setup(void **state)
{
	struct gate *g = calloc(1, sizeof(*g));

	clock_fake_set(3600 * 1000000ull, GATE_WALL_MS);
	g->loop = loop_new("gate");
	g->env = (struct conn_env){.loop = g->loop, .counters = counters_new(), .in_max = 65536};
	LIST_INIT(&g->env.all);
	g->history = fake_history_new(0, 1);
	g->namespaces = namespaces();
	g->census = census_new();
	g->limits = limits;
	g->hub = hub_new(g->loop, g->history, &g->history->workers[0].mailbox, g->census,
			 g->namespaces, g->env.counters, &g->limits);
	g->history->workers[0].hub = g->hub;
	set_up_gateway(g);
	for (size_t i = 0; i < GATE_CLIENTS; i++)
		g->clients[i].fd = -1;
	*state = g;
	return 0;
}

int gate_teardown(void **state)
{
	struct gate *g = *state;
	struct conn *c;

	for (size_t i = 0; i < GATE_CLIENTS; i++)
		if (g->clients[i].fd >= 0)
			gate_hang_up(g, i);
	while ((c = LIST_FIRST(&g->env.all)))
		conn_close(c, CLOSE_NORMAL);
	gate_settle(g); /* answers whose askers are gone */
	assert_int_equal(g->gateway.session_n, 0);
	assert_true(LIST_EMPTY(&g->gateway.sessions));
	assert_int_equal(atomic_load(&g->env.counters->v[COUNTER_SUBSCRIPTIONS]), 0);
	assert_int_equal(atomic_load(&g->env.counters->v[COUNTER_CATCHING_UP]), 0);
	hub_free(g->hub);
	loop_free(g->loop);
	gateway_fini(&g->gateway);
	conn_env_fini(&g->env);
	fake_history_free(g->history);
	counters_free(g->env.counters);
	census_free(g->census);
	namespace_table_unref(g->namespaces);
	clock_fake_off();
	free(g);
	return 0;
}

/* --- clients --------------------------------------------------------------------------------- */

void gate_connect(struct gate *g, size_t i, bool is_admin)
{
	struct gate_client *client = &g->clients[i];
	int fds[2];

	if (client->fd >= 0)
		gate_hang_up(g, i);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	*client = (struct gate_client){.fd = fds[1]};
	struct conn *c = conn_new(&g->env, fds[0], &conn_io_plain, NULL, NULL);
	c->is_admin = is_admin;
	http_serve(c, &g->http);
}

void gate_hang_up(struct gate *g, size_t i)
{
	close(g->clients[i].fd);
	g->clients[i].fd = -1;
	buf_fini(&g->clients[i].got);
	gate_turn(g);
}

static void receive(struct gate_client *c)
{
	char bytes[65536];
	ssize_t n;

	while (c->fd >= 0 && !c->got_eof && !c->is_deaf &&
	       (n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0) {
		c->got_eof = n == 0;
		buf_add(&c->got, bytes, (size_t)n);
	}
}

static size_t received(struct gate *g)
{
	size_t n = 0;

	for (size_t i = 0; i < GATE_CLIENTS; i++) {
		receive(&g->clients[i]);
		n += g->clients[i].got.n;
	}
	return n;
}

void gate_turn(struct gate *g)
{
	size_t before;

	do {
		before = received(g);
		for (int i = 0; i < TURNS; i++)
			loop_turn(g->loop, false);
	} while (received(g) != before);
}

void gate_settle(struct gate *g)
{
	do {
		gate_turn(g);
		fake_settle(g->history);
		gate_turn(g);
	} while (fake_waiting(g->history) || g->history->query_n);
}

void gate_pass(struct gate *g, uint64_t ms)
{
	clock_fake_advance(ms * 1000);
	gate_turn(g);
}

void gate_say_bytes(struct gate *g, size_t i, struct slice bytes)
{
	if (g->clients[i].fd < 0)
		gate_connect(g, i, false);
	while (bytes.n) {
		ssize_t n = send(g->clients[i].fd, bytes.p, bytes.n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			bytes = slice_skip(bytes, (size_t)n);
		gate_turn(g);
		if (n <= 0)
			break;
	}
	gate_turn(g);
}

void gate_say(struct gate *g, size_t i, const char *text)
{
	gate_say_bytes(g, i, slice_str(text));
}

void gate_get(struct gate *g, size_t i, const char *target, const char *headers)
{
	struct buf b = {0};

	buf_addf(&b, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", target, headers ? headers : "");
	gate_say_bytes(g, i, buf_slice(&b));
	buf_fini(&b);
}

void gate_upgrade(struct gate *g, size_t i, const char *target)
{
	gate_get(g, i, target,
		 "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		 "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n");
	struct buf *got = &g->clients[i].got;
	assert_int_equal(gate_status(g, i), 101);
	const char *end = memmem(got->p, got->n, "\r\n\r\n", 4);
	assert_non_null(end);
	buf_consume(got, (size_t)(end + 4 - got->p));
}

void gate_frame(struct gate *g, size_t i, unsigned opcode, struct slice payload)
{
	static const uint8_t mask[4] = {1, 2, 3, 4};
	uint8_t head[WS_HEAD_MAX];
	struct buf b = {0};

	buf_add(&b, head,
		ws_head_encode_masked(head, (enum ws_opcode)opcode, true, payload.n, mask));
	size_t at = b.n;
	buf_add_slice(&b, payload);
	ws_mask(b.p + at, payload.n, mask, 0);
	gate_say_bytes(g, i, buf_slice(&b));
	buf_fini(&b);
}

void gate_command(struct gate *g, size_t i, const char *json)
{
	gate_frame(g, i, WS_TEXT, slice_str(json));
}

uint64_t gate_publish(struct gate *g, const char *channel, const char *text)
{
	uint64_t seq = fake_publish(g->history, channel, DURABILITY_COMMIT, text);

	while (fake_deliver(&g->history->workers[0]))
		;
	gate_turn(g);
	return seq;
}

/* --- what they got --------------------------------------------------------------------------- */

void gate_forget(struct gate *g, size_t i)
{
	receive(&g->clients[i]);
	buf_clear(&g->clients[i].got);
}

static void show(const struct gate *g, size_t i)
{
	print_message("# client %zu got: %.*s\n", i, SLICE_ARG(buf_slice(&g->clients[i].got)));
}

void gate_expect(struct gate *g, size_t i, const char *text)
{
	if (!slice_eq_str(buf_slice(&g->clients[i].got), text)) {
		show(g, i);
		fail_msg("client %zu should have got: %s", i, text);
	}
	gate_forget(g, i);
}

static bool has(const struct gate *g, size_t i, const char *text)
{
	const struct buf *b = &g->clients[i].got;

	return b->n && memmem(b->p, b->n, text, strlen(text));
}

void gate_expect_part(struct gate *g, size_t i, const char *text)
{
	if (!has(g, i, text)) {
		show(g, i);
		fail_msg("client %zu has not got: %s", i, text);
	}
}

void gate_expect_none(struct gate *g, size_t i, const char *text)
{
	if (has(g, i, text)) {
		show(g, i);
		fail_msg("client %zu has got: %s", i, text);
	}
}

int gate_status(const struct gate *g, size_t i)
{
	const struct buf *b = &g->clients[i].got;

	if (b->n < 13 || !slice_starts(buf_slice(b), "HTTP/1.1 "))
		return 0;
	const char *digits = b->p + strlen("HTTP/1.1 ");
	return (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
}
