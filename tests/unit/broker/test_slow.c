/* SPDX-License-Identifier: MIT */
/* slow: what becomes of a live subscriber that can not keep up, by the policy of its namespaces.
 * "skip:…" skips, "cut:…" disconnects, all others lag. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/broker/hub_rig.h"

struct fixture {
	struct hub_rig rig;
	struct fake_subscriber f;
};

static unsigned cuts;

static void too_slow(struct subscriber *s)
{
	assert_int_equal(s->state, SUB_CATCHING_UP);
	cuts++;
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	hub_rig_init(&x->rig, &rig_limits, 0, 1);
	strcpy(x->rig.namespaces->ns[1].name, "skip");
	x->rig.namespaces->ns[1].slow = SLOW_SKIP;
	strcpy(x->rig.namespaces->ns[3].name, "cut");
	x->rig.namespaces->ns[3].slow = SLOW_DISCONNECT;
	fake_subscriber_init(&x->f, x->rig.hub, KIND_SSE, FORMAT_SSE_JSON);
	x->f.ops.too_slow = too_slow;
	x->f.live_room = 2;
	cuts = 0;
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	fake_subscriber_fini(&x->f);
	hub_rig_fini(&x->rig);
	free(x);
	return 0;
}

/* Live on these channels, with nothing queued. */
static void go_live(struct fixture *x, const char *channels)
{
	assert_int_equal(rig_subscribe(&x->f, channels, NULL), 0);
	assert_string_equal(fake_take(&x->f), "open 0|live");
}

/* The epoch differs from run to run: take it out. */
static const char *taken(struct fixture *x)
{
	static char text[1024];
	const char *word = x->rig.history->epoch.text, *from = fake_take(&x->f), *at;
	size_t n = 0;

	while ((at = strstr(from, word)) != NULL) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*sE", (int)(at - from), from);
		from = at + strlen(word);
	}
	snprintf(text + n, sizeof(text) - n, "%s", from);
	return text;
}

static void publish(struct fixture *x, const char *channel, unsigned n)
{
	while (n--)
		rig_publish(&x->rig, channel);
}

static void test_lag_loses_nothing(void **state)
{
	struct fixture *x = *state;

	go_live(x, "a");
	publish(x, "a", 5);
	assert_string_equal(taken(x), "a1|a2|a3|a4|a5|live");
	assert_int_equal(rig_count(&x->rig, COUNTER_SLOW_LAG), 1);
	assert_int_equal(cuts, 0);
}

static void test_skip_tells_one_gap_and_is_live(void **state)
{
	struct fixture *x = *state;

	go_live(x, "skip:a");
	publish(x, "skip:a", 1);
	fake_write(&x->f, 1);
	publish(x, "skip:a", 9);
	assert_int_equal(x->f.subscriber.state, SUB_CATCHING_UP);
	/* what was queued and not written is skipped too; one gap, however long it took */
	assert_string_equal(taken(x), "skip:a1|gap skip:a E.1-10 oldest 0 skipped|live");
	publish(x, "skip:a", 1);
	assert_string_equal(taken(x), "skip:a11");
	assert_int_equal(rig_count(&x->rig, COUNTER_SLOW_SKIP), 1);
	assert_int_equal(rig_count(&x->rig, COUNTER_GAPS_SKIPPED), 1);
	assert_int_equal(rig_count(&x->rig, COUNTER_CATCHING_UP), 0);
	assert_int_equal(rig_count(&x->rig, COUNTER_QUERIES), 0);
}

/* A message of which a part is written has to go on; what is skipped begins behind it. */
static void test_skip_begins_behind_what_is_half_written(void **state)
{
	struct fixture *x = *state;

	go_live(x, "skip:a");
	x->f.is_half_sent = true;
	publish(x, "skip:a", 6);
	x->f.is_half_sent = false;
	assert_string_equal(taken(x), "skip:a1|gap skip:a E.1-6 oldest 0 skipped|live");
}

static void test_skip_tells_of_the_channels_concerned_only(void **state)
{
	struct fixture *x = *state;

	go_live(x, "skip:a skip:b skip:c");
	publish(x, "skip:b", 1);
	fake_write(&x->f, 1);
	publish(x, "skip:a", 2);
	publish(x, "skip:c", 2);
	publish(x, "skip:a", 1);
	assert_string_equal(taken(x), "skip:b1|gap skip:a E.1-6 oldest 0 skipped|"
				      "gap skip:c E.1-5 oldest 0 skipped|live");
}

/* Memory may have forgotten what was skipped: the newest is known all the same. */
static void test_skip_needs_no_recent_history(void **state)
{
	struct fixture *x = *state;

	x->rig.hub->limits.recent_total_bytes = 0;
	go_live(x, "skip:a");
	publish(x, "skip:a", 20);
	assert_string_equal(taken(x), "gap skip:a E.0-20 oldest 0 skipped|live");
}

/* It became live with its replay still in the queue. */
static void test_skip_spares_what_was_asked_for(void **state)
{
	struct fixture *x = *state;

	x->rig.namespaces->ns[1].history_count = 0;
	publish(x, "skip:a", 5);
	assert_int_equal(rig_subscribe(&x->f, "skip:a", "0"), 0);
	fake_settle(x->rig.history);
	assert_int_equal(x->f.subscriber.state, SUB_LIVE);
	x->f.replay_room = 4;
	publish(x, "skip:a", 4);
	assert_int_equal(rig_count(&x->rig, COUNTER_SLOW_SKIP), 1);
	assert_string_equal(taken(x), "open 0|live");
	fake_settle(x->rig.history);
	assert_string_equal(taken(x), "skip:a1|skip:a2|skip:a3|skip:a4|skip:a5|skip:a6|skip:a7|"
				      "skip:a8|gap skip:a E.8-9 oldest 0 skipped|live");
}

/* The strictest holds for all of a subscriber's channels. */
static void test_strictest_policy_holds(void **state)
{
	struct fixture *x = *state;

	go_live(x, "a skip:a");
	publish(x, "a", 5);
	assert_string_equal(taken(x), "gap a E.0-5 oldest 0 skipped|live");
	assert_int_equal(rig_subscribe(&x->f, "cut:a", NULL), 0);
	fake_take(&x->f);
	publish(x, "a", 5);
	assert_int_equal(cuts, 1);
	assert_int_equal(rig_count(&x->rig, COUNTER_SLOW_DISCONNECT), 1);
	assert_int_equal(rig_count(&x->rig, COUNTER_SLOW_SKIP), 1);
}

static void test_disconnect_ends_once_and_sends_nothing_more(void **state)
{
	struct fixture *x = *state;

	go_live(x, "cut:a");
	publish(x, "cut:a", 8);
	assert_int_equal(cuts, 1);
	assert_int_equal(x->f.queue.n, 0);
	assert_int_equal(rig_count(&x->rig, COUNTER_SLOW_DISCONNECT), 1);
}

/* A replay that was asked for is fed at the client's pace, whatever the policy. */
static void test_a_replay_is_not_skipped(void **state)
{
	struct fixture *x = *state;

	publish(x, "skip:a", 12);
	publish(x, "cut:a", 1);
	x->f.replay_room = 2;
	assert_int_equal(rig_subscribe(&x->f, "skip:a cut:a", "0"), 0);
	fake_settle(x->rig.history);
	for (unsigned i = 0; i < 20; i++) {
		fake_write_all(&x->f);
		fake_settle(x->rig.history);
	}
	assert_string_equal(taken(x), "open 0|skip:a1|skip:a2|skip:a3|skip:a4|skip:a5|skip:a6|"
				      "skip:a7|skip:a8|skip:a9|skip:a10|skip:a11|skip:a12|cut:a13|"
				      "live");
	assert_int_equal(cuts, 0);
}

/* Whoever subscribes to more while it waits for room is told of the gap first, so that what it asks
 * for is not skipped with the rest. */
static void test_subscribing_while_skipping(void **state)
{
	struct fixture *x = *state;

	publish(x, "b", 3);
	assert_int_equal(rig_subscribe(&x->f, "skip:a", NULL), 0);
	fake_take(&x->f);
	publish(x, "skip:a", 5);
	x->f.live_room = 10;
	assert_int_equal(rig_subscribe(&x->f, "b", "0"), 0);
	fake_settle(x->rig.history);
	fake_write_all(&x->f);
	fake_settle(x->rig.history);
	assert_string_equal(taken(x), "gap skip:a E.3-8 oldest 0 skipped|b1|b2|b3|live");
	publish(x, "skip:a", 1);
	assert_string_equal(taken(x), "skip:a9");
}

/* A poll has no session to end and no stream to skip in: its reply is cut, and the next one goes
 * on. */
static void test_polls_always_lag(void **state)
{
	struct fixture *x = *state;

	x->f.ops.too_slow = NULL;
	go_live(x, "skip:a cut:a");
	publish(x, "skip:a", 3);
	assert_string_equal(taken(x), "skip:a1|skip:a2|skip:a3|live");
	assert_int_equal(rig_count(&x->rig, COUNTER_SLOW_LAG), 1);
}

static void test_a_reload_changes_the_policy(void **state)
{
	struct fixture *x = *state;
	struct namespace_table *t = rig_namespaces();

	go_live(x, "skip:a");
	hub_set_namespaces(x->rig.hub, t);
	namespace_table_unref(t);
	publish(x, "skip:a", 4);
	assert_string_equal(taken(x), "skip:a1|skip:a2|skip:a3|skip:a4|live");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lag_loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_skip_tells_one_gap_and_is_live, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_skip_begins_behind_what_is_half_written, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_skip_tells_of_the_channels_concerned_only,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_skip_needs_no_recent_history, setup, teardown),
		cmocka_unit_test_setup_teardown(test_skip_spares_what_was_asked_for, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_strictest_policy_holds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disconnect_ends_once_and_sends_nothing_more,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_replay_is_not_skipped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_subscribing_while_skipping, setup, teardown),
		cmocka_unit_test_setup_teardown(test_polls_always_lag, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_reload_changes_the_policy, setup, teardown),
	};

	map_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
