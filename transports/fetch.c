/* SPDX-License-Identifier: MIT */
/* fetch: asks the log for one page and writes the answer's JSON. */
#include "transports/fetch.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/pattern.h"
#include "base/utf8.h"
#include "base/xalloc.h"
#include "transports/encode.h"

#define SINCE_SHOWN_MAX 128

static void fetch_free(struct fetch *f)
{
	free(f->since);
	free(f);
}

static void gap_add(struct buf *out, const struct gap *g, const struct epoch *e)
{
	buf_add_str(out, out->n ? "," : ",\"gaps\":[");
	json_add_gap(out, g, e);
}

static void add_first_gap(struct buf *out, const struct fetch *f, const struct store_range *r)
{
	const struct epoch *e = &f->gateway->hub->epoch;
	struct gap g = {.channel = r->channel, .oldest = r->oldest, .reason = f->point.reason};
	char id[ID_TEXT_MAX];

	if (f->point.is_bad) {
		g.from = slice_str(f->since);
	} else if (!f->point.from_oldest && !f->point.last && r->floor > f->asked_after) {
		g.from = slice_make(id, id_format(id, e, f->asked_after));
		g.to = r->floor;
		g.reason = GAP_RETENTION;
	} else {
		return;
	}
	gap_add(out, &g, e);
}

/* Rows first … end - 1 have expired. */
static void add_expired(struct buf *out, const struct fetch *f, const struct query *q, size_t first,
			size_t end)
{
	const struct epoch *e = &f->gateway->hub->epoch;
	const struct store_range *r = &q->ranges[0].range;
	uint64_t from =
		q->rows[first]->prev > f->asked_after ? q->rows[first]->prev : f->asked_after;
	char id[ID_TEXT_MAX];
	struct gap g = {
		.channel = r->channel,
		.from = slice_make(id, id_format(id, e, from)),
		.to = q->rows[end - 1]->seq,
		.oldest = r->oldest,
		.reason = GAP_EXPIRED,
	};

	if (g.oldest > from && g.oldest <= g.to)
		g.oldest = end < q->row_n ? q->rows[end]->seq : 0;
	count_inc(f->gateway->counters, COUNTER_GAPS_EXPIRED);
	gap_add(out, &g, e);
}

/* The messages, and a gap for each run of those that expired. */
static size_t write_rows(struct buf *out, struct buf *gaps, const struct fetch *f,
			 const struct query *q)
{
	size_t n = 0, i = 0;

	while (i < q->row_n) {
		size_t first = i;
		while (i < q->row_n && message_is_expired(q->rows[i]))
			i++;
		if (i > first)
			add_expired(gaps, f, q, first, i);
		if (i == q->row_n)
			break;
		if (n++)
			buf_add_char(out, ',');
		json_add_message(out, q->rows[i++], &f->gateway->hub->epoch);
	}
	return n;
}

static size_t write_members(struct buf *out, const struct fetch *f, const struct query *q)
{
	const struct epoch *e = &f->gateway->hub->epoch;
	const struct store_range *r = &q->ranges[0].range;
	struct buf gaps = {0};

	buf_add_str(out, "\"channel\":");
	json_add_string(out, r->channel);
	buf_add_str(out, ",\"cursor\":");
	json_add_id(out, e, q->reached);
	buf_add_str(out, ",\"messages\":[");
	add_first_gap(&gaps, f, r);
	size_t n = write_rows(out, &gaps, f, q);
	buf_add_char(out, ']');
	if (gaps.n) {
		buf_add_slice(out, buf_slice(&gaps));
		buf_add_char(out, ']');
	}
	buf_addf(out, ",\"more\":%s", q->reached < q->upto ? "true" : "false");
	buf_fini(&gaps);
	return n;
}

static void rows_came(struct query *q)
{
	struct fetch *f = q->owner;

	if (f) {
		struct buf b = {.cap = SIZE_MAX}; /* the page was limited when it was read */

		if (q->error) {
			f->done(f, slice_str(""), FAULT_STORE_UNAVAILABLE,
				"the message store can not be read now; try again");
		} else {
			size_t n = write_members(&b, f, q);
			count_add(f->gateway->counters, COUNTER_REPLAYED_DISK, (int64_t)n);
			f->done(f, buf_slice(&b), FAULT_NONE, NULL);
		}
		buf_fini(&b);
		fetch_free(f);
	}
	query_free(q);
}

static int check(struct gateway *g, const struct fetch_request *r, struct fault *fault)
{
	if (pattern_is(r->channel))
		return fault_set(fault, FAULT_BAD_CHANNEL,
				 "history is read of a channel, not of a pattern");
	return subscriber_check(g->hub, NULL, &r->channel, 1, r->is_admin, fault);
}

struct fetch *fetch_start(struct gateway *g, const struct fetch_request *r,
			  void (*done)(struct fetch *, struct slice, enum fault_id, const char *),
			  void *owner, struct fault *fault)
{
	size_t limit = g->config->history_limit;

	if (check(g, r, fault) != 0)
		return NULL;
	struct start start = r->start;
	if (start.kind == START_NOW)
		start.kind = START_ALL;
	struct fetch *f = xcalloc(1, sizeof(*f));
	*f = (struct fetch){
		.gateway = g, .done = done, .owner = owner, .point = start_resolve(g->hub, &start)};
	bool can_show =
		start.since.n <= SINCE_SHOWN_MAX && utf8_is_valid(start.since.p, start.since.n);
	f->since = xstrndup(can_show ? start.since.p : "", can_show ? start.since.n : 0);
	f->asked_after = f->point.from;

	struct query *q = query_new(1);
	query_set_channel(q, 0, r->channel);
	q->ranges[0].range.after = f->point.from;
	q->ranges[0].range.last = f->point.last < limit ? f->point.last : (uint32_t)limit;
	q->upto = history_head(g->hub->history);
	q->row_max = r->limit && r->limit < limit ? r->limit : limit;
	q->byte_max = g->config->poll_bytes;
	q->reply_to = g->hub->mailbox;
	q->done = rows_came;
	q->owner = f;
	f->query = q;
	if (history_query(g->hub->history, q) == 0)
		return f;
	query_free(q);
	fetch_free(f);
	fault_set(fault, FAULT_OVERLOADED, "too many history reads are waiting; try again");
	return NULL;
}

void fetch_cancel(struct fetch *f)
{
	f->query->owner = NULL;
	fetch_free(f);
}
