/* SPDX-License-Identifier: MIT */
/* query: request paths with encoded parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/query.h"

static void test_parameters(void **state)
{
	struct buf b;

	buf_init(&b, 1024);
	buf_add_str(&b, "/v1/poll");
	query_add(&b, "channel", SLICE("room:1/x"));
	query_add(&b, "channel", SLICE("a&b=c #%+?\"\xc3\xb6"));
	query_add(&b, "empty", SLICE(""));
	query_add_u64(&b, "limit", UINT64_MAX);
	buf_add_char(&b, '\0');
	assert_string_equal(b.p, "/v1/poll?channel=room:1/x"
				 "&channel=a%26b%3Dc%20%23%25%2B%3F%22%C3%B6&empty="
				 "&limit=18446744073709551615");
	buf_fini(&b);
}

static void test_nul_is_encoded(void **state)
{
	struct buf b;

	buf_init(&b, 1024);
	buf_add_str(&b, "/x");
	query_add(&b, "a", slice_make("\0", 1));
	buf_add_char(&b, '\0');
	assert_string_equal(b.p, "/x?a=%00");
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_nul_is_encoded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
