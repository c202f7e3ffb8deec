/* SPDX-License-Identifier: MIT */
/* pool: objects are zeroed and apart, what is given back is used again, and empty blocks go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "base/obj.h"
#include "base/pool.h"

#define SIZE 168
#define N    1999 /* several blocks; a prime, so that any step goes around all */

struct thing {
	uint64_t words[SIZE / 8];
};

static struct thing *things[N];

static bool is_zero(const struct thing *t)
{
	static const struct thing zero;

	return memcmp(t, &zero, sizeof(zero)) == 0;
}

static void fill(struct thing *t, size_t with)
{
	for (size_t i = 0; i < ARRAY_LEN(t->words); i++)
		t->words[i] = with;
}

static bool holds(const struct thing *t, size_t with)
{
	for (size_t i = 0; i < ARRAY_LEN(t->words); i++)
		if (t->words[i] != with)
			return false;
	return true;
}

static void take_all(struct pool *p)
{
	for (size_t i = 0; i < N; i++) {
		things[i] = pool_take(p, SIZE);
		assert_true(is_zero(things[i]));
		fill(things[i], i + 1);
	}
}

static void test_objects_are_zeroed_and_apart(void **state)
{
	struct pool p = {0};

	take_all(&p);
	for (size_t i = 0; i < N; i++)
		assert_true(holds(things[i], i + 1));
	/* Every second one goes, and comes back zeroed; the others are untouched. */
	for (size_t i = 0; i < N; i += 2)
		pool_give(&p, things[i]);
	for (size_t i = 0; i < N; i += 2) {
		things[i] = pool_take(&p, SIZE);
		assert_true(is_zero(things[i]));
		fill(things[i], i + 1);
	}
	for (size_t i = 0; i < N; i++) {
		assert_true(holds(things[i], i + 1));
		pool_give(&p, things[i]);
	}
	pool_fini(&p);
}

static void test_any_order_of_giving_back(void **state)
{
	struct pool p = {0};

	for (size_t step = 1; step < N; step += 700) {
		take_all(&p);
		for (size_t i = 0; i < N; i++)
			pool_give(&p, things[i * step % N]);
		assert_true(LIST_EMPTY(&p.roomy));
		assert_true(p.spare_n <= 4);
	}
	pool_fini(&p);
}

static void test_an_empty_pool_owns_nothing(void **state)
{
	struct pool p = {0};

	pool_give(&p, NULL);
	assert_true(LIST_EMPTY(&p.roomy));
	pool_fini(&p);
}

static void test_can_be_used_after_it_was_empty(void **state)
{
	struct pool p = {0};

	for (size_t i = 0; i < 10; i++) {
		struct thing *t = pool_take(&p, SIZE);

		assert_true(is_zero(t));
		fill(t, 1);
		pool_give(&p, t);
	}
	pool_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_are_zeroed_and_apart),
		cmocka_unit_test(test_any_order_of_giving_back),
		cmocka_unit_test(test_an_empty_pool_owns_nothing),
		cmocka_unit_test(test_can_be_used_after_it_was_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
