/* SPDX-License-Identifier: MIT */
/* subscriber: joining and leaving, what is refused, starts, positions, and leaving in every state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/obj.h"
#include "broker/channel.h"
#include "tests/unit/broker/hub_rig.h"

static struct hub_rig rig;
static struct fake_subscriber one;

static void start(uint64_t head)
{
	hub_rig_init(&rig, &rig_limits, head, 1);
	fake_subscriber_init(&one, rig.hub, KIND_SSE, FORMAT_SSE_JSON);
}

static void end(void)
{
	fake_subscriber_fini(&one);
	hub_rig_fini(&rig);
}

static int add(const char *channel, bool is_admin, struct fault *fault)
{
	const struct start now = {.kind = START_NOW};
	struct slice name = slice_str(channel);

	return subscriber_add(&one.subscriber, &name, 1, &now, is_admin, fault);
}

/* --- refusals -------------------------------------------------------------------------------- */

static void test_bad_channels(void **state)
{
	static const char *const bad[] = {"", " ", "a b", "a\n", "*", "a*", "\xc3\xbc", "\x7f"};
	struct fault fault;
	char name[257];

	start(0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(add(bad[i], false, &fault) < 0);
		assert_int_equal(fault.id, FAULT_BAD_CHANNEL);
	}
	memset(name, 'x', 256);
	name[256] = '\0';
	assert_true(add(name, false, &fault) < 0);
	assert_null(rig.hub->channels);
	assert_int_equal(one.subscriber.state, SUB_NEW);
	name[255] = '\0';
	assert_int_equal(add(name, false, &fault), 0);
	end();
}

static void test_closed_namespaces_are_the_admins(void **state)
{
	struct fault fault;

	start(0);
	assert_true(add("closed:a", false, &fault) < 0);
	assert_int_equal(fault.id, FAULT_FORBIDDEN);
	assert_int_equal(add("closed:a", true, &fault), 0);
	end();
}

static void test_all_or_none(void **state)
{
	start(0);
	assert_true(rig_subscribe(&one, "a b closed:c", NULL) < 0);
	assert_int_equal(one.subscriber.channel_n, 0);
	assert_false(subscriber_has(&one.subscriber, SLICE("a")));
	assert_string_equal(fake_take(&one), "");
	end();
}

static void test_too_many_channels(void **state)
{
	struct fault fault;

	start(0);
	assert_true(rig_subscribe(&one, "1 2 3 4 5 6 7 8 9", NULL) < 0);
	assert_int_equal(rig_subscribe(&one, "1 2 3 4 5 6 7 8", NULL), 0);
	assert_true(add("9", false, &fault) < 0);
	assert_int_equal(fault.id, FAULT_TOO_MANY_CHANNELS);
	/* those that are held already do not count again */
	assert_int_equal(rig_subscribe(&one, "1 2", NULL), 0);
	assert_true(rig_subscribe(&one, "1 9", NULL) < 0);
	subscriber_remove(&one.subscriber, SLICE("8"));
	assert_int_equal(rig_subscribe(&one, "1 9", NULL), 0);
	end();
}

static void test_check_alone(void **state)
{
	const struct slice names[] = {SLICE("a"), SLICE("b")};
	struct fault fault;

	start(0);
	assert_int_equal(subscriber_check(rig.hub, NULL, names, 2, false, &fault), 0);
	assert_int_equal(rig_subscribe(&one, "1 2 3 4 5 6", NULL), 0);
	assert_int_equal(subscriber_check(rig.hub, &one.subscriber, names, 2, false, &fault), 0);
	assert_int_equal(rig_subscribe(&one, "7", NULL), 0);
	assert_true(subscriber_check(rig.hub, &one.subscriber, names, 2, false, &fault) < 0);
	assert_int_equal(fault.id, FAULT_TOO_MANY_CHANNELS);
	end();
}

/* --- joining and leaving --------------------------------------------------------------------- */

static void test_a_name_said_twice_counts_once(void **state)
{
	start(0);
	assert_int_equal(rig_subscribe(&one, "a a", NULL), 0);
	assert_int_equal(one.subscriber.channel_n, 1);
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&one), "open 0|live|a1");
	end();
}

static void test_subscribing_again_changes_nothing(void **state)
{
	start(0);
	rig_subscribe(&one, "a", NULL);
	rig_publish(&rig, "a");
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&one), "open 0|live|a1|a2");
	rig_subscribe(&one, "a", "0");
	rig_subscribe(&one, "a", "rubbish");
	rig_subscribe_last(&one, "a", 2);
	assert_int_equal(one.subscriber.state, SUB_LIVE);
	assert_int_equal(one.rewinds, 0);
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&one), "a3");
	end();
}

static void test_leaving_and_coming_back(void **state)
{
	start(0);
	rig_subscribe(&one, "a b", NULL);
	assert_true(subscriber_remove(&one.subscriber, SLICE("a")));
	assert_false(subscriber_remove(&one.subscriber, SLICE("a")));
	assert_false(subscriber_remove(&one.subscriber, SLICE("nobody")));
	rig_publish(&rig, "a");
	rig_subscribe(&one, "a", NULL);
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&one), "open 0|live|a2");
	end();
}

static void see(void *arg, struct slice channel)
{
	char *text = arg;

	sprintf(text + strlen(text), "%.*s ", SLICE_ARG(channel));
}

static void test_each_channel(void **state)
{
	char text[64] = "";

	start(0);
	rig_subscribe(&one, "b a c", NULL);
	subscriber_remove(&one.subscriber, SLICE("a"));
	subscriber_each_channel(&one.subscriber, see, text);
	assert_string_equal(text, "b c ");
	assert_true(subscriber_has(&one.subscriber, SLICE("b")));
	assert_false(subscriber_has(&one.subscriber, SLICE("a")));
	end();
}

static void test_optional_ops(void **state)
{
	start(0);
	one.ops.opened = NULL;
	one.ops.live = NULL;
	rig_publish(&rig, "a");
	rig_subscribe(&one, "a", NULL);
	rig_subscribe(&one, "b", "0");
	fake_settle(rig.history);
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&one), "a2");
	end();
}

static void test_fini_of_a_zeroed_struct_and_twice(void **state)
{
	struct subscriber zero = {0};

	start(0);
	subscriber_fini(&zero);
	rig_subscribe(&one, "a", NULL);
	subscriber_fini(&one.subscriber);
	subscriber_fini(&one.subscriber);
	end();
}

static void expect_no_trace(void)
{
	assert_int_equal(rig_count(&rig, COUNTER_CATCHING_UP), 0);
	assert_int_equal(rig_count(&rig, COUNTER_SUBSCRIPTIONS), 0);
	assert_int_equal(census_total(rig.census, SLICE("a")), 0);
	fake_settle(rig.history);
	rig_publish(&rig, "a");
	rig_advance(&rig, 500);
}

static void test_going_away_in_every_state(void **state)
{
	/* live; waiting for a warming; for a page; for the reader; for the worker; full; failed */
	for (int kind = 0; kind < 7; kind++) {
		start(0);
		rig_commit(&rig, "a", 20);
		if (kind != 4)
			rig_deliver(&rig);
		if (kind == 3)
			rig.history->query_room = 0;
		one.replay_room = kind == 5 ? 2 : 100;
		rig_subscribe(&one, "a", kind == 0 ? NULL : "fake.3");
		if (kind == 2)
			fake_answer(rig.history, 0, 0);
		if (kind == 6) {
			fake_answer(rig.history, 0, 0);
			rig_deliver(&rig);
			fake_answer(rig.history, 0, -5);
		}
		if (kind != 4)
			rig_deliver(&rig);
		if (kind == 5)
			fake_settle(rig.history);
		assert_int_equal(one.subscriber.state, kind == 0 ? SUB_LIVE : SUB_CATCHING_UP);
		assert_true(one.subscriber.is_full == (kind == 5));
		assert_true(one.has_failed == (kind == 6));
		fake_subscriber_fini(&one);
		expect_no_trace();
		end();
	}
}

/* --- starts and positions -------------------------------------------------------------------- */

static void test_start_points(void **state)
{
	static const struct {
		struct start start;
		struct start_point point;
	} cases[] = {
		{{.kind = START_NOW}, {.from = 42}},
		{{.kind = START_ALL}, {.from_oldest = true}},
		{{.kind = START_LAST, .last = 0}, {.from = 42}},
		{{.kind = START_LAST, .last = 7}, {.last = 7}},
		{{.kind = START_LAST, .last = UINT32_MAX}, {.last = 100}},
		{{.kind = START_AFTER, .since = {"fake.0", 6}}, {.from = 0}},
		{{.kind = START_AFTER, .since = {"fake.42", 7}}, {.from = 42}},
		{{.kind = START_AFTER, .since = {"fake.43", 7}},
		 {.from_oldest = true, .is_bad = true, .reason = GAP_INVALID}},
		{{.kind = START_AFTER, .since = {"past.1", 6}},
		 {.from_oldest = true, .is_bad = true, .reason = GAP_EPOCH}},
		{{.kind = START_AFTER, .since = {"fake.-1", 7}},
		 {.from_oldest = true, .is_bad = true, .reason = GAP_INVALID}},
	};

	start(42);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct start_point p = start_resolve(rig.hub, &cases[i].start);
		const struct start_point *q = &cases[i].point;

		if (p.from != q->from || p.last != q->last || p.from_oldest != q->from_oldest ||
		    p.is_bad != q->is_bad || (p.is_bad && p.reason != q->reason))
			fail_msg("case %zu", i);
	}
	end();
}

static void test_position_of_a_new_and_of_a_live_one(void **state)
{
	start(7);
	assert_int_equal(subscriber_position(&one.subscriber), 7);
	rig_subscribe(&one, "a", NULL);
	rig_publish(&rig, "b");
	/* it moves though no message came */
	assert_int_equal(subscriber_position(&one.subscriber), 8);
	end();
}

static void test_position_is_that_of_the_channel_furthest_behind(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.recent_count = 0;
	hub_rig_init(&rig, &limits, 0, 1);
	fake_subscriber_init(&one, rig.hub, KIND_SSE, FORMAT_SSE_JSON);
	rig_commit(&rig, "a", 9);
	rig_deliver(&rig);
	rig_subscribe(&one, "b", NULL);
	rig_subscribe(&one, "a", "fake.2");
	assert_int_equal(subscriber_position(&one.subscriber), 2);
	fake_answer(rig.history, 0, 0);
	rig_deliver(&rig);
	assert_int_equal(subscriber_position(&one.subscriber), 6);
	fake_settle(rig.history);
	assert_int_equal(subscriber_position(&one.subscriber), 9);
	end();
}

/* A poll that is answered with a gap must not be told of it again by the next one. */
static void test_position_is_beyond_a_gap_that_was_told(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.recent_count = 0;
	hub_rig_init(&rig, &limits, 0, 1);
	fake_subscriber_init(&one, rig.hub, KIND_SHORTPOLL, FORMAT_JSON);
	one.replay_room = 2;
	rig_commit(&rig, "a", 9);
	rig_deliver(&rig);
	fake_trim(rig.history, "a", 3);
	rig_subscribe(&one, "a", "fake.2");
	fake_settle(rig.history);
	assert_true(one.subscriber.is_full);
	assert_int_equal(one.queue.n, 2); /* `open` and the gap */
	assert_int_equal(subscriber_position(&one.subscriber), 6);
	end();
}

static void test_names_of_gaps(void **state)
{
	assert_string_equal(gap_reason_name(GAP_EPOCH), "epoch");
	assert_string_equal(gap_reason_name(GAP_RETENTION), "retention");
	assert_string_equal(gap_reason_name(GAP_INVALID), "invalid");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_channels),
		cmocka_unit_test(test_closed_namespaces_are_the_admins),
		cmocka_unit_test(test_all_or_none),
		cmocka_unit_test(test_too_many_channels),
		cmocka_unit_test(test_check_alone),
		cmocka_unit_test(test_a_name_said_twice_counts_once),
		cmocka_unit_test(test_subscribing_again_changes_nothing),
		cmocka_unit_test(test_leaving_and_coming_back),
		cmocka_unit_test(test_each_channel),
		cmocka_unit_test(test_optional_ops),
		cmocka_unit_test(test_fini_of_a_zeroed_struct_and_twice),
		cmocka_unit_test(test_going_away_in_every_state),
		cmocka_unit_test(test_start_points),
		cmocka_unit_test(test_position_of_a_new_and_of_a_live_one),
		cmocka_unit_test(test_position_is_that_of_the_channel_furthest_behind),
		cmocka_unit_test(test_position_is_beyond_a_gap_that_was_told),
		cmocka_unit_test(test_names_of_gaps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
