/* SPDX-License-Identifier: MIT */
/*
 * load_publish: what is published when.
 *
 * Closed loop: as long as fewer than --window messages are in flight, the next one goes to the next
 * publisher that is free. A message is late by nothing then: it is due when it is sent.
 *
 * Open loop: message k is due at k / rate, and is sent as soon as that has come, whatever is under
 * way. If the generator or the publishers are late, it still counts from when it was due, so that a
 * server that stops for a while can not hide it.
 *
 * Messages go to the channels in turn. Receipts come in order on each connection, so a ring of
 * numbers per publisher tells whose they are.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bench/load.h"

#define TICK_US 100000 /* the loop looks around so often */

static volatile sig_atomic_t is_stopped, is_renewed;

void publish_stop(int signal)
{
	is_stopped = 1;
}

void publish_renew(int signal)
{
	is_renewed = 1;
}

bool publish_is_stopped(void)
{
	return is_stopped;
}

static uint32_t take_oldest(struct load *l, struct conn *c)
{
	uint32_t g = c->sent[c->sent_first];

	if (c->sent_n == 0)
		die("a receipt that nobody waits for");
	c->sent_first = (c->sent_first + 1) % l->o.depth;
	c->sent_n--;
	return g;
}

void publish_acked(struct load *l, struct conn *c)
{
	track_acked(l, take_oldest(l, c));
}

/* It will not come: it does not count as in flight, but is lost to each subscriber of its channel.
 */
void publish_refused(struct load *l, struct conn *c, struct span what)
{
	uint32_t g = take_oldest(l, c);
	struct message *m = &l->messages[g % MESSAGES_RING];

	if (l->counts.refused++ == 0)
		fprintf(stderr, "load: the first publish that was refused: %.*s\n",
			(int)(what.n < 500 ? what.n : 500), what.p);
	m->missing = 0;
	m->flags &= (uint8_t)~MEASURED;
	track_acked(l, g);
}

static struct conn *free_publisher(struct load *l)
{
	for (unsigned i = 0; i < l->o.publishers; i++) {
		struct conn *c = &l->publishers[(l->next_publisher + i) % l->o.publishers];

		if (c->fd >= 0 && c->is_ready && c->sent_n < l->o.depth) {
			l->next_publisher = c->index + 1;
			return c;
		}
	}
	return NULL;
}

static bool publish_one(struct load *l, uint64_t due_us)
{
	struct conn *c = free_publisher(l);
	uint32_t channel = l->next_channel % l->o.channels;

	if (!c || l->incomplete >= OUTSTANDING_MAX)
		return false;
	l->next_channel++;
	struct message *m = track_publish(l, c->index, channel, due_us);
	track_payload(l, m);
	c->wire->publish(l, c, (struct span){l->payload, l->o.bytes}, l->channels[channel].name);
	c->sent[(c->sent_first + c->sent_n++) % l->o.depth] = m->g;
	if (!c->wire->comes_back && !*l->o.ack)
		publish_acked(l, c);
	return true;
}

/* Begin to measure anew, from here. */
static void renew(struct load *l)
{
	is_renewed = 0;
	memset(&l->latency, 0, sizeof(l->latency));
	memset(&l->last, 0, sizeof(l->last));
	memset(&l->receipts, 0, sizeof(l->receipts));
	l->measured = l->measured_deliveries = 0;
	for (uint32_t g = l->oldest; g != l->next_g; g++)
		l->messages[g % MESSAGES_RING].flags &= (uint8_t)~MEASURED;
	stretch_begin(l, &l->measuring);
}

/* Publish what is due; return how long nothing will be. */
static uint64_t publish_due(struct load *l, uint64_t n, uint64_t first, uint64_t begin_us)
{
	uint64_t now = now_us();

	while (l->counts.published - first < n && !is_stopped) {
		uint64_t k = l->counts.published - first;
		uint64_t due = begin_us + (uint64_t)((double)k * 1e6 / l->o.rate);

		if (due > now)
			return due - now;
		if (!publish_one(l, due))
			return TICK_US;
	}
	return TICK_US;
}

void publish_run(struct load *l, uint64_t n, uint8_t flags, uint64_t end_us)
{
	uint64_t first = l->counts.published, begin = now_us(), wait = TICK_US, looked = begin;
	bool is_open = l->o.rate > 0 && !(flags & BACKLOG);

	l->new_flags = flags;
	while (l->counts.published - first < n && !is_stopped) {
		uint64_t now = now_us();

		if (end_us && now >= end_us)
			break;
		if (is_renewed)
			renew(l);
		if (is_open)
			wait = publish_due(l, n, first, begin);
		while (!is_open && l->counts.published - first < n && l->in_flight < l->o.window &&
		       publish_one(l, now_us()))
			;
		if (end_us && end_us - now < wait)
			wait = end_us - now;
		conn_turn(l, wait < TICK_US ? wait : TICK_US);
		if (now > looked + TICK_US) {
			track_give_up(l);
			looked = now;
		}
	}
	while (l->incomplete > 0 && now_us() < l->deadline_us) {
		conn_turn(l, TICK_US);
		track_give_up(l);
	}
}
