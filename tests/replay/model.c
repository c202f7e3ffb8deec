/* SPDX-License-Identifier: MIT */
/*
 * model: see the header. DESIGN: it knows the whole log, removed messages too, and what is still
 * retained now; never how the broker comes to its answers. Where the broker may choose the moment
 * (what "the oldest" or "the newest ten" are while messages come and go), the model accepts every
 * moment between asking and seeing, and nothing else.
 */
#include "tests/replay/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/obj.h"
#include "base/xalloc.h"

enum account { MISSING, UNWANTED, SEEN, IN_GAP };

static void PRINTF_LIKE(2, 3) wrong(struct model *m, const char *fmt, ...)
{
	va_list ap;

	if (m->wrong[0])
		return;
	va_start(ap, fmt);
	vsnprintf(m->wrong, sizeof(m->wrong), fmt, ap);
	va_end(ap);
}

void model_init(struct model *m, struct history *h, const struct hub *hub)
{
	memset(m, 0, sizeof(*m));
	m->history = h;
	m->hub = hub;
}

void model_fini(struct model *m)
{
	for (size_t i = 0; i < MODEL_CHANNELS; i++)
		free(m->subs[i].rows);
}

static struct model_sub *find(const struct model *m, const char *channel)
{
	for (size_t i = 0; i < MODEL_CHANNELS; i++)
		if (m->subs[i].is_on && strcmp(m->subs[i].channel, channel) == 0)
			return (struct model_sub *)&m->subs[i];
	return NULL;
}

bool model_has(const struct model *m, const char *channel)
{
	return find(m, channel) != NULL;
}

/* --- accounts -------------------------------------------------------------------------------- */

/* Room for the rows there are by now; NULL when the channel never had one. */
static const struct fake_channel *take_stock(const struct model *m, struct model_sub *s)
{
	const struct fake_channel *c = fake_channel_find(m->history, s->channel);

	if (!c)
		return NULL;
	if (c->n > s->row_n) {
		s->rows = xrealloc(s->rows, c->n * sizeof(*s->rows));
		for (; s->row_n < c->n; s->row_n++) {
			uint64_t seq = c->rows[s->row_n]->seq;
			bool is_old = (s->asked.kind == START_NOW ||
				       (s->asked.kind == START_AFTER && !s->asked.is_bad)) &&
				      seq <= s->asked.from;
			s->rows[s->row_n] = (struct model_row){is_old ? UNWANTED : MISSING, 0, 0};
		}
	}
	return c;
}

/* May row i, older than the first that was seen, be left out by where the subscription starts? */
static bool is_before_start(const struct model *m, const struct model_sub *s,
			    const struct fake_channel *c, size_t i)
{
	if (s->is_settled || (s->asked.kind == START_AFTER && !s->asked.is_bad) ||
	    s->asked.kind == START_NOW)
		return false;
	if (i < c->gone)
		return true;
	/* what expired before the first that can be had may be told or not */
	if (message_is_expired(c->rows[i]))
		return true;
	/* the newest n of any moment from asking until now */
	return s->asked.kind == START_LAST &&
	       i + s->asked.last < fake_channel_after(c, m->hub->head);
}

/* Who is live does not get it; who is not, does. */
static bool is_not_for(const struct model *m, const struct message *row)
{
	return m->name != 0 && row->except == m->name;
}

/* Every row with seq < before must be accounted for. */
static void check_all_before(struct model *m, struct model_sub *s, uint64_t before,
			     const char *when)
{
	const struct fake_channel *c = take_stock(m, s);

	for (size_t i = 0; c && i < c->n && c->rows[i]->seq < before; i++) {
		if (s->rows[i].account != MISSING)
			continue;
		if (is_before_start(m, s, c, i) || is_not_for(m, c->rows[i]))
			continue;
		wrong(m, "%s: message %llu of %s was lost (%s)", when,
		      (unsigned long long)c->rows[i]->seq, s->channel,
		      i < c->gone ? "trimmed, without a gap" : "it is still in the log");
		return;
	}
}

/* Row i is the first of the channel that was seen: what it left out was before the start. */
static void settle(struct model_sub *s, size_t i)
{
	if (s->is_settled)
		return;
	s->is_settled = true;
	while (i--)
		if (s->rows[i].account == MISSING)
			s->rows[i].account = UNWANTED;
}

/* --- what the client is told ----------------------------------------------------------------- */

void model_subscribed(struct model *m, const char *channel, const struct asked *asked)
{
	struct model_sub *s = NULL;

	if (find(m, channel))
		return; /* subscribing twice changes nothing */
	for (size_t i = 0; i < MODEL_CHANNELS && !s; i++)
		if (!m->subs[i].is_on)
			s = &m->subs[i];
	assert(s);
	free(s->rows);
	*s = (struct model_sub){.is_on = true, .asked = *asked};
	strcpy(s->channel, channel);
	if (asked->cursor < m->resume)
		m->resume = asked->cursor;
	if (asked->going_back > m->going_back) {
		m->going_back = asked->going_back;
		m->backs++;
	}
}

void model_unsubscribed(struct model *m, const char *channel)
{
	struct model_sub *s = find(m, channel);

	if (s)
		s->is_on = false;
}

/* Row i, older than `before`, was left out of the newest n: are there n newer ones of then? Those
 * that have not expired by now had not then. */
static bool is_too_old(const struct model_sub *s, const struct fake_channel *c, size_t i)
{
	size_t end = fake_channel_after(c, s->asked.head), n = 0;

	for (i++; i < end; i++)
		n += !message_is_expired(c->rows[i]);
	return n >= s->asked.last;
}

/* Only what was seen, and not sooner than it may. */
static void saw_again(struct model *m, struct model_sub *s, size_t i, const struct fake_event *e)
{
	struct model_row *row = &s->rows[i];

	if (row->account != SEEN || e->again != row->again + 1)
		wrong(m, "message %llu of %s is called the %u. repetition",
		      (unsigned long long)e->seq, s->channel, e->again);
	if (m->ack_wait_ms == 0 || e->at_ms < row->at_ms + m->ack_wait_ms)
		wrong(m, "message %llu of %s was sent again after %llu ms",
		      (unsigned long long)e->seq, s->channel,
		      (unsigned long long)(e->at_ms - row->at_ms));
	row->again = e->again;
	row->at_ms = e->at_ms;
}

static void saw_message(struct model *m, const struct fake_event *e)
{
	struct model_sub *s = find(m, e->channel);

	if (!s) {
		wrong(m, "message %llu of %s, which is not subscribed", (unsigned long long)e->seq,
		      e->channel);
		return;
	}
	if (!m->is_opened)
		wrong(m, "a message before `opened`");
	if (e->seq == 0)
		return;
	const struct fake_channel *c = take_stock(m, s);
	size_t i = c ? fake_channel_after(c, e->seq - 1) : 0;
	if (!c || i == c->n || c->rows[i]->seq != e->seq || c->rows[i]->prev != e->prev) {
		wrong(m, "message %llu of %s was never stored like this",
		      (unsigned long long)e->seq, s->channel);
		return;
	}
	if (e->again) {
		saw_again(m, s, i, e);
		return;
	}
	if (e->seq <= m->last) {
		if (m->backs == 0)
			wrong(m, "message %llu of %s after %llu: out of order",
			      (unsigned long long)e->seq, s->channel, (unsigned long long)m->last);
		else
			m->backs--;
	}
	m->last = m->resume = e->seq;
	if (s->rows[i].account != MISSING && !(s->rows[i].account == IN_GAP && m->was_rewound))
		wrong(m, "message %llu of %s %s", (unsigned long long)e->seq, s->channel,
		      s->rows[i].account == SEEN     ? "came twice"
		      : s->rows[i].account == IN_GAP ? "came after a gap said that it is gone"
						     : "is older than asked for");
	if (s->asked.is_bad && !s->has_gap)
		wrong(m, "a message of %s before the gap of its bad cursor", s->channel);
	if (s->asked.kind == START_LAST && !s->is_settled && is_too_old(s, c, i))
		wrong(m, "message %llu of %s is older than the newest %u",
		      (unsigned long long)e->seq, s->channel, s->asked.last);
	s->rows[i] = (struct model_row){SEEN, 0, e->at_ms};
	check_all_before(m, s, e->seq, "a newer message came");
	settle(s, i);
}

static void saw_bad_cursor(struct model *m, struct model_sub *s, const struct fake_event *e)
{
	if (!s->asked.is_bad || s->has_gap || e->reason != s->asked.reason || e->to != 0 ||
	    strcmp(e->from, s->asked.since) != 0)
		wrong(m, "an unexpected gap %s..%llu (%s) of %s", e->from,
		      (unsigned long long)e->to, gap_reason_name(e->reason), s->channel);
	s->has_gap = true;
}

/* May row i be named by a gap of this reason? */
static bool is_lost(const struct model_sub *s, const struct message *row, enum gap_reason reason)
{
	switch (reason) {
	case GAP_EXPIRED:
		return message_is_expired(row);
	case GAP_SKIPPED: /* a replay that was asked for is never skipped */
		return s->asked.kind == START_NOW || row->seq > s->asked.head;
	default:
		return true;
	}
}

static void saw_bounds(struct model *m, struct model_sub *s, const struct fake_event *e)
{
	const struct fake_channel *c = take_stock(m, s);
	uint64_t from;

	if (id_parse(slice_str(e->from), &m->history->epoch, &from) != ID_VALID || e->to <= from ||
	    !c ||
	    (e->reason == GAP_RETENTION &&
	     ((e->oldest && e->oldest <= e->to) || e->to > fake_channel_floor(c))) ||
	    (e->reason == GAP_SKIPPED && (e->oldest || !m->may_skip))) {
		wrong(m, "gap of %s with wrong bounds: %s..%llu oldest %llu (%s)", s->channel,
		      e->from, (unsigned long long)e->to, (unsigned long long)e->oldest,
		      gap_reason_name(e->reason));
		return;
	}
	/* The first that is named: of a channel without a known start it may be newer than that. */
	for (size_t i = fake_channel_after(c, from); i < c->n && c->rows[i]->seq <= e->to; i++) {
		if (s->rows[i].account == SEEN && e->reason == GAP_EXPIRED && !m->ack_wait_ms)
			wrong(m, "message %llu of %s was seen and is told to have expired",
			      (unsigned long long)c->rows[i]->seq, s->channel);
		if (s->rows[i].account != MISSING)
			continue;
		if (!is_lost(s, c->rows[i], e->reason) && !is_not_for(m, c->rows[i]))
			wrong(m, "message %llu of %s is no part of a gap (%s)",
			      (unsigned long long)c->rows[i]->seq, s->channel,
			      gap_reason_name(e->reason));
		s->rows[i].account = IN_GAP;
	}
}

static void saw_gap(struct model *m, const struct fake_event *e)
{
	struct model_sub *s = find(m, e->channel);

	if (!s) {
		wrong(m, "a gap of %s, which is not subscribed", e->channel);
		return;
	}
	if (!m->is_opened)
		wrong(m, "a gap before `opened`");
	const struct fake_channel *c = take_stock(m, s);
	if (e->oldest && (!c || fake_channel_after(c, e->oldest - 1) == c->n ||
			  c->rows[fake_channel_after(c, e->oldest - 1)]->seq != e->oldest))
		wrong(m, "gap of %s: oldest %llu never was", s->channel,
		      (unsigned long long)e->oldest);
	switch (e->reason) {
	case GAP_RETENTION:
	case GAP_EXPIRED:
	case GAP_SKIPPED:
		saw_bounds(m, s, e);
		break;
	case GAP_EPOCH:
	case GAP_INVALID:
		saw_bad_cursor(m, s, e);
	}
}

void model_saw(struct model *m, const struct fake_event *e)
{
	if (m->has_failed)
		return;
	switch (e->kind) {
	case FAKE_MESSAGE:
		saw_message(m, e);
		break;
	case FAKE_GAP:
		saw_gap(m, e);
		break;
	case FAKE_OPENED:
		if (m->is_opened)
			wrong(m, "opened twice");
		m->is_opened = true;
		m->resume = e->seq;
		break;
	case FAKE_FAILED:
		m->has_failed = true;
		break;
	case FAKE_LIVE:
	case FAKE_MARK:
		break;
	}
}

/* --- asking ---------------------------------------------------------------------------------- */

bool model_is_there(const struct model *m, const char *channel, uint64_t seq)
{
	const struct fake_channel *c = fake_channel_find(m->history, channel);
	size_t i = fake_channel_after(c, seq - 1);

	return i >= c->gone && !message_is_expired(c->rows[i]);
}

uint64_t model_newest_seen(const struct model *m, const char *channel)
{
	const struct model_sub *s = find(m, channel);
	const struct fake_channel *c = fake_channel_find(m->history, channel);

	for (size_t i = s ? s->row_n : 0; i > 0; i--)
		if (s->rows[i - 1].account == SEEN)
			return c->rows[i - 1]->seq;
	return 0;
}

size_t model_in_flight(const struct model *m, const char *channel, uint64_t acked)
{
	const struct model_sub *s = find(m, channel);
	const struct fake_channel *c = fake_channel_find(m->history, channel);
	size_t n = 0;

	for (size_t i = c ? fake_channel_after(c, acked) : 0; s && i < s->row_n; i++)
		n += s->rows[i].account == SEEN && i >= c->gone && !message_is_expired(c->rows[i]);
	return n;
}

/* --- the end --------------------------------------------------------------------------------- */

void model_cut(struct model *m)
{
	if (!m->is_opened)
		return;
	for (size_t i = 0; i < MODEL_CHANNELS; i++)
		if (m->subs[i].is_on)
			check_all_before(m, &m->subs[i], m->resume + 1,
					 "the last id seen is no good to resume from");
}

void model_complete(struct model *m)
{
	if (m->has_failed)
		return;
	if (!m->is_opened)
		wrong(m, "never opened");
	for (size_t i = 0; i < MODEL_CHANNELS; i++) {
		struct model_sub *s = &m->subs[i];

		if (!s->is_on)
			continue;
		if (s->asked.is_bad && !s->has_gap)
			wrong(m, "%s: the gap of the bad cursor never came", s->channel);
		check_all_before(m, s, m->hub->head + 1, "at the end");
	}
	m->backs = 0;
}
