/* SPDX-License-Identifier: MIT */
/*
 * counters: numbers for operators. One row each in base/tbl/counters.h and base/tbl/histograms.h
 * makes the field, the sum, /metrics and docs/metrics.md. Each thread owns one set and writes it
 * with relaxed atomics; a reader sums all sets.
 */
#ifndef BASE_COUNTERS_H
#define BASE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"

enum counter_id {
#define COUNTER(id, kind, name, labels, help) COUNTER_##id,
#include "base/tbl/counters.h"
#undef COUNTER
	COUNTER_COUNT
};

enum histogram_id {
#define HISTOGRAM(id, name, help) HISTOGRAM_##id,
#include "base/tbl/histograms.h"
#undef HISTOGRAM
	HISTOGRAM_COUNT
};

/* Upper bounds in microseconds: 50 µs … 10 s, and one bucket beyond. */
#define HISTOGRAM_BUCKETS 17

struct histogram {
	_Atomic uint64_t buckets[HISTOGRAM_BUCKETS + 1];
	_Atomic uint64_t sum_us;
};

struct counters {
	_Atomic int64_t v[COUNTER_COUNT];
	struct histogram h[HISTOGRAM_COUNT];
	LIST_ENTRY(counters) link;
};

/* A set for the calling thread, registered for summing. Any thread. */
struct counters *counters_new(void);
/* Unregister; what it counted stays in the totals. */
void counters_free(struct counters *c);

/* Owner thread only (a plain load and store: no locked instruction). */
static inline void count_add(struct counters *c, enum counter_id id, int64_t n)
{
	int64_t v = atomic_load_explicit(&c->v[id], memory_order_relaxed);
	atomic_store_explicit(&c->v[id], v + n, memory_order_relaxed);
}
static inline void count_inc(struct counters *c, enum counter_id id)
{
	count_add(c, id, 1);
}
void histogram_add(struct counters *c, enum histogram_id id, uint64_t us);

/* Sum over all threads. Any thread. */
int64_t counters_sum(enum counter_id id);
/* The observations of a histogram over all threads. Any thread. */
struct histogram_view {
	uint64_t buckets[HISTOGRAM_BUCKETS + 1];
	uint64_t count;
};
struct histogram_view histogram_sum(enum histogram_id id);
/* What came after `before`, an earlier view of the same histogram. */
struct histogram_view histogram_since(const struct histogram_view *now,
				      const struct histogram_view *before);
/* The value below which `percent` of the observations lie, taking them as evenly spread inside
 * their bucket. Beyond the last bound nothing is known but the bound. 0 when there are none. */
uint64_t histogram_quantile_us(const struct histogram_view *v, uint64_t percent);
/* Set a gauge that no thread counts but somebody computes (WAL size …). Any thread. */
void counters_set_global(enum counter_id id, int64_t value);
/* Prometheus text exposition format 0.0.4 of all rows. Any thread. */
int counters_prometheus(struct buf *out);
/* One JSON object: {"name{labels}": value, …, "histograms": {name:
 * {"count","sum_us","p50_us","p99_us"}}}. */
int counters_json(struct buf *out);

#endif
