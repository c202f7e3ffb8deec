/* SPDX-License-Identifier: MIT */
/* outbox: what leaves together, the short way of ephemeral messages, and the order on both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "base/obj.h"
#include "broker/publish.h"
#include "tests/unit/broker/hub_rig.h"

static struct hub_rig rig;
static struct fake_subscriber client;
static unsigned receipts;

static int set_up(void **state)
{
	hub_rig_init(&rig, &rig_limits, 0, 2);
	rig.history->is_short_way_open = true;
	fake_subscriber_init(&client, rig.hubs[1], KIND_WEBSOCKET, FORMAT_WS_JSON);
	client.live_room = 100;
	assert_int_equal(rig_subscribe(&client, "a", NULL), 0);
	fake_take(&client);
	receipts = 0;
	return 0;
}

static int tear_down(void **state)
{
	fake_subscriber_fini(&client);
	fake_settle(rig.history);
	hub_rig_fini(&rig);
	return 0;
}

static void on_receipt(struct append *a)
{
	assert_int_equal(a->error, 0);
	receipts++;
	append_free(a);
}

/* One letter of the text each: a stored message, or an ephemeral one when it is small. */
static void publish(const char *letters)
{
	const struct slice payload = SLICE("x");
	const struct payload_shape shape = {.kind = MESSAGE_TEXT};
	struct fault fault;

	for (; *letters; letters++) {
		const struct publish_request r = {
			.channel = SLICE("a"),
			.is_ephemeral = *letters == 'e',
			.n = 1,
			.payloads = &payload,
			.shapes = &shape,
		};
		assert_non_null(publish_post(rig.hub, &r, on_receipt, NULL, &fault));
	}
}

/* The stage of the loop's turn in which it was published is over. */
static void end_stage(void)
{
	loop_turn(rig.loops[0], false);
}

static void test_what_is_stored_leaves_when_the_stage_is_over(void **state)
{
	publish("SSS");
	assert_int_equal(rig.history->append_n, 0);
	end_stage();
	assert_int_equal(rig.history->append_n, 3);
	assert_int_equal(receipts, 0);
}

static void test_what_is_ephemeral_passes_the_log(void **state)
{
	publish("ee");
	assert_string_equal(fake_take(&client), "");
	end_stage();
	rig_deliver(&rig);
	assert_string_equal(fake_take(&client), "~a|~a");
	assert_int_equal(receipts, 2);
	assert_int_equal(rig.history->append_n, 0);
}

static void test_order_is_kept_behind_what_is_stored(void **state)
{
	publish("eSe");
	end_stage();
	publish("e");
	end_stage();
	rig_deliver(&rig);
	assert_string_equal(fake_take(&client), "~a");
	fake_settle(rig.history);
	assert_string_equal(fake_take(&client), "a1|~a|~a");
	assert_int_equal(receipts, 4);
	/* nothing is under way any more */
	publish("e");
	end_stage();
	assert_int_equal(rig.history->append_n, 0);
	rig_deliver(&rig);
	assert_string_equal(fake_take(&client), "~a");
}

static void test_workers_far_behind_close_the_short_way(void **state)
{
	publish("e");
	rig.history->is_short_way_open = false;
	publish("e");
	rig.history->is_short_way_open = true;
	publish("e");
	end_stage();
	assert_int_equal(rig.history->append_n, 2);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&client), "~a|~a|~a");
	assert_int_equal(receipts, 3);
}

static void test_a_refused_one_is_not_waited_for(void **state)
{
	const struct slice payload = SLICE("x");
	const struct payload_shape shape = {.kind = MESSAGE_TEXT};
	const struct publish_request r = {
		.channel = SLICE("a"), .n = 1, .payloads = &payload, .shapes = &shape};
	struct fault fault;

	rig.history->refuse_append = -EAGAIN;
	assert_null(publish_post(rig.hub, &r, on_receipt, NULL, &fault));
	publish("e");
	end_stage();
	rig_deliver(&rig);
	assert_string_equal(fake_take(&client), "~a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define WITH_RIG(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
		WITH_RIG(test_what_is_stored_leaves_when_the_stage_is_over),
		WITH_RIG(test_what_is_ephemeral_passes_the_log),
		WITH_RIG(test_order_is_kept_behind_what_is_stored),
		WITH_RIG(test_workers_far_behind_close_the_short_way),
		WITH_RIG(test_a_refused_one_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
