/* SPDX-License-Identifier: MIT */
/*
 * hub: fan-out. DESIGN: for each message of a batch one look-up, then a walk over a dense array of
 * subscriptions. A frame is made at most once per wire format, kept with the message in the
 * channel's recent history, and only referenced from there on: no allocation, no copy and no atomic
 * operation per subscriber. send() only queues; a subscriber that can not take a message falls
 * behind and is fed by recovery from then on. A message that expired on its way here is not sent:
 * recovery tells of it.
 */
#include "broker/hub.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/obj.h"
#include "base/xalloc.h"
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
	TAILQ_INIT(&h->idle);
	TAILQ_INIT(&h->retries);
	TAILQ_INIT(&h->ahead);
	loop_timer_init(&h->retry_timer, on_retry);
	loop_timer_init(&h->idle_timer, on_idle);
	return h;
}

void hub_free(struct hub *h)
{
	if (!h)
		return;
	CHECK_OBJ(h, HUB_MAGIC);
	channel_expire_idle(h, true);
	assert(h->channels == NULL && h->durables == NULL);
	loop_timer_clear(h->loop, &h->retry_timer);
	loop_timer_clear(h->loop, &h->idle_timer);
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
}

void hub_forget(struct hub *h, struct slice channel)
{
	struct channel *ch = channel_find(h, channel);

	if (ch)
		channel_forget(ch);
}

/* The frames of one message while it is fanned out: those of its place in recent, or, for a message
 * that is not kept (ephemeral, or no room), its own for the moment. */
static struct frame *frame_for(struct hub *h, const struct subscriber_ops *ops,
			       struct frame **frames, const struct message *m)
{
	struct frame **f = &frames[ops->format];

	if (!*f) {
		*f = ops->encode(m, &h->epoch);
		count_inc(h->counters, COUNTER_ENCODED);
	}
	return *f;
}

static void fan_out_expired(struct channel *ch, const struct message *m)
{
	for (uint32_t i = 0; i < ch->subscription_n; i++) {
		struct subscriber *s = ch->subscriptions[i]->subscriber;

		if (s->state == SUB_LIVE)
			recovery_detour(s, m->seq);
	}
}

static void fan_out(struct channel *ch, struct message *m, struct recent *kept)
{
	struct frame *frames[FORMAT_COUNT] = {NULL};
	struct hub *h = ch->hub;

	h->sending = m;
	for (uint32_t i = 0; i < ch->subscription_n; i++) {
		struct subscriber *s = ch->subscriptions[i]->subscriber;

		if (s->state != SUB_LIVE) {
			if (m->seq == 0)
				count_inc(h->counters, COUNTER_EPHEMERAL_SKIPPED);
			continue;
		}
		if (m->except != 0 && m->except == s->name)
			continue;
		struct frame *f =
			kept ? channel_frame(ch, kept, s->ops) : frame_for(h, s->ops, frames, m);
		if (s->ops->send(s, f) == 0)
			count_inc(h->counters, delivered_counters[s->ops->kind]);
		else if (m->seq == 0)
			count_inc(h->counters, COUNTER_EPHEMERAL_SKIPPED);
		else
			recovery_fall_behind(s, m->seq);
	}
	for (size_t f = 0; f < FORMAT_COUNT; f++)
		frame_unref(frames[f]);
}

/* An event of the channel itself. Who misses it, and asked for the members, is owed them anew. */
static void fan_out_event(struct channel *ch, struct message *m)
{
	struct frame *frames[FORMAT_COUNT] = {NULL};

	ch->hub->sending = m;
	for (uint32_t i = 0; i < ch->subscription_n; i++) {
		struct subscription *sub = ch->subscriptions[i];
		struct subscriber *s = sub->subscriber;

		if (s->ops->format == FORMAT_WS_RAW)
			continue; /* payloads only */
		if (s->state == SUB_LIVE &&
		    s->ops->send(s, frame_for(ch->hub, s->ops, frames, m)) == 0)
			continue;
		count_inc(ch->hub->counters, COUNTER_EPHEMERAL_SKIPPED);
		sub->owes_members = sub->wants_members;
	}
	for (size_t f = 0; f < FORMAT_COUNT; f++)
		frame_unref(frames[f]);
}

static void deliver_message(struct hub *h, struct message *m)
{
	struct channel *ch = channel_find(h, message_channel(m));

	if (!ch)
		return;
	if (m->kind == MESSAGE_EVENT) {
		fan_out_event(ch, m);
		return;
	}
	if (m->born_us)
		histogram_add(h->counters, HISTOGRAM_DELIVERY, clock_mono_us() - m->born_us);
	struct recent *kept = m->seq ? channel_remember(ch, m) : NULL;
	if (message_is_expired(m))
		fan_out_expired(ch, m);
	else
		fan_out(ch, m, kept);
}

void hub_deliver(struct hub *h, const struct batch *b)
{
	CHECK_OBJ(h, HUB_MAGIC);
	loop_assert(h->loop);
	for (size_t i = 0; i < b->n; i++) {
		struct message *m = b->messages[i];

		deliver_message(h, m);
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
