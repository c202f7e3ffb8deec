/* SPDX-License-Identifier: MIT */
/*
 * recovery: history and live joined without hole or repeat, page by page, from memory and from the
 * log; gaps; slow consumers; several channels with one cursor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base/obj.h"
#include "broker/channel.h"
#include "tests/unit/broker/hub_rig.h"

static struct hub_rig rig;
static struct fake_subscriber one, two;
static struct history *history;

static void start_with(const struct hub_limits *limits)
{
	hub_rig_init(&rig, limits, 0, 1);
	history = rig.history;
	fake_subscriber_init(&one, rig.hub, KIND_SSE, FORMAT_SSE_JSON);
	fake_subscriber_init(&two, rig.hub, KIND_WEBSOCKET, FORMAT_WS_JSON);
}

/* Pages of 4 rows, and as good as no memory: everything comes from the log. */
static void start_from_log(void)
{
	struct hub_limits limits = rig_limits;

	limits.recent_count = 0;
	start_with(&limits);
}

static void start(void)
{
	start_with(&rig_limits);
}

static void end(void)
{
	fake_subscriber_fini(&one);
	fake_subscriber_fini(&two);
	hub_rig_fini(&rig);
}

static void commit(const char *channel, size_t n)
{
	rig_commit(&rig, channel, n);
	rig_deliver(&rig);
}

/* Answer the oldest query and deliver. */
static void answer(void)
{
	fake_answer(history, 0, 0);
	rig_deliver(&rig);
}

/* --- pages ----------------------------------------------------------------------------------- */

static void test_pages_until_live(void **state)
{
	start_from_log();
	commit("a", 6);
	commit("b", 6);
	rig_subscribe(&one, "a b", "fake.2");
	assert_int_equal(history->query_n, 1);
	answer();
	assert_string_equal(fake_take(&one), "open 2|a3|a4|a5|a6");
	assert_int_equal(one.subscriber.state, SUB_CATCHING_UP);
	rig_publish(&rig, "a");
	answer();
	assert_string_equal(fake_take(&one), "b7|b8|b9|b10");
	rig_publish(&rig, "b");
	answer();
	assert_string_equal(fake_take(&one), "b11|b12|a13|b14|live");
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&one), "a15");
	assert_int_equal(history->query_n, 0);
	assert_int_equal(rig_count(&rig, COUNTER_CATCHING_UP), 0);
	end();
}

static void test_published_while_the_page_is_read(void **state)
{
	start();
	commit("a", 20);
	rig_subscribe(&one, "a", "fake.9");
	/* warming, then a page for what is older */
	answer();
	assert_int_equal(history->query_n, 1);
	fake_read(history, 0);
	rig_publish(&rig, "a");
	answer();
	assert_string_equal(fake_take(&one),
			    "open 9|a10|a11|a12|a13|a14|a15|a16|a17|a18|a19|a20|a21|live");
	end();
}

static void test_a_crowded_reader_is_asked_again(void **state)
{
	start_from_log();
	commit("a", 2);
	history->query_room = 0;
	rig_subscribe(&one, "a", "0");
	rig_subscribe(&two, "a", "fake.1");
	assert_int_equal(one.subscriber.state, SUB_CATCHING_UP);
	rig_advance(&rig, 200);
	history->query_room = 1;
	rig_advance(&rig, 200);
	assert_int_equal(history->query_n, 1);
	answer();
	rig_advance(&rig, 200);
	answer();
	assert_string_equal(fake_take(&one), "open 0|a1|a2|live");
	assert_string_equal(fake_take(&two), "open 1|a2|live");
	end();
}

static void test_history_can_not_be_read(void **state)
{
	start_from_log();
	commit("a", 2);
	rig_subscribe(&one, "a", "0");
	fake_answer(history, 0, -EIO);
	rig_deliver(&rig);
	assert_string_equal(fake_take(&one), "failed");
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&one), "");
	assert_int_equal(history->query_n, 0);
	end();
	assert_int_equal(counters_sum(COUNTER_CATCHING_UP), 0);
}

static void test_leaving_while_a_page_is_read(void **state)
{
	start_from_log();
	commit("a", 2);
	rig_subscribe(&one, "a", "0");
	fake_subscriber_fini(&one);
	rig_subscribe(&two, "a b", "0");
	subscriber_remove(&two.subscriber, SLICE("a"));
	fake_settle(history);
	assert_string_equal(fake_take(&two), "open 0|live");
	end();
}

static void test_all_channels_left(void **state)
{
	start();
	commit("a", 2);
	rig_subscribe(&one, "a", "0");
	subscriber_remove(&one.subscriber, SLICE("a"));
	assert_string_equal(fake_take(&one), "open 2|live");
	assert_int_equal(subscriber_position(&one.subscriber), 2);
	rig_subscribe(&one, "a", "fake.1");
	fake_settle(history);
	assert_string_equal(fake_take(&one), "a2|live");
	end();
}

/* --- starts ---------------------------------------------------------------------------------- */

static void test_last_of_each_channel(void **state)
{
	start_from_log();
	for (int i = 0; i < 5; i++) {
		commit("a", 1);
		commit("b", 2);
	}
	/* a1 b2 b3 a4 b5 b6 a7 b8 b9 a10 b11 b12 a13 b14 b15 */
	rig_subscribe_last(&one, "a b c", 3);
	fake_settle(history);
	assert_string_equal(fake_take(&one), "open 6|a7|a10|b12|a13|b14|b15|live");
	end();
}

static void test_last_from_memory(void **state)
{
	start();
	rig_subscribe(&two, "a", NULL);
	commit("a", 20);
	rig_subscribe_last(&one, "a", 3);
	assert_string_equal(fake_take(&one), "open 17|a18|a19|a20|live");
	assert_int_equal(history->query_n, 0);
	end();
}

static void test_last_more_than_there_is(void **state)
{
	start();
	commit("a", 2);
	rig_subscribe_last(&one, "a", 50);
	fake_settle(history);
	assert_string_equal(fake_take(&one), "open 0|a1|a2|live");
	rig_subscribe_last(&two, "a b", 50);
	fake_settle(history);
	assert_string_equal(fake_take(&two), "open 0|a1|a2|live");
	end();
}

static void test_last_none_and_last_too_many(void **state)
{
	start();
	commit("a", 150);
	rig_subscribe_last(&one, "a", 0);
	assert_string_equal(fake_take(&one), "open 150|live");
	/* last_max is 100 */
	rig_subscribe_last(&two, "a", 100000);
	fake_settle(history);
	fake_write_all(&two);
	assert_int_equal(two.seen.v[0].seq, 50);
	assert_int_equal(two.seen.n, 102);
	end();
}

static void test_all_of_a_trimmed_channel_needs_no_gap(void **state)
{
	start_from_log();
	commit("a", 5);
	fake_trim(history, "a", 2);
	rig_subscribe(&one, "a b", "0");
	fake_settle(history);
	assert_string_equal(fake_take(&one), "open 0|a4|a5|live");
	rig_subscribe(&two, "a", "0");
	fake_settle(history);
	assert_string_equal(fake_take(&two), "open 3|a4|a5|live");
	end();
}

/* --- gaps ------------------------------------------------------------------------------------ */

static void test_behind_retention(void **state)
{
	start_from_log();
	commit("a", 5);
	commit("b", 1);
	fake_trim(history, "a", 2);
	rig_subscribe(&one, "b a", "fake.1");
	fake_settle(history);
	assert_string_equal(fake_take(&one),
			    "open 1|gap a fake.1-3 oldest 4 retention|a4|a5|b6|live");
	assert_int_equal(rig_count(&rig, COUNTER_GAPS_RETENTION), 1);
	/* nothing is missing after the floor itself */
	rig_subscribe(&two, "a", "fake.3");
	fake_settle(history);
	assert_string_equal(fake_take(&two), "open 3|a4|a5|live");
	end();
}

static void test_retention_overtakes_between_pages(void **state)
{
	start_from_log();
	commit("a", 10);
	rig_subscribe(&one, "a", "0");
	answer();
	fake_trim(history, "a", 2);
	answer();
	assert_string_equal(fake_take(&one),
			    "open 0|a1|a2|a3|a4|gap a fake.4-8 oldest 9 retention|a9|a10|live");
	end();
}

static void test_everything_is_gone(void **state)
{
	start_from_log();
	commit("a", 3);
	fake_trim(history, "a", 0);
	rig_subscribe(&one, "a", "fake.1");
	fake_settle(history);
	assert_string_equal(fake_take(&one), "open 1|gap a fake.1-3 oldest 0 retention|live");
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&one), "a4");
	end();
}

static void test_cursors_that_are_no_good(void **state)
{
	static const struct {
		const char *since, *gap;
	} cases[] = {
		{"other.3", "gap a other.3-0 oldest 1 epoch"},
		{"fake.9", "gap a fake.9-0 oldest 1 invalid"},
		{"fake", "gap a fake-0 oldest 1 invalid"},
		{"fake.01", "gap a fake.01-0 oldest 1 invalid"},
		{"fake.18446744073709551615", "gap a fake.18446744073709551615-0 oldest 1 invalid"},
		{"\xff", "gap a -0 oldest 1 invalid"},
		{"", "gap a -0 oldest 1 invalid"},
	};
	char expected[256];

	start();
	commit("a", 2);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		rig_subscribe(&one, "a", cases[i].since);
		fake_settle(history);
		snprintf(expected, sizeof(expected), "open 0|%s|a1|a2|live", cases[i].gap);
		assert_string_equal(fake_take(&one), expected);
		fake_subscriber_fini(&one);
		fake_subscriber_init(&one, rig.hub, KIND_SSE, FORMAT_SSE_JSON);
	}
	assert_int_equal(rig_count(&rig, COUNTER_GAPS_EPOCH), 1);
	assert_int_equal(rig_count(&rig, COUNTER_GAPS_INVALID), 6);
	end();
}

static void test_a_bad_cursor_is_repeated_only_when_short(void **state)
{
	char since[130], expected[200];

	start();
	memset(since, 'x', sizeof(since));
	for (size_t n = 128; n <= 129; n++) {
		since[n] = '\0';
		rig_subscribe(&one, "a", since);
		snprintf(expected, sizeof(expected), "open 0|gap a %s-0 oldest 0 invalid|live",
			 n == 128 ? since : "");
		assert_string_equal(fake_take(&one), expected);
		since[n] = 'x';
		fake_subscriber_fini(&one);
		fake_subscriber_init(&one, rig.hub, KIND_SSE, FORMAT_SSE_JSON);
	}
	end();
}

static void test_one_gap_per_channel(void **state)
{
	start_from_log();
	commit("a", 2);
	rig_subscribe(&one, "a b", "other.1");
	fake_settle(history);
	assert_string_equal(
		fake_take(&one),
		"open 0|gap a other.1-0 oldest 1 epoch|gap b other.1-0 oldest 0 epoch|a1|a2|live");
	end();
}

/* --- slow consumers -------------------------------------------------------------------------- */

static void test_a_slow_consumer_is_fed_at_its_pace(void **state)
{
	start();
	rig_subscribe(&one, "a", NULL);
	fake_take(&one);
	one.live_room = 3;
	one.replay_room = 2;
	commit("a", 30);
	assert_int_equal(rig_count(&rig, COUNTER_SLOW_LAG), 1);
	assert_int_equal(one.queue.n, 0);
	for (int i = 0; i < 200 && one.subscriber.state != SUB_LIVE; i++) {
		fake_write(&one, 1);
		fake_settle(history);
		assert_true(one.queue.n <= 3);
	}
	fake_write_all(&one);
	assert_int_equal(one.seen.n, 31); /* and `live` */
	for (size_t i = 0; i < 30; i++)
		assert_int_equal(one.seen.v[i].seq, i + 1);
	end();
}

static void test_a_half_sent_message_is_not_sent_again(void **state)
{
	start();
	rig_subscribe(&one, "a", NULL);
	fake_take(&one);
	one.live_room = 2;
	commit("a", 2);
	one.is_half_sent = true;
	commit("a", 1);
	one.is_half_sent = false;
	assert_string_equal(fake_take(&one), "a1|a2|a3|live");
	end();
}

static void test_a_poll_keeps_what_it_has(void **state)
{
	start();
	one.keeps = true;
	one.live_room = 2;
	rig_subscribe(&one, "a", NULL);
	one.queue.n = 0; /* `open` and `live` are no part of an answer */
	commit("a", 5);
	/* the cursor of its answer */
	assert_int_equal(subscriber_position(&one.subscriber), 2);
	assert_int_equal(one.queue.n, 2);
	end();
}

static void test_a_slow_consumer_falls_behind_retention(void **state)
{
	start_from_log();
	rig_subscribe(&one, "a", NULL);
	fake_take(&one);
	one.live_room = 2;
	commit("a", 10);
	fake_trim(history, "a", 3);
	fake_write_all(&one);
	fake_settle(history);
	assert_string_equal(fake_take(&one), "gap a fake.0-7 oldest 8 retention|a8|a9|a10|live");
	end();
}

static void test_slow_on_one_channel_keeps_the_order_of_all(void **state)
{
	start();
	rig_subscribe(&one, "a b", NULL);
	fake_take(&one);
	one.live_room = 1;
	commit("a", 1);
	commit("b", 1);
	commit("a", 1);
	assert_string_equal(fake_take(&one), "a1|b2|a3|live");
	end();
}

/* --- channels added to a live subscriber ----------------------------------------------------- */

static void test_an_older_start_is_replayed_first(void **state)
{
	start();
	commit("b", 3);
	rig_subscribe(&one, "a", NULL);
	commit("a", 2);
	assert_string_equal(fake_take(&one), "open 3|live|a4|a5");
	rig_subscribe(&one, "b", "fake.1");
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&one), "");
	/* where a client resumes from when it is cut now */
	assert_int_equal(subscriber_position(&one.subscriber), 1);
	fake_settle(history);
	assert_string_equal(fake_take(&one), "b2|b3|a6|live");
	end();
}

/* Found by tests/replay: positions were pinned to what was queued; when the queue was dropped
 * later, that was lost. */
static void test_what_is_queued_when_a_channel_is_added_is_not_lost(void **state)
{
	start();
	commit("b", 3);
	rig_subscribe(&one, "a", NULL);
	fake_take(&one);
	commit("a", 2);
	rig_subscribe(&one, "b", "fake.1");
	fake_settle(history);
	one.live_room = 5;
	commit("a", 3);
	commit("b", 1);
	assert_string_equal(fake_take(&one), "live|b2|b3|a4|a5|a6|a7|a8|b9|live");
	end();
}

static void test_a_second_older_start_while_it_catches_up(void **state)
{
	start_from_log();
	commit("c", 3);
	commit("b", 3);
	rig_subscribe(&one, "a", NULL);
	commit("a", 1);
	rig_subscribe(&one, "b", "fake.3");
	rig_subscribe_last(&one, "c", 2);
	rig_publish(&rig, "a");
	fake_settle(history);
	assert_string_equal(fake_take(&one), "open 6|live|c2|c3|b4|b5|b6|a7|a8|live");
	end();
}

static void test_a_new_start_from_now_takes_nothing_back(void **state)
{
	start_from_log();
	commit("a", 3);
	one.replay_room = 2;
	rig_subscribe(&one, "a", "fake.1");
	fake_settle(history);
	unsigned rewinds = one.rewinds;
	rig_subscribe(&one, "b", NULL);
	assert_int_equal(one.rewinds, rewinds);
	rig_publish(&rig, "b");
	for (int i = 0; i < 5; i++) {
		fake_write_all(&one);
		fake_settle(history);
	}
	assert_string_equal(fake_take(&one), "open 1|a2|a3|b4|live");
	end();
}

/* Found by tests/replay: a gap raised the start of the subscription for good; what was dropped from
 * before it, and was trimmed meanwhile, was never told. */
static void test_a_gap_before_a_rewind_is_told_again(void **state)
{
	start_from_log();
	commit("a", 10);
	rig_subscribe(&one, "a", "0");
	answer(); /* a1 … a4 */
	fake_trim(history, "a", 2);
	answer(); /* a gap, a9 a10, live */
	assert_int_equal(one.subscriber.state, SUB_LIVE);
	fake_write(&one, 3);
	assert_string_equal(fake_seen(&one), "open 0|a1|a2");
	one.live_room = 1;
	rig_publish(&rig, "a");
	fake_write_all(&one);
	fake_settle(history);
	assert_string_equal(fake_take(&one), "gap a fake.4-8 oldest 9 retention|live|"
					     "gap a fake.2-8 oldest 9 retention|a9|a10|a11|live");
	end();
}

static void test_leaving_the_channel_that_holds_it_back(void **state)
{
	start_from_log();
	commit("b", 8);
	rig_subscribe(&one, "a", NULL);
	fake_take(&one);
	rig_subscribe(&one, "b", "0");
	answer();
	rig_publish(&rig, "a");
	subscriber_remove(&one.subscriber, SLICE("b"));
	rig_publish(&rig, "b");
	rig_publish(&rig, "a");
	fake_settle(history);
	assert_string_equal(fake_take(&one), "b1|b2|b3|b4|a9|live|a11");
	end();
}

static void test_resuming_from_hello_gives_the_same(void **state)
{
	char cursor[ID_TEXT_MAX];

	start_from_log();
	for (int i = 0; i < 4; i++) {
		commit("a", 1);
		commit("b", 1);
	}
	rig_subscribe_last(&one, "a b", 2);
	fake_settle(history);
	fake_write_all(&one);
	id_format(cursor, &rig.hub->epoch, one.seen.v[0].seq);
	assert_string_equal(fake_take(&one), "open 4|a5|b6|a7|b8|live");
	rig_subscribe(&two, "a b", cursor);
	fake_settle(history);
	assert_string_equal(fake_take(&two), "open 4|a5|b6|a7|b8|live");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages_until_live),
		cmocka_unit_test(test_published_while_the_page_is_read),
		cmocka_unit_test(test_a_crowded_reader_is_asked_again),
		cmocka_unit_test(test_history_can_not_be_read),
		cmocka_unit_test(test_leaving_while_a_page_is_read),
		cmocka_unit_test(test_all_channels_left),
		cmocka_unit_test(test_last_of_each_channel),
		cmocka_unit_test(test_last_from_memory),
		cmocka_unit_test(test_last_more_than_there_is),
		cmocka_unit_test(test_last_none_and_last_too_many),
		cmocka_unit_test(test_all_of_a_trimmed_channel_needs_no_gap),
		cmocka_unit_test(test_behind_retention),
		cmocka_unit_test(test_retention_overtakes_between_pages),
		cmocka_unit_test(test_everything_is_gone),
		cmocka_unit_test(test_cursors_that_are_no_good),
		cmocka_unit_test(test_a_bad_cursor_is_repeated_only_when_short),
		cmocka_unit_test(test_one_gap_per_channel),
		cmocka_unit_test(test_a_slow_consumer_is_fed_at_its_pace),
		cmocka_unit_test(test_a_half_sent_message_is_not_sent_again),
		cmocka_unit_test(test_a_poll_keeps_what_it_has),
		cmocka_unit_test(test_a_slow_consumer_falls_behind_retention),
		cmocka_unit_test(test_slow_on_one_channel_keeps_the_order_of_all),
		cmocka_unit_test(test_an_older_start_is_replayed_first),
		cmocka_unit_test(test_what_is_queued_when_a_channel_is_added_is_not_lost),
		cmocka_unit_test(test_a_second_older_start_while_it_catches_up),
		cmocka_unit_test(test_a_new_start_from_now_takes_nothing_back),
		cmocka_unit_test(test_a_gap_before_a_rewind_is_told_again),
		cmocka_unit_test(test_leaving_the_channel_that_holds_it_back),
		cmocka_unit_test(test_resuming_from_hello_gives_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
