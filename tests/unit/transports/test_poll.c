/* SPDX-License-Identifier: MIT */
/* poll: what one reply holds, when it is given, and what becomes of a poll whose time is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "tests/unit/transports/gate_rig.h"

static void publish_n(struct gate *g, const char *channel, size_t n)
{
	while (n--)
		gate_publish(g, channel, "x");
}

/* Ask, let the log answer, and expect this in the one reply. */
static void expect_reply(struct gate *g, const char *target, const char *headers, int status,
			 const char *part)
{
	gate_connect(g, 0, false);
	gate_get(g, 0, target, headers);
	gate_settle(g);
	if (gate_status(g, 0) != status)
		gate_expect(g, 0, "an answer");
	gate_expect_part(g, 0, part);
}

static void test_empty_log(void **state)
{
	struct gate *g = *state;

	expect_reply(g, "/v1/poll?channel=a", NULL, 200,
		     "\r\n\r\n{\"cursor\":\"fake.0\",\"messages\":[],\"session\":\"");
	gate_expect_part(g, 0, "\",\"more\":false}");
	gate_expect_part(g, 0, "\r\nETag: \"fake.0\"\r\nCache-Control: private, no-cache\r\n");
}

static void test_pages(void **state)
{
	struct gate *g = *state;

	publish_n(g, "a", 4);
	expect_reply(g, "/v1/poll?channel=a&since=0", NULL, 200,
		     "{\"cursor\":\"fake.3\",\"messages\":[{\"type\":\"message\",\"channel\":\"a\","
		     "\"id\":\"fake.1\",\"prev\":null,\"ts\":1790000000123,\"data\":\"x\"},{");
	gate_expect_part(g, 0, "\",\"more\":true}");
	/* A page that ends exactly where the log does. */
	expect_reply(g, "/v1/poll?channel=a&since=fake.1", NULL, 200, "{\"cursor\":\"fake.4\",");
	gate_expect_part(g, 0, "\",\"more\":false}");
}

static void test_bytes_limit_a_page_but_one_message_is_given(void **state)
{
	struct gate *g = *state;

	g->cfg.poll_bytes = 10;
	publish_n(g, "a", 2);
	expect_reply(g, "/v1/poll?channel=a&since=0", NULL, 200, "{\"cursor\":\"fake.1\",");
	gate_expect_part(g, 0, "\"id\":\"fake.1\"");
	gate_expect_part(g, 0, "\",\"more\":true}");
}

static void test_not_modified(void **state)
{
	struct gate *g = *state;

	publish_n(g, "a", 2);
	expect_reply(g, "/v1/poll?channel=a", "If-None-Match: \"fake.2\"\r\n", 304,
		     "ETag: \"fake.2\"");
	gate_expect_none(g, 0, "cursor");
	expect_reply(g, "/v1/poll?channel=a", "If-None-Match: W/\"fake.2\"\r\n", 304,
		     "ETag: W/\"fake.2\"");
	publish_n(g, "b", 1); /* another channel's */
	expect_reply(g, "/v1/poll?channel=a", "If-None-Match: \"fake.2\"\r\n", 304,
		     "ETag: \"fake.2\"");
	expect_reply(g, "/v1/poll?channel=a", "If-None-Match: \"fake.1\"\r\n", 200,
		     "\"id\":\"fake.2\"");
	expect_reply(g, "/v1/poll?channel=a&since=fake.1", "If-None-Match: \"fake.2\"\r\n", 304,
		     "fake.2");
	/* Never with a gap, nor for a tag that is none of ours. */
	expect_reply(g, "/v1/poll?channel=a", "If-None-Match: \"old.2\"\r\n", 200,
		     "\"reason\":\"epoch\"");
	expect_reply(g, "/v1/poll?channel=a&since=x", "If-None-Match: \"fake.2\"\r\n", 200,
		     "\"gaps\":[");
	expect_reply(g, "/v1/poll?channel=a&since=fake.2", "If-None-Match: *\r\n", 200,
		     "\"messages\":[]");
}

static void test_a_cut_page_is_modified(void **state)
{
	struct gate *g = *state;

	publish_n(g, "a", 5);
	/* The first three are known, but there is more. */
	expect_reply(g, "/v1/poll?channel=a&since=0", "If-None-Match: \"fake.4\"\r\n", 200,
		     "\"more\":true");
}

static void test_shared_caches(void **state)
{
	struct gate *g = *state;

	expect_reply(g, "/v1/poll?channel=open:a&since=0", NULL, 200, "public, max-age=1");
	expect_reply(g, "/v1/poll?channel=open:a&channel=b&since=0", NULL, 200,
		     "private, no-cache");
	expect_reply(g, "/v1/poll?channel=open:a", "If-None-Match: \"fake.0\"\r\n", 304,
		     "private, no-cache"); /* depends on a header */
	gate_connect(g, 1, true);
	gate_get(g, 1, "/v1/poll?channel=open:a&since=0", NULL);
	gate_settle(g);
	gate_expect_part(g, 1, "private, no-cache");
}

static void test_refusals(void **state)
{
	struct gate *g = *state;

	expect_reply(g, "/v1/poll", NULL, 400, "\"no_channel\"");
	expect_reply(g, "/v1/poll?channel=", NULL, 400, "\"bad_channel\"");
	expect_reply(g, "/v1/poll?channel=a&wait=-1", NULL, 400, "\"bad_parameter\"");
	expect_reply(g, "/v1/poll?channel=closed:a", NULL, 403, "\"forbidden\"");
	expect_reply(g, "/v1/poll?channel=a&channel=b&channel=c&channel=d&channel=e", NULL, 400,
		     "\"too_many_channels\"");
}

/* --- waiting --------------------------------------------------------------------------------- */

static void test_waits_for_a_message(void **state)
{
	struct gate *g = *state;

	gate_get(g, 0, "/v1/poll?channel=a&wait=20", NULL);
	gate_settle(g);
	gate_expect(g, 0, "");
	gate_publish(g, "b", "not for it");
	gate_expect(g, 0, "");
	gate_publish(g, "a", "x");
	gate_expect_part(g, 0, "{\"cursor\":\"fake.2\",\"messages\":[{");
	gate_expect_part(g, 0, "\r\nCache-Control: no-store\r\n");
}

static void test_wait_ends(void **state)
{
	struct gate *g = *state;

	gate_get(g, 0, "/v1/poll?channel=a&wait=2", NULL);
	gate_publish(g, "b", "moves the cursor");
	gate_pass(g, 1900);
	gate_expect(g, 0, "");
	gate_pass(g, 200);
	gate_expect_part(g, 0, "{\"cursor\":\"fake.1\",\"messages\":[],\"session\":\"");
	gate_expect_part(g, 0, "\",\"more\":false}");
}

static void test_wait_is_capped(void **state)
{
	struct gate *g = *state;

	g->cfg.poll_wait_max_ms = 1000;
	gate_get(g, 0, "/v1/poll?channel=a&wait=9999999999", NULL);
	gate_pass(g, 1100);
	gate_expect_part(g, 0, "\"messages\":[]");
}

static void test_burst_leaves_in_one_reply(void **state)
{
	struct gate *g = *state;

	g->cfg.poll_batch_ms = 100;
	gate_get(g, 0, "/v1/poll?channel=a&wait=20", NULL);
	publish_n(g, "a", 2);
	gate_pass(g, 60);
	gate_expect(g, 0, "");
	gate_pass(g, 100);
	gate_expect_part(g, 0, "{\"cursor\":\"fake.2\",");
}

static void test_burst_beyond_a_page(void **state)
{
	struct gate *g = *state;

	g->cfg.poll_batch_ms = 100;
	gate_get(g, 0, "/v1/poll?channel=a&wait=20", NULL);
	publish_n(g, "a", 5); /* the fourth does not fit: answered at once */
	gate_expect_part(g, 0, "{\"cursor\":\"fake.3\",");
	gate_expect_part(g, 0, "\"more\":true}");
}

static void test_ephemeral_wakes_a_waiting_poll(void **state)
{
	struct gate *g = *state;

	gate_publish(g, "a", "x");
	gate_get(g, 0, "/v1/poll?channel=a&wait=20", NULL);
	gate_settle(g);
	fake_publish(g->history, "a", DURABILITY_EPHEMERAL, "typing");
	gate_settle(g);
	gate_expect_part(g, 0,
			 "{\"cursor\":\"fake.1\",\"messages\":[{\"type\":\"message\",\"channel\":"
			 "\"a\",\"ts\":1790000000123,\"data\":\"typing\"}],\"session\":\"");
	gate_expect_part(g, 0, "\",\"more\":false}");
}

static void test_hanging_up_ends_it(void **state)
{
	struct gate *g = *state;

	gate_get(g, 0, "/v1/poll?channel=a&wait=20", NULL);
	assert_int_equal(census_total(g->census, SLICE("a")), 1);
	gate_hang_up(g, 0);
	assert_int_equal(census_total(g->census, SLICE("a")), 0);
	gate_publish(g, "a", "to nobody");
}

static void test_hanging_up_while_the_log_reads(void **state)
{
	struct gate *g = *state;

	gate_publish(g, "a", "x");
	gate_get(g, 0, "/v1/poll?channel=a&since=0&wait=20", NULL);
	assert_int_equal(g->history->query_n, 1);
	gate_hang_up(g, 0);
	gate_settle(g); /* the answer finds nobody */
	assert_int_equal(g->gateway.session_n, 0);
}

static void test_polls_of_one_connection_are_answered_in_order(void **state)
{
	struct gate *g = *state;

	gate_publish(g, "a", "one");
	gate_publish(g, "b", "two");
	gate_say(g, 0,
		 "GET /v1/poll?channel=a&since=0 HTTP/1.1\r\nHost: h\r\n\r\n"
		 "GET /v1/poll?channel=b&since=0 HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(g->history->query_n, 2);
	fake_answer(g->history, 1, 0); /* the second one's */
	while (fake_deliver(&g->history->workers[0]))
		;
	gate_turn(g);
	gate_expect(g, 0, "");
	gate_settle(g);
	const struct buf *b = &g->clients[0].got;
	const char *one = memmem(b->p, b->n, "\"one\"", 5), *two = memmem(b->p, b->n, "\"two\"", 5);
	assert_true(one && two && one < two);
}

static void test_log_that_can_not_be_read(void **state)
{
	struct gate *g = *state;

	/* The first read only warms the channel up; the second one is the poll's own. */
	g->limits.recent_count = 0;
	g->hub->limits.recent_count = 0;
	gate_publish(g, "a", "x");
	gate_get(g, 0, "/v1/poll?channel=a&since=0", NULL);
	fake_answer(g->history, 0, -EIO);
	while (fake_deliver(&g->history->workers[0]))
		;
	gate_turn(g);
	assert_int_equal(gate_status(g, 0), 503);
	gate_expect_part(g, 0, "\"code\":\"store_unavailable\"");
	gate_expect_part(g, 0, "\r\nRetry-After: 1\r\n");
}

/* --- its time is over before the log has said where the channels begin -------------------------
 */

static void test_end_of_the_wait_does_not_lose_where_it_starts(void **state)
{
	struct gate *g = *state;

	publish_n(g, "a", 5);
	gate_get(g, 0, "/v1/poll?channel=a&last=2&wait=1", NULL);
	gate_pass(g, 1500); /* a slow disk */
	gate_expect(g, 0, "");
	gate_settle(g);
	gate_expect_part(g, 0,
			 "{\"cursor\":\"fake.5\",\"messages\":[{\"type\":\"message\","
			 "\"channel\":\"a\",\"id\":\"fake.4\"");
}

static void test_end_of_the_wait_does_not_lose_a_gap(void **state)
{
	struct gate *g = *state;

	gate_get(g, 0, "/v1/poll?channel=a&since=old.5&wait=1", NULL);
	gate_pass(g, 1500);
	gate_settle(g);
	gate_expect_part(g, 0,
			 "{\"cursor\":\"fake.0\",\"messages\":[],\"gaps\":[{\"type\":\"gap\","
			 "\"channel\":\"a\",\"from\":\"old.5\"");
}

static void test_drain_does_not_lose_a_gap(void **state)
{
	struct gate *g = *state;

	publish_n(g, "a", 1);
	gate_get(g, 0, "/v1/poll?channel=a&since=old.5&wait=20", NULL);
	gate_get(g, 1, "/v1/poll?channel=a&last=1", NULL);
	gateway_drain(&g->gateway, 0);
	gate_turn(g);
	gate_expect(g, 0, "");
	gate_settle(g);
	gate_expect_part(g, 0, "\"from\":\"old.5\"");
	gate_expect_part(g, 1, "{\"cursor\":\"fake.1\",\"messages\":[{");
}

static void test_drain_answers_who_waits(void **state)
{
	struct gate *g = *state;

	gate_get(g, 0, "/v1/poll?channel=a&wait=20", NULL);
	g->http.is_draining = true;
	gateway_drain(&g->gateway, 0);
	gate_turn(g);
	gate_expect_part(g, 0, "{\"cursor\":\"fake.0\",\"messages\":[],\"session\":\"");
	gate_expect_part(g, 0, "\",\"more\":false}");
	gate_expect_part(g, 0, "\r\nConnection: close\r\n");
	assert_true(g->clients[0].got_eof);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_TEST(test_empty_log),
		GATE_TEST(test_pages),
		GATE_TEST(test_bytes_limit_a_page_but_one_message_is_given),
		GATE_TEST(test_not_modified),
		GATE_TEST(test_a_cut_page_is_modified),
		GATE_TEST(test_shared_caches),
		GATE_TEST(test_refusals),
		GATE_TEST(test_waits_for_a_message),
		GATE_TEST(test_wait_ends),
		GATE_TEST(test_wait_is_capped),
		GATE_TEST(test_burst_leaves_in_one_reply),
		GATE_TEST(test_burst_beyond_a_page),
		GATE_TEST(test_ephemeral_wakes_a_waiting_poll),
		GATE_TEST(test_hanging_up_ends_it),
		GATE_TEST(test_hanging_up_while_the_log_reads),
		GATE_TEST(test_polls_of_one_connection_are_answered_in_order),
		GATE_TEST(test_log_that_can_not_be_read),
		GATE_TEST(test_end_of_the_wait_does_not_lose_where_it_starts),
		GATE_TEST(test_end_of_the_wait_does_not_lose_a_gap),
		GATE_TEST(test_drain_does_not_lose_a_gap),
		GATE_TEST(test_drain_answers_who_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
