/* SPDX-License-Identifier: MIT */
/* Two workers, their hubs and desks, over a log that is moved by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "broker/presence_desk.h"
#include "tests/unit/broker/hub_rig.h"

#define GRACE 1000
#define BATCH 100

static struct hub_rig r;
static struct presence *p;
static struct attendee ann, bob;

static int setup(void **state)
{
	(void)state;
	hub_rig_init(&r, &rig_limits, 0, 2);
	p = presence_new(
		&(struct presence_config){.entries = 100, .grace_ms = GRACE, .batch_ms = BATCH});
	for (size_t i = 0; i < 2; i++)
		r.hubs[i]->desk = presence_desk_new(&(struct presence_desk){
			.loop = r.loops[i],
			.history = r.history,
			.mailbox = &r.history->workers[i].mailbox,
			.counters = r.counters,
			.presence = p,
		});
	r.namespaces->ns[0].has_presence = r.namespaces->ns[0].has_presence_events = true;
	ann = (struct attendee){.id = {{1}}};
	bob = (struct attendee){.id = {{2}}};
	return 0;
}

static int teardown(void **state)
{
	struct presence_desk *desks[2] = {r.hubs[0]->desk, r.hubs[1]->desk};

	(void)state;
	fake_settle(r.history);
	presence_desk_free(desks[0]);
	presence_desk_free(desks[1]);
	hub_rig_fini(&r);
	presence_free(p);
	return 0;
}

static void come(struct fake_subscriber *f, size_t worker, struct attendee *who)
{
	fake_subscriber_init(f, r.hubs[worker], KIND_SSE, FORMAT_JSON);
	f->subscriber.attendee = who;
	f->live_room = f->replay_room = 100;
	assert_int_equal(rig_subscribe(f, "a", NULL), 0);
	fake_take(f);
}

/* What it was told: events have no seq. */
static size_t told(struct fake_subscriber *f)
{
	size_t n = 0;

	fake_write_all(f);
	for (size_t i = 0; i < f->seen.n; i++)
		n += f->seen.v[i].kind == FAKE_MESSAGE && f->seen.v[i].seq == 0;
	fake_seen(f);
	return n;
}

static void settle(uint64_t ms)
{
	rig_advance(&r, ms);
	fake_settle(r.history);
}

static void subscribers_of_every_worker_are_told(void **state)
{
	struct fake_subscriber a, b;

	(void)state;
	come(&a, 0, &ann);
	come(&b, 1, &bob);
	settle(BATCH + 50);
	assert_int_equal(told(&a), 1); /* one event of both */
	assert_int_equal(told(&b), 1);
	assert_int_equal(rig_count(&r, COUNTER_PRESENCE_EVENTS), 1);
	fake_subscriber_fini(&b);
	settle(GRACE / 2);
	assert_int_equal(told(&a), 0);
	settle(GRACE);
	settle(BATCH + 50);
	assert_int_equal(told(&a), 1);
	assert_int_equal(presence_count(p, SLICE("a")), 1);
	fake_subscriber_fini(&a);
}

static void a_move_to_another_worker_is_no_move(void **state)
{
	struct fake_subscriber a, b;

	(void)state;
	come(&a, 0, &ann);
	come(&b, 0, &bob);
	settle(BATCH + 50);
	told(&a);
	for (size_t i = 0; i < 6; i++) {
		fake_subscriber_fini(&b);
		settle(GRACE / 2);
		come(&b, (i + 1) % 2, &bob);
		settle(GRACE / 2);
	}
	settle(2 * GRACE);
	assert_int_equal(told(&a), 0);
	assert_int_equal(presence_count(p, SLICE("a")), 2);
	fake_subscriber_fini(&a);
	fake_subscriber_fini(&b);
}

static void a_full_log_delays_events_and_loses_none(void **state)
{
	struct fake_subscriber a, b;

	(void)state;
	come(&a, 0, &ann);
	r.history->refuse_append = -EAGAIN;
	settle(10 * BATCH);
	come(&b, 0, &bob);
	settle(10 * BATCH);
	assert_int_equal(told(&a), 0);
	r.history->refuse_append = 0;
	settle(10 * BATCH);
	settle(10 * BATCH);
	assert_int_equal(told(&a), 2);
	assert_int_equal(rig_count(&r, COUNTER_PRESENCE_EVENTS), 2);
	fake_subscriber_fini(&a);
	fake_subscriber_fini(&b);
}

static void who_unsubscribes_leaves_at_once(void **state)
{
	struct fake_subscriber a, b;

	(void)state;
	come(&a, 0, &ann);
	come(&b, 1, &bob);
	assert_true(subscriber_remove(&b.subscriber, SLICE("a")));
	assert_int_equal(presence_count(p, SLICE("a")), 1);
	assert_false(bob.leaves_at_once);
	fake_subscriber_fini(&a);
	fake_subscriber_fini(&b);
	assert_int_equal(presence_count(p, SLICE("a")), 1); /* the grace of ann */
}

static void nobody_is_present_without_a_name_or_an_option(void **state)
{
	struct fake_subscriber a, b;

	(void)state;
	come(&a, 0, NULL);
	assert_int_equal(presence_count(p, SLICE("a")), 0);
	fake_subscriber_init(&b, r.hubs[0], KIND_SSE, FORMAT_JSON);
	b.subscriber.attendee = &bob;
	b.live_room = 100;
	assert_int_equal(rig_subscribe(&b, "few:x", NULL), 0);
	assert_int_equal(presence_count(p, SLICE("few:x")), 0);
	fake_subscriber_fini(&a);
	fake_subscriber_fini(&b);
}

static void who_misses_an_event_is_owed_the_list(void **state)
{
	struct fake_subscriber a, b;
	struct slice channel;

	(void)state;
	ann.wants_members = true;
	come(&a, 0, &ann);
	assert_true(subscriber_take_owed(&a.subscriber, &channel));
	assert_true(slice_eq_str(channel, "a"));
	assert_false(subscriber_take_owed(&a.subscriber, &channel));
	a.live_room = 0;
	come(&b, 1, &bob);
	settle(BATCH + 50);
	assert_true(subscriber_take_owed(&a.subscriber, &channel));
	assert_false(subscriber_take_owed(&b.subscriber, &channel));
	fake_subscriber_fini(&a);
	fake_subscriber_fini(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(subscribers_of_every_worker_are_told),
		TEST(a_move_to_another_worker_is_no_move),
		TEST(a_full_log_delays_events_and_loses_none),
		TEST(who_unsubscribes_leaves_at_once),
		TEST(nobody_is_present_without_a_name_or_an_option),
		TEST(who_misses_an_event_is_owed_the_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
