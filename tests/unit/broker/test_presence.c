/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "broker/presence.h"

#define GRACE 1000
#define BATCH 100

static struct presence *p;
static struct counters *c;

static int setup(void **state)
{
	(void)state;
	clock_fake_set(1000000, 5000);
	c = counters_new();
	p = presence_new(
		&(struct presence_config){.entries = 100000, .grace_ms = GRACE, .batch_ms = BATCH});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	presence_free(p);
	counters_free(c);
	clock_fake_off();
	return 0;
}

/* --- words ----------------------------------------------------------------------------------- */

static struct attendee somebody(unsigned n)
{
	struct attendee a = {.user = slice_str("")};

	for (size_t i = 0; i < 4; i++)
		a.id.bytes[7 - i] = (uint8_t)(n >> (8 * i));
	a.id.bytes[15] = 1;
	return a;
}

static struct presence_place place(const char *channel)
{
	return (struct presence_place){
		.channel = slice_str(channel), .kind = KIND_SSE, .has_events = true};
}

static uint64_t join(const char *channel, unsigned n)
{
	struct presence_place at = place(channel);
	struct attendee a = somebody(n);

	return presence_join(p, c, &at, &a);
}

static uint64_t leave(const char *channel, unsigned n, bool at_once)
{
	struct presence_place at = place(channel);
	struct attendee a = somebody(n);

	return presence_leave(p, c, &at, &a.id, at_once);
}

static void pass(uint64_t ms)
{
	clock_fake_advance(ms * 1000);
	presence_sweep(p, c, clock_mono_ms(), SIZE_MAX);
}

/* "a +1,2 -3": the next news, sessions as numbers; "" for none. told: they left at once. */
static const char *news(bool told)
{
	static char text[4096];
	struct presence_news n;
	struct slice list, one, v;
	size_t at = 0;

	text[0] = '\0';
	if (!presence_take_news(p, c, clock_mono_ms(), &n))
		return text;
	at += (size_t)sprintf(text, "%.*s", (int)n.channel_n, n.channel);
	for (int i = 0; i < 2; i++) {
		struct buf *json = i ? &n.leave : &n.join;
		size_t pos = 0;

		if (!json->n)
			continue;
		assert_true(json_is_valid(buf_slice(json), NULL));
		assert_true(json_object_get(buf_slice(json), "type", &v));
		assert_true(slice_eq_str(v, i ? "\"leave\"" : "\"join\""));
		assert_true(json_object_get(buf_slice(json), "members", &list));
		for (unsigned k = 0; json_array_next(list, &pos, &one); k++) {
			assert_true(json_object_get(one, "session", &v));
			at += (size_t)sprintf(text + at, "%s%lu",
					      k   ? ","
					      : i ? " -"
						  : " +",
					      strtoul(v.p + 1, NULL, 16));
		}
	}
	presence_news_fini(&n);
	if (told)
		presence_told(p, slice_make(n.channel, n.channel_n));
	return text;
}

static size_t count(const char *channel)
{
	return presence_count(p, slice_str(channel));
}

/* --- joining, leaving, grace ------------------------------------------------------------------ */

static void who_joins_is_told_after_the_batch(void **state)
{
	(void)state;
	assert_int_equal(join("a", 1), clock_mono_ms() + BATCH);
	assert_int_equal(join("a", 2), 0); /* seen to already */
	assert_int_equal(count("a"), 2);
	pass(BATCH - 1);
	assert_string_equal(news(true), "");
	pass(1);
	assert_string_equal(news(true), "a +1,2");
	assert_string_equal(news(true), "");
	assert_int_equal(presence_next_due(p), 0);
}

static void who_leaves_is_told_after_grace_and_batch(void **state)
{
	(void)state;
	join("a", 1);
	pass(BATCH);
	assert_string_equal(news(true), "a +1");
	assert_int_equal(leave("a", 1, false), clock_mono_ms() + GRACE);
	pass(GRACE - 1);
	assert_int_equal(count("a"), 1);
	pass(1);
	assert_int_equal(count("a"), 0);
	assert_string_equal(news(true), "");
	pass(BATCH);
	assert_string_equal(news(true), "a -1");
	assert_int_equal(presence_room(p), 100000);
}

static void who_comes_back_in_time_has_not_moved(void **state)
{
	(void)state;
	join("a", 1);
	pass(BATCH);
	news(true);
	for (int i = 0; i < 10; i++) {
		leave("a", 1, false);
		pass(GRACE - 1);
		assert_int_equal(join("a", 1), 0);
	}
	pass(GRACE * 2);
	assert_string_equal(news(true), "");
	assert_int_equal(count("a"), 1);
}

static void what_cancels_out_within_a_batch_is_never_told(void **state)
{
	(void)state;
	join("a", 1);
	join("a", 2);
	leave("a", 1, true);
	pass(BATCH);
	assert_string_equal(news(true), "a +2");
	leave("a", 2, true);
	assert_int_equal(count("a"), 0);
	join("a", 2);
	assert_int_equal(count("a"), 1);
	pass(BATCH);
	assert_string_equal(news(true), "");
	join("b", 3);
	leave("b", 3, true);
	pass(BATCH);
	assert_string_equal(news(true), "");
	assert_int_equal(presence_next_due(p), 0);
}

static void one_of_several_connections_changes_nothing(void **state)
{
	struct presence_place ws = place("a");
	struct attendee a = somebody(1);

	(void)state;
	ws.kind = KIND_WEBSOCKET;
	join("a", 1);
	presence_join(p, c, &ws, &a);
	join("a", 1);
	assert_int_equal(count("a"), 1);
	pass(BATCH);
	assert_string_equal(news(true), "a +1");
	assert_int_equal(leave("a", 1, true), 0);
	assert_int_equal(presence_leave(p, c, &ws, &a.id, true), 0);
	pass(GRACE * 2);
	assert_int_equal(count("a"), 1);
	leave("a", 1, true);
	assert_int_equal(count("a"), 0);
	pass(BATCH);
	assert_string_equal(news(true), "a -1");
}

/* --- order and limits ------------------------------------------------------------------------- */

static void no_event_is_made_while_another_is_on_its_way(void **state)
{
	(void)state;
	join("a", 1);
	join("b", 9);
	pass(BATCH);
	const char *first = news(false);
	bool is_a = first[0] == 'a';
	assert_string_equal(news(true), is_a ? "b +9" : "a +1");
	const char *name = is_a ? "a" : "b";
	join(name, 2);
	leave(name, is_a ? 1 : 9, true);
	pass(10 * BATCH);
	assert_string_equal(news(true), "");
	assert_int_equal(presence_told(p, slice_str(name)), clock_mono_ms() + BATCH);
	pass(BATCH);
	assert_string_equal(news(true), is_a ? "a +2 -1" : "b +2 -9");
}

static void a_large_change_takes_several_events(void **state)
{
	char info[1001];
	struct presence_place at = place("a");
	size_t told = 0, events = 0;
	const char *text;

	(void)state;
	memset(info, ' ', sizeof(info));
	info[0] = '1';
	for (unsigned i = 1; i <= 500; i++) {
		struct attendee a = somebody(i);

		a.info = slice_make(info, 1000);
		presence_join(p, c, &at, &a);
	}
	do {
		pass(BATCH);
		text = news(true);
		for (const char *s = text; *s; s++)
			told += *s == ',' || *s == '+';
		events += *text != '\0';
	} while (*text);
	assert_int_equal(told, 500);
	assert_in_range(events, 6, 12);
}

static void a_sweep_does_no_more_than_it_may(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 10; i++) {
		join("a", i);
		leave("a", i, false);
	}
	clock_fake_advance(GRACE * 1000);
	assert_int_equal(presence_sweep(p, c, clock_mono_ms(), 4), 4);
	assert_int_equal(count("a"), 6);
	assert_int_equal(presence_sweep(p, c, clock_mono_ms(), 100), 6);
}

static void entries_are_counted_until_their_leave_is_told(void **state)
{
	struct attendee one = somebody(1), two = somebody(2);

	(void)state;
	join("a", 1);
	join("b", 1);
	assert_int_equal(presence_room(p), 100000 - 2);
	assert_true(presence_has(p, SLICE("a"), &one.id));
	assert_false(presence_has(p, SLICE("a"), &two.id));
	pass(BATCH);
	news(true);
	news(true);
	leave("a", 1, true);
	assert_int_equal(presence_room(p), 100000 - 2);
	pass(BATCH);
	assert_string_equal(news(true), "a -1");
	assert_int_equal(presence_room(p), 100000 - 1);
	assert_int_equal(atomic_load(&c->v[COUNTER_PRESENCE_ENTRIES]), 1);
}

static void churn_leaves_nothing_behind(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 10000; i++) {
		char channel[16];

		snprintf(channel, sizeof(channel), "c%u", i % 7);
		join(channel, i);
		leave(channel, i, i % 3 == 0);
		if (i % 10 == 0)
			pass(BATCH);
		while (*news(true))
			;
	}
	pass(GRACE);
	for (int i = 0; i < 3; i++) {
		pass(BATCH);
		while (*news(true))
			;
	}
	assert_int_equal(presence_room(p), 100000);
	assert_int_equal(presence_next_due(p), 0);
	assert_int_equal(atomic_load(&c->v[COUNTER_PRESENCE_JOINED]), 10000);
	assert_int_equal(atomic_load(&c->v[COUNTER_PRESENCE_LEFT]), 10000);
}

/* --- what is kept of them --------------------------------------------------------------------- */

static void users_count_once_where_they_are_known(void **state)
{
	static const char *const users[] = {"ann", "ann", "bob", "", ""};
	struct presence_place at = place("a");

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		struct attendee a = somebody(i + 1);

		a.user = slice_str(users[i]);
		presence_join(p, c, &at, &a);
	}
	assert_int_equal(count("a"), 4);
	leave("a", 1, true);
	assert_int_equal(count("a"), 4); /* ann is still there */
	leave("a", 2, true);
	assert_int_equal(count("a"), 3);
	leave("a", 4, true);
	assert_int_equal(count("a"), 2);
}

static bool take_row(void *arg, const struct presence_entry *e)
{
	struct buf *b = arg;

	if (b->n)
		buf_add_char(b, ' ');
	presence_add_entry(b, e);
	return true;
}

static void info_changes_are_told_and_absent_info_keeps(void **state)
{
	struct presence_place at = place("a");
	struct attendee a = somebody(1);
	struct buf b = {0};
	bool more;

	(void)state;
	a.info = SLICE("{\"x\":1}");
	presence_join(p, c, &at, &a);
	pass(BATCH);
	assert_string_equal(news(true), "a +1");
	at.kind = KIND_WEBSOCKET;
	presence_join(p, c, &at, &a); /* the same */
	join("a", 1);                 /* none */
	pass(BATCH);
	assert_string_equal(news(true), "");
	a.info = SLICE("2");
	presence_join(p, c, &at, &a);
	pass(BATCH);
	assert_string_equal(news(true), "a +1");
	struct presence_page page = {.entry_max = 9, .row = take_row, .arg = &b};
	assert_int_equal(presence_list(p, SLICE("a"), &page, &more), 1);
	buf_add_char(&b, '\0');
	assert_string_equal(b.p,
			    "{\"session\":\"0000000000000001\",\"user\":null,\"info\":2,"
			    "\"transport\":\"websocket\",\"since_ts\":5000,\"connections\":4}");
	buf_fini(&b);
}

static bool take_one(void *arg, const struct presence_entry *e)
{
	*(struct session_id *)arg = e->id;
	return true;
}

static void pages_give_everybody_once(void **state)
{
	struct session_id at = {{0}};
	struct presence_page page = {.entry_max = 1, .row = take_one, .arg = &at};
	unsigned n = 0;
	bool more;

	(void)state;
	for (unsigned i = 1; i <= 20; i++)
		join("a", i * 8 % 21);
	leave("a", 5, true);
	do {
		page.after = at;
		assert_int_equal(presence_list(p, SLICE("a"), &page, &more), 19);
		n++;
		assert_true(at.bytes[7] > page.after.bytes[7]);
	} while (more);
	assert_int_equal(n, 19);
	assert_int_equal(presence_list(p, SLICE("none"), &page, &more), 0);
	assert_false(more);
}

static void without_events_nobody_is_told(void **state)
{
	struct presence_place at = place("a");
	struct attendee a = somebody(1), b = somebody(2);

	(void)state;
	at.has_events = false;
	assert_int_equal(presence_join(p, c, &at, &a), 0);
	presence_join(p, c, &at, &b);
	assert_int_equal(presence_leave(p, c, &at, &a.id, true), 0);
	pass(BATCH);
	assert_string_equal(news(true), "");
	assert_int_equal(presence_room(p), 100000 - 1);
	/* Switched on: who was there is known, and its leave is told. */
	join("a", 3);
	leave("a", 2, true);
	pass(BATCH);
	assert_string_equal(news(true), "a +3 -2");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_joins_is_told_after_the_batch),
		TEST(who_leaves_is_told_after_grace_and_batch),
		TEST(who_comes_back_in_time_has_not_moved),
		TEST(what_cancels_out_within_a_batch_is_never_told),
		TEST(one_of_several_connections_changes_nothing),
		TEST(no_event_is_made_while_another_is_on_its_way),
		TEST(a_large_change_takes_several_events),
		TEST(a_sweep_does_no_more_than_it_may),
		TEST(entries_are_counted_until_their_leave_is_told),
		TEST(churn_leaves_nothing_behind),
		TEST(users_count_once_where_they_are_known),
		TEST(info_changes_are_told_and_absent_info_keeps),
		TEST(pages_give_everybody_once),
		TEST(without_events_nobody_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
