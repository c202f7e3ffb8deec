/* SPDX-License-Identifier: MIT */
/* problem: a text that always ends, whoever writes it and however long it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/problem.h"

static void test_returns_the_code(void **state)
{
	struct problem p;

	assert_int_equal(problem_set(&p, -EINVAL, "line %d: no such option", 7), -EINVAL);
	assert_string_equal(p.text, "line 7: no such option");
	assert_int_equal(problem_set(NULL, -ENOENT, "x"), -ENOENT);
}

static void test_long_text_is_cut(void **state)
{
	char text[2000];
	struct problem p;

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	problem_set(&p, 0, "%s", text);
	assert_int_equal(strlen(p.text), sizeof(p.text) - 1);
}

static void test_wraps_its_own_text(void **state)
{
	struct problem p;

	problem_set(&p, 0, "disk is full");
	problem_set(&p, 0, "opening %s: %s", "holdfast.db", p.text);
	assert_string_equal(p.text, "opening holdfast.db: disk is full");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_returns_the_code),
		cmocka_unit_test(test_long_text_is_cut),
		cmocka_unit_test(test_wraps_its_own_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
