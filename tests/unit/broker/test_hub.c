/* SPDX-License-Identifier: MIT */
/* hub: fan-out, frames made once, ephemeral messages, where the head stands, two workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base/obj.h"
#include "broker/channel.h"
#include "broker/publish.h"
#include "tests/unit/broker/hub_rig.h"

static struct hub_rig rig;
static struct fake_subscriber one, two;

static void start(uint64_t head, size_t workers)
{
	hub_rig_init(&rig, &rig_limits, head, workers);
	fake_subscriber_init(&one, rig.hub, KIND_SSE, FORMAT_SSE_JSON);
	fake_subscriber_init(&two, rig.hubs[workers - 1], KIND_WEBSOCKET, FORMAT_WS_JSON);
}

static void end(void)
{
	fake_subscriber_fini(&one);
	fake_subscriber_fini(&two);
	hub_rig_fini(&rig);
}

static void drop_receipt(struct append *a)
{
	append_free(a);
}

/* Publish through worker 0 and let the disk fail. */
static void fail_to_publish(const char *channel)
{
	const struct slice payload = SLICE("x");
	const struct payload_shape shape = {.kind = MESSAGE_TEXT};
	const struct publish_request request = {
		.channel = slice_str(channel), .n = 1, .payloads = &payload, .shapes = &shape};
	struct fault fault;

	assert_non_null(publish_post(rig.hub, &request, drop_receipt, NULL, &fault));
	fake_commit(rig.history, 1, -EIO);
	rig_deliver(&rig);
}

static void test_each_gets_its_channels(void **state)
{
	start(0, 1);
	rig_subscribe(&one, "a b", NULL);
	rig_subscribe(&two, "b c", NULL);
	rig_publish(&rig, "a");
	rig_publish(&rig, "b");
	rig_publish(&rig, "c");
	rig_publish(&rig, "d");
	assert_string_equal(fake_take(&one), "open 0|live|a1|b2");
	assert_string_equal(fake_take(&two), "open 0|live|b2|c3");
	assert_int_equal(rig.hub->head, 4);
	assert_int_equal(rig_count(&rig, COUNTER_DELIVERED_SSE), 2);
	assert_int_equal(rig_count(&rig, COUNTER_DELIVERED_WEBSOCKET), 2);
	end();
}

static void test_a_frame_is_made_once_per_format(void **state)
{
	struct fake_subscriber many[20];

	start(0, 1);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		fake_subscriber_init(&many[i], rig.hub, KIND_SSE,
				     i % 2 ? FORMAT_SSE_JSON : FORMAT_WS_RAW);
		rig_subscribe(&many[i], "a", NULL);
	}
	rig_publish(&rig, "a");
	assert_int_equal(rig_count(&rig, COUNTER_ENCODED), 2);
	rig_ephemeral(&rig, "a");
	assert_int_equal(rig_count(&rig, COUNTER_ENCODED), 4);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		assert_string_equal(fake_take(&many[i]), "open 0|live|a1|~a");
		fake_subscriber_fini(&many[i]);
	}
	end();
}

static void test_nobody_listens(void **state)
{
	start(0, 1);
	rig_publish(&rig, "a");
	rig_ephemeral(&rig, "a");
	assert_int_equal(rig.hub->head, 1);
	assert_int_equal(rig_count(&rig, COUNTER_ENCODED), 0);
	assert_null(rig.hub->channels);
	end();
}

static void test_leaving_keeps_the_others(void **state)
{
	struct fake_subscriber many[9];

	start(0, 1);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		fake_subscriber_init(&many[i], rig.hub, KIND_SSE, FORMAT_SSE_JSON);
		rig_subscribe(&many[i], "a b", NULL);
		fake_take(&many[i]);
	}
	/* the first, the last, one in between */
	assert_true(subscriber_remove(&many[0].subscriber, SLICE("a")));
	assert_true(subscriber_remove(&many[8].subscriber, SLICE("a")));
	assert_true(subscriber_remove(&many[4].subscriber, SLICE("a")));
	assert_false(subscriber_remove(&many[4].subscriber, SLICE("a")));
	rig_publish(&rig, "a");
	rig_publish(&rig, "b");
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		assert_string_equal(fake_take(&many[i]), i % 4 == 0 ? "b2" : "a1|b2");
		fake_subscriber_fini(&many[i]);
	}
	end();
}

/* --- ephemeral ------------------------------------------------------------------------------- */

static void test_ephemeral_messages_are_never_replayed(void **state)
{
	start(0, 1);
	rig_subscribe(&one, "a", NULL);
	rig_publish(&rig, "a");
	rig_ephemeral(&rig, "a");
	rig_publish(&rig, "a");
	rig_subscribe(&two, "a", "0");
	assert_string_equal(fake_take(&one), "open 0|live|a1|~a|a2");
	assert_string_equal(fake_take(&two), "open 0|a1|a2|live");
	end();
}

static void test_ephemeral_messages_are_skipped_for_the_slow(void **state)
{
	start(0, 1);
	rig_subscribe(&one, "a", NULL);
	fake_take(&one);
	one.live_room = 1;
	rig_ephemeral(&rig, "a");
	rig_ephemeral(&rig, "a");
	/* full, but nothing that is stored was missed: still live */
	assert_int_equal(one.subscriber.state, SUB_LIVE);
	assert_int_equal(rig_count(&rig, COUNTER_EPHEMERAL_SKIPPED), 1);
	rig_publish(&rig, "a");
	assert_int_equal(one.subscriber.state, SUB_CATCHING_UP);
	rig_ephemeral(&rig, "a");
	assert_int_equal(rig_count(&rig, COUNTER_EPHEMERAL_SKIPPED), 2);
	/* the one that was queued went with the queue */
	assert_string_equal(fake_take(&one), "a1|live");
	rig_ephemeral(&rig, "a");
	assert_string_equal(fake_take(&one), "~a");
	end();
}

/* --- the head -------------------------------------------------------------------------------- */

static void test_the_log_may_begin_anywhere(void **state)
{
	start(1000000, 1);
	assert_int_equal(rig.hub->head, 1000000);
	rig_subscribe(&one, "a", NULL);
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&one), "open 1000000|live|a1000001");
	end();
}

static void test_numbers_of_failed_commits_are_skipped(void **state)
{
	start(0, 1);
	rig_subscribe(&one, "a", NULL);
	rig_publish(&rig, "a");
	fail_to_publish("a");
	assert_string_equal(fake_take(&one), "open 0|live|a1");
	assert_int_equal(rig_publish(&rig, "a"), 3);
	assert_string_equal(fake_take(&one), "a3");
	assert_int_equal(one.subscriber.state, SUB_LIVE);
	end();
}

/* Found by tests/replay: the letter of a batch in which nothing succeeded goes to its publisher's
 * worker only. If its head counted, that worker would give out cursors that are beyond the end for
 * everybody. */
static void test_a_failed_batch_moves_no_head(void **state)
{
	char cursor[ID_TEXT_MAX];

	start(0, 2);
	rig_publish(&rig, "a");
	rig_subscribe(&one, "a", "0");
	fake_settle(rig.history);
	fail_to_publish("a");
	fail_to_publish("a");
	id_format(cursor, &rig.hub->epoch, subscriber_position(&one.subscriber));
	rig_subscribe(&two, "a", cursor);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&two), "open 1|live");
	assert_int_equal(rig_count(&rig, COUNTER_GAPS_INVALID), 0);
	end();
}

static void test_an_ephemeral_batch_moves_every_head(void **state)
{
	start(0, 2);
	fail_to_publish("a");
	rig_ephemeral(&rig, "b");
	assert_int_equal(rig.hubs[0]->head, 1);
	assert_int_equal(rig.hubs[1]->head, 1);
	end();
}

/* --- two workers ----------------------------------------------------------------------------- */

static void test_a_cursor_from_a_worker_that_is_ahead(void **state)
{
	start(0, 2);
	rig_commit(&rig, "a", 3);
	while (fake_deliver(&rig.history->workers[0]))
		;
	/* two is on worker 1, which has seen nothing yet */
	rig_subscribe(&two, "a", "fake.2");
	assert_string_equal(fake_take(&two), "");
	assert_true(fake_deliver(&rig.history->workers[1]));
	assert_true(fake_deliver(&rig.history->workers[1]));
	assert_string_equal(fake_take(&two), "");
	assert_true(fake_deliver(&rig.history->workers[1]));
	assert_string_equal(fake_take(&two), "open 2|a3|live");
	end();
}

static void test_now_is_after_everything_announced_anywhere(void **state)
{
	start(0, 2);
	rig_commit(&rig, "a", 1);
	while (fake_deliver(&rig.history->workers[0]))
		;
	rig_subscribe(&two, "a", NULL);
	rig_commit(&rig, "a", 1);
	rig_deliver(&rig);
	assert_string_equal(fake_take(&two), "open 1|live|a2");
	end();
}

static void commit_one(void)
{
	rig.history->after_a_look = NULL;
	rig_commit(&rig, "a", 1);
}

/* The log goes on while somebody comes: whatever "now" is then, nothing up to it follows. */
static void test_now_does_not_stand_still(void **state)
{
	start(0, 1);
	rig.history->after_a_look = commit_one;
	rig_subscribe(&one, "a", NULL);
	rig_deliver(&rig);
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&one), "open 1|live|a2");
	end();
}

static void test_leaving_while_it_waits_for_the_worker(void **state)
{
	start(0, 2);
	rig_commit(&rig, "a", 2);
	rig_subscribe(&two, "a b", "fake.2");
	assert_true(subscriber_remove(&two.subscriber, SLICE("a")));
	fake_subscriber_fini(&two);
	rig_deliver(&rig);
	assert_true(TAILQ_EMPTY(&rig.hubs[1]->ahead));
	end();
}

static void test_new_namespaces_for_all_channels(void **state)
{
	struct fault fault;
	struct namespace_table *t = rig_namespaces();

	start(0, 1);
	rig_subscribe(&one, "a", NULL);
	t->ns[0].subscribe = ACCESS_ADMIN;
	hub_set_namespaces(rig.hub, t);
	namespace_table_unref(t);
	assert_true(rig_subscribe(&one, "b", NULL) < 0);
	assert_int_equal(subscriber_check(rig.hub, NULL, &SLICE("b"), 1, true, &fault), 0);
	/* who is there stays */
	rig_publish(&rig, "a");
	assert_string_equal(fake_take(&one), "open 0|live|a1");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_gets_its_channels),
		cmocka_unit_test(test_a_frame_is_made_once_per_format),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_leaving_keeps_the_others),
		cmocka_unit_test(test_ephemeral_messages_are_never_replayed),
		cmocka_unit_test(test_ephemeral_messages_are_skipped_for_the_slow),
		cmocka_unit_test(test_the_log_may_begin_anywhere),
		cmocka_unit_test(test_numbers_of_failed_commits_are_skipped),
		cmocka_unit_test(test_a_failed_batch_moves_no_head),
		cmocka_unit_test(test_an_ephemeral_batch_moves_every_head),
		cmocka_unit_test(test_a_cursor_from_a_worker_that_is_ahead),
		cmocka_unit_test(test_now_is_after_everything_announced_anywhere),
		cmocka_unit_test(test_now_does_not_stand_still),
		cmocka_unit_test(test_leaving_while_it_waits_for_the_worker),
		cmocka_unit_test(test_new_namespaces_for_all_channels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
