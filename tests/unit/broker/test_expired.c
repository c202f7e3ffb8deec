/* SPDX-License-Identifier: MIT */
/*
 * expired: messages whose ttl is over, told as gaps in the order of the log, live, from memory and
 * from the log; and messages that their own session does not get.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/obj.h"
#include "tests/unit/broker/hub_rig.h"

static struct hub_rig rig;
static struct fake_subscriber one, two;

static int start(void **state)
{
	struct hub_limits limits = rig_limits;
	bool from_log = *state != NULL;

	if (from_log)
		limits.recent_count = 0;
	hub_rig_init(&rig, &limits, 0, 1);
	fake_subscriber_init(&one, rig.hub, KIND_SSE, FORMAT_SSE_JSON);
	fake_subscriber_init(&two, rig.hub, KIND_WEBSOCKET, FORMAT_WS_JSON);
	return 0;
}

static int end(void **state)
{
	fake_subscriber_fini(&one);
	fake_subscriber_fini(&two);
	hub_rig_fini(&rig);
	return 0;
}

static void test_live_subscribers_get_one_gap_for_a_run(void **state)
{
	rig_subscribe(&one, "a", NULL);
	rig_subscribe(&two, "a b", NULL);
	assert_string_equal(fake_take(&one), "open 0|live");
	assert_string_equal(fake_take(&two), "open 0|live");
	rig_post(&rig, "a", 0, 0);
	rig_post(&rig, "a", 100, 0);
	rig_post(&rig, "a", 100, 0);
	rig_post(&rig, "a", 0, 0);
	rig_post(&rig, "b", 100, 0);
	rig_commit_and_wait(&rig, 200);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "a1|gap a fake.1-3 oldest 1 expired|a4|live");
	assert_string_equal(
		fake_take(&two),
		"a1|gap a fake.1-3 oldest 1 expired|a4|gap b fake.0-5 oldest 0 expired|live");
	assert_int_equal(rig_count(&rig, COUNTER_CATCHING_UP), 0);
	assert_int_equal(rig_count(&rig, COUNTER_GAPS_EXPIRED), 3);
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&one), "a6");
}

static void test_in_time_it_is_a_message(void **state)
{
	rig_subscribe(&one, "a", NULL);
	rig_post(&rig, "a", 100, 0);
	rig_commit_and_wait(&rig, 99);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "open 0|live|a1");
}

static void test_replay_tells_runs_in_their_place(void **state)
{
	rig_post(&rig, "a", 0, 0);
	rig_post(&rig, "a", 100, 0);
	rig_post(&rig, "b", 0, 0);
	rig_post(&rig, "a", 100, 0);
	rig_post(&rig, "a", 100, 0);
	rig_post(&rig, "a", 0, 0);
	rig_post(&rig, "b", 100, 0);
	rig_commit_and_wait(&rig, 200);
	fake_settle(rig.history);
	rig_subscribe(&one, "a b", "fake.1");
	fake_settle(rig.history);
	assert_string_equal(
		fake_take(&one),
		"open 1|gap a fake.1-2 oldest 1 expired|b3|gap a fake.2-5 oldest 1 expired"
		"|a6|gap b fake.3-7 oldest 3 expired|live");
	/* who was further than the run began is told of the rest */
	rig_subscribe(&two, "a", "fake.4");
	fake_settle(rig.history);
	assert_string_equal(fake_take(&two), "open 4|gap a fake.4-5 oldest 1 expired|a6|live");
}

static void test_a_run_longer_than_a_page_is_one_gap(void **state)
{
	rig_publish(&rig, "a");
	for (int i = 0; i < 11; i++)
		rig_post(&rig, "a", 100, 0);
	rig_commit_and_wait(&rig, 200);
	rig_publish(&rig, "a");
	rig_subscribe(&one, "a", "fake.1");
	fake_settle(rig.history);
	const char *told = fake_take(&one);
	/* memory does not know what the oldest is */
	assert_string_equal(told, strstr(told, "oldest 0")
					  ? "open 1|gap a fake.1-12 oldest 0 expired|a13|live"
					  : "open 1|gap a fake.1-12 oldest 1 expired|a13|live");
}

static void test_last_counts_what_has_not_expired(void **state)
{
	rig_publish(&rig, "a");
	rig_publish(&rig, "a");
	rig_post(&rig, "a", 100, 0);
	rig_commit_and_wait(&rig, 200);
	fake_settle(rig.history);
	rig_subscribe_last(&one, "a", 1);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "open 1|a2|gap a fake.2-3 oldest 1 expired|live");
}

static void test_a_position_is_given_out_only_with_its_gaps(void **state)
{
	one.replay_room = 2;
	rig_publish(&rig, "a");
	rig_post(&rig, "b", 100, 0);
	rig_commit_and_wait(&rig, 200);
	rig_publish(&rig, "a");
	rig_subscribe(&one, "a b", "fake.0");
	fake_settle(rig.history);
	subscriber_settle(&one.subscriber);
	uint64_t at = subscriber_position(&one.subscriber);
	fake_write(&one, 3);
	const char *told = fake_seen(&one);
	assert_true(at < 2 || strstr(told, "gap b fake.0-2") != NULL);
	fake_write_all(&one);
}

static void test_the_excluded_session_does_not_get_it_live(void **state)
{
	one.subscriber.name = 7;
	two.subscriber.name = 8;
	rig_subscribe(&one, "a", NULL);
	rig_subscribe(&two, "a", NULL);
	fake_take(&one);
	fake_take(&two);
	rig_post(&rig, "a", 0, 7);
	rig_post(&rig, "a", 0, 0);
	rig_commit_and_wait(&rig, 0);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "a2");
	assert_string_equal(fake_take(&two), "a1|a2");
	/* what it asks for again it gets */
	subscriber_remove(&one.subscriber, slice_str("a"));
	rig_subscribe(&one, "a", "fake.0");
	assert_string_equal(fake_take(&one), "a1|a2|live");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, start, end)
/* The same with as good as no memory. */
#define TEST_LOG(fn)                                      \
	{                                                 \
#fn " from the log", fn, start, end, &rig \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_live_subscribers_get_one_gap_for_a_run),
		TEST(test_in_time_it_is_a_message),
		TEST(test_replay_tells_runs_in_their_place),
		TEST_LOG(test_replay_tells_runs_in_their_place),
		TEST(test_a_run_longer_than_a_page_is_one_gap),
		TEST_LOG(test_a_run_longer_than_a_page_is_one_gap),
		TEST(test_last_counts_what_has_not_expired),
		TEST_LOG(test_last_counts_what_has_not_expired),
		TEST(test_a_position_is_given_out_only_with_its_gaps),
		TEST(test_the_excluded_session_does_not_get_it_live),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
