/* SPDX-License-Identifier: MIT */
/* merge: the heap of cursors. */
#include "tests/unit/store/store_test.h"

#include "store/merge.h"

static void test_order(void **state)
{
	struct merge m = {0};
	struct merge_cursor c[50];
	unsigned seed = 7;

	(void)state;
	for (int round = 0; round < 20; round++) {
		size_t n = (size_t)(seed % 50);
		uint64_t last = 0, given = 0, want = 0;
		merge_reset(&m, n);
		for (size_t i = 0; i < n; i++) {
			seed = seed * 1664525u + 1013904223u;
			c[i].seq = (seed >> 8) % 100;
			want += c[i].seq < 1000 ? (1000 - c[i].seq + 99) / 100 : 0;
			merge_push(&m, &c[i]);
		}
		/* each cursor moves in steps of 100 until it has passed 1000 */
		struct merge_cursor *top;
		while ((top = merge_top(&m)) != NULL) {
			assert_true(top->seq >= last);
			last = top->seq;
			given++;
			top->seq += 100;
			if (top->seq < 1000)
				merge_sink(&m);
			else
				merge_pop(&m);
		}
		assert_int_equal(given, want);
		seed += 13;
	}
	merge_fini(&m);
}

static void test_empty(void **state)
{
	struct merge m = {0};

	(void)state;
	merge_reset(&m, 0);
	assert_null(merge_top(&m));
	merge_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
