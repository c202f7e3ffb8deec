/* SPDX-License-Identifier: MIT */
/* http: what is refused, in which words, and that a refusal neither overtakes nor gets lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/obj.h"
#include "tests/unit/net/http_rig.h"

/* --- what is refused ------------------------------------------------------------------------- */

#define HEAD(lines)  "GET / HTTP/1.1\r\nHost: h\r\n" lines "\r\n"
#define POST(lines)  "POST / HTTP/1.1\r\nHost: h\r\n" lines "\r\n"
#define CHUNKS(text) "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" text

static const struct {
	const char *name;
	int status;
	const char *code;
	struct slice request;
} bad[] = {
	{"both lengths", 400, "bad_request",
	 SLICE(POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"))},
	{"both lengths, other order", 400, "bad_request",
	 SLICE(POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"))},
	{"repeated length", 400, "bad_request",
	 SLICE(POST("Content-Length: 5\r\nContent-Length: 5\r\n"))},
	{"length list", 400, "bad_request", SLICE(POST("Content-Length: 5, 5\r\n"))},
	{"length with plus", 400, "bad_request", SLICE(POST("Content-Length: +5\r\n"))},
	{"length with minus", 400, "bad_request", SLICE(POST("Content-Length: -5\r\n"))},
	{"length in hex", 400, "bad_request", SLICE(POST("Content-Length: 0x5\r\n"))},
	{"length with space", 400, "bad_request", SLICE(POST("Content-Length: 5 5\r\n"))},
	{"empty length", 400, "bad_request", SLICE(POST("Content-Length:\r\n"))},
	{"overflowing length", 400, "bad_request",
	 SLICE(POST("Content-Length: 18446744073709551617\r\n"))},
	{"huge length", 413, "too_large", SLICE(POST("Content-Length: 99999999999\r\n"))},
	{"length above the limit", 413, "too_large", SLICE(POST("Content-Length: 100001\r\n"))},
	{"unknown encoding", 501, "not_implemented", SLICE(POST("Transfer-Encoding: gzip\r\n"))},
	{"encoding list", 501, "not_implemented",
	 SLICE(POST("Transfer-Encoding: gzip, chunked\r\n"))},
	{"chunked twice", 501, "not_implemented",
	 SLICE(POST("Transfer-Encoding: chunked, chunked\r\n"))},
	{"chunked not last", 501, "not_implemented",
	 SLICE(POST("Transfer-Encoding: chunked, identity\r\n"))},
	{"xchunked", 501, "not_implemented", SLICE(POST("Transfer-Encoding: xchunked\r\n"))},
	{"chunked with parameter", 501, "not_implemented",
	 SLICE(POST("Transfer-Encoding: chunked;q=1\r\n"))},
	{"identity", 501, "not_implemented", SLICE(POST("Transfer-Encoding: identity\r\n"))},
	{"empty encoding", 400, "bad_request", SLICE(POST("Transfer-Encoding:\r\n"))},
	{"repeated encoding", 400, "bad_request",
	 SLICE(POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"))},
	{"vertical tab before chunked", 400, "bad_request",
	 SLICE(POST("Transfer-Encoding: \vchunked\r\n"))},
	{"encoding in HTTP/1.0", 400, "bad_request",
	 SLICE("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")},
	{"folded header", 400, "bad_request", SLICE(HEAD("X: a\r\n b\r\n"))},
	{"folded with tab", 400, "bad_request", SLICE(HEAD("X: a\r\n\tb\r\n"))},
	{"space before the first header", 400, "bad_request",
	 SLICE("GET / HTTP/1.1\r\n Host: h\r\n\r\n")},
	{"space before colon", 400, "bad_request", SLICE(HEAD("X : a\r\n"))},
	{"tab before colon", 400, "bad_request", SLICE(HEAD("X\t: a\r\n"))},
	{"empty header name", 400, "bad_request", SLICE(HEAD(": a\r\n"))},
	{"header without colon", 400, "bad_request", SLICE(HEAD("X\r\n"))},
	{"brackets in header name", 400, "bad_request", SLICE(HEAD("X(y): a\r\n"))},
	{"bytes above ASCII in header name", 400, "bad_request", SLICE(HEAD("X\xe9: a\r\n"))},
	{"NUL in header name", 400, "bad_request", SLICE(HEAD("X\0: a\r\n"))},
	{"NUL in header value", 400, "bad_request", SLICE(HEAD("X: a\0b\r\n"))},
	{"control in header value", 400, "bad_request", SLICE(HEAD("X: a\x01\r\n"))},
	{"DEL in header value", 400, "bad_request", SLICE(HEAD("X: a\x7f\r\n"))},
	{"bare LF behind a header", 400, "bad_request", SLICE(HEAD("X: a\n"))},
	{"bare LF behind the request line", 400, "bad_request",
	 SLICE("GET / HTTP/1.1\nHost: h\r\n\r\n")},
	{"bare LF as the empty line", 400, "bad_request", SLICE("GET / HTTP/1.1\r\nHost: h\r\n\n")},
	{"bare LF before the request", 400, "bad_request",
	 SLICE("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"bare CR before the request", 400, "bad_request",
	 SLICE("\rGET / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"bare CR in a value", 400, "bad_request", SLICE(HEAD("X: a\rb\r\n"))},
	{"bare CR as the line end", 400, "bad_request", SLICE(HEAD("X: a\rY: b\r\n"))},
	{"CR CR LF", 400, "bad_request", SLICE(HEAD("X: a\r\r\n"))},
	{"bare CR as the empty line", 400, "bad_request",
	 SLICE("GET / HTTP/1.1\r\nHost: h\r\n\rX")},
	{"no host", 400, "bad_request", SLICE("GET / HTTP/1.1\r\n\r\n")},
	{"two hosts", 400, "bad_request", SLICE(HEAD("Host: h\r\n"))},
	{"two hosts in HTTP/1.0", 400, "bad_request",
	 SLICE("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n")},
	{"empty host", 400, "bad_request", SLICE("GET / HTTP/1.1\r\nHost:\r\n\r\n")},
	{"host with path", 400, "bad_request", SLICE("GET / HTTP/1.1\r\nHost: h/x\r\n\r\n")},
	{"host with user", 400, "bad_request", SLICE("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n")},
	{"host with space", 400, "bad_request", SLICE("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")},
	{"host with bad port", 400, "bad_request", SLICE("GET / HTTP/1.1\r\nHost: h:8x\r\n\r\n")},
	{"host with large port", 400, "bad_request",
	 SLICE("GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n")},
	{"host with open bracket", 400, "bad_request",
	 SLICE("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n")},
	{"host list", 400, "bad_request", SLICE("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n")},
	{"absolute form of another host", 400, "bad_request",
	 SLICE("GET http://evil/ HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"absolute form with user", 400, "bad_request",
	 SLICE("GET http://u@h/ HTTP/1.1\r\nHost: u@h\r\n\r\n")},
	{"absolute form of another scheme", 400, "bad_request",
	 SLICE("GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"absolute form without host", 400, "bad_request",
	 SLICE("GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"CONNECT", 400, "bad_request", SLICE("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"star for GET", 400, "bad_request", SLICE("GET * HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"relative target", 400, "bad_request", SLICE("GET a HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"fragment", 400, "bad_request", SLICE("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"malformed escape in the path", 400, "bad_request",
	 SLICE("GET /%4 HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"malformed escape in the query", 400, "bad_request",
	 SLICE("GET /?a=%zz HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"%00 in the path", 400, "bad_request", SLICE("GET /a%00 HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"%00 in the query", 400, "bad_request", SLICE("GET /?%00 HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"byte above ASCII in the target", 400, "bad_request",
	 SLICE("GET /\xe9 HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"tab in the target", 400, "bad_request", SLICE("GET /\t HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"two spaces behind the method", 400, "bad_request",
	 SLICE("GET  / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"two spaces behind the target", 400, "bad_request",
	 SLICE("GET /  HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"space behind the version", 400, "bad_request",
	 SLICE("GET / HTTP/1.1 \r\nHost: h\r\n\r\n")},
	{"space before the method", 400, "bad_request",
	 SLICE(" GET / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"HTTP/0.9", 400, "bad_request", SLICE("GET /\r\n")},
	{"HTTP/2 preface", 505, "http_version_not_supported",
	 SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
	{"HTTP/3.0", 505, "http_version_not_supported", SLICE("GET / HTTP/3.0\r\nHost: h\r\n\r\n")},
	{"HTTP/1.2", 505, "http_version_not_supported", SLICE("GET / HTTP/1.2\r\nHost: h\r\n\r\n")},
	{"HTTP/0.9 in words", 505, "http_version_not_supported",
	 SLICE("GET / HTTP/0.9\r\nHost: h\r\n\r\n")},
	{"HTTP/1.10", 400, "bad_request", SLICE("GET / HTTP/1.10\r\nHost: h\r\n\r\n")},
	{"http in small letters", 400, "bad_request", SLICE("GET / http/1.1\r\nHost: h\r\n\r\n")},
	{"ICE", 400, "bad_request", SLICE("SOURCE / ICE/1.0\r\n\r\n")},
	{"TLS hello", 400, "bad_request", SLICE("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
	{"unknown method", 501, "not_implemented", SLICE("BREW / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"method in small letters", 501, "not_implemented",
	 SLICE("get / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"method of brackets", 400, "bad_request", SLICE("G(T / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"endless method", 400, "bad_request",
	 SLICE("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n")},
	{"unknown expectation", 417, "expectation_failed", SLICE(POST("Expect: 200-ok\r\n"))},
	{"two expectations", 417, "expectation_failed",
	 SLICE(POST("Expect: 100-continue\r\nExpect: 100-continue\r\n"))},
	{"chunk size is no number", 400, "bad_request", SLICE(CHUNKS("x\r\n"))},
	{"empty chunk size", 400, "bad_request", SLICE(CHUNKS("\r\n"))},
	{"chunk size with sign", 400, "bad_request", SLICE(CHUNKS("+1\r\nx\r\n"))},
	{"chunk size with 0x", 400, "bad_request", SLICE(CHUNKS("0x1\r\nx\r\n"))},
	{"space before chunk size", 400, "bad_request", SLICE(CHUNKS(" 1\r\nx\r\n"))},
	{"space behind chunk size", 400, "bad_request", SLICE(CHUNKS("1 \r\nx\r\n"))},
	{"overflowing chunk size", 400, "bad_request", SLICE(CHUNKS("10000000000000001\r\nx\r\n"))},
	{"chunk size of many zeros", 400, "bad_request",
	 SLICE(CHUNKS("0000000000000001\r\nx\r\n"))},
	{"chunk larger than the limit", 413, "too_large", SLICE(CHUNKS("fffff\r\n"))},
	{"chunk size ends in LF", 400, "bad_request", SLICE(CHUNKS("1\nx\r\n"))},
	{"chunk size ends in CR X", 400, "bad_request", SLICE(CHUNKS("1\rX"))},
	{"chunk extension ends in LF", 400, "bad_request", SLICE(CHUNKS("1;a\nx\r\n"))},
	{"NUL in chunk extension", 400, "bad_request", SLICE(CHUNKS("1;\0\r\nx\r\n"))},
	{"chunk data too long", 400, "bad_request", SLICE(CHUNKS("1\r\nxy\r\n"))},
	{"chunk data ends in LF", 400, "bad_request", SLICE(CHUNKS("1\r\nx\n0\r\n\r\n"))},
	{"chunk data ends in CR X", 400, "bad_request", SLICE(CHUNKS("1\r\nx\rX"))},
	{"folded trailer", 400, "bad_request", SLICE(CHUNKS("0\r\nA: b\r\n c\r\n\r\n"))},
	{"trailer with space before colon", 400, "bad_request", SLICE(CHUNKS("0\r\nA : b\r\n"))},
	{"trailer ends in LF", 400, "bad_request", SLICE(CHUNKS("0\r\nA: b\n\r\n"))},
	{"trailer ends in CR X", 400, "bad_request", SLICE(CHUNKS("0\r\nA: b\rX"))},
	{"last line is CR X", 400, "bad_request", SLICE(CHUNKS("0\r\n\rX"))},
	{"body without trailer ends in LF", 400, "bad_request", SLICE(CHUNKS("0\r\n\n"))},
};

static void refuse_one(struct rig *r, size_t i, size_t piece)
{
	struct slice rest = bad[i].request;
	rig_start(r);
	for (; rest.n > 0 && !r->w.got_eof; rest = slice_skip(rest, piece))
		wire_send(&r->w, slice_make(rest.p, rest.n < piece ? rest.n : piece));
	rig_expect_refusal(r, bad[i].status, bad[i].code);
	assert_false(rig_is_over(r)); /* lingering */
	wire_hang_up(&r->w);
	assert_true(rig_is_over(r));
}

static void test_bad_requests_are_refused_in_words(void **state)
{
	struct rig *r = *state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		print_message("# %s\n", bad[i].name);
		refuse_one(r, i, 1000);
		refuse_one(r, i, 1);
	}
	assert_int_equal(wire_counter(&r->w, COUNTER_REQUESTS_BAD), 2 * ARRAY_LEN(bad));
	assert_int_equal(wire_counter(&r->w, COUNTER_CLOSED_PROTOCOL) +
				 wire_counter(&r->w, COUNTER_CLOSED_TOO_BIG),
			 2 * ARRAY_LEN(bad));
	assert_int_equal(wire_counter(&r->w, COUNTER_CONNECTIONS), 0);
}

/* Every bad request once more behind a good one that is answered late: order must hold. */
static void test_refusal_does_not_overtake(void **state)
{
	struct rig *r = *state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		print_message("# %s\n", bad[i].name);
		rig_start(r);
		r->kept_n = 0;
		rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
		wire_send(&r->w, bad[i].request);
		assert_int_equal(r->w.got.n, 0);
		rig_answer(r, 0, "first");
		rig_expect_begin(r, "HTTP/1.1 200 OK\r\n");
		char line[64];
		snprintf(line, sizeof(line), "firstHTTP/1.1 %d ", bad[i].status);
		rig_expect(r, line);
		assert_true(r->w.got_eof);
		wire_hang_up(&r->w);
	}
}

static void test_limits_of_the_head(void **state)
{
	struct rig *r = *state;
	struct buf b = {0};

	rig_start(r);
	rig_fill(&b, "GET /", 9000, " HTTP/1.1\r\n");
	wire_send(&r->w, buf_slice(&b));
	rig_expect_refusal(r, 414, "uri_too_long");
	wire_hang_up(&r->w);

	rig_start(r);
	rig_fill(&b, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 17000, "");
	wire_send(&r->w, buf_slice(&b));
	rig_expect_refusal(r, 431, "headers_too_large");
	wire_hang_up(&r->w);

	rig_start(r);
	rig_fill(&b, "GET / HTTP/1.1\r\nHost: h\r\n", 0, "");
	for (int i = 0; i < 100; i++)
		buf_add_str(&b, "X: y\r\n");
	wire_send(&r->w, buf_slice(&b));
	rig_expect_refusal(r, 431, "headers_too_large");
	wire_hang_up(&r->w);

	rig_start(r);
	rig_fill(&b, "GET /?", 0, "");
	for (int i = 0; i < HTTP_PARAMS_MAX + 1; i++)
		buf_add_str(&b, "a&");
	buf_add_str(&b, " HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_send(&r->w, buf_slice(&b));
	rig_expect_refusal(r, 400, "bad_request");
	wire_hang_up(&r->w);

	rig_start(r);
	rig_fill(&b, CHUNKS("1;"), 17000, "");
	wire_send(&r->w, buf_slice(&b));
	rig_expect_refusal(r, 431, "headers_too_large");
	buf_fini(&b);
}

static void test_body_limit_of_a_path(void **state)
{
	struct rig *r = *state;
	r->cfg.body_limit = rig_limit_of;
	r->small_limit = 3;
	rig_start(r);
	rig_ask(r, "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
	rig_expect(r, "body=<abc>");
	conn_close(r->w.conn, CLOSE_NORMAL);
	r->requests = 0;
	rig_start(r);
	rig_ask(r, "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd");
	rig_expect_refusal(r, 413, "too_large");
	wire_hang_up(&r->w);
	rig_start(r);
	rig_ask(r, "POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		   "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n");
	rig_expect_refusal(r, 413, "too_large");
	wire_hang_up(&r->w);
	r->small_limit = 0;
	rig_start(r);
	rig_ask(r, "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na");
	rig_expect_refusal(r, 413, "too_large");
}

/* A client that goes on sending after its 413 can still read it. */
static void test_early_413_is_readable(void **state)
{
	struct rig *r = *state;
	struct buf b = {0};
	rig_start(r);
	rig_fill(&b, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n", 3000000, "");
	wire_send(&r->w, buf_slice(&b));
	rig_expect_refusal(r, 413, "too_large");
	assert_int_equal(r->w.conn->in_total, b.n);
	wire_hang_up(&r->w);
	assert_true(rig_is_over(r));
	assert_int_equal(wire_counter(&r->w, COUNTER_CLOSED_TOO_BIG), 1);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_bad_requests_are_refused_in_words),
		RIG_TEST(test_refusal_does_not_overtake),
		RIG_TEST(test_limits_of_the_head),
		RIG_TEST(test_body_limit_of_a_path),
		RIG_TEST(test_early_413_is_readable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
