/* SPDX-License-Identifier: MIT */
/* clock: moves forward by itself; stands still and moves by hand when faked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "base/clock.h"

static void test_real_hands(void **state)
{
	uint64_t before = clock_mono_us();
	int64_t wall_ms = clock_wall_ms();
	int64_t now_ms = (int64_t)time(NULL) * 1000;

	assert_true(before > 0);
	assert_true(clock_mono_us() >= before);
	assert_true(clock_mono_ms() >= before / 1000);
	assert_true(clock_wall_s() >= wall_ms / 1000 - 1 && clock_wall_s() <= now_ms / 1000 + 60);
	assert_true(wall_ms > now_ms - 60000 && wall_ms < now_ms + 60000);
}

static void test_fake_hands_stand_still(void **state)
{
	clock_fake_set(5000123, 1790000000123);
	assert_int_equal(clock_mono_us(), 5000123);
	assert_int_equal(clock_mono_ms(), 5000);
	assert_int_equal(clock_wall_ms(), 1790000000123);
	assert_int_equal(clock_wall_s(), 1790000000);
	assert_int_equal(clock_mono_us(), 5000123);
	clock_fake_off();
	assert_int_not_equal(clock_mono_us(), 5000123);
}

static void test_small_steps_add_up(void **state)
{
	clock_fake_set(0, 1000);
	for (int i = 0; i < 2500; i++)
		clock_fake_advance(1);
	assert_int_equal(clock_mono_us(), 2500);
	assert_int_equal(clock_mono_ms(), 2);
	assert_int_equal(clock_wall_ms(), 1002);
	clock_fake_off();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_hands),
		cmocka_unit_test(test_fake_hands_stand_still),
		cmocka_unit_test(test_small_steps_add_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
