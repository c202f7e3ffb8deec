/* SPDX-License-Identifier: MIT */
/*
 * load_track: who must get what, and who got it.
 *
 * A payload begins with sixteen characters, all of them harmless in JSON, SSE and URLs:
 *
 *   ~ GGGGG TTTTTT RRRR    the message's number in this run, when it was due (microseconds), this
 * run
 *
 * in digits to the base of 64; the rest is filling. Found anywhere in what a subscriber is sent,
 * they say all: the number leads to the message's entry in a ring, and that to its channel,
 * publisher and place among that publisher's messages to the channel.
 *
 * The promise that is checked: each subscriber gets each publisher's messages to its channels once
 * and in order. Between two publishers there is no order. A subscriber's track is the number that
 * it expects next and a bit for each of the last 64 before it, so a number is
 *
 *   expected, or beyond (those between are lost, for now)  ·  behind and new (late: out of order,
 * and not lost any more)  ·  behind and there already, or too old to tell (repeated)
 *
 * What is lost is known in the end only: what is behind, and what never came of the tail.
 *
 * A message is COMPLETE when it was acknowledged and all who were subscribed have it, or when it
 * was given up; FINISHED when it does not count as in flight any more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/load.h"

#define TIME_MASK ((1ull << 36) - 1)

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static int8_t values[256]; /* of a digit; -1: it is none */

static void encode(char *p, unsigned n, uint64_t value)
{
	while (n > 0) {
		p[--n] = digits[value & 63];
		value >>= 6;
	}
}

static uint64_t decode(const char *p, unsigned n)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n; i++)
		value = value << 6 | (uint64_t)values[(unsigned char)p[i]];
	return value;
}

static bool is_head(const char *p)
{
	int or = 0;

	for (unsigned i = 1; i < PAYLOAD_HEAD; i++)
		or |= values[(unsigned char)p[i]];
	return p[0] == '~' && or >= 0;
}

void track_init(struct load *l)
{
	const struct load_options *o = &l->o;
	size_t each = (size_t)o->channels_each * o->publishers;

	memset(values, -1, sizeof(values));
	for (int i = 0; i < 64; i++)
		values[(unsigned char)digits[i]] = (int8_t)i;
	encode(l->tag, sizeof(l->tag), now_us() * 7919 + (uint64_t)getpid() * 104729);
	l->channels = must_alloc(o->channels, sizeof(*l->channels));
	for (uint32_t i = 0; i < o->channels; i++) {
		char name[256];

		if (o->channels == 1)
			snprintf(name, sizeof(name), "%s", o->channel);
		else
			snprintf(name, sizeof(name), "%s-%u", o->channel, i);
		l->channels[i].name = strdup(name);
	}
	l->tracks = must_alloc(o->subscribers * each, sizeof(*l->tracks));
	l->messages = must_alloc(MESSAGES_RING, sizeof(*l->messages));
	l->numbers = must_alloc((size_t)o->publishers * o->channels, sizeof(*l->numbers));
	l->payload = must_alloc(1, o->bytes + 1);
	memset(l->payload, 'x', o->bytes);
	if (o->is_json)
		l->payload[0] = l->payload[o->bytes - 1] = '"';
}

static uint32_t channel_of(struct load *l, uint32_t subscriber, uint32_t i)
{
	return (uint32_t)(((uint64_t)subscriber * l->o.channels_each + i) % l->o.channels);
}

const char *track_channel(struct load *l, const struct conn *c, uint32_t i)
{
	return l->channels[channel_of(l, c->index, i)].name;
}

void track_ready(struct load *l, struct conn *c, bool is_ready)
{
	for (uint32_t i = 0; i < l->o.channels_each; i++) {
		struct channel *ch = &l->channels[channel_of(l, c->index, i)];

		ch->subscribers += is_ready ? 1u : -1u;
	}
}

/* --- the way of a message -----------------------------------------------------------------------
 */

struct message *track_publish(struct load *l, uint32_t publisher, uint32_t channel, uint64_t due_us)
{
	struct message *m = &l->messages[l->next_g % MESSAGES_RING];

	*m = (struct message){.g = l->next_g++,
			      .channel = channel,
			      .number = l->numbers[(size_t)publisher * l->o.channels + channel]++,
			      .missing = l->channels[channel].subscribers,
			      .due_us = due_us,
			      .publisher = (uint16_t)publisher,
			      .flags = l->new_flags};
	l->in_flight++;
	l->incomplete++;
	l->counts.published++;
	l->measured += (m->flags & MEASURED) != 0;
	return m;
}

void track_payload(struct load *l, const struct message *m)
{
	char *p = l->payload + l->o.is_json;

	p[0] = '~';
	encode(p + 1, 5, m->g);
	encode(p + 6, 6, m->due_us & TIME_MASK);
	memcpy(p + 12, l->tag, 4);
}

static void finish(struct load *l, struct message *m)
{
	if (!(m->flags & FINISHED))
		l->in_flight--;
	m->flags |= FINISHED;
}

static void complete(struct load *l, struct message *m)
{
	if (m->flags & COMPLETE)
		return;
	m->flags |= COMPLETE;
	l->incomplete--;
	finish(l, m);
}

static void look_whether_complete(struct load *l, struct message *m)
{
	if (m->missing == 0 && (m->flags & ACKED))
		complete(l, m);
}

void track_acked(struct load *l, uint32_t g)
{
	struct message *m = &l->messages[g % MESSAGES_RING];

	l->last_news_us = now_us();
	if (m->flags & MEASURED)
		histogram_add(&l->receipts, l->last_news_us - m->due_us);
	m->flags |= ACKED;
	if (!l->o.until_delivered)
		finish(l, m);
	look_whether_complete(l, m);
}

void track_give_up(struct load *l)
{
	uint64_t now = now_us(), patience = (uint64_t)(l->o.give_up_s * 1e6);

	for (; l->oldest != l->next_g; l->oldest++) {
		struct message *m = &l->messages[l->oldest % MESSAGES_RING];

		if (m->flags & COMPLETE)
			continue;
		if (now < m->due_us + patience || now < l->last_news_us + patience / 8)
			return;
		l->counts.abandoned++;
		complete(l, m);
	}
}

/* --- deliveries ---------------------------------------------------------------------------------
 */

/* Is it one that the subscriber did not have? */
static bool take_number(struct load *l, struct track *t, uint32_t number)
{
	if (number >= t->next) {
		uint32_t ahead = number - t->next;

		t->recent = ahead >= 63 ? 0 : t->recent << (ahead + 1);
		t->recent |= 1;
		t->next = number + 1;
		l->counts.lost += ahead;
		return true;
	}
	uint32_t behind = t->next - 1 - number;
	if (behind >= 64 || (t->recent >> behind & 1)) {
		l->counts.repeated++;
		return false;
	}
	t->recent |= 1ull << behind;
	l->counts.lost--;
	l->counts.disordered++;
	return true;
}

static void take_backlog(struct load *l, struct conn *c)
{
	if (c->backlog_left == 0)
		return;
	c->backlog_left--;
	l->backlog_left--;
	if (c->backlog_left == 0)
		histogram_add(&l->served, l->now_us - l->return_us);
}

static void take_new(struct load *l, struct message *m, uint64_t sent_us)
{
	l->counts.deliveries++;
	if (m->flags & MEASURED) {
		histogram_add(&l->latency, (l->now_us - sent_us) & TIME_MASK);
		l->measured_deliveries++;
	}
	if (m->missing == 0)
		return; /* the subscriber was not there yet when it was published */
	m->missing--;
	if (m->missing == 0 && (m->flags & MEASURED))
		histogram_add(&l->last, l->now_us - m->due_us);
	look_whether_complete(l, m);
}

static void take_payload(struct load *l, struct conn *c, const char *head)
{
	uint32_t g = (uint32_t)decode(head + 1, 5);
	struct message *m = &l->messages[g % MESSAGES_RING];
	const struct load_options *o = &l->o;

	l->last_news_us = l->now_us;
	if (memcmp(head + 12, l->tag, sizeof(l->tag)) != 0 || g >= l->next_g) {
		l->counts.foreign++;
		return;
	}
	if (m->g != g) { /* a million messages ago */
		l->counts.repeated++;
		return;
	}
	uint32_t i = (m->channel + o->channels - channel_of(l, c->index, 0)) % o->channels;
	if (i >= o->channels_each) {
		l->counts.misrouted++;
		return;
	}
	size_t at = ((size_t)c->index * o->channels_each + i) * o->publishers + m->publisher;
	if (!take_number(l, &l->tracks[at], m->number))
		return;
	if (m->flags & BACKLOG)
		take_backlog(l, c);
	take_new(l, m, decode(head + 6, 6));
}

/* Complete a head whose beginning is in c->carry; return how many bytes of p that took. */
static size_t take_carry(struct load *l, struct conn *c, const char *p, size_t n)
{
	size_t want = (size_t)(PAYLOAD_HEAD - c->carry_n), used = want < n ? want : n;

	memcpy(c->carry + c->carry_n, p, used);
	c->carry_n = (uint8_t)(c->carry_n + used);
	if (c->carry_n < PAYLOAD_HEAD)
		return used;
	if (is_head(c->carry)) {
		take_payload(l, c, c->carry);
		c->carry_n = 0;
		return used;
	}
	/* It was something else: go on at the next mark in it. */
	const char *mark = memchr(c->carry + 1, '~', PAYLOAD_HEAD - 1);
	c->carry_n = mark ? (uint8_t)(c->carry + PAYLOAD_HEAD - mark) : 0;
	if (mark)
		memmove(c->carry, mark, c->carry_n);
	return used;
}

void track_scan(struct load *l, struct conn *c, struct span bytes)
{
	const char *p = bytes.p, *end = bytes.p + bytes.n;

	while (c->carry_n > 0 && p < end)
		p += take_carry(l, c, p, (size_t)(end - p));
	while (p < end && (p = memchr(p, '~', (size_t)(end - p)))) {
		if (end - p < PAYLOAD_HEAD) {
			c->carry_n = (uint8_t)(end - p);
			memcpy(c->carry, p, c->carry_n);
			return;
		}
		if (!is_head(p)) {
			p++;
			continue;
		}
		take_payload(l, c, p);
		p += PAYLOAD_HEAD;
	}
}

/* Those in the middle were counted; add those at the end of each track. */
uint64_t track_lost(struct load *l)
{
	const struct load_options *o = &l->o;
	uint64_t lost = l->counts.lost;

	for (uint32_t s = 0; s < o->subscribers; s++) {
		for (uint32_t i = 0; i < o->channels_each; i++) {
			uint32_t channel = channel_of(l, s, i);
			size_t at = ((size_t)s * o->channels_each + i) * o->publishers;

			for (uint32_t p = 0; p < o->publishers; p++) {
				size_t n = (size_t)p * o->channels + channel;

				lost += l->numbers[n] - l->tracks[at + p].next;
			}
		}
	}
	return lost;
}
