/* SPDX-License-Identifier: MIT */
/* fetch: GET /v1/history: pages, starts, gaps, and askers that go away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "tests/unit/transports/gate_rig.h"

#define MESSAGE(id, prev, data)                                                          \
	"{\"type\":\"message\",\"channel\":\"a\",\"id\":\"fake." #id "\",\"prev\":" prev \
	",\"ts\":1790000000123,\"data\":\"" data "\"}"

static void publish_n(struct gate *g, const char *channel, size_t n)
{
	while (n--)
		gate_publish(g, channel, "x");
}

static void expect_reply(struct gate *g, const char *query, int status, const char *part)
{
	char target[200];

	snprintf(target, sizeof(target), "/v1/history?%s", query);
	gate_connect(g, 0, false);
	gate_get(g, 0, target, NULL);
	gate_settle(g);
	assert_int_equal(gate_status(g, 0), status);
	gate_expect_part(g, 0, part);
}

static void test_whole(void **state)
{
	struct gate *g = *state;

	gate_publish(g, "a", "one");
	gate_publish(g, "b", "other");
	gate_publish(g, "a", "two");
	expect_reply(
		g, "channel=a", 200,
		"\r\n\r\n{\"channel\":\"a\",\"cursor\":\"fake.3\",\"messages\":[" MESSAGE(
			1, "null", "one") "," MESSAGE(3, "\"fake.1\"", "two") "],"
									      "\"more\":false}");
	gate_expect_part(g, 0, "\r\nCache-Control: private, no-cache\r\n");
	expect_reply(
		g, "channel=nothing", 200,
		"{\"channel\":\"nothing\",\"cursor\":\"fake.3\",\"messages\":[],\"more\":false}");
}

static void test_limits(void **state)
{
	struct gate *g = *state;

	publish_n(g, "a", 7);
	expect_reply(g, "channel=a", 200, "\"cursor\":\"fake.5\""); /* history_limit */
	gate_expect_part(g, 0, "\"more\":true}");
	expect_reply(g, "channel=a&limit=2", 200, "\"cursor\":\"fake.2\"");
	gate_expect_none(g, 0, "fake.3");
	expect_reply(g, "channel=a&limit=4000000000", 200, "\"cursor\":\"fake.5\"");
	expect_reply(g, "channel=a&limit=0", 200, "\"cursor\":\"fake.5\"");
	expect_reply(g, "channel=a&limit=2&since=fake.5", 200, "\"cursor\":\"fake.7\"");
	gate_expect_part(g, 0, "\"more\":false}");
	expect_reply(g, "channel=a&last=2", 200, "\"messages\":[" MESSAGE(6, "\"fake.5\"", "x"));
	expect_reply(g, "channel=a&last=20", 200, "\"messages\":[" MESSAGE(3, "\"fake.2\"", "x"));
	expect_reply(g, "channel=a&last=0", 200, "\"messages\":[],\"more\":false}");
	expect_reply(g, "channel=a&since=0", 200, "\"messages\":[" MESSAGE(1, "null", "x"));
}

static void test_gaps(void **state)
{
	struct gate *g = *state;

	publish_n(g, "a", 4);
	fake_trim(g->history, "a", 2);
	expect_reply(g, "channel=a&since=fake.1", 200,
		     "],\"gaps\":[{\"type\":\"gap\",\"channel\":\"a\",\"from\":\"fake.1\",\"to\":"
		     "\"fake.2\",\"oldest\":\"fake.3\",\"reason\":\"retention\"}],\"more\":false}");
	expect_reply(g, "channel=a&since=old.1", 200,
		     "\"gaps\":[{\"type\":\"gap\",\"channel\":\"a\",\"from\":\"old.1\",\"to\":null,"
		     "\"oldest\":\"fake.3\",\"reason\":\"epoch\"}]");
	expect_reply(g, "channel=a&since=%22", 200, "\"from\":\"\\\"\"");
	expect_reply(g, "channel=a&since=%ff", 200, "\"from\":\"\"");
	expect_reply(g, "channel=a&since=fake.5", 200, "\"reason\":\"invalid\"");
	static const char *const whole[] = {"since=fake.2", "since=0", "last=20", "since="};
	for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
		char query[64];

		snprintf(query, sizeof(query), "channel=a&%s", whole[i]);
		expect_reply(g, query, 200, "\"id\":\"fake.3\"");
		gate_expect_none(g, 0, "gaps");
	}
}

static void test_refusals(void **state)
{
	struct gate *g = *state;

	expect_reply(g, "", 400, "\"no_channel\"");
	expect_reply(g, "channel=a&channel=b", 400, "\"bad_parameter\"");
	expect_reply(g, "channel=a%20b", 400, "\"bad_channel\"");
	expect_reply(g, "channel=closed:a", 403, "\"forbidden\"");
	expect_reply(g, "channel=a&limit=x", 400, "\"bad_parameter\"");
	expect_reply(g, "channel=a&last=21", 400, "\"bad_parameter\"");
	g->history->query_room = 0;
	expect_reply(g, "channel=a", 503, "\"overloaded\"");
}

static void test_read_error(void **state)
{
	struct gate *g = *state;

	gate_get(g, 0, "/v1/history?channel=a", NULL);
	fake_answer(g->history, 0, -EIO);
	gate_settle(g);
	assert_int_equal(gate_status(g, 0), 503);
	gate_expect_part(g, 0, "\"store_unavailable\"");
}

static void test_asker_goes_away(void **state)
{
	struct gate *g = *state;

	gate_publish(g, "a", "x");
	gate_get(g, 0, "/v1/history?channel=a", NULL);
	gate_hang_up(g, 0);
	gate_settle(g);
}

static void test_head_has_no_body(void **state)
{
	struct gate *g = *state;

	gate_publish(g, "a", "x");
	gate_say(g, 0, "HEAD /v1/history?channel=a HTTP/1.1\r\nHost: h\r\n\r\n");
	gate_settle(g);
	assert_int_equal(gate_status(g, 0), 200);
	gate_expect_part(g, 0, "Content-Length: ");
	gate_expect_none(g, 0, "cursor");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_TEST(test_whole),
		GATE_TEST(test_limits),
		GATE_TEST(test_gaps),
		GATE_TEST(test_refusals),
		GATE_TEST(test_read_error),
		GATE_TEST(test_asker_goes_away),
		GATE_TEST(test_head_has_no_body),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
