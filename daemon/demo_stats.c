/* SPDX-License-Identifier: MIT */
/*
 * demo_stats: a look at the counters every second, and what they grew by as one message.
 *
 * DESIGN. The message goes the way of every publish, so the figures that it tells include itself.
 * It is stored like any other: one that is only fanned out would miss everybody who polls, and a
 * page that just came begins with what there was before. While nobody subscribes nothing is read
 * and nothing published: one look into census and presence per second is all. Presence counts,
 * where it is kept, those between two polls too. The first look after somebody came is where the
 * next one is measured from. What can not be published (the log is full, or fails) is dropped: the
 * next second tells it.
 */
#include "daemon/demo_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "broker/publish.h"
#include "daemon/worker.h"

#define CHANNEL  "demo:stats"
#define EVERY_MS 1000

/* What the counters said. */
struct look {
	uint64_t at_us; /* 0: there was none */
	int64_t published;
	int64_t delivered;
	struct histogram_view commit;
	struct histogram_view delivery;
};

struct demo_stats {
	struct worker *worker;
	struct loop_timer timer;
	struct look last;
};

static struct look look_now(void)
{
	return (struct look){
		.at_us = clock_mono_us(),
		.published = counters_sum(COUNTER_PUBLISHED_EPHEMERAL) +
			     counters_sum(COUNTER_PUBLISHED_MEMORY) +
			     counters_sum(COUNTER_PUBLISHED_COMMIT) +
			     counters_sum(COUNTER_PUBLISHED_SYNC),
		.delivered = counters_sum(COUNTER_DELIVERED_WEBSOCKET) +
			     counters_sum(COUNTER_DELIVERED_SSE) +
			     counters_sum(COUNTER_DELIVERED_LONGPOLL) +
			     counters_sum(COUNTER_DELIVERED_SHORTPOLL),
		.commit = histogram_sum(HISTOGRAM_COMMIT),
		.delivery = histogram_sum(HISTOGRAM_DELIVERY),
	};
}

/* Memory of the process that is in use, 0 where it can not be told. */
static unsigned long long resident_bytes(void)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%*u %llu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (unsigned long long)sysconf(_SC_PAGESIZE);
}

static void add_histogram(struct buf *b, const char *name, const struct histogram_view *now,
			  const struct histogram_view *before)
{
	struct histogram_view v = histogram_since(now, before);

	buf_addf(b, "\"%s\":{\"count\":%llu,\"p50_us\":%llu,\"p99_us\":%llu},", name,
		 (unsigned long long)v.count, (unsigned long long)histogram_quantile_us(&v, 50),
		 (unsigned long long)histogram_quantile_us(&v, 99));
}

static void write_figures(struct buf *b, const struct look *now, const struct look *before)
{
	buf_addf(b, "{\"interval_ms\":%llu,\"published\":%lld,\"delivered\":%lld,",
		 (unsigned long long)(now->at_us - before->at_us) / 1000,
		 (long long)(now->published - before->published),
		 (long long)(now->delivered - before->delivered));
	add_histogram(b, "commit", &now->commit, &before->commit);
	add_histogram(b, "delivery", &now->delivery, &before->delivery);
	buf_addf(b,
		 "\"connections\":%lld,\"sessions\":{\"websocket\":%lld,\"sse\":%lld,"
		 "\"longpoll\":%lld,\"shortpoll\":%lld},\"resident_bytes\":%llu}",
		 (long long)counters_sum(COUNTER_CONNECTIONS),
		 (long long)counters_sum(COUNTER_SESSIONS_WEBSOCKET),
		 (long long)counters_sum(COUNTER_SESSIONS_SSE),
		 (long long)counters_sum(COUNTER_SESSIONS_LONGPOLL),
		 (long long)counters_sum(COUNTER_SESSIONS_SHORTPOLL), resident_bytes());
}

static void publish(struct hub *h, struct slice figures)
{
	const struct payload_shape shape = {.kind = MESSAGE_JSON};
	const struct publish_request r = {
		.channel = SLICE(CHANNEL),
		.is_admin = true,
		.n = 1,
		.payloads = &figures,
		.shapes = &shape,
	};
	struct fault fault;

	(void)publish_post(h, &r, append_free, NULL, &fault);
}

static bool is_watched(const struct server *s)
{
	return census_total(s->census, SLICE(CHANNEL)) > 0 ||
	       presence_count(s->presence, SLICE(CHANNEL)) > 0;
}

static void on_second(struct loop_timer *t)
{
	struct demo_stats *s = container_of(t, struct demo_stats, timer);
	struct worker *w = s->worker;

	loop_timer_set(w->loop, t, EVERY_MS);
	if (!is_watched(w->server)) {
		s->last.at_us = 0;
		return;
	}
	struct look now = look_now();
	if (s->last.at_us) {
		struct buf b = {0};

		write_figures(&b, &now, &s->last);
		publish(w->hub, buf_slice(&b));
		buf_fini(&b);
	}
	s->last = now;
}

struct demo_stats *demo_stats_new(struct worker *w)
{
	struct demo_stats *s = xcalloc(1, sizeof(*s));

	s->worker = w;
	loop_timer_init(&s->timer, on_second);
	loop_timer_set(w->loop, &s->timer, EVERY_MS);
	return s;
}

void demo_stats_stop(struct demo_stats *s)
{
	if (s)
		loop_timer_clear(s->worker->loop, &s->timer);
}

void demo_stats_free(struct demo_stats *s)
{
	free(s);
}
