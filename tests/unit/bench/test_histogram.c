/* SPDX-License-Identifier: MIT */
/* histogram: quantiles are right to 1.6 %, small values and the largest one exactly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "bench/histogram.h"

static struct histogram h;

static int empty(void **state)
{
	memset(&h, 0, sizeof(h));
	return 0;
}

static void test_nothing_has_no_quantiles(void **state)
{
	assert_true(histogram_quantile(&h, 0.5) < 1e-9);
	assert_int_equal(h.n, 0);
}

static void test_one_value_is_every_quantile(void **state)
{
	for (uint64_t value = 1; value < UINT64_MAX / 8; value = value * 3 + 1) {
		memset(&h, 0, sizeof(h));
		histogram_add(&h, value);
		assert_int_equal(h.max, value);
		for (double part = 0; part <= 1; part += 0.25)
			assert_true(fabs(histogram_quantile(&h, part) - (double)value) <=
				    (double)value * 0.016);
	}
}

static void test_quantiles_of_many_values(void **state)
{
	for (uint64_t value = 1; value <= 100000; value++)
		histogram_add(&h, value);
	for (double part = 0.01; part < 1; part += 0.01)
		assert_true(fabs(histogram_quantile(&h, part) - part * 100000) <=
			    part * 100000 * 0.017 + 1);
	assert_int_equal(h.max, 100000);
	assert_int_equal(h.n, 100000);
}

static void test_a_rare_large_value_shows_only_beyond_its_rank(void **state)
{
	for (int i = 0; i < 999; i++)
		histogram_add(&h, 10);
	histogram_add(&h, 1000000);
	assert_true(histogram_quantile(&h, 0.998) < 11);
	assert_true(histogram_quantile(&h, 0.9995) > 980000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_nothing_has_no_quantiles, empty),
		cmocka_unit_test_setup(test_one_value_is_every_quantile, empty),
		cmocka_unit_test_setup(test_quantiles_of_many_values, empty),
		cmocka_unit_test_setup(test_a_rare_large_value_shows_only_beyond_its_rank, empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
