/* SPDX-License-Identifier: MIT */
/*
 * durable: subscribers with a name: joining at the kept position, the window of what is not
 * acknowledged, sending again, and what the queue of a slow connection does to both.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base/map.h"
#include "base/obj.h"
#include "broker/durable.h"
#include "broker/publish.h"
#include "tests/unit/broker/fake_ack.h"
#include "tests/unit/broker/hub_rig.h"

#define WAIT_MS 1000

static struct hub_rig rig;
static struct fake_subscriber one, two;
static struct durable_ops one_ops, two_ops;
static unsigned joins;
static uint64_t joined_from;
static enum fault_id joined_fault;
static unsigned again_n; /* of the newest frame that was made to be sent again */
static unsigned agains;

static struct frame *encode_again(const struct message *m, const struct epoch *e, unsigned n)
{
	struct frame *f = one_ops.plain->encode(m, e);

	f->is_message = false;
	again_n = n;
	agains++;
	return f;
}

static void make_ops(struct durable_ops *ops, struct fake_subscriber *f)
{
	*ops = (struct durable_ops){.ops = f->ops, .plain = &f->ops, .encode_again = encode_again};
	ops->ops.send = durable_send;
	ops->ops.rewind = durable_rewind;
}

static void start_with(const struct hub_limits *limits)
{
	fake_acks_reset();
	joins = agains = again_n = 0;
	joined_fault = FAULT_NONE;
	hub_rig_init(&rig, limits, 0, 1);
	fake_subscriber_init(&one, rig.hub, KIND_SSE, FORMAT_SSE_JSON);
	fake_subscriber_init(&two, rig.hub, KIND_WEBSOCKET, FORMAT_WS_JSON);
	make_ops(&one_ops, &one);
	make_ops(&two_ops, &two);
}

static void start(void)
{
	start_with(&rig_limits);
}

static void end(void)
{
	fake_subscriber_fini(&one);
	fake_subscriber_fini(&two);
	fake_acks_answer(rig.hub);
	fake_acks_reset();
	hub_rig_fini(&rig);
}

static void on_joined(struct subscriber *s, void *arg, const struct fault *fault, uint64_t from)
{
	assert_ptr_equal(arg, &joins);
	assert_non_null(s);
	joins++;
	joined_from = from;
	joined_fault = fault ? fault->id : FAULT_NONE;
}

static int come_as(struct fake_subscriber *f, const struct durable_want *want, const char *channels,
		   const struct start *from, struct fault *fault)
{
	struct slice names[8];
	size_t n = 0;

	for (; *channels; channels += 1 + (channels[1] == ' '))
		names[n++] = slice_make(channels, 1);
	struct durable_request r = {
		.channels = names,
		.n = n,
		.start = from,
		.want = want,
		.ops = want->start_is_ack ? NULL
		       : f == &one        ? &one_ops
					  : &two_ops,
		.joined = on_joined,
		.arg = &joins,
	};
	return durable_subscribe(&f->subscriber, &r, fault);
}

/* Subscribe as "s", window of 4, and answer. since as in rig_subscribe. */
static void come(struct fake_subscriber *f, const char *channels, const char *since)
{
	struct durable_want want = {SLICE("s"), 4, WAIT_MS, false};
	struct start from = {.kind = since ? START_AFTER : START_NOW, .since = slice_str(since)};
	struct fault fault;

	if (since && strcmp(since, "0") == 0)
		from.kind = START_ALL;
	assert_int_equal(come_as(f, &want, channels, &from, &fault), 0);
	fake_acks_answer(rig.hub);
	fake_settle(rig.history);
}

static void publish(const char *channel, size_t n)
{
	while (n--)
		rig_publish(&rig, channel);
	fake_settle(rig.history);
}

static void wait_out(void)
{
	rig_advance(&rig, WAIT_MS + 100);
	fake_settle(rig.history);
}

/* --- joining --------------------------------------------------------------------------------- */

static void test_first_time_is_now_and_kept(void **state)
{
	start();
	publish("a", 3);
	come(&one, "a", NULL);
	assert_int_equal(joins, 1);
	assert_int_equal(joined_from, 3);
	assert_int_equal(fake_position("s", "a"), 3);
	assert_string_equal(fake_take(&one), "open 3|live");
	publish("a", 1);
	assert_string_equal(fake_take(&one), "a4");
	end();
}

static void test_later_it_resumes_each_channel_in_log_order(void **state)
{
	start();
	fake_ack(rig.hub, "s", "a", 1);
	publish("a", 2);
	publish("b", 2);
	publish("a", 1);
	fake_ack(rig.hub, "s", "b", 3);
	come(&one, "a b", NULL);
	assert_int_equal(joined_from, 1);
	assert_string_equal(fake_take(&one), "open 1|a2|b4|a5|live");
	end();
}

static void test_start_of_the_log_is_kept_before_the_first_message(void **state)
{
	struct durable_want want = {SLICE("s"), 4, 0, false};
	struct start last = {.kind = START_LAST, .last = 2};
	struct fault fault;

	start();
	publish("a", 5);
	assert_int_equal(come_as(&one, &want, "a", &last, &fault), 0);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "");
	assert_int_equal(fake_acks.n, 1);
	/* a queue that drains meanwhile asks nothing twice */
	subscriber_drained(&one.subscriber);
	fake_settle(rig.history);
	assert_int_equal(fake_acks.n, 1);
	fake_acks_answer(rig.hub);
	fake_settle(rig.history);
	assert_int_equal(fake_position("s", "a"), 3);
	assert_string_equal(fake_take(&one), "open 3|a4|a5|live");
	end();
}

static void test_explicit_cursor_wins_and_moves_nothing(void **state)
{
	start();
	publish("a", 4);
	fake_ack(rig.hub, "s", "a", 3);
	come(&one, "a", "fake.1");
	assert_string_equal(fake_take(&one), "open 1|a2|a3|a4|live");
	assert_int_equal(fake_position("s", "a"), 3);
	end();
}

static void test_poll_acknowledges_with_its_cursor(void **state)
{
	struct durable_want want = {SLICE("s"), 4, WAIT_MS, true};
	struct start since = {.kind = START_AFTER, .since = SLICE("fake.2")};
	struct start bad = {.kind = START_AFTER, .since = SLICE("other.2")};
	struct fault fault;

	start();
	publish("a", 3);
	assert_int_equal(come_as(&one, &want, "a", &since, &fault), 0);
	fake_acks_answer(rig.hub);
	fake_settle(rig.history);
	assert_int_equal(fake_position("s", "a"), 2);
	assert_string_equal(fake_take(&one), "open 2|a3|live");
	assert_int_equal(come_as(&two, &want, "a", &bad, &fault), 0);
	fake_settle(rig.history);
	fake_acks_answer(rig.hub);
	assert_int_equal(fake_position("s", "a"), 2);
	end();
}

static void test_refusals(void **state)
{
	struct durable_want want = {SLICE("s"), 4, 0, false};
	struct durable_want other = {SLICE("t"), 4, 0, false};
	struct durable_want wrong = {SLICE("no name"), 4, 0, false};
	struct start now = {.kind = START_NOW};
	struct fault fault;

	start();
	assert_int_not_equal(come_as(&one, &wrong, "a", &now, &fault), 0);
	assert_int_equal(fault.id, FAULT_BAD_PARAMETER);
	fake_acks.refuse = -EAGAIN;
	assert_int_not_equal(come_as(&one, &want, "a", &now, &fault), 0);
	assert_int_equal(fault.id, FAULT_OVERLOADED);
	fake_acks.refuse = 0;
	assert_int_not_equal(come_as(&one, &other, "a", &now, &fault), 0);
	assert_int_equal(fault.id, FAULT_BAD_PARAMETER);
	fake_acks.error = -ENOSPC;
	assert_int_equal(come_as(&one, &want, "a", &now, &fault), 0);
	fake_acks_answer(rig.hub);
	assert_int_equal(joins, 1);
	assert_int_equal(joined_fault, FAULT_STORE_UNAVAILABLE);
	assert_false(subscriber_has(&one.subscriber, SLICE("a")));
	end();
}

static void test_gone_while_it_joins(void **state)
{
	struct durable_want want = {SLICE("s"), 4, 0, false};
	struct start now = {.kind = START_NOW};
	struct fault fault;

	start();
	assert_int_equal(come_as(&one, &want, "a", &now, &fault), 0);
	fake_subscriber_fini(&one);
	fake_acks_answer(rig.hub);
	assert_int_equal(joins, 0);
	fake_subscriber_init(&one, rig.hub, KIND_SSE, FORMAT_SSE_JSON);
	end();
}

/* --- the window ------------------------------------------------------------------------------ */

static void test_window_waits_for_acknowledgements(void **state)
{
	start();
	come(&one, "a", NULL);
	publish("a", 7);
	assert_string_equal(fake_take(&one), "open 0|live|a1|a2|a3|a4");
	assert_int_equal(one.subscriber.state, SUB_CATCHING_UP);
	fake_ack(rig.hub, "s", "b", 7);
	fake_ack(rig.hub, "t", "a", 7);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "");
	fake_ack(rig.hub, "s", "a", 2);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "a5|a6");
	fake_ack(rig.hub, "s", "a", 6);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "a7|live");
	assert_int_equal(one.subscriber.state, SUB_LIVE);
	end();
}

static void test_window_keeps_what_is_queued(void **state)
{
	start();
	come(&one, "a", NULL);
	publish("a", 7);
	/* nothing was written yet: the window did not drop it */
	assert_int_equal(one.rewinds, 0);
	assert_string_equal(fake_take(&one), "open 0|live|a1|a2|a3|a4");
	end();
}

static void test_acknowledged_ahead_is_not_counted(void **state)
{
	start();
	publish("a", 9);
	fake_ack(rig.hub, "s", "a", 8);
	come(&one, "a", "fake.1");
	assert_string_equal(fake_take(&one), "open 1|a2|a3|a4|a5|a6|a7|a8|a9|live");
	end();
}

/* --- sending again --------------------------------------------------------------------------- */

static void test_sent_again_until_acknowledged(void **state)
{
	start();
	come(&one, "a", NULL);
	publish("a", 3);
	assert_string_equal(fake_take(&one), "open 0|live|a1|a2|a3");
	wait_out();
	assert_string_equal(fake_take(&one), "a1|a2|a3|live");
	assert_int_equal(again_n, 1);
	fake_ack(rig.hub, "s", "a", 2);
	wait_out();
	assert_string_equal(fake_take(&one), "a3|live");
	assert_int_equal(again_n, 2);
	fake_ack(rig.hub, "s", "a", 3);
	wait_out();
	assert_string_equal(fake_take(&one), "");
	assert_int_equal(agains, 4);
	assert_int_equal(rig_count(&rig, COUNTER_REDELIVERED), 4);
	end();
}

static void test_others_are_not_sent_again(void **state)
{
	start();
	come(&one, "a", NULL);
	rig_subscribe(&one, "b", NULL);
	publish("a", 1);
	publish("b", 1);
	publish("a", 1);
	assert_string_equal(fake_take(&one), "open 0|live|a1|b2|a3");
	wait_out();
	assert_string_equal(fake_take(&one), "a1|a3|live");
	end();
}

static void test_what_is_not_due_is_not_sent_again(void **state)
{
	start();
	come(&one, "a", NULL);
	publish("a", 1);
	rig_advance(&rig, WAIT_MS / 2);
	publish("a", 1);
	assert_string_equal(fake_take(&one), "open 0|live|a1|a2");
	rig_advance(&rig, WAIT_MS / 2 + 100);
	assert_string_equal(fake_take(&one), "a1|live");
	end();
}

static void test_sent_again_beyond_a_full_window(void **state)
{
	start();
	come(&one, "a", NULL);
	publish("a", 6);
	assert_string_equal(fake_take(&one), "open 0|live|a1|a2|a3|a4");
	wait_out();
	assert_string_equal(fake_take(&one), "a1|a2|a3|a4");
	fake_ack(rig.hub, "s", "a", 4);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "a5|a6|live");
	end();
}

static void test_retention_ends_it_with_a_gap(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.recent_count = 0;
	start_with(&limits);
	come(&one, "a", NULL);
	publish("a", 4);
	assert_string_equal(fake_take(&one), "open 0|live|a1|a2|a3|a4");
	fake_trim(rig.history, "a", 1);
	wait_out();
	assert_string_equal(fake_take(&one), "gap a fake.0-3 oldest 4 retention|a4|live");
	/* the gap is told once; what is left goes on */
	wait_out();
	assert_string_equal(fake_take(&one), "a4|live");
	end();
}

static void test_dropped_from_the_queue_was_never_sent(void **state)
{
	struct durable_want want = {SLICE("s"), 100, WAIT_MS, false};
	struct start now = {.kind = START_NOW};
	struct fault fault;

	start();
	one.live_room = 3;
	assert_int_equal(come_as(&one, &want, "a", &now, &fault), 0);
	fake_acks_answer(rig.hub);
	fake_take(&one);
	publish("a", 6);
	assert_true(one.rewinds > 0);
	/* all of them come, once, and unmarked */
	assert_string_equal(fake_take(&one), "a1|a2|a3|a4|a5|a6|live");
	assert_int_equal(agains, 0);
	wait_out();
	assert_string_equal(fake_take(&one), "a1|a2|a3|a4|a5|a6|live");
	assert_int_equal(agains, 6);
	end();
}

/* Post a message that expires after ttl_ms (0: never), and is not for this session; nobody hears of
 * it yet. */
static void post(const char *channel, uint64_t ttl_ms, uint64_t except)
{
	struct slice payload = SLICE("x");
	struct payload_shape shape = {.kind = MESSAGE_TEXT};
	struct publish_request r = {.channel = slice_str(channel),
				    .n = 1,
				    .payloads = &payload,
				    .shapes = &shape,
				    .has_ttl = ttl_ms != 0,
				    .ttl_ms = ttl_ms,
				    .except = except};
	struct fault fault;

	assert_non_null(publish_post(rig.hub, &r, append_free, NULL, &fault));
	fake_commit(rig.history, 1, 0);
}

static void test_an_expired_gap_ends_only_what_it_names(void **state)
{
	start();
	come(&one, "a", NULL);
	publish("a", 1);
	post("a", 10, 0);
	rig_advance(&rig, 20);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "open 0|live|a1|gap a fake.1-2 oldest 1 expired|live");
	wait_out();
	assert_string_equal(fake_take(&one), "a1|gap a fake.1-2 oldest 1 expired|live");
	end();
}

static void test_what_is_not_for_it_is_not_sent_again(void **state)
{
	start();
	one.subscriber.name = 7;
	come(&one, "a", NULL);
	publish("a", 1);
	post("a", 0, 7);
	publish("a", 1);
	assert_string_equal(fake_take(&one), "open 0|live|a1|a3");
	wait_out();
	assert_string_equal(fake_take(&one), "a1|a3|live");
	end();
}

/* b goes back behind what was written of a; dropping the replay from the queue takes nothing of a
 * back. */
static void test_what_was_written_is_not_dropped_with_an_older_replay(void **state)
{
	start();
	publish("b", 2);
	come(&one, "a", NULL);
	publish("a", 2);
	assert_string_equal(fake_take(&one), "open 2|live|a3|a4");
	come(&one, "b", "0");
	fake_acks_answer(rig.hub);
	fake_settle(rig.history);
	one.live_room = 1;
	/* makes room in the window */
	fake_ack(rig.hub, "s", "a", 3);
	publish("b", 1);
	assert_int_equal(one.rewinds, 2);
	assert_string_equal(fake_take(&one), "live|b1|b2|b5|live");
	assert_int_equal(agains, 0);
	wait_out();
	assert_string_equal(fake_take(&one), "b1|b2|a4|b5|live");
	assert_int_equal(agains, 4);
	end();
}

/* --- several sessions, leaving --------------------------------------------------------------- */

static void test_all_sessions_of_a_name_hear(void **state)
{
	start();
	come(&one, "a", NULL);
	come(&two, "a", NULL);
	publish("a", 6);
	assert_string_equal(fake_take(&one), "open 0|live|a1|a2|a3|a4");
	assert_string_equal(fake_take(&two), "open 0|live|a1|a2|a3|a4");
	fake_ack(rig.hub, "s", "a", 4);
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "a5|a6|live");
	assert_string_equal(fake_take(&two), "a5|a6|live");
	assert_int_equal(rig_count(&rig, COUNTER_DURABLE_SESSIONS), 2);
	end();
	assert_int_equal(fake_acks.n, 0);
}

static void test_leaving_frees_the_window(void **state)
{
	start();
	come(&one, "a b", NULL);
	publish("a", 4);
	publish("b", 2);
	assert_string_equal(fake_take(&one), "open 0|live|a1|a2|a3|a4");
	subscriber_remove(&one.subscriber, SLICE("a"));
	fake_settle(rig.history);
	assert_string_equal(fake_take(&one), "b5|b6|live");
	end();
}

static void test_who_stays_is_heard_of(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.ack_expiry_ms = 40000;
	start_with(&limits);
	come(&one, "a b", NULL);
	assert_int_equal(fake_acks.n, 0);
	rig_advance(&rig, 10100);
	assert_int_equal(fake_acks.n, 1);
	assert_int_equal(fake_acks.waiting[0]->n, 2);
	assert_true(fake_acks.waiting[0]->items[0].begin == STORE_ACK_NO_BEGIN);
	end();
}

static void test_what_may_be_acknowledged(void **state)
{
	struct fault fault;
	uint64_t seq = 0;

	start();
	publish("a", 3);
	assert_int_equal(durable_check_ack(rig.hub, SLICE("s"), SLICE("a"), SLICE("fake.3"), false,
					   &seq, &fault),
			 0);
	assert_int_equal(seq, 3);
	static const char *const bad[] = {"fake.4", "other.1", "3", ""};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_not_equal(durable_check_ack(rig.hub, SLICE("s"), SLICE("a"),
						       slice_str(bad[i]), false, &seq, &fault),
				     0);
		assert_int_equal(fault.id, FAULT_BAD_PARAMETER);
	}
	assert_int_not_equal(durable_check_ack(rig.hub, SLICE("s"), SLICE("closed:a"),
					       SLICE("fake.1"), false, &seq, &fault),
			     0);
	assert_int_equal(fault.id, FAULT_FORBIDDEN);
	assert_int_equal(durable_check_ack(rig.hub, SLICE("s"), SLICE("closed:a"), SLICE("fake.1"),
					   true, &seq, &fault),
			 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_time_is_now_and_kept),
		cmocka_unit_test(test_later_it_resumes_each_channel_in_log_order),
		cmocka_unit_test(test_start_of_the_log_is_kept_before_the_first_message),
		cmocka_unit_test(test_explicit_cursor_wins_and_moves_nothing),
		cmocka_unit_test(test_poll_acknowledges_with_its_cursor),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_gone_while_it_joins),
		cmocka_unit_test(test_window_waits_for_acknowledgements),
		cmocka_unit_test(test_window_keeps_what_is_queued),
		cmocka_unit_test(test_acknowledged_ahead_is_not_counted),
		cmocka_unit_test(test_sent_again_until_acknowledged),
		cmocka_unit_test(test_others_are_not_sent_again),
		cmocka_unit_test(test_what_is_not_due_is_not_sent_again),
		cmocka_unit_test(test_sent_again_beyond_a_full_window),
		cmocka_unit_test(test_retention_ends_it_with_a_gap),
		cmocka_unit_test(test_dropped_from_the_queue_was_never_sent),
		cmocka_unit_test(test_an_expired_gap_ends_only_what_it_names),
		cmocka_unit_test(test_what_is_not_for_it_is_not_sent_again),
		cmocka_unit_test(test_what_was_written_is_not_dropped_with_an_older_replay),
		cmocka_unit_test(test_all_sessions_of_a_name_hear),
		cmocka_unit_test(test_leaving_frees_the_window),
		cmocka_unit_test(test_who_stays_is_heard_of),
		cmocka_unit_test(test_what_may_be_acknowledged),
	};

	map_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
