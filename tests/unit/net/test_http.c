/* SPDX-License-Identifier: MIT */
/* http: what is understood, Expect, CORS, pipelining. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>

#include "base/obj.h"
#include "net/conn_private.h"
#include "tests/unit/net/http_rig.h"

/* --- what is understood ---------------------------------------------------------------------- */

static void test_answer_has_the_usual_headers(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /a/b?x=1&y=a+b%21&&flag HTTP/1.1\r\nHost: h\r\nX-Mark: \t v 1 \t\r\n\r\n");
	rig_expect_begin(r, "HTTP/1.1 200 OK\r\n");
	rig_expect(r, "\r\nDate: Mon, 21 Sep 2026 14:13:20 GMT\r\n");
	rig_expect(r, "\r\nServer: holdfast\r\n");
	rig_expect(r, "\r\nContent-Type: text/plain\r\n");
	rig_expect(r, "\r\n\r\nGET /a/b?x=1&y=a+b%21&&flag 1.1 {x=1} {y=a b!} {flag=} mark=<v 1> "
		      "body=<>");
	rig_expect_not(r, "Connection:");
	rig_expect_not(r, "Access-Control");
	assert_false(r->w.got_eof);
	assert_int_equal(wire_counter(&r->w, COUNTER_REQUESTS), 1);
	assert_int_equal(wire_counter(&r->w, COUNTER_REQUESTS_BAD), 0);
}

static void test_date_follows_the_clock(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_pass(&r->w, 1000);
	rig_ask(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_expect(r, "\r\nDate: Mon, 21 Sep 2026 14:13:20 GMT\r\n");
	rig_expect(r, "\r\nDate: Mon, 21 Sep 2026 14:13:21 GMT\r\n");
}

/* Requests that must be served, and a part of what the handler saw. */
static const struct {
	const char *name, *request, *seen;
} good[] = {
	{"content-length", "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
	 "POST /p? 1.1 body=<hello>"},
	{"zero content-length", "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
	 "body=<>"},
	{"content-length with leading zeros",
	 "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 0005\r\n\r\nhello", "body=<hello>"},
	{"body of GET", "GET /g HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", "body=<ab>"},
	{"chunked",
	 "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "5\r\nhello\r\nA\r\n, wide wor\r\n2\r\nld\r\n0\r\n\r\n",
	 "body=<hello, wide world>"},
	{"chunked in capitals",
	 "POST /p HTTP/1.1\r\nHost: h\r\nTRANSFER-ENCODING: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
	 "body=<x>"},
	{"empty chunked body",
	 "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "body=<>"},
	{"chunk extension",
	 "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "2;a=b;c=\"d\"\r\nhi\r\n0\r\n\r\n",
	 "body=<hi>"},
	{"trailers are dropped",
	 "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "2\r\nhi\r\n0\r\nX-Mark: t\r\nOther: u\r\n\r\n",
	 "1.1 body=<hi>"},
	{"empty line before the request", "\r\n\r\nGET /e HTTP/1.1\r\nHost: h\r\n\r\n", "GET /e?"},
	{"absolute form", "GET http://h:80/abs?q=1 HTTP/1.1\r\nHost: H:80\r\n\r\n",
	 "GET /abs?q=1 1.1"},
	{"absolute form without path", "GET http://h?q=1 HTTP/1.1\r\nHost: h\r\n\r\n",
	 "GET /?q=1 1.1"},
	{"IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET /?"},
	{"percent escapes", "GET /%61%2fb%C3%A9 HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a/b\xc3\xa9?"},
	{"header without value", "GET / HTTP/1.1\r\nHost: h\r\nX-Mark:\r\n\r\n", "mark=<>"},
	{"bytes above ASCII in a value", "GET / HTTP/1.1\r\nHost: h\r\nX-Mark: \xe9\r\n\r\n",
	 "mark=<\xe9>"},
	{"upgrade is for the handler",
	 "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: foo\r\n\r\n",
	 " upgrade"},
	{"upgrade with a body",
	 "POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
	 "Content-Length: 2\r\n\r\nab",
	 "body=<ab> upgrade"},
	{"upgrade with a chunked body",
	 "POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
	 "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
	 "body=<ab> upgrade"},
	{"PATCH is the handler's to refuse", "PATCH / HTTP/1.1\r\nHost: h\r\n\r\n", "PATCH /?"},
	{"PUT", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "PUT /?"},
	{"DELETE", "DELETE /d HTTP/1.1\r\nHost: h\r\n\r\n", "DELETE /d?"},
};

static void test_good_requests_in_one_piece_and_byte_by_byte(void **state)
{
	struct rig *r = *state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		print_message("# %s\n", good[i].name);
		rig_start(r);
		rig_ask(r, good[i].request);
		rig_expect_begin(r, "HTTP/1.1 200 OK\r\n");
		rig_expect(r, good[i].seen);
		/* On the same connection, one byte at a time. */
		wire_clear(&r->w);
		for (const char *p = good[i].request; *p; p++)
			wire_send(&r->w, slice_make(p, 1));
		rig_expect_begin(r, "HTTP/1.1 200 OK\r\n");
		rig_expect(r, good[i].seen);
		assert_int_equal(wire_count(&r->w, "HTTP/1.1"), 1);
		assert_int_equal(wire_counter(&r->w, COUNTER_REQUESTS_BAD), 0);
		conn_close(r->w.conn, CLOSE_NORMAL);
		wire_settle(&r->w);
	}
}

static void test_head_gets_no_body(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_expect_begin(r, "HTTP/1.1 200 OK\r\n");
	rig_expect(r, "\r\nContent-Length: 20\r\n");
	assert_memory_equal(r->w.got.p + r->w.got.n - 4, "\r\n\r\n", 4);
}

static void test_304_has_neither_length_nor_body(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /empty HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_expect_begin(r, "HTTP/1.1 304 Not Modified\r\n");
	rig_expect(r, "\r\nETag: \"1\"\r\n");
	rig_expect_not(r, "Content-Length");
}

static void test_fault_is_json(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /missing HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_expect_begin(r, "HTTP/1.1 404 Not Found\r\n");
	rig_expect(r, "\r\nX-Extra: 1\r\n");
	rig_expect(r, "\r\nContent-Type: application/json\r\n");
	rig_expect(r, "{\"error\":{\"code\":\"not_found\",\"message\":\"no \\\"x\\\" here\\n\"}}");
	assert_false(r->w.got_eof);
	assert_int_equal(wire_counter(&r->w, COUNTER_REQUESTS_BAD), 1);
}

static void test_http_1_0_closes_unless_asked_to_keep(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
	rig_expect(r, "\r\nConnection: keep-alive\r\n");
	assert_false(r->w.got_eof);
	wire_clear(&r->w);
	rig_ask(r, "GET / HTTP/1.0\r\n\r\n");
	rig_expect_begin(r, "HTTP/1.1 200 OK\r\n");
	rig_expect(r, "\r\nConnection: close\r\n");
	assert_true(r->w.got_eof);
}

static void test_connection_close_ends_it(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /1 HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n"
		   "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_expect(r, "\r\nConnection: close\r\n");
	rig_expect(r, "GET /1?");
	rig_expect_not(r, "GET /2?");
	assert_true(r->w.got_eof);
	wire_hang_up(&r->w);
	assert_true(rig_is_over(r));
	assert_int_equal(wire_counter(&r->w, COUNTER_CLOSED_NORMAL), 1);
}

static void test_large_target_and_many_parameters(void **state)
{
	struct rig *r = *state;
	struct buf b = {0};
	rig_start(r);
	buf_add_str(&b, "GET /?");
	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "c=%03d&", i);
	buf_add_str(&b, "pad=");
	while (b.n < 8900)
		buf_add_char(&b, 'x');
	buf_add_str(&b, " HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_send(&r->w, buf_slice(&b));
	rig_expect_begin(r, "HTTP/1.1 200 OK\r\n");
	rig_expect(r, " {c=000} ");
	rig_expect(r, " {c=999} ");
	buf_fini(&b);
}

static void test_large_body_grows_as_it_comes(void **state)
{
	struct rig *r = *state;
	struct buf b = {0};
	rig_start(r);
	buf_add_str(&b, "POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: 99990\r\n\r\n<");
	for (int i = 0; i < 99988; i++)
		buf_add_char(&b, (char)('a' + i % 26));
	buf_add_str(&b, ">GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_send(&r->w, buf_slice(&b));
	rig_expect(r, "body=<<abc");
	rig_expect(r, ">>HTTP/1.1 200 OK");
	rig_expect(r, "GET /next?");
	buf_fini(&b);
}

/* --- Expect ---------------------------------------------------------------------------------- */

static void test_100_continue(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r,
		"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
	assert_int_equal(r->requests, 0);
	rig_expect_begin(r, "HTTP/1.1 100 Continue\r\n\r\n");
	rig_ask(r, "ab");
	rig_expect_begin(r, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n");
	rig_expect(r, "body=<ab>");
}

static void test_no_100_when_it_is_not_awaited(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
		   "2\r\n\r\nab");
	rig_expect_begin(r, "HTTP/1.1 200 OK\r\n");
	wire_clear(&r->w);
	rig_ask(r,
		"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n");
	rig_expect_begin(r, "HTTP/1.1 200 OK\r\n");
	wire_clear(&r->w);
	rig_ask(r, "GET / HTTP/1.0\r\nExpect: something\r\n\r\n");
	rig_expect_begin(r, "HTTP/1.1 200 OK\r\n");
	r->requests = 0;
	wire_hang_up(&r->w);
	rig_start(r);
	rig_ask(r, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
		   "200000\r\n\r\n");
	rig_expect_refusal(r, 413, "too_large");
}

static void test_100_waits_for_earlier_answers(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r,
		"GET /later HTTP/1.1\r\nHost: h\r\n\r\n"
		"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	assert_int_equal(r->w.got.n, 0);
	wire_pass(&r->w, 60000); /* the client waits for us: no body timeout */
	assert_int_equal(r->w.got.n, 0);
	rig_answer(r, 0, "first");
	rig_expect(r, "firstHTTP/1.1 100 Continue\r\n\r\n");
	rig_ask(r, "ab");
	rig_expect(r, "body=<ab>");
}

/* --- CORS ------------------------------------------------------------------------------------ */

#define PREFLIGHT(origin)                                            \
	"OPTIONS /v1/publish HTTP/1.1\r\nHost: h\r\nOrigin: " origin \
	"\r\nAccess-Control-Request-Method: POST\r\n\r\n"

static void test_cors_for_everybody(void **state)
{
	struct rig *r = *state;
	r->cfg.cors_origins = "*";
	rig_start(r);
	rig_ask(r, PREFLIGHT("https://a.example"));
	rig_expect_begin(r, "HTTP/1.1 204 No Content\r\n");
	rig_expect(r, "\r\nAccess-Control-Allow-Origin: *\r\n");
	rig_expect(r,
		   "\r\nAccess-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE, OPTIONS\r\n");
	rig_expect(r, "\r\nAccess-Control-Allow-Headers: Authorization, ");
	rig_expect(r, "\r\nAccess-Control-Max-Age: 86400\r\n");
	rig_expect_not(r, "Content-Length");
	rig_expect_not(r, "Vary");
	wire_clear(&r->w);
	rig_ask(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_expect(r, "\r\nAccess-Control-Allow-Origin: *\r\n");
	rig_expect(r, "\r\nAccess-Control-Expose-Headers: ETag, Retry-After\r\n");
	assert_int_equal(r->requests, 1);
}

static void test_cors_for_some(void **state)
{
	struct rig *r = *state;
	r->cfg.cors_origins = "https://a.example  https://b.example:8443";
	rig_start(r);
	rig_ask(r, PREFLIGHT("https://b.example:8443"));
	rig_expect_begin(r, "HTTP/1.1 204 No Content\r\n");
	rig_expect(r, "\r\nAccess-Control-Allow-Origin: https://b.example:8443\r\n");
	rig_expect(r, "\r\nVary: Origin\r\n");
	wire_clear(&r->w);
	rig_ask(r, PREFLIGHT("https://b.example"));
	rig_expect_begin(r, "HTTP/1.1 403 Forbidden\r\n");
	rig_expect_not(r, "Access-Control-Allow-Origin");
	rig_expect(r, "\r\nVary: Origin\r\n");
	wire_clear(&r->w);
	rig_ask(r, "GET / HTTP/1.1\r\nHost: h\r\nOrigin: https://a.example\r\n\r\n");
	rig_expect(r, "\r\nAccess-Control-Allow-Origin: https://a.example\r\n");
	rig_expect(r, "\r\nVary: Origin\r\n");
	wire_clear(&r->w);
	rig_ask(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_expect_begin(r, "HTTP/1.1 200 OK\r\n");
	rig_expect_not(r, "Access-Control");
	rig_expect(r, "\r\nVary: Origin\r\n");
}

static void test_options_without_cors(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, PREFLIGHT("https://a.example"));
	rig_expect_begin(r, "HTTP/1.1 404 Not Found\r\n");
	wire_clear(&r->w);
	rig_ask(r, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_expect_begin(r, "HTTP/1.1 204 No Content\r\n");
	rig_expect(r, "\r\nAllow: GET, ");
	assert_int_equal(r->requests, 0);
}

/* --- pipelining ------------------------------------------------------------------------------ */

static void test_answers_leave_in_order_of_requests(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /later1 HTTP/1.1\r\nHost: h\r\n\r\nGET /later2 HTTP/1.1\r\nHost: h\r\n\r\n"
		   "GET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(r->requests, 3);
	assert_int_equal(r->w.got.n, 0);
	rig_answer(r, 1, "second");
	assert_int_equal(r->w.got.n, 0);
	rig_answer(r, 0, "first");
	const char *first = memmem(r->w.got.p, r->w.got.n, "first", 5);
	const char *second = memmem(r->w.got.p, r->w.got.n, "second", 6);
	const char *third = memmem(r->w.got.p, r->w.got.n, "GET /3?", 7);
	assert_non_null(first);
	assert_true(first < second && second < third);
	assert_int_equal(wire_counter(&r->w, COUNTER_WRITES), 1);
}

static void test_pipeline_max_stops_reading(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	for (int i = 0; i < 10; i++)
		rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(r->requests, 4);
	rig_answer(r, 3, "d"); /* stored, not sent: no room yet */
	assert_int_equal(r->requests, 4);
	rig_answer(r, 0, "a");
	assert_int_equal(r->requests, 5);
	rig_answer(r, 1, "b");
	rig_answer(r, 2, "c");
	assert_int_equal(r->requests, 8);
	for (size_t i = 4; i < 10; i++)
		rig_answer(r, i, "z");
	assert_int_equal(r->requests, 10);
	assert_int_equal(wire_count(&r->w, "HTTP/1.1 200 OK"), 10);
}

static void test_many_pipelined_in_one_piece(void **state)
{
	struct rig *r = *state;
	struct buf b = {0};
	rig_start(r);
	for (int i = 0; i < 500; i++)
		buf_addf(&b, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", i);
	wire_send(&r->w, buf_slice(&b));
	assert_int_equal(r->requests, 500);
	assert_int_equal(wire_count(&r->w, "body=<abc>"), 500);
	rig_expect(r, "POST /499?");
	buf_fini(&b);
}

/* Answers that nobody reads must not pile up in memory. */
static void test_client_that_does_not_read_is_not_read_from(void **state)
{
	struct rig *r = *state;
	struct buf b = {0};
	rig_start(r);
	for (int i = 0; i < 300; i++)
		buf_addf(&b, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", i);
	size_t sent = 0, most = 0;
	for (int i = 0; i < 2000; i++) {
		struct slice rest = slice_skip(buf_slice(&b), sent % b.n);
		ssize_t n = send(r->w.peer, rest.p, rest.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		loop_turn(r->w.loop, false);
		if (conn_out_bytes(r->w.conn) > most)
			most = conn_out_bytes(r->w.conn);
	}
	assert_true(most > 0 && most < 80000);
	assert_true(!r->w.conn->rest || r->w.conn->rest->in.n <= 65536 * 2);
	wire_pass(&r->w, 900); /* the client reads: everything goes on */
	assert_false(rig_is_over(r));
	assert_true(sent > 3 * b.n);
	wire_settle(&r->w);
	assert_int_equal(wire_count(&r->w, "body=<abc>"), r->requests);
	buf_fini(&b);
}

static void test_respond_frames_shares_them(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /later HTTP/1.1\r\nHost: h\r\n\r\n"
		   "HEAD /later HTTP/1.1\r\nHost: h\r\n\r\n");
	struct frame *f[2] = {frame_copy(SLICE("hello ")), frame_copy(SLICE("world"))};
	http_respond_frames(r->kept[2], 200, "text/plain", "", f, 2);
	http_respond_frames(r->kept[1], 200, "text/plain", "", f, 2);
	assert_int_equal(f[0]->refs, 2);
	http_respond_frames(r->kept[0], 200, "text/plain", "", f, 2);
	wire_settle(&r->w);
	assert_int_equal(f[0]->refs, 1);
	assert_int_equal(wire_count(&r->w, "hello world"), 2);
	assert_int_equal(wire_count(&r->w, "\r\nContent-Length: 11\r\n"), 3);
	frame_unref(f[0]);
	frame_unref(f[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_answer_has_the_usual_headers),
		RIG_TEST(test_date_follows_the_clock),
		RIG_TEST(test_good_requests_in_one_piece_and_byte_by_byte),
		RIG_TEST(test_head_gets_no_body),
		RIG_TEST(test_304_has_neither_length_nor_body),
		RIG_TEST(test_fault_is_json),
		RIG_TEST(test_http_1_0_closes_unless_asked_to_keep),
		RIG_TEST(test_connection_close_ends_it),
		RIG_TEST(test_large_target_and_many_parameters),
		RIG_TEST(test_large_body_grows_as_it_comes),
		RIG_TEST(test_100_continue),
		RIG_TEST(test_no_100_when_it_is_not_awaited),
		RIG_TEST(test_100_waits_for_earlier_answers),
		RIG_TEST(test_cors_for_everybody),
		RIG_TEST(test_cors_for_some),
		RIG_TEST(test_options_without_cors),
		RIG_TEST(test_answers_leave_in_order_of_requests),
		RIG_TEST(test_pipeline_max_stops_reading),
		RIG_TEST(test_many_pipelined_in_one_piece),
		RIG_TEST(test_client_that_does_not_read_is_not_read_from),
		RIG_TEST(test_respond_frames_shares_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
