/* SPDX-License-Identifier: MIT */
/*
 * durable: see the header.
 *
 * DESIGN
 *  - Joining: the position is asked for before anything else, in one letter for all channels. With
 *    a start that only the log can resolve (everything, the newest N, a cursor that is no good)
 *    recovery resolves it as ever, and stops once before the first message
 *    (durable_must_wait) until the position is kept.
 *  - In flight is what was sent and not acknowledged on this connection: per channel a ring of
 *    numbers, in rising order, no messages. It is bounded by max_in_flight, which is bounded by an
 *    option.
 *  - Sending again is going back: when something has been in flight for ack_wait, the subscriber
 *    catches up from before it, and durable_send makes of what passes by what it is: due again,
 *    still in flight (skipped), or new. So what is sent again obeys the same flow control, order
 *    and gaps as everything else, and is read from where everything is read.
 *  - The window: a new message beyond it is refused like by a full connection; the acknowledgement
 *    that makes room goes on as if the connection had drained.
 *  - Acknowledgements come with the batches, whoever made them (durable_deliver), so that a session
 *    hears of them on every worker and in one way.
 *
 * life: made by the first durable_subscribe, gone with its subscriber; on the hub's list of its
 * name in between. A letter under way is let go of (owner NULL) when it is gone.
 */
#include "broker/durable.h"

#include <errno.h>
#include <stdlib.h>

#include "base/pattern.h"
#include "base/xalloc.h"
#include "broker/channel.h"
#include "broker/recovery.h"

#define RING_ROOM_MIN 8
/* A timer that is due looks at everything in flight: not more often than so many times per wait. */
#define LOOKS_PER_WAIT 8

struct in_flight {
	uint64_t seq;
	uint64_t sent_ms;
	uint32_t times; /* sent again so many times */
	bool is_due;
};

/* What is in flight of one channel. */
struct flight {
	UT_hash_handle hh;
	bool is_kept;   /* its position is in the log */
	uint64_t acked; /* its position, as far as we have heard */
	uint64_t sent;  /* everything that was to be sent up to here was, on this connection … */
	uint64_t safe;  /* … and up to here it is in no queue any more that could be dropped */
	struct in_flight *ring;
	uint32_t room, first, n;
	uint8_t name_n;
	char name[];
};

/* All sessions of one name on this hub. */
struct durable_family {
	UT_hash_handle hh;
	LIST_HEAD(, durable) members;
	uint8_t name_n;
	char name[];
};

/* A letter under way: to join, or to keep where a subscription started (joined is not called). */
struct joining {
	LIST_ENTRY(joining) link;
	struct subscriber *subscriber;
	struct ack_letter *letter;
	bool is_resume; /* start at the kept position */
	bool is_record; /* subscribed already */
	bool is_admin;
	uint64_t from; /* !is_resume */
	void (*joined)(struct subscriber *s, void *arg, const struct fault *fault, uint64_t from);
	void *arg;
};

struct durable {
	struct subscriber *subscriber;
	struct durable_family *family;
	LIST_ENTRY(durable) link; /* of its family */
	const struct durable_ops *ops;
	uint32_t max_in_flight;
	uint64_t ack_wait_ms;
	struct flight *flights; /* map by channel */
	size_t in_flight;
	size_t due;        /* of them, waiting to be sent again */
	bool is_blocked;   /* the last send was refused for want of acknowledgements … */
	bool keeps_queue;  /* … and the rewind that follows is to drop nothing */
	bool is_recording; /* a letter of durable_must_wait is under way */
	LIST_HEAD(, joining) joinings;
	struct loop_timer timer; /* something may be due */
	struct loop_timer touch; /* tell the log that it is still there */
};

/* --- families -------------------------------------------------------------------------------- */

static struct durable_family *family_find(struct hub *h, struct slice name)
{
	struct durable_family *f;

	HASH_FIND(hh, h->durables, name.p, name.n, f);
	return f;
}

static struct durable_family *family_get(struct hub *h, struct slice name)
{
	struct durable_family *f = family_find(h, name);

	if (f)
		return f;
	f = xcalloc(1, sizeof(*f) + name.n);
	memcpy(f->name, name.p, name.n);
	f->name_n = (uint8_t)name.n;
	LIST_INIT(&f->members);
	HASH_ADD_KEYPTR(hh, h->durables, f->name, name.n, f);
	return f;
}

static struct slice name_of(const struct durable *d)
{
	return slice_make(d->family->name, d->family->name_n);
}

struct slice durable_name(const struct subscriber *s)
{
	return s->durable ? name_of(s->durable) : (struct slice){0};
}

/* --- flights --------------------------------------------------------------------------------- */

static struct flight *flight_find(const struct durable *d, struct slice channel)
{
	struct flight *f;

	HASH_FIND(hh, d->flights, channel.p, channel.n, f);
	return f;
}

static struct flight *flight_get(struct durable *d, struct slice channel)
{
	struct flight *f = flight_find(d, channel);

	if (f)
		return f;
	f = xcalloc(1, sizeof(*f) + channel.n);
	memcpy(f->name, channel.p, channel.n);
	f->name_n = (uint8_t)channel.n;
	HASH_ADD_KEYPTR(hh, d->flights, f->name, channel.n, f);
	return f;
}

static struct in_flight *flight_at(const struct flight *f, uint32_t i)
{
	return &f->ring[(f->first + i) & (f->room - 1)];
}

/* Index of the first with a seq ≥ this. */
static uint32_t flight_index(const struct flight *f, uint64_t seq)
{
	uint32_t low = 0, high = f->n;

	/* nearly always behind all that is there */
	if (f->n && flight_at(f, f->n - 1)->seq < seq)
		return f->n;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (flight_at(f, mid)->seq >= seq)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static void flight_add(struct durable *d, struct flight *f, uint64_t seq, uint64_t now_ms)
{
	if (f->n == f->room) {
		uint32_t room = f->room ? f->room * 2 : RING_ROOM_MIN;
		struct in_flight *ring = xmalloc(room * sizeof(*ring));

		for (uint32_t i = 0; i < f->n; i++)
			ring[i] = *flight_at(f, i);
		free(f->ring);
		f->ring = ring;
		f->room = room;
		f->first = 0;
	}
	f->n++;
	d->in_flight++;
	*flight_at(f, f->n - 1) = (struct in_flight){.seq = seq, .sent_ms = now_ms};
}

/* Nothing up to here is in flight any more. */
static void flight_settle(struct durable *d, struct flight *f, uint64_t upto)
{
	while (f->n && flight_at(f, 0)->seq <= upto) {
		d->due -= flight_at(f, 0)->is_due;
		f->first = (f->first + 1) & (f->room - 1);
		f->n--;
		d->in_flight--;
	}
	if (f->n == 0) {
		/* give back what a long wait needed */
		free(f->ring);
		f->ring = NULL;
		f->room = f->first = 0;
	}
}

/* Those with after < seq ≤ to are not in flight any more. */
static void flight_drop(struct durable *d, struct flight *f, uint64_t after, uint64_t to)
{
	uint32_t n = f->n, kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct in_flight e = *flight_at(f, i);

		if (e.seq > after && e.seq <= to) {
			d->due -= e.is_due;
			d->in_flight--;
		} else {
			*flight_at(f, kept++) = e;
		}
	}
	f->n = kept;
	flight_settle(d, f, 0); /* for what an empty ring gives back */
}

static void flight_free(struct durable *d, struct flight *f)
{
	flight_settle(d, f, UINT64_MAX);
	HASH_DEL(d->flights, f);
	free(f->ring);
	free(f);
}

/* --- sending --------------------------------------------------------------------------------- */

static int send_again(struct subscriber *s, struct in_flight *e, const struct message *m)
{
	struct durable *d = s->durable;
	struct frame *f = d->ops->encode_again(m, &s->hub->epoch, e->times + 1);
	int rc = d->ops->plain->send(s, f);

	frame_unref(f);
	if (rc == 0) {
		e->times++;
		e->is_due = false;
		d->due--;
		e->sent_ms = loop_now_ms(s->hub->loop);
		count_inc(s->hub->counters, COUNTER_REDELIVERED);
	}
	return rc;
}

/* The subscriber went back: this was sent before. */
static int passing_by(struct subscriber *s, struct flight *f, const struct message *m)
{
	uint32_t i = flight_index(f, m->seq);
	struct in_flight *e = i < f->n ? flight_at(f, i) : NULL;

	return e && e->seq == m->seq && e->is_due ? send_again(s, e, m) : 0;
}

int durable_send(struct subscriber *s, struct frame *frame)
{
	struct durable *d = s->durable;
	struct hub *h = s->hub;
	const struct message *m = h->sending;
	struct flight *f = m->seq ? flight_find(d, message_channel(m)) : NULL;

	d->is_blocked = false;
	if (!f)
		return d->ops->plain->send(s, frame);
	if (m->seq <= f->sent)
		return passing_by(s, f, m);
	bool is_tracked = m->seq > f->acked;
	if (is_tracked && d->in_flight >= d->max_in_flight) {
		d->is_blocked = true;
		d->keeps_queue = s->state == SUB_LIVE;
		count_inc(h->counters, COUNTER_WINDOW_FULL);
		return -ENOBUFS;
	}
	int rc = d->ops->plain->send(s, frame);
	if (rc != 0)
		return rc;
	f->sent = m->seq;
	if (!is_tracked)
		return 0;
	flight_add(d, f, m->seq, loop_now_ms(h->loop));
	if (d->ack_wait_ms && !loop_timer_is_set(&d->timer))
		loop_timer_set(h->loop, &d->timer, d->ack_wait_ms);
	return 0;
}

/* What was queued and is dropped was never sent. Frames that are sent again are not dropped. */
uint64_t durable_rewind(struct subscriber *s)
{
	struct durable *d = s->durable;
	struct flight *f, *next;

	if (d->keeps_queue) {
		/* it is the window that is full, not the connection */
		d->keeps_queue = false;
		return 0;
	}
	uint64_t dropped = d->ops->plain->rewind(s);
	HASH_ITER (hh, d->flights, f, next) {
		/* of a channel that was ahead when others went back, more was written than that */
		uint64_t upto = dropped > f->safe ? dropped - 1 : f->safe;

		if (dropped && f->sent > upto) {
			flight_drop(d, f, upto, UINT64_MAX);
			f->sent = upto;
		}
		f->safe = f->sent;
	}
	return dropped;
}

size_t durable_room(const struct subscriber *s)
{
	const struct durable *d = s->durable;

	if (!d || !d->ops)
		return SIZE_MAX;
	/* what is sent again passes by as well */
	if (d->due)
		return d->max_in_flight;
	return d->in_flight < d->max_in_flight ? d->max_in_flight - d->in_flight : 1;
}

/* --- sending again --------------------------------------------------------------------------- */

/* Mark what is due. Return when to look again, UINT64_MAX: not before something is sent. */
static uint64_t mark_due(struct durable *d, uint64_t now_ms)
{
	struct flight *f, *next;
	uint64_t then = UINT64_MAX;

	HASH_ITER (hh, d->flights, f, next) {
		for (uint32_t i = 0; i < f->n; i++) {
			struct in_flight *e = flight_at(f, i);
			uint64_t due_ms = e->sent_ms + d->ack_wait_ms;

			if (!e->is_due && due_ms <= now_ms) {
				e->is_due = true;
				d->due++;
			}
			if (e->is_due)
				due_ms = now_ms + d->ack_wait_ms;
			if (due_ms < then)
				then = due_ms;
		}
	}
	return then;
}

/* Every channel goes on where it is, but those with something due before it. */
static void go_back(struct durable *d)
{
	struct subscriber *s = d->subscriber;
	struct subscription *sub;

	recovery_restart(s, 0);
	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		const struct flight *f = flight_find(d, channel_name(sub->channel));

		for (uint32_t i = 0; f && i < f->n; i++) {
			if (!flight_at(f, i)->is_due)
				continue;
			if (flight_at(f, i)->seq <= sub->from)
				sub->from = flight_at(f, i)->seq - 1;
			break;
		}
	}
	/* It may have waited for room in the window, which what is due does not need. */
	if (d->is_blocked)
		s->is_full = false;
	recovery_step(s);
}

static void on_timer(struct loop_timer *t)
{
	struct durable *d = container_of(t, struct durable, timer);
	struct loop *l = d->subscriber->hub->loop;
	uint64_t now_ms = loop_now_ms(l), least = d->ack_wait_ms / LOOKS_PER_WAIT;
	uint64_t then = mark_due(d, now_ms);

	if (then != UINT64_MAX)
		loop_timer_set(l, t, then - now_ms > least ? then - now_ms : least);
	if (d->due && d->subscriber->state != SUB_NEW)
		go_back(d);
}

/* --- acknowledgements ------------------------------------------------------------------------ */

static void hear(struct durable *d, struct slice channel, uint64_t seq)
{
	struct flight *f = flight_find(d, channel);

	if (!f || seq <= f->acked)
		return;
	f->acked = seq;
	flight_settle(d, f, seq);
	if (d->is_blocked && d->in_flight < d->max_in_flight) {
		d->is_blocked = false;
		subscriber_drained(d->subscriber);
	}
}

void durable_deliver(struct hub *h, const struct batch *b)
{
	for (size_t i = 0; i < b->ack_n && h->durables; i++) {
		struct durable_family *family = family_find(h, b->acks[i].subscriber);
		struct durable *d, *next;

		if (!family)
			continue;
		LIST_FOREACH_SAFE (d, &family->members, link, next)
			hear(d, b->acks[i].channel, b->acks[i].seq);
	}
}

void durable_gap(struct subscriber *s, struct slice channel, uint64_t after, uint64_t to)
{
	struct flight *f = s->durable ? flight_find(s->durable, channel) : NULL;

	if (f)
		flight_drop(s->durable, f, after, to);
}

int durable_check_channel(struct slice channel, struct fault *fault)
{
	if (!pattern_is(channel))
		return 0;
	return fault_set(fault, FAULT_NOT_SUPPORTED,
			 "positions are kept of channels: a durable subscriber can not take a "
			 "pattern, name the channels");
}

int durable_check_ack(const struct hub *h, struct slice subscriber, struct slice channel,
		      struct slice id, bool is_admin, uint64_t *ret_seq, struct fault *fault)
{
	const char *wrong = channel_name_problem(subscriber);

	if (wrong)
		return fault_set(fault, FAULT_BAD_PARAMETER, "subscriber: %s", wrong);
	int rc = durable_check_channel(channel, fault);
	if (rc == 0)
		rc = subscriber_check(h, NULL, &channel, 1, is_admin, fault);
	if (rc != 0)
		return rc;
	switch (id_parse(id, &h->epoch, ret_seq)) {
	case ID_MALFORMED:
		return fault_set(fault, FAULT_BAD_PARAMETER, "id: this is no id");
	case ID_FOREIGN_EPOCH:
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "id: this id is of another log, whose epoch is not %s",
				 h->epoch.text);
	case ID_VALID:
		break;
	}
	if (*ret_seq > history_head(h->history))
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "id: nothing with this id was published yet");
	return 0;
}

/* --- joining --------------------------------------------------------------------------------- */

/* A session that stays is heard of now and then, so that its positions are not forgotten. */
static void on_touch(struct loop_timer *t)
{
	struct durable *d = container_of(t, struct durable, touch);
	struct hub *h = d->subscriber->hub;
	struct flight *f, *next;
	size_t i = 0;

	loop_timer_set(h->loop, t, h->limits.ack_expiry_ms / 4 + 1);
	if (!d->flights)
		return;
	struct ack_letter *l = ack_letter_new(name_of(d), HASH_COUNT(d->flights));
	HASH_ITER (hh, d->flights, f, next)
		ack_letter_set(l, i++, slice_make(f->name, f->name_n), STORE_ACK_NO_BEGIN, 0);
	l->reply_to = h->mailbox;
	l->done = ack_letter_free;
	if (history_ack(h->history, l) != 0)
		ack_letter_free(l); /* the next time is early enough */
}

static struct durable *durable_new(struct subscriber *s, const struct durable_request *r)
{
	struct durable *d = xcalloc(1, sizeof(*d));
	struct hub *h = s->hub;

	d->subscriber = s;
	d->ops = r->ops;
	d->max_in_flight = r->want->max_in_flight;
	d->ack_wait_ms = r->ops ? r->want->ack_wait_ms : 0;
	d->family = family_get(h, r->want->name);
	LIST_INSERT_HEAD(&d->family->members, d, link);
	LIST_INIT(&d->joinings);
	loop_timer_init(&d->timer, on_timer);
	loop_timer_init(&d->touch, on_touch);
	if (h->limits.ack_expiry_ms)
		loop_timer_set(h->loop, &d->touch, h->limits.ack_expiry_ms / 4 + 1);
	if (r->ops)
		s->ops = &r->ops->ops;
	s->durable = d;
	count_inc(h->counters, COUNTER_DURABLE_SESSIONS);
	return d;
}

void durable_fini(struct subscriber *s)
{
	struct durable *d = s->durable;
	struct flight *f, *next;
	struct joining *j;

	if (!d)
		return;
	struct hub *h = s->hub;
	while ((j = LIST_FIRST(&d->joinings)) != NULL) {
		j->letter->owner = NULL;
		LIST_REMOVE(j, link);
		free(j);
	}
	HASH_ITER (hh, d->flights, f, next)
		flight_free(d, f);
	loop_timer_clear(h->loop, &d->timer);
	loop_timer_clear(h->loop, &d->touch);
	LIST_REMOVE(d, link);
	if (LIST_EMPTY(&d->family->members)) {
		HASH_DEL(h->durables, d->family);
		free(d->family);
	}
	count_add(h->counters, COUNTER_DURABLE_SESSIONS, -1);
	free(d);
	s->durable = NULL;
}

void durable_pass(struct subscriber *s, const struct message *m)
{
	struct flight *f = s->durable ? flight_find(s->durable, message_channel(m)) : NULL;

	if (f && m->seq > f->sent)
		f->sent = m->seq;
}

void durable_leave(struct subscriber *s, struct slice channel)
{
	struct flight *f = s->durable ? flight_find(s->durable, channel) : NULL;

	if (!f)
		return;
	flight_free(s->durable, f);
	/* what was in flight of it may have been what all others waited for */
	if (s->durable->is_blocked && s->durable->in_flight < s->durable->max_in_flight)
		s->is_full = s->durable->is_blocked = false;
}

int durable_letter_fault(const struct ack_letter *l, struct fault *fault)
{
	if (l->error)
		return fault_set(fault,
				 l->error == -EAGAIN || l->error == -ENOMEM
					 ? FAULT_OVERLOADED
					 : FAULT_STORE_UNAVAILABLE,
				 "the message store can not keep positions now; try again");
	for (size_t i = 0; i < l->n; i++)
		if (l->items[i].error)
			return fault_set(fault, FAULT_OVERLOADED,
					 "too many positions of durable subscribers are kept "
					 "(store.ack_positions)");
	return 0;
}

static void positions_kept(struct durable *d, const struct ack_letter *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct flight *f = flight_get(d, ack_item_channel(&l->items[i]));

		f->is_kept = true;
		if (l->items[i].kept > f->acked)
			f->acked = l->items[i].kept;
	}
}

/* Every channel from its own position, or all from one. */
static int add_from(struct subscriber *s, const struct joining *j, struct fault *fault)
{
	const struct ack_letter *l = j->letter;
	struct slice *names = xcalloc(l->n, sizeof(*names));
	struct start *starts = xcalloc(l->n, sizeof(*starts));
	char(*ids)[ID_TEXT_MAX] = xcalloc(l->n, sizeof(*ids));
	uint64_t from = UINT64_MAX;

	for (size_t i = 0; i < l->n; i++) {
		uint64_t seq = j->is_resume ? l->items[i].kept : j->from;
		size_t n = id_format(ids[i], &s->hub->epoch, seq);

		names[i] = ack_item_channel(&l->items[i]);
		starts[i] = (struct start){.kind = START_AFTER, .since = slice_make(ids[i], n)};
		if (seq < from)
			from = seq;
	}
	int rc = subscriber_check(s->hub, s, names, l->n, j->is_admin, fault);
	if (rc == 0) {
		positions_kept(s->durable, l);
		if (j->joined)
			j->joined(s, j->arg, NULL, from);
		bool was_live = s->state == SUB_LIVE;
		rc = subscriber_add_each(s, names, starts, l->n, j->is_admin, fault);
		assert(rc == 0); /* it was just checked */
		/* whoever subscribes at once looks after this himself */
		if (was_live && s->state == SUB_LIVE && s->ops->live)
			s->ops->live(s);
	}
	free(names);
	free(starts);
	free(ids);
	return rc;
}

static void on_joined(struct ack_letter *l)
{
	struct joining *j = l->owner;
	struct fault fault;

	if (!j) {
		ack_letter_free(l);
		return;
	}
	struct subscriber *s = j->subscriber;
	CHECK_OBJ(s, SUBSCRIBER_MAGIC);
	LIST_REMOVE(j, link);
	int rc = durable_letter_fault(l, &fault);
	if (j->is_record)
		s->durable->is_recording = false;
	if (j->is_record && rc == 0) {
		positions_kept(s->durable, l);
		subscriber_drained(s);
	} else if (j->is_record) {
		s->ops->failed(s, fault.id);
	} else {
		if (rc == 0)
			rc = add_from(s, j, &fault);
		if (rc != 0 && j->joined)
			j->joined(s, j->arg, &fault, 0);
	}
	free(j);
	ack_letter_free(l);
}

static int post(struct subscriber *s, struct joining *j, struct fault *fault)
{
	struct ack_letter *l = j->letter;

	l->reply_to = s->hub->mailbox;
	l->done = on_joined;
	l->owner = j;
	j->subscriber = s;
	if (history_ack(s->hub->history, l) == 0) {
		LIST_INSERT_HEAD(&s->durable->joinings, j, link);
		return 0;
	}
	ack_letter_free(l);
	free(j);
	return fault_set(fault, FAULT_OVERLOADED, "too much waits for the log; try again");
}

bool durable_must_wait(struct subscriber *s)
{
	struct durable *d = s->durable;
	struct subscription *sub;
	struct fault fault;
	size_t n = 0, i = 0;

	if (!d)
		return false;
	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		const struct flight *f = flight_find(d, channel_name(sub->channel));

		n += f && !f->is_kept;
	}
	if (n == 0)
		return false;
	s->is_full = true; /* until the answer comes */
	if (d->is_recording)
		return true;
	d->is_recording = true;
	struct joining *j = xcalloc(1, sizeof(*j));
	j->is_record = true;
	j->letter = ack_letter_new(name_of(d), n);
	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		struct slice name = channel_name(sub->channel);
		const struct flight *f = flight_find(d, name);

		if (f && !f->is_kept)
			ack_letter_set(j->letter, i++, name, sub->from, 0);
	}
	if (post(s, j, &fault) != 0)
		s->ops->failed(s, fault.id);
	return true;
}

/* Where it starts is for the log to say: subscribe now, and keep what it said before the first
 * message. */
static int subscribe_now(struct subscriber *s, const struct durable_request *r,
			 const struct slice *names, size_t n, struct fault *fault)
{
	int rc = subscriber_check(s->hub, s, names, n, r->is_admin, fault);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		flight_get(s->durable, names[i]);
	if (r->joined)
		r->joined(s, r->arg, NULL, 0);
	return subscriber_add(s, names, n, r->start, r->is_admin, fault);
}

static int subscribe_fresh(struct subscriber *s, const struct durable_request *r,
			   const struct slice *names, size_t n, struct fault *fault)
{
	struct start_point p = start_resolve(s->hub, r->start);
	bool is_ack = r->start->kind == START_AFTER && r->want->start_is_ack;

	if (p.last || p.from_oldest)
		return subscribe_now(s, r, names, n, fault);
	struct joining *j = xcalloc(1, sizeof(*j));
	j->is_resume = r->start->kind == START_NOW;
	j->is_admin = r->is_admin;
	j->from = p.from;
	j->joined = r->joined;
	j->arg = r->arg;
	j->letter = ack_letter_new(r->want->name, n);
	for (size_t i = 0; i < n; i++)
		ack_letter_set(j->letter, i, names[i], p.from, is_ack ? p.from : 0);
	return post(s, j, fault);
}

int durable_subscribe(struct subscriber *s, const struct durable_request *r, struct fault *fault)
{
	const char *wrong = channel_name_problem(r->want->name);
	size_t n = 0;

	CHECK_OBJ(s, SUBSCRIBER_MAGIC);
	if (wrong)
		return fault_set(fault, FAULT_BAD_PARAMETER, "subscriber: %s", wrong);
	if (s->durable && !slice_eq(name_of(s->durable), r->want->name))
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "subscriber: this connection is %.*s already",
				 SLICE_ARG(name_of(s->durable)));
	if (s->pattern_n > 0)
		return fault_set(fault, FAULT_NOT_SUPPORTED,
				 "subscriber: this connection has patterns, of which no positions "
				 "can be kept; use another one");
	int rc = 0;
	for (size_t i = 0; i < r->n && rc == 0; i++)
		rc = durable_check_channel(r->channels[i], fault);
	if (rc == 0)
		rc = subscriber_check(s->hub, s, r->channels, r->n, r->is_admin, fault);
	if (rc != 0)
		return rc;
	if (!s->durable)
		durable_new(s, r);
	/* what is subscribed already stays as it is; a name that is said twice counts once */
	struct slice *names = xcalloc(r->n + 1, sizeof(*names));
	for (size_t i = 0; i < r->n; i++) {
		bool is_new = !subscriber_has(s, r->channels[i]);

		for (size_t k = 0; is_new && k < n; k++)
			is_new = !slice_eq(names[k], r->channels[i]);
		if (is_new)
			names[n++] = r->channels[i];
	}
	if (n > 0)
		rc = subscribe_fresh(s, r, names, n, fault);
	else if (r->joined)
		r->joined(s, r->arg, NULL, subscriber_position(s));
	free(names);
	return rc;
}
