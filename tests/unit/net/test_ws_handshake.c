/* SPDX-License-Identifier: MIT */
/* ws: from an HTTP request to a WebSocket, or to an answer that says what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/net/ws_rig.h"

static void on_ready(struct http_exchange *x)
{
	struct rig *r = http_exchange_owner(x);

	ws_accept(&r->socket, x, "holdfast.v1.json", &r->cfg, &rig_ops);
	r->ws = &r->socket;
}

static void on_abort(struct http_exchange *x)
{
	fail_msg("aborted");
}

static void on_request(void *arg, struct http_exchange *x)
{
	struct rig *r = arg;

	if (ws_check_handshake(x) < 0)
		return;
	http_exchange_set(x, r, on_abort);
	http_take_over(x, on_ready);
}

static int setup_http(void **state)
{
	struct rig *r;

	rig_setup(state);
	r = *state;
	r->http = (struct http_config){
		.head_max = 16384,
		.target_max = 8192,
		.body_max = 1 << 20,
		.head_timeout_ms = 10000,
		.body_timeout_ms = 10000,
		.idle_timeout_ms = 60000,
		.pipeline_max = 16,
		.server = "holdfast",
		.cors_origins = "",
		.on_request = on_request,
		.arg = r,
	};
	http_serve(r->conn, &r->http);
	return 0;
}

static bool reply_has(struct rig *r, const char *text)
{
	size_t n = r->in.n;
	bool has;

	buf_add_char(&r->in, '\0');
	has = strcasestr(r->in.p, text) != NULL;
	r->in.n = n;
	return has;
}

#define HANDSHAKE                                                                         \
	"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

static void a_handshake_opens_a_websocket(void **state)
{
	struct rig *r = *state;
	struct buf b;

	buf_init(&b, 0);
	buf_add_str(&b, HANDSHAKE);
	rig_add_frame(&b, true, WS_TEXT, T("in the same packet"));
	client_sends(r, buf_slice(&b));
	assert_true(slice_starts(buf_slice(&r->in), "HTTP/1.1 101 "));
	assert_true(reply_has(r, "\r\nUpgrade: websocket\r\n"));
	assert_true(reply_has(r, "\r\nConnection: Upgrade\r\n"));
	assert_true(reply_has(r, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	assert_true(reply_has(r, "\r\nSec-WebSocket-Protocol: holdfast.v1.json\r\n"));
	assert_false(reply_has(r, "Content-Length"));
	assert_memory_equal(r->in.p + r->in.n - 4, "\r\n\r\n", 4);
	expect_notes(r, "text in the same packet\n");
	buf_clear(&r->in);
	ws_send(r->ws, WS_TEXT, T("hi"));
	client_sends_frame(r, true, WS_CLOSE, T("\x03\xe8"));
	expect_frame(r, WS_TEXT, T("hi"));
	expect_close(r, 1000);
	client_closes(r);
	expect_notes(r, "closed normal\n");
	buf_fini(&b);
}

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define V13 "Sec-WebSocket-Version: 13\r\n"
#define UPG "Upgrade: websocket\r\n"
#define CON "Connection: Upgrade\r\n"

static void tokens_are_found_among_others(void **state)
{
	struct rig *r = *state;

	client_sends(r, T("GET / HTTP/1.1\r\nHost: x\r\nupgrade: h2c, WebSocket\r\n"
			  "connection: keep-alive,  UPGRADE\r\n" KEY V13 "\r\n"));
	assert_true(slice_starts(buf_slice(&r->in), "HTTP/1.1 101 "));
}

static void other_requests_are_told_what_is_wrong(void **state)
{
	static const struct {
		const char *request, *status, *header;
	} cases[] = {
		{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" UPG CON KEY V13 "\r\n",
		 "405", "\r\nAllow: GET\r\n"},
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "426", "\r\nUpgrade: websocket\r\n"},
		{"GET / HTTP/1.0\r\nHost: x\r\n" UPG CON KEY V13 "\r\n", "400", "HTTP/1.1"},
		{"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n" CON KEY V13 "\r\n", "400",
		 "bad_handshake"},
		{"GET / HTTP/1.1\r\nHost: x\r\n" UPG KEY V13 "\r\n", "400", "bad_handshake"},
		{"GET / HTTP/1.1\r\nHost: x\r\n" UPG "Connection: keep-alive\r\n" KEY V13 "\r\n",
		 "400", "bad_handshake"},
		{"GET / HTTP/1.1\r\nHost: x\r\n" UPG CON V13 "\r\n", "400", "Sec-WebSocket-Key"},
		{"GET / HTTP/1.1\r\nHost: x\r\n" UPG CON KEY KEY V13 "\r\n", "400",
		 "Sec-WebSocket-Key"},
		{"GET / HTTP/1.1\r\nHost: x\r\n" UPG CON "Sec-WebSocket-Key: short\r\n" V13 "\r\n",
		 "400", "Sec-WebSocket-Key"},
		{"GET / HTTP/1.1\r\nHost: x\r\n" UPG CON KEY "\r\n", "426",
		 "\r\nSec-WebSocket-Version: 13\r\n"},
		{"GET / HTTP/1.1\r\nHost: x\r\n" UPG CON KEY "Sec-WebSocket-Version: 8\r\n\r\n",
		 "426", "\r\nSec-WebSocket-Version: 13\r\n"},
		{"GET / HTTP/1.1\r\nHost: x\r\n" UPG CON KEY V13 V13 "\r\n", "426",
		 "\r\nSec-WebSocket-Version: 13\r\n"},
		{"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n" UPG CON KEY V13 "\r\n{}",
		 "400", "no body"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig *r;
		char status[32];
		setup_http(state);
		r = *state;
		client_sends(r, slice_str(cases[i].request));
		snprintf(status, sizeof(status), "HTTP/1.1 %s ", cases[i].status);
		if (!slice_starts(buf_slice(&r->in), status) || !reply_has(r, cases[i].header))
			fail_msg("%s → %.*s", cases[i].request, SLICE_ARG(buf_slice(&r->in)));
		assert_null(r->ws);
		if (r->peer_eof) /* HTTP/1.0 has no keep-alive */
			client_closes(r);
		r->conn = LIST_FIRST(&r->env.all);
		rig_teardown(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_handshake_opens_a_websocket, setup_http,
						rig_teardown),
		cmocka_unit_test_setup_teardown(tokens_are_found_among_others, setup_http,
						rig_teardown),
		cmocka_unit_test(other_requests_are_told_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
