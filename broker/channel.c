/* SPDX-License-Identifier: MIT */
/*
 * channel: subscribers and recent messages of one channel on one hub.
 *
 * DESIGN: recent is a ring that only ever loses its oldest entries (then covers_after moves up) and
 * is filled from its newest end by the fan-out. Warming puts older entries in front, once, when the
 * read from the log ends exactly where the ring begins. What recent takes is counted per channel
 * and per hub, frames included, and bounded by both: when the hub's total is reached, idle channels
 * are forgotten first, then every channel that grows pays with its own oldest entries.
 *
 * life: made by channel_get; idle while nobody subscribes; freed only while idle: when it has been
 * so for long, or when room is needed and others are idle for a shorter time. So a pointer is good
 * as long as somebody is subscribed, and in the call in which the last one leaves.
 */
#include "broker/channel.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/pattern.h"
#include "base/xalloc.h"
#include "broker/presence_desk.h"
#include "broker/recovery.h"

#define RECENT_ROOM_MIN 8

/* --- life ------------------------------------------------------------------------------------ */

struct channel *channel_find(struct hub *h, struct slice name)
{
	struct channel *ch = NULL;

	if (pattern_is(name))
		return pattern_index_find(&h->patterns, name);
	HASH_FIND(hh, h->channels, name.p, name.n, ch);
	return ch;
}

static void unset_idle(struct channel *ch)
{
	TAILQ_REMOVE(&ch->hub->idle, ch, idle);
	ch->hub->idle_n--;
	ch->hub->idle_pattern_n -= ch->is_pattern;
}

static void enlist(struct channel *ch)
{
	struct hub *h = ch->hub;

	if (ch->is_pattern)
		pattern_index_add(&h->patterns, ch);
	else
		HASH_ADD_KEYPTR(hh, h->channels, ch->name, ch->name_n, ch);
	count_inc(h->counters, ch->is_pattern ? COUNTER_PATTERNS : COUNTER_CHANNELS_ACTIVE);
}

static void delist(struct channel *ch)
{
	struct hub *h = ch->hub;

	if (ch->is_pattern)
		pattern_index_remove(&h->patterns, ch);
	else
		HASH_DELETE(hh, h->channels, ch);
	count_add(h->counters, ch->is_pattern ? COUNTER_PATTERNS : COUNTER_CHANNELS_ACTIVE, -1);
}

static void account(struct channel *ch, int64_t bytes)
{
	ch->recent_bytes += (size_t)bytes;
	ch->hub->recent_bytes += (size_t)bytes;
	count_add(ch->hub->counters, COUNTER_RECENT_BYTES, bytes);
}

static void forget_oldest(struct channel *ch)
{
	struct recent *r = channel_recent(ch, 0);
	size_t bytes = message_size(r->message);

	for (size_t f = 0; f < FORMAT_COUNT; f++) {
		if (r->frames[f])
			bytes += sizeof(struct frame) + r->frames[f]->n;
		r->frames[f] = frame_unref(r->frames[f]);
	}
	account(ch, -(int64_t)bytes);
	ch->covers_after = r->message->seq;
	ch->is_whole = false;
	r->message = message_unref(r->message);
	ch->recent_first = (ch->recent_first + 1) & (ch->recent_room - 1);
	ch->recent_n--;
}

static void channel_free(struct channel *ch)
{
	assert(ch->subscription_n == 0 && TAILQ_EMPTY(&ch->waiters));
	unset_idle(ch);
	delist(ch);
	if (ch->query) {
		ch->query->owner = NULL;
		catch_up_has_read(ch->hub);
	}
	while (ch->recent_n)
		forget_oldest(ch);
	free(ch->recent);
	free(ch->subscriptions);
	free(ch);
}

static void set_idle(struct channel *ch)
{
	struct hub *h = ch->hub;

	ch->idle_since_ms = loop_now_ms(h->loop);
	TAILQ_INSERT_TAIL(&h->idle, ch, idle);
	h->idle_n++;
	h->idle_pattern_n += ch->is_pattern;
	/* Never ch itself: whoever calls still looks at it. */
	while (h->idle_n > h->limits.idle_channels && TAILQ_FIRST(&h->idle) != ch)
		channel_free(TAILQ_FIRST(&h->idle));
	if (!loop_timer_is_set(&h->idle_timer))
		loop_timer_set(h->loop, &h->idle_timer, h->limits.idle_channel_ms);
}

struct channel *channel_get(struct hub *h, struct slice name)
{
	struct channel *ch = channel_find(h, name);

	if (ch)
		return ch;
	assert(name.n >= 1 && name.n <= 255);
	ch = xcalloc(1, sizeof(*ch) + name.n);
	ch->hub = h;
	ch->covers_after = h->head;
	ch->is_whole = h->head == 0;
	ch->is_pattern = pattern_is(name);
	ch->name_n = (uint8_t)name.n;
	memcpy(ch->name, name.p, name.n);
	TAILQ_INIT(&ch->waiters);
	channel_take_options(ch);
	enlist(ch);
	set_idle(ch);
	return ch;
}

void channel_expire_idle(struct hub *h, bool everything)
{
	uint64_t now = loop_now_ms(h->loop);
	struct channel *ch;

	while ((ch = TAILQ_FIRST(&h->idle)) != NULL) {
		if (!everything && h->idle_n <= h->limits.idle_channels &&
		    ch->idle_since_ms + h->limits.idle_channel_ms > now)
			break;
		channel_free(ch);
	}
	if (ch && !everything)
		loop_timer_set(h->loop, &h->idle_timer,
			       ch->idle_since_ms + h->limits.idle_channel_ms - now);
}

/* --- subscriptions --------------------------------------------------------------------------- */

static struct presence_place place_of(const struct subscription *s)
{
	return (struct presence_place){.channel = channel_name(s->channel),
				       .kind = s->subscriber->ops->kind,
				       .has_events = s->channel->has_presence_events};
}

static void enter_presence(struct subscription *s)
{
	const struct attendee *who = s->subscriber->attendee;
	struct presence_place at = place_of(s);

	if (!who || !s->channel->has_presence)
		return;
	s->is_present = true;
	s->wants_members = s->owes_members = who->wants_members;
	presence_desk_join(s->channel->hub->desk, &at, who);
}

static void leave_presence(struct subscription *s)
{
	const struct attendee *who = s->subscriber->attendee;
	struct presence_place at = place_of(s);

	if (s->is_present)
		presence_desk_leave(s->channel->hub->desk, &at, &who->id, who->leaves_at_once);
}

struct subscription_rest *subscription_rest(struct subscription *sub)
{
	if (!sub->rest)
		sub->rest = xcalloc(1, sizeof(*sub->rest));
	return sub->rest;
}

void channel_attach(struct channel *ch, struct subscription *s)
{
	if (ch->subscription_n == 0)
		unset_idle(ch);
	if (ch->subscription_n == ch->subscription_room) {
		ch->subscription_room = ch->subscription_room ? ch->subscription_room * 2 : 1;
		ch->subscriptions = xrealloc(ch->subscriptions,
					     ch->subscription_room * sizeof(*ch->subscriptions));
	}
	s->channel = ch;
	s->slot = ch->subscription_n;
	ch->subscriptions[ch->subscription_n++] = s;
	count_inc(ch->hub->counters, COUNTER_SUBSCRIPTIONS);
	census_enter(ch->hub->census, channel_name(ch), s->subscriber->ops->kind);
	enter_presence(s);
}

void channel_detach(struct subscription *s)
{
	struct channel *ch = s->channel;
	struct subscription *last = ch->subscriptions[--ch->subscription_n];

	leave_presence(s);
	census_leave(ch->hub->census, channel_name(ch), s->subscriber->ops->kind);
	count_add(ch->hub->counters, COUNTER_SUBSCRIPTIONS, -1);
	ch->subscriptions[s->slot] = last;
	last->slot = s->slot;
	s->channel = NULL;
	if (ch->subscription_n == 0) {
		/* Give back what a crowd needed. */
		free(ch->subscriptions);
		ch->subscriptions = NULL;
		ch->subscription_room = 0;
		set_idle(ch);
	}
}

/* --- recent ---------------------------------------------------------------------------------- */

static void grow_recent(struct channel *ch, uint32_t room)
{
	struct recent *bigger = xcalloc(room, sizeof(*bigger));

	for (uint32_t i = 0; i < ch->recent_n; i++)
		bigger[i] = *channel_recent(ch, i);
	free(ch->recent);
	ch->recent = bigger;
	ch->recent_room = room;
	ch->recent_first = 0;
}

void channel_keep_limits(struct channel *ch)
{
	struct hub *h = ch->hub;

	while (ch->recent_n > 1 &&
	       (ch->recent_n > h->limits.recent_count ||
		ch->recent_bytes > h->limits.recent_bytes ||
		(ch->keep_count && !ch->is_pattern && ch->recent_n > ch->keep_count)))
		forget_oldest(ch);
	if (h->recent_bytes <= h->limits.recent_total_bytes)
		return;
	struct channel *idle, *next;
	TAILQ_FOREACH_SAFE (idle, &h->idle, idle, next) {
		if (h->recent_bytes <= h->limits.recent_total_bytes)
			return;
		if (idle != ch && !idle->is_pinned)
			channel_free(idle);
	}
	while (ch->recent_n > 0 && h->recent_bytes > h->limits.recent_total_bytes)
		forget_oldest(ch);
}

struct recent *channel_remember(struct channel *ch, struct message *m)
{
	assert(m->seq > ch->covers_after);
	ch->newest = m->seq;
	if (ch->recent_n == ch->recent_room)
		grow_recent(ch, ch->recent_room ? ch->recent_room * 2 : RECENT_ROOM_MIN);
	ch->recent_n++;
	struct recent *r = channel_recent(ch, ch->recent_n - 1);
	memset(r, 0, sizeof(*r));
	r->message = message_ref(m);
	account(ch, (int64_t)message_size(m));
	channel_keep_limits(ch);
	return ch->recent_n ? channel_recent(ch, ch->recent_n - 1) : NULL;
}

void channel_expire_old(struct channel *ch)
{
	if (!ch->keep_age_ms || !ch->recent_n)
		return;
	int64_t oldest = clock_wall_ms() - (int64_t)ch->keep_age_ms;

	while (ch->recent_n && channel_recent(ch, 0)->message->ts_ms < oldest)
		forget_oldest(ch);
}

void channel_forget(struct channel *ch)
{
	while (ch->recent_n)
		forget_oldest(ch);
	ch->covers_after = ch->hub->head;
	/* Messages that came after the purge may be in the log. */
	ch->is_whole = false;
	ch->warmth = CHANNEL_COLD;
	if (!ch->query)
		return;
	/* What a read under way brings may be of before. */
	ch->query->owner = NULL;
	ch->query = NULL;
	catch_up_has_read(ch->hub);
	recovery_wake(&ch->waiters);
}

void channel_take_options(struct channel *ch)
{
	const struct namespace_table *t = ch->hub->namespaces;

	ch->keep_count = ch->keep_age_ms = 0;
	ch->slow = SLOW_LAG;
	for (size_t i = 0; i < t->n; i++) {
		const struct namespace *ns = &t->ns[i];

		if (!pattern_meets_namespace(t, i, channel_name(ch)))
			continue;
		if (ns->history_count && (!ch->keep_count || ns->history_count < ch->keep_count))
			ch->keep_count = ns->history_count;
		if (ns->history_age_ms &&
		    (!ch->keep_age_ms || ns->history_age_ms < ch->keep_age_ms))
			ch->keep_age_ms = ns->history_age_ms;
		if (ns->slow > ch->slow)
			ch->slow = (uint8_t)ns->slow;
		/* Who subscribes to a pattern is in none of its channels. */
		ch->has_presence = ch->hub->desk && ns->has_presence && !ch->is_pattern;
		ch->has_presence_events = ns->has_presence_events && !ch->is_pattern;
	}
}

uint32_t channel_recent_after(struct channel *ch, uint64_t after)
{
	uint32_t low = 0, high = ch->recent_n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (channel_recent(ch, mid)->message->seq > after)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

bool channel_recent_last(struct channel *ch, uint32_t n, uint32_t *ret_i)
{
	uint32_t i = ch->recent_n;

	while (i > 0 && n > 0)
		n -= !message_is_expired(channel_recent(ch, --i)->message);
	*ret_i = i;
	return n == 0;
}

struct frame *channel_frame(struct channel *ch, struct recent *r, const struct subscriber_ops *ops)
{
	struct frame *f = r->frames[ops->format];

	if (!f) {
		f = r->frames[ops->format] = hub_encode(ch->hub, ops, r->message);
		account(ch, (int64_t)(sizeof(*f) + f->n));
	}
	return f;
}

/* A frame that several channels keep counts for each of them: the bounds hold, if early. */
void channel_keep_frame(struct channel *ch, struct recent *r, enum frame_format format,
			struct frame *f)
{
	assert(!r->frames[format]);
	r->frames[format] = frame_ref(f);
	account(ch, (int64_t)(sizeof(*f) + f->n));
}

/* --- warming --------------------------------------------------------------------------------- */

/* Put the rows of a complete read, which ends where recent begins, in front of it. */
static void prepend(struct channel *ch, struct query *q)
{
	const struct store_range *range = &q->ranges[0].range;
	uint64_t covers = range->after > range->floor ? range->after : range->floor;
	size_t first = 0, n;
	uint32_t room = RECENT_ROOM_MIN;
	uint32_t live_n = ch->recent_n;

	/* What was trimmed meanwhile of that which came after the read's end is still here. */
	if (covers > q->upto)
		covers = q->upto;
	/* Behind the floor of a pattern some channels have rows and others have holes. */
	while (first < q->row_n && q->rows[first]->seq <= covers)
		first++;
	n = q->row_n - first;
	while (room < n + live_n)
		room *= 2;
	struct recent *ring = xcalloc(room, sizeof(*ring));
	int64_t bytes = 0;
	for (size_t i = 0; i < n; i++) {
		ring[i].message = message_ref(q->rows[first + i]);
		bytes += (int64_t)message_size(q->rows[first + i]);
	}
	for (uint32_t i = 0; i < live_n; i++)
		ring[n + i] = *channel_recent(ch, i);
	free(ch->recent);
	ch->recent = ring;
	ch->recent_room = room;
	ch->recent_first = 0;
	ch->recent_n = (uint32_t)n + live_n;
	ch->covers_after = covers;
	/* Fewer than were asked for: that is all there is. */
	ch->is_whole = q->row_n < range->last && first == 0;
	account(ch, bytes);
	channel_keep_limits(ch);
}

static void warm_done(struct query *q)
{
	struct channel *ch = q->owner;

	if (ch) {
		ch->query = NULL;
		ch->warmth = CHANNEL_WARM;
		catch_up_has_read(ch->hub);
		/* A purge or trim may have passed by: only a read that meets the ring exactly is
		 * used. */
		if (q->error == 0 && q->reached == q->upto && ch->covers_after == q->upto)
			prepend(ch, q);
		/* A crowd that waits is stepped from here; ch may lose its last subscriber, but it
		 * is not freed before the idle timer fires. */
		recovery_wake(&ch->waiters);
	}
	query_free(q);
}

void channel_warm(struct channel *ch)
{
	struct hub *h = ch->hub;

	if (ch->warmth != CHANNEL_COLD)
		return;
	ch->warmth = CHANNEL_WARM;
	if (h->limits.recent_count == 0)
		return;
	struct query *q = query_new(1);
	query_set_channel(q, 0, channel_name(ch));
	q->ranges[0].range.last = (uint32_t)h->limits.recent_count;
	q->upto = ch->covers_after;
	q->row_max = 2 * h->limits.recent_count; /* places of expired ones may stand between */
	q->byte_max = h->limits.recent_bytes;
	q->scan_max = h->limits.page_scan;
	q->reply_to = h->mailbox;
	q->done = warm_done;
	q->owner = ch;
	if (history_query(h->history, q) != 0) {
		/* The readers have more than enough to do: later is as good, and it is only a
		 * saving. */
		query_free(q);
		return;
	}
	ch->query = q;
	ch->warmth = CHANNEL_WARMING;
	catch_up_reads(h);
}
