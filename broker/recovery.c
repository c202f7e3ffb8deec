/* SPDX-License-Identifier: MIT */
/*
 * recovery: history and live joined without hole or repeat.
 *
 * DESIGN: no live message is ever buffered for a subscriber that catches up; it only has a
 * position. Recent history of its channels is filled by the fan-out whether it listens or not. So
 * one rule does all: while the recent messages of all its channels reach back to its position,
 * merge from memory; when the merge has reached the hub's head, it is live, for nothing can be
 * announced between (one thread). While they do not, ask the log for the next page and look again.
 * A subscriber that is slower than the publishers simply keeps asking: memory does not grow, order
 * does not change, and if retention overtakes it, the page says so (floor) and it is told of the
 * gap.
 *
 * That is `lag`, one of three answers to a subscriber that can not keep up. Namespaces may want
 * another: with `skip` it keeps its position until it has room again, then is told of one gap per
 * channel up to the newest message and is live at once; with `disconnect` its session ends. A
 * replay that a client asked for is never skipped: only who was live can fall behind.
 *
 * Messages that expired (ttl) stand in the row like all others, in memory and in the log, if only
 * as the place where they stood. They are not sent; a run of them is gathered per channel and told
 * as one gap, just before the next message of any channel is sent, or when there is none. So
 * whatever id a client has seen last, everything up to it was either sent or told.
 *
 * Never call back into a transport's close from here: ops only queue.
 */
#include "broker/recovery.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "broker/channel.h"
#include "broker/durable.h"

/* --- waiting --------------------------------------------------------------------------------- */

static void wait_on(struct subscriber *s, struct subscriber_waiters *list)
{
	assert(!s->is_waiting);
	s->is_waiting = true;
	s->wait_list = list;
	TAILQ_INSERT_TAIL(list, s, waiting);
}

static void wait_no_more(struct subscriber *s)
{
	if (!s->is_waiting)
		return;
	TAILQ_REMOVE(s->wait_list, s, waiting);
	s->is_waiting = false;
	s->wait_list = NULL;
}

void recovery_wake(struct subscriber_waiters *list)
{
	struct subscriber *s, *last = TAILQ_LAST(list, subscriber_waiters);

	while (last && (s = TAILQ_FIRST(list)) != NULL) {
		bool was_last = s == last;

		wait_no_more(s);
		recovery_step(s);
		if (was_last)
			break;
	}
}

void recovery_cancel(struct subscriber *s)
{
	wait_no_more(s);
	if (s->query) {
		s->query->owner = NULL;
		s->query = NULL;
	}
}

/* --- opening and gaps ------------------------------------------------------------------------ */

static void open_once(struct subscriber *s)
{
	if (s->is_opened)
		return;
	s->is_opened = true;
	if (s->ops->opened)
		s->ops->opened(s, subscriber_position(s));
}

static void tell_gap(struct subscription *sub, enum gap_reason reason, struct slice from,
		     uint64_t to, uint64_t oldest)
{
	static const enum counter_id counters[] = {
		[GAP_EPOCH] = COUNTER_GAPS_EPOCH,     [GAP_RETENTION] = COUNTER_GAPS_RETENTION,
		[GAP_INVALID] = COUNTER_GAPS_INVALID, [GAP_SKIPPED] = COUNTER_GAPS_SKIPPED,
		[GAP_EXPIRED] = COUNTER_GAPS_EXPIRED,
	};
	struct subscriber *s = sub->subscriber;
	struct gap g = {channel_name(sub->channel), from, to, oldest, reason};

	count_inc(s->hub->counters, counters[reason]);
	durable_gap(s, g.channel, to);
	s->ops->gap(s, &g);
}

/* --- expired messages ------------------------------------------------------------------------ */

static void note_expired(struct subscription *sub, const struct message *m, uint64_t oldest)
{
	struct subscriber *s = sub->subscriber;
	uint64_t from = m->prev > sub->from ? m->prev : sub->from;

	/* a marker may stand for messages that were sent while they could be */
	if (m->expires_ms == MESSAGE_MARKER && s->base > from)
		from = s->base;
	if (sub->expired == NULL) {
		sub->expired = xcalloc(1, sizeof(*sub->expired));
		sub->expired->from = from;
	}
	sub->expired->to = m->seq;
	sub->expired->oldest = oldest;
	s->has_expired = true;
}

static void tell_expired(struct subscription *sub, const struct message *next)
{
	struct expired_run *run = sub->expired;
	uint64_t oldest = run->oldest;
	char id[ID_TEXT_MAX];

	sub->expired = NULL;
	if (oldest > run->from && oldest <= run->to)
		oldest = next && slice_eq(message_channel(next), channel_name(sub->channel))
				 ? next->seq
				 : 0;
	size_t n = id_format(id, &sub->subscriber->hub->epoch, run->from);
	tell_gap(sub, GAP_EXPIRED, slice_make(id, n), run->to, oldest);
	free(run);
}

void recovery_tell_expired(struct subscriber *s, const struct message *next)
{
	struct subscription *sub;

	if (!s->has_expired)
		return;
	s->has_expired = false;
	STAILQ_FOREACH (sub, &s->subscriptions, link)
		if (sub->expired)
			tell_expired(sub, next);
}

/* --- beginnings ------------------------------------------------------------------------------ */

/* What the log or memory said about the beginning of a channel: where this subscription really
 * starts. */
struct beginning {
	uint64_t after;  /* for START_LAST */
	uint64_t floor;  /* everything up to here is gone */
	uint64_t oldest; /* 0: nothing there */
};

static void settle(struct subscription *sub, const struct beginning *b, bool tell)
{
	struct subscriber *s = sub->subscriber;
	uint64_t at = subscription_cursor(sub);
	char id[ID_TEXT_MAX];

	if (!tell) {
		/* First pass: positions only, so that `opened` can say where delivery starts. */
		if (sub->last)
			sub->from = b->after > b->floor ? b->after : b->floor;
		else if (sub->from_oldest && b->floor > sub->from)
			sub->from = b->floor;
		return;
	}
	if (sub->gap_from) {
		tell_gap(sub, sub->gap_reason, slice_str(sub->gap_from), 0, b->oldest);
		free(sub->gap_from);
		sub->gap_from = NULL;
	} else if (!sub->from_oldest && !sub->last && b->floor > at) {
		size_t n = id_format(id, &s->hub->epoch, at);

		tell_gap(sub, GAP_RETENTION, slice_make(id, n), b->floor, b->oldest);
		sub->gone = b->floor;
	}
	sub->from_oldest = false;
	sub->last = 0;
}

/* --- from memory ----------------------------------------------------------------------------- */

static bool memory_covers(const struct subscription *sub)
{
	struct channel *ch = sub->channel;
	uint32_t i;

	if (sub->last)
		return ch->is_whole || channel_recent_last(ch, sub->last, &i);
	if (sub->from_oldest)
		return ch->is_whole;
	return subscription_cursor(sub) >= ch->covers_after;
}

static struct beginning beginning_in_memory(struct subscription *sub)
{
	struct channel *ch = sub->channel;
	struct beginning b = {.floor = ch->covers_after};

	if (ch->recent_n)
		b.oldest = channel_recent(ch, 0)->message->seq;
	uint32_t i;
	b.after = ch->covers_after;
	if (sub->last && channel_recent_last(ch, sub->last, &i))
		b.after = channel_recent(ch, i)->message->seq - 1;
	return b;
}

/* False: what was found out must be kept first, then this is done again. */
static bool settle_from_memory(struct subscriber *s)
{
	struct subscription *sub;

	for (int tell = 0; tell <= 1; tell++) {
		STAILQ_FOREACH (sub, &s->subscriptions, link) {
			struct beginning b = beginning_in_memory(sub);

			if (sub->last || sub->from_oldest)
				settle(sub, &b, tell);
		}
		if (!tell && durable_must_wait(s))
			return false;
		if (!tell)
			open_once(s);
	}
	return true;
}

/* The subscription whose next recent message is the oldest of all; NULL: all have been given. */
static struct subscription *next_in_memory(struct subscriber *s)
{
	struct subscription *sub, *best = NULL;
	uint64_t best_seq = UINT64_MAX;

	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		if (sub->next == sub->channel->recent_n)
			continue;
		uint64_t seq = channel_recent(sub->channel, sub->next)->message->seq;
		if (seq < best_seq) {
			best_seq = seq;
			best = sub;
		}
	}
	return best;
}

/* The oldest message of the channel that can be had; 0: only the log knows. */
static uint64_t oldest_in_memory(struct channel *ch)
{
	return ch->is_whole ? channel_recent(ch, 0)->message->seq : 0;
}

/* Merge what memory holds. True: the hub's head is reached. */
static bool feed_from_memory(struct subscriber *s)
{
	struct subscription *sub;
	int64_t n = 0;

	STAILQ_FOREACH (sub, &s->subscriptions, link)
		sub->next = channel_recent_after(sub->channel, subscription_cursor(sub));
	while ((sub = next_in_memory(s)) != NULL) {
		struct recent *r = channel_recent(sub->channel, sub->next);

		if (message_is_expired(r->message)) {
			note_expired(sub, r->message, oldest_in_memory(sub->channel));
			s->pos = r->message->seq;
			sub->next++;
			continue;
		}
		recovery_tell_expired(s, r->message);
		s->hub->sending = r->message;
		if (s->ops->send(s, channel_frame(sub->channel, r, s->ops)) != 0) {
			s->is_full = true;
			break;
		}
		s->pos = r->message->seq;
		sub->next++;
		n++;
	}
	/* Frames were made. */
	STAILQ_FOREACH (sub, &s->subscriptions, link)
		channel_keep_limits(sub->channel);
	count_add(s->hub->counters, COUNTER_REPLAYED_MEMORY, n);
	return !s->is_full;
}

static void become_live(struct subscriber *s)
{
	recovery_tell_expired(s, NULL);
	s->state = SUB_LIVE;
	count_add(s->hub->counters, COUNTER_CATCHING_UP, -1);
	if (s->ops->live)
		s->ops->live(s);
}

/* --- from the log ---------------------------------------------------------------------------- */

/* False: as settle_from_memory. */
static bool settle_from_log(struct subscriber *s, struct query *q)
{
	for (int tell = 0; tell <= 1; tell++) {
		struct subscription *sub = STAILQ_FIRST(&s->subscriptions);

		for (size_t i = 0; i < q->range_n; i++, sub = STAILQ_NEXT(sub, link)) {
			const struct store_range *r = &q->ranges[i].range;
			struct beginning b = {r->after, r->floor, r->oldest};

			settle(sub, &b, tell);
		}
		if (!tell && durable_must_wait(s))
			return false;
		if (!tell)
			open_once(s);
	}
	return true;
}

/* Note it in its channel's subscription: the ranges stand in the order of the subscriptions. */
static void note_expired_row(struct subscriber *s, const struct query *q, const struct message *m)
{
	struct subscription *sub = STAILQ_FIRST(&s->subscriptions);
	size_t i = 0;

	while (!slice_eq(q->ranges[i].range.channel, message_channel(m))) {
		i++;
		sub = STAILQ_NEXT(sub, link);
	}
	note_expired(sub, m, q->ranges[i].range.oldest);
}

static void feed_from_log(struct subscriber *s, struct query *q)
{
	int64_t n = 0;

	for (size_t i = 0; i < q->row_n; i++) {
		struct message *m = q->rows[i];
		if (message_is_expired(m)) {
			note_expired_row(s, q, m);
			s->pos = m->seq;
			continue;
		}
		recovery_tell_expired(s, m);
		struct frame *f = s->ops->encode(m, &s->hub->epoch);

		s->hub->sending = m;
		int rc = s->ops->send(s, f);

		frame_unref(f);
		if (rc != 0) {
			s->is_full = true;
			break;
		}
		s->pos = m->seq;
		n++;
	}
	if (!s->is_full)
		s->pos = q->reached;
	count_add(s->hub->counters, COUNTER_ENCODED, n);
	count_add(s->hub->counters, COUNTER_REPLAYED_DISK, n);
}

static void rows_came(struct query *q)
{
	struct subscriber *s = q->owner;

	if (s) {
		CHECK_OBJ(s, SUBSCRIBER_MAGIC);
		s->query = NULL;
		if (q->error) {
			s->ops->failed(s, FAULT_STORE_UNAVAILABLE);
		} else {
			if (settle_from_log(s, q))
				feed_from_log(s, q);
			recovery_step(s);
		}
	}
	query_free(q);
}

static void ask_log(struct subscriber *s)
{
	struct hub *h = s->hub;
	struct query *q = query_new(s->channel_n);
	struct subscription *sub;
	size_t i = 0;

	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		query_set_channel(q, i, channel_name(sub->channel));
		q->ranges[i].range.after = subscription_cursor(sub);
		q->ranges[i].range.last = sub->last;
		i++;
	}
	q->upto = h->head;
	q->row_max = durable_room(s) < h->limits.page_rows ? durable_room(s) : h->limits.page_rows;
	q->byte_max = h->limits.page_bytes;
	q->reply_to = h->mailbox;
	q->done = rows_came;
	q->owner = s;
	if (history_query(h->history, q) == 0) {
		s->query = q;
		return;
	}
	query_free(q);
	wait_on(s, &h->retries);
	if (!loop_timer_is_set(&h->retry_timer))
		loop_timer_set(h->loop, &h->retry_timer, 100);
}

/* --- the step -------------------------------------------------------------------------------- */

enum source { FROM_MEMORY, FROM_LOG, MUST_WAIT };

/* Where the next messages can be had. A channel that was never read from the log is read once for
 * everybody. */
static enum source survey(struct subscriber *s)
{
	enum source source = FROM_MEMORY;
	struct subscription *sub;

	if (s->hub->head < s->not_before) {
		wait_on(s, &s->hub->ahead);
		return MUST_WAIT;
	}
	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		struct channel *ch = sub->channel;

		channel_expire_old(ch);
		if (memory_covers(sub))
			continue;
		channel_warm(ch);
		if (ch->warmth == CHANNEL_WARMING) {
			wait_on(s, &ch->waiters);
			return MUST_WAIT;
		}
		source = FROM_LOG;
	}
	return source;
}

/* Go on with the newest: one gap for each channel that had something meanwhile. Each of them was
 * subscribed all the time, so its newest message is known without asking the log. */
static void skip_to_newest(struct subscriber *s)
{
	struct subscription *sub;
	char id[ID_TEXT_MAX];

	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		uint64_t at = subscription_cursor(sub);

		if (sub->channel->newest <= at)
			continue;
		size_t n = id_format(id, &s->hub->epoch, at);
		tell_gap(sub, GAP_SKIPPED, slice_make(id, n), sub->channel->newest, 0);
	}
	s->is_skipping = false;
	s->pos = s->hub->head;
}

void recovery_step(struct subscriber *s)
{
	while (s->state == SUB_CATCHING_UP && !s->is_full && !s->is_waiting && !s->query) {
		if (s->is_skipping) {
			skip_to_newest(s);
			become_live(s);
			break;
		}
		switch (survey(s)) {
		case MUST_WAIT:
			return;
		case FROM_LOG:
			ask_log(s);
			return;
		case FROM_MEMORY:
			if (settle_from_memory(s) && feed_from_memory(s))
				become_live(s);
			break;
		}
	}
}

/* Take back what is queued and not written: from here on the position says what the client really
 * gets, and a gap beyond it has to be told again. next: the seq after what was handed over. */
static void take_back(struct subscriber *s, uint64_t next)
{
	uint64_t dropped = s->ops->rewind(s);
	struct subscription *sub;

	s->pos = (dropped && dropped < next ? dropped : next) - 1;
	STAILQ_FOREACH (sub, &s->subscriptions, link)
		if (dropped && dropped <= sub->gone)
			sub->gone = 0;
	/* What was not told yet is found again; only of a run that began before is the beginning
	 * kept. */
	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		if (sub->expired && s->pos <= sub->expired->from) {
			free(sub->expired);
			sub->expired = NULL;
		}
	}
}

static enum slow_policy policy_of(const struct subscriber *s)
{
	const struct subscription *sub;
	enum slow_policy strictest = SLOW_LAG;

	if (!s->ops->too_slow)
		return SLOW_LAG;
	STAILQ_FOREACH (sub, &s->subscriptions, link)
		if (sub->channel->slow > strictest)
			strictest = sub->channel->slow;
	return strictest;
}

void recovery_fall_behind(struct subscriber *s, uint64_t seq)
{
	static const enum counter_id counters[] = {
		[SLOW_LAG] = COUNTER_SLOW_LAG,
		[SLOW_SKIP] = COUNTER_SLOW_SKIP,
		[SLOW_DISCONNECT] = COUNTER_SLOW_DISCONNECT,
	};
	enum slow_policy policy = policy_of(s);

	assert(s->state == SUB_LIVE);
	/* The gap is told when there is room: as one, however long that takes. */
	s->is_skipping = policy == SLOW_SKIP;
	take_back(s, seq);
	s->base = s->pos;
	s->state = SUB_CATCHING_UP;
	s->is_full = true;
	count_inc(s->hub->counters, counters[policy]);
	count_inc(s->hub->counters, COUNTER_CATCHING_UP);
	if (policy == SLOW_DISCONNECT)
		s->ops->too_slow(s);
}

void recovery_restart(struct subscriber *s, uint64_t from)
{
	if (s->is_skipping)
		skip_to_newest(s);
	uint64_t at = s->state == SUB_LIVE ? s->hub->head : s->pos;
	struct subscription *sub;

	recovery_cancel(s);
	if (s->state == SUB_NEW || from >= at) {
		s->pos = s->state == SUB_NEW ? 0 : at;
	} else {
		take_back(s, at + 1);
		STAILQ_FOREACH (sub, &s->subscriptions, link)
			if (sub->from < s->pos)
				sub->from = s->pos;
		s->pos = 0;
	}
	if (s->state != SUB_CATCHING_UP)
		count_inc(s->hub->counters, COUNTER_CATCHING_UP);
	s->state = SUB_CATCHING_UP;
	s->base = s->pos;
}

void recovery_detour(struct subscriber *s, uint64_t seq)
{
	assert(s->state == SUB_LIVE);
	s->pos = s->base = seq - 1;
	s->state = SUB_CATCHING_UP;
	count_inc(s->hub->counters, COUNTER_CATCHING_UP);
	wait_on(s, &s->hub->ahead);
}
