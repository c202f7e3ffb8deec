/* SPDX-License-Identifier: MIT */
/*
 * sim: the broker under random schedules. One seed is one run: a few hundred steps over one or two
 * hubs, a fake log and some clients, on a fake clock, in one thread, so that a seed gives the same
 * run everywhere. Clients are streams and polls, plain and durable; messages expire, and some are
 * not for one of the clients; namespaces lag, skip or disconnect. Left out: the markers that an
 * engine leaves of what expired.
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
#include "tests/replay/sim.h"

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
#include "tests/unit/broker/fake_ack.h"

#define STEPS_MIN  60
#define STEPS_MORE 300
#define SEEDS      8000 /* of the test suite */

const char channel_names[CHANNELS][8] = {"a", "b", "few:c", "brief:d", "ram:e", "f"};

struct sim sim;

/* --- chance and words ------------------------------------------------------------------------ */

uint64_t roll(uint64_t n)
{
	return seeds_roll(&sim.random, n);
}

bool chance(unsigned percent)
{
	return roll(100) < percent;
}

void say(const char *fmt, ...)
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

void fail(const char *fmt, ...)
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

size_t channel_index(const char *name)
{
	for (size_t i = 0; i < CHANNELS; i++)
		if (strcmp(channel_names[i], name) == 0)
			return i;
	abort();
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
		.except = chance(30) ? 1 + roll(CLIENTS) : 0,
		.n = 1 + roll(3),
		.payloads = payloads,
		.shapes = shapes,
	};

	shapes[2] = shapes[0];
	r.has_ttl = sim.has_ttl && !r.is_ephemeral && chance(50);
	r.ttl_ms = PICK(1, 30, 150, 1000);
	for (size_t i = 0; i < 3; i++)
		payloads[i] = slice_make(bytes, roll(sizeof(bytes)));
	struct hub *h = sim.rig.hubs[roll(sim.rig.history->worker_n)];
	say("post %zu to %.*s%s, ttl %llu, not for client %lld", r.n, SLICE_ARG(r.channel),
	    r.is_ephemeral ? " (ephemeral)" : "", (unsigned long long)(r.has_ttl ? r.ttl_ms : 0),
	    (long long)r.except - 1);
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

	if (!fake_waiting(sim.rig.history))
		return;
	say("commit %zu of %zu%s", n, fake_waiting(sim.rig.history), error ? ": fails" : "");
	fake_commit(sim.rig.history, n, error);
}

static void step_acks(void)
{
	size_t n = 1 + roll(4);

	if (!fake_acks.n)
		return;
	fake_acks.error = chance(5) ? -EIO : 0;
	say("keep %zu of %zu acknowledgements%s", n, fake_acks.n, fake_acks.error ? ": fails" : "");
	fake_acks_commit(sim.rig.history, n);
	fake_acks.error = 0;
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

/* --- checks ---------------------------------------------------------------------------------- */

static void on_forgot(struct fake_worker *w, const char *channel, uint64_t upto)
{
	sim.forgotten[w - sim.rig.history->workers][channel_index(channel)] = upto;
}

static void check(void)
{
	for (size_t w = 0; w < sim.rig.history->worker_n; w++)
		check_hub(w);
	for (size_t i = 0; i < CLIENTS; i++) {
		struct client *c = &sim.clients[i];

		if (c->is_open)
			client_check(c);
		if (c->is_open && (c->f.has_failed || c->f.is_too_slow))
			client_cut(c);
	}
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
		.pages = PICK(1, 2, 32),
		.replay_turn_bytes = PICK(1, 1000, 20000, 1000000),
		.idle_channel_ms = PICK(100, 1000, 30000),
		.idle_channels = PICK(0, 1, 3, 100),
		.ack_expiry_ms = PICK(0, 0, 4000),
	};
}

/* What the namespaces do with slow clients: in half of the runs they all lag. */
static void random_policies(void)
{
	struct namespace_table *t = sim.rig.namespaces;
	bool is_lag = chance(50);

	for (size_t i = 0; i < t->n; i++)
		t->ns[i].slow = is_lag ? SLOW_LAG
				       : (enum slow_policy)PICK(SLOW_LAG, SLOW_SKIP, SLOW_SKIP,
								SLOW_DISCONNECT);
}

static bool all_are_live(void)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		const struct client *c = &sim.clients[i];

		if (c->is_open &&
		    (c->f.subscriber.state != SUB_LIVE || c->f.queue.n || !LIST_EMPTY(&c->joins)))
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
		fake_acks_commit(sim.rig.history, fake_acks.n);
		fake_settle(sim.rig.history);
		for (size_t k = 0; k < CLIENTS; k++) {
			if (!sim.clients[k].is_open)
				continue;
			client_write(&sim.clients[k], SIZE_MAX);
			client_ack_all(&sim.clients[k]);
		}
		check();
		if (sim.failure || all_are_live())
			break;
		rig_advance(&sim.rig, 100);
	}
	for (size_t k = 0; k < CLIENTS && !sim.failure; k++) {
		struct client *c = &sim.clients[k];
		struct subscriber *s = &c->f.subscriber;

		if (!c->is_open || s->state == SUB_NEW)
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
	client_step(&sim.clients[roll(CLIENTS)]);
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
	sim.weights[8] = (unsigned)PICK(3, 10, 30);
}

static void step(void)
{
	static void (*const kinds[])(void) = {step_publish, step_post,        step_commit,
					      step_deliver, step_answer,      step_trim,
					      step_time,    step_some_client, step_acks};
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

static bool run(uint64_t seed, bool is_loud)
{
	memset(&sim, 0, sizeof(sim));
	sim.seed = sim.random = seed;
	sim.is_loud = is_loud;
	sim.has_ttl = chance(50);
	fake_acks_reset();
	random_limits();
	random_weights();
	hub_rig_init(&sim.rig, &sim.limits, PICK(0, 0, 40), 1 + roll(2));
	random_policies();
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
	fake_acks_commit(sim.rig.history, fake_acks.n);
	fake_settle(sim.rig.history);
	if (is_good)
		check_nothing_is_left();
	if (sim.failure)
		fprintf(stderr, "seed %llu, step %u: %s\nreplay: sim --seed %llu\n",
			(unsigned long long)seed, sim.step, sim.failure, (unsigned long long)seed);
	fake_acks_reset();
	hub_rig_fini(&sim.rig);
	return !sim.failure;
}

int main(int argc, char **argv)
{
	signal(SIGABRT, on_abort);
	return seeds_main(argc, argv, SEEDS, run);
}
