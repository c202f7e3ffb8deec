/* SPDX-License-Identifier: MIT */
/*
 * fake_subscriber: see the header. DESIGN: a frame holds the fact (channel, seq, prev), not a wire
 * format, so that nothing has to be parsed. The ops are a copy per subscriber, for tests that leave
 * out the optional ones.
 */
#include "tests/unit/broker/fake_subscriber.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/obj.h"
#include "base/xalloc.h"

struct fact {
	uint64_t seq, prev;
	unsigned again;
	char channel[32];
};

static struct fake_subscriber *fake_of(struct subscriber *s)
{
	return container_of(s, struct fake_subscriber, subscriber);
}

static struct fake_event *append_event(struct fake_events *e, enum fake_kind kind)
{
	if (e->n == e->room) {
		e->room = e->room ? e->room * 2 : 16;
		e->v = xrealloc(e->v, e->room * sizeof(*e->v));
	}
	struct fake_event *v = &e->v[e->n++];
	v->kind = kind;
	v->seq = v->prev = v->to = v->oldest = v->at_ms = 0;
	v->again = 0;
	v->channel[0] = v->from[0] = '\0';
	return v;
}

static struct fake_event *add(struct fake_subscriber *f, enum fake_kind kind)
{
	struct fake_event *v = append_event(&f->queue, kind);

	assert(!f->is_too_slow || kind == FAKE_MARK);
	v->at_ms = loop_now_ms(f->subscriber.hub->loop);
	return v;
}

static void copy_name(char out[32], struct slice name)
{
	assert(name.n < 32);
	memcpy(out, name.p, name.n);
	out[name.n] = '\0';
}

/* --- subscriber_ops -------------------------------------------------------------------------- */

static struct frame *encode(const struct message *m, const struct epoch *epoch)
{
	struct fact fact = {.seq = m->seq, .prev = m->prev};
	struct slice payload = message_payload(m);

	UNUSED(epoch);
	copy_name(fact.channel, message_channel(m));
	/* as large as the payload makes it, for the accounts */
	struct frame *f = frame_new(sizeof(fact) + payload.n);
	memcpy(f->bytes, &fact, sizeof(fact));
	memcpy(f->bytes + sizeof(fact), payload.p, payload.n);
	f->seq = m->seq;
	f->is_message = true;
	return f;
}

struct frame *fake_encode_again(const struct message *m, const struct epoch *epoch, unsigned n)
{
	struct frame *f = encode(m, epoch);
	struct fact fact;

	memcpy(&fact, f->bytes, sizeof(fact));
	fact.again = n;
	memcpy(f->bytes, &fact, sizeof(fact));
	f->is_message = false;
	return f;
}

static int send(struct subscriber *s, struct frame *f)
{
	struct fake_subscriber *me = fake_of(s);
	const struct message *m = s->hub->sending;
	struct fact fact;

	assert(m && m->seq == f->seq && !message_is_expired(m));
	assert(s->state != SUB_LIVE || m->except == 0 || m->except != s->name);
	if (me->queue.n >= (s->state == SUB_LIVE ? me->live_room : me->replay_room)) {
		me->wants_drain = true;
		return -ENOBUFS;
	}
	memcpy(&fact, f->bytes, sizeof(fact));
	assert(fact.seq == f->seq);
	struct fake_event *v = add(me, FAKE_MESSAGE);
	v->seq = fact.seq;
	v->prev = fact.prev;
	v->again = fact.again;
	strcpy(v->channel, fact.channel);
	return 0;
}

static uint64_t rewind_queue(struct subscriber *s)
{
	struct fake_subscriber *me = fake_of(s);
	bool keep_first = me->is_half_sent;
	uint64_t lowest = 0;
	size_t kept = 0;

	me->rewinds++;
	me->wants_drain = true;
	if (me->keeps)
		return 0;
	for (size_t i = 0; i < me->queue.n; i++) {
		const struct fake_event *v = &me->queue.v[i];

		if (v->kind != FAKE_MESSAGE || v->again || keep_first) {
			me->queue.v[kept++] = *v;
			keep_first = false;
		} else if (v->seq && (!lowest || v->seq < lowest)) {
			lowest = v->seq;
		}
	}
	me->queue.n = kept;
	return lowest;
}

static void opened(struct subscriber *s, uint64_t cursor)
{
	add(fake_of(s), FAKE_OPENED)->seq = cursor;
}

static void gap(struct subscriber *s, const struct gap *g)
{
	struct fake_event *v = add(fake_of(s), FAKE_GAP);

	copy_name(v->channel, g->channel);
	assert(g->from.n < sizeof(v->from));
	memcpy(v->from, g->from.p, g->from.n);
	v->from[g->from.n] = '\0';
	v->to = g->to;
	v->oldest = g->oldest;
	v->reason = g->reason;
}

static void live(struct subscriber *s)
{
	add(fake_of(s), FAKE_LIVE);
}

static void failed(struct subscriber *s, enum fault_id why)
{
	assert(why == FAULT_STORE_UNAVAILABLE);
	fake_of(s)->has_failed = true;
	add(fake_of(s), FAKE_FAILED);
}

void fake_too_slow(struct subscriber *s)
{
	assert(s->state == SUB_CATCHING_UP && s->is_opened);
	fake_of(s)->is_too_slow = true;
}

/* --- the client ------------------------------------------------------------------------------ */

void fake_subscriber_init(struct fake_subscriber *f, struct hub *h, enum subscriber_kind kind,
			  enum frame_format format)
{
	memset(f, 0, sizeof(*f));
	f->ops = (struct subscriber_ops){
		.kind = kind,
		.format = format,
		.encode = encode,
		.send = send,
		.rewind = rewind_queue,
		.opened = opened,
		.gap = gap,
		.live = live,
		.failed = failed,
	};
	f->live_room = f->replay_room = SIZE_MAX;
	subscriber_init(&f->subscriber, h, &f->ops);
}

void fake_subscriber_fini(struct fake_subscriber *f)
{
	subscriber_fini(&f->subscriber);
	free(f->queue.v);
	free(f->seen.v);
	f->queue = f->seen = (struct fake_events){0};
}

void fake_mark(struct fake_subscriber *f, int mark, const char *channel)
{
	struct fake_event *v = add(f, FAKE_MARK);

	v->mark = mark;
	copy_name(v->channel, slice_str(channel));
}

void fake_write(struct fake_subscriber *f, size_t n)
{
	if (n > f->queue.n)
		n = f->queue.n;
	for (size_t i = 0; i < n; i++)
		*append_event(&f->seen, FAKE_MARK) = f->queue.v[i];
	f->queue.n -= n;
	if (n)
		memmove(f->queue.v, f->queue.v + n, f->queue.n * sizeof(*f->queue.v));
	/* The mark of a real connection is half the window. */
	if (f->wants_drain && !f->is_too_slow && f->queue.n <= f->replay_room / 2) {
		f->wants_drain = false;
		subscriber_drained(&f->subscriber);
	}
}

void fake_write_all(struct fake_subscriber *f)
{
	do
		fake_write(f, f->queue.n);
	while (f->queue.n || f->wants_drain);
}

static size_t print(const struct fake_event *v, char *out, size_t room)
{
	switch (v->kind) {
	case FAKE_MESSAGE:
		if (!v->seq)
			return (size_t)snprintf(out, room, "~%s", v->channel);
		return (size_t)snprintf(out, room, "%s%llu", v->channel,
					(unsigned long long)v->seq);
	case FAKE_GAP:
		return (size_t)snprintf(out, room, "gap %s %s-%llu oldest %llu %s", v->channel,
					v->from, (unsigned long long)v->to,
					(unsigned long long)v->oldest, gap_reason_name(v->reason));
	case FAKE_OPENED:
		return (size_t)snprintf(out, room, "open %llu", (unsigned long long)v->seq);
	case FAKE_LIVE:
		return (size_t)snprintf(out, room, "live");
	case FAKE_FAILED:
		return (size_t)snprintf(out, room, "failed");
	case FAKE_MARK:
		break;
	}
	return (size_t)snprintf(out, room, "mark");
}

const char *fake_seen(struct fake_subscriber *f)
{
	static char text[8192];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < f->seen.n; i++) {
		if (i)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "|");
		n += print(&f->seen.v[i], text + n, sizeof(text) - n);
		assert(n < sizeof(text));
	}
	f->seen.n = 0;
	return text;
}

const char *fake_take(struct fake_subscriber *f)
{
	fake_write_all(f);
	return fake_seen(f);
}
