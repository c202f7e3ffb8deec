/* SPDX-License-Identifier: MIT */
/* census: counts by channel and kind; no entry without a subscriber; many threads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "base/obj.h"
#include "broker/census.h"

#define THREADS 4
#define ROUNDS  20000
#define NAMES   40

struct seen {
	size_t n;
	uint32_t total;
};

static void see(void *arg, struct slice channel, const struct census_row *row)
{
	struct seen *s = arg;

	UNUSED(channel);
	s->n++;
	for (size_t k = 0; k < KIND_COUNT; k++)
		s->total += row->by_kind[k];
}

static struct seen look(struct census *c, const char *prefix)
{
	struct seen s = {0};

	census_each(c, slice_str(prefix), see, &s);
	return s;
}

static void test_patterns_count_for_what_they_stand_for(void **state)
{
	struct census *c = census_new();
	char name[256];

	census_enter(c, SLICE("r:*"), KIND_SSE);
	census_enter(c, SLICE("r:1*"), KIND_WEBSOCKET);
	census_enter(c, SLICE("*"), KIND_LONGPOLL);
	census_enter(c, SLICE("r:1"), KIND_SSE);
	assert_int_equal(census_total(c, SLICE("r:1")), 4);
	assert_int_equal(census_get(c, SLICE("r:1")).by_kind[KIND_SSE], 2);
	assert_int_equal(census_total(c, SLICE("r:12")), 3);
	assert_int_equal(census_total(c, SLICE("r:2")), 2);
	assert_int_equal(census_total(c, SLICE("r")), 1);
	assert_int_equal(census_total(c, SLICE("r:*")), 1);
	assert_true(census_has(c, SLICE("r:1")));
	assert_true(census_has(c, SLICE("r:*")));
	assert_false(census_has(c, SLICE("r:2")));
	/* of channels only the one is listed */
	assert_int_equal(look(c, "").n, 1);
	memset(name, 'x', 255);
	assert_int_equal(census_total(c, slice_make(name, 255)), 1);
	name[254] = '*';
	census_enter(c, slice_make(name, 255), KIND_SSE);
	name[254] = 'x';
	assert_int_equal(census_total(c, slice_make(name, 255)), 2);
	assert_int_equal(census_total(c, slice_make(name, 254)), 2);
	assert_int_equal(census_total(c, slice_make(name, 253)), 1);
	census_leave(c, SLICE("r:*"), KIND_SSE);
	census_leave(c, SLICE("r:1*"), KIND_WEBSOCKET);
	assert_int_equal(census_total(c, SLICE("r:1")), 2);
	census_free(c);
}

static void test_counts_by_kind(void **state)
{
	struct census *c = census_new();
	struct slice a = SLICE("a");

	assert_int_equal(census_total(c, a), 0);
	census_enter(c, a, KIND_SSE);
	census_enter(c, a, KIND_SSE);
	census_enter(c, a, KIND_WEBSOCKET);
	struct census_row row = census_get(c, a);
	assert_int_equal(row.by_kind[KIND_SSE], 2);
	assert_int_equal(row.by_kind[KIND_WEBSOCKET], 1);
	assert_int_equal(row.by_kind[KIND_LONGPOLL], 0);
	assert_int_equal(census_total(c, a), 3);
	assert_int_equal(census_total(c, SLICE("ab")), 0);
	census_leave(c, a, KIND_SSE);
	assert_int_equal(census_total(c, a), 2);
	census_free(c);
	census_free(NULL);
}

static void test_no_entry_without_a_subscriber(void **state)
{
	struct census *c = census_new();

	census_enter(c, SLICE("a"), KIND_LONGPOLL);
	census_enter(c, SLICE("a"), KIND_SHORTPOLL);
	census_leave(c, SLICE("a"), KIND_LONGPOLL);
	assert_int_equal(look(c, "").n, 1);
	census_leave(c, SLICE("a"), KIND_SHORTPOLL);
	assert_int_equal(look(c, "").n, 0);
	census_free(c);
}

static void test_each_by_prefix(void **state)
{
	struct census *c = census_new();
	char name[256];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "%s:%d", i % 3 ? "room" : "news", i);
		census_enter(c, slice_str(name), (enum subscriber_kind)(i % KIND_COUNT));
	}
	assert_int_equal(look(c, "").n, 300);
	assert_int_equal(look(c, "").total, 300);
	assert_int_equal(look(c, "news:").n, 100);
	assert_int_equal(look(c, "room:").n, 200);
	assert_int_equal(look(c, "news:0").n, 1);
	assert_int_equal(look(c, "news:0 and more than that").n, 0);
	census_free(c);
}

static void test_long_names(void **state)
{
	struct census *c = census_new();
	char name[256];

	memset(name, 'x', 255);
	name[255] = '\0';
	census_enter(c, slice_make(name, 255), KIND_SSE);
	assert_int_equal(census_total(c, slice_make(name, 255)), 1);
	assert_int_equal(census_total(c, slice_make(name, 254)), 0);
	assert_int_equal(look(c, name).n, 1);
	census_leave(c, slice_make(name, 255), KIND_SSE);
	assert_int_equal(look(c, "").n, 0);
	census_free(c);
}

static void *come_and_go(void *arg)
{
	struct census *c = arg;
	char name[32];

	for (int i = 0; i < ROUNDS; i++) {
		snprintf(name, sizeof(name), "n%d", i % NAMES);
		census_enter(c, slice_str(name), KIND_SSE);
		snprintf(name, sizeof(name), "n%d", (i + NAMES - 7) % NAMES);
		if (i >= 7)
			census_leave(c, slice_str(name), KIND_SSE);
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	struct census *c = census_new();
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, c), 0);
	for (int i = 0; i < 100; i++)
		look(c, "n");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(look(c, "").total, THREADS * 7);
	census_free(c);
}

static void test_names_of_kinds(void **state)
{
	assert_string_equal(subscriber_kind_name(KIND_WEBSOCKET), "websocket");
	assert_string_equal(subscriber_kind_name(KIND_SSE), "sse");
	assert_string_equal(subscriber_kind_name(KIND_LONGPOLL), "longpoll");
	assert_string_equal(subscriber_kind_name(KIND_SHORTPOLL), "shortpoll");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns_count_for_what_they_stand_for),
		cmocka_unit_test(test_counts_by_kind),
		cmocka_unit_test(test_no_entry_without_a_subscriber),
		cmocka_unit_test(test_each_by_prefix),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_names_of_kinds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
