/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/session_id.h"

static void an_id_reads_back_what_was_written(void **state)
{
	char text[SESSION_ID_TEXT + 1], name[SESSION_NAME_TEXT + 1];
	struct session_id a, b;

	(void)state;
	session_id_make(&a);
	session_id_format(text, &a);
	assert_int_equal(strlen(text), 32);
	assert_true(session_id_parse(slice_str(text), &b));
	assert_memory_equal(&a, &b, sizeof(a));
	session_name_format(name, &a);
	assert_int_equal(strlen(name), 16);
	assert_memory_equal(name, text, 16);
}

static void two_ids_differ_in_both_halves(void **state)
{
	struct session_id a, b;

	(void)state;
	session_id_make(&a);
	session_id_make(&b);
	assert_memory_not_equal(a.bytes, b.bytes, 8);
	assert_memory_not_equal(a.bytes + 8, b.bytes + 8, 8);
}

static void what_is_no_id_changes_nothing(void **state)
{
	static const char *const bad[] = {
		"",
		"0",
		"0123456789abcdef0123456789abcde",
		"0123456789abcdef0123456789abcdef0",
		"0123456789ABCDEF0123456789abcdef",
		"0123456789abcdeg0123456789abcdef",
		"0123456789abcdef 123456789abcdef",
		"0123456789abcdef",
	};
	struct session_id id;

	(void)state;
	memset(&id, 7, sizeof(id));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(session_id_parse(slice_str(bad[i]), &id));
		assert_int_equal(id.bytes[0], 7);
	}
	assert_false(session_id_parse((struct slice){NULL, 0}, &id));
	assert_false(session_name_parse(slice_str("0123456789abcde"), &id));
	assert_int_equal(id.bytes[15], 7);
}

static void a_name_is_the_lowest_id_of_it(void **state)
{
	struct session_id id;

	(void)state;
	assert_true(session_name_parse(SLICE("00ff000000000001"), &id));
	assert_int_equal(id.bytes[1], 0xff);
	assert_int_equal(id.bytes[7], 1);
	for (size_t i = 8; i < 16; i++)
		assert_int_equal(id.bytes[i], 0);
}

static void two_halves_make_the_id_again(void **state)
{
	struct session_id id, again;

	(void)state;
	session_id_make(&id);
	again = session_id_join(session_name_value(&id), session_id_secret(&id));
	assert_memory_equal(&again, &id, sizeof(id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_reads_back_what_was_written),
		cmocka_unit_test(two_ids_differ_in_both_halves),
		cmocka_unit_test(what_is_no_id_changes_nothing),
		cmocka_unit_test(a_name_is_the_lowest_id_of_it),
		cmocka_unit_test(two_halves_make_the_id_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
