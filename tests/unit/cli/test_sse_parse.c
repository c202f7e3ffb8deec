/* SPDX-License-Identifier: MIT */
/* sse_parse: the event stream format, with the input cut at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/sse_parse.h"

/* Events as text: type|data|id; in one line, so that runs can be compared. */
struct record {
	char text[4096];
	size_t n;
	int stop_at; /* event number at which the callback says stop; 0: never */
	int seen;
};

static int on_event(void *arg, const struct sse_event *e)
{
	struct record *r = arg;

	r->n += (size_t)snprintf(r->text + r->n, sizeof(r->text) - r->n, "%.*s|%.*s|%.*s;",
				 SLICE_ARG(e->type), SLICE_ARG(e->data), SLICE_ARG(e->id));
	return ++r->seen == r->stop_at ? -ECANCELED : 0;
}

/* Feed in two pieces cut at `cut`, each piece in steps of `step` bytes. */
static void feed(struct record *r, struct sse_parser *p, struct slice in, size_t cut, size_t step)
{
	memset(r, 0, sizeof(*r));
	sse_parser_init(p, 1024, on_event, r);
	for (size_t at = 0; at < in.n;) {
		size_t end = at < cut ? cut : in.n;
		size_t n = end - at < step ? end - at : step;
		assert_int_equal(sse_parse(p, in.p + at, n), 0);
		at += n;
	}
}

/* Whatever the cut, the events are the same. */
static void check(struct slice in, const char *want)
{
	struct sse_parser p;
	struct record r;

	for (size_t cut = 0; cut <= in.n; cut++) {
		feed(&r, &p, in, cut, in.n);
		assert_string_equal(r.text, want);
		sse_parser_fini(&p);
	}
	feed(&r, &p, in, 0, 1);
	assert_string_equal(r.text, want);
	sse_parser_fini(&p);
}

static void test_all_line_ends(void **state)
{
	check(SLICE("data: a\n\ndata: b\n\n"), "|a|;|b|;");
	check(SLICE("data: a\r\rdata: b\r\r"), "|a|;|b|;");
	check(SLICE("data: a\r\n\r\ndata: b\r\n\r\n"), "|a|;|b|;");
	check(SLICE("data: a\r\n\ndata: b\r\r\ndata: c\n\r"), "|a|;|b|;|c|;");
}

static void test_cr_at_the_end_of_a_chunk_sends_at_once(void **state)
{
	struct record r = {0};
	struct sse_parser p;

	sse_parser_init(&p, 1024, on_event, &r);
	assert_int_equal(sse_parse(&p, "data: a\r\n\r", 10), 0);
	assert_string_equal(r.text, "|a|;");
	assert_int_equal(sse_parse(&p, "\ndata: b\n\n", 10), 0);
	assert_string_equal(r.text, "|a|;|b|;");
	sse_parser_fini(&p);
}

static void test_fields(void **state)
{
	check(SLICE("event: gap\nid: k.1\ndata: x\n\n"), "gap|x|k.1;");
	check(SLICE("data:x\n\ndata:  y\n\n"), "|x|;| y|;");
	check(SLICE("data: a:b: c\n\n"), "|a:b: c|;");
	check(SLICE("data: a\ndata: b\ndata\ndata: c\n\n"), "|a\nb\n\nc|;");
	check(SLICE("data\n\ndata\ndata\n\n"), "||;|\n|;");
	check(SLICE("unknown: x\nDATA: y\ndata : z\ndata: w\n\n"), "|w|;");
}

static void test_comments_are_ignored(void **state)
{
	check(SLICE(": heartbeat\n\n:\n:data: x\ndata: a\n: in between\ndata: b\n\n"), "|a\nb|;");
}

static void test_id_lasts_until_the_next_one(void **state)
{
	check(SLICE("id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n"), "|a|1;|b|1;|c|;");
}

static void test_id_with_nul_is_ignored(void **state)
{
	check(SLICE("id: 1\ndata: a\n\nid: 2\0x\ndata: b\n\n"), "|a|1;|b|1;");
}

static void test_event_without_data_is_not_sent_and_clears_the_type(void **state)
{
	check(SLICE("event: gap\n\ndata: a\n\n"), "|a|;");
	check(SLICE("\n\n\nid: 7\n\ndata: a\n\n"), "|a|7;");
}

static void test_unfinished_event_is_thrown_away(void **state)
{
	check(SLICE("data: a\n\ndata: b\n"), "|a|;");
	check(SLICE("data: a\n\ndata: b"), "|a|;");
}

static void test_byte_order_mark(void **state)
{
	check(SLICE("\xef\xbb\xbf"
		    "data: a\n\n"),
	      "|a|;");
	/* Only one, and only at the start. */
	check(SLICE("\xef\xbb\xbf\xef\xbb\xbf"
		    "data: a\n\ndata: b\n\n"),
	      "|b|;");
	check(SLICE("data: a\n\n\xef\xbb\xbf"
		    "data: b\n\n"),
	      "|a|;");
	/* Bytes that only begin like one belong to the first line. */
	check(SLICE("\xef\xbbx: y\ndata: a\n\n"), "|a|;");
	check(SLICE("\xef\n\ndata: a\n\n"), "|a|;");
}

static void test_retry(void **state)
{
	struct record r = {0};
	struct sse_parser p;

	sse_parser_init(&p, 1024, on_event, &r);
	p.retry_ms = 500;
	assert_int_equal(sse_parse(&p, "retry: 2s\nretry: -1\nretry:\nretry: +7\n", 37), 0);
	assert_int_equal(p.retry_ms, 500);
	assert_int_equal(sse_parse(&p, "retry: 99999999999999999999999\n", 31), 0);
	assert_int_equal(p.retry_ms, 500);
	assert_int_equal(sse_parse(&p, "retry: 2000\n", 12), 0);
	assert_int_equal(p.retry_ms, 2000);
	sse_parser_fini(&p);
}

static void test_too_large_is_refused(void **state)
{
	struct record r = {0};
	struct sse_parser p;

	sse_parser_init(&p, 8, on_event, &r);
	assert_int_equal(sse_parse(&p, "data: 1234567", 13), -ENOBUFS);
	assert_int_not_equal(sse_parse(&p, "\n\n", 2), 0);
	sse_parser_fini(&p);
	sse_parser_init(&p, 8, on_event, &r);
	assert_int_equal(sse_parse(&p, "data: 12345678\n", 15), -ENOBUFS);
	sse_parser_fini(&p);
	assert_int_equal(r.seen, 0);
}

static void test_callback_can_end_it(void **state)
{
	struct record r = {.stop_at = 1};
	struct sse_parser p;

	sse_parser_init(&p, 1024, on_event, &r);
	assert_int_equal(sse_parse(&p, "data: a\n\ndata: b\n\n", 18), -ECANCELED);
	assert_string_equal(r.text, "|a|;");
	sse_parser_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_line_ends),
		cmocka_unit_test(test_cr_at_the_end_of_a_chunk_sends_at_once),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_comments_are_ignored),
		cmocka_unit_test(test_id_lasts_until_the_next_one),
		cmocka_unit_test(test_id_with_nul_is_ignored),
		cmocka_unit_test(test_event_without_data_is_not_sent_and_clears_the_type),
		cmocka_unit_test(test_unfinished_event_is_thrown_away),
		cmocka_unit_test(test_byte_order_mark),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_too_large_is_refused),
		cmocka_unit_test(test_callback_can_end_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
