/* SPDX-License-Identifier: MIT */
/* suggest: the nearest name, and silence when none is near. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>

#include "base/obj.h"
#include "cli/suggest.h"

static const char *nearest(const char *typed)
{
	static const char *const names[] = {"pub",     "sub",         "history", "channels",
					    "channel", "connections", "stats"};
	struct suggest s;

	suggest_start(&s, slice_str(typed));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		suggest_offer(&s, names[i]);
	return suggest_best(&s);
}

static void test_distance(void **state)
{
	assert_int_equal(suggest_distance(SLICE(""), SLICE("")), 0);
	assert_int_equal(suggest_distance(SLICE("abc"), SLICE("")), 3);
	assert_int_equal(suggest_distance(SLICE("stats"), SLICE("stats")), 0);
	assert_int_equal(suggest_distance(SLICE("satts"), SLICE("stats")), 1);
	assert_int_equal(suggest_distance(SLICE("stat"), SLICE("stats")), 1);
	assert_int_equal(suggest_distance(SLICE("kitten"), SLICE("sitting")), 3);
	assert_int_equal(
		suggest_distance(SLICE("an-option-that-is-far-too-long-for-us"), SLICE("a")),
		UINT_MAX);
}

static void test_nearest(void **state)
{
	assert_string_equal(nearest("chanels"), "channels");
	assert_string_equal(nearest("histroy"), "history");
	assert_string_equal(nearest("conn"), "connections");
	assert_string_equal(nearest("pbu"), "pub");
	assert_string_equal(nearest("stat"), "stats");
}

static void test_nothing_near(void **state)
{
	assert_null(nearest("frobnicate"));
	assert_null(nearest("x"));
	assert_null(nearest("an-option-that-is-far-too-long-for-us"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distance),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_nothing_near),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
