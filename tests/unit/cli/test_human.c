/* SPDX-License-Identifier: MIT */
/* human: sizes, ages, rates, and text that can not drive a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/human.h"

static void check_safe(struct slice in, const char *want)
{
	struct buf b;

	buf_init(&b, 0);
	assert_int_equal(human_add_safe(&b, in), 0);
	buf_add_char(&b, '\0');
	assert_string_equal(b.p, want);
	buf_fini(&b);
}

static void test_sizes(void **state)
{
	assert_string_equal(human_size(0), "0 B");
	assert_string_equal(human_size(1023), "1023 B");
	assert_string_equal(human_size(1024), "1.0 KiB");
	assert_string_equal(human_size(10 * 1024 + 512), "10 KiB");
	assert_string_equal(human_size(1024 * 1024 - 1), "1.0 MiB");
	assert_string_equal(human_size((uint64_t)5 << 30), "5.0 GiB");
	assert_string_equal(human_size(UINT64_MAX), "16 EiB");
}

static void test_ages(void **state)
{
	assert_string_equal(human_age(0), "0.0s");
	assert_string_equal(human_age(9999), "9.9s");
	assert_string_equal(human_age(59999), "59s");
	assert_string_equal(human_age(60000), "1m 0s");
	assert_string_equal(human_age(3599999), "59m 59s");
	assert_string_equal(human_age(2 * 3600000 + 180000), "2h 3m");
	assert_string_equal(human_age(50ull * 3600000), "2d 2h");
}

static void test_rates(void **state)
{
	assert_string_equal(human_rate(0), "0");
	assert_string_equal(human_rate(0.52), "0.5");
	assert_string_equal(human_rate(17.4), "17");
	assert_string_equal(human_rate(999.6), "1.0k");
	assert_string_equal(human_rate(34567), "35k");
	assert_string_equal(human_rate(5600000), "5.6M");
}

static void test_texts_live_for_sixteen_calls(void **state)
{
	const char *first = human_size(1);

	for (int i = 0; i < 15; i++)
		human_size(2);
	assert_string_equal(first, "1 B");
}

static void test_safe_text(void **state)
{
	check_safe(SLICE("plain w\xc3\xb6rds"), "plain w\xc3\xb6rds");
	check_safe(SLICE("two\nlines\r\tand \\"), "two\\nlines\\r\\tand \\\\");
	check_safe(SLICE("\033]0;title\007\177"), "\\x1b]0;title\\x07\\x7f");
	check_safe(SLICE("\0"), "\\x00");
	/* U+009B, CSI in eight bits, and its neighbour U+00A0, which is harmless */
	check_safe(SLICE("\xc2\x9b"
			 "31m \xc2\xa0"),
		   "\\x9b31m \xc2\xa0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_texts_live_for_sixteen_calls),
		cmocka_unit_test(test_safe_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
