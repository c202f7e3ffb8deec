/* SPDX-License-Identifier: MIT */
/* receipt: what publishers are told over HTTP, one message or a batch, and when they are told
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/transports/gate_rig.h"

static void post(struct gate *g, const char *query, const char *headers, const char *body)
{
	struct buf b = {0};

	gate_connect(g, 0, false);
	buf_addf(&b, "POST /v1/publish%s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n%s",
		 query, headers ? headers : "", strlen(body), body);
	gate_say_bytes(g, 0, buf_slice(&b));
	buf_fini(&b);
}

static void expect_receipt(struct gate *g, const char *query, const char *headers, const char *body,
			   const char *receipt)
{
	struct buf b = {0};

	post(g, query, headers, body);
	gate_expect(g, 0, ""); /* not before the log has it */
	gate_settle(g);
	buf_addf(&b, "\r\n\r\n%s", receipt);
	buf_add_char(&b, '\0');
	assert_int_equal(gate_status(g, 0), 200);
	gate_expect_part(g, 0, b.p);
	buf_fini(&b);
}

static void expect_refusal(struct gate *g, const char *query, const char *headers, const char *body,
			   int status, const char *code)
{
	post(g, query, headers, body);
	gate_settle(g);
	if (gate_status(g, 0) != status)
		gate_expect(g, 0, code);
	gate_expect_part(g, 0, code);
	assert_int_equal(g->history->seq, 0); /* nothing was numbered */
}

static void test_one(void **state)
{
	struct gate *g = *state;

	expect_receipt(g, "?channel=a", NULL, "x",
		       "{\"id\":\"fake.1\",\"channel\":\"a\",\"durability\":\"commit\","
		       "\"duplicate\":false,\"subscribers\":0}");
	gate_get(g, 1, "/v1/sse?channel=a", NULL);
	gate_get(g, 2, "/v1/poll?channel=a&wait=9", NULL);
	expect_receipt(g, "?channel=a&ephemeral", NULL, "x",
		       "{\"id\":null,\"channel\":\"a\",\"durability\":\"ephemeral\","
		       "\"duplicate\":false,\"subscribers\":2}");
	expect_receipt(g, "?channel=%22\\", NULL, "x",
		       "{\"id\":\"fake.2\",\"channel\":\"\\\"\\\\\",");
}

static void test_batches(void **state)
{
	static const char tail[] =
		"\"channel\":\"a\",\"durability\":\"commit\",\"duplicate\":false,"
		"\"subscribers\":0}";
	struct gate *g = *state;
	char want[300];

	snprintf(want, sizeof(want),
		 "{\"ids\":[\"fake.1\",\"fake.2\",\"fake.3\"],\"id\":\"fake.3\",%s", tail);
	expect_receipt(g, "?channel=a&batch=lines", NULL, "x\n\r\ny", want);
	snprintf(want, sizeof(want), "{\"ids\":[\"fake.4\",\"fake.5\"],\"id\":\"fake.5\",%s", tail);
	expect_receipt(g, "?channel=a", "Content-Type: application/x-ndjson\r\n", "{}\n\n[]\n",
		       want);
	snprintf(want, sizeof(want), "{\"ids\":[\"fake.6\"],\"id\":\"fake.6\",%s", tail);
	expect_receipt(g, "?channel=a&batch=array", NULL, " [ {\"a\" : 1} ] ", want);
	expect_receipt(g, "?channel=a&batch=lines&ephemeral=1", NULL, "x\ny\n",
		       "{\"ids\":[null,null],\"id\":null,");
	const struct fake_channel *c = fake_channel_find(g->history, "a");
	assert_int_equal(c->n, 6);
	assert_true(slice_eq_str(message_payload(c->rows[0]), "x"));
	assert_int_equal(message_payload(c->rows[1]).n, 0);
	assert_true(slice_eq_str(message_payload(c->rows[2]), "y"));
	assert_true(slice_eq_str(message_payload(c->rows[5]), "{\"a\" : 1}"));
}

static void test_refusals(void **state)
{
	static const struct {
		const char *query, *headers, *body;
		int status;
		const char *code;
	} cases[] = {
		{"", NULL, "x", 400, "\"no_channel\""},
		{"?channel=", NULL, "x", 400, "\"bad_channel\""},
		{"?channel=a&channel=b", NULL, "x", 400, "\"bad_parameter\""},
		{"?channel=a&ephemeral=maybe", NULL, "x", 400, "\"bad_parameter\""},
		{"?channel=a&batch=words", NULL, "x", 400, "\"bad_parameter\""},
		{"?channel=a&ttl=0", NULL, "x", 400, "\"bad_parameter\""},
		{"?channel=a&ttl=5&ephemeral", NULL, "x", 400, "\"bad_parameter\""},
		{"?channel=a", "Idempotency-Key: \r\n", "x", 400, "\"bad_parameter\""},
		{"?channel=a", "Producer-Id: p\r\n", "x", 400, "\"bad_parameter\""},
		{"?channel=a", "Producer-Seq: 1\r\n", "x", 400, "\"bad_parameter\""},
		{"?channel=a", "Producer-Id: p\r\nProducer-Seq: 0\r\n", "x", 400,
		 "\"bad_parameter\""},
		{"?channel=a", "Producer-Id: p\r\nProducer-Seq: 18446744073709551616\r\n", "x", 400,
		 "\"bad_parameter\""},
		{"?channel=a&expect=x", NULL, "x", 400, "\"bad_parameter\""},
		{"?channel=a&exclude=x", NULL, "x", 400, "\"bad_parameter\""},
		{"?channel=a&batch=messages", NULL, "[]", 400, "\"bad_parameter\""},
		{"?batch=messages", NULL, "[{\"channel\":\"a\"}]", 400, "\"bad_request\""},
		{"?batch=messages", NULL, "[{\"data\":1}]", 400, "\"no_channel\""},
		{"?channel=closed:a", NULL, "x", 403, "\"forbidden\""},
		{"?channel=a", "Content-Type: application/json\r\n", "{", 400, "\"bad_json\""},
		{"?channel=a&batch=lines", NULL, "", 400, "\"bad_request\""},
		{"?channel=a&batch=array", NULL, "[]", 400, "\"bad_request\""},
		{"?channel=a&batch=array", NULL, "{}", 400, "\"bad_json\""},
		{"?channel=a&batch=array", NULL, "[1", 400, "\"bad_json\""},
		{"?channel=a", "Content-Type: application/x-ndjson\r\n", "1\n2\nx\n", 400,
		 "message 3: "},
	};
	struct gate *g = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_refusal(g, cases[i].query, cases[i].headers, cases[i].body, cases[i].status,
			       cases[i].code);
	assert_int_equal(atomic_load(&g->env.counters->v[COUNTER_PUBLISH_REFUSED]),
			 ARRAY_LEN(cases));
}

static void test_too_large(void **state)
{
	char body[1100];
	struct gate *g = *state;

	memset(body, 'x', sizeof(body));
	body[1001] = '\0';
	expect_refusal(g, "?channel=a", NULL, body, 413, "\"too_large\"");
	body[1000] = '\0';
	expect_receipt(g, "?channel=a", NULL, body, "{\"id\":\"fake.1\"");
}

/* Empty messages take memory too: a batch of line feeds was a message per byte, without limit. */
static void test_batch_of_nothing_but_line_feeds(void **state)
{
	char body[641];
	struct gate *g = *state;

	memset(body, '\n', sizeof(body) - 1);
	body[640] = '\0';
	expect_refusal(g, "?channel=a&batch=lines", NULL, body, 413, "\"too_large\"");
	body[11] = '\0';
	expect_receipt(g, "?channel=a&batch=lines", NULL, body, "{\"ids\":[\"fake.1\",");
}

static void test_store_fails(void **state)
{
	struct gate *g = *state;

	post(g, "?channel=a", NULL, "x");
	fake_commit(g->history, 1, -ENOSPC);
	gate_settle(g);
	assert_int_equal(gate_status(g, 0), 503);
	gate_expect_part(g, 0, "\"store_unavailable\"");
	gate_expect_part(g, 0, "\r\nRetry-After: 1\r\n");
	g->history->refuse_append = -EAGAIN;
	post(g, "?channel=a", NULL, "x");
	assert_int_equal(gate_status(g, 0), 503);
	gate_expect_part(g, 0, "\"overloaded\"");
	gate_expect_part(g, 0, "\r\nRetry-After: 1\r\n");
	g->history->refuse_append = 0;
	assert_int_equal(atomic_load(&g->env.counters->v[COUNTER_PUBLISH_REFUSED]), 2);
}

static void test_publisher_that_goes_away_has_published(void **state)
{
	struct gate *g = *state;

	post(g, "?channel=a", NULL, "x");
	gate_hang_up(g, 0);
	gate_settle(g);
	assert_int_equal(fake_channel_find(g->history, "a")->n, 1);
}

static void test_receipts_of_a_pipeline_come_in_order(void **state)
{
	struct gate *g = *state;

	gate_say(g, 0,
		 "PUT /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n1"
		 "GET /v1/info HTTP/1.1\r\nHost: h\r\n\r\n"
		 "PUT /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n2");
	gate_expect(g, 0, "");
	gate_settle(g);
	const struct buf *b = &g->clients[0].got;
	const char *one = memmem(b->p, b->n, "fake.1", 6), *two = memmem(b->p, b->n, "fake.2", 6);
	const char *info = memmem(b->p, b->n, "holdfast", 8);
	assert_true(one && info && two && one < info && info < two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_TEST(test_one),
		GATE_TEST(test_batches),
		GATE_TEST(test_refusals),
		GATE_TEST(test_too_large),
		GATE_TEST(test_batch_of_nothing_but_line_feeds),
		GATE_TEST(test_store_fails),
		GATE_TEST(test_publisher_that_goes_away_has_published),
		GATE_TEST(test_receipts_of_a_pipeline_come_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
