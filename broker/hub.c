/* SPDX-License-Identifier: MIT */
/*
 * hub: fan-out. DESIGN: for each message of a batch one look-up, and one more per length of prefix
 * when there are patterns; then a walk over a dense array of subscriptions for each topic found:
 * the channel and the patterns that stand for it. A frame is made at most once per wire format,
 * kept with the message in the topics' recent history, and only referenced from there on: no
 * allocation, no copy and no atomic operation per subscriber. Of a message with several topics a
 * subscriber is marked with its number when it has it, so that it gets it once. send() only queues;
 * a subscriber that can not take a message falls behind and is fed by recovery from then on. A
 * message that expired on its way here is not sent: recovery tells of it.
 */
#include "broker/hub.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/obj.h"
#include "base/xalloc.h"
#include "broker/catch_up.h"
#include "broker/channel.h"
#include "broker/durable.h"
#include "broker/recovery.h"

#define RETRY_MS 100

static const enum counter_id delivered_counters[KIND_COUNT] = {
	[KIND_WEBSOCKET] = COUNTER_DELIVERED_WEBSOCKET,
	[KIND_SSE] = COUNTER_DELIVERED_SSE,
	[KIND_LONGPOLL] = COUNTER_DELIVERED_LONGPOLL,
	[KIND_SHORTPOLL] = COUNTER_DELIVERED_SHORTPOLL,
};

static void on_retry(struct loop_timer *t)
{
	struct hub *h = container_of(t, struct hub, retry_timer);

	recovery_wake(&h->retries);
	if (!TAILQ_EMPTY(&h->retries))
		loop_timer_set(h->loop, t, RETRY_MS);
}

static void on_idle(struct loop_timer *t)
{
	channel_expire_idle(container_of(t, struct hub, idle_timer), false);
}

struct hub *hub_new(struct loop *loop, struct history *history, struct mailbox *mailbox,
		    struct census *census, struct namespace_table *namespaces,
		    struct counters *counters, const struct hub_limits *limits)
{
	struct hub *h = xcalloc(1, sizeof(*h));

	h->magic = HUB_MAGIC;
	h->loop = loop;
	h->history = history;
	h->mailbox = mailbox;
	h->census = census;
	h->counters = counters;
	h->namespaces = namespace_table_ref(namespaces);
	h->epoch = *history_epoch(history);
	h->head = history_start_head(history);
	h->limits = *limits;
	outbox_init(&h->outbox, loop, history, counters);
	TAILQ_INIT(&h->idle);
	TAILQ_INIT(&h->retries);
	TAILQ_INIT(&h->ahead);
	loop_timer_init(&h->retry_timer, on_retry);
	loop_timer_init(&h->idle_timer, on_idle);
	catch_up_start(h);
	return h;
}

void hub_free(struct hub *h)
{
	if (!h)
		return;
	CHECK_OBJ(h, HUB_MAGIC);
	channel_expire_idle(h, true);
	assert(h->channels == NULL && h->durables == NULL);
	outbox_fini(&h->outbox);
	loop_timer_clear(h->loop, &h->retry_timer);
	loop_timer_clear(h->loop, &h->idle_timer);
	catch_up_stop(h);
	pool_fini(&h->subscriptions);
	namespace_table_unref(h->namespaces);
	h->magic = 0;
	free(h);
}

void hub_set_namespaces(struct hub *h, struct namespace_table *t)
{
	namespace_table_ref(t);
	namespace_table_unref(h->namespaces);
	h->namespaces = t;
	struct channel *ch, *next;
	HASH_ITER (hh, h->channels, ch, next)
		channel_take_options(ch);
	HASH_ITER (hh, h->patterns.map, ch, next)
		channel_take_options(ch);
}

/* --- topics: the channel and the patterns that a message goes to ------------------------------ */

struct topics {
	size_t n;
	struct channel *v[1 + PATTERN_MATCH_MAX];
};

static void topics_find(struct topics *t, struct hub *h, struct slice name)
{
	struct channel *ch = channel_find(h, name);

	t->n = 0;
	if (ch)
		t->v[t->n++] = ch;
	t->n += pattern_index_match(&h->patterns, name, t->v + t->n);
}

/* While one of them grows, those that are idle must not be forgotten to make room. */
static void topics_pin(struct topics *t, bool is_pinned)
{
	for (size_t i = 0; i < t->n; i++)
		t->v[i]->is_pinned = is_pinned;
}

void hub_forget(struct hub *h, struct slice channel)
{
	struct topics topics;

	topics_find(&topics, h, channel);
	topics_pin(&topics, true);
	for (size_t i = 0; i < topics.n; i++)
		channel_forget(topics.v[i]);
	topics_pin(&topics, false);
}

/* --- fan-out --------------------------------------------------------------------------------- */

struct frame *hub_encode(struct hub *h, const struct subscriber_ops *ops, const struct message *m)
{
	struct frame *f = ops->encode(m, &h->epoch);

	count_inc(h->counters, COUNTER_ENCODED);
	return ops->pack ? ops->pack(h->packer, f) : f;
}

/* One message on its way out. */
struct delivery {
	struct hub *hub;
	struct message *message;
	bool is_shared;                     /* it goes to more than one topic */
	struct frame *frames[FORMAT_COUNT]; /* made so far; a reference each */
};

/* The frame of a format, made once for all topics, and kept with the message in the topic's recent
 * history, unless it is not there (ephemeral, or no room). */
static struct frame *frame_for(struct delivery *d, struct channel *topic, struct recent *kept,
			       const struct subscriber_ops *ops)
{
	struct frame **f = &d->frames[ops->format];

	if (!*f)
		*f = hub_encode(d->hub, ops, d->message);
	if (kept)
		channel_keep_frame(topic, kept, ops->format, *f);
	return *f;
}

static void fan_out_expired(struct channel *topic, const struct message *m)
{
	for (uint32_t i = 0; i < topic->subscription_n; i++) {
		struct subscriber *s = topic->subscriptions[i]->subscriber;

		if (s->state == SUB_LIVE)
			recovery_detour(s, m->seq);
	}
}

static void fan_out(struct delivery *d, struct channel *topic, struct recent *kept)
{
	struct frame *frames[FORMAT_COUNT] = {NULL}; /* this topic's, borrowed */
	const struct message *m = d->message;
	struct hub *h = d->hub;

	for (uint32_t i = 0; i < topic->subscription_n; i++) {
		struct subscriber *s = topic->subscriptions[i]->subscriber;

		if (d->is_shared) {
			if (s->delivery == h->deliveries)
				continue;
			s->delivery = h->deliveries;
		}
		if (s->state != SUB_LIVE) {
			if (m->seq == 0)
				count_inc(h->counters, COUNTER_EPHEMERAL_SKIPPED);
			continue;
		}
		if (m->except != 0 && m->except == s->name) {
			durable_pass(s, m);
			continue;
		}
		struct frame **f = &frames[s->ops->format];
		if (!*f)
			*f = frame_for(d, topic, kept, s->ops);
		if (s->ops->send(s, *f) == 0)
			count_inc(h->counters, delivered_counters[s->ops->kind]);
		else if (m->seq == 0)
			count_inc(h->counters, COUNTER_EPHEMERAL_SKIPPED);
		else
			recovery_fall_behind(s, m->seq);
	}
}

/* An event of the channel itself, for its own subscribers. Who misses it, and asked for the
 * members, is owed them anew. */
static void fan_out_event(struct hub *h, struct message *m)
{
	struct delivery d = {.hub = h, .message = m};
	struct channel *ch = channel_find(h, message_channel(m));

	h->sending = m;
	for (uint32_t i = 0; ch && i < ch->subscription_n; i++) {
		struct subscription *sub = ch->subscriptions[i];
		struct subscriber *s = sub->subscriber;

		if (frame_format_is_bare(s->ops->format))
			continue; /* no room for events */
		if (s->state == SUB_LIVE && s->ops->send(s, frame_for(&d, ch, NULL, s->ops)) == 0)
			continue;
		count_inc(h->counters, COUNTER_EPHEMERAL_SKIPPED);
		sub->owes_members = sub->wants_members;
	}
	for (size_t f = 0; f < FORMAT_COUNT; f++)
		frame_unref(d.frames[f]);
}

static void forget_deliveries_in(struct channel *topics)
{
	struct channel *ch, *next;

	HASH_ITER (hh, topics, ch, next)
		for (uint32_t i = 0; i < ch->subscription_n; i++)
			ch->subscriptions[i]->subscriber->delivery = 0;
}

/* The numbers begin anew: what has one must not take a message for one that it had long ago. */
static void forget_deliveries(struct hub *h)
{
	forget_deliveries_in(h->channels);
	forget_deliveries_in(h->patterns.map);
	h->deliveries = 1;
}

static void deliver_message(struct hub *h, struct message *m, uint64_t now_us)
{
	struct topics topics;

	if (m->kind == MESSAGE_EVENT) {
		fan_out_event(h, m);
		return;
	}
	topics_find(&topics, h, message_channel(m));
	if (topics.n == 0)
		return;
	struct delivery d = {.hub = h, .message = m, .is_shared = topics.n > 1};
	if (m->born_us)
		histogram_add(h->counters, HISTOGRAM_DELIVERY, now_us - m->born_us);
	bool is_expired = message_is_expired(m);
	h->sending = m;
	if (d.is_shared && ++h->deliveries == 0)
		forget_deliveries(h);
	topics_pin(&topics, true);
	for (size_t i = 0; i < topics.n; i++) {
		struct recent *kept = m->seq ? channel_remember(topics.v[i], m) : NULL;

		if (is_expired)
			fan_out_expired(topics.v[i], m);
		else
			fan_out(&d, topics.v[i], kept);
	}
	topics_pin(&topics, false);
	for (size_t f = 0; f < FORMAT_COUNT; f++)
		frame_unref(d.frames[f]);
}

void hub_deliver(struct hub *h, const struct batch *b)
{
	CHECK_OBJ(h, HUB_MAGIC);
	loop_assert(h->loop);
	/* For all of them: they leave together, when the turn is over. */
	uint64_t now_us = b->n ? clock_mono_us() : 0;
	for (size_t i = 0; i < b->n; i++) {
		struct message *m = b->messages[i];

		deliver_message(h, m, now_us);
		if (m->seq)
			h->head = m->seq;
	}
	/* A batch of nothing does not reach every worker: its head would be a position that others
	 * take for one beyond the end. */
	if (b->n && b->head > h->head)
		h->head = b->head;
	if (!TAILQ_EMPTY(&h->ahead))
		recovery_wake(&h->ahead);
	if (b->ack_n)
		durable_deliver(h, b);
}
