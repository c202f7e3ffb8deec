/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "base/clock.h"
#include "broker/sessions.h"

#define MAX   4
#define GRACE 1000

static struct sessions *s;
static struct counters *c;

static int setup(void **state)
{
	(void)state;
	clock_fake_set(1000000, 0);
	c = counters_new();
	s = sessions_new(MAX, GRACE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(atomic_load(&c->v[COUNTER_SESSIONS_KNOWN]), sessions_count(s));
	sessions_free(s);
	counters_free(c);
	clock_fake_off();
	return 0;
}

static struct session_id remember(void)
{
	struct session_id id;

	session_id_make(&id);
	assert_int_equal(sessions_remember(s, c, &id), 0);
	return id;
}

static size_t sweep(void)
{
	return sessions_sweep(s, c, clock_mono_ms(), SIZE_MAX);
}

static void a_session_is_known_until_the_grace_is_over(void **state)
{
	struct session_id id = remember();

	(void)state;
	clock_fake_advance(10 * GRACE * 1000);
	assert_int_equal(sweep(), 0); /* held */
	uint64_t due = sessions_release(s, &id, true);
	assert_int_equal(due, clock_mono_ms() + GRACE);
	assert_int_equal(sessions_next_due(s), due);
	clock_fake_advance((GRACE - 1) * 1000);
	assert_int_equal(sweep(), 0);
	clock_fake_advance(1000);
	assert_int_equal(sweep(), 1);
	assert_false(sessions_recall(s, &id));
	assert_int_equal(sessions_next_due(s), 0);
}

static void who_is_recalled_stays(void **state)
{
	struct session_id id = remember();

	(void)state;
	sessions_release(s, &id, true);
	clock_fake_advance((GRACE - 1) * 1000);
	assert_true(sessions_recall(s, &id));
	assert_true(sessions_recall(s, &id));
	clock_fake_advance(10 * GRACE * 1000);
	assert_int_equal(sweep(), 0);
	assert_int_equal(sessions_release(s, &id, false), 0); /* held by the other */
	assert_int_not_equal(sessions_release(s, &id, false), 0);
	clock_fake_advance(GRACE * 1000);
	assert_int_equal(sweep(), 1);
}

static void an_unknown_id_is_not_recalled(void **state)
{
	struct session_id id;

	(void)state;
	session_id_make(&id);
	assert_false(sessions_recall(s, &id));
	assert_int_equal(sessions_count(s), 0);
}

static void the_longest_idle_makes_room(void **state)
{
	struct session_id ids[MAX], fresh;

	(void)state;
	for (size_t i = 0; i < MAX; i++)
		ids[i] = remember();
	session_id_make(&fresh);
	assert_int_equal(sessions_remember(s, c, &fresh), -ENOBUFS);
	sessions_release(s, &ids[0], true); /* present: kept */
	assert_int_equal(sessions_remember(s, c, &fresh), -ENOBUFS);
	sessions_release(s, &ids[1], false);
	assert_int_equal(sessions_remember(s, c, &fresh), 0);
	assert_int_equal(sessions_count(s), MAX);
	assert_false(sessions_recall(s, &ids[1]));
	assert_true(sessions_recall(s, &ids[0]));
}

static void a_sweep_does_no_more_than_it_may(void **state)
{
	(void)state;
	for (size_t i = 0; i < MAX; i++) {
		struct session_id id = remember();
		sessions_release(s, &id, i % 2);
	}
	clock_fake_advance(GRACE * 1000);
	assert_int_equal(sessions_sweep(s, c, clock_mono_ms(), 3), 3);
	assert_int_equal(sessions_sweep(s, c, clock_mono_ms(), 3), 1);
}

static void who_is_noted_is_known_for_the_grace(void **state)
{
	struct session_id id;

	(void)state;
	session_id_make(&id);
	uint64_t due = sessions_note(s, c, &id);
	assert_int_equal(due, clock_mono_ms() + GRACE);
	assert_int_equal(sessions_next_due(s), due);
	assert_true(sessions_recall(s, &id));
	clock_fake_advance(10 * GRACE * 1000);
	assert_int_equal(sweep(), 0);
	assert_int_not_equal(sessions_release(s, &id, false), 0);
	for (size_t i = 0; i < 3 * MAX; i++) { /* and those that are noted make room for others */
		struct session_id other;

		session_id_make(&other);
		assert_int_not_equal(sessions_note(s, c, &other), 0);
	}
	assert_int_equal(sessions_count(s), MAX);
}

static void nobody_is_noted_where_all_are_held(void **state)
{
	struct session_id id;

	(void)state;
	for (size_t i = 0; i < MAX; i++)
		(void)remember();
	session_id_make(&id);
	assert_int_equal(sessions_note(s, c, &id), 0);
	assert_false(sessions_recall(s, &id));
}

/* More than fit into the first buckets and blocks, some of them gone in between. */
static void many_are_told_apart(void **state)
{
	static struct session_id ids[5000];
	struct sessions *many = sessions_new(5000, GRACE);
	const size_t n = 5000;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		session_id_make(&ids[i]);
		assert_int_equal(sessions_remember(many, c, &ids[i]), 0);
		if (i % 3 == 0)
			assert_int_not_equal(sessions_release(many, &ids[i], i % 2), 0);
	}
	clock_fake_advance(GRACE * 1000);
	assert_int_equal(sessions_sweep(many, c, clock_mono_ms(), SIZE_MAX), (n + 2) / 3);
	for (size_t i = 0; i < n; i += 3) {
		assert_false(sessions_recall(many, &ids[i]));
		session_id_make(&ids[i]);
		assert_int_equal(sessions_remember(many, c, &ids[i]), 0);
	}
	for (size_t i = 0; i < n; i++) {
		assert_true(sessions_recall(many, &ids[i]));
		assert_int_equal(sessions_release(many, &ids[i], false), 0);
		assert_int_not_equal(sessions_release(many, &ids[i], false), 0);
	}
	clock_fake_advance(GRACE * 1000);
	assert_int_equal(sessions_sweep(many, c, clock_mono_ms(), SIZE_MAX), n);
	sessions_free(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_is_noted_is_known_for_the_grace, setup,
						teardown),
		cmocka_unit_test_setup_teardown(nobody_is_noted_where_all_are_held, setup,
						teardown),
		cmocka_unit_test_setup_teardown(many_are_told_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(a_session_is_known_until_the_grace_is_over, setup,
						teardown),
		cmocka_unit_test_setup_teardown(who_is_recalled_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unknown_id_is_not_recalled, setup, teardown),
		cmocka_unit_test_setup_teardown(the_longest_idle_makes_room, setup, teardown),
		cmocka_unit_test_setup_teardown(a_sweep_does_no_more_than_it_may, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
