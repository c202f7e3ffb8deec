/* SPDX-License-Identifier: MIT */
/* map: uthash works over the keyed hash, and the key decides the hash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/map.h"

struct item {
	char key[16];
	int value;
	UT_hash_handle hh;
};

static void test_hash_depends_on_bytes_and_key(void **state)
{
	unsigned before = map_hash("news", 4);
	int same = 0;

	assert_int_equal(map_hash("news", 4), before);
	assert_int_not_equal(map_hash("newt", 4), before);
	assert_int_not_equal(map_hash("news", 3), before);
	/* Two keys of 1000 may agree on 32 bits by chance; all of them do not. */
	for (int i = 0; i < 1000; i++) {
		map_seed();
		same += map_hash("news", 4) == before;
	}
	assert_in_range(same, 0, 2);
}

static void test_entries(void **state)
{
	struct item *map = NULL, *it, *next;
	static struct item items[2000];
	char key[16];

	for (int i = 0; i < 2000; i++) {
		items[i].value = i;
		snprintf(items[i].key, sizeof(items[i].key), "k%d", i);
		HASH_ADD_KEYPTR(hh, map, items[i].key, strlen(items[i].key), &items[i]);
	}
	for (int i = 0; i < 2000; i++) {
		int n = snprintf(key, sizeof(key), "k%d", i);
		HASH_FIND(hh, map, key, (size_t)n, it);
		assert_non_null(it);
		assert_int_equal(it->value, i);
	}
	HASH_FIND(hh, map, "nothing", 7, it);
	assert_null(it);
	HASH_ITER (hh, map, it, next)
		HASH_DEL(map, it);
	assert_null(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash_depends_on_bytes_and_key),
		cmocka_unit_test(test_entries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
