/* SPDX-License-Identifier: MIT */
/* http: timeouts, hang-ups, exchanges that outlive their connection, and taking over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>

#include "base/obj.h"
#include "tests/unit/net/http_rig.h"

/* --- timeouts -------------------------------------------------------------------------------- */

static void test_slow_head_is_answered_408(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	wire_pass(&r->w, 5000); /* counts from the first byte */
	for (int i = 0; i < 29; i++) {
		rig_ask(r, "G");
		wire_pass(&r->w, 100);
	}
	assert_int_equal(r->w.got.n, 0);
	wire_pass(&r->w, 200);
	rig_expect_refusal(r, 408, "request_timeout");
	wire_hang_up(&r->w);
	assert_int_equal(wire_counter(&r->w, COUNTER_CLOSED_HEADER_TIMEOUT), 1);
}

static void test_slow_body_is_answered_408(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n");
	for (int i = 0; i < 5; i++) {
		wire_pass(&r->w, 3900); /* each byte gives new time */
		rig_ask(r, "x");
	}
	assert_int_equal(r->w.got.n, 0);
	wire_pass(&r->w, 4100);
	rig_expect_refusal(r, 408, "request_timeout");
	wire_hang_up(&r->w);
	assert_int_equal(wire_counter(&r->w, COUNTER_CLOSED_BODY_TIMEOUT), 1);
}

static void test_idle_connection_is_closed(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_clear(&r->w);
	wire_pass(&r->w, 9900);
	assert_false(r->w.got_eof);
	rig_ask(r, "\r\n"); /* empty lines are no requests */
	wire_pass(&r->w, 200);
	assert_true(r->w.got_eof);
	assert_int_equal(r->w.got.n, 0);
	wire_pass(&r->w, 600); /* linger */
	assert_true(rig_is_over(r));
	assert_int_equal(wire_counter(&r->w, COUNTER_CLOSED_IDLE_TIMEOUT), 1);
}

static void test_no_timer_runs_while_the_handler_thinks(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_pass(&r->w, 100000);
	rig_answer(r, 0, "late");
	rig_expect(r, "late");
	/* Half a head stands behind a waiting one: its clock runs only while we read. */
	rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /half");
	http_exchange_wait(r->kept[1], RIG_WAIT_MS, rig_on_time);
	wire_pass(&r->w, 100000);
	rig_answer(r, 1, "later");
	rig_ask(r, " HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_expect(r, "GET /half?");
}

static void test_waiting_ends_once_and_may_be_shortened(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_pass(&r->w, RIG_WAIT_MS - 100);
	assert_int_equal(r->waited, 0);
	wire_pass(&r->w, 200);
	assert_int_equal(r->waited, 1);
	wire_pass(&r->w, 2 * RIG_WAIT_MS);
	assert_int_equal(r->waited, 1);
	rig_answer(r, 0, "nothing");
	rig_expect(r, "nothing");
	rig_ask(r, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
	http_exchange_wait(r->kept[1], 1000, rig_on_time);
	wire_pass(&r->w, 1100);
	assert_int_equal(r->waited, 2);
	rig_answer(r, 1, "less");
	rig_expect(r, "less");
	wire_pass(&r->w, 10100); /* the clock of an idle connection runs again */
	assert_true(r->w.got_eof);
	assert_int_equal(r->waited, 2);
}

/* Its turn has not come when it is answered: it waits no more all the same. */
static void test_who_is_answered_does_not_wait(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /wait HTTP/1.1\r\nHost: h\r\n\r\n"
		   "GET /third HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(r->requests, 2);
	rig_answer(r, 1, "second");
	assert_int_equal(r->requests, 3);
	wire_pass(&r->w, 2 * RIG_WAIT_MS);
	assert_int_equal(r->waited, 0);
	rig_answer(r, 0, "first");
	rig_expect(r, "firstHTTP/1.1 200 OK\r\n");
	rig_expect(r, "secondHTTP/1.1 200 OK\r\n");
	rig_expect(r, "GET /third?");
}

/* The request is forgotten; what its answer depends on is not. */
static void test_an_answer_after_waiting_is_like_any_other(void **state)
{
	struct rig *r = *state;
	r->cfg.cors_origins = "https://a.example https://b.example";
	rig_start(r);
	rig_ask(r, "GET /wait HTTP/1.1\r\nHost: h\r\nOrigin: https://b.example\r\n\r\n");
	rig_answer(r, 0, "one");
	rig_expect(r, "Access-Control-Allow-Origin: https://b.example\r\n");
	rig_ask(r, "GET /wait HTTP/1.1\r\nHost: h\r\nOrigin: https://c.example\r\n\r\n");
	rig_answer(r, 1, "two");
	rig_expect(r, "Vary: Origin\r\n");
	rig_expect_not(r, "c.example");
	rig_ask(r, "HEAD /wait HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n");
	rig_answer(r, 2, "three");
	rig_expect(r, "Connection: keep-alive\r\n");
	rig_expect(r, "Content-Length: 5\r\n");
	rig_expect_not(r, "three");
}

static void test_an_answer_to_a_forgotten_request_is_like_any_other(void **state)
{
	struct rig *r = *state;
	r->cfg.cors_origins = "https://a.example https://b.example";
	rig_start(r);
	rig_ask(r, "POST /later/forgotten HTTP/1.1\r\nHost: h\r\nOrigin: https://b.example\r\n"
		   "Content-Length: 2\r\n\r\n{}"
		   "POST /later/forgotten HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
		   "Connection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
	assert_int_equal(r->requests, 2);
	rig_answer(r, 1, "two");
	rig_answer(r, 0, "one");
	rig_expect(r, "Access-Control-Allow-Origin: https://b.example\r\n");
	rig_expect(r, "oneHTTP/1.1 200 OK\r\n");
	rig_expect(r, "Connection: close\r\n");
	assert_true(r->w.got_eof);
}

static void test_two_timeouts_behind_each_other(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /half");
	wire_pass(&r->w, 3100);
	assert_int_equal(r->w.got.n, 0);
	rig_answer(r, 0, "first");
	rig_expect(r, "firstHTTP/1.1 408 Request Timeout\r\n");
	assert_true(r->w.got_eof);
}

/* --- hang-ups -------------------------------------------------------------------------------- */

static void test_half_close_behind_a_request(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_half_close(&r->w);
	assert_int_equal(r->aborted, 0);
	rig_answer(r, 0, "still");
	rig_expect(r, "\r\nConnection: close\r\n");
	rig_expect(r, "still");
	assert_true(r->w.got_eof);
	assert_true(rig_is_over(r));
}

static void test_half_close_behind_two_requests(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r,
		"GET /later1 HTTP/1.1\r\nHost: h\r\n\r\nGET /later2 HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_half_close(&r->w);
	rig_answer(r, 0, "one");
	assert_false(r->w.got_eof);
	rig_answer(r, 1, "two");
	rig_expect(r, "one");
	rig_expect(r, "two");
	assert_int_equal(wire_count(&r->w, "\r\nConnection: close\r\n"), 1);
	assert_true(r->w.got_eof);
	assert_true(rig_is_over(r));
}

static void test_draining_closes_behind_the_last_answer(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r,
		"GET /later1 HTTP/1.1\r\nHost: h\r\n\r\nGET /later2 HTTP/1.1\r\nHost: h\r\n\r\n");
	r->cfg.is_draining = true;
	http_close_if_idle(r->w.conn); /* it is not */
	rig_answer(r, 1, "two");
	rig_ask(r, "GET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_answer(r, 0, "one");
	rig_expect(r, "one");
	rig_expect(r, "two");
	assert_int_equal(wire_count(&r->w, "\r\nConnection: close\r\n"), 1);
	assert_true(r->w.got_eof);
	assert_int_equal(r->requests, 2);
	wire_hang_up(&r->w);
	/* One that has just come may still ask how we are. */
	rig_start(r);
	http_close_if_idle(r->w.conn);
	wire_settle(&r->w);
	assert_false(r->w.got_eof);
	/* An idle one is closed at once, one that is being read is not. */
	r->cfg.is_draining = false;
	rig_ask(r, "GET /kept HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_expect(r, "GET /kept?");
	r->cfg.is_draining = true;
	http_close_if_idle(r->w.conn);
	wire_settle(&r->w);
	assert_true(r->w.got_eof);
	wire_hang_up(&r->w);
	assert_int_equal(wire_counter(&r->w, COUNTER_CLOSED_DRAIN), 1);
	rig_start(r);
	rig_ask(r, "GET /half HTTP/1.1\r\n");
	http_close_if_idle(r->w.conn);
	rig_ask(r, "Host: h\r\n\r\n");
	rig_expect(r, "GET /half?");
	rig_expect(r, "\r\nConnection: close\r\n");
	assert_true(r->w.got_eof);
}

static void test_half_close_in_one_turn_with_the_request(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	assert_int_equal(send(r->w.peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 27, 0), 27);
	wire_half_close(&r->w);
	rig_expect(r, "GET /?");
	assert_true(r->w.got_eof);
	assert_true(rig_is_over(r));
}

static void test_half_close_inside_a_request(void **state)
{
	struct rig *r = *state;
	static const char *const parts[] = {
		"", "GET", "POST / HTTP/1.1\r\nHost: h\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab"};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		rig_start(r);
		rig_ask(r, parts[i]);
		wire_half_close(&r->w);
		assert_int_equal(r->w.got.n, 0);
		assert_true(r->w.got_eof);
		assert_true(rig_is_over(r));
	}
	assert_int_equal(r->requests, 0);
	/* An earlier one is still answered. */
	rig_start(r);
	rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_ask(r, parts[3]);
	wire_half_close(&r->w);
	rig_answer(r, 0, "earlier");
	rig_expect(r, "earlier");
	assert_true(rig_is_over(r));
}

static void test_waiting_exchange_hears_of_a_half_close(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(r->aborted, 0);
	wire_half_close(&r->w);
	assert_int_equal(r->aborted, 1);
	assert_true(rig_is_over(r));
	assert_int_equal(wire_counter(&r->w, COUNTER_CLOSED_CLIENT_GONE), 1);
	/* Also when the FIN was there before, or unread bytes are in front of it. */
	rig_start(r);
	assert_int_equal(send(r->w.peer, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n", 31, 0), 31);
	wire_half_close(&r->w);
	assert_int_equal(r->aborted, 2);
	rig_start(r);
	rig_ask(r, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_ask(r, "GET /2 HTTP/1.1\r\n");
	wire_half_close(&r->w);
	assert_int_equal(r->aborted, 3);
	/* And when it begins to wait after the FIN. */
	rig_start(r);
	rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_half_close(&r->w);
	assert_int_equal(r->aborted, 3);
	http_exchange_wait(r->kept[r->kept_n - 1], RIG_WAIT_MS, rig_on_time);
	wire_settle(&r->w);
	assert_int_equal(r->aborted, 4);
	assert_true(rig_is_over(r));
}

static void test_hang_up_aborts_all(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_hang_up(&r->w);
	assert_int_equal(r->aborted, 2);
	assert_true(rig_is_over(r));
}

static void test_orphan_lives_until_it_is_answered(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /orphan HTTP/1.1\r\nHost: h\r\n\r\n");
	conn_close(r->w.conn, CLOSE_KICKED);
	wire_settle(&r->w);
	struct http_exchange *x = r->kept[0];
	assert_null(http_exchange_conn(x));
	assert_true(slice_eq_str(http_exchange_request(x)->path, "/orphan"));
	http_exchange_wait(x, RIG_WAIT_MS, rig_on_time);
	http_respond_fault(x, FAULT_INTERNAL, NULL, "for nobody");
}

static void answer_the_other(struct http_exchange *x)
{
	struct rig *r = http_exchange_owner(x);
	r->aborted++;
	http_respond(r->kept[1], 200, NULL, "", SLICE(""));
	http_respond(x, 200, NULL, "", SLICE(""));
}

static void test_answer_for_another_inside_on_abort(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /orphan HTTP/1.1\r\nHost: h\r\n\r\n");
	http_exchange_set(r->kept[0], r, answer_the_other);
	wire_hang_up(&r->w);
	conn_close(r->w.conn, CLOSE_KICKED);
	assert_true(rig_is_over(r));
	assert_int_equal(r->aborted, 1);
}

static void test_handler_closes_the_connection(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /close HTTP/1.1\r\nHost: h\r\n\r\n"
		   "GET /never HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(r->requests, 2);
	assert_int_equal(r->aborted, 1);
	assert_true(rig_is_over(r));
	assert_int_equal(wire_counter(&r->w, COUNTER_CLOSED_KICKED), 1);
}

static void test_wait_keeps_later_requests_unread(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
	rig_ask(r, "GET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(r->requests, 1);
	rig_answer(r, 0, "polled");
	assert_int_equal(r->requests, 3);
	rig_expect(r, "polledHTTP/1.1 200 OK");
	rig_expect(r, "GET /2?");
	rig_expect(r, "GET /3?");
	assert_null(r->w.conn->rest); /* idle again: nothing is kept */
}

/* --- taking over ----------------------------------------------------------------------------- */

static void test_take_over_at_once(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /take HTTP/1.1\r\nHost: h\r\n\r\nrest of it");
	assert_non_null(r->taken);
	rig_expect_begin(r, "HTTP/1.1 200 OK\r\n");
	rig_expect(r, "\r\nConnection: close\r\n");
	rig_expect(r, "\r\n\r\nstream:");
	assert_int_equal(r->aborted, 0);
	assert_true(slice_eq_str(buf_slice(&r->taken_input), "rest of it"));
	rig_ask(r, " and more");
	assert_true(slice_eq_str(buf_slice(&r->taken_input), "rest of it and more"));
	wire_pass(&r->w, 100000); /* no timer of HTTP is left */
	conn_send_bytes(r->taken, SLICE(" event"));
	wire_settle(&r->w);
	rig_expect(r, "stream: event");
	wire_half_close(&r->w);
	assert_true(r->taken_gone);
	assert_int_equal(wire_counter(&r->w, COUNTER_REQUESTS), 1);
}

static void test_take_over_waits_for_its_turn(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r,
		"GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /take HTTP/1.1\r\nHost: h\r\n\r\nrest");
	assert_null(r->taken);
	rig_answer(r, 0, "first");
	assert_non_null(r->taken);
	rig_expect(r, "firstHTTP/1.1 200 OK");
	assert_true(slice_eq_str(buf_slice(&r->taken_input), "rest"));
}

static void test_take_over_may_be_aborted(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /take HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_hang_up(&r->w);
	conn_close(r->w.conn, CLOSE_KICKED);
	assert_int_equal(r->aborted, 2);
	assert_null(r->taken);
}

static void test_take_over_after_half_close(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_ask(r, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_half_close(&r->w);
	http_take_over(r->kept[0], rig_on_ready);
	assert_non_null(r->taken);
	assert_false(r->taken_gone);
	wire_settle(&r->w); /* the new owner hears of the FIN too */
	assert_true(r->taken_gone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_slow_head_is_answered_408),
		RIG_TEST(test_slow_body_is_answered_408),
		RIG_TEST(test_idle_connection_is_closed),
		RIG_TEST(test_no_timer_runs_while_the_handler_thinks),
		RIG_TEST(test_waiting_ends_once_and_may_be_shortened),
		RIG_TEST(test_who_is_answered_does_not_wait),
		RIG_TEST(test_an_answer_after_waiting_is_like_any_other),
		RIG_TEST(test_an_answer_to_a_forgotten_request_is_like_any_other),
		RIG_TEST(test_two_timeouts_behind_each_other),
		RIG_TEST(test_half_close_behind_a_request),
		RIG_TEST(test_half_close_behind_two_requests),
		RIG_TEST(test_draining_closes_behind_the_last_answer),
		RIG_TEST(test_half_close_in_one_turn_with_the_request),
		RIG_TEST(test_half_close_inside_a_request),
		RIG_TEST(test_waiting_exchange_hears_of_a_half_close),
		RIG_TEST(test_hang_up_aborts_all),
		RIG_TEST(test_orphan_lives_until_it_is_answered),
		RIG_TEST(test_answer_for_another_inside_on_abort),
		RIG_TEST(test_handler_closes_the_connection),
		RIG_TEST(test_wait_keeps_later_requests_unread),
		RIG_TEST(test_take_over_at_once),
		RIG_TEST(test_take_over_waits_for_its_turn),
		RIG_TEST(test_take_over_may_be_aborted),
		RIG_TEST(test_take_over_after_half_close),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
