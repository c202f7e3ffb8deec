/* SPDX-License-Identifier: MIT */
/*
 * sim: the broker under random schedules. One seed is one run: a few hundred steps over one or two
 * hubs, a fake log and some clients, on a fake clock, in one thread, so that a seed gives the same
 * run everywhere.
 *
 *   sim                  the seeds of the test suite
 *   sim --seeds A-B      these
 *   sim --seed N         one, telling each step
 *
 * After each step: what clients were told is held against tests/replay/model.c, and what hubs
 * remember against the log. At the end of a run everything is delivered and written; then nobody
 * may miss anything, everybody is live, and after all have gone nothing is left.
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
#include "broker/channel.h"
#include "broker/publish.h"
#include "broker/recovery.h"
#include "tests/replay/model.h"
#include "tests/replay/seeds.h"
#include "tests/unit/broker/hub_rig.h"

#define CLIENTS    6
#define ASKS       256
#define STEPS_MIN  60
#define STEPS_MORE 300
#define SEEDS      4000 /* of the test suite */

static const char channel_names[][8] = {"a", "b", "few:c", "brief:d", "ram:e", "f"};
#define CHANNELS ARRAY_LEN(channel_names)

struct client {
	bool is_open;
	struct fake_subscriber f;
	struct model model;
	size_t worker;
	struct asked asks[ASKS]; /* by mark */
	int ask_n;
	/* what a client keeps when its connection ends */
	bool has_cursor;
	uint64_t resume;
	bool wanted[CHANNELS];
};

struct sim {
	uint64_t seed;
	uint64_t random;
	bool is_loud;
	unsigned step;
	struct hub_rig rig;
	struct hub_limits limits;
	unsigned weights[8]; /* by kind of step */
	struct client clients[CLIENTS];
	/* what each hub was told to forget: nothing up to here may be remembered */
	uint64_t forgotten[FAKE_WORKERS][CHANNELS];
	bool is_untold[FAKE_WORKERS][CHANNELS]; /* of a purge */
	unsigned answered;                      /* publishes */
	unsigned posted;
	const char *failure;
	char text[500];
};

static struct sim sim;

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

/* An assertion of the broker: say how to come here again. */
static void on_abort(int sig)
{
	UNUSED(sig);
	fprintf(stderr, "aborted at step %u\nreplay: sim --seed %llu\n", sim.step,
		(unsigned long long)sim.seed);
}

static size_t channel_index(const char *name)
{
	for (size_t i = 0; i < CHANNELS; i++)
		if (strcmp(channel_names[i], name) == 0)
			return i;
	abort();
}

/* --- clients --------------------------------------------------------------------------------- */

static void tell_event(const struct client *c, const struct fake_event *e)
{
	static const char *const kinds[] = {"message", "gap", "opened", "live", "failed", "mark"};

	say("  client %d sees %s %s %llu prev %llu from %s to %llu oldest %llu",
	    (int)(c - sim.clients), kinds[e->kind], e->channel, (unsigned long long)e->seq,
	    (unsigned long long)e->prev, e->from, (unsigned long long)e->to,
	    (unsigned long long)e->oldest);
}

/* What the client was told since the last look goes to its model. */
static void client_look(struct client *c)
{
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

static void client_subscribe(struct client *c, const size_t *channels, size_t n,
			     const struct start *start)
{
	struct slice names[CHANNELS];
	struct fault fault;
	struct asked a = ask_of(c, start);

	if (c->ask_n == ASKS)
		return;
	c->asks[c->ask_n] = a;
	for (size_t i = 0; i < n; i++) {
		names[i] = slice_str(channel_names[channels[i]]);
		c->wanted[channels[i]] = true;
		fake_mark(&c->f, c->ask_n, channel_names[channels[i]]);
		say("  client %d asks for %s, kind %d since %s last %u head %llu",
		    (int)(c - sim.clients), channel_names[channels[i]], start->kind, a.since,
		    a.last, (unsigned long long)a.head);
	}
	c->ask_n++;
	if (subscriber_add(&c->f.subscriber, names, n, start, false, &fault) != 0)
		fail("client %d was refused: %s", (int)(c - sim.clients), fault.message);
}

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
	if (c->has_cursor && chance(80)) {
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
	uint64_t cursor = subscriber_position(&c->f.subscriber);

	c->f.wants_drain = false;
	fake_write(&c->f, SIZE_MAX);
	client_look(c);
	say("  client %d is answered with cursor %llu", (int)(c - sim.clients),
	    (unsigned long long)cursor);
	c->has_cursor = c->model.is_opened;
	c->resume = c->model.resume = cursor;
}

static void client_cut(struct client *c)
{
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
	model_fini(&c->model);
	c->is_open = false;
}

static void client_write(struct client *c, size_t n)
{
	fake_write(&c->f, n);
	c->f.is_half_sent = c->f.queue.n && c->f.queue.v[0].kind == FAKE_MESSAGE && chance(50);
	client_look(c);
}

static void client_leave_channel(struct client *c, size_t channel)
{
	const char *name = channel_names[channel];
	bool had = subscriber_has(&c->f.subscriber, slice_str(name));

	say("client %d leaves %s", (int)(c - sim.clients), name);
	if (subscriber_remove(&c->f.subscriber, slice_str(name)) != had)
		fail("subscriber_remove() of %s", name);
	fake_mark(&c->f, -1, name);
	c->wanted[channel] = false;
}

/* --- steps: the log -------------------------------------------------------------------------- */

static void on_receipt(struct append *a)
{
	for (size_t i = 0; i < a->n; i++) {
		bool is_numbered =
			a->error == 0 && a->messages[i]->durability != DURABILITY_EPHEMERAL;
		if (is_numbered != (a->messages[i]->seq != 0))
			fail("a receipt with error %d and seq %llu", a->error,
			     (unsigned long long)a->messages[i]->seq);
	}
	sim.answered++;
	append_free(a);
}

static void step_post(void)
{
	static const char bytes[64] = "";
	struct payload_shape shapes[3] = {{.kind = MESSAGE_BINARY}, {.kind = MESSAGE_BINARY}};
	struct slice payloads[3];
	struct fault fault;
	struct publish_request r = {
		.channel = slice_str(channel_names[roll(CHANNELS)]),
		.is_ephemeral = chance(10),
		.n = 1 + roll(3),
		.payloads = payloads,
		.shapes = shapes,
	};

	shapes[2] = shapes[0];
	for (size_t i = 0; i < 3; i++)
		payloads[i] = slice_make(bytes, roll(sizeof(bytes)));
	struct hub *h = sim.rig.hubs[roll(sim.rig.history->worker_n)];
	say("post %zu to %.*s%s", r.n, SLICE_ARG(r.channel), r.is_ephemeral ? " (ephemeral)" : "");
	if (!publish_post(h, &r, on_receipt, NULL, &fault))
		fail("a publish was refused: %s", fault.message);
	sim.posted++;
}

static void step_publish(void)
{
	size_t i = roll(CHANNELS);
	bool is_ephemeral = chance(8);
	uint64_t seq =
		fake_publish(sim.rig.history, channel_names[i],
			     is_ephemeral ? DURABILITY_EPHEMERAL : DURABILITY_COMMIT, "text");

	say("publish %s%llu", channel_names[i], (unsigned long long)seq);
}

static void step_commit(void)
{
	size_t n = 1 + roll(4);
	int error = chance(15) ? -EIO : 0;

	if (!sim.rig.history->append_n)
		return;
	say("commit %zu of %zu%s", n, sim.rig.history->append_n, error ? ": fails" : "");
	fake_commit(sim.rig.history, n, error);
}

static void step_trim(void)
{
	struct history *h = sim.rig.history;
	size_t i = roll(CHANNELS);

	switch (roll(4)) {
	case 0:
		say("trim %s", channel_names[i]);
		fake_trim(h, channel_names[i], roll(8));
		break;
	case 1:
	case 2:
		say("retention");
		fake_trim(h, "few:c", 3);
		fake_trim_age(h, "brief:d", clock_wall_ms() - 1000);
		break;
	default:
		say("purge %s", channel_names[i]);
		fake_purge(h, channel_names[i]);
		for (size_t w = 0; w < h->worker_n; w++)
			sim.is_untold[w][i] = true;
	}
}

/* The workers hear of a purge some time after it, when messages may have been added. */
static void tell_purged(unsigned percent)
{
	struct history *h = sim.rig.history;

	for (size_t w = 0; w < h->worker_n; w++) {
		for (size_t i = 0; i < CHANNELS; i++) {
			if (!sim.is_untold[w][i] || !chance(percent))
				continue;
			sim.is_untold[w][i] = false;
			say("worker %zu is to forget %s", w, channel_names[i]);
			fake_tell_purged(h, &h->workers[w], channel_names[i]);
		}
	}
}

/* --- steps: readers and workers -------------------------------------------------------------- */

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
	int error = chance(2) ? -EIO : 0;
	say("answer query %zu%s", i, error ? " with an error" : "");
	fake_answer(h, i, error);
}

static void step_deliver(void)
{
	size_t w = roll(sim.rig.history->worker_n);
	struct fake_worker *worker = &sim.rig.history->workers[w];
	size_t n = chance(10) ? 50 : 1 + roll(3);
	struct letter *l;

	while (n-- && (l = STAILQ_FIRST(&worker->letters)) != NULL) {
		say("worker %zu opens a letter of kind %d", w, l->kind);
		fake_deliver(worker);
	}
}

static void step_time(void)
{
	uint64_t ms = PICK(10, 60, 150, 400, 1200);

	say("%llu ms pass", (unsigned long long)ms);
	rig_advance(&sim.rig, ms);
}

static void step_client(struct client *c)
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
	default: {
		size_t n = chance(30) ? SIZE_MAX : 1 + roll(4);
		say("client %d: %zu written of %zu", (int)(c - sim.clients),
		    n < c->f.queue.n ? n : c->f.queue.n, c->f.queue.n);
		client_write(c, n);
	}
	}
}

/* --- what hubs remember ---------------------------------------------------------------------- */

/* Bytes that the channel should have accounted for. */
static size_t check_ring(const struct hub *h, struct channel *ch, size_t w)
{
	char name[32] = "";

	memcpy(name, ch->name, ch->name_n);
	size_t k = channel_index(name), bytes = 0;
	const struct fake_channel *log = fake_channel_find(sim.rig.history, name);
	size_t at = log ? fake_channel_after(log, ch->covers_after) : 0;
	size_t end = log ? fake_channel_after(log, h->head) : 0;
	if (ch->covers_after > h->head)
		fail("%s covers after %llu, the head is %llu", name,
		     (unsigned long long)ch->covers_after, (unsigned long long)h->head);
	if (end < at || ch->recent_n != end - at) {
		fail("%s remembers %u messages after %llu, not %zu", name, ch->recent_n,
		     (unsigned long long)ch->covers_after, end - at);
		return 0;
	}
	for (uint32_t i = 0; i < ch->recent_n; i++) {
		const struct recent *r = channel_recent(ch, i);

		if (r->message != log->rows[at + i] || r->message->seq <= sim.forgotten[w][k])
			fail("%s remembers %llu wrongly", name,
			     (unsigned long long)r->message->seq);
		bytes += message_size(r->message);
		for (size_t f = 0; f < FORMAT_COUNT; f++)
			bytes += r->frames[f] ? sizeof(struct frame) + r->frames[f]->n : 0;
	}
	if (ch->is_whole && log && log->gone < at)
		fail("%s is not whole: %llu is in the log", name,
		     (unsigned long long)log->rows[log->gone]->seq);
	if (bytes != ch->recent_bytes)
		fail("%s: %zu bytes, accounted %zu", name, bytes, ch->recent_bytes);
	return bytes;
}

static void check_hub(size_t w)
{
	/* the newest message gets its frames after the limits were looked at */
	const size_t grace = FORMAT_COUNT * (sizeof(struct frame) + 48 + 64);
	struct hub *h = sim.rig.hubs[w];
	struct channel *ch, *next;
	size_t bytes = 0;

	HASH_ITER (hh, h->channels, ch, next) {
		size_t n = check_ring(h, ch, w);

		bytes += n;
		if (ch->recent_n > 1 && ch->recent_n > sim.limits.recent_count)
			fail("%.*s remembers %u messages", ch->name_n, ch->name, ch->recent_n);
		if (ch->recent_n > 1 && n > sim.limits.recent_bytes + grace)
			fail("%.*s remembers %zu bytes", ch->name_n, ch->name, n);
	}
	if (bytes != h->recent_bytes)
		fail("hub: %zu bytes, accounted %zu", bytes, h->recent_bytes);
	if (bytes > sim.limits.recent_total_bytes + grace)
		fail("hub: %zu bytes remembered, the limit is %zu", bytes,
		     sim.limits.recent_total_bytes);
	if (h->idle_n > sim.limits.idle_channels && h->idle_n > 1)
		fail("hub: %zu idle channels", h->idle_n);
}

static void on_forgot(struct fake_worker *w, const char *channel, uint64_t upto)
{
	sim.forgotten[w - sim.rig.history->workers][channel_index(channel)] = upto;
}

static void check(void)
{
	for (size_t w = 0; w < sim.rig.history->worker_n; w++)
		check_hub(w);
	for (size_t i = 0; i < CLIENTS; i++)
		if (sim.clients[i].is_open && sim.clients[i].f.has_failed)
			client_cut(&sim.clients[i]);
}

/* --- a run ----------------------------------------------------------------------------------- */

static void random_limits(void)
{
	sim.limits = (struct hub_limits){
		.channels_per_subscriber = CHANNELS,
		.message_bytes = 1000,
		.last_max = (uint32_t)PICK(5, 100),
		.recent_count = PICK(0, 1, 2, 4, 16, 256),
		.recent_bytes = PICK(300, 1000, 100000),
		.recent_total_bytes = PICK(0, 500, 2000, 10000, 1000000),
		.page_rows = PICK(1, 2, 3, 10, 1000),
		.page_bytes = PICK(1, 20, 100, 100000),
		.idle_channel_ms = PICK(100, 1000, 30000),
		.idle_channels = PICK(0, 1, 3, 100),
	};
}

static bool all_are_live(void)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		const struct client *c = &sim.clients[i];

		if (c->is_open && (c->f.subscriber.state != SUB_LIVE || c->f.queue.n))
			return false;
	}
	return true;
}

/* Let everything arrive; nobody may miss anything then. */
static void come_to_rest(void)
{
	say("all comes to rest");
	tell_purged(100);
	for (int i = 0; i < 1000; i++) {
		fake_settle(sim.rig.history);
		for (size_t k = 0; k < CLIENTS; k++)
			if (sim.clients[k].is_open)
				client_write(&sim.clients[k], SIZE_MAX);
		check();
		if (sim.failure || all_are_live())
			break;
		rig_advance(&sim.rig, 100);
	}
	for (size_t k = 0; k < CLIENTS && !sim.failure; k++) {
		struct client *c = &sim.clients[k];
		struct subscriber *s = &c->f.subscriber;

		if (!c->is_open)
			continue;
		if (s->state != SUB_LIVE)
			fail("client %zu never becomes live: full %d waiting %d query %d", k,
			     s->is_full, s->catch_up && s->catch_up->waits_on,
			     s->catch_up && s->catch_up->query);
		else
			model_complete(&c->model);
		if (c->model.wrong[0])
			fail("client %zu: %s", k, c->model.wrong);
	}
}

static void step_some_client(void)
{
	step_client(&sim.clients[roll(CLIENTS)]);
}

/* How often each kind of step comes is the seed's, too: some runs are quiet, some never read. */
static void random_weights(void)
{
	sim.weights[0] = (unsigned)PICK(2, 16, 40);
	sim.weights[1] = sim.weights[2] = (unsigned)PICK(1, 5, 20);
	sim.weights[3] = (unsigned)PICK(8, 20, 60);
	sim.weights[4] = (unsigned)PICK(5, 15, 60);
	sim.weights[5] = (unsigned)PICK(0, 4, 15);
	sim.weights[6] = (unsigned)PICK(1, 4, 10);
	sim.weights[7] = (unsigned)PICK(15, 32, 80);
}

static void step(void)
{
	static void (*const kinds[])(void) = {step_publish, step_post,       step_commit,
					      step_deliver, step_answer,     step_trim,
					      step_time,    step_some_client};
	unsigned all = 0;
	size_t kind = 0;

	static_assert(ARRAY_LEN(kinds) == ARRAY_LEN(sim.weights), "a weight for each kind");
	sim.step++;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		all += sim.weights[i];
	unsigned dice = (unsigned)roll(all);
	while (dice >= sim.weights[kind])
		dice -= sim.weights[kind++];
	kinds[kind]();
	tell_purged(25);
	check();
	if (!sim.failure && chance(1))
		come_to_rest();
}

/* After everybody has left: */
static void check_nothing_is_left(void)
{
	static const enum counter_id gauges[] = {COUNTER_SUBSCRIPTIONS, COUNTER_CATCHING_UP,
						 COUNTER_CHANNELS_ACTIVE, COUNTER_RECENT_BYTES};

	for (size_t w = 0; w < sim.rig.history->worker_n; w++)
		channel_expire_idle(sim.rig.hubs[w], true);
	for (size_t i = 0; i < ARRAY_LEN(gauges); i++)
		if (rig_count(&sim.rig, gauges[i]) != 0)
			fail("gauge %d is %lld at the end", gauges[i],
			     (long long)rig_count(&sim.rig, gauges[i]));
	for (size_t i = 0; i < CHANNELS; i++)
		if (census_total(sim.rig.census, slice_str(channel_names[i])) != 0)
			fail("the census still has %s", channel_names[i]);
	if (sim.answered != sim.posted)
		fail("%u of %u publishes were answered", sim.answered, sim.posted);
}

static bool run(uint64_t seed, bool is_loud)
{
	memset(&sim, 0, sizeof(sim));
	sim.seed = sim.random = seed;
	sim.is_loud = is_loud;
	random_limits();
	random_weights();
	hub_rig_init(&sim.rig, &sim.limits, PICK(0, 0, 40), 1 + roll(2));
	sim.rig.history->query_room = PICK(1, 2, 60);
	for (size_t i = 0; i < sim.rig.history->worker_n; i++)
		sim.rig.history->workers[i].forgot = on_forgot;
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
		fprintf(stderr, "seed %llu, step %u: %s\nreplay: sim --seed %llu\n",
			(unsigned long long)seed, sim.step, sim.failure, (unsigned long long)seed);
	hub_rig_fini(&sim.rig);
	return !sim.failure;
}

int main(int argc, char **argv)
{
	signal(SIGABRT, on_abort);
	return seeds_main(argc, argv, SEEDS, run);
}
