/* SPDX-License-Identifier: MIT */
/* gateway: which transport a request goes to, what is refused, draining and kicking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/transports/gate_rig.h"
#include "transports/session.h"
#include "transports/transport.h"

/* The name of the transport that says a request is its own; NULL: none. */
static const char *match(const char *path, const char *header, const char *value, const char *wait)
{
	struct http_header h = {slice_str(header), slice_str(value)};
	struct http_header p = {SLICE("wait"), slice_str(wait)};
	struct http_request r = {
		.path = slice_str(path),
		.headers = &h,
		.header_n = header != NULL,
		.params = &p,
		.param_n = wait != NULL,
	};

	for (size_t i = 0; transport_registry[i]; i++)
		if (transport_registry[i]->match(&r))
			return transport_registry[i]->name;
	return NULL;
}

static void test_routes(void **state)
{
	static const struct {
		const char *path, *header, *value, *wait, *name;
	} cases[] = {
		{"/v1/ws", NULL, NULL, NULL, "websocket"},
		{"/v1/sse", NULL, NULL, NULL, "sse"},
		{"/v1/poll", NULL, NULL, NULL, "shortpoll"},
		{"/v1/poll", NULL, NULL, "0", "shortpoll"},
		{"/v1/poll", NULL, NULL, "0.0", "shortpoll"},
		{"/v1/poll", NULL, NULL, "0.5", "longpoll"},
		{"/v1/poll", NULL, NULL, "25", "longpoll"},
		{"/v1/poll", NULL, NULL, "soon", "longpoll"}, /* which refuses it */
		{"/v1/poll", "Accept", "text/event-stream", NULL, "shortpoll"},
		{"/v1/subscribe", NULL, NULL, NULL, "shortpoll"},
		{"/v1/subscribe", NULL, NULL, "1", "longpoll"},
		{"/v1/subscribe", "Upgrade", "websocket", NULL, "websocket"},
		{"/v1/subscribe", "upgrade", "h2c, WebSocket", "1", "websocket"},
		{"/v1/subscribe", "Upgrade", "h2c", NULL, "shortpoll"},
		{"/v1/subscribe", "Accept", "text/event-stream", "1", "sse"},
		{"/v1/subscribe", "Accept", "*/*", NULL, "shortpoll"},
		{"/v1/publish", NULL, NULL, NULL, "publish"},
		{"/v1/history", NULL, NULL, NULL, "history"},
		{"/v1/info", NULL, NULL, NULL, "info"},
	};
	static const char *const nothing[] = {"/",       "/v1",       "/v1/",
					      "/v1/ws/", "/V1/ws",    "/v1//sse",
					      "/v1/pol", "/v1/polls", "/v2/sse"};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *name =
			match(cases[i].path, cases[i].header, cases[i].value, cases[i].wait);

		assert_non_null(name);
		assert_string_equal(name, cases[i].name);
	}
	for (size_t i = 0; i < ARRAY_LEN(nothing); i++)
		assert_null(match(nothing[i], NULL, NULL, NULL));
}

static void test_unknown_path(void **state)
{
	struct gate *g = *state;

	gate_get(g, 0, "/v1/nothing", NULL);
	assert_int_equal(gate_status(g, 0), 404);
	gate_expect_part(g, 0, "\"code\":\"not_found\"");
}

static void test_methods(void **state)
{
	static const struct {
		const char *request, *allow;
	} cases[] = {
		{"POST /v1/ws", "GET"},
		{"HEAD /v1/ws", "GET"},
		{"HEAD /v1/sse", "GET"},
		{"DELETE /v1/sse", "GET"},
		{"POST /v1/poll", "GET, HEAD"},
		{"PUT /v1/poll?wait=1", "GET, HEAD"},
		{"GET /v1/publish", "POST, PUT"},
		{"HEAD /v1/publish", "POST, PUT"},
		{"DELETE /v1/history", "GET, HEAD"},
		{"POST /v1/info", "GET, HEAD"},
		{"POST /v1/subscribe", "GET, HEAD"},
	};
	struct gate *g = *state;
	char text[200];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		gate_connect(g, 0, false);
		snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
			 cases[i].request);
		gate_say(g, 0, text);
		assert_int_equal(gate_status(g, 0), 405);
		snprintf(text, sizeof(text), "\r\nAllow: %s\r\n", cases[i].allow);
		gate_expect_part(g, 0, text);
		if (cases[i].request[0] == 'H')
			continue;
		gate_expect_part(g, 0, "\"code\":\"method_not_allowed\"");
		snprintf(text, sizeof(text), "this path answers %s only\"", cases[i].allow);
		gate_expect_part(g, 0, text);
	}
}

/* --- the process's own requests -------------------------------------------------------------- */

static bool match_info(const struct http_request *r)
{
	return slice_eq_str(r->path, "/v1/info");
}

static void answer_own(struct gateway *g, struct http_exchange *x)
{
	http_respond(x, 200, "text/plain", "", slice_str(g->extra_arg));
}

static void test_own_requests_are_asked_first(void **state)
{
	static const struct transport_ops own = {
		.name = "own", .methods = METHODS_GET, .match = match_info, .open = answer_own};
	static const struct transport_ops *const table[] = {&own, NULL};
	struct gate *g = *state;

	g->gateway.extra = table;
	char text[] = "mine";

	g->gateway.extra_arg = text;
	gate_get(g, 0, "/v1/info", NULL);
	gate_expect_part(g, 0, "\r\n\r\nmine");
	gate_forget(g, 0);
	gate_get(g, 0, "/v1/poll?channel=a", NULL);
	assert_int_equal(gate_status(g, 0), 200);
}

static void test_info(void **state)
{
	struct gate *g = *state;

	gate_get(g, 0, "/v1/info", NULL);
	gate_expect_part(g, 0,
			 "\"protocol\":1,\"epoch\":\"fake\",\"transports\":[\"websocket\",\"sse\","
			 "\"longpoll\",\"shortpoll\"],\"limits\":{\"channel_bytes\":255,"
			 "\"message_bytes\":1000,\"channels\":4,\"request_bytes\":2000,"
			 "\"poll_wait\":60,\"history_limit\":5,\"last\":20,"
			 "\"patterns\":2,\"pattern_any\":false,\"info_bytes\":0,\"members\":0,"
			 "\"max_in_flight\":7,\"key_window\":0}}");
}

static void test_body_limits(void **state)
{
	struct http_header type = {SLICE("Content-Type"),
				   SLICE("application/x-ndjson; charset=utf-8")};
	struct http_header batch = {SLICE("batch"), SLICE("")};
	struct gate *g = *state;

	assert_int_equal(gateway_body_limit(&g->gateway, &(struct http_request){0}), 2000);
	assert_int_equal(gateway_body_limit(&g->gateway, &(struct http_request){.headers = &type,
										.header_n = 1}),
			 640);
	assert_int_equal(gateway_body_limit(&g->gateway,
					    &(struct http_request){.params = &batch, .param_n = 1}),
			 640);
}

/* --- all sessions at once -------------------------------------------------------------------- */

static void test_draining_refuses_subscriptions_only(void **state)
{
	static const char *const refused[] = {"/v1/sse?channel=a", "/v1/poll?channel=a",
					      "/v1/poll?channel=a&wait=5",
					      "/v1/subscribe?channel=a"};
	struct gate *g = *state;

	gateway_drain(&g->gateway, 0);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		gate_connect(g, 0, false);
		gate_get(g, 0, refused[i], NULL);
		assert_int_equal(gate_status(g, 0), 503);
		gate_expect_part(g, 0, "\"code\":\"draining\"");
		gate_expect_part(g, 0, "\r\nRetry-After: 1\r\n");
	}
	gate_connect(g, 0, false);
	gate_get(g, 0, "/v1/info", NULL);
	assert_int_equal(gate_status(g, 0), 200);
	gate_connect(g, 0, false);
	gate_say(g, 0,
		 "POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
	gate_settle(g);
	assert_int_equal(gate_status(g, 0), 200);
}

static void test_kick_by_channel_and_by_connection(void **state)
{
	struct gate *g = *state;

	gate_get(g, 0, "/v1/sse?channel=a", NULL);
	gate_get(g, 1, "/v1/sse?channel=b", NULL);
	gate_get(g, 2, "/v1/poll?channel=a&channel=b&wait=20", NULL);
	gate_settle(g);
	assert_int_equal(gateway_kick(&g->gateway, 0, SLICE("c")), 0);
	assert_int_equal(gateway_kick(&g->gateway, 12345678, SLICE("")), 0);
	assert_int_equal(gateway_kick(&g->gateway, 0, SLICE("a")), 2);
	gate_turn(g);
	gate_expect_part(g, 0, "\"type\":\"goodbye\",\"reason\":\"kicked\",\"reconnect\":false");
	gate_expect_none(g, 1, "goodbye");
	assert_int_equal(gate_status(g, 2), 200);
	/* Who has been kicked is not kicked again. */
	assert_int_equal(gateway_kick(&g->gateway, 0, SLICE("a")), 0);
	uint64_t id = LIST_FIRST(&g->gateway.sessions)->conn->id;
	assert_int_equal(gateway_kick(&g->gateway, id, SLICE("")), 1);
	gate_turn(g);
	gate_expect_part(g, 1, "goodbye");
}

static void test_drain_spreads_the_delays(void **state)
{
	struct gate *g = *state;

	for (size_t i = 0; i < GATE_CLIENTS; i++)
		gate_get(g, i, "/v1/sse?channel=a", NULL);
	gateway_drain(&g->gateway, 1000);
	gate_turn(g);
	for (size_t i = 0; i < GATE_CLIENTS; i++) {
		char retry[32];
		const struct buf *b = &g->clients[i].got;
		const char *at = memmem(b->p, b->n, "\"delay_ms\":", 11);

		assert_non_null(at);
		long delay = 0;
		for (at += 11; at < b->p + b->n && *at >= '0' && *at <= '9'; at++)
			delay = delay * 10 + (*at - '0');
		assert_in_range(delay, 0, 999);
		snprintf(retry, sizeof(retry), "retry: %ld\n\n", delay ? delay : 2000);
		gate_expect_part(g, i, retry);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		GATE_TEST(test_unknown_path),
		GATE_TEST(test_methods),
		GATE_TEST(test_own_requests_are_asked_first),
		GATE_TEST(test_info),
		GATE_TEST(test_body_limits),
		GATE_TEST(test_draining_refuses_subscriptions_only),
		GATE_TEST(test_kick_by_channel_and_by_connection),
		GATE_TEST(test_drain_spreads_the_delays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
