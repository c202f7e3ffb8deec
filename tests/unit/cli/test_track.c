/* SPDX-License-Identifier: MIT */
/* track: the cursor, repeats, and the chain of prev. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "cli/track.h"

static enum track_verdict message(struct track *t, const char *channel, const char *id,
				  const char *prev)
{
	return track_message(t, slice_str(channel), slice_str(id), slice_str(prev));
}

static void test_cursor_follows_the_messages(void **state)
{
	struct track t;

	track_init(&t);
	assert_int_equal(message(&t, "a", "k.1", ""), TRACK_NEW);
	assert_int_equal(message(&t, "b", "k.2", ""), TRACK_NEW);
	assert_int_equal(message(&t, "a", "k.10", "k.1"), TRACK_NEW);
	assert_string_equal(t.cursor, "k.10");
	assert_string_equal(track_last(&t, SLICE("a")), "k.10");
	assert_string_equal(track_last(&t, SLICE("b")), "k.2");
	assert_string_equal(track_last(&t, SLICE("c")), "");
	track_fini(&t);
}

static void test_repeats_are_dropped(void **state)
{
	struct track t;

	track_init(&t);
	message(&t, "a", "k.9", "");
	message(&t, "a", "k.10", "k.9");
	assert_int_equal(message(&t, "a", "k.9", ""), TRACK_DUPLICATE);
	assert_int_equal(message(&t, "a", "k.10", "k.9"), TRACK_DUPLICATE);
	assert_string_equal(t.cursor, "k.10");
	assert_int_equal(message(&t, "a", "k.11", "k.10"), TRACK_NEW);
	track_fini(&t);
}

static void test_broken_chain_is_seen(void **state)
{
	struct track t;

	track_init(&t);
	assert_int_equal(message(&t, "a", "k.5", "k.4"), TRACK_NEW); /* the first may have any */
	assert_int_equal(message(&t, "a", "k.7", "k.6"), TRACK_BROKEN);
	assert_int_equal(message(&t, "a", "k.8", ""), TRACK_BROKEN);
	assert_int_equal(message(&t, "a", "k.9", "k.8"), TRACK_NEW);
	assert_string_equal(t.cursor, "k.9");
	track_fini(&t);
}

static void test_gap_excuses_one_channel(void **state)
{
	struct track t;

	track_init(&t);
	message(&t, "a", "k.1", "");
	message(&t, "b", "k.2", "");
	track_gap(&t, SLICE("a"));
	assert_int_equal(message(&t, "a", "k.8", "k.7"), TRACK_NEW);
	assert_int_equal(message(&t, "b", "k.9", "k.6"), TRACK_BROKEN);
	track_fini(&t);
}

static void test_a_gap_of_a_pattern_is_one_of_all_its_channels(void **state)
{
	struct track t;

	track_init(&t);
	message(&t, "r:1", "k.5", "");
	message(&t, "r:2", "k.6", "");
	message(&t, "s:1", "k.7", "");
	track_gap(&t, SLICE("r:*"));
	assert_int_equal(message(&t, "r:1", "k.18", "k.17"), TRACK_NEW);
	assert_int_equal(message(&t, "r:2", "k.19", "k.16"), TRACK_NEW);
	assert_int_equal(message(&t, "s:1", "k.20", "k.15"), TRACK_BROKEN);
	track_fini(&t);
}

static void test_disorder_between_channels_is_told_and_not_dropped(void **state)
{
	struct track t;

	track_init(&t);
	message(&t, "a", "k.5", "");
	assert_int_equal(message(&t, "b", "k.3", ""), TRACK_DISORDER);
	assert_string_equal(t.cursor, "k.5");
	assert_string_equal(track_last(&t, SLICE("b")), "k.3");
	track_fini(&t);
}

static void test_new_epoch_starts_again(void **state)
{
	struct track t;

	track_init(&t);
	message(&t, "a", "k.500", "");
	track_gap(&t, SLICE("a"));
	assert_int_equal(message(&t, "a", "z.1", ""), TRACK_NEW);
	assert_string_equal(t.cursor, "z.1");
	track_fini(&t);
}

static void test_hello_gives_a_cursor_only_when_ours_is_of_no_use(void **state)
{
	struct track t;

	track_init(&t);
	track_hello(&t, SLICE("k.3"));
	assert_string_equal(t.cursor, "k.3");
	track_hello(&t, SLICE("k.9"));
	assert_string_equal(t.cursor, "k.3");
	track_hello(&t, SLICE("z.1"));
	assert_string_equal(t.cursor, "z.1");
	track_set_cursor(&t, SLICE("rubbish"));
	track_hello(&t, SLICE("z.1"));
	assert_string_equal(t.cursor, "z.1");
	track_hello(&t, SLICE(""));
	assert_string_equal(t.cursor, "z.1");
	track_fini(&t);
}

static void test_many_channels(void **state)
{
	struct track t;
	char channel[16], id[16];

	track_init(&t);
	for (int i = 0; i < 500; i++) {
		snprintf(channel, sizeof(channel), "c%d", i * 7919 % 500);
		snprintf(id, sizeof(id), "k.%d", i + 1);
		assert_int_equal(message(&t, channel, id, ""), TRACK_NEW);
	}
	assert_int_equal(t.chains_n, 500);
	for (int i = 0; i < 500; i++) {
		snprintf(channel, sizeof(channel), "c%d", i * 7919 % 500);
		snprintf(id, sizeof(id), "k.%d", i + 1);
		assert_string_equal(track_last(&t, slice_str(channel)), id);
	}
	track_fini(&t);
}

static void test_strange_ids_do_no_harm(void **state)
{
	char long_id[300];
	struct track t;

	memset(long_id, 'x', sizeof(long_id));
	track_init(&t);
	assert_int_equal(track_message(&t, SLICE("a"), slice_make(long_id, 300), SLICE("")),
			 TRACK_NEW);
	assert_string_equal(t.cursor, "");
	assert_int_equal(message(&t, "a", "noseq", ""), TRACK_NEW);
	assert_int_equal(message(&t, "a", "k.", "noseq"), TRACK_NEW);
	assert_int_equal(message(&t, "a", "k.99999999999999999999999", "k."), TRACK_NEW);
	track_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_gap_of_a_pattern_is_one_of_all_its_channels),
		cmocka_unit_test(test_cursor_follows_the_messages),
		cmocka_unit_test(test_repeats_are_dropped),
		cmocka_unit_test(test_broken_chain_is_seen),
		cmocka_unit_test(test_gap_excuses_one_channel),
		cmocka_unit_test(test_disorder_between_channels_is_told_and_not_dropped),
		cmocka_unit_test(test_new_epoch_starts_again),
		cmocka_unit_test(test_hello_gives_a_cursor_only_when_ours_is_of_no_use),
		cmocka_unit_test(test_many_channels),
		cmocka_unit_test(test_strange_ids_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
