/* SPDX-License-Identifier: MIT */
/* publish: how payloads are shown, what is refused before the log hears of it, receipts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "base/obj.h"
#include "broker/publish.h"
#include "tests/unit/broker/hub_rig.h"

/* --- payload_shape --------------------------------------------------------------------------- */

struct shape_case {
	const char *type; /* NULL: none was given */
	const char *payload;
	enum message_kind kind;
	const char *kept; /* the type that is kept; "": the default of the kind */
};

static const struct shape_case shape_cases[] = {
	/* nobody said what it is */
	{NULL, "{\"a\":1}", MESSAGE_JSON, ""},
	{"", " [1, 2] ", MESSAGE_JSON, ""},
	{"", "\n{}\n", MESSAGE_JSON, ""},
	{NULL, "{\"a\":1", MESSAGE_TEXT, ""},
	{NULL, "{} {}", MESSAGE_TEXT, ""},
	{NULL, "42", MESSAGE_TEXT, ""},
	{NULL, "true", MESSAGE_TEXT, ""},
	{NULL, "\"word\"", MESSAGE_TEXT, ""},
	{NULL, "", MESSAGE_TEXT, ""},
	{NULL, "gr\xc3\xbc\xc3\x9f", MESSAGE_TEXT, ""},
	{NULL, "\xff\xfe", MESSAGE_BINARY, ""},
	{NULL, "[\"\xff\"]", MESSAGE_BINARY, ""},
	{"application/x-www-form-urlencoded", "{}", MESSAGE_JSON, ""},
	{"Application/X-WWW-Form-Urlencoded; charset=x", "a=b", MESSAGE_TEXT, ""},
	{" ; charset=utf-8", "[]", MESSAGE_JSON, ""},
	/* JSON was promised */
	{"application/json", "42", MESSAGE_JSON, ""},
	{"APPLICATION/JSON; charset=utf-8", "null", MESSAGE_JSON, ""},
	{"  application/json ", "\"x\"", MESSAGE_JSON, ""},
	{"application/ld+json", "{}", MESSAGE_JSON, "application/ld+json"},
	{"application/vnd.a+JSON; v=1", "{}", MESSAGE_JSON, "application/vnd.a+JSON; v=1"},
	/* text */
	{"text/plain", "x", MESSAGE_TEXT, ""},
	{"text/plain; charset=utf-8", "{}", MESSAGE_TEXT, ""},
	{"text/html", "<b>", MESSAGE_TEXT, "text/html"},
	{"Text/HTML", "<b>", MESSAGE_TEXT, "Text/HTML"},
	{"TEXT/PLAIN", "x", MESSAGE_TEXT, ""},
	{"text/plain", "\xff", MESSAGE_BINARY, ""},
	{"text/plain; charset=latin1", "\xff", MESSAGE_BINARY, "text/plain; charset=latin1"},
	{"text", "x", MESSAGE_BINARY, "text"},
	/* all else */
	{"application/octet-stream", "{}", MESSAGE_BINARY, ""},
	{"APPLICATION/Octet-Stream", "x", MESSAGE_BINARY, ""},
	{"image/png", "\x89PNG", MESSAGE_BINARY, "image/png"},
	{"application/jsonp", "{}", MESSAGE_BINARY, "application/jsonp"},
	{"application/json-seq", "{}", MESSAGE_BINARY, "application/json-seq"},
	{"+json", "{}", MESSAGE_BINARY, "+json"},
};

static void test_payload_shapes(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(shape_cases); i++) {
		const struct shape_case *c = &shape_cases[i];
		struct slice type = c->type ? slice_str(c->type) : (struct slice){NULL, 0};
		struct payload_shape shape;
		struct fault fault;

		if (payload_shape(type, slice_str(c->payload), &shape, &fault) != 0)
			fail_msg("case %zu is refused: %s", i, fault.message);
		if (shape.kind != c->kind || !slice_eq_str(shape.type, c->kept))
			fail_msg("case %zu: kind %d, type \"%.*s\"", i, shape.kind,
				 SLICE_ARG(shape.type));
	}
}

static void test_an_absent_payload_is_an_empty_one(void **state)
{
	struct payload_shape shape;
	struct fault fault;

	assert_int_equal(
		payload_shape((struct slice){NULL, 0}, (struct slice){NULL, 0}, &shape, &fault), 0);
	assert_int_equal(shape.kind, MESSAGE_TEXT);
}

static void test_promised_json_must_be_json(void **state)
{
	static const char *const bad[] = {"", " ", "{", "{'a':1}", "nul", "[1,]", "\"\xff\""};
	struct payload_shape shape;
	struct fault fault;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(payload_shape(SLICE("application/json"), slice_str(bad[i]), &shape,
					  &fault) < 0);
		assert_int_equal(fault.id, FAULT_BAD_JSON);
		assert_true(payload_shape(SLICE("a/b+json"), slice_str(bad[i]), &shape, NULL) < 0);
	}
}

static void test_bad_content_types(void **state)
{
	char type[257];
	struct payload_shape shape;
	struct fault fault;

	memset(type, 'a', sizeof(type));
	assert_int_equal(payload_shape(slice_make(type, 255), SLICE("x"), &shape, &fault), 0);
	assert_true(payload_shape(slice_make(type, 256), SLICE("x"), &shape, &fault) < 0);
	assert_int_equal(fault.id, FAULT_BAD_PARAMETER);
	assert_true(payload_shape(SLICE("a/b\r\nX: y"), SLICE("x"), &shape, &fault) < 0);
	assert_true(payload_shape(SLICE("a/\xc3\xbc"), SLICE("x"), &shape, &fault) < 0);
	assert_true(payload_shape(SLICE("a/b\0c"), SLICE("x"), &shape, &fault) < 0);
	assert_int_equal(fault.id, FAULT_BAD_PARAMETER);
}

/* --- publish_post ---------------------------------------------------------------------------- */

static struct append *receipt;

static void on_receipt(struct append *a)
{
	assert_null(receipt);
	receipt = a;
}

static struct append *post(struct hub_rig *r, const char *channel, bool is_ephemeral,
			   struct fault *fault)
{
	static const struct slice payload = {"x", 1};
	static const struct payload_shape shape = {.kind = MESSAGE_TEXT};
	const struct publish_request request = {
		.channel = slice_str(channel),
		.is_ephemeral = is_ephemeral,
		.n = 1,
		.payloads = &payload,
		.shapes = &shape,
	};

	return publish_post(r->hub, &request, on_receipt, r, fault);
}

static void test_a_receipt_has_the_number(void **state)
{
	struct hub_rig r;
	struct fault fault;

	hub_rig_init(&r, &rig_limits, 41, 1);
	struct append *a = post(&r, "a", false, &fault);
	assert_non_null(a);
	assert_ptr_equal(a->owner, &r);
	fake_settle(r.history);
	assert_ptr_equal(receipt, a);
	assert_int_equal(receipt->error, 0);
	assert_int_equal(receipt->messages[0]->seq, 42);
	append_free(receipt);
	receipt = NULL;
	hub_rig_fini(&r);
}

static void test_namespaces_decide_durability(void **state)
{
	struct hub_rig r;
	struct fault fault;

	hub_rig_init(&r, &rig_limits, 0, 1);
	assert_int_equal(post(&r, "a", false, &fault)->messages[0]->durability, DURABILITY_COMMIT);
	assert_int_equal(post(&r, "ram:a", false, &fault)->messages[0]->durability,
			 DURABILITY_MEMORY);
	assert_int_equal(post(&r, "ram:a", true, &fault)->messages[0]->durability,
			 DURABILITY_EPHEMERAL);
	hub_rig_fini(&r);
}

static void test_a_batch_stays_together(void **state)
{
	const struct slice payloads[] = {SLICE("1"), SLICE(""), SLICE("{}")};
	const struct payload_shape shapes[] = {
		{.kind = MESSAGE_TEXT}, {.kind = MESSAGE_TEXT}, {MESSAGE_JSON, SLICE("a/b+json")}};
	const struct publish_request request = {
		.channel = SLICE("a"), .n = 3, .payloads = payloads, .shapes = shapes};
	struct fault fault;
	struct hub_rig r;

	hub_rig_init(&r, &rig_limits, 0, 1);
	assert_non_null(publish_post(r.hub, &request, on_receipt, NULL, &fault));
	fake_settle(r.history);
	assert_int_equal(receipt->n, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(receipt->messages[i]->seq, i + 1);
		assert_int_equal(receipt->messages[i]->prev, i);
		assert_true(slice_eq(message_payload(receipt->messages[i]), payloads[i]));
	}
	assert_true(slice_eq_str(message_type(receipt->messages[2]), "a/b+json"));
	append_free(receipt);
	receipt = NULL;
	hub_rig_fini(&r);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *channel;
		int log_says;
		enum fault_id fault;
	} cases[] = {
		{"", 0, FAULT_BAD_CHANNEL},       {"a b", 0, FAULT_BAD_CHANNEL},
		{"a*", 0, FAULT_BAD_CHANNEL},     {"closed:a", 0, FAULT_FORBIDDEN},
		{"a", -EAGAIN, FAULT_OVERLOADED}, {"a", -ENOSPC, FAULT_STORE_UNAVAILABLE},
	};
	struct hub_rig r;
	struct fault fault;

	hub_rig_init(&r, &rig_limits, 0, 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		r.history->refuse_append = cases[i].log_says;
		assert_null(post(&r, cases[i].channel, false, &fault));
		assert_int_equal(fault.id, cases[i].fault);
		assert_true(fault.message[0] != '\0');
		assert_int_equal(rig_count(&r, COUNTER_PUBLISH_REFUSED), i + 1);
	}
	assert_int_equal(fake_waiting(r.history), 0);
	hub_rig_fini(&r);
}

static void test_the_admin_may_publish_where_others_may_not(void **state)
{
	const struct slice payload = SLICE("x");
	const struct payload_shape shape = {.kind = MESSAGE_TEXT};
	struct publish_request request = {.channel = SLICE("closed:a"),
					  .is_admin = true,
					  .n = 1,
					  .payloads = &payload,
					  .shapes = &shape};
	struct hub_rig r;
	struct fault fault;

	hub_rig_init(&r, &rig_limits, 0, 1);
	assert_non_null(publish_post(r.hub, &request, on_receipt, NULL, &fault));
	request.is_admin = false;
	request.is_ephemeral = true;
	assert_null(publish_post(r.hub, &request, on_receipt, NULL, &fault));
	hub_rig_fini(&r);
}

static void test_any_payload_too_large_refuses_all(void **state)
{
	static const char bytes[1001];
	struct slice payloads[] = {SLICE("x"), {bytes, 1000}};
	const struct payload_shape shapes[2] = {{.kind = MESSAGE_BINARY}, {.kind = MESSAGE_BINARY}};
	const struct publish_request request = {
		.channel = SLICE("a"), .n = 2, .payloads = payloads, .shapes = shapes};
	struct hub_rig r;
	struct fault fault;

	hub_rig_init(&r, &rig_limits, 0, 1);
	assert_non_null(publish_post(r.hub, &request, on_receipt, NULL, &fault));
	payloads[1].n = 1001;
	assert_null(publish_post(r.hub, &request, on_receipt, NULL, &fault));
	assert_int_equal(fault.id, FAULT_TOO_LARGE);
	hub_rig_fini(&r);
}

static void test_a_failed_commit_is_told_and_nobody_sees_it(void **state)
{
	struct fake_subscriber f;
	struct hub_rig r;
	struct fault fault;

	hub_rig_init(&r, &rig_limits, 0, 1);
	fake_subscriber_init(&f, r.hub, KIND_SSE, FORMAT_SSE_JSON);
	rig_subscribe(&f, "a", NULL);
	fake_take(&f);
	post(&r, "a", false, &fault);
	fake_commit(r.history, 1, -ENOSPC);
	rig_deliver(&r);
	assert_int_equal(receipt->error, -ENOSPC);
	assert_int_equal(receipt->messages[0]->seq, 0);
	assert_string_equal(fake_take(&f), "");
	append_free(receipt);
	receipt = NULL;
	fake_subscriber_fini(&f);
	hub_rig_fini(&r);
}

static void test_every_error_of_the_store_has_a_fault_and_a_text(void **state)
{
	static const int errors[] = {-ENOSPC, -EIO, -EBUSY, -EUCLEAN, -ENOMEM, -EAGAIN, -EPERM};

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		const struct append a = {.error = errors[i]};

		assert_int_equal(fault_status(publish_fault_of(&a)), 503);
		assert_non_null(strstr(publish_fault_text(&a), "nothing was published"));
	}
	assert_int_equal(publish_fault_of(&(struct append){.error = -ENOMEM}), FAULT_OVERLOADED);
	assert_int_equal(publish_fault_of(&(struct append){.error = -EIO}),
			 FAULT_STORE_UNAVAILABLE);
}

static void test_every_outcome_has_a_fault_and_a_text(void **state)
{
	static const enum fault_id faults[] = {
		[APPEND_STORED] = FAULT_NONE,
		[APPEND_DUPLICATE] = FAULT_NONE,
		[APPEND_PRODUCER_GAP] = FAULT_PRODUCER_GAP,
		[APPEND_CONFLICT] = FAULT_CONFLICT,
	};

	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		const struct append a = {.outcome = (enum append_outcome)i};

		assert_int_equal(publish_fault_of(&a), faults[i]);
		if (faults[i] == FAULT_NONE)
			continue;
		assert_int_equal(fault_status(faults[i]), 409);
		assert_non_null(strstr(publish_fault_text(&a), "nothing was published"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_payload_shapes),
		cmocka_unit_test(test_an_absent_payload_is_an_empty_one),
		cmocka_unit_test(test_promised_json_must_be_json),
		cmocka_unit_test(test_bad_content_types),
		cmocka_unit_test(test_a_receipt_has_the_number),
		cmocka_unit_test(test_namespaces_decide_durability),
		cmocka_unit_test(test_a_batch_stays_together),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_the_admin_may_publish_where_others_may_not),
		cmocka_unit_test(test_any_payload_too_large_refuses_all),
		cmocka_unit_test(test_a_failed_commit_is_told_and_nobody_sees_it),
		cmocka_unit_test(test_every_error_of_the_store_has_a_fault_and_a_text),
		cmocka_unit_test(test_every_outcome_has_a_fault_and_a_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
