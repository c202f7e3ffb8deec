/* SPDX-License-Identifier: MIT */
/*
 * sim_client: clients of the simulation: plain and durable ones, streams and polls. Each is held
 * against a model of its own.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/obj.h"
#include "base/xalloc.h"
#include "broker/channel.h"
#include "tests/replay/sim.h"
#include "tests/unit/broker/fake_ack.h"

static void tell_event(const struct client *c, const struct fake_event *e)
{
	static const char *const kinds[] = {"message", "gap", "opened", "live", "failed", "mark"};

	say("  client %d sees %s %s %llu prev %llu again %u from %s to %llu oldest %llu %s",
	    (int)(c - sim.clients), kinds[e->kind], e->channel, (unsigned long long)e->seq,
	    (unsigned long long)e->prev, e->again, e->from, (unsigned long long)e->to,
	    (unsigned long long)e->oldest, e->kind == FAKE_GAP ? gap_reason_name(e->reason) : "");
}

/* What the client was told since the last look goes to its model. */
static void client_look(struct client *c)
{
	c->model.was_rewound = c->f.rewinds > 0;
	for (size_t i = 0; i < c->f.seen.n; i++) {
		const struct fake_event *e = &c->f.seen.v[i];

		tell_event(c, e);
		if (e->kind != FAKE_MARK)
			model_saw(&c->model, e);
		else if (e->mark >= 0)
			model_subscribed(&c->model, e->channel, &c->asks[e->mark]);
		else
			model_unsubscribed(&c->model, e->channel);
		if (c->model.is_opened) {
			c->has_cursor = true;
			c->resume = c->model.resume;
		}
	}
	c->f.seen.n = 0;
	if (c->model.wrong[0])
		fail("client %d: %s", (int)(c - sim.clients), c->model.wrong);
}

static struct asked ask_of(const struct client *c, const struct start *start)
{
	const struct hub *h = sim.rig.hubs[c->worker];
	uint64_t now = sim.rig.history->head; /* what anybody may have been told of is past */
	struct asked a = {.kind = start->kind, .head = h->head};
	uint64_t seq;

	switch (start->kind) {
	case START_NOW:
		a.from = a.cursor = now;
		return a;
	case START_LAST:
		a.last = start->last < sim.limits.last_max ? start->last : sim.limits.last_max;
		break;
	case START_AFTER:
		snprintf(a.since, sizeof(a.since), "%.*s", SLICE_ARG(start->since));
		enum id_verdict v = id_parse(start->since, &h->epoch, &seq);
		a.is_bad = v != ID_VALID || seq > now;
		a.reason = v == ID_FOREIGN_EPOCH ? GAP_EPOCH : GAP_INVALID;
		if (!a.is_bad)
			a.from = a.cursor = seq;
		if (!a.is_bad && seq >= h->head)
			return a;
		break;
	case START_ALL:
		break;
	}
	if (c->f.subscriber.state != SUB_NEW)
		a.going_back = (unsigned)c->ask_n + 1;
	return a;
}

/* Which of the answers to slowness its channels allow. */
static void note_policy(struct client *c, size_t channel)
{
	enum slow_policy slow =
		namespace_find(sim.rig.namespaces, slice_str(channel_names[channel]))->slow;

	c->model.may_skip |= slow == SLOW_SKIP;
	c->model.may_cut |= slow == SLOW_DISCONNECT;
}

static void mark(struct client *c, size_t channel, const struct asked *a)
{
	c->asks[c->ask_n] = *a;
	fake_mark(&c->f, c->ask_n++, channel_names[channel]);
	say("  client %d asks for %s, kind %d since %s after %llu last %u head %llu",
	    (int)(c - sim.clients), channel_names[channel], a->kind, a->since,
	    (unsigned long long)a->from, a->last, (unsigned long long)a->head);
}

static void plain_subscribe(struct client *c, const size_t *channels, size_t n,
			    const struct start *start)
{
	struct slice names[CHANNELS];
	struct fault fault;
	struct asked a = ask_of(c, start);

	for (size_t i = 0; i < n; i++) {
		names[i] = slice_str(channel_names[channels[i]]);
		c->wanted[channels[i]] = true;
		note_policy(c, channels[i]);
		mark(c, channels[i], &a);
	}
	if (subscriber_add(&c->f.subscriber, names, n, start, false, &fault) != 0)
		fail("client %d was refused: %s", (int)(c - sim.clients), fault.message);
}

/* --- durable --------------------------------------------------------------------------------- */

/* The position where the log said that the channel resumes. */
static uint64_t resumed_at(const struct client *c, const struct join *j, size_t i)
{
	const struct ack_letter *l = sim.rig.history->workers[c->worker].opening;
	const char *name = channel_names[j->channels[i]];

	for (size_t k = 0; k < l->n; k++) {
		const struct ack_item *item = &l->items[k];

		if (!slice_eq_str(ack_item_channel(item), name))
			continue;
		if (item->kept < j->least[i] || item->kept > fake_position(c->name, name))
			fail("client %zu: %s resumes %s after %llu", (size_t)(c - sim.clients),
			     c->name, name, (unsigned long long)item->kept);
		return item->kept;
	}
	fail("client %zu: nobody asked for the position of %s", (size_t)(c - sim.clients), name);
	return 0;
}

static void joined(struct subscriber *s, void *arg, const struct fault *fault, uint64_t from)
{
	struct join *j = arg;
	struct client *c = j->client;

	UNUSED(from);
	LIST_REMOVE(j, link);
	say("  client %d %s", (int)(c - sim.clients), fault ? "could not join" : "joined");
	for (size_t i = 0; i < j->n; i++) {
		if (fault) {
			c->wanted[j->channels[i]] = false;
			continue;
		}
		struct asked a = j->asked;
		if (j->is_resume) {
			a.kind = START_AFTER;
			a.from = a.cursor = resumed_at(c, j, i);
		}
		a.going_back = s->state == SUB_NEW ? 0 : (unsigned)c->ask_n + 1;
		mark(c, j->channels[i], &a);
	}
	free(j);
}

static void durable_join(struct client *c, const size_t *channels, size_t n,
			 const struct start *start)
{
	struct join *j = xcalloc(1, sizeof(*j));
	struct slice names[CHANNELS];
	struct fault fault;

	*j = (struct join){.client = c, .asked = ask_of(c, start)};
	j->is_resume = start->kind == START_NOW;
	for (size_t i = 0; i < n; i++) {
		const char *name = channel_names[channels[i]];
		uint64_t position = fake_position(c->name, name);

		if (c->wanted[channels[i]])
			continue;
		c->wanted[channels[i]] = true;
		names[j->n] = slice_str(name);
		j->least[j->n] = position == UINT64_MAX ? 0 : position;
		j->channels[j->n++] = channels[i];
	}
	struct durable_request r = {
		.channels = names,
		.n = j->n,
		.start = start,
		.want = &c->want,
		.ops = c->f.keeps ? NULL : &c->ops,
		.joined = joined,
		.arg = j,
	};
	if (j->n == 0) {
		free(j);
		return;
	}
	say("client %d joins %zu channels as %s, kind %d", (int)(c - sim.clients), j->n, c->name,
	    start->kind);
	LIST_INSERT_HEAD(&c->joins, j, link);
	if (durable_subscribe(&c->f.subscriber, &r, &fault) == 0)
		return;
	if (fault.id != FAULT_OVERLOADED)
		fail("client %d was refused: %s", (int)(c - sim.clients), fault.message);
	for (size_t i = 0; i < j->n; i++)
		c->wanted[j->channels[i]] = false;
	LIST_REMOVE(j, link);
	free(j);
}

static void client_subscribe(struct client *c, const size_t *channels, size_t n,
			     const struct start *start)
{
	if (c->ask_n + CHANNELS * (CHANNELS + 1) > ASKS)
		return;
	if (c->name[0])
		durable_join(c, channels, n, start);
	else
		plain_subscribe(c, channels, n, start);
}

static void client_ack(const struct client *c, size_t channel, uint64_t seq)
{
	struct hub *h = sim.rig.hubs[c->worker];
	struct slice name = slice_str(channel_names[channel]);
	char id[ID_TEXT_MAX];
	struct fault fault;
	uint64_t read;

	say("client %d acknowledges %s %llu", (int)(c - sim.clients), channel_names[channel],
	    (unsigned long long)seq);
	struct slice text = slice_make(id, id_format(id, &h->epoch, seq));
	if (durable_check_ack(h, slice_str(c->name), name, text, false, &read, &fault) != 0 ||
	    read != seq) {
		fail("an acknowledgement was refused: %s", fault.message);
		return;
	}
	struct ack_letter *l = ack_letter_new(slice_str(c->name), 1);
	ack_letter_set(l, 0, name, seq, seq);
	l->reply_to = h->mailbox;
	l->done = ack_letter_free;
	if (history_ack(h->history, l) != 0)
		ack_letter_free(l);
}

/* What it has seen last, anything before, or what it never saw. */
static void client_ack_some(const struct client *c)
{
	size_t channel = roll(CHANNELS);
	uint64_t seq = model_newest_seen(&c->model, channel_names[channel]);

	if (chance(15))
		seq = roll(sim.rig.history->head + 1);
	else if (chance(40))
		seq = roll(seq + 1);
	client_ack(c, channel, seq);
}

void client_ack_all(struct client *c)
{
	for (size_t i = 0; i < CHANNELS && c->name[0]; i++) {
		uint64_t position = fake_position(c->name, channel_names[i]);
		uint64_t seq = model_newest_seen(&c->model, channel_names[i]);

		if (position != UINT64_MAX && seq > position)
			client_ack(c, i, seq);
	}
}

/* Messages of the channel that are queued; is_anew: it was left and is in the queue once more. */
static size_t queued(const struct client *c, const char *channel, uint64_t acked, bool *is_anew)
{
	size_t n = 0;

	*is_anew = false;
	for (size_t i = 0; i < c->f.queue.n; i++) {
		const struct fake_event *e = &c->f.queue.v[i];

		if (strcmp(e->channel, channel) != 0)
			continue;
		if (e->kind == FAKE_MARK && e->mark < 0) {
			*is_anew = true;
			n = 0;
		}
		n += e->kind == FAKE_MESSAGE && !e->again && e->seq > acked &&
		     model_is_there(&c->model, channel, e->seq);
	}
	return n;
}

void client_check(struct client *c)
{
	size_t n = 0;

	if (c->f.is_too_slow && !c->model.may_cut)
		fail("client %zu was told to be too slow", (size_t)(c - sim.clients));
	if (!c->name[0] || c->f.keeps)
		return;
	for (size_t i = 0; i < CHANNELS; i++) {
		uint64_t acked = fake_position(c->name, channel_names[i]);
		bool is_anew;

		if (acked == UINT64_MAX || !c->wanted[i])
			continue;
		n += queued(c, channel_names[i], acked, &is_anew);
		if (!is_anew)
			n += model_in_flight(&c->model, channel_names[i], acked);
	}
	if (n > c->want.max_in_flight)
		fail("client %zu: %zu messages in flight of %u", (size_t)(c - sim.clients), n,
		     c->want.max_in_flight);
}

/* --- coming and going ------------------------------------------------------------------------ */

/* A start of any kind; the cursor's text is written to since. */
static struct start random_start(char since[48])
{
	struct start s = {.kind = START_AFTER};
	uint64_t head = sim.rig.history->head;

	switch (roll(12)) {
	case 0:
	case 1:
		return (struct start){.kind = START_NOW};
	case 2:
	case 3:
		return (struct start){.kind = START_ALL};
	case 4:
	case 5:
		return (struct start){.kind = START_LAST, .last = (uint32_t)(1 + roll(12))};
	case 6:
		snprintf(since, 48, "%s", chance(50) ? "rubbish" : "fake.01");
		break;
	case 7:
		snprintf(since, 48, "other.%llu", (unsigned long long)roll(head + 1));
		break;
	case 8:
		snprintf(since, 48, "fake.%llu", (unsigned long long)(head + 1 + roll(50)));
		break;
	case 9: /* near the end, where a worker may lag */
		snprintf(since, 48, "fake.%llu",
			 (unsigned long long)(head - roll(head < 6 ? 1 : 6)));
		break;
	default:
		snprintf(since, 48, "fake.%llu", (unsigned long long)roll(head + 1));
	}
	s.since = slice_str(since);
	return s;
}

/* Some are, under one of two names. */
static void become_durable(struct client *c)
{
	bool is_durable = chance(40);

	snprintf(c->name, sizeof(c->name), "%s", !is_durable ? "" : chance(50) ? "s" : "t");
	LIST_INIT(&c->joins);
	c->model.name = c->f.subscriber.name;
	if (!is_durable) {
		c->f.ops.too_slow = c->f.keeps ? NULL : fake_too_slow;
		return;
	}
	c->want = (struct durable_want){
		.name = slice_str(c->name),
		.max_in_flight = (uint32_t)PICK(1, 2, 5, 1000),
		.ack_wait_ms = PICK(0, 200, 1000),
		.start_is_ack = c->f.keeps,
	};
	c->model.ack_wait_ms = c->want.ack_wait_ms;
	c->ops = (struct durable_ops){
		.ops = c->f.ops, .plain = &c->f.ops, .encode_again = fake_encode_again};
	c->ops.ops.send = durable_send;
	c->ops.ops.rewind = durable_rewind;
}

static void client_open(struct client *c)
{
	char since[48];
	struct start start = random_start(since);
	size_t channels[CHANNELS], n = 0;

	c->is_open = true;
	c->ask_n = 0;
	c->worker = roll(sim.rig.history->worker_n);
	say("client %d opens on worker %zu", (int)(c - sim.clients), c->worker);
	struct hub *h = sim.rig.hubs[c->worker];
	fake_subscriber_init(&c->f, h, (enum subscriber_kind)roll(KIND_COUNT),
			     (enum frame_format)roll(FORMAT_COUNT));
	model_init(&c->model, sim.rig.history, h);
	c->f.replay_room = PICK(2, 3, 4, 8, 100);
	c->f.live_room = c->f.replay_room + roll(8);
	c->f.keeps = chance(15);
	c->f.subscriber.name = chance(80) ? (uint64_t)(c - sim.clients) + 1 : 0;
	become_durable(c);
	if (c->name[0] && chance(70)) {
		start = (struct start){.kind = START_NOW};
	} else if (c->has_cursor && chance(80)) {
		/* it comes back with its cursor, for what it had before */
		snprintf(since, sizeof(since), "fake.%llu", (unsigned long long)c->resume);
		if (c->resume > sim.rig.history->head)
			fail("client %d was given cursor %s, the end is %llu",
			     (int)(c - sim.clients), since,
			     (unsigned long long)sim.rig.history->head);
		start = (struct start){.kind = START_AFTER, .since = slice_str(since)};
		for (size_t i = 0; i < CHANNELS; i++)
			if (c->wanted[i])
				channels[n++] = i;
	}
	memset(c->wanted, 0, sizeof(c->wanted));
	if (!n)
		for (size_t i = 0; i < CHANNELS; i++)
			if (chance(40))
				channels[n++] = i;
	if (!n)
		channels[n++] = roll(CHANNELS);
	client_subscribe(c, channels, n, &start);
}

/* A poll's answer: all that was collected, and the position. */
static void client_answer(struct client *c)
{
	subscriber_settle(&c->f.subscriber);
	uint64_t cursor = subscriber_position(&c->f.subscriber);

	c->f.wants_drain = false;
	fake_write(&c->f, SIZE_MAX);
	client_look(c);
	say("  client %d is answered with cursor %llu", (int)(c - sim.clients),
	    (unsigned long long)cursor);
	c->has_cursor = c->model.is_opened;
	c->resume = c->model.resume = cursor;
}

void client_cut(struct client *c)
{
	struct join *j;

	say("client %d is cut", (int)(c - sim.clients));
	if (c->f.keeps && !c->f.has_failed)
		client_answer(c);
	client_look(c);
	/* what it asked to leave it does not miss, though the answer is still under way */
	for (size_t i = 0; i < c->f.queue.n; i++)
		if (c->f.queue.v[i].kind == FAKE_MARK && c->f.queue.v[i].mark < 0)
			model_unsubscribed(&c->model, c->f.queue.v[i].channel);
	if (!c->model.wrong[0])
		model_cut(&c->model);
	if (c->model.wrong[0])
		fail("client %d: %s", (int)(c - sim.clients), c->model.wrong);
	fake_subscriber_fini(&c->f);
	while ((j = LIST_FIRST(&c->joins)) != NULL) {
		LIST_REMOVE(j, link);
		free(j);
	}
	model_fini(&c->model);
	c->is_open = false;
}

void client_write(struct client *c, size_t n)
{
	fake_write(&c->f, n);
	c->f.is_half_sent = c->f.queue.n && c->f.queue.v[0].kind == FAKE_MESSAGE && chance(50);
	client_look(c);
}

static void client_leave_channel(struct client *c, size_t channel)
{
	const char *name = channel_names[channel];
	bool had = subscriber_has(&c->f.subscriber, slice_str(name));

	if (!had && c->wanted[channel])
		return; /* a join is under way */

	say("client %d leaves %s", (int)(c - sim.clients), name);
	if (subscriber_remove(&c->f.subscriber, slice_str(name)) != had)
		fail("subscriber_remove() of %s", name);
	fake_mark(&c->f, -1, name);
	c->wanted[channel] = false;
}

void client_step(struct client *c)
{
	char since[48];
	struct start start;
	size_t channels[2];

	if (!c->is_open) {
		client_open(c);
		return;
	}
	switch (roll(20)) {
	case 0:
	case 1:
	case 2:
		start = random_start(since);
		channels[0] = roll(CHANNELS);
		channels[1] = (channels[0] + 1) % CHANNELS;
		client_subscribe(c, channels, 1 + roll(2), &start);
		break;
	case 3:
		client_leave_channel(c, roll(CHANNELS));
		break;
	case 4:
		client_cut(c);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
		if (c->name[0]) {
			client_ack_some(c);
			break;
		}
		/* fall through */
	default: {
		size_t n = chance(30) ? SIZE_MAX : 1 + roll(4);
		say("client %d: %zu written of %zu", (int)(c - sim.clients),
		    n < c->f.queue.n ? n : c->f.queue.n, c->f.queue.n);
		client_write(c, n);
	}
	}
}
