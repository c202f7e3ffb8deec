/* SPDX-License-Identifier: MIT */
/*
 * catch_up: many return at once. A turn of the loop replays so much and no more, in the order in
 * which they came; who is live does not wait for them; the readers are not asked for everything at
 * once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/obj.h"
#include "broker/channel.h"
#include "tests/unit/broker/hub_rig.h"

#define MANY 20

static struct hub_rig rig;
static struct fake_subscriber live, many[MANY];

/* Two steps in each turn, and two pages at once. */
static void start(size_t recent_count)
{
	struct hub_limits limits = rig_limits;

	limits.recent_count = recent_count;
	limits.pages = 2;
	limits.replay_turn_bytes = 10000; /* a step counts as 8192 */
	hub_rig_init(&rig, &limits, 0, 1);
	fake_subscriber_init(&live, rig.hub, KIND_WEBSOCKET, FORMAT_WS_JSON);
	for (size_t i = 0; i < MANY; i++)
		fake_subscriber_init(&many[i], rig.hub, KIND_WEBSOCKET, FORMAT_WS_JSON);
	loop_turn(rig.loops[0], false);
}

static void end(void)
{
	fake_subscriber_fini(&live);
	for (size_t i = 0; i < MANY; i++)
		fake_subscriber_fini(&many[i]);
	hub_rig_fini(&rig);
}

static void all_return(const char *channel, const char *since)
{
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(rig_subscribe(&many[i], channel, since), 0);
}

/* How many are; the first ones of all. */
static size_t live_n(void)
{
	size_t n = 0;

	while (n < MANY && many[n].subscriber.state == SUB_LIVE)
		n++;
	for (size_t i = n; i < MANY; i++)
		assert_int_equal(many[i].subscriber.state, SUB_CATCHING_UP);
	return n;
}

/* No time passes between turns, and nothing else happens. */
static void turn(void)
{
	loop_turn(rig.loops[0], false);
}

/* --- the line -------------------------------------------------------------------------------- */

static void test_a_turn_replays_so_much_in_the_order_of_coming(void **state)
{
	start(8);
	rig_subscribe(&live, "a", NULL);
	rig_publish(&rig, "a");
	rig_publish(&rig, "a");
	all_return("a", "fake.0");
	assert_int_equal(live_n(), 2);
	turn(); /* at the end of which the next one is asked for */
	for (size_t n = 2; n <= MANY; n += 2) {
		assert_int_equal(live_n(), n);
		turn();
	}
	for (size_t i = 0; i < MANY; i++)
		assert_string_equal(fake_take(&many[i]), "open 0|a1|a2|live");
	end();
}

static void test_who_is_live_does_not_wait(void **state)
{
	start(8);
	rig_subscribe(&live, "a", NULL);
	rig_publish(&rig, "a");
	all_return("a", "fake.0");
	fake_take(&live);
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&live), "a2");
	assert_int_equal(live_n(), 2);
	while (live_n() < MANY)
		turn();
	assert_string_equal(fake_take(&many[0]), "open 0|a1|live|a2");
	assert_string_equal(fake_take(&many[MANY - 1]), "open 0|a1|a2|live");
	end();
}

static void test_who_comes_later_stands_behind(void **state)
{
	start(8);
	rig_subscribe(&live, "a", NULL);
	rig_publish(&rig, "a");
	all_return("a", "fake.0");
	/* Another millisecond, but there is a line. */
	clock_fake_advance(5000);
	fake_subscriber_fini(&many[0]);
	fake_subscriber_init(&many[0], rig.hub, KIND_WEBSOCKET, FORMAT_WS_JSON);
	rig_subscribe(&many[0], "a", "fake.0");
	while (many[MANY - 1].subscriber.state != SUB_LIVE) {
		assert_int_equal(many[0].subscriber.state, SUB_CATCHING_UP);
		turn();
	}
	turn();
	assert_int_equal(live_n(), MANY);
	end();
}

static void test_leaving_the_line(void **state)
{
	start(8);
	rig_subscribe(&live, "a", NULL);
	rig_publish(&rig, "a");
	all_return("a", "fake.0");
	for (size_t i = 2; i < MANY - 2; i++)
		subscriber_remove(&many[i].subscriber, slice_str("a"));
	for (size_t i = 2; i < MANY - 2; i++)
		subscriber_fini(&many[i].subscriber);
	turn();
	turn();
	assert_string_equal(fake_take(&many[MANY - 1]), "open 0|a1|live");
	end();
}

/* A message that expired on its way takes those who are live to history and back: at once, or they
 * would miss what is ephemeral meanwhile. */
static void test_a_detour_does_not_stand_in_line(void **state)
{
	start(8);
	rig_subscribe(&live, "a", NULL);
	rig_publish(&rig, "a");
	all_return("a", "fake.0");
	fake_take(&live);
	rig_post(&rig, "a", 100, 0);
	fake_commit(rig.history, fake_waiting(rig.history), 0);
	clock_fake_advance(200000);
	rig_deliver(&rig);
	rig_ephemeral(&rig, "a");
	assert_int_equal(live.subscriber.state, SUB_LIVE);
	assert_string_equal(fake_take(&live), "gap a fake.1-2 oldest 1 expired|live|~a");
	end();
}

/* --- pages ----------------------------------------------------------------------------------- */

/* Until all are live: never more under way than that. */
static void answer_all(void)
{
	for (int turns = 0; turns < 10 * MANY && live_n() < MANY; turns++) {
		assert_in_range(rig.history->query_n, 0, 2);
		if (rig.history->query_n > 0)
			fake_answer(rig.history, 0, 0);
		rig_deliver(&rig);
		turn();
	}
	assert_int_equal(live_n(), MANY);
}

static void test_few_pages_are_read_at_once(void **state)
{
	start(0);
	rig_commit(&rig, "a", 6);
	rig_deliver(&rig);
	all_return("a", "fake.0");
	turn();
	assert_int_equal(rig.history->query_n, 2);
	turn();
	assert_int_equal(rig.history->query_n, 2);
	answer_all();
	for (size_t i = 0; i < MANY; i++)
		assert_string_equal(fake_take(&many[i]), "open 0|a1|a2|a3|a4|a5|a6|live");
	end();
}

static void test_channels_that_are_warmed_count(void **state)
{
	start(8);
	for (size_t i = 0; i < MANY; i++) {
		char channel[8] = {'a', (char)('a' + i), 0};

		rig_commit(&rig, channel, 1);
	}
	rig_deliver(&rig);
	for (size_t i = 0; i < MANY; i++) {
		char channel[8] = {'a', (char)('a' + i), 0};

		rig_subscribe(&many[i], channel, "fake.0");
	}
	turn();
	assert_int_equal(rig.history->query_n, 2);
	answer_all();
	assert_string_equal(fake_take(&many[0]), "open 0|aa1|live");
	end();
}

static void test_pages_that_nobody_waits_for_do_not_count(void **state)
{
	start(0);
	rig_commit(&rig, "a", 1);
	rig_deliver(&rig);
	all_return("a", "fake.0");
	turn();
	assert_int_equal(rig.history->query_n, 2);
	subscriber_fini(&many[0].subscriber);
	subscriber_fini(&many[1].subscriber);
	turn();
	turn();
	assert_int_equal(rig.history->query_n, 4);
	fake_settle(rig.history);
	for (int turns = 0; turns < 10 * MANY; turns++) {
		fake_settle(rig.history);
		turn();
	}
	for (size_t i = 2; i < MANY; i++)
		assert_string_equal(fake_take(&many[i]), "open 0|a1|live");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_turn_replays_so_much_in_the_order_of_coming),
		cmocka_unit_test(test_who_is_live_does_not_wait),
		cmocka_unit_test(test_who_comes_later_stands_behind),
		cmocka_unit_test(test_leaving_the_line),
		cmocka_unit_test(test_a_detour_does_not_stand_in_line),
		cmocka_unit_test(test_few_pages_are_read_at_once),
		cmocka_unit_test(test_channels_that_are_warmed_count),
		cmocka_unit_test(test_pages_that_nobody_waits_for_do_not_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
