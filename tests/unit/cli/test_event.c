/* SPDX-License-Identifier: MIT */
/* event: the server's JSON objects, taken apart and shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "cli/event.h"

static void check_show(const char *json, enum event_style style, const char *want)
{
	struct event e;
	struct buf b;

	buf_init(&b, 0);
	assert_int_equal(event_parse(slice_str(json), &e), 0);
	assert_int_equal(event_show(&e, slice_str(json), style, &b), 0);
	buf_add_char(&b, '\0');
	assert_string_equal(b.p, want);
	buf_fini(&b);
}

#define MESSAGE(rest)                                                                        \
	"{\"type\":\"message\",\"channel\":\"news\",\"id\":\"k.2\",\"prev\":\"k.1\",\"ts\":" \
	"5," rest "}"

static void test_parse(void **state)
{
	struct event e;

	assert_int_equal(event_parse(slice_str(MESSAGE("\"data\":{\"a\": [1]}")), &e), 0);
	assert_true(slice_eq_str(e.type, "message"));
	assert_true(slice_eq_str(e.channel, "\"news\""));
	assert_true(slice_eq_str(e.id, "k.2"));
	assert_true(slice_eq_str(e.prev, "k.1"));
	assert_true(slice_eq_str(e.data, "{\"a\": [1]}"));
	assert_int_equal(event_parse(SLICE("{\"type\":\"message\",\"prev\":null}"), &e), 0);
	assert_int_equal(e.prev.n, 0);
}

static void test_parse_refuses_what_is_not_ours(void **state)
{
	struct event e;

	assert_int_equal(event_parse(SLICE(""), &e), -EINVAL);
	assert_int_equal(event_parse(SLICE("{"), &e), -EINVAL);
	assert_int_equal(event_parse(SLICE("[]"), &e), -EINVAL);
	assert_int_equal(event_parse(SLICE("{}"), &e), -EINVAL);
	assert_int_equal(event_parse(SLICE("{\"type\":null}"), &e), -EINVAL);
	assert_int_equal(event_parse(SLICE("<html>"), &e), -EINVAL);
}

static void test_members_inside_the_payload_are_not_ours(void **state)
{
	struct event e;

	assert_int_equal(event_parse(slice_str(MESSAGE("\"data\":{\"id\":\"x.9\"}")), &e), 0);
	assert_true(slice_eq_str(e.id, "k.2"));
}

static void test_human(void **state)
{
	check_show(MESSAGE("\"data\":{\"a\":1}"), EVENT_HUMAN, "k.2 news {\"a\":1}\n");
	check_show(MESSAGE("\"data\":{\n\t\"a\\n\":1}"), EVENT_HUMAN, "k.2 news {  \"a\\n\":1}\n");
	check_show(MESSAGE("\"data\":\"two\\nlines\""), EVENT_HUMAN, "k.2 news two\\nlines\n");
	check_show(MESSAGE("\"data\":\"\\u001b[2J\""), EVENT_HUMAN, "k.2 news \\x1b[2J\n");
	check_show(MESSAGE("\"data\":[\"\xc2\x9b\x7f\"]"), EVENT_HUMAN,
		   "k.2 news [\"\\u009b\\u007f\"]\n");
	check_show(MESSAGE("\"encoding\":\"base64\",\"data\":\"AAECAw==\""), EVENT_HUMAN,
		   "k.2 news (binary, 4 B)\n");
	check_show(MESSAGE("\"content_type\":\"image/png\",\"encoding\":\"base64\",\"data\":\"\""),
		   EVENT_HUMAN, "k.2 news (binary, 0 B, image/png)\n");
	check_show("{\"type\":\"message\",\"channel\":\"a\\\"b\",\"ts\":5,\"data\":\"x\"}",
		   EVENT_HUMAN, "- a\"b x\n");
}

static void test_raw(void **state)
{
	check_show(MESSAGE("\"data\":{ \"a\" :1\n}"), EVENT_RAW, "{ \"a\" :1\n}\n");
	check_show(MESSAGE("\"data\":\"a\\tb\\u00e9\""), EVENT_RAW, "a\tb\xc3\xa9\n");
	check_show(MESSAGE("\"encoding\":\"base64\",\"data\":\"aGk=\""), EVENT_RAW, "hi\n");
	/* a lone surrogate is valid JSON and no text */
	check_show(MESSAGE("\"data\":\"\\ud800\""), EVENT_RAW, "\"\\ud800\"\n");
}

static void test_json_is_one_line(void **state)
{
	check_show(MESSAGE("\"data\":{\r\n\"a\":\"\\n\"}"), EVENT_JSON,
		   MESSAGE("\"data\":{  \"a\":\"\\n\"}") "\n");
}

static void test_gap(void **state)
{
	struct event e;
	struct buf b;

	buf_init(&b, 0);
	assert_int_equal(
		event_parse(SLICE("{\"type\":\"gap\",\"channel\":\"news\",\"from\":\"k.1\","
				  "\"to\":\"k.3\",\"oldest\":\"k.4\","
				  "\"reason\":\"retention\"}"),
			    &e),
		0);
	event_show_gap(&e, &b);
	buf_add_char(&b, '\0');
	assert_string_equal(b.p,
			    "gap in news: messages after k.1 up to k.3 can not be had any more "
			    "(retention; the oldest kept is k.4)");
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_refuses_what_is_not_ours),
		cmocka_unit_test(test_members_inside_the_payload_are_not_ours),
		cmocka_unit_test(test_human),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_json_is_one_line),
		cmocka_unit_test(test_gap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
