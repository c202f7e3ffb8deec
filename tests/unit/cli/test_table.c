/* SPDX-License-Identifier: MIT */
/* table: aligned columns, page by page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "cli/table.h"

static char *print(struct table *t)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	table_print(t, f);
	fclose(f);
	return text;
}

static void check(struct table *t, const char *want)
{
	char *text = print(t);

	assert_string_equal(text, want);
	free(text);
}

static void test_columns_are_aligned(void **state)
{
	static const char *const heads[] = {"NAME", "N", "WHAT"};
	struct table t;

	table_init(&t, heads, "lrl");
	table_add(&t, "a");
	table_add(&t, "%d", 1);
	table_add(&t, "x");
	table_add(&t, "a long one");
	table_add(&t, "%d", 12345);
	table_add(&t, "y");
	check(&t, "NAME            N  WHAT\n"
		  "a               1  x\n"
		  "a long one  12345  y\n");
	table_fini(&t);
}

static void test_next_page_keeps_widths_and_has_no_head(void **state)
{
	static const char *const heads[] = {"A", "B"};
	struct table t;

	table_init(&t, heads, "ll");
	table_add(&t, "wide");
	table_add(&t, "1");
	check(&t, "A     B\nwide  1\n");
	table_add(&t, "x");
	table_add(&t, "2");
	check(&t, "x     2\n");
	table_fini(&t);
}

static void test_no_blanks_at_the_end_of_a_line(void **state)
{
	struct table t;

	table_init(&t, NULL, "ll");
	table_add(&t, "ab");
	table_add(&t, "cd");
	table_add(&t, "a");
	table_add(&t, "%s", "");
	check(&t, "ab  cd\na\n");
	table_fini(&t);
}

static void test_characters_are_counted_not_bytes(void **state)
{
	struct table t;

	table_init(&t, NULL, "ll");
	table_add(&t, "\xc3\xb6\xc3\xb6");
	table_add(&t, "1");
	table_add(&t, "abc");
	table_add(&t, "2");
	check(&t, "\xc3\xb6\xc3\xb6   1\nabc  2\n");
	table_fini(&t);
}

static void test_empty(void **state)
{
	static const char *const heads[] = {"A", "B"};
	struct table t;

	table_init(&t, heads, "lr");
	check(&t, "A  B\n");
	table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns_are_aligned),
		cmocka_unit_test(test_next_page_keeps_widths_and_has_no_head),
		cmocka_unit_test(test_no_blanks_at_the_end_of_a_line),
		cmocka_unit_test(test_characters_are_counted_not_bytes),
		cmocka_unit_test(test_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
