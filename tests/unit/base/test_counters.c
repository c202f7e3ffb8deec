/* SPDX-License-Identifier: MIT */
/* counters: sums are exact once threads are quiet, and both text forms are well formed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/json.h"
#include "base/obj.h"

#define THREADS 4
#define ROUNDS  50000

/* The text as a string that the caller frees. */
static char *prometheus_text(void)
{
	struct buf b = {0};

	assert_int_equal(counters_prometheus(&b), 0);
	assert_int_equal(buf_add_char(&b, '\0'), 0);
	return b.p;
}

/* The value of the line that begins with `series` and a space. */
static double value_of(const char *text, const char *series)
{
	size_t n = strlen(series);

	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		if (strncmp(line, series, n) == 0 && line[n] == ' ')
			return strtod(line + n, NULL);
	}
	fail_msg("no line for %s", series);
	return 0;
}

static void test_sum_of_sets_and_of_those_that_are_gone(void **state)
{
	int64_t before = counters_sum(COUNTER_ACCEPTED);
	struct counters *a = counters_new();
	struct counters *b = counters_new();

	count_inc(a, COUNTER_ACCEPTED);
	count_add(b, COUNTER_ACCEPTED, 10);
	count_add(b, COUNTER_ACCEPTED, -3);
	assert_int_equal(counters_sum(COUNTER_ACCEPTED) - before, 8);
	counters_free(b);
	assert_int_equal(counters_sum(COUNTER_ACCEPTED) - before, 8);
	counters_free(a);
	assert_int_equal(counters_sum(COUNTER_ACCEPTED) - before, 8);
	counters_free(NULL);
}

static void test_global_gauge_is_replaced_not_added(void **state)
{
	counters_set_global(COUNTER_WAL_BYTES, 5000);
	assert_int_equal(counters_sum(COUNTER_WAL_BYTES), 5000);
	counters_set_global(COUNTER_WAL_BYTES, 300);
	assert_int_equal(counters_sum(COUNTER_WAL_BYTES), 300);
}

struct adder {
	pthread_t thread;
	sem_t *done;
};

static void *add_many(void *arg)
{
	struct adder *a = arg;
	struct counters *c = counters_new();

	for (int i = 0; i < ROUNDS; i++) {
		count_inc(c, COUNTER_REQUESTS);
		histogram_add(c, HISTOGRAM_COMMIT, (uint64_t)i);
	}
	counters_free(c);
	sem_post(a->done);
	return NULL;
}

static void test_threads_count_while_others_read(void **state)
{
	struct adder adders[THREADS];
	int64_t before = counters_sum(COUNTER_REQUESTS);
	int64_t last = before;
	int ended = 0;
	char *text;
	sem_t done;

	sem_init(&done, 0, 0);
	for (int i = 0; i < THREADS; i++) {
		adders[i].done = &done;
		assert_int_equal(pthread_create(&adders[i].thread, NULL, add_many, &adders[i]), 0);
	}
	while (ended < THREADS) {
		int64_t sum = counters_sum(COUNTER_REQUESTS);
		assert_true(sum >= last);
		last = sum;
		free(prometheus_text());
		if (sem_trywait(&done) == 0)
			ended++;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(adders[i].thread, NULL);
	sem_destroy(&done);
	assert_int_equal(counters_sum(COUNTER_REQUESTS) - before, THREADS * ROUNDS);
	text = prometheus_text();
	assert_true(value_of(text, "holdfast_commit_seconds_count") == THREADS * ROUNDS);
	free(text);
}

static void test_histogram_buckets(void **state)
{
	static const uint64_t values_us[] = {0, 50, 51, 2500, 2501, 10000000, 10000001, 99000000};
	struct counters *c = counters_new();
	char *text;

	for (size_t i = 0; i < ARRAY_LEN(values_us); i++)
		histogram_add(c, HISTOGRAM_QUERY, values_us[i]);
	text = prometheus_text();
	counters_free(c);
#define BUCKET(le) value_of(text, "holdfast_history_query_seconds_bucket{le=\"" le "\"}")
	assert_true(BUCKET("0.00005") == 2);
	assert_true(BUCKET("0.0001") == 3);
	assert_true(BUCKET("0.001") == 3);
	assert_true(BUCKET("0.0025") == 4);
	assert_true(BUCKET("0.005") == 5);
	assert_true(BUCKET("5") == 5);
	assert_true(BUCKET("10") == 6);
	assert_true(BUCKET("+Inf") == 8);
#undef BUCKET
	assert_true(value_of(text, "holdfast_history_query_seconds_count") == 8);
	assert_true(strstr(text, "holdfast_history_query_seconds_sum 119.005103\n") != NULL);
	free(text);
}

static void test_quantiles_of_what_came_in_between(void **state)
{
	struct counters *a = counters_new();
	struct counters *b = counters_new();

	histogram_add(a, HISTOGRAM_QUERY, 9000000);
	struct histogram_view before = histogram_sum(HISTOGRAM_QUERY);
	struct histogram_view none = histogram_since(&before, &before);
	assert_int_equal(none.count, 0);
	assert_int_equal(histogram_quantile_us(&none, 50), 0);
	for (int i = 0; i < 98; i++)
		histogram_add(i % 2 ? a : b, HISTOGRAM_QUERY, 75);
	histogram_add(b, HISTOGRAM_QUERY, 4000);
	counters_free(b); /* what it counted stays */
	histogram_add(a, HISTOGRAM_QUERY, 60000000);
	struct histogram_view now = histogram_sum(HISTOGRAM_QUERY);
	struct histogram_view d = histogram_since(&now, &before);
	assert_int_equal(d.count, 100);
	assert_in_range(histogram_quantile_us(&d, 50), 51, 100);
	assert_in_range(histogram_quantile_us(&d, 99), 2501, 5000);
	assert_int_equal(histogram_quantile_us(&d, 100),
			 10000000); /* the last bound that is known */
	counters_free(a);
}

static void test_prometheus_form(void **state)
{
	struct counters *c = counters_new();
	char *seen[COUNTER_COUNT + HISTOGRAM_COUNT];
	size_t seen_n = 0, series = 0;
	char *text, *rest, *line;

	count_add(c, COUNTER_SESSIONS_SSE, 7);
	text = prometheus_text();
	count_add(c, COUNTER_SESSIONS_SSE, -7);
	counters_free(c);
	assert_true(value_of(text, "holdfast_sessions{transport=\"sse\"}") == 7);
	assert_non_null(strstr(text, "# TYPE holdfast_sessions gauge\n"));
	assert_non_null(strstr(text, "# TYPE holdfast_commit_seconds histogram\n"));
	assert_non_null(strstr(text, "# HELP holdfast_commit_seconds Time of one commit"));
	for (rest = text; (line = strsep(&rest, "\n")) != NULL && *line;) {
		char name[128];
		if (sscanf(line, "# HELP %127s", name) == 1) {
			for (size_t i = 0; i < seen_n; i++)
				assert_string_not_equal(seen[i], name);
			seen[seen_n++] = strdup(name);
			assert_true(strlen(line) > strlen("# HELP ") + strlen(name) + 1);
		} else if (sscanf(line, "# TYPE %127s", name) == 1) {
			assert_string_equal(name, seen[seen_n - 1]);
		} else {
			/* A series stands under its own name's head. */
			assert_int_equal(strncmp(line, seen[seen_n - 1], strlen(seen[seen_n - 1])),
					 0);
			series++;
		}
	}
	assert_int_equal(series, COUNTER_COUNT + HISTOGRAM_COUNT * (HISTOGRAM_BUCKETS + 3));
	while (seen_n > 0)
		free(seen[--seen_n]);
	free(text);
}

static uint64_t json_number(struct slice object, const char *name)
{
	struct slice value;
	uint64_t n = 0;

	assert_true(json_object_get(object, name, &value));
	assert_true(json_get_u64(value, &n));
	return n;
}

static void test_json_form(void **state)
{
	struct counters *c = counters_new();
	struct slice histograms, delivery, ack;
	struct buf b = {0};

	for (int i = 0; i < 98; i++)
		histogram_add(c, HISTOGRAM_DELIVERY, 75); /* between 50 and 100 */
	histogram_add(c, HISTOGRAM_DELIVERY, 4000);
	histogram_add(c, HISTOGRAM_DELIVERY, 20000000);
	count_add(c, COUNTER_GAPS_EPOCH, 3);
	assert_int_equal(counters_json(&b), 0);
	counters_free(c);
	assert_true(json_is_valid(buf_slice(&b), NULL));
	assert_int_equal(json_number(buf_slice(&b), "holdfast_gaps_total{reason=\"epoch\"}"), 3);
	assert_int_equal(json_number(buf_slice(&b), "holdfast_http_requests_refused_total"), 0);
	assert_true(json_object_get(buf_slice(&b), "histograms", &histograms));
	assert_true(json_object_get(histograms, "holdfast_delivery", &delivery));
	assert_int_equal(json_number(delivery, "count"), 100);
	assert_int_equal(json_number(delivery, "sum_us"), 98 * 75 + 4000 + 20000000);
	assert_in_range(json_number(delivery, "p50_us"), 50, 100);
	assert_in_range(json_number(delivery, "p99_us"), 2500, 5000);
	assert_true(json_object_get(histograms, "holdfast_publish_ack", &ack));
	assert_int_equal(json_number(ack, "count"), 0);
	assert_int_equal(json_number(ack, "p99_us"), 0);
	buf_fini(&b);
}

static void test_text_that_does_not_fit_is_an_error(void **state)
{
	struct buf b;

	buf_init(&b, 1000);
	assert_true(counters_prometheus(&b) < 0);
	buf_clear(&b);
	assert_true(counters_json(&b) < 0);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sum_of_sets_and_of_those_that_are_gone),
		cmocka_unit_test(test_global_gauge_is_replaced_not_added),
		cmocka_unit_test(test_threads_count_while_others_read),
		cmocka_unit_test(test_histogram_buckets),
		cmocka_unit_test(test_quantiles_of_what_came_in_between),
		cmocka_unit_test(test_prometheus_form),
		cmocka_unit_test(test_json_form),
		cmocka_unit_test(test_text_that_does_not_fit_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
