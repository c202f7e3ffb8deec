/* SPDX-License-Identifier: MIT */
/* pattern: one star, at the end, behind a prefix that names its namespace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/obj.h"
#include "base/pattern.h"

static void test_problem(void **state)
{
	static const struct {
		const char *text;
		bool is_good, is_good_any;
	} cases[] = {
		{"room:*", true, true},
		{"room:a:b*", true, true},
		{":*", true, true},
		{"*", false, true},
		{"room*", false, true},
		{"room:", false, false},
		{"room:**", false, false},
		{"ro*m:*", false, false},
		{"*:", false, false},
		{"**", false, false},
		{"", false, false},
		{"room: *", false, false},
		{"r\xc3\xb6:*", false, false},
	};
	char text[300];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice s = slice_str(cases[i].text);

		assert_int_equal(pattern_problem(s, false) == NULL, cases[i].is_good);
		assert_int_equal(pattern_problem(s, true) == NULL, cases[i].is_good_any);
	}
	memset(text, ':', sizeof(text));
	text[254] = text[255] = '*';
	assert_null(pattern_problem(slice_make(text, 255), false));
	text[254] = ':';
	assert_non_null(pattern_problem(slice_make(text, 256), false));
}

static void test_matches(void **state)
{
	assert_true(pattern_matches(SLICE("room:*"), SLICE("room:1")));
	assert_true(pattern_matches(SLICE("room:*"), SLICE("room:")));
	assert_true(pattern_matches(SLICE("*"), SLICE("a")));
	assert_false(pattern_matches(SLICE("room:*"), SLICE("room")));
	assert_false(pattern_matches(SLICE("room:*"), SLICE("rooms:1")));
	assert_true(pattern_matches(SLICE("room:1"), SLICE("room:1")));
	assert_false(pattern_matches(SLICE("room:1"), SLICE("room:12")));
}

static void test_namespaces(void **state)
{
	static const struct {
		const char *text;
		const char *met; /* by which entries, as digits */
	} cases[] = {
		{"room:*", "1"}, {"room:a*", "1"}, {"roof:*", "2"}, {"other:*", "0"}, {"*", "012"},
		{"ro*", "012"},  {"roo*", "012"},  {"room*", "01"}, {"rooms*", "0"},  {":*", "0"},
		{"x*", "0"},     {"room:1", "1"},  {"room", "0"},   {"x", "0"},
	};
	struct namespace_table *t = namespace_table_new(3);

	strcpy(t->ns[1].name, "room");
	strcpy(t->ns[2].name, "roof");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t k = 0; k < t->n; k++) {
			bool want = strchr(cases[i].met, (int)('0' + k)) != NULL;

			assert_int_equal(pattern_meets_namespace(t, k, slice_str(cases[i].text)),
					 want);
		}
	}
	namespace_table_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_problem),
		cmocka_unit_test(test_matches),
		cmocka_unit_test(test_namespaces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
