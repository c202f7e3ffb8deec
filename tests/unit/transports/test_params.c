/* SPDX-License-Identifier: MIT */
/* params: what queries and headers ask for, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "transports/params.h"

static const struct gateway_config cfg = {.channels_per_subscription = 3, .last_limit = 100};

/* A request with params "name=value&…" (not encoded) and at most one header. */
struct fixture {
	struct http_request r;
	struct http_header params[16], header;
};

static struct http_request *ask(struct fixture *f, const char *query, const char *name,
				const char *value)
{
	*f = (struct fixture){.r = {.params = f->params, .headers = &f->header}};
	while (*query) {
		size_t n = strcspn(query, "&"), eq = strcspn(query, "=&");
		struct slice v = slice_make(query + eq, n - eq);

		f->params[f->r.param_n++] =
			(struct http_header){slice_make(query, eq), slice_skip(v, v.n > 0)};
		query += n + (query[n] == '&');
	}
	if (name) {
		f->header = (struct http_header){slice_str(name), slice_str(value)};
		f->r.header_n = 1;
	}
	return &f->r;
}

static struct subscribe_params good(const char *query, const char *name, const char *value,
				    bool use_last_event_id)
{
	struct subscribe_params p;
	struct fixture f;
	struct fault fault;

	if (subscribe_params_parse(ask(&f, query, name, value), &cfg, use_last_event_id, &p,
				   &fault))
		fail_msg("%s: %s", query, fault.message);
	return p;
}

static void bad(const char *query, enum fault_id id)
{
	struct subscribe_params p;
	struct fixture f;
	struct fault fault;

	int rc = subscribe_params_parse(ask(&f, query, NULL, NULL), &cfg, true, &p, &fault);
	if (rc == 0)
		fail_msg("%s is not refused", query);
	assert_int_equal(fault.id, id);
	assert_true(fault.message[0]);
	assert_null(p.channels);
	subscribe_params_fini(&p); /* harmless */
}

static void expect_start(struct subscribe_params p, enum start_kind kind, const char *since)
{
	assert_int_equal(p.start.kind, kind);
	if (since)
		assert_true(slice_eq_str(p.start.since, since));
	subscribe_params_fini(&p);
}

static void test_channels(void **state)
{
	struct subscribe_params p = good("channel=a&x=y&channel=b:c&Channel=d", NULL, NULL, true);

	assert_int_equal(p.channel_n, 2);
	assert_true(slice_eq_str(p.channels[0], "a"));
	assert_true(slice_eq_str(p.channels[1], "b:c"));
	assert_false(p.is_raw || p.is_ephemeral || p.has_since);
	subscribe_params_fini(&p);
	p = good("", NULL, NULL, true);
	assert_int_equal(p.channel_n, 0);
	subscribe_params_fini(&p);
}

static void test_repeated_channels_count_once(void **state)
{
	struct subscribe_params p =
		good("channel=a&channel=b&channel=a&channel=c&channel=b", NULL, NULL, true);

	assert_int_equal(p.channel_n, 3);
	subscribe_params_fini(&p);
	bad("channel=a&channel=b&channel=c&channel=a&channel=d", FAULT_TOO_MANY_CHANNELS);
}

static void test_start(void **state)
{
	expect_start(good("channel=a", NULL, NULL, true), START_NOW, NULL);
	expect_start(good("since=0", NULL, NULL, true), START_ALL, NULL);
	expect_start(good("since=e.5", NULL, NULL, true), START_AFTER, "e.5");
	expect_start(good("since=00", NULL, NULL, true), START_AFTER, "00");
	expect_start(good("since=", NULL, NULL, true), START_NOW, NULL);
	expect_start(good("since", NULL, NULL, true), START_NOW, NULL);
	expect_start(good("since=e.5&since=e.6", NULL, NULL, true), START_AFTER, "e.5");
	expect_start(good("since=e.5&last=3", NULL, NULL, true), START_AFTER, "e.5");
	struct subscribe_params p = good("since=&last=3", NULL, NULL, true);
	assert_int_equal(p.start.last, 3);
	assert_false(p.has_since);
	expect_start(p, START_LAST, NULL);
	p = good("last=0", NULL, NULL, true);
	assert_int_equal(p.start.last, 0);
	expect_start(p, START_LAST, NULL);
}

static void test_last_event_id_wins_where_it_counts(void **state)
{
	struct subscribe_params p = good("since=e.5&last=1", "last-event-id", "e.9", true);

	assert_true(p.has_since);
	expect_start(p, START_AFTER, "e.9");
	expect_start(good("since=e.5", "Last-Event-ID", "0", true), START_ALL, NULL);
	expect_start(good("since=e.5", "Last-Event-ID", "", true), START_AFTER, "e.5");
	expect_start(good("since=e.5", "Last-Event-ID", "e.9", false), START_AFTER, "e.5");
	expect_start(good("", "Last-Event-ID", "e.9", false), START_NOW, NULL);
}

static void test_etag_is_the_cursor_of_last_resort(void **state)
{
	struct subscribe_params p = good("", "If-None-Match", "\"e.5\"", false);

	assert_false(p.has_since);
	expect_start(p, START_AFTER, "e.5");
	expect_start(good("", "If-None-Match", "W/\"e.5\"", false), START_AFTER, "e.5");
	expect_start(good("", "If-None-Match", "\"e.5\", \"e.6\"", false), START_AFTER, "e.5");
	expect_start(good("since=e.1", "If-None-Match", "\"e.5\"", false), START_AFTER, "e.1");
	expect_start(good("last=2", "If-None-Match", "\"e.5\"", false), START_LAST, NULL);
	expect_start(good("", "If-None-Match", "\"e.5\"", true), START_NOW, NULL);
	static const char *const none[] = {"*", "", "\"", "\"\"", "e.5", "\"e.5", "W/", "W/\""};
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		expect_start(good("", "If-None-Match", none[i], false), START_NOW, NULL);
}

static void test_bad_values(void **state)
{
	static const char *const queries[] = {
		"last=",           "last",
		"last=x",          "last=-1",
		"last=+1",         "last= 1",
		"last=1.0",        "last=0x1",
		"last=101",        "last=18446744073709551616",
		"format=",         "format=RAW",
		"format=html",     "ephemeral=2",
		"ephemeral=maybe", "last=1\n",
		"last=5e0",        "last=1,2",
		"since=0&last=x",  "channel=a&last=999999999999",
	};

	for (size_t i = 0; i < ARRAY_LEN(queries); i++)
		bad(queries[i], FAULT_BAD_PARAMETER);
}

static void test_flags(void **state)
{
	static const char *const yes[] = {"ephemeral=1",  "ephemeral=true", "ephemeral=YES",
					  "ephemeral=On", "ephemeral",      "ephemeral="};
	static const char *const no[] = {"ephemeral=0",   "ephemeral=False", "ephemeral=no",
					 "ephemeral=off", "Ephemeral=1",     ""};
	struct subscribe_params p;

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		p = good(yes[i], NULL, NULL, true);
		assert_true(p.is_ephemeral);
		subscribe_params_fini(&p);
	}
	for (size_t i = 0; i < ARRAY_LEN(no); i++) {
		p = good(no[i], NULL, NULL, true);
		assert_false(p.is_ephemeral);
		subscribe_params_fini(&p);
	}
	p = good("format=raw", NULL, NULL, true);
	assert_true(p.is_raw);
	subscribe_params_fini(&p);
	p = good("format=json", NULL, NULL, true);
	assert_false(p.is_raw);
	subscribe_params_fini(&p);
}

static void test_u64(void **state)
{
	static const struct {
		const char *query;
		uint64_t max, value;
		int is_good;
	} cases[] = {
		{"n=0", 0, 0, 1},
		{"n=1", 0, 0, 0},
		{"n=007", 7, 7, 1},
		{"n=8", 7, 0, 0},
		{"n=18446744073709551615", UINT64_MAX, UINT64_MAX, 1},
		{"n=18446744073709551616", UINT64_MAX, 0, 0},
		{"n=99999999999999999999999", UINT64_MAX, 0, 0},
		{"n=4294967295", UINT32_MAX, UINT32_MAX, 1},
		{"n=4294967296", UINT32_MAX, 0, 0},
		{"m=5", 9, 77, 1}, /* absent: as it was */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t n = 77;
		struct fixture f;
		struct fault fault;
		int rc = param_u64(ask(&f, cases[i].query, NULL, NULL), "n", cases[i].max, &n,
				   &fault);

		assert_int_equal(rc == 0, cases[i].is_good);
		assert_int_equal(n, cases[i].is_good ? cases[i].value : 77);
	}
}

static void test_seconds(void **state)
{
	static const struct {
		const char *query;
		uint64_t ms;
	} cases[] = {
		{"w=0", 0},        {"w=25", 25000},
		{"w=0.5", 500},    {"w=1.", 1000},
		{"w=0.001", 1},    {"w=0.0019", 1},
		{"w=0.0001", 0},   {"w=00.25", 250},
		{"w=1.999", 1999}, {"w=3600", 3600000},
		{"x=1", 77},       {"w=1.99999999999999999999999999999999999", 1999},
	};
	static const char *const wrong[] = {
		"w=",      "w",    "w=.5",
		"w=-1",    "w=1s", "w=1e3",
		"w=1.5.5", "w= 1", "w=NaN",
		"w=+1",    "w=,5", "w=99999999999999999999999999999999999999999999999999"};
	struct fixture f;
	struct fault fault;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t ms = 77;

		assert_int_equal(
			param_seconds(ask(&f, cases[i].query, NULL, NULL), "w", &ms, &fault), 0);
		assert_int_equal(ms, cases[i].ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		uint64_t ms = 77;

		assert_int_not_equal(param_seconds(ask(&f, wrong[i], NULL, NULL), "w", &ms, &fault),
				     0);
		assert_int_equal(fault.id, FAULT_BAD_PARAMETER);
		assert_int_equal(ms, 77);
		assert_int_not_equal(param_seconds(&f.r, "w", &ms, NULL), 0); /* no fault wanted */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_channels),
		cmocka_unit_test(test_repeated_channels_count_once),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_last_event_id_wins_where_it_counts),
		cmocka_unit_test(test_etag_is_the_cursor_of_last_resort),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_u64),
		cmocka_unit_test(test_seconds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
