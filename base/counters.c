/* SPDX-License-Identifier: MIT */
/*
 * counters: numbers for operators.
 *
 * DESIGN. Each thread adds to its own set with plain loads and stores (relaxed atomics, so that a
 * reader is no data race); nobody shares a cache line on the hot path. A reader takes the one lock
 * of this file, adds up all sets, what ended threads left behind, and the values that somebody
 * computes; then it writes text without the lock. The lock guards the list of sets and `retired`,
 * never a set's numbers.
 *
 * A sum is not a snapshot of one instant: a set may move while the next one is read. The count of a
 * histogram is therefore taken from its buckets and not kept beside them, so these two always
 * agree.
 */
#include "base/counters.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/obj.h"
#include "base/xalloc.h"

static const struct {
	const char *name;
	const char *kind;
	const char *labels;
	const char *help;
} rows[] = {
#define COUNTER(id, kind, name, labels, help) [COUNTER_##id] = {name, #kind, labels, help},
#include "base/tbl/counters.h"
#undef COUNTER
};

static const struct {
	const char *name;
	const char *help;
} histograms[] = {
#define HISTOGRAM(id, name, help) [HISTOGRAM_##id] = {name, help},
#include "base/tbl/histograms.h"
#undef HISTOGRAM
};

static const struct {
	uint64_t us;
	const char *seconds; /* the `le` of Prometheus */
} bounds[] = {
	{50, "0.00005"},  {100, "0.0001"},  {250, "0.00025"}, {500, "0.0005"},  {1000, "0.001"},
	{2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"},  {25000, "0.025"}, {50000, "0.05"},
	{100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},  {1000000, "1"},   {2500000, "2.5"},
	{5000000, "5"},   {10000000, "10"},
};
_Static_assert(ARRAY_LEN(bounds) == HISTOGRAM_BUCKETS, "one bound per bucket");

LIST_HEAD(counters_list, counters);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct counters_list sets = LIST_HEAD_INITIALIZER(sets); /* under lock */
static struct counters retired;                                 /* under lock */
static _Atomic int64_t global[COUNTER_COUNT];

/* What a reader works on: plain numbers of its own. */
struct totals {
	int64_t v[COUNTER_COUNT];
	struct histogram_view h[HISTOGRAM_COUNT];
	uint64_t sum_us[HISTOGRAM_COUNT];
};

struct counters *counters_new(void)
{
	struct counters *c = xcalloc(1, sizeof(*c));

	pthread_mutex_lock(&lock);
	LIST_INSERT_HEAD(&sets, c, link);
	pthread_mutex_unlock(&lock);
	return c;
}

static uint64_t load_u64(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static int64_t load_i64(const _Atomic int64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static void add_u64(_Atomic uint64_t *v, uint64_t n)
{
	atomic_store_explicit(v, load_u64(v) + n, memory_order_relaxed);
}

static void retire_locked(const struct counters *c)
{
	for (size_t i = 0; i < COUNTER_COUNT; i++)
		count_add(&retired, (enum counter_id)i, load_i64(&c->v[i]));
	for (size_t i = 0; i < HISTOGRAM_COUNT; i++) {
		for (size_t k = 0; k <= HISTOGRAM_BUCKETS; k++)
			add_u64(&retired.h[i].buckets[k], load_u64(&c->h[i].buckets[k]));
		add_u64(&retired.h[i].sum_us, load_u64(&c->h[i].sum_us));
	}
}

void counters_free(struct counters *c)
{
	if (c == NULL)
		return;
	pthread_mutex_lock(&lock);
	LIST_REMOVE(c, link);
	retire_locked(c);
	pthread_mutex_unlock(&lock);
	free(c);
}

void histogram_add(struct counters *c, enum histogram_id id, uint64_t us)
{
	struct histogram *h = &c->h[id];
	size_t k = 0;

	while (k < HISTOGRAM_BUCKETS && us > bounds[k].us)
		k++;
	add_u64(&h->buckets[k], 1);
	add_u64(&h->sum_us, us);
}

int64_t counters_sum(enum counter_id id)
{
	struct counters *c;
	int64_t sum;

	pthread_mutex_lock(&lock);
	sum = load_i64(&retired.v[id]) + load_i64(&global[id]);
	LIST_FOREACH (c, &sets, link)
		sum += load_i64(&c->v[id]);
	pthread_mutex_unlock(&lock);
	return sum;
}

void counters_set_global(enum counter_id id, int64_t value)
{
	atomic_store_explicit(&global[id], value, memory_order_relaxed);
}

static void view_add(struct histogram_view *v, const struct histogram *h)
{
	for (size_t k = 0; k <= HISTOGRAM_BUCKETS; k++) {
		uint64_t n = load_u64(&h->buckets[k]);
		v->buckets[k] += n;
		v->count += n;
	}
}

struct histogram_view histogram_sum(enum histogram_id id)
{
	struct histogram_view sum = {.count = 0};
	struct counters *c;

	pthread_mutex_lock(&lock);
	view_add(&sum, &retired.h[id]);
	LIST_FOREACH (c, &sets, link)
		view_add(&sum, &c->h[id]);
	pthread_mutex_unlock(&lock);
	return sum;
}

struct histogram_view histogram_since(const struct histogram_view *now,
				      const struct histogram_view *before)
{
	struct histogram_view d = {.count = now->count - before->count};

	for (size_t k = 0; k <= HISTOGRAM_BUCKETS; k++)
		d.buckets[k] = now->buckets[k] - before->buckets[k];
	return d;
}

uint64_t histogram_quantile_us(const struct histogram_view *v, uint64_t percent)
{
	uint64_t rank = (v->count * percent + 99) / 100;
	uint64_t below = 0;

	if (v->count == 0)
		return 0;
	for (size_t k = 0; k < HISTOGRAM_BUCKETS; k++) {
		uint64_t low = k == 0 ? 0 : bounds[k - 1].us;
		if (below + v->buckets[k] >= rank)
			return low + (bounds[k].us - low) * (rank - below) / v->buckets[k];
		below += v->buckets[k];
	}
	return bounds[HISTOGRAM_BUCKETS - 1].us;
}

static void totals_add(struct totals *t, const struct counters *c)
{
	for (size_t i = 0; i < COUNTER_COUNT; i++)
		t->v[i] += load_i64(&c->v[i]);
	for (size_t i = 0; i < HISTOGRAM_COUNT; i++) {
		view_add(&t->h[i], &c->h[i]);
		t->sum_us[i] += load_u64(&c->h[i].sum_us);
	}
}

static void totals_take(struct totals *t)
{
	struct counters *c;

	memset(t, 0, sizeof(*t));
	pthread_mutex_lock(&lock);
	totals_add(t, &retired);
	LIST_FOREACH (c, &sets, link)
		totals_add(t, c);
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < COUNTER_COUNT; i++)
		t->v[i] += load_i64(&global[i]);
}

/* --- Prometheus ----------------------------------------------------------------------------- */

static void prometheus_counter(struct buf *out, size_t i, int64_t value)
{
	bool first = i == 0 || strcmp(rows[i - 1].name, rows[i].name) != 0;
	bool labels = rows[i].labels[0] != '\0';

	if (first)
		buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[i].name, rows[i].help,
			 rows[i].name, rows[i].kind);
	buf_addf(out, "%s%s%s%s %lld\n", rows[i].name, labels ? "{" : "", rows[i].labels,
		 labels ? "}" : "", (long long)value);
}

static void prometheus_histogram(struct buf *out, const struct totals *t, size_t i)
{
	const char *name = histograms[i].name;
	uint64_t sum_us = t->sum_us[i];
	uint64_t seen = 0;

	buf_addf(out, "# HELP %s_seconds %s\n# TYPE %s_seconds histogram\n", name,
		 histograms[i].help, name);
	for (size_t k = 0; k < HISTOGRAM_BUCKETS; k++) {
		seen += t->h[i].buckets[k];
		buf_addf(out, "%s_seconds_bucket{le=\"%s\"} %llu\n", name, bounds[k].seconds,
			 (unsigned long long)seen);
	}
	buf_addf(out, "%s_seconds_bucket{le=\"+Inf\"} %llu\n", name,
		 (unsigned long long)t->h[i].count);
	buf_addf(out, "%s_seconds_sum %llu.%06llu\n", name, (unsigned long long)(sum_us / 1000000),
		 (unsigned long long)(sum_us % 1000000));
	buf_addf(out, "%s_seconds_count %llu\n", name, (unsigned long long)t->h[i].count);
}

int counters_prometheus(struct buf *out)
{
	struct totals t;

	totals_take(&t);
	for (size_t i = 0; i < COUNTER_COUNT; i++)
		prometheus_counter(out, i, t.v[i]);
	for (size_t i = 0; i < HISTOGRAM_COUNT; i++)
		prometheus_histogram(out, &t, i);
	return buf_add(out, "", 0); /* fails when any of the above did */
}

/* --- JSON ----------------------------------------------------------------------------------- */

static void json_counter(struct buf *out, size_t i, int64_t value)
{
	struct buf key = {0};

	buf_add_str(&key, rows[i].name);
	if (rows[i].labels[0] != '\0')
		buf_addf(&key, "{%s}", rows[i].labels);
	json_add_string(out, buf_slice(&key));
	buf_addf(out, ":%lld,", (long long)value);
	buf_fini(&key);
}

int counters_json(struct buf *out)
{
	struct totals t;

	totals_take(&t);
	buf_add_char(out, '{');
	for (size_t i = 0; i < COUNTER_COUNT; i++)
		json_counter(out, i, t.v[i]);
	buf_add_str(out, "\"histograms\":{");
	for (size_t i = 0; i < HISTOGRAM_COUNT; i++) {
		buf_addf(out, "%s\"%s\":{\"count\":%llu,\"sum_us\":%llu,", i ? "," : "",
			 histograms[i].name, (unsigned long long)t.h[i].count,
			 (unsigned long long)t.sum_us[i]);
		buf_addf(out, "\"p50_us\":%llu,\"p99_us\":%llu}",
			 (unsigned long long)histogram_quantile_us(&t.h[i], 50),
			 (unsigned long long)histogram_quantile_us(&t.h[i], 99));
	}
	return buf_add_str(out, "}}");
}
