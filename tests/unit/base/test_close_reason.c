/* SPDX-License-Identifier: MIT */
/* close_reason: every reason has a code, a text of its own and its own counter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/close_reason.h"

static void test_rows_of_the_table(void **state)
{
	const struct close_reason_info *info = close_reason_info(CLOSE_DRAIN);

	assert_int_equal(info->ws_code, 1001);
	assert_true(info->may_reconnect);
	assert_false(info->is_error);
	assert_string_equal(info->text, "drain");
	assert_int_equal(info->counter, COUNTER_CLOSED_DRAIN);
	assert_false(close_reason_info(CLOSE_PROTOCOL)->may_reconnect);
	assert_true(close_reason_info(CLOSE_PROTOCOL)->is_error);
}

static void test_every_reason_is_complete_and_unique(void **state)
{
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		const struct close_reason_info *a = close_reason_info((enum close_reason)i);
		assert_in_range(a->ws_code, 1000, 1015);
		assert_true(strlen(a->text) > 0);
		for (int k = 0; k < i; k++) {
			const struct close_reason_info *b = close_reason_info((enum close_reason)k);
			assert_string_not_equal(a->text, b->text);
			assert_int_not_equal(a->counter, b->counter);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_of_the_table),
		cmocka_unit_test(test_every_reason_is_complete_and_unique),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
