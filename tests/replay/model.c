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
		free(m->subs[i].accounts);
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
	if (c->n > s->account_n) {
		s->accounts = xrealloc(s->accounts, c->n);
		for (; s->account_n < c->n; s->account_n++) {
			uint64_t seq = c->rows[s->account_n]->seq;
			bool is_old = (s->asked.kind == START_NOW ||
				       (s->asked.kind == START_AFTER && !s->asked.is_bad)) &&
				      seq <= s->asked.from;
			s->accounts[s->account_n] = is_old ? UNWANTED : MISSING;
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
	/* the newest n of any moment from asking until now */
	return s->asked.kind == START_LAST &&
	       i + s->asked.last < fake_channel_after(c, m->hub->head);
}

/* Every row with seq < before must be accounted for. */
static void check_all_before(struct model *m, struct model_sub *s, uint64_t before,
			     const char *when)
{
	const struct fake_channel *c = take_stock(m, s);

	for (size_t i = 0; c && i < c->n && c->rows[i]->seq < before; i++) {
		if (s->accounts[i] != MISSING)
			continue;
		if (is_before_start(m, s, c, i))
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
		if (s->accounts[i] == MISSING)
			s->accounts[i] = UNWANTED;
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
	free(s->accounts);
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
	if (e->seq <= m->last) {
		if (m->backs == 0)
			wrong(m, "message %llu of %s after %llu: out of order",
			      (unsigned long long)e->seq, s->channel, (unsigned long long)m->last);
		else
			m->backs--;
	}
	m->last = m->resume = e->seq;
	const struct fake_channel *c = take_stock(m, s);
	size_t i = c ? fake_channel_after(c, e->seq - 1) : 0;
	if (!c || i == c->n || c->rows[i]->seq != e->seq || c->rows[i]->prev != e->prev) {
		wrong(m, "message %llu of %s was never stored like this",
		      (unsigned long long)e->seq, s->channel);
		return;
	}
	if (s->accounts[i] != MISSING)
		wrong(m, "message %llu of %s %s", (unsigned long long)e->seq, s->channel,
		      s->accounts[i] == SEEN     ? "came twice"
		      : s->accounts[i] == IN_GAP ? "came after a gap said that it is gone"
						 : "is older than asked for");
	if (s->asked.is_bad && !s->has_gap)
		wrong(m, "a message of %s before the gap of its bad cursor", s->channel);
	if (s->asked.kind == START_LAST && !s->is_settled &&
	    i + s->asked.last < fake_channel_after(c, s->asked.head))
		wrong(m, "message %llu of %s is older than the newest %u",
		      (unsigned long long)e->seq, s->channel, s->asked.last);
	s->accounts[i] = SEEN;
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

static void saw_gap(struct model *m, const struct fake_event *e)
{
	struct model_sub *s = find(m, e->channel);
	uint64_t from;

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
	if (e->reason != GAP_RETENTION) {
		saw_bad_cursor(m, s, e);
		return;
	}
	if (id_parse(slice_str(e->from), &m->history->epoch, &from) != ID_VALID || e->to <= from ||
	    (e->oldest && e->oldest <= e->to) || !c || e->to > fake_channel_floor(c)) {
		wrong(m, "gap of %s with wrong bounds: %s..%llu oldest %llu", s->channel, e->from,
		      (unsigned long long)e->to, (unsigned long long)e->oldest);
		return;
	}
	/* The first that is named: of a channel without a known start it may be newer than that. */
	for (size_t i = fake_channel_after(c, from); i < c->n && c->rows[i]->seq <= e->to; i++)
		if (s->accounts[i] == MISSING)
			s->accounts[i] = IN_GAP;
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
