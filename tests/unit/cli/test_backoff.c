/* SPDX-License-Identifier: MIT */
/* backoff: full jitter between zero and a bound that doubles up to a cap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/backoff.h"

static void test_bound_doubles_to_the_cap(void **state)
{
	struct backoff b = {0};
	uint64_t want = BACKOFF_BASE_MS;

	for (int i = 0; i < 100; i++) {
		uint64_t wait = backoff_next(&b, 0, UINT32_MAX);
		assert_true(wait <= want && wait + 1 >= want);
		want = want * 2 > BACKOFF_CAP_MS ? BACKOFF_CAP_MS : want * 2;
	}
}

static void test_jitter_is_full(void **state)
{
	struct backoff b = {.base_ms = 1000};

	assert_int_equal(backoff_next(&b, 0, 0), 0);
	backoff_reset(&b);
	assert_int_equal(backoff_next(&b, 0, 1u << 31), 500);
}

static void test_floor_is_the_servers_wish(void **state)
{
	struct backoff b = {0};

	assert_int_equal(backoff_next(&b, 7000, 0), 7000);
	assert_int_equal(backoff_next(&b, 60000, UINT32_MAX), 60000);
}

static void test_reset(void **state)
{
	struct backoff b = {.base_ms = 2000};

	for (int i = 0; i < 5; i++)
		backoff_next(&b, 0, 0);
	backoff_reset(&b);
	assert_in_range(backoff_next(&b, 0, UINT32_MAX), 1999, 2000);
}

static void test_base_above_the_cap_is_the_cap(void **state)
{
	struct backoff b = {.base_ms = 10 * BACKOFF_CAP_MS};

	assert_true(backoff_next(&b, 0, UINT32_MAX) <= BACKOFF_CAP_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bound_doubles_to_the_cap),
		cmocka_unit_test(test_jitter_is_full),
		cmocka_unit_test(test_floor_is_the_servers_wish),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_base_above_the_cap_is_the_cap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
