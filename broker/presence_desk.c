/* SPDX-License-Identifier: MIT */
/*
 * presence_desk: a timer, and what it does. DESIGN: every call that makes something due later says
 * when; the worker that made it sets its own timer, so nobody has to be woken. When a timer fires,
 * whatever is due anywhere is done, in bounded portions, and the timer is set to the next thing
 * that is due. Two workers may find the same to do: the tables give it to one of them.
 */
#include "broker/presence_desk.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/obj.h"
#include "base/xalloc.h"

#define DESK_MAGIC 0x4445534bu

#define SWEEP_MAX 1024 /* entries of one turn */
#define NEWS_MAX  256  /* channels of one turn */
#define RETRY_MS  100

static void wake_at(struct presence_desk *d, uint64_t due_ms)
{
	uint64_t now = loop_now_ms(d->loop);

	if (due_ms == 0 || (d->wake_ms && d->wake_ms <= due_ms))
		return;
	d->wake_ms = due_ms;
	loop_timer_set(d->loop, &d->timer, due_ms > now ? due_ms - now : 1);
}

/* --- sending events -------------------------------------------------------------------------- */

static void on_told(struct append *a)
{
	struct presence_desk *d = a->owner;

	/* An ephemeral message fails for want of memory at most; then it was not told, which a
	 * client mends by asking. */
	wake_at(d, presence_told(d->presence, message_channel(a->messages[0])));
	append_free(a);
}

static struct message *event_new(struct slice channel, const char *type, const struct buf *json)
{
	struct message *m = message_new(&(struct message_spec){
		.channel = channel,
		.type = slice_str(type),
		.payload = buf_slice(json),
		.kind = MESSAGE_EVENT,
		.durability = DURABILITY_EPHEMERAL,
	});

	assert(m); /* its size is bounded by us */
	return m;
}

static struct append *append_of(struct presence_desk *d, const struct presence_news *news)
{
	struct slice channel = slice_make(news->channel, news->channel_n);
	struct append *a = append_new((news->leave.n ? 1 : 0) + (news->join.n ? 1 : 0));
	size_t n = 0;

	if (news->leave.n)
		a->messages[n++] = event_new(channel, "leave", &news->leave);
	if (news->join.n)
		a->messages[n++] = event_new(channel, "join", &news->join);
	a->reply_to = d->mailbox;
	a->done = on_told;
	a->owner = d;
	a->born_us = clock_mono_us();
	return a;
}

/* False: the log takes no more now. */
static bool send_stuck(struct presence_desk *d)
{
	size_t n = d->stuck ? d->stuck->n : 0;

	if (d->stuck && history_append(d->history, d->stuck) != 0)
		return false;
	count_add(d->counters, COUNTER_PRESENCE_EVENTS, (int64_t)n);
	d->stuck = NULL;
	return true;
}

/* False: there may be more to send. */
static bool send_news(struct presence_desk *d, uint64_t now_ms)
{
	struct presence_news news;

	for (size_t i = 0; i < NEWS_MAX; i++) {
		if (!send_stuck(d))
			return false;
		if (!presence_take_news(d->presence, d->counters, now_ms, &news))
			return true;
		d->stuck = append_of(d, &news);
		presence_news_fini(&news);
	}
	return send_stuck(d);
}

static void on_timer(struct loop_timer *t)
{
	struct presence_desk *d = container_of(t, struct presence_desk, timer);
	uint64_t now = clock_mono_ms();

	CHECK_OBJ(d, DESK_MAGIC);
	d->wake_ms = 0;
	presence_sweep(d->presence, d->counters, now, SWEEP_MAX);
	if (!send_news(d, now))
		wake_at(d, loop_now_ms(d->loop) + RETRY_MS);
	else
		wake_at(d, presence_next_due(d->presence));
}

/* --- life and calls -------------------------------------------------------------------------- */

struct presence_desk *presence_desk_new(const struct presence_desk *parts)
{
	struct presence_desk *d = xcalloc(1, sizeof(*d));

	*d = *parts;
	d->magic = DESK_MAGIC;
	d->stuck = NULL;
	d->wake_ms = 0;
	loop_timer_init(&d->timer, on_timer);
	return d;
}

void presence_desk_free(struct presence_desk *d)
{
	if (!d)
		return;
	CHECK_OBJ(d, DESK_MAGIC);
	loop_timer_clear(d->loop, &d->timer);
	append_free(d->stuck);
	d->magic = 0;
	free(d);
}

void presence_desk_join(struct presence_desk *d, const struct presence_place *at,
			const struct attendee *who)
{
	wake_at(d, presence_join(d->presence, d->counters, at, who));
}

void presence_desk_leave(struct presence_desk *d, const struct presence_place *at,
			 const struct session_id *id, bool at_once)
{
	wake_at(d, presence_leave(d->presence, d->counters, at, id, at_once));
}
