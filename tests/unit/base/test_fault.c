/* SPDX-License-Identifier: MIT */
/* fault: the table's codes and statuses; a message that stays UTF-8 when it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/fault.h"
#include "base/utf8.h"

static void test_rows_of_the_table(void **state)
{
	assert_string_equal(fault_code(FAULT_BAD_CHANNEL), "bad_channel");
	assert_int_equal(fault_status(FAULT_BAD_CHANNEL), 400);
	assert_int_equal(fault_status(FAULT_STORE_UNAVAILABLE), 503);
	for (int i = FAULT_NONE + 1; i < FAULT_COUNT; i++) {
		assert_in_range(fault_status((enum fault_id)i), 400, 599);
		assert_true(strlen(fault_code((enum fault_id)i)) > 0);
	}
}

static void test_set(void **state)
{
	struct fault f = {FAULT_NONE, ""};

	assert_int_equal(fault_set(&f, FAULT_NO_CHANNEL, "name %d channel", 1), -EINVAL);
	assert_int_equal(f.id, FAULT_NO_CHANNEL);
	assert_string_equal(f.message, "name 1 channel");
	assert_int_equal(fault_set(NULL, FAULT_NO_CHANNEL, "x"), -EINVAL);
	fault_set(&f, FAULT_BAD_JSON, "in frame 3: %s", f.message);
	assert_string_equal(f.message, "in frame 3: name 1 channel");
}

/* Put characters of every size at every place where the cut may fall. */
static void test_cut_between_characters(void **state)
{
	static const char *const characters[] = {"x", "é", "€", "😀"};
	struct fault f;

	for (size_t c = 0; c < ARRAY_LEN(characters); c++) {
		size_t size = strlen(characters[c]);
		for (size_t pad = 0; pad < 5; pad++) {
			char text[1024] = "";
			memset(text, 'a', pad);
			for (size_t n = pad; n + size < 600; n += size)
				memcpy(text + n, characters[c], size + 1);
			fault_set(&f, FAULT_INTERNAL, "%s", text);
			assert_true(utf8_is_valid(f.message, strlen(f.message)));
			assert_true(strlen(f.message) < sizeof(f.message));
			assert_true(strlen(f.message) + size >= sizeof(f.message));
		}
	}
}

static void test_exact_fit_is_not_cut(void **state)
{
	char text[sizeof(((struct fault *)0)->message)];
	struct fault f;

	memset(text, 'a', sizeof(text));
	memcpy(text + sizeof(text) - 4, "€", 4);
	fault_set(&f, FAULT_INTERNAL, "%s", text);
	assert_string_equal(f.message, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_of_the_table),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_cut_between_characters),
		cmocka_unit_test(test_exact_fit_is_not_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
