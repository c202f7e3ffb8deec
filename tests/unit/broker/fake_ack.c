/* SPDX-License-Identifier: MIT */
/* fake_ack: see the header. */
#include "tests/unit/broker/fake_ack.h"

#include <errno.h>
#include <stdlib.h>

#include "base/xalloc.h"
#include "broker/durable.h"
#include "tests/unit/broker/fake_history.h"

struct fake_acks fake_acks;

void fake_acks_reset(void)
{
	for (size_t i = 0; i < fake_acks.n; i++)
		ack_letter_free(fake_acks.waiting[i]);
	fake_acks = (struct fake_acks){0};
}

static struct fake_position *find(struct slice subscriber, struct slice channel)
{
	for (size_t i = 0; i < fake_acks.position_n; i++) {
		struct fake_position *p = &fake_acks.positions[i];

		if (slice_eq_str(subscriber, p->subscriber) && slice_eq_str(channel, p->channel))
			return p;
	}
	return NULL;
}

uint64_t fake_position(const char *subscriber, const char *channel)
{
	const struct fake_position *p = find(slice_str(subscriber), slice_str(channel));

	return p ? p->seq : UINT64_MAX;
}

static void tell(struct hub *h, struct slice subscriber, struct slice channel, uint64_t seq)
{
	struct batch_ack ack = {subscriber, channel, seq};
	struct batch b = {.acks = &ack, .ack_n = 1};

	durable_deliver(h, &b);
}

/* Return whether sessions are to hear of it. */
static bool keep(struct slice subscriber, struct ack_item *item)
{
	struct slice channel = ack_item_channel(item);
	struct fake_position *p = find(subscriber, channel);

	if (!p && item->begin == STORE_ACK_NO_BEGIN)
		return false;
	if (!p) {
		assert(fake_acks.position_n < 64 && subscriber.n < 64 && channel.n < 64);
		p = &fake_acks.positions[fake_acks.position_n++];
		memcpy(p->subscriber, subscriber.p, subscriber.n);
		memcpy(p->channel, channel.p, channel.n);
		p->seq = item->begin;
	} else if (item->seq > p->seq) {
		p->seq = item->seq;
	}
	item->kept = p->seq;
	return item->seq != 0;
}

static void keep_and_tell(struct hub *h, struct slice subscriber, struct ack_item *item)
{
	if (keep(subscriber, item))
		tell(h, subscriber, ack_item_channel(item), item->kept);
}

static struct ack_letter *take_first(void)
{
	struct ack_letter *l = fake_acks.waiting[0];

	fake_acks.n--;
	memmove(fake_acks.waiting, fake_acks.waiting + 1,
		fake_acks.n * sizeof(fake_acks.waiting[0]));
	l->error = fake_acks.error;
	return l;
}

void fake_acks_answer(struct hub *h)
{
	while (fake_acks.n) {
		struct ack_letter *l = take_first();

		for (size_t i = 0; i < l->n && !l->error; i++)
			keep_and_tell(h, ack_letter_subscriber(l), &l->items[i]);
		l->done(l);
	}
}

/* As the log does it: all that asked for a position are told where it stands after the round. */
static void answer(struct history *h, struct ack_letter *l)
{
	for (size_t i = 0; i < l->n && !l->error; i++) {
		const struct fake_position *p =
			find(ack_letter_subscriber(l), ack_item_channel(&l->items[i]));

		l->items[i].kept = p ? p->seq : 0;
	}
	fake_post(h, l->reply_to, &l->letter);
}

void fake_acks_commit(struct history *h, size_t n)
{
	struct ack_letter *round[ARRAY_LEN(fake_acks.waiting)];
	struct batch_ack moved[256];
	size_t taken = 0, moved_n = 0;

	while (taken < n && fake_acks.n) {
		struct ack_letter *l = round[taken++] = take_first();

		for (size_t i = 0; i < l->n && !l->error; i++) {
			assert(moved_n < ARRAY_LEN(moved));
			if (keep(ack_letter_subscriber(l), &l->items[i]))
				moved[moved_n++] = (struct batch_ack){
					ack_letter_subscriber(l), ack_item_channel(&l->items[i]),
					l->items[i].kept};
		}
	}
	if (moved_n)
		fake_tell_acks(h, moved, moved_n);
	for (size_t i = 0; i < taken; i++)
		answer(h, round[i]);
}

void fake_ack(struct hub *h, const char *subscriber, const char *channel, uint64_t seq)
{
	struct ack_letter *l = ack_letter_new(slice_str(subscriber), 1);

	ack_letter_set(l, 0, slice_str(channel), seq, seq);
	keep_and_tell(h, ack_letter_subscriber(l), &l->items[0]);
	ack_letter_free(l);
}

/* --- store/ack.h ---------------------------------------------------------------------------- */

struct ack_letter *ack_letter_new(struct slice subscriber, size_t n)
{
	struct ack_letter *l = xcalloc(1, sizeof(*l) + n * sizeof(l->items[0]));

	l->letter.kind = LETTER_ACK;
	l->subscriber_n = (uint8_t)subscriber.n;
	memcpy(l->subscriber, subscriber.p, subscriber.n);
	l->n = n;
	return l;
}

void ack_letter_set(struct ack_letter *l, size_t i, struct slice channel, uint64_t begin,
		    uint64_t seq)
{
	assert(i < l->n);
	l->items[i].channel_n = (uint8_t)channel.n;
	memcpy(l->items[i].channel, channel.p, channel.n);
	l->items[i].begin = begin;
	l->items[i].seq = seq;
}

void ack_letter_free(struct ack_letter *l)
{
	free(l);
}

int history_ack(struct history *h, struct ack_letter *l)
{
	UNUSED(h);
	if (fake_acks.refuse)
		return fake_acks.refuse;
	if (fake_acks.n == ARRAY_LEN(fake_acks.waiting))
		return -EAGAIN;
	fake_acks.waiting[fake_acks.n++] = l;
	return 0;
}

/* --- tasks: there is nobody to do them ------------------------------------------------------ */

struct store_task *store_task_new(enum store_task_kind kind, struct slice text)
{
	struct store_task *t = xcalloc(1, sizeof(*t));

	t->kind = kind;
	t->text = xstrndup(text.p ? text.p : "", text.n);
	return t;
}

void store_task_free(struct store_task *t)
{
	free(t->text);
	free(t->after);
	free(t->channel);
	free(t->after_channel);
	free(t);
}

int history_task(struct history *h, struct store_task *t)
{
	UNUSED(h);
	UNUSED(t);
	return -EAGAIN;
}
