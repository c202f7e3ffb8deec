/* SPDX-License-Identifier: MIT */
/*
 * patterns: sim.c's sister for subscriptions to patterns and channels together. One seed is a run:
 * random steps over one or two hubs, a fake log and some clients, on a fake clock, in one thread.
 *
 *   patterns                  the seeds of the test suite
 *   patterns --seeds A-B      these
 *   patterns --seed N         one, telling each step
 *
 * The model is about messages, not about channels: each message that one of a client's topics (a
 * channel or a pattern) asks for is seen once, whatever number of topics it matches, in log order
 * unless an older start was added, or is named by a gap that tells the truth. The cursor of a
 * client that is cut has nothing missing behind it. What hubs remember of channels and patterns is
 * held against the log.
 *
 * It must never let the wall clock, an address or the order of a hash decide anything.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/obj.h"
#include "base/pattern.h"
#include "broker/channel.h"
#include "tests/replay/seeds.h"
#include "tests/unit/broker/hub_rig.h"

#define CLIENTS    5
#define STEPS_MIN  60
#define STEPS_MORE 300
#define SEEDS      3000 /* of the test suite */
#define SEQ_MAX    4096
#define ASKS       128

static const char names[][12] = {"r:1",   "r:2",   "r:12",    "r:3",   "few:1",
				 "few:2", "few:3", "brief:1", "other", "r"};
#define CHANNELS ARRAY_LEN(names)
static const char topics[][12] = {"r:*", "r:1*", "few:*", "*", "brief:*", "r:1", "few:2", "other"};
#define TOPICS ARRAY_LEN(topics)

enum account { UNSEEN, SEEN, IN_GAP, MAY_COME_AGAIN };

/* A request for one topic. */
struct ask {
	enum start_kind kind;
	bool is_bad, may_go_back;
	char since[32];
	uint64_t from, cursor;
	uint32_t last;
};

struct topic {
	bool is_on, is_settled;
	unsigned bad_gaps;
	struct ask ask;
	/* when it was seen to be settled */
	size_t gone[CHANNELS];
	uint64_t head, floor;
};

struct client {
	bool is_open, is_opened, has_failed, has_cursor;
	struct fake_subscriber f;
	size_t worker;
	struct ask asks[ASKS]; /* by mark / TOPICS */
	int ask_n;
	struct topic topics[TOPICS];
	uint8_t accounts[SEQ_MAX];
	uint64_t last, resume;
	unsigned backs;
	bool wanted[TOPICS];
};

static struct {
	uint64_t seed, random;
	bool is_loud;
	unsigned step;
	struct hub_rig rig;
	struct hub_limits limits;
	struct client clients[CLIENTS];
	uint8_t log[SEQ_MAX]; /* 1 + index of the channel */
	const char *failure;
	char text[400];
} sim;

/* --- chance and words ------------------------------------------------------------------------ */

static uint64_t roll(uint64_t n)
{
	return seeds_roll(&sim.random, n);
}

static bool chance(unsigned percent)
{
	return roll(100) < percent;
}

#define PICK(...) SEEDS_PICK(&sim.random, __VA_ARGS__)

static void PRINTF_LIKE(1, 2) say(const char *fmt, ...)
{
	va_list ap;

	if (!sim.is_loud)
		return;
	printf("%4u ", sim.step);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

static void PRINTF_LIKE(1, 2) fail(const char *fmt, ...)
{
	va_list ap;

	if (sim.failure)
		return;
	va_start(ap, fmt);
	vsnprintf(sim.text, sizeof(sim.text), fmt, ap);
	va_end(ap);
	sim.failure = sim.text;
}

static void on_abort(int sig)
{
	UNUSED(sig);
	fprintf(stderr, "aborted at step %u\nreplay: patterns --seed %llu\n", sim.step,
		(unsigned long long)sim.seed);
}

/* --- the log, and what of it is gone --------------------------------------------------------- */

static size_t gone_of(size_t channel)
{
	const struct fake_channel *c = fake_channel_find(sim.rig.history, names[channel]);

	return c ? c->gone : 0;
}

static uint64_t floor_of(size_t channel)
{
	return fake_channel_floor(fake_channel_find(sim.rig.history, names[channel]));
}

/* Index of the message in its channel. */
static size_t row_of(uint64_t seq)
{
	return fake_channel_after(fake_channel_find(sim.rig.history, names[sim.log[seq] - 1]),
				  seq - 1);
}

static bool is_gone(uint64_t seq)
{
	return row_of(seq) < gone_of(sim.log[seq] - 1u);
}

static bool stands_for(size_t topic, size_t channel)
{
	return pattern_matches(slice_str(topics[topic]), slice_str(names[channel]));
}

static size_t place_in(const char (*list)[12], size_t n, const char *text)
{
	size_t i = 0;

	while (i < n && strcmp(list[i], text) != 0)
		i++;
	return i;
}
#define index_of(name) place_in(names, CHANNELS, name)
#define topic_of(text) place_in(topics, TOPICS, text)

/* --- the model ------------------------------------------------------------------------------- */

/* May a message be left out because it was not among the newest when the topic began? */
static bool is_not_newest(const struct topic *t, size_t i, uint64_t seq, uint64_t head)
{
	uint32_t newer = 0;

	for (uint64_t s = seq + 1; s <= head && newer < t->ask.last; s++)
		newer += sim.log[s] && stands_for(i, sim.log[s] - 1u);
	return newer >= t->ask.last;
}

/* Has the client a right to the message, or to a gap, because of this topic? */
static bool is_due(const struct client *c, size_t i, uint64_t seq)
{
	const struct topic *t = &c->topics[i];
	size_t channel = sim.log[seq] - 1u;

	if (!t->is_on || !stands_for(i, channel))
		return false;
	if (t->ask.kind == START_NOW || (t->ask.kind == START_AFTER && !t->ask.is_bad))
		return seq > t->ask.from;
	if (t->ask.kind == START_LAST &&
	    is_not_newest(t, i, seq, t->is_settled ? t->head : sim.rig.history->head))
		return false;
	if (!is_gone(seq))
		return true;
	if (!t->is_settled || row_of(seq) < t->gone[channel])
		return false;
	/* With more losses than are told one by one nobody knows which was first. */
	return sim.rig.history->loss_max >= CHANNELS || seq > t->floor;
}

static void check_all_before(const struct client *c, uint64_t before, const char *when)
{
	if (!c->is_opened || c->has_failed)
		return;
	for (uint64_t seq = 1; seq < before && seq <= sim.rig.history->seq; seq++) {
		if (!sim.log[seq] || c->accounts[seq] != UNSEEN)
			continue;
		for (size_t i = 0; i < TOPICS; i++)
			if (is_due(c, i, seq))
				fail("%s: message %llu of %s, wanted by %s, was lost (%s)", when,
				     (unsigned long long)seq, names[sim.log[seq] - 1], topics[i],
				     is_gone(seq) ? "trimmed, without a gap"
						  : "it is still in the log");
	}
}

static void settle_topics(struct client *c)
{
	for (size_t i = 0; i < TOPICS; i++) {
		struct topic *t = &c->topics[i];

		if (!t->is_on || t->is_settled)
			continue;
		t->is_settled = true;
		t->head = sim.rig.history->head;
		for (size_t k = 0; k < CHANNELS; k++) {
			t->gone[k] = gone_of(k);
			if (stands_for(i, k) && floor_of(k) > t->floor)
				t->floor = floor_of(k);
		}
	}
}

static void saw_message(struct client *c, const struct fake_event *e)
{
	size_t channel = index_of(e->channel);
	bool is_wanted = false;

	for (size_t i = 0; i < TOPICS; i++)
		is_wanted |= c->topics[i].is_on && stands_for(i, channel);
	if (!is_wanted)
		fail("message %llu of %s, which is not subscribed", (unsigned long long)e->seq,
		     e->channel);
	settle_topics(c);
	if (e->seq == 0)
		return;
	if (sim.log[e->seq] != channel + 1)
		fail("message %llu of %s was never stored", (unsigned long long)e->seq, e->channel);
	if (e->seq <= c->last && c->backs-- == 0)
		fail("message %llu after %llu: out of order", (unsigned long long)e->seq,
		     (unsigned long long)c->last);
	c->last = c->resume = e->seq;
	if (c->accounts[e->seq] == SEEN)
		fail("message %llu of %s came twice", (unsigned long long)e->seq, e->channel);
	c->accounts[e->seq] = SEEN;
}

static void saw_retention_gap(struct client *c, const struct fake_event *e)
{
	size_t channel = index_of(e->channel);
	size_t topic = channel == CHANNELS ? topic_of(e->channel) : TOPICS;
	bool is_wanted = false, is_true = false;
	uint64_t from;

	for (size_t i = 0; i < TOPICS; i++)
		is_wanted |= c->topics[i].is_on &&
			     (channel < CHANNELS ? stands_for(i, channel) : i == topic);
	if (!is_wanted)
		fail("a gap of %s, which is not subscribed", e->channel);
	if (id_parse(slice_str(e->from), &sim.rig.history->epoch, &from) != ID_VALID ||
	    e->to <= from) {
		fail("a gap of %s with wrong bounds: %s..%llu", e->channel, e->from,
		     (unsigned long long)e->to);
		return;
	}
	for (size_t k = 0; k < CHANNELS; k++)
		is_true |= floor_of(k) > from &&
			   (channel < CHANNELS ? k == channel : stands_for(topic, k));
	if (!is_true)
		fail("a gap of %s that is none: %s..%llu", e->channel, e->from,
		     (unsigned long long)e->to);
	for (uint64_t seq = from + 1; seq <= e->to; seq++) {
		size_t k = sim.log[seq] - 1u;

		if (sim.log[seq] && c->accounts[seq] == UNSEEN &&
		    (channel < CHANNELS ? k == channel : stands_for(topic, k)))
			c->accounts[seq] = IN_GAP;
	}
}

static void saw_gap(struct client *c, const struct fake_event *e)
{
	size_t topic = topic_of(e->channel);

	if (e->reason == GAP_RETENTION) {
		saw_retention_gap(c, e);
		return;
	}
	if (topic == TOPICS || !c->topics[topic].is_on || !c->topics[topic].ask.is_bad ||
	    strcmp(e->from, c->topics[topic].ask.since) != 0 || c->topics[topic].bad_gaps++)
		fail("an unexpected gap of %s from %s", e->channel, e->from);
}

static void joined(struct client *c, const struct fake_event *e)
{
	const struct ask *a = &c->asks[e->mark];
	struct topic *t = &c->topics[topic_of(e->channel)];

	if (t->is_on)
		return;
	*t = (struct topic){.is_on = true, .ask = *a};
	c->backs += a->may_go_back;
	c->asks[e->mark].may_go_back = false;
	if (a->cursor < c->resume)
		c->resume = a->cursor;
}

static void left(struct client *c, const struct fake_event *e)
{
	size_t topic = topic_of(e->channel);

	c->topics[topic].is_on = false;
	for (uint64_t seq = 1; seq <= sim.rig.history->seq; seq++)
		if (sim.log[seq] && c->accounts[seq] != UNSEEN &&
		    stands_for(topic, sim.log[seq] - 1u))
			c->accounts[seq] = MAY_COME_AGAIN;
}

static void saw(struct client *c, const struct fake_event *e)
{
	switch (e->kind) {
	case FAKE_MESSAGE:
		saw_message(c, e);
		break;
	case FAKE_GAP:
		saw_gap(c, e);
		break;
	case FAKE_OPENED:
		c->is_opened = c->has_cursor = true;
		c->resume = e->seq;
		break;
	case FAKE_LIVE:
		settle_topics(c);
		break;
	case FAKE_FAILED:
		c->has_failed = true;
		break;
	case FAKE_MARK:
		(e->mark >= 0 ? joined : left)(c, e);
	}
}

static void client_look(struct client *c)
{
	static const char *const kinds[] = {"message", "gap", "opened", "live", "failed", "mark"};

	for (size_t i = 0; i < c->f.seen.n; i++) {
		const struct fake_event *e = &c->f.seen.v[i];

		say("  client %d sees %s %s %llu from %s to %llu", (int)(c - sim.clients),
		    kinds[e->kind], e->channel, (unsigned long long)e->seq, e->from,
		    (unsigned long long)e->to);
		if (!c->has_failed)
			saw(c, e);
	}
	c->f.seen.n = 0;
}

/* --- steps: clients -------------------------------------------------------------------------- */

static struct ask ask_of(const struct client *c, const struct start *start)
{
	const struct hub *h = sim.rig.hubs[c->worker];
	uint64_t now = sim.rig.history->head, seq;
	struct ask a = {.kind = start->kind};

	if (start->kind == START_NOW) {
		a.from = a.cursor = now;
		return a;
	}
	a.last = start->last;
	if (start->kind == START_AFTER) {
		snprintf(a.since, sizeof(a.since), "%.*s", SLICE_ARG(start->since));
		a.is_bad = id_parse(start->since, &h->epoch, &seq) != ID_VALID || seq > now;
		if (!a.is_bad)
			a.from = a.cursor = seq;
		if (!a.is_bad && seq >= h->head)
			return a;
	}
	a.may_go_back = c->f.subscriber.state != SUB_NEW;
	return a;
}

static struct start random_start(char since[32])
{
	uint64_t head = sim.rig.history->head;
	struct start s = {.kind = START_AFTER};

	switch (roll(10)) {
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
		snprintf(since, 32, "%s", chance(50) ? "rubbish" : "other.7");
		break;
	default:
		snprintf(since, 32, "fake.%llu", (unsigned long long)roll(head + 1));
	}
	s.since = slice_str(since);
	return s;
}

static void client_subscribe(struct client *c, const bool *which, const struct start *start)
{
	struct slice list[TOPICS];
	struct fault fault;
	size_t n = 0;

	if (c->ask_n == ASKS)
		return;
	c->asks[c->ask_n] = ask_of(c, start);
	for (size_t i = 0; i < TOPICS; i++) {
		if (!which[i])
			continue;
		list[n++] = slice_str(topics[i]);
		c->wanted[i] = true;
		say("  client %d asks for %s, kind %d since %s last %u", (int)(c - sim.clients),
		    topics[i], start->kind, c->asks[c->ask_n].since, start->last);
		fake_mark(&c->f, c->ask_n, topics[i]);
	}
	c->ask_n++;
	if (subscriber_add(&c->f.subscriber, list, n, start, true, &fault) != 0)
		fail("client %d was refused: %s", (int)(c - sim.clients), fault.message);
}

static void client_open(struct client *c)
{
	bool which[TOPICS] = {false}, has_any = false;
	char since[32];
	struct start start = random_start(since);

	c->worker = roll(sim.rig.history->worker_n);
	say("client %d opens on worker %zu", (int)(c - sim.clients), c->worker);
	fake_subscriber_init(&c->f, sim.rig.hubs[c->worker], (enum subscriber_kind)roll(KIND_COUNT),
			     (enum frame_format)roll(FORMAT_COUNT));
	memset(c->accounts, UNSEEN, sizeof(c->accounts));
	memset(c->topics, 0, sizeof(c->topics));
	c->ask_n = 0;
	c->last = 0;
	c->backs = 0;
	c->is_open = true;
	c->is_opened = c->has_failed = false;
	c->f.replay_room = PICK(2, 3, 4, 8, 100);
	c->f.live_room = c->f.replay_room + roll(8);
	c->f.keeps = chance(15);
	if (c->has_cursor && chance(80)) {
		snprintf(since, sizeof(since), "fake.%llu", (unsigned long long)c->resume);
		start = (struct start){.kind = START_AFTER, .since = slice_str(since)};
		memcpy(which, c->wanted, sizeof(which));
	}
	for (size_t i = 0; i < TOPICS; i++)
		has_any |= which[i];
	for (size_t i = 0; i < 3 && !has_any; i++)
		which[roll(TOPICS)] = true;
	memset(c->wanted, 0, sizeof(c->wanted));
	c->resume = UINT64_MAX;
	c->has_cursor = false;
	client_subscribe(c, which, &start);
}

static void client_cut(struct client *c)
{
	say("client %d is cut", (int)(c - sim.clients));
	client_look(c);
	if (!sim.failure && c->is_opened)
		check_all_before(c, c->resume + 1, "the last id seen is no good to resume from");
	fake_subscriber_fini(&c->f);
	c->is_open = false;
}

static void client_write(struct client *c, size_t n)
{
	fake_write(&c->f, n);
	c->f.is_half_sent = c->f.queue.n && c->f.queue.v[0].kind == FAKE_MESSAGE && chance(50);
	client_look(c);
}

static void client_leave(struct client *c, size_t topic)
{
	say("client %d leaves %s", (int)(c - sim.clients), topics[topic]);
	if (!subscriber_has(&c->f.subscriber, slice_str(topics[topic])))
		return;
	/* before: what another topic stands for too may come again from here on */
	fake_mark(&c->f, -1, topics[topic]);
	subscriber_remove(&c->f.subscriber, slice_str(topics[topic]));
	c->wanted[topic] = false;
}

static void step_client(struct client *c)
{
	bool which[TOPICS] = {false};
	char since[32];
	struct start start;

	if (!c->is_open) {
		client_open(c);
		return;
	}
	switch (roll(20)) {
	case 0:
	case 1:
	case 2:
		start = random_start(since);
		which[roll(TOPICS)] = which[roll(TOPICS)] = true;
		client_subscribe(c, which, &start);
		break;
	case 3:
		if (c->f.subscriber.channel_n > 1)
			client_leave(c, roll(TOPICS));
		break;
	case 4:
		client_cut(c);
		break;
	default:
		client_write(c, chance(30) ? SIZE_MAX : 1 + roll(4));
	}
}

/* --- steps: the log, readers, workers -------------------------------------------------------- */

static void step_publish(void)
{
	size_t i = roll(CHANNELS);
	bool is_ephemeral = chance(8);
	uint64_t seq =
		fake_publish(sim.rig.history, names[i],
			     is_ephemeral ? DURABILITY_EPHEMERAL : DURABILITY_COMMIT, "text");

	assert(seq < SEQ_MAX);
	if (seq)
		sim.log[seq] = (uint8_t)(i + 1);
	say("publish %s %llu", names[i], (unsigned long long)seq);
}

static void step_trim(void)
{
	struct history *h = sim.rig.history;
	size_t i = roll(CHANNELS);

	switch (roll(4)) {
	case 0:
		say("trim %s", names[i]);
		fake_trim(h, names[i], roll(8));
		break;
	case 1:
	case 2:
		say("retention");
		for (size_t k = 4; k < 7; k++)
			fake_trim(h, names[k], 3);
		fake_trim_age(h, "brief:1", clock_wall_ms() - 1000);
		break;
	default:
		say("purge %s", names[i]);
		fake_purge(h, names[i]);
		for (size_t w = 0; w < h->worker_n; w++)
			fake_tell_purged(h, &h->workers[w], names[i]);
	}
}

static void step_answer(void)
{
	struct history *h = sim.rig.history;

	if (!h->query_n)
		return;
	size_t i = roll(h->query_n);
	if (chance(30)) {
		say("read query %zu", i);
		fake_read(h, i);
		return;
	}
	say("answer query %zu", i);
	fake_answer(h, i, chance(1) ? -EIO : 0);
}

static void step_deliver(void)
{
	size_t w = roll(sim.rig.history->worker_n);

	for (size_t n = chance(10) ? 50 : 1 + roll(3);
	     n && fake_deliver(&sim.rig.history->workers[w]); n--)
		say("worker %zu opened a letter", w);
}

/* --- what hubs remember ---------------------------------------------------------------------- */

static bool is_of(const struct channel *ch, uint64_t seq)
{
	return sim.log[seq] &&
	       pattern_matches(channel_name(ch), slice_str(names[sim.log[seq] - 1]));
}

/* Recent holds all messages of the topic from where it begins, without a hole. */
static size_t check_ring(const struct hub *h, struct channel *ch)
{
	size_t bytes = 0;
	uint32_t n = 0;

	for (uint64_t seq = ch->covers_after + 1; seq <= h->head; seq++) {
		if (!is_of(ch, seq))
			continue;
		if (n == ch->recent_n || channel_recent(ch, n++)->message->seq != seq) {
			fail("%.*s does not remember %llu", ch->name_n, ch->name,
			     (unsigned long long)seq);
			return 0;
		}
	}
	if (n != ch->recent_n)
		fail("%.*s remembers too much", ch->name_n, ch->name);
	for (uint32_t i = 0; i < ch->recent_n; i++) {
		const struct recent *r = channel_recent(ch, i);

		bytes += message_size(r->message);
		for (size_t f = 0; f < FORMAT_COUNT; f++)
			bytes += r->frames[f] ? sizeof(struct frame) + r->frames[f]->n : 0;
	}
	if (bytes != ch->recent_bytes)
		fail("%.*s: bytes are accounted wrongly", ch->name_n, ch->name);
	return bytes;
}

static void check(void)
{
	for (size_t w = 0; w < sim.rig.history->worker_n; w++) {
		struct hub *h = sim.rig.hubs[w];
		struct channel *ch, *next;
		size_t bytes = 0, patterns = 0;

		HASH_ITER (hh, h->channels, ch, next)
			bytes += check_ring(h, ch);
		HASH_ITER (hh, h->patterns.map, ch, next) {
			bytes += check_ring(h, ch);
			patterns++;
		}
		if (bytes != h->recent_bytes)
			fail("hub: %zu bytes, accounted %zu", bytes, h->recent_bytes);
		if (patterns != h->patterns.n)
			fail("hub: %zu patterns, counted %u", patterns, h->patterns.n);
	}
	for (size_t i = 0; i < CLIENTS; i++)
		if (sim.clients[i].is_open && sim.clients[i].f.has_failed)
			client_cut(&sim.clients[i]);
}

/* --- a run ----------------------------------------------------------------------------------- */

static bool all_are_live(void)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		const struct client *c = &sim.clients[i];

		if (c->is_open && (c->f.subscriber.state != SUB_LIVE || c->f.queue.n))
			return false;
	}
	return true;
}

static void come_to_rest(void)
{
	say("all comes to rest");
	for (int i = 0; i < 2000 && !sim.failure; i++) {
		fake_settle(sim.rig.history);
		for (size_t k = 0; k < CLIENTS; k++)
			if (sim.clients[k].is_open)
				client_write(&sim.clients[k], SIZE_MAX);
		check();
		if (all_are_live())
			break;
		rig_advance(&sim.rig, 100);
	}
	for (size_t k = 0; k < CLIENTS && !sim.failure; k++) {
		struct client *c = &sim.clients[k];

		if (!c->is_open)
			continue;
		if (c->f.subscriber.state != SUB_LIVE)
			fail("client %zu never becomes live", k);
		check_all_before(c, sim.rig.hubs[c->worker]->head + 1, "at the end");
		for (size_t i = 0; i < TOPICS; i++)
			if (c->topics[i].is_on && c->topics[i].ask.is_bad && !c->topics[i].bad_gaps)
				fail("the gap of a bad cursor of %s never came", topics[i]);
		c->backs = 0;
	}
}

static void step(void)
{
	size_t dice = roll(100);

	sim.step++;
	if (dice < 18)
		step_publish();
	else if (dice < 40)
		step_deliver();
	else if (dice < 58)
		step_answer();
	else if (dice < 62)
		step_trim();
	else if (dice < 66)
		rig_advance(&sim.rig, PICK(10, 60, 150, 400, 1200));
	else
		step_client(&sim.clients[roll(CLIENTS)]);
	if (!sim.failure)
		check();
	if (!sim.failure && chance(1))
		come_to_rest();
}

static void check_nothing_is_left(void)
{
	static const enum counter_id gauges[] = {COUNTER_SUBSCRIPTIONS, COUNTER_CATCHING_UP,
						 COUNTER_CHANNELS_ACTIVE, COUNTER_PATTERNS,
						 COUNTER_RECENT_BYTES};

	for (size_t w = 0; w < sim.rig.history->worker_n; w++)
		channel_expire_idle(sim.rig.hubs[w], true);
	for (size_t i = 0; i < ARRAY_LEN(gauges); i++)
		if (rig_count(&sim.rig, gauges[i]) != 0)
			fail("gauge %d is %lld at the end", gauges[i],
			     (long long)rig_count(&sim.rig, gauges[i]));
	for (size_t i = 0; i < CHANNELS; i++)
		if (census_total(sim.rig.census, slice_str(names[i])) != 0)
			fail("the census still has %s", names[i]);
}

static bool run(uint64_t seed, bool is_loud)
{
	memset(&sim, 0, sizeof(sim));
	sim.seed = sim.random = seed;
	sim.is_loud = is_loud;
	sim.limits = (struct hub_limits){
		.channels_per_subscriber = TOPICS,
		.patterns_per_subscriber = TOPICS,
		.patterns = 1000,
		.message_bytes = 1000,
		.last_max = 100,
		.recent_count = PICK(0, 1, 2, 4, 16, 256),
		.recent_bytes = PICK(300, 1000, 100000),
		.recent_total_bytes = PICK(0, 500, 2000, 10000, 1000000),
		.page_rows = PICK(1, 2, 3, 10, 1000),
		.page_bytes = PICK(1, 20, 100, 100000),
		.page_scan = PICK(1, 2, 7, 1000),
		.pages = PICK(1, 2, 32),
		.replay_turn_bytes = PICK(1, 20000, 1000000),
		.idle_channel_ms = PICK(100, 1000, 30000),
		.idle_channels = PICK(0, 1, 3, 100),
	};
	hub_rig_init(&sim.rig, &sim.limits, PICK(0, 0, 40), 1 + roll(2));
	sim.rig.history->query_room = PICK(1, 2, 60);
	sim.rig.history->loss_max = PICK(1, 2, STORE_LOSS_MAX, STORE_LOSS_MAX);
	size_t steps = STEPS_MIN + roll(STEPS_MORE);
	while (sim.step < steps && !sim.failure)
		step();
	if (!sim.failure)
		come_to_rest();
	bool is_good = !sim.failure;
	for (size_t i = 0; i < CLIENTS; i++)
		if (sim.clients[i].is_open)
			client_cut(&sim.clients[i]);
	fake_settle(sim.rig.history);
	if (is_good)
		check_nothing_is_left();
	if (sim.failure)
		fprintf(stderr, "seed %llu, step %u: %s\nreplay: patterns --seed %llu\n",
			(unsigned long long)seed, sim.step, sim.failure, (unsigned long long)seed);
	hub_rig_fini(&sim.rig);
	return !sim.failure;
}

int main(int argc, char **argv)
{
	signal(SIGABRT, on_abort);
	return seeds_main(argc, argv, SEEDS, run);
}
