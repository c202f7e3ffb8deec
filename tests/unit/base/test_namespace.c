/* SPDX-License-Identifier: MIT */
/* namespace: the part before the first colon decides, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/namespace.h"
#include "base/obj.h"

static void test_find(void **state)
{
	static const struct {
		const char *channel;
		size_t index;
	} cases[] = {
		{"news", 0},   {"news:", 1},    {"news:a", 1},   {"news:a:b", 1},
		{"chat:x", 2}, {"chatty:x", 0}, {"cha:x", 0},    {"NEWS:a", 0},
		{":news", 0},  {"", 0},         {"a:news:b", 0}, {"chat", 0},
	};
	struct namespace_table *t = namespace_table_new(3);

	strcpy(t->ns[1].name, "news");
	strcpy(t->ns[2].name, "chat");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_ptr_equal(namespace_find(t, slice_str(cases[i].channel)),
				 &t->ns[cases[i].index]);
	namespace_table_unref(t);
}

static void test_table_is_zeroed_and_counted(void **state)
{
	struct namespace_table *t = namespace_table_new(1);

	assert_int_equal(t->n, 1);
	assert_string_equal(t->ns[0].name, "");
	assert_int_equal(t->ns[0].history_count, 0);
	assert_ptr_equal(namespace_table_ref(t), t);
	assert_null(namespace_table_unref(t));
	assert_ptr_equal(namespace_find(t, SLICE("a:b")), &t->ns[0]);
	assert_null(namespace_table_unref(t));
	assert_null(namespace_table_unref(NULL));
}

static void test_channel_names(void **state)
{
	char name[256];

	for (int c = 0; c < 256; c++) {
		bool valid = c > ' ' && c <= '~' && c != '*';
		name[0] = 'a';
		name[1] = (char)c;
		if (valid)
			assert_null(channel_name_problem(slice_make(name, 2)));
		else
			assert_non_null(channel_name_problem(slice_make(name, 2)));
	}
	memset(name, 'a', sizeof(name));
	assert_null(channel_name_problem(slice_make(name, 1)));
	assert_null(channel_name_problem(slice_make(name, 255)));
	assert_non_null(channel_name_problem(slice_make(name, 256)));
	assert_non_null(channel_name_problem(slice_make(name, 0)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_table_is_zeroed_and_counted),
		cmocka_unit_test(test_channel_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
