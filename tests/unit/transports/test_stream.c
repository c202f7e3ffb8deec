/* SPDX-License-Identifier: MIT */
/* stream: SSE and WebSocket sessions: beginning, delivery, back-pressure, and what may follow the
 * end (nothing). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "net/ws_frame.h"
#include "tests/unit/transports/gate_rig.h"

static int64_t count(const struct gate *g, enum counter_id id)
{
	return atomic_load(&g->env.counters->v[id]);
}

/* --- SSE ------------------------------------------------------------------------------------- */

static void test_sse_begins_with_hello(void **state)
{
	struct gate *g = *state;

	gate_publish(g, "b", "x");
	gate_get(g, 0, "/v1/sse?channel=a", NULL);
	assert_int_equal(gate_status(g, 0), 200);
	gate_expect_part(g, 0,
			 "\r\nContent-Type: text/event-stream\r\n"
			 "Cache-Control: no-cache, no-transform\r\n"
			 "X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "d\r\nretry: 2000\n\n\r\n");
	gate_expect_part(g, 0, "event: hello\ndata: {\"type\":\"hello\",\"session\":\"");
	gate_expect_part(
		g, 0, "\",\"epoch\":\"fake\",\"cursor\":\"fake.1\",\"heartbeat\":25,\"limits\":{");
	gate_forget(g, 0);
	gate_publish(g, "a", "live");
	gate_expect(g, 0,
		    "6e\r\nid: fake.2\ndata: {\"type\":\"message\",\"channel\":\"a\","
		    "\"id\":\"fake.2\",\"prev\":null,\"ts\":1790000000123,\"data\":\"live\"}"
		    "\n\n\r\n");
}

static void test_sse_of_http_1_0_is_not_chunked(void **state)
{
	struct gate *g = *state;

	gate_say(g, 0, "GET /v1/sse?channel=a&format=raw HTTP/1.0\r\n\r\n");
	gate_expect_none(g, 0, "Transfer-Encoding");
	gate_expect_part(g, 0, "\r\nConnection: close\r\n");
	gate_expect_part(g, 0, "\r\n\r\nretry: 2000\n\nevent: hello\n");
	gate_forget(g, 0);
	gate_publish(g, "a", "live");
	gate_expect(g, 0, "id: fake.1\ndata: live\n\n");
	gateway_drain(&g->gateway, 0);
	gate_turn(g);
	gate_expect(g, 0,
		    "retry: 2000\n\nevent: goodbye\ndata: {\"type\":\"goodbye\",\"reason\":"
		    "\"drain\",\"reconnect\":true,\"delay_ms\":0}\n\n");
	assert_true(g->clients[0].got_eof);
}

static void test_sse_heartbeat_when_nothing_else_was_sent(void **state)
{
	struct gate *g = *state;

	gate_get(g, 0, "/v1/sse?channel=a", NULL);
	gate_forget(g, 0);
	gate_pass(g, 20000);
	gate_publish(g, "a", "x");
	gate_forget(g, 0);
	gate_pass(g, 20000);
	gate_expect(g, 0, "");
	gate_pass(g, 5100);
	gate_expect_part(g, 0,
			 ": heartbeat\nevent: heartbeat\ndata: {\"type\":\"heartbeat\",\"ts\":");
	assert_int_equal(count(g, COUNTER_HEARTBEATS), 1);
}

static void test_sse_waits_for_its_turn(void **state)
{
	struct gate *g = *state;

	gate_say(g, 0,
		 "POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
		 "GET /v1/sse?channel=a&since=0 HTTP/1.1\r\nHost: h\r\n\r\n");
	gate_expect(g, 0, "");
	assert_int_equal(g->gateway.session_n, 0);
	gate_settle(g);
	gate_expect_part(g, 0, "\"subscribers\":0}HTTP/1.1 200 OK\r\n");
	gate_expect_part(g, 0, "id: fake.1\n");
}

static void test_sse_whose_turn_comes_while_draining(void **state)
{
	struct gate *g = *state;

	gate_say(g, 0,
		 "POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
		 "GET /v1/sse?channel=a HTTP/1.1\r\nHost: h\r\n\r\n");
	gateway_drain(&g->gateway, 0);
	gate_settle(g);
	gate_expect_part(g, 0, "event: goodbye\n");
	assert_true(g->clients[0].got_eof);
	assert_int_equal(g->gateway.session_n, 0);
}

static void test_client_that_goes_before_its_turn(void **state)
{
	static const char *const streams[] = {
		"GET /v1/sse?channel=a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /v1/ws?channel=a HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"};
	struct gate *g = *state;

	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		gate_say(g, 0,
			 "POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
			 "\r\nx");
		gate_say(g, 0, streams[i]);
		gate_hang_up(g, 0);
		gate_settle(g);
		assert_int_equal(g->gateway.session_n, 0);
	}
}

/* --- what follows goodbye -------------------------------------------------------------------- */

/* RFC 6455 5.5.1: no data frame after the close frame. Messages of the time between the two close
 * frames were sent. */
static void test_nothing_follows_the_close_frame(void **state)
{
	static const char *const targets[] = {"/v1/ws?channel=a", "/v1/ws?channel=a&format=raw"};
	struct gate *g = *state;

	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		gate_upgrade(g, 0, targets[i]);
		gate_publish(g, "a", "before");
		gate_expect_part(g, 0, "before");
		assert_int_equal(gateway_kick(&g->gateway, 0, SLICE("a")), 1);
		assert_int_equal(census_total(g->census, SLICE("a")), 0);
		int64_t delivered = count(g, COUNTER_DELIVERED_WEBSOCKET);
		gate_publish(g, "a", "after");
		gate_expect_none(g, 0, "after");
		const struct buf *b = &g->clients[0].got;
		assert_int_equal(memcmp(b->p + b->n - 6, "kicked", 6), 0); /* the close frame's */
		assert_int_equal(count(g, COUNTER_DELIVERED_WEBSOCKET), delivered);
		gate_hang_up(g, 0);
	}
}

static void test_nothing_follows_the_refusal_of_a_raw_publish(void **state)
{
	struct gate *g = *state;

	gate_upgrade(g, 0, "/v1/ws?channel=a&format=raw");
	gate_frame(g, 0, WS_TEXT, SLICE("x"));
	fake_commit(g->history, 1, -ENOSPC);
	gate_settle(g);
	gate_expect_part(g, 0, "\x03\xf5the disk of the message store is full");
	gate_publish(g, "a", "after");
	gate_expect_none(g, 0, "after");
}

static void test_replies_that_come_after_the_close_frame(void **state)
{
	struct gate *g = *state;

	gate_upgrade(g, 0, "/v1/ws");
	gate_command(g, 0, "{\"type\":\"publish\",\"channel\":\"a\",\"data\":1}");
	gate_command(g, 0, "{\"type\":\"history\",\"channel\":\"a\"}");
	gateway_drain(&g->gateway, 0);
	gate_turn(g);
	gate_forget(g, 0);
	gate_settle(g);
	gate_expect(g, 0, "");
	assert_int_equal(fake_channel_find(g->history, "a")->n, 1);
}

static void test_nothing_follows_goodbye_of_sse(void **state)
{
	struct gate *g = *state;

	gate_get(g, 0, "/v1/sse?channel=a", NULL);
	gate_forget(g, 0);
	gateway_drain(&g->gateway, 0);
	assert_int_equal(census_total(g->census, SLICE("a")), 0);
	gate_publish(g, "a", "after");
	gate_pass(g, 60000);
	gate_expect_none(g, 0, "after");
	gate_expect_none(g, 0, "heartbeat");
	const struct buf *b = &g->clients[0].got;
	assert_int_equal(memcmp(b->p + b->n - 9, "\n\n\r\n0\r\n\r\n", 9), 0);
	assert_int_equal(count(g, COUNTER_DELIVERED_SSE), 0);
}

/* --- slow readers ---------------------------------------------------------------------------- */

/* Socket buffers of this size fill after a few messages. */
static void small_buffers(struct gate *g, size_t i)
{
	int n = 2048;
	struct conn *c = LIST_FIRST(&g->env.all);

	setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(n));
	setsockopt(g->clients[i].fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n));
}

static void test_slow_reader_catches_up(void **state)
{
	static const char *const targets[] = {"/v1/sse?channel=a", "/v1/ws?channel=a"};
	char text[600];
	struct gate *g = *state;

	memset(text, '.', sizeof(text));
	text[599] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		gate_connect(g, 0, false);
		small_buffers(g, 0);
		if (i == 0)
			gate_get(g, 0, targets[i], NULL);
		else
			gate_upgrade(g, 0, targets[i]);
		gate_forget(g, 0);
		g->clients[0].is_deaf = true;
		for (int n = 0; n < 60; n++) {
			snprintf(text, 5, "<%03d", n);
			text[4] = '>';
			gate_publish(g, "a", text);
		}
		struct conn *c = LIST_FIRST(&g->env.all);
		assert_true(conn_out_bytes(c) < g->cfg.out_queue_bytes + 2000);
		assert_int_equal(count(g, COUNTER_CATCHING_UP), 1);
		assert_int_equal(count(g, COUNTER_SLOW_LAG), i + 1);
		g->clients[0].is_deaf = false;
		gate_settle(g);
		assert_int_equal(count(g, COUNTER_CATCHING_UP), 0);
		const struct buf *b = &g->clients[0].got;
		const char *at = b->p;
		for (int n = 0; n < 60; n++) {
			char mark[8];

			snprintf(mark, sizeof(mark), "<%03d>", n);
			at = memmem(at, (size_t)(b->p + b->n - at), mark, 5);
			assert_non_null(at++);
			assert_null(memmem(at, (size_t)(b->p + b->n - at), mark, 5)); /* once */
		}
		gate_hang_up(g, 0);
	}
}

/* --- clients that send faster than they read ---------------------------------------------------
 */

static unsigned replies(const struct gate *g, size_t i)
{
	const struct buf *b = &g->clients[i].got;
	unsigned n = 0;

	for (size_t at = 0; at + 11 <= b->n; at++)
		n += memcmp(b->p + at, "\"type\":\"ok\"", 11) == 0;
	return n;
}

/* Paused for what was pending, and when that was answered, for what was unsent: then nothing woke
 * it up again. */
static void test_paused_client_is_read_again(void **state)
{
	char text[900];
	struct gate *g = *state;
	struct buf b = {0};

	memset(text, '.', sizeof(text));
	text[899] = '\0';
	for (int n = 0; n < 10; n++)
		gate_publish(g, "a", text);
	g->cfg.out_queue_bytes = g->cfg.replay_window_bytes = 1024;
	gate_connect(g, 0, false);
	small_buffers(g, 0);
	gate_upgrade(g, 0, "/v1/ws");
	gate_forget(g, 0);
	for (int n = 0; n < 12; n++)
		gate_command(g, 0, "{\"type\":\"history\",\"channel\":\"a\"}");
	for (int n = 0; n < 20; n++)
		gate_settle(g);
	assert_int_equal(replies(g, 0), 12);
	buf_fini(&b);
}

/* A page that is being read counts as if it were queued: 1024 of them were a gigabyte. */
static void test_history_that_is_asked_for_and_not_read(void **state)
{
	char text[900];
	struct gate *g = *state;

	memset(text, '.', sizeof(text));
	text[899] = '\0';
	for (int n = 0; n < 10; n++)
		gate_publish(g, "a", text);
	g->cfg.pending_publishes = 1000;
	g->cfg.poll_bytes = 4000;
	gate_connect(g, 0, false);
	small_buffers(g, 0);
	gate_upgrade(g, 0, "/v1/ws");
	gate_forget(g, 0);
	g->clients[0].is_deaf = true;
	for (int n = 0; n < 60; n++) {
		gate_command(g, 0, "{\"type\":\"history\",\"channel\":\"a\"}");
		assert_true(g->history->query_n <= 4);
	}
	for (int n = 0; n < 20; n++)
		gate_settle(g);
	struct conn *c = LIST_FIRST(&g->env.all);
	assert_true(conn_out_bytes(c) < 30000);
	g->clients[0].is_deaf = false;
	for (int n = 0; n < 60; n++)
		gate_settle(g);
	assert_int_equal(replies(g, 0), 60);
}

static void test_client_that_goes_while_much_is_pending(void **state)
{
	struct gate *g = *state;

	gate_upgrade(g, 0, "/v1/ws?channel=a&since=0");
	for (int n = 0; n < 3; n++) {
		gate_command(g, 0, "{\"type\":\"publish\",\"channel\":\"a\",\"data\":1}");
		gate_command(g, 0, "{\"type\":\"history\",\"channel\":\"a\"}");
	}
	gate_hang_up(g, 0);
	gate_settle(g);
	assert_true(fake_channel_find(g->history, "a")->n >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_TEST(test_sse_begins_with_hello),
		GATE_TEST(test_sse_of_http_1_0_is_not_chunked),
		GATE_TEST(test_sse_heartbeat_when_nothing_else_was_sent),
		GATE_TEST(test_sse_waits_for_its_turn),
		GATE_TEST(test_sse_whose_turn_comes_while_draining),
		GATE_TEST(test_client_that_goes_before_its_turn),
		GATE_TEST(test_nothing_follows_the_close_frame),
		GATE_TEST(test_nothing_follows_the_refusal_of_a_raw_publish),
		GATE_TEST(test_replies_that_come_after_the_close_frame),
		GATE_TEST(test_nothing_follows_goodbye_of_sse),
		GATE_TEST(test_slow_reader_catches_up),
		GATE_TEST(test_paused_client_is_read_again),
		GATE_TEST(test_history_that_is_asked_for_and_not_read),
		GATE_TEST(test_client_that_goes_while_much_is_pending),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
