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
#include "base/pattern.h"
#include "base/xalloc.h"
#include "broker/channel.h"
#include "broker/durable.h"
#include "broker/expired.h"
#include "broker/pattern_losses.h"

/* What a step costs beside the bytes that it hands over: as long as it takes to send these. */
#define STEP_BYTES 8192

/* --- waiting --------------------------------------------------------------------------------- */

void recovery_wake(struct catch_up_list *list)
{
	struct catch_up *c, *last = TAILQ_LAST(list, catch_up_list);

	while (last && (c = TAILQ_FIRST(list)) != NULL) {
		bool was_last = c == last;

		catch_up_wait_no_more(c);
		recovery_step(c->subscriber);
		if (was_last)
			break;
	}
}

/* --- catching up ----------------------------------------------------------------------------- */

/* From the subscriber's position on. */
static void begin(struct subscriber *s)
{
	if (!s->catch_up) {
		s->catch_up = xcalloc(1, sizeof(*s->catch_up));
		s->catch_up->subscriber = s;
		count_inc(s->hub->counters, COUNTER_CATCHING_UP);
	}
	s->catch_up->base = s->pos;
	s->state = SUB_CATCHING_UP;
}

void recovery_cancel(struct subscriber *s)
{
	struct catch_up *c = s->catch_up;

	if (!c)
		return;
	catch_up_wait_no_more(c);
	if (!c->query)
		return;
	c->query->owner = NULL;
	c->query = NULL;
	catch_up_has_read(s->hub);
}

void recovery_end(struct subscriber *s)
{
	if (!s->catch_up)
		return;
	recovery_cancel(s);
	count_add(s->hub->counters, COUNTER_CATCHING_UP, -1);
	free(s->catch_up);
	s->catch_up = NULL;
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

void recovery_tell_gap(struct subscription *sub, const struct gap *g)
{
	static const enum counter_id counters[] = {
		[GAP_EPOCH] = COUNTER_GAPS_EPOCH,     [GAP_RETENTION] = COUNTER_GAPS_RETENTION,
		[GAP_INVALID] = COUNTER_GAPS_INVALID, [GAP_SKIPPED] = COUNTER_GAPS_SKIPPED,
		[GAP_EXPIRED] = COUNTER_GAPS_EXPIRED,
	};
	struct subscriber *s = sub->subscriber;
	uint64_t after = 0;

	count_inc(s->hub->counters, counters[g->reason]);
	/* what expired does not take with it what lies before */
	if (g->reason == GAP_EXPIRED)
		id_parse(g->from, &s->hub->epoch, &after);
	durable_gap(s, g->channel, after, g->to);
	s->ops->gap(s, g);
}

static void tell_gap(struct subscription *sub, enum gap_reason reason, struct slice from,
		     uint64_t to, uint64_t oldest)
{
	recovery_tell_gap(sub, &(struct gap){channel_name(sub->channel), from, to, oldest, reason});
}

/* The bad cursor with which the client came; true when there was one. */
static bool tell_bad_cursor(struct subscription *sub, uint64_t oldest)
{
	struct subscription_rest *rest = sub->rest;

	if (!rest || !rest->gap_from)
		return false;
	tell_gap(sub, rest->gap_reason, slice_str(rest->gap_from), 0, oldest);
	free(rest->gap_from);
	rest->gap_from = NULL;
	return true;
}

/* The start is known now: it is `from`. */
static void start_is_settled(struct subscription *sub)
{
	if (sub->last || sub->from_oldest)
		sub->start = sub->from;
	sub->from_oldest = sub->is_resolved = false;
	sub->last = 0;
	if (sub->rest)
		sub->rest->last_before = 0;
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
	if (!tell_bad_cursor(sub, b->oldest) && !sub->from_oldest && !sub->last && b->floor > at) {
		size_t n = id_format(id, &s->hub->epoch, at);

		tell_gap(sub, GAP_RETENTION, slice_make(id, n), b->floor, b->oldest);
		subscription_rest(sub)->gone = b->floor;
	}
	start_is_settled(sub);
}

/* --- from memory ----------------------------------------------------------------------------- */

static uint64_t last_before(const struct subscription *sub)
{
	return sub->rest ? sub->rest->last_before : 0;
}

static bool memory_covers(const struct subscription *sub)
{
	struct channel *ch = sub->channel;
	uint32_t i;

	if (sub->last)
		return (ch->is_whole || channel_recent_last(ch, sub->last, &i)) &&
		       channel_is_exact(ch) && !last_before(sub) && !sub->is_resolved;
	if (sub->from_oldest)
		return ch->is_whole && channel_is_exact(ch);
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

/* Was it handed over before, when the subscriber stood at a newer position, for a subscription that
 * stands for its channel too? */
static bool was_given(const struct subscriber *s, const struct message *m)
{
	const struct subscription *sub;

	if (s->pattern_n == 0)
		return false;
	STAILQ_FOREACH (sub, &s->subscriptions, link)
		if (sub->start < m->seq && m->seq <= sub->from &&
		    pattern_matches(channel_name(sub->channel), message_channel(m)))
			return true;
	return false;
}

/* The subscription whose next recent message is the oldest of all; NULL: all have been given. What
 * was given for another subscription is passed over. */
static struct subscription *next_in_memory(struct subscriber *s)
{
	struct subscription *sub, *best = NULL;
	uint64_t best_seq = UINT64_MAX;

	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		uint64_t seq = 0;

		for (; sub->next < sub->channel->recent_n; sub->next++) {
			seq = channel_recent(sub->channel, sub->next)->message->seq;
			if (seq > s->pos)
				break;
		}
		if (sub->next == sub->channel->recent_n)
			continue;
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
	return ch->is_whole && !ch->is_pattern ? channel_recent(ch, 0)->message->seq : 0;
}

/* Hand over a message that the position has come to. False: it was not taken. */
static bool send_stored(struct subscriber *s, struct message *m, struct frame *f)
{
	expired_tell(s, m);
	s->hub->sending = m;
	if (s->ops->send(s, f) != 0) {
		s->is_full = true;
		return false;
	}
	s->pos = m->seq;
	catch_up_gave(s->hub, f->n);
	return true;
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

		if (was_given(s, r->message)) {
			s->pos = r->message->seq;
		} else if (message_is_expired(r->message)) {
			expired_note(sub, r->message, oldest_in_memory(sub->channel));
			s->pos = r->message->seq;
		} else if (send_stored(s, r->message, channel_frame(sub->channel, r, s->ops))) {
			n++;
		} else {
			break;
		}
	}
	/* Frames were made. */
	STAILQ_FOREACH (sub, &s->subscriptions, link)
		channel_keep_limits(sub->channel);
	count_add(s->hub->counters, COUNTER_REPLAYED_MEMORY, n);
	return !s->is_full;
}

static void become_live(struct subscriber *s)
{
	expired_tell(s, NULL);
	s->is_skipping = false;
	s->state = SUB_LIVE;
	recovery_end(s);
	if (s->ops->live)
		s->ops->live(s);
}

/* --- from the log ---------------------------------------------------------------------------- */

/* The oldest row of those that the subscription stands for; 0: none. */
static uint64_t oldest_row(const struct subscription *sub, const struct query *q)
{
	for (size_t i = 0; i < q->row_n; i++)
		if (pattern_matches(channel_name(sub->channel), message_channel(q->rows[i])))
			return q->rows[i]->seq;
	return 0;
}

/* A pattern has no floor below which all is gone: its position stays, and what its channels have
 * lost is told one by one. */
static void settle_pattern(struct subscription *sub, const struct query *q,
			   const struct store_range *r, bool tell)
{
	if (!tell) {
		if (sub->last && !sub->is_resolved)
			sub->from = r->after;
		return;
	}
	tell_bad_cursor(sub, oldest_row(sub, q));
	if (sub->last || sub->from_oldest)
		pattern_losses_note(sub, r, q->upto);
	else
		pattern_losses_tell(sub, r, q->upto);
	start_is_settled(sub);
}

/* False: as settle_from_memory. */
static bool settle_from_log(struct subscriber *s, struct query *q)
{
	for (int tell = 0; tell <= 1; tell++) {
		struct subscription *sub = STAILQ_FIRST(&s->subscriptions);

		for (size_t i = 0; i < q->range_n; i++, sub = STAILQ_NEXT(sub, link)) {
			const struct store_range *r = &q->ranges[i].range;
			struct beginning b = {r->after, r->floor, r->oldest};

			if (sub->channel->is_pattern)
				settle_pattern(sub, q, r, tell);
			else
				settle(sub, &b, tell);
		}
		if (!tell && durable_must_wait(s))
			return false;
		if (!tell)
			open_once(s);
	}
	return true;
}

/* Note it in the first subscription that asked for it: the ranges stand in the order of the
 * subscriptions. */
static void note_expired_row(struct subscriber *s, const struct query *q, const struct message *m)
{
	struct subscription *sub = STAILQ_FIRST(&s->subscriptions);
	size_t i = 0;

	while (sub && (m->seq <= sub->from ||
		       !pattern_matches(channel_name(sub->channel), message_channel(m)))) {
		i++;
		sub = STAILQ_NEXT(sub, link);
	}
	if (sub)
		expired_note(sub, m, sub->channel->is_pattern ? 0 : q->ranges[i].range.oldest);
}

static void feed_from_log(struct subscriber *s, struct query *q)
{
	int64_t n = 0;

	for (size_t i = 0; i < q->row_n; i++) {
		struct message *m = q->rows[i];

		if (was_given(s, m)) {
			s->pos = m->seq;
			continue;
		}
		if (message_is_expired(m)) {
			note_expired_row(s, q, m);
			s->pos = m->seq;
			continue;
		}
		struct frame *f = hub_encode(s->hub, s->ops, m);
		bool is_sent = send_stored(s, m, f);

		frame_unref(f);
		if (!is_sent)
			break;
		n++;
	}
	if (!s->is_full && q->reached > s->pos)
		s->pos = q->reached;
	count_add(s->hub->counters, COUNTER_REPLAYED_DISK, n);
}

/* The newest messages of a pattern lie too far apart for one read: remember how far it got. False
 * when all were found. */
static bool is_partial(struct subscriber *s, const struct query *q)
{
	struct subscription *sub = STAILQ_FIRST(&s->subscriptions);
	bool is_any = false;

	for (size_t i = 0; i < q->range_n; i++)
		is_any |= q->ranges[i].range.is_partial;
	for (size_t i = 0; is_any && i < q->range_n; i++, sub = STAILQ_NEXT(sub, link)) {
		const struct store_range *r = &q->ranges[i].range;

		if (!r->is_prefix || !r->last)
			continue;
		if (r->is_partial) {
			sub->last = r->last;
			subscription_rest(sub)->last_before = r->before;
		} else {
			sub->from = r->after;
			sub->is_resolved = true;
		}
	}
	return is_any;
}

static void rows_came(struct query *q)
{
	struct subscriber *s = q->owner;

	if (s) {
		CHECK_OBJ(s, SUBSCRIBER_MAGIC);
		s->catch_up->query = NULL;
		catch_up_has_read(s->hub);
		if (q->error) {
			s->ops->failed(s, FAULT_STORE_UNAVAILABLE);
		} else {
			if (!is_partial(s, q) && settle_from_log(s, q))
				feed_from_log(s, q);
			recovery_step(s);
		}
	}
	query_free(q);
}

static void ask_log(struct subscriber *s)
{
	struct hub *h = s->hub;
	struct subscription *sub;
	size_t i = 0;

	if (!catch_up_may_read(s))
		return;
	struct query *q = query_new(s->channel_n);

	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		struct store_range *r = &q->ranges[i].range;

		query_set_channel(q, i++, channel_name(sub->channel));
		r->after = subscription_cursor(sub);
		r->last = sub->is_resolved ? 0 : sub->last;
		r->before = last_before(sub);
		r->lost_after = pattern_losses_known(sub);
	}
	q->upto = h->head;
	q->row_max = durable_room(s) < h->limits.page_rows ? durable_room(s) : h->limits.page_rows;
	q->byte_max = h->limits.page_bytes;
	q->scan_max = h->limits.page_scan;
	q->reply_to = h->mailbox;
	q->done = rows_came;
	q->owner = s;
	if (history_query(h->history, q) == 0) {
		s->catch_up->query = q;
		catch_up_reads(h);
		return;
	}
	query_free(q);
	catch_up_wait(s, &h->retries);
	if (!loop_timer_is_set(&h->retry_timer))
		loop_timer_set(h->loop, &h->retry_timer, 100);
}

/* --- the step -------------------------------------------------------------------------------- */

/* Memory may hold what is lost to the log. What was left out for that, with a gap or because it was
 * no more at the start, must not come back from there for another subscription. */
static bool is_behind_losses(const struct subscription *sub)
{
	return sub->channel->is_pattern &&
	       pattern_losses_end(sub) > subscriber_position(sub->subscriber);
}

enum source { FROM_MEMORY, FROM_LOG, MUST_WAIT };

/* Where the next messages can be had. A channel that was never read from the log is read once for
 * everybody. */
static enum source survey(struct subscriber *s)
{
	enum source source = FROM_MEMORY;
	struct subscription *sub;

	if (s->hub->head < s->catch_up->not_before) {
		catch_up_wait(s, &s->hub->ahead);
		return MUST_WAIT;
	}
	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		struct channel *ch = sub->channel;

		channel_expire_old(ch);
		if (memory_covers(sub) && !is_behind_losses(sub))
			continue;
		if (ch->warmth == CHANNEL_COLD && !catch_up_may_read(s))
			return MUST_WAIT;
		channel_warm(ch);
		if (ch->warmth == CHANNEL_WARMING) {
			catch_up_wait(s, &ch->waiters);
			return MUST_WAIT;
		}
		source = FROM_LOG;
	}
	return source;
}

/* What the client asked for is never skipped. */
static bool may_skip(const struct subscriber *s)
{
	return s->is_skipping && s->pos >= s->asked;
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
		/* a subscription added later may want what was skipped for this one */
		sub->start = s->hub->head;
	}
	s->is_skipping = false;
	s->pos = s->hub->head;
}

void recovery_step(struct subscriber *s)
{
	while (s->state == SUB_CATCHING_UP && !s->is_full && !s->catch_up->waits_on &&
	       !s->catch_up->query) {
		if (!catch_up_is_its_turn(s))
			return;
		catch_up_gave(s->hub, STEP_BYTES);
		if (may_skip(s)) {
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
		if (dropped && sub->rest && dropped <= sub->rest->gone)
			sub->rest->gone = 0;
	expired_take_back(s);
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
	begin(s);
	s->is_full = true;
	count_inc(s->hub->counters, counters[policy]);
	if (policy == SLOW_DISCONNECT)
		s->ops->too_slow(s);
}

void recovery_restart(struct subscriber *s, uint64_t from)
{
	if (may_skip(s))
		skip_to_newest(s);
	s->is_skipping = false;
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
	begin(s);
}

void recovery_detour(struct subscriber *s, uint64_t seq)
{
	assert(s->state == SUB_LIVE);
	s->pos = seq - 1;
	begin(s);
	s->catch_up->is_detour = true;
	catch_up_wait(s, &s->hub->ahead);
}
