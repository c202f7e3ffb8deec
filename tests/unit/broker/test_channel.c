/* SPDX-License-Identifier: MIT */
/* channel: recent messages and their limits, warming, idle channels, purges. */
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

static void start(const struct hub_limits *limits, uint64_t head)
{
	hub_rig_init(&rig, limits, head, 1);
	fake_subscriber_init(&one, rig.hub, KIND_SSE, FORMAT_SSE_JSON);
	fake_subscriber_init(&two, rig.hub, KIND_WEBSOCKET, FORMAT_WS_JSON);
}

static void end(void)
{
	fake_subscriber_fini(&one);
	fake_subscriber_fini(&two);
	hub_rig_fini(&rig);
}

static struct channel *find(const char *name)
{
	return channel_find(rig.hub, slice_str(name));
}

/* The seqs that the channel remembers, as "5 6 7 after 4". */
static const char *recent(const char *name)
{
	struct channel *ch = find(name);
	static char text[512];
	size_t n = 0;

	if (!ch)
		return "none";
	text[0] = '\0';
	for (uint32_t i = 0; i < ch->recent_n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%llu ",
				      (unsigned long long)channel_recent(ch, i)->message->seq);
	snprintf(text + n, sizeof(text) - n, "after %llu%s", (unsigned long long)ch->covers_after,
		 ch->is_whole ? " whole" : "");
	return text;
}

/* --- limits ---------------------------------------------------------------------------------- */

static void test_remembers_the_newest_in_order(void **state)
{
	start(&rig_limits, 0);
	rig_subscribe(&one, "a", NULL);
	assert_string_equal(recent("a"), "after 0 whole");
	for (int i = 0; i < 8; i++)
		rig_publish(&rig, i % 2 ? "b" : "a");
	assert_string_equal(recent("a"), "1 3 5 7 after 0 whole");
	assert_string_equal(recent("b"), "none");
	for (int i = 0; i < 8; i++)
		rig_publish(&rig, "a");
	assert_string_equal(recent("a"), "9 10 11 12 13 14 15 16 after 7");
	end();
}

static void test_search_in_a_ring_that_wraps(void **state)
{
	start(&rig_limits, 0);
	rig_subscribe(&one, "a", NULL);
	for (int i = 0; i < 13; i++) {
		rig_publish(&rig, "a");
		rig_publish(&rig, "x");
	}
	/* 11 13 … 25 */
	struct channel *ch = find("a");
	assert_int_equal(ch->recent_n, 8);
	assert_int_equal(channel_recent_after(ch, 0), 0);
	assert_int_equal(channel_recent_after(ch, 10), 0);
	assert_int_equal(channel_recent_after(ch, 11), 1);
	assert_int_equal(channel_recent_after(ch, 12), 1);
	assert_int_equal(channel_recent_after(ch, 24), 7);
	assert_int_equal(channel_recent_after(ch, 25), 8);
	assert_int_equal(channel_recent_after(ch, UINT64_MAX), 8);
	end();
}

static void test_keeps_no_more_than_the_namespace(void **state)
{
	start(&rig_limits, 0);
	rig_subscribe(&one, "few:a", NULL);
	for (int i = 0; i < 5; i++)
		rig_publish(&rig, "few:a");
	assert_string_equal(recent("few:a"), "3 4 5 after 2");
	end();
}

static void test_takes_new_options(void **state)
{
	start(&rig_limits, 0);
	rig_subscribe(&one, "a", NULL);
	for (int i = 0; i < 5; i++)
		rig_publish(&rig, "a");
	struct namespace_table *t = rig_namespaces();
	t->ns[0].history_count = 2;
	hub_set_namespaces(rig.hub, t);
	namespace_table_unref(t);
	rig_publish(&rig, "a");
	assert_string_equal(recent("a"), "5 6 after 4");
	end();
}

static void test_bytes_are_limited_frames_included(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.recent_bytes = 600;
	start(&limits, 0);
	rig_subscribe(&one, "a", NULL);
	rig_subscribe(&two, "a", NULL);
	for (int i = 0; i < 8; i++)
		rig_publish(&rig, "a");
	struct channel *ch = find("a");
	size_t message = message_size(channel_recent(ch, 0)->message);
	size_t frames =
		2 * (sizeof(struct frame) + channel_recent(ch, 0)->frames[FORMAT_WS_JSON]->n);
	assert_true(ch->recent_n >= 1 && ch->recent_n < 8);
	assert_int_equal(ch->recent_bytes, ch->recent_n * (message + frames));
	assert_true(ch->recent_bytes <= 600 + frames);
	assert_int_equal(rig.hub->recent_bytes, ch->recent_bytes);
	assert_int_equal(rig_count(&rig, COUNTER_RECENT_BYTES), (int64_t)ch->recent_bytes);
	end();
}

/* Found by tests/replay: a crowd that resumes makes frames of everything that is remembered, and
 * nobody publishes. */
static void test_frames_made_for_a_replay_count_too(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.recent_bytes = 1500;
	start(&limits, 0);
	rig_subscribe(&one, "a", NULL);
	fake_subscriber_fini(&one);
	for (int i = 0; i < 8; i++)
		rig_publish(&rig, "a");
	for (int f = 0; f < FORMAT_COUNT; f++) {
		fake_subscriber_init(&one, rig.hub, KIND_SSE, (enum frame_format)f);
		rig_subscribe(&one, "a", "0");
		fake_settle(rig.history);
		assert_string_equal(fake_take(&one), "open 0|a1|a2|a3|a4|a5|a6|a7|a8|live");
		assert_true(find("a")->recent_bytes <= limits.recent_bytes);
		fake_subscriber_fini(&one);
	}
	end();
}

static void test_the_newest_stays_though_it_is_too_large(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.recent_bytes = 1;
	limits.recent_count = 0;
	start(&limits, 0);
	rig_subscribe(&one, "a", NULL);
	rig_publish(&rig, "a");
	rig_publish(&rig, "a");
	assert_string_equal(recent("a"), "2 after 1");
	end();
}

static void test_idle_channels_pay_first_when_the_hub_is_full(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.recent_total_bytes = 900;
	start(&limits, 0);
	rig_subscribe(&two, "old", NULL);
	for (int i = 0; i < 3; i++)
		rig_publish(&rig, "old");
	subscriber_remove(&two.subscriber, SLICE("old"));
	rig_subscribe(&one, "a", NULL);
	while (find("old")) {
		rig_publish(&rig, "a");
		assert_true(rig.history->seq < 20);
	}
	assert_true(find("a")->recent_n >= 2);
	for (int i = 0; i < 10; i++)
		rig_publish(&rig, "a");
	assert_true(rig.hub->recent_bytes <= 900 + 200);
	assert_true(find("a")->recent_n >= 2);
	end();
}

static void test_no_room_at_all_still_delivers(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.recent_total_bytes = 0;
	start(&limits, 0);
	rig_subscribe(&one, "a", NULL);
	rig_subscribe(&two, "a", NULL);
	rig_publish(&rig, "a");
	rig_publish(&rig, "a");
	assert_string_equal(recent("a"), "after 2");
	assert_string_equal(fake_take(&one), "open 0|live|a1|a2");
	assert_string_equal(fake_take(&two), "open 0|live|a1|a2");
	assert_int_equal(rig.hub->recent_bytes, 0);
	end();
}

static void test_old_messages_expire(void **state)
{
	start(&rig_limits, 0);
	rig_subscribe(&one, "brief:a", NULL);
	rig_publish(&rig, "brief:a");
	rig_advance(&rig, 600);
	rig_publish(&rig, "brief:a");
	rig_advance(&rig, 600);
	channel_expire_old(find("brief:a"));
	assert_string_equal(recent("brief:a"), "2 after 1");
	rig_advance(&rig, 600);
	channel_expire_old(find("brief:a"));
	assert_string_equal(recent("brief:a"), "after 2");
	end();
}

/* --- warming --------------------------------------------------------------------------------- */

static void test_a_crowd_costs_one_read(void **state)
{
	struct fake_subscriber crowd[50];

	start(&rig_limits, 0);
	rig_commit(&rig, "a", 6);
	rig_deliver(&rig);
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++) {
		fake_subscriber_init(&crowd[i], rig.hub, KIND_SSE, FORMAT_SSE_JSON);
		rig_subscribe(&crowd[i], "a", i % 2 ? "fake.2" : "fake.3");
	}
	assert_int_equal(rig.history->query_n, 1);
	rig_publish(&rig, "a");
	fake_answer(rig.history, 0, 0);
	rig_deliver(&rig);
	assert_int_equal(rig.history->query_n, 0);
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++) {
		assert_string_equal(fake_take(&crowd[i]), i % 2 ? "open 2|a3|a4|a5|a6|a7|live"
								: "open 3|a4|a5|a6|a7|live");
		fake_subscriber_fini(&crowd[i]);
	}
	assert_string_equal(recent("a"), "1 2 3 4 5 6 7 after 0 whole");
	/* each frame was made once */
	assert_int_equal(rig_count(&rig, COUNTER_ENCODED), 5);
	end();
}

static void test_a_long_history_is_warmed_with_its_newest(void **state)
{
	start(&rig_limits, 0);
	rig_commit(&rig, "a", 20);
	rig_deliver(&rig);
	rig_subscribe(&one, "a", "fake.18");
	fake_settle(rig.history);
	assert_string_equal(recent("a"), "13 14 15 16 17 18 19 20 after 12");
	assert_string_equal(fake_take(&one), "open 18|a19|a20|live");
	end();
}

static void test_a_read_that_does_not_meet_the_ring_is_not_used(void **state)
{
	start(&rig_limits, 0);
	rig_commit(&rig, "a", 3);
	rig_deliver(&rig);
	rig_subscribe(&one, "a", "0");
	assert_int_equal(rig.history->query_n, 1);
	for (int i = 0; i < 10; i++)
		rig_publish(&rig, "a");
	assert_string_equal(recent("a"), "6 7 8 9 10 11 12 13 after 5");
	fake_settle(rig.history);
	assert_string_equal(recent("a"), "6 7 8 9 10 11 12 13 after 5");
	assert_string_equal(fake_take(&one),
			    "open 0|a1|a2|a3|a4|a5|a6|a7|a8|a9|a10|a11|a12|a13|live");
	end();
}

/* Found by tests/replay: what was trimmed behind the read's end made the channel cover less than it
 * held. */
static void test_trimming_while_it_is_warmed(void **state)
{
	start(&rig_limits, 0);
	rig_commit(&rig, "a", 3);
	rig_deliver(&rig);
	rig_subscribe(&one, "a", "fake.1");
	for (int i = 0; i < 4; i++)
		rig_publish(&rig, "a");
	fake_trim(rig.history, "a", 1);
	fake_settle(rig.history);
	assert_string_equal(recent("a"), "4 5 6 7 after 3 whole");
	end();
}

static void test_a_read_cut_by_bytes_is_not_used(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.recent_bytes = 2;
	start(&limits, 0);
	rig_commit(&rig, "a", 6);
	rig_deliver(&rig);
	rig_subscribe(&one, "a", "fake.1");
	fake_settle(rig.history);
	assert_string_equal(recent("a"), "after 6");
	assert_string_equal(fake_take(&one), "open 1|a2|a3|a4|a5|a6|live");
	end();
}

static void test_a_failed_warming_leaves_it_to_the_log(void **state)
{
	start(&rig_limits, 0);
	rig_commit(&rig, "a", 2);
	rig_deliver(&rig);
	rig_subscribe(&one, "a", "0");
	fake_answer(rig.history, 0, -EIO);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "open 0|a1|a2|live");
	assert_string_equal(recent("a"), "after 2");
	end();
}

static void test_no_warming_when_the_readers_are_busy(void **state)
{
	start(&rig_limits, 0);
	rig_commit(&rig, "a", 2);
	rig_deliver(&rig);
	rig.history->query_room = 0;
	rig_subscribe(&one, "a", "0");
	assert_int_equal(find("a")->warmth, CHANNEL_WARM);
	rig.history->query_room = 1;
	rig_advance(&rig, 50);
	assert_int_equal(rig.history->query_n, 0);
	rig_advance(&rig, 100);
	assert_int_equal(rig.history->query_n, 1);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "open 0|a1|a2|live");
	end();
}

/* --- purge ----------------------------------------------------------------------------------- */

static void purge(const char *name)
{
	fake_purge(rig.history, name);
	fake_tell_purged(rig.history, &rig.history->workers[0], name);
}

static void test_a_purge_is_forgotten_by_hubs(void **state)
{
	start(&rig_limits, 0);
	rig_subscribe(&one, "a", NULL);
	rig_publish(&rig, "a");
	rig_publish(&rig, "a");
	purge("a");
	rig_deliver(&rig);
	assert_string_equal(recent("a"), "after 2");
	assert_int_equal(rig.hub->recent_bytes, 0);
	rig_subscribe(&two, "a", "fake.1");
	fake_settle(rig.history);
	assert_string_equal(fake_take(&two), "open 1|gap a fake.1-2 oldest 0 retention|live");
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&two), "a3");
	end();
}

/* Messages that were published between the purge and its news are in the log. */
static void test_what_came_after_a_purge_is_not_lost(void **state)
{
	start(&rig_limits, 0);
	rig_subscribe(&one, "a", NULL);
	rig_publish(&rig, "a");
	fake_purge(rig.history, "a");
	rig_publish(&rig, "a");
	fake_tell_purged(rig.history, &rig.history->workers[0], "a");
	rig_deliver(&rig);
	rig_subscribe(&two, "a", "0");
	fake_settle(rig.history);
	assert_string_equal(fake_take(&two), "open 1|a2|live");
	end();
}

/* A read of before the purge that is answered after it must not bring the messages back. */
static void test_a_purge_while_it_is_warmed(void **state)
{
	start(&rig_limits, 0);
	rig_commit(&rig, "a", 3);
	rig_deliver(&rig);
	rig_subscribe(&one, "a", "fake.1");
	fake_read(rig.history, 0);
	purge("a");
	rig_deliver(&rig);
	fake_settle(rig.history);
	assert_string_equal(recent("a"), "after 3 whole");
	assert_string_equal(fake_take(&one), "open 1|gap a fake.1-3 oldest 0 retention|live");
	end();
}

static void test_forgetting_an_unknown_channel(void **state)
{
	start(&rig_limits, 0);
	hub_forget(rig.hub, SLICE("nobody"));
	assert_null(find("nobody"));
	end();
}

/* --- idle channels --------------------------------------------------------------------------- */

static void test_an_idle_channel_still_remembers_for_a_while(void **state)
{
	start(&rig_limits, 0);
	rig_subscribe(&one, "a", NULL);
	rig_publish(&rig, "a");
	subscriber_remove(&one.subscriber, SLICE("a"));
	rig_publish(&rig, "a");
	assert_string_equal(recent("a"), "1 2 after 0 whole");
	rig_advance(&rig, 29000);
	assert_non_null(find("a"));
	rig_subscribe(&two, "a", "0");
	assert_int_equal(rig.history->query_n, 0);
	assert_string_equal(fake_take(&two), "open 0|a1|a2|live");
	/* in use again: it stays */
	rig_advance(&rig, 60000);
	assert_non_null(find("a"));
	subscriber_remove(&two.subscriber, SLICE("a"));
	rig_advance(&rig, 29000);
	assert_non_null(find("a"));
	rig_advance(&rig, 2000);
	assert_null(find("a"));
	assert_int_equal(rig.hub->recent_bytes, 0);
	assert_int_equal(rig_count(&rig, COUNTER_CHANNELS_ACTIVE), 0);
	end();
}

/* Found by tests/replay: the number was looked at by the timer only. */
static void test_idle_channels_are_bounded_at_once(void **state)
{
	struct hub_limits limits = rig_limits;
	char name[32];

	limits.idle_channels = 3;
	start(&limits, 0);
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "room-%d", i);
		rig_subscribe(&one, name, NULL);
		subscriber_remove(&one.subscriber, slice_str(name));
		assert_true(rig.hub->idle_n <= 3);
	}
	assert_int_equal(HASH_COUNT(rig.hub->channels), 3);
	assert_non_null(find("room-49"));
	assert_null(find("room-46"));
	end();
}

static void test_an_idle_channel_goes_while_it_is_warmed(void **state)
{
	start(&rig_limits, 0);
	rig_commit(&rig, "a", 2);
	rig_deliver(&rig);
	rig_subscribe(&one, "a", "0");
	subscriber_remove(&one.subscriber, SLICE("a"));
	rig_advance(&rig, 31000);
	assert_null(find("a"));
	fake_settle(rig.history);
	assert_null(find("a"));
	end();
}

static void test_giving_back_what_a_crowd_needed(void **state)
{
	struct fake_subscriber crowd[33];

	start(&rig_limits, 0);
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++) {
		fake_subscriber_init(&crowd[i], rig.hub, KIND_SSE, FORMAT_SSE_JSON);
		rig_subscribe(&crowd[i], "a", NULL);
	}
	assert_int_equal(census_total(rig.census, SLICE("a")), 33);
	assert_int_equal(rig_count(&rig, COUNTER_SUBSCRIPTIONS), 33);
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
		fake_subscriber_fini(&crowd[i]);
	assert_null(find("a")->subscriptions);
	assert_int_equal(find("a")->subscription_room, 0);
	assert_int_equal(census_total(rig.census, SLICE("a")), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_remembers_the_newest_in_order),
		cmocka_unit_test(test_search_in_a_ring_that_wraps),
		cmocka_unit_test(test_keeps_no_more_than_the_namespace),
		cmocka_unit_test(test_takes_new_options),
		cmocka_unit_test(test_bytes_are_limited_frames_included),
		cmocka_unit_test(test_frames_made_for_a_replay_count_too),
		cmocka_unit_test(test_the_newest_stays_though_it_is_too_large),
		cmocka_unit_test(test_idle_channels_pay_first_when_the_hub_is_full),
		cmocka_unit_test(test_no_room_at_all_still_delivers),
		cmocka_unit_test(test_old_messages_expire),
		cmocka_unit_test(test_a_crowd_costs_one_read),
		cmocka_unit_test(test_a_long_history_is_warmed_with_its_newest),
		cmocka_unit_test(test_a_read_that_does_not_meet_the_ring_is_not_used),
		cmocka_unit_test(test_trimming_while_it_is_warmed),
		cmocka_unit_test(test_a_read_cut_by_bytes_is_not_used),
		cmocka_unit_test(test_a_failed_warming_leaves_it_to_the_log),
		cmocka_unit_test(test_no_warming_when_the_readers_are_busy),
		cmocka_unit_test(test_a_purge_is_forgotten_by_hubs),
		cmocka_unit_test(test_what_came_after_a_purge_is_not_lost),
		cmocka_unit_test(test_a_purge_while_it_is_warmed),
		cmocka_unit_test(test_forgetting_an_unknown_channel),
		cmocka_unit_test(test_an_idle_channel_still_remembers_for_a_while),
		cmocka_unit_test(test_idle_channels_are_bounded_at_once),
		cmocka_unit_test(test_an_idle_channel_goes_while_it_is_warmed),
		cmocka_unit_test(test_giving_back_what_a_crowd_needed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
