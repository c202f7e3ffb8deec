/* SPDX-License-Identifier: MIT */
/* patterns: finding those that stand for a name, limits, delivery once, replay and its gaps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/obj.h"
#include "base/pattern.h"
#include "broker/channel.h"
#include "broker/durable.h"
#include "tests/unit/broker/hub_rig.h"

static struct hub_rig rig;
static struct fake_subscriber one, two;

static void start_with(const struct hub_limits *limits)
{
	hub_rig_init(&rig, limits, 0, 1);
	fake_subscriber_init(&one, rig.hub, KIND_SSE, FORMAT_SSE_JSON);
	fake_subscriber_init(&two, rig.hub, KIND_SSE, FORMAT_SSE_JSON);
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

static const char *settle(struct fake_subscriber *f)
{
	fake_settle(rig.history);
	return fake_take(f);
}

/* --- finding --------------------------------------------------------------------------------- */

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Few letters, so that prefixes are shared; now and then as long as can be. */
static struct slice random_name(unsigned *seed, char text[256], bool is_pattern)
{
	size_t n =
		next_random(seed) % 20 == 0 ? 250 + next_random(seed) % 5 : next_random(seed) % 8;

	memset(text, 'a', 256);
	for (size_t i = 0; i < n && i < 8; i++)
		text[i] = "ab:"[next_random(seed) % 3];
	if (!is_pattern && n == 0)
		n = 1;
	text[n] = '*';
	return slice_make(text, n + is_pattern);
}

static void check_matches(const char patterns[][256], const size_t *lengths, size_t n,
			  struct slice name)
{
	struct channel *found[PATTERN_MATCH_MAX];
	size_t found_n = pattern_index_match(&rig.hub->patterns, name, found), want = 0;

	for (size_t i = 0; i < n; i++) {
		struct slice p = slice_make(patterns[i], lengths[i]);
		size_t there = 0;

		if (!p.n || !slice_has_prefix(name, pattern_prefix(p)))
			continue;
		want++;
		for (size_t k = 0; k < found_n; k++)
			there += slice_eq(channel_name(found[k]), p);
		assert_int_equal(there, 1);
	}
	assert_int_equal(found_n, want);
}

static void test_index_against_a_model(void **state)
{
	enum { N = 60 };
	static char patterns[N][256];
	static struct subscription subs[N];
	size_t lengths[N] = {0};
	unsigned seed = 4711;
	char text[256];

	start();
	memset(subs, 0, sizeof(subs));
	for (int round = 0; round < 20000; round++) {
		size_t i = next_random(&seed) % N;

		if (next_random(&seed) % 4) {
			check_matches(patterns, lengths, N, random_name(&seed, text, false));
		} else if (lengths[i]) {
			channel_detach(&subs[i]);
			channel_expire_idle(rig.hub, true);
			lengths[i] = 0;
		} else {
			struct slice p = random_name(&seed, text, true);

			if (channel_find(rig.hub, p))
				continue;
			lengths[i] = p.n;
			memcpy(patterns[i], p.p, p.n);
			subs[i].subscriber = &one.subscriber;
			channel_attach(channel_get(rig.hub, p), &subs[i]);
		}
	}
	for (size_t i = 0; i < N; i++)
		if (lengths[i])
			channel_detach(&subs[i]);
	channel_expire_idle(rig.hub, true);
	assert_int_equal(rig.hub->patterns.n, 0);
	for (size_t i = 0; i < ARRAY_LEN(rig.hub->patterns.lengths); i++)
		assert_int_equal(rig.hub->patterns.lengths[i], 0);
	end();
}

/* --- limits and access ----------------------------------------------------------------------- */

static int add(struct fake_subscriber *f, const char *text, bool is_admin, struct fault *fault)
{
	const struct start now = {.kind = START_NOW};
	struct slice name = slice_str(text);

	return subscriber_add(&f->subscriber, &name, 1, &now, is_admin, fault);
}

static void test_bad_patterns(void **state)
{
	static const char *const bad[] = {"*", "a*", "a:*b", "a:**", "*:a", "a: *", "a:*b*"};
	struct fault fault;

	start();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(add(&one, bad[i], false, &fault) < 0);
		assert_int_equal(fault.id, FAULT_BAD_CHANNEL);
	}
	assert_int_equal(add(&one, "*", true, &fault), 0);
	assert_int_equal(add(&one, "a*", true, &fault), 0);
	end();
}

static void test_every_namespace_must_be_open(void **state)
{
	struct hub_limits limits = rig_limits;
	struct fault fault;

	limits.pattern_any = true;
	start_with(&limits);
	static const char *const closed[] = {"closed:*", "closed:a*", "clo*", "closed*", "*"};
	for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
		assert_true(add(&one, closed[i], false, &fault) < 0);
		assert_int_equal(fault.id, FAULT_FORBIDDEN);
	}
	assert_int_equal(add(&one, "closer*", false, &fault), 0);
	assert_int_equal(add(&one, "few*", false, &fault), 0);
	assert_int_equal(add(&two, "closed:*", true, &fault), 0);
	end();
}

static void test_limits(void **state)
{
	struct hub_limits limits = rig_limits;
	struct fault fault;

	limits.patterns_per_subscriber = 2;
	limits.patterns = 3;
	start_with(&limits);
	assert_int_equal(add(&one, "a:*", false, &fault), 0);
	assert_int_equal(add(&one, "b:*", false, &fault), 0);
	assert_int_equal(add(&one, "a:*", false, &fault), 0);
	assert_true(add(&one, "c:*", false, &fault) < 0);
	assert_int_equal(fault.id, FAULT_TOO_MANY_PATTERNS);
	assert_int_equal(add(&one, "c:1", false, &fault), 0);
	assert_int_equal(add(&two, "c:*", false, &fault), 0);
	assert_true(add(&two, "d:*", false, &fault) < 0);
	assert_int_equal(fault.id, FAULT_OVERLOADED);
	/* the same pattern for somebody else is not another one */
	assert_int_equal(add(&two, "a:*", false, &fault), 0);
	/* one that nobody has any more does not count */
	assert_true(subscriber_remove(&two.subscriber, SLICE("c:*")));
	assert_int_equal(add(&two, "d:*", false, &fault), 0);
	assert_int_equal(rig_count(&rig, COUNTER_PATTERNS_REFUSED), 2);
	end();
}

/* --- delivery -------------------------------------------------------------------------------- */

static void test_now_and_in_future(void **state)
{
	start();
	rig_subscribe(&one, "r:*", NULL);
	rig_publish(&rig, "r:1");
	rig_publish(&rig, "s:1");
	rig_publish(&rig, "r:new");
	rig_ephemeral(&rig, "r:2");
	assert_string_equal(fake_take(&one), "open 0|live|r:11|r:new3|~r:2");
	assert_true(subscriber_remove(&one.subscriber, SLICE("r:*")));
	assert_false(subscriber_remove(&one.subscriber, SLICE("r:*")));
	rig_publish(&rig, "r:1");
	assert_string_equal(fake_take(&one), "");
	end();
}

static void test_several_topics_bring_a_message_once(void **state)
{
	start();
	rig_subscribe(&one, "r:* r:1 r:1*", NULL);
	rig_subscribe(&two, "r:1", NULL);
	rig_publish(&rig, "r:1");
	rig_ephemeral(&rig, "r:1");
	rig_publish(&rig, "r:12");
	assert_string_equal(fake_take(&one), "open 0|live|r:11|~r:1|r:122");
	assert_string_equal(fake_take(&two), "open 0|live|r:11|~r:1");
	/* and one frame does for all of them */
	assert_int_equal(rig_count(&rig, COUNTER_ENCODED), 3);
	end();
}

/* Messages with several topics are numbered, and numbers come again. */
static void test_the_four_billionth_message_is_not_taken_for_the_first(void **state)
{
	start();
	rig_subscribe(&one, "r:* r:1", NULL);
	rig_publish(&rig, "r:1");
	rig_subscribe(&two, "r:* r:1", NULL);
	rig.hub->deliveries = UINT32_MAX;
	rig_publish(&rig, "r:1");
	assert_string_equal(fake_take(&one), "open 0|live|r:11|r:12");
	assert_string_equal(fake_take(&two), "open 1|live|r:12");
	end();
}

static void test_one_that_returns_is_fed_from_memory(void **state)
{
	start();
	rig_subscribe(&one, "r:*", NULL);
	for (int i = 0; i < 3; i++)
		rig_publish(&rig, i % 2 ? "r:1" : "r:2");
	rig_subscribe(&two, "r:* r:1", "fake.1");
	assert_int_equal(rig.history->query_n, 1); /* r:1 is new here */
	assert_string_equal(settle(&two), "open 1|r:12|r:23|live");
	assert_int_equal(rig_count(&rig, COUNTER_ENCODED), 3);
	end();
}

static void test_an_older_pattern_does_not_repeat_what_its_channel_got(void **state)
{
	start();
	for (int i = 0; i < 2; i++)
		rig_publish(&rig, i ? "r:2" : "r:1");
	rig_subscribe(&one, "r:1", NULL);
	rig_publish(&rig, "r:1");
	rig_publish(&rig, "r:2");
	assert_string_equal(fake_take(&one), "open 2|live|r:13");
	rig_subscribe(&one, "r:*", "0");
	assert_string_equal(settle(&one), "r:11|r:22|r:24|live");
	end();
}

static void test_purge_empties_patterns_too(void **state)
{
	start();
	rig_subscribe(&one, "r:*", NULL);
	rig_publish(&rig, "r:1");
	rig_publish(&rig, "r:2");
	fake_purge(rig.history, "r:1");
	fake_tell_purged(rig.history, &rig.history->workers[0], "r:1");
	rig_deliver(&rig);
	rig_subscribe(&two, "r:*", "0");
	assert_string_equal(settle(&two), "open 1|r:22|live");
	end();
}

/* --- replay ---------------------------------------------------------------------------------- */

static void test_newest_of_all_channels_together(void **state)
{
	start();
	for (int i = 0; i < 6; i++)
		rig_publish(&rig, i % 2 ? "r:1" : i % 3 ? "r:2" : "s:1");
	rig_subscribe_last(&one, "r:*", 3);
	assert_string_equal(settle(&one), "open 3|r:14|r:25|r:16|live");
	end();
}

static void test_newest_that_lie_far_apart(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.page_scan = 3;
	limits.recent_count = 0;
	start_with(&limits);
	for (int i = 0; i < 40; i++)
		rig_publish(&rig, i % 13 ? "s:1" : "r:1");
	rig_subscribe_last(&one, "r:*", 2);
	assert_string_equal(settle(&one), "open 26|r:127|r:140|live");
	assert_true(rig_count(&rig, COUNTER_REPLAYED_DISK) == 2);
	end();
}

static void test_losses_are_told_per_channel(void **state)
{
	start();
	for (int i = 0; i < 10; i++)
		rig_publish(&rig, i % 2 ? "few:1" : "few:2");
	fake_trim(rig.history, "few:1", 3);
	fake_trim(rig.history, "few:2", 0);
	rig_subscribe(&one, "few:*", "fake.2");
	assert_string_equal(settle(&one),
			    "open 2|gap few:2 fake.2-9 oldest 0 retention|"
			    "gap few:1 fake.2-4 oldest 6 retention|few:16|few:18|few:110|live");
	/* who asks for all there is has lost nothing */
	rig_subscribe(&two, "few:*", "0");
	assert_string_equal(settle(&two), "open 0|few:16|few:18|few:110|live");
	end();
}

static void test_many_losses_end_in_one_of_the_pattern(void **state)
{
	char name[16];
	const char *text;
	size_t gaps = 0;

	start();
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "few:%d", i % 20);
		rig_publish(&rig, name);
	}
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "few:%d", i);
		fake_trim(rig.history, name, 1);
	}
	rig_subscribe(&one, "few:*", "fake.1");
	text = settle(&one);
	for (const char *p = text; (p = strstr(p, "gap ")) != NULL; p++)
		gaps++;
	assert_int_equal(gaps, STORE_LOSS_MAX + 1);
	assert_non_null(strstr(text, "gap few:* fake.1-20 oldest 0 retention|few:021|"));
	assert_non_null(strstr(text, "few:1940|live"));
	end();
}

static void test_a_loss_is_told_once_however_many_pages_away(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.page_rows = 1;
	limits.recent_count = 0;
	start_with(&limits);
	for (int i = 0; i < 6; i++)
		rig_publish(&rig, i == 4 ? "few:1" : "few:2");
	fake_trim(rig.history, "few:1", 0);
	rig_subscribe(&one, "few:*", "fake.0");
	assert_string_equal(settle(&one), "open 0|gap few:1 fake.0-5 oldest 0 retention|"
					  "few:21|few:22|few:23|few:24|few:26|live");
	assert_int_equal(rig_count(&rig, COUNTER_GAPS_RETENTION), 1);
	end();
}

static void test_a_bad_cursor_is_one_gap(void **state)
{
	start();
	for (int i = 0; i < 4; i++)
		rig_publish(&rig, i % 2 ? "r:1" : "r:2");
	rig_subscribe(&one, "r:*", "other.7");
	assert_string_equal(settle(&one),
			    "open 0|gap r:* other.7-0 oldest 1 epoch|r:21|r:12|r:23|r:14|live");
	end();
}

static void test_a_channel_and_its_pattern_tell_a_loss_once(void **state)
{
	start();
	for (int i = 0; i < 5; i++)
		rig_publish(&rig, "few:1");
	fake_trim(rig.history, "few:1", 2);
	rig_subscribe(&one, "few:* few:1", "fake.1");
	assert_string_equal(settle(&one),
			    "open 1|gap few:1 fake.1-3 oldest 4 retention|few:14|few:15|live");
	end();
}

static void test_a_slow_one_is_fed_from_the_log(void **state)
{
	start();
	one.live_room = one.replay_room = 4;
	rig_subscribe(&one, "r:*", NULL);
	fake_write_all(&one);
	one.seen.n = 0;
	for (int i = 0; i < 30; i++)
		rig_publish(&rig, i % 2 ? "r:1" : "r:2");
	assert_int_equal(rig_count(&rig, COUNTER_SLOW_LAG), 1);
	uint64_t next = 1;
	while (next <= 30) {
		fake_settle(rig.history);
		fake_write(&one, 3);
		for (size_t i = 0; i < one.seen.n; i++)
			if (one.seen.v[i].kind == FAKE_MESSAGE)
				assert_int_equal(one.seen.v[i].seq, next++);
		one.seen.n = 0;
	}
	assert_int_equal(one.subscriber.state, SUB_LIVE);
	assert_true(rig_count(&rig, COUNTER_REPLAYED_DISK) > 0);
	end();
}

/* --- patterns and what messages and namespaces ask for --------------------------------------- */

static void expire_in_two_channels(void)
{
	rig_post(&rig, "r:1", 0, 0);
	rig_post(&rig, "r:1", 100, 0);
	rig_post(&rig, "r:2", 100, 0);
	rig_post(&rig, "r:1", 100, 0);
	rig_post(&rig, "r:1", 0, 0);
	rig_commit_and_wait(&rig, 200);
}

static void test_expired_messages_are_told_by_channel(void **state)
{
	start();
	rig_subscribe(&one, "r:*", NULL);
	expire_in_two_channels();
	assert_string_equal(settle(&one), "open 0|live|r:11|gap r:1 fake.1-4 oldest 0 expired"
					  "|gap r:2 fake.0-3 oldest 0 expired|r:15|live");
	rig_subscribe(&two, "r:*", "fake.1");
	assert_string_equal(settle(&two), "open 1|gap r:1 fake.1-4 oldest 0 expired"
					  "|gap r:2 fake.1-3 oldest 0 expired|r:15|live");
	end();
}

static void test_expired_messages_come_from_the_log_too(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.recent_count = 0;
	start_with(&limits);
	expire_in_two_channels();
	rig_subscribe(&one, "r:*", "fake.1");
	assert_string_equal(settle(&one), "open 1|gap r:1 fake.1-4 oldest 0 expired"
					  "|gap r:2 fake.1-3 oldest 0 expired|r:15|live");
	rig_subscribe_last(&two, "r:*", 2);
	assert_string_equal(settle(&two), "open 0|r:11|gap r:1 fake.1-4 oldest 0 expired"
					  "|gap r:2 fake.0-3 oldest 0 expired|r:15|live");
	end();
}

/* The channel's own subscription begins behind what expired: only the pattern is to hear of it. */
static void test_expired_before_one_of_two_is_told_for_the_other(void **state)
{
	struct hub_limits limits = rig_limits;

	limits.recent_count = 0;
	start_with(&limits);
	expire_in_two_channels();
	fake_settle(rig.history);
	rig_subscribe(&one, "r:1", NULL);
	assert_string_equal(settle(&one), "open 5|live");
	rig_subscribe(&one, "r:*", "fake.1");
	assert_string_equal(settle(&one), "gap r:1 fake.1-4 oldest 0 expired"
					  "|gap r:2 fake.1-3 oldest 0 expired|r:15|live");
	end();
}

static void test_many_expired_channels_are_one_gap(void **state)
{
	char name[8];

	start();
	rig_publish(&rig, "r:0");
	rig_subscribe(&one, "r:* r:17", "fake.1");
	assert_string_equal(settle(&one), "open 1|live");
	for (int i = 1; i <= 17; i++) {
		snprintf(name, sizeof(name), "r:%d", i);
		rig_post(&rig, name, 100, 0);
	}
	rig_post(&rig, "r:0", 0, 0);
	rig_commit_and_wait(&rig, 200);
	assert_string_equal(settle(&one), "gap r:* fake.1-18 oldest 0 expired|r:019|live");
	end();
}

static void test_what_is_not_for_a_session_comes_by_no_way(void **state)
{
	start();
	rig_subscribe(&one, "r:1 r:*", NULL);
	rig_subscribe(&two, "r:*", NULL);
	one.subscriber.name = 7;
	fake_take(&one);
	fake_take(&two);
	rig_post(&rig, "r:1", 0, 7);
	assert_string_equal(settle(&one), "");
	assert_string_equal(settle(&two), "r:11");
	end();
}

static void never_too_slow(struct subscriber *s)
{
	fail();
}

static void test_one_that_skips_is_told_of_the_pattern(void **state)
{
	start();
	rig.namespaces->ns[1].slow = SLOW_SKIP; /* few */
	one.ops.too_slow = never_too_slow;
	one.live_room = 2;
	rig_subscribe(&one, "few:*", NULL);
	assert_string_equal(settle(&one), "open 0|live");
	fake_write_all(&one);
	for (int i = 0; i < 6; i++)
		rig_publish(&rig, i % 2 ? "few:a" : "few:b");
	assert_int_equal(rig_count(&rig, COUNTER_SLOW_SKIP), 1);
	fake_write_all(&one);
	assert_string_equal(settle(&one), "gap few:* fake.0-6 oldest 0 skipped|live");
	/* what was skipped was not given: who asks for it by name gets it */
	one.replay_room = one.live_room = 100;
	rig_subscribe(&one, "few:a", "fake.0");
	assert_string_equal(settle(&one), "few:a2|few:a4|few:a6|live");
	end();
}

static void test_durable_subscribers_name_their_channels(void **state)
{
	struct slice names[] = {SLICE("r:1"), SLICE("r:*")};
	struct start now = {.kind = START_NOW};
	struct durable_want want = {.name = SLICE("me"), .max_in_flight = 1};
	struct durable_request r = {.channels = names, .n = 2, .start = &now, .want = &want};
	struct fault fault;
	uint64_t seq;

	start();
	assert_true(durable_subscribe(&one.subscriber, &r, &fault) < 0);
	assert_int_equal(fault.id, FAULT_NOT_SUPPORTED);
	assert_true(durable_check_ack(rig.hub, want.name, names[1], SLICE("fake.1"), true, &seq,
				      &fault) < 0);
	assert_int_equal(fault.id, FAULT_NOT_SUPPORTED);
	r.n = 1;
	assert_int_equal(durable_subscribe(&one.subscriber, &r, &fault), 0);
	settle(&one);
	assert_true(subscriber_add(&one.subscriber, names, 2, &now, false, &fault) < 0);
	assert_int_equal(fault.id, FAULT_NOT_SUPPORTED);
	rig_subscribe(&two, "r:*", NULL);
	assert_true(durable_subscribe(&two.subscriber, &r, &fault) < 0);
	assert_int_equal(fault.id, FAULT_NOT_SUPPORTED);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_index_against_a_model),
		cmocka_unit_test(test_bad_patterns),
		cmocka_unit_test(test_every_namespace_must_be_open),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_now_and_in_future),
		cmocka_unit_test(test_several_topics_bring_a_message_once),
		cmocka_unit_test(test_the_four_billionth_message_is_not_taken_for_the_first),
		cmocka_unit_test(test_one_that_returns_is_fed_from_memory),
		cmocka_unit_test(test_an_older_pattern_does_not_repeat_what_its_channel_got),
		cmocka_unit_test(test_purge_empties_patterns_too),
		cmocka_unit_test(test_newest_of_all_channels_together),
		cmocka_unit_test(test_newest_that_lie_far_apart),
		cmocka_unit_test(test_losses_are_told_per_channel),
		cmocka_unit_test(test_many_losses_end_in_one_of_the_pattern),
		cmocka_unit_test(test_a_loss_is_told_once_however_many_pages_away),
		cmocka_unit_test(test_a_bad_cursor_is_one_gap),
		cmocka_unit_test(test_a_channel_and_its_pattern_tell_a_loss_once),
		cmocka_unit_test(test_a_slow_one_is_fed_from_the_log),
		cmocka_unit_test(test_expired_messages_are_told_by_channel),
		cmocka_unit_test(test_expired_messages_come_from_the_log_too),
		cmocka_unit_test(test_expired_before_one_of_two_is_told_for_the_other),
		cmocka_unit_test(test_many_expired_channels_are_one_gap),
		cmocka_unit_test(test_what_is_not_for_a_session_comes_by_no_way),
		cmocka_unit_test(test_one_that_skips_is_told_of_the_pattern),
		cmocka_unit_test(test_durable_subscribers_name_their_channels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
