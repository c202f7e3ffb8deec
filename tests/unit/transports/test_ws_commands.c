/* SPDX-License-Identifier: MIT */
/* ws_commands: the JSON frames of clients and their replies, compared in full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "net/ws_frame.h"
#include "tests/unit/transports/gate_rig.h"

static int setup(void **state)
{
	gate_setup(state);
	gate_upgrade(*state, 0, "/v1/ws");
	gate_forget(*state, 0);
	return 0;
}

/* The frames that client 0 got, without their heads, joined by '|'. */
static void expect_frames(struct gate *g, const char *want)
{
	struct slice in = buf_slice(&g->clients[0].got);
	struct buf text = {0};
	struct ws_head h;

	while (in.n && ws_head_decode(in, &h) == WS_OK && h.payload_n <= in.n - h.head_n) {
		if (text.n)
			buf_add_char(&text, '|');
		buf_add(&text, in.p + h.head_n, (size_t)h.payload_n);
		in = slice_skip(in, h.head_n + (size_t)h.payload_n);
	}
	assert_int_equal(in.n, 0);
	if (!slice_eq_str(buf_slice(&text), want))
		fail_msg("got  %.*s\nwant %s", SLICE_ARG(buf_slice(&text)), want);
	buf_fini(&text);
	gate_forget(g, 0);
}

static void expect_reply(struct gate *g, const char *command, const char *want)
{
	gate_command(g, 0, command);
	gate_settle(g);
	expect_frames(g, want);
}

static void expect_error(struct gate *g, const char *command, const char *code)
{
	char part[64];

	gate_command(g, 0, command);
	gate_settle(g);
	snprintf(part, sizeof(part), "\"code\":\"%s\",\"message\":\"", code);
	gate_expect_part(g, 0, "\"type\":\"error\"");
	gate_expect_part(g, 0, part);
	gate_forget(g, 0);
}

static void test_ping_and_ref(void **state)
{
	struct gate *g = *state;
	char frame[200];

	expect_reply(g, "{\"type\":\"ping\"}", "{\"type\":\"pong\",\"ts\":1790000000123}");
	static const char *const refs[] = {"1", "-1.5e3", "\"a\"", "\"\\u00e9 \\\"\"", "0", "\"\""};
	for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
		char want[200];

		snprintf(frame, sizeof(frame), " { \"ref\" : %s , \"type\" : \"ping\" } ", refs[i]);
		snprintf(want, sizeof(want), "{\"type\":\"pong\",\"ref\":%s,\"ts\":1790000000123}",
			 refs[i]);
		expect_reply(g, frame, want);
	}
	expect_error(g, "{\"type\":\"ping\",\"ref\":null}", "bad_parameter");
	expect_error(g, "{\"type\":\"ping\",\"ref\":[1]}", "bad_parameter");
	snprintf(frame, sizeof(frame), "{\"type\":\"ping\",\"ref\":\"%063d\"}", 0);
	expect_error(g, frame, "bad_parameter");
}

static void test_frames_that_are_no_commands(void **state)
{
	static const struct {
		const char *frame, *code;
	} cases[] = {
		{"", "bad_json"},
		{"x", "bad_json"},
		{"{", "bad_json"},
		{"{\"type\":\"ping\"}x", "bad_json"},
		{"[]", "bad_json"},
		{"\"ping\"", "bad_json"},
		{"null", "bad_json"},
		{"{}", "unknown_type"},
		{"{\"type\":1}", "unknown_type"},
		{"{\"type\":null}", "unknown_type"},
		{"{\"type\":\"\"}", "unknown_type"},
		{"{\"type\":\"Ping\"}", "unknown_type"},
		{"{\"type\":\"\\ud800\"}", "unknown_type"},
		{"{\"type\":\"hello\"}", "unknown_type"},
	};
	struct gate *g = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_error(g, cases[i].frame, cases[i].code);
	gate_frame(g, 0, WS_BINARY, SLICE("{\"type\":\"ping\"}"));
	gate_expect_part(g, 0, "\"code\":\"bad_request\"");
	/* Escapes of member names and values count as what they mean. */
	gate_forget(g, 0);
	expect_reply(g, "{\"\\u0074ype\":\"p\\u0069ng\"}",
		     "{\"type\":\"pong\",\"ts\":1790000000123}");
}

static void test_subscribe(void **state)
{
	struct gate *g = *state;

	gate_publish(g, "a", "old");
	expect_reply(g, "{\"type\":\"subscribe\",\"channel\":\"a\",\"ref\":1}",
		     "{\"type\":\"ok\",\"ref\":1,\"channels\":[\"a\"],\"cursor\":\"fake.1\"}");
	gate_publish(g, "a", "new");
	expect_frames(
		g, "{\"type\":\"message\",\"channel\":\"a\",\"id\":\"fake.2\",\"prev\":\"fake.1\","
		   "\"ts\":1790000000123,\"data\":\"new\"}");
	expect_reply(g,
		     "{\"type\":\"subscribe\",\"channel\":\"a\",\"channels\":[\"b\",\"\\u0063\"]}",
		     "{\"type\":\"ok\",\"channels\":[\"a\",\"b\",\"c\"],\"cursor\":\"fake.2\"}");
	assert_int_equal(census_total(g->census, SLICE("c")), 1);
	assert_int_equal(census_total(g->census, SLICE("a")), 1);
}

static void test_subscribe_with_a_start(void **state)
{
	struct gate *g = *state;

	gate_publish(g, "a", "1");
	gate_publish(g, "a", "2");
	expect_reply(
		g, "{\"type\":\"subscribe\",\"channel\":\"a\",\"since\":\"fake.1\"}",
		"{\"type\":\"ok\",\"channels\":[\"a\"],\"cursor\":\"fake.1\"}|"
		"{\"type\":\"message\",\"channel\":\"a\",\"id\":\"fake.2\",\"prev\":\"fake.1\","
		"\"ts\":1790000000123,\"data\":\"2\"}");
	gate_publish(g, "b", "3");
	expect_reply(g, "{\"type\":\"subscribe\",\"channel\":\"b\",\"last\":1}",
		     "{\"type\":\"ok\",\"channels\":[\"b\"],\"cursor\":null}|"
		     "{\"type\":\"message\",\"channel\":\"b\",\"id\":\"fake.3\",\"prev\":null,"
		     "\"ts\":1790000000123,\"data\":\"3\"}");
	expect_reply(g, "{\"type\":\"subscribe\",\"channel\":\"c\",\"last\":0}",
		     "{\"type\":\"ok\",\"channels\":[\"c\"],\"cursor\":\"fake.3\"}");
	expect_reply(g, "{\"type\":\"subscribe\",\"channel\":\"d\",\"since\":0}",
		     "{\"type\":\"ok\",\"channels\":[\"d\"],\"cursor\":\"fake.0\"}");
}

/* While the log numbers on, the cursor that is told and the place where delivery starts were not
 * always the same. */
static void test_cursor_is_where_delivery_starts(void **state)
{
	struct gate *g = *state;

	gate_publish(g, "a", "1");
	fake_publish(g->history, "a", DURABILITY_COMMIT, "2"); /* on its way to this worker */
	gate_command(g, 0, "{\"type\":\"subscribe\",\"channel\":\"a\"}");
	expect_frames(g, "{\"type\":\"ok\",\"channels\":[\"a\"],\"cursor\":\"fake.2\"}");
	gate_settle(g);
	expect_frames(g, "");
	gate_publish(g, "a", "3");
	gate_expect_part(g, 0, "\"prev\":\"fake.2\"");
}

/* "A cursor is never refused." */
static void test_cursors_that_are_no_ids(void **state)
{
	struct gate *g = *state;
	struct buf b = {0};

	expect_reply(
		g, "{\"type\":\"subscribe\",\"channel\":\"a\",\"since\":\"\\ud800\"}",
		"{\"type\":\"ok\",\"channels\":[\"a\"],\"cursor\":\"fake.0\"}|"
		"{\"type\":\"gap\",\"channel\":\"a\",\"from\":\"\",\"to\":null,\"oldest\":null,"
		"\"reason\":\"invalid\"}");
	g->cfg.ws.message_max = 9000;
	buf_addf(&b, "{\"type\":\"subscribe\",\"channel\":\"b\",\"since\":\"%05000d\"}%c", 0, 0);
	gate_upgrade(g, 1, "/v1/ws");
	gate_forget(g, 1);
	gate_command(g, 1, b.p);
	gate_settle(g);
	gate_expect_part(g, 1, "\"reason\":\"invalid\"");
	expect_reply(g, "{\"type\":\"subscribe\",\"channel\":\"c\",\"since\":\"\"}",
		     "{\"type\":\"ok\",\"channels\":[\"c\"],\"cursor\":\"fake.0\"}");
	buf_fini(&b);
}

static void test_names_count_once(void **state)
{
	struct gate *g = *state;

	expect_reply(
		g,
		"{\"type\":\"subscribe\",\"channel\":\"a\",\"channels\":"
		"[\"a\",\"b\",\"\\u0061\",\"ab\",\"b\",\"d\",\"a\"]}",
		"{\"type\":\"ok\",\"channels\":[\"a\",\"b\",\"ab\",\"d\"],\"cursor\":\"fake.0\"}");
	expect_error(g, "{\"type\":\"subscribe\",\"channels\":[\"a\",\"e\"]}", "too_many_channels");
	expect_error(g, "{\"type\":\"subscribe\",\"channels\":[\"1\",\"2\",\"3\",\"4\",\"5\"]}",
		     "too_many_channels");
	expect_reply(g, "{\"type\":\"unsubscribe\",\"channels\":[\"a\",\"b\",\"a\"]}",
		     "{\"type\":\"ok\",\"channels\":[\"a\",\"b\"]}");
	assert_int_equal(census_total(g->census, SLICE("a")), 0);
}

static void test_refused_subscriptions(void **state)
{
	static const struct {
		const char *members, *code;
	} cases[] = {
		{"", "no_channel"},
		{",\"channels\":[]", "no_channel"},
		{",\"channel\":\"\"", "bad_channel"},
		{",\"channel\":1", "bad_channel"},
		{",\"channel\":null", "bad_channel"},
		{",\"channel\":\"\\ud800\"", "bad_channel"},
		{",\"channels\":[[]]", "bad_channel"},
		{",\"channels\":\"a\"", "bad_parameter"},
		{",\"channel\":\"closed:a\"", "forbidden"},
		{",\"channel\":\"a\",\"last\":21", "bad_parameter"},
		{",\"channel\":\"a\",\"last\":-1", "bad_parameter"},
		{",\"channel\":\"a\",\"last\":\"1\"", "bad_parameter"},
		{",\"channel\":\"a\",\"since\":5", "bad_parameter"},
	};
	struct gate *g = *state;
	char frame[200];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(frame, sizeof(frame), "{\"type\":\"subscribe\"%s}", cases[i].members);
		expect_error(g, frame, cases[i].code);
	}
	expect_error(g, "{\"type\":\"unsubscribe\",\"channel\":\"a\"}", "not_subscribed");
	assert_int_equal(atomic_load(&g->env.counters->v[COUNTER_SUBSCRIPTIONS]), 0);
}

static void test_publish(void **state)
{
	struct gate *g = *state;

	expect_reply(
		g, "{\"type\":\"publish\",\"channel\":\"a\",\"data\": {\"x\" : 1} ,\"ref\":\"r\"}",
		"{\"type\":\"ok\",\"ref\":\"r\",\"id\":\"fake.1\",\"channel\":\"a\",\"durability\":"
		"\"commit\",\"duplicate\":false,\"subscribers\":0}");
	expect_reply(
		g,
		"{\"type\":\"publish\",\"channel\":\"a\",\"data\":\"AP8=\",\"encoding\":"
		"\"base64\"}",
		"{\"type\":\"ok\",\"id\":\"fake.2\",\"channel\":\"a\",\"durability\":\"commit\","
		"\"duplicate\":false,\"subscribers\":0}");
	gate_command(g, 0,
		     "{\"type\":\"publish\",\"channel\":\"a\",\"data\":\"h\\u00e9\","
		     "\"content_type\":\"text/plain\"}");
	gate_command(
		g, 0,
		"{\"type\":\"publish\",\"channel\":\"a\",\"data\":\"\",\"encoding\":\"base64\"}");
	gate_command(g, 0, "{\"type\":\"publish\",\"channel\":\"a\",\"data\":null}");
	gate_settle(g);
	const struct fake_channel *c = fake_channel_find(g->history, "a");
	assert_int_equal(c->n, 5);
	assert_true(slice_eq_str(message_payload(c->rows[0]), "{\"x\" : 1}"));
	assert_true(slice_eq(message_payload(c->rows[1]), slice_make("\0\xff", 2)));
	assert_int_equal(c->rows[1]->kind, MESSAGE_BINARY);
	assert_true(slice_eq_str(message_payload(c->rows[2]), "hé"));
	assert_int_equal(c->rows[2]->kind, MESSAGE_TEXT);
	assert_int_equal(message_payload(c->rows[3]).n, 0);
	assert_true(slice_eq_str(message_payload(c->rows[4]), "null"));
}

static void test_refused_publishes(void **state)
{
	static const struct {
		const char *members, *code;
	} cases[] = {
		{"", "bad_request"},
		{",\"data\":1,\"channels\":[\"b\"]", "bad_parameter"},
		{",\"data\":1,\"ephemeral\":1", "bad_parameter"},
		{",\"data\":1,\"key\":\"\"", "bad_parameter"},
		{",\"data\":1,\"key\":5", "bad_parameter"},
		{",\"data\":1,\"key\":\"k\",\"ephemeral\":true", "bad_parameter"},
		{",\"data\":1,\"producer\":\"p\"", "bad_parameter"},
		{",\"data\":1,\"producer\":\"p\",\"producer_seq\":0", "bad_parameter"},
		{",\"data\":1,\"producer\":\"p\",\"producer_seq\":1,\"key\":\"k\"",
		 "bad_parameter"},
		{",\"data\":1,\"expect\":\"x\"", "bad_parameter"},
		{",\"data\":1,\"exclude\":1", "bad_parameter"},
		{",\"data\":1,\"ttl\":0", "bad_parameter"},
		{",\"data\":1,\"ttl\":1e3", "bad_parameter"},
		{",\"messages\":[{\"channel\":\"a\",\"data\":1}]", "bad_parameter"},
		{",\"data\":\"x\",\"encoding\":\"hex\"", "bad_parameter"},
		{",\"data\":\"!\",\"encoding\":\"base64\"", "bad_parameter"},
		{",\"data\":1,\"encoding\":\"base64\"", "bad_parameter"},
		{",\"data\":\"YQ\",\"encoding\":\"base64\"", "bad_parameter"},
		{",\"data\":\"\\ud800\",\"content_type\":\"text/plain\"", "bad_parameter"},
		{",\"data\":1,\"content_type\":5", "bad_parameter"},
	};
	struct gate *g = *state;
	char frame[200];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(frame, sizeof(frame), "{\"type\":\"publish\",\"channel\":\"a\"%s}",
			 cases[i].members);
		expect_error(g, frame, cases[i].code);
	}
	expect_error(g, "{\"type\":\"publish\",\"data\":1}", "no_channel");
	expect_error(g, "{\"type\":\"publish\",\"channel\":\"closed:a\",\"data\":1}", "forbidden");
	assert_int_equal(g->history->seq, 0);
	assert_int_equal(atomic_load(&g->env.counters->v[COUNTER_PUBLISH_REFUSED]),
			 ARRAY_LEN(cases) + 2);
}

static void test_history(void **state)
{
	struct gate *g = *state;

	gate_publish(g, "a", "1");
	gate_publish(g, "a", "2");
	expect_reply(
		g, "{\"type\":\"history\",\"channel\":\"a\",\"limit\":1,\"ref\":7}",
		"{\"type\":\"ok\",\"ref\":7,\"channel\":\"a\",\"cursor\":\"fake.1\",\"messages\":"
		"[{\"type\":\"message\",\"channel\":\"a\",\"id\":\"fake.1\",\"prev\":null,"
		"\"ts\":1790000000123,\"data\":\"1\"}],\"more\":true}");
	expect_reply(g, "{\"type\":\"history\",\"channel\":\"a\",\"since\":\"fake.2\"}",
		     "{\"type\":\"ok\",\"channel\":\"a\",\"cursor\":\"fake.2\",\"messages\":[],"
		     "\"more\":false}");
	expect_error(g, "{\"type\":\"history\",\"channels\":[\"a\",\"b\"]}", "bad_parameter");
	expect_error(g, "{\"type\":\"history\",\"channel\":\"closed:a\"}", "forbidden");
	expect_error(g, "{\"type\":\"history\",\"channel\":\"a\",\"limit\":\"x\"}",
		     "bad_parameter");
	g->history->query_room = 0;
	expect_error(g, "{\"type\":\"history\",\"channel\":\"a\"}", "overloaded");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define WS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, gate_teardown)
		WS_TEST(test_ping_and_ref),
		WS_TEST(test_frames_that_are_no_commands),
		WS_TEST(test_subscribe),
		WS_TEST(test_subscribe_with_a_start),
		WS_TEST(test_cursor_is_where_delivery_starts),
		WS_TEST(test_cursors_that_are_no_ids),
		WS_TEST(test_names_count_once),
		WS_TEST(test_refused_subscriptions),
		WS_TEST(test_publish),
		WS_TEST(test_refused_publishes),
		WS_TEST(test_history),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
