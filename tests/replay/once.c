/* SPDX-License-Identifier: MIT */
/*
 * once: publishes that are repeated, under random schedules. One seed is one run: rounds of
 * publishes with keys, numbers of producers and expected heads, single and in batches over several
 * channels, to a main store that fails now and then and to the memory beside it, while the window
 * passes. Each receipt, and what is announced, is held against a model that knows nothing but the
 * rules of docs/protocol.md.
 *
 *   once, once --seeds A-B, once --seed N: as sim
 *
 * Both stores are memory engines, the main one with an append that fails; restarts and the disk are
 * the matter of tests/fault and tests/wire. There are no threads: rounds are run by hand.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/obj.h"
#include "base/xalloc.h"
#include "store/history_internal.h"
#include "tests/replay/seeds.h"

#define SEEDS     3000 /* of the test suite */
#define ROUNDS    80
#define WINDOW_MS 1000
#define KNOWN_MAX 64
#define POISON    "poison" /* a payload that the main store can not take */

static const char *const channels[] = {"a", "b", "ram:c", "ram:d"};
#define CHANNELS ARRAY_LEN(channels)

/* What the model remembers of a key in a scope, or of a producer. */
struct known {
	char name[32];
	uint64_t producer_seq;
	uint64_t first;
	size_t n;
	enum durability durability;
	int64_t expires_ms;
};

static struct run {
	uint64_t random;
	bool is_loud;
	struct history *h;
	struct store_engine main, side;
	bool is_failing; /* the main store, in this round */
	struct mailbox worker;
	struct append *answered[64];
	size_t answered_n;
	/* the model */
	struct known known[KNOWN_MAX];
	size_t known_n;
	uint64_t heads[CHANNELS];
	uint64_t newest;
	bool is_bad;
} run;

static uint64_t roll(uint64_t n)
{
	return seeds_roll(&run.random, n);
}

#define PICK(...) SEEDS_PICK(&run.random, __VA_ARGS__)

/* --- the stores ------------------------------------------------------------------------------ */

/* What was staged goes with the append, or not at all. */
static int failing_append(struct store *s, struct message *const *batch, size_t n, bool sync)
{
	int rc = run.is_failing ? -EIO : 0;

	for (size_t i = 0; i < n; i++)
		if (slice_eq_str(message_payload(batch[i]), POISON))
			rc = -EFBIG;
	if (rc == 0)
		return run.side.ops.append(s, batch, n, sync);
	run.side.dedup.stage(s, NULL, 0);
	return rc;
}

static void start(void)
{
	struct namespace_table *t = namespace_table_new(2);
	struct problem problem;
	struct history_config cfg = {
		.engine = "memory",
		.namespaces = t,
		.readers = 1,
		.append_queue_bytes = SIZE_MAX,
		.batch_messages = PICK(1, 3, 1000),
		.worker_lag = 1000,
		.key_window_ms = WINDOW_MS,
		.key_memory = 1000,
	};

	t->ns[0].durability = DURABILITY_COMMIT;
	strcpy(t->ns[1].name, "ram");
	t->ns[1].durability = DURABILITY_MEMORY;
	clock_fake_set(1000000, 1700000000000);
	int rc = history_open(&cfg, &run.h, &problem);
	assert(rc == 0);
	run.main = run.side = *run.h->shelves[PLACE_MAIN].engine;
	run.main.ops.append = failing_append;
	run.h->shelves[PLACE_MAIN].engine = &run.main;
	struct store_config side = {.namespaces = t, .first_seq = 1, .dedup_max = 1000};
	run.h->shelves[PLACE_SIDE].engine = &run.side;
	rc = run.side.ops.open(&side, &run.h->shelves[PLACE_SIDE].store, &problem);
	assert(rc == 0);
	mailbox_init(&run.worker);
	history_add_worker(run.h, &run.worker);
	namespace_table_unref(t);
}

/* --- publishing ------------------------------------------------------------------------------ */

static void on_append(struct append *a)
{
	run.answered[run.answered_n++] = a;
}

static struct message *draft(size_t channel)
{
	return message_new(&(struct message_spec){
		.channel = slice_str(channels[channel]),
		.payload = slice_str(roll(30) == 0 ? POISON : "x"),
		.kind = MESSAGE_TEXT,
		.durability = channel < 2 ? DURABILITY_COMMIT : DURABILITY_MEMORY,
	});
}

static size_t channel_of(const struct message *m)
{
	size_t i = 0;

	while (!slice_eq_str(message_channel(m), channels[i]))
		i++;
	return i;
}

static struct known *find(const char *name)
{
	for (size_t i = 0; i < run.known_n; i++)
		if (strcmp(run.known[i].name, name) == 0)
			return &run.known[i];
	return NULL;
}

static struct append_terms random_terms(const struct append *a)
{
	static const char *const words[] = {"k", "l", "m"};
	struct append_terms t = {.key = SLICE(""), .producer = SLICE("")};
	uint64_t head = run.heads[channel_of(a->messages[0])];
	struct known *k;

	switch (roll(4)) {
	case 0:
		t.producer = slice_str(words[roll(2)]);
		k = find(roll(2) ? "p k" : "p l");
		t.producer_seq = (k ? k->producer_seq : 0) + roll(4);
		t.producer_seq += t.producer_seq == 0;
		break;
	case 1:
	case 2:
		t.key = slice_str(words[roll(ARRAY_LEN(words))]);
	}
	t.expect = (enum expect_kind)PICK(EXPECT_ANYTHING, EXPECT_ANYTHING, EXPECT_ANYTHING,
					  EXPECT_NOTHING, EXPECT_HEAD);
	t.expect_seq = roll(4) ? head : roll(run.newest + 2);
	return t;
}

static void post(void)
{
	struct append *a = append_new(1 + roll(3));
	bool is_scattered = roll(4) == 0;
	size_t channel = roll(CHANNELS);

	for (size_t i = 0; i < a->n; i++)
		a->messages[i] = draft(is_scattered ? roll(CHANNELS) : channel);
	a->reply_to = &run.worker;
	a->done = on_append;
	struct append_terms t = random_terms(a);
	t.is_scattered = is_scattered;
	if (is_scattered)
		t.expect = EXPECT_ANYTHING;
	append_set_terms(a, &t);
	STAILQ_INSERT_TAIL(&run.h->writer.waiting, a, receipt);
}

/* --- the model ------------------------------------------------------------------------------- */

static void wrong(const struct append *a, const char *what)
{
	printf("a publish of %zu to %.*s%s: %s (error %d outcome %d first %llu n %llu told %llu)\n",
	       a->n, SLICE_ARG(message_channel(a->messages[0])),
	       a->terms->is_scattered ? " and others" : "", what, a->error, (int)a->outcome,
	       (unsigned long long)a->first, (unsigned long long)a->stored_n,
	       (unsigned long long)a->told);
	run.is_bad = true;
}

/* What it is known by; "" when by nothing. */
static void name_of(const struct append *a, char name[32])
{
	const struct append_terms *t = a->terms;
	struct slice scope = t->is_scattered ? SLICE("*") : message_channel(a->messages[0]);

	name[0] = '\0';
	if (t->producer.n)
		snprintf(name, 32, "p %.*s", SLICE_ARG(t->producer));
	else if (t->key.n)
		snprintf(name, 32, "k %.*s %.*s", SLICE_ARG(scope), SLICE_ARG(t->key));
}

/* True: it is answered by what was stored before. */
static bool is_known(const struct append *a, const struct known *k)
{
	bool is_last = !a->terms->producer.n || a->terms->producer_seq == k->producer_seq;

	if (a->terms->producer.n && a->terms->producer_seq > k->producer_seq) {
		if (a->terms->producer_seq == k->producer_seq + 1)
			return false;
		if (a->error || a->outcome != APPEND_PRODUCER_GAP || a->told != k->producer_seq + 1)
			wrong(a, "a number was left out");
		return true;
	}
	if (a->error || a->outcome != APPEND_DUPLICATE || a->first != (is_last ? k->first : 0) ||
	    a->stored_n != (is_last ? k->n : 0) || a->durability != k->durability)
		wrong(a, "it was stored before");
	return true;
}

static bool is_expected(const struct append *a)
{
	uint64_t head = run.heads[channel_of(a->messages[0])];
	const struct append_terms *t = a->terms;

	if (t->expect == EXPECT_ANYTHING || head == (t->expect == EXPECT_HEAD ? t->expect_seq : 0))
		return true;
	if (a->error || a->outcome != APPEND_CONFLICT || a->told != head)
		wrong(a, "another head was expected");
	return false;
}

/* The errno with which the main store refuses it, or 0. */
static int refusal(const struct append *a)
{
	bool is_main = false;

	for (size_t i = 0; i < a->n; i++) {
		if (channel_of(a->messages[i]) >= 2)
			continue;
		is_main = true;
		if (slice_eq_str(message_payload(a->messages[i]), POISON))
			return -EFBIG;
	}
	return is_main && run.is_failing ? -EIO : 0;
}

static void judge_stored(const struct append *a, const char *name, struct known *k)
{
	enum durability weakest = DURABILITY_SYNC;

	if (a->error || a->outcome != APPEND_STORED || a->first <= run.newest ||
	    a->stored_n != a->n) {
		wrong(a, "it is new");
		return;
	}
	for (size_t i = 0; i < a->n; i++) {
		const struct message *m = a->messages[i];
		uint64_t *head = &run.heads[channel_of(m)];

		if (m->seq != a->first + i || m->prev != *head)
			wrong(a, "numbers or chain");
		*head = m->seq;
		if (m->durability < weakest)
			weakest = m->durability;
	}
	run.newest = a->first + a->n - 1;
	if (a->durability != weakest)
		wrong(a, "durability");
	if (name[0] == '\0')
		return;
	if (!k) {
		k = &run.known[run.known_n++];
		assert(run.known_n <= KNOWN_MAX);
	}
	*k = (struct known){.producer_seq = a->terms->producer_seq,
			    .first = a->first,
			    .n = a->n,
			    .durability = weakest,
			    .expires_ms = clock_wall_ms() + WINDOW_MS};
	strcpy(k->name, name);
}

static void judge(const struct append *a)
{
	char name[32];

	name_of(a, name);
	struct known *k = find(name);
	if (run.is_loud)
		printf("%lld: %zu to %.*s, known as \"%s\" %llu: error %d outcome %d first %llu\n",
		       (long long)(clock_wall_ms() % 1000000), a->n,
		       SLICE_ARG(message_channel(a->messages[0])), name,
		       (unsigned long long)a->terms->producer_seq, a->error, (int)a->outcome,
		       (unsigned long long)a->first);
	if (k && k->expires_ms > clock_wall_ms() && is_known(a, k))
		return;
	if (!is_expected(a))
		return;
	int error = refusal(a);
	if (error == 0)
		judge_stored(a, name, k);
	/* one that was not even tried, because the round failed, fails like the round */
	else if (a->error != error && !(run.is_failing && a->error == -EIO))
		wrong(a, "the store refused it");
}

/* --- a run ----------------------------------------------------------------------------------- */

/* The announced messages are those that were stored, in order. */
static void check_batch(const struct batch_letter *l)
{
	size_t n = 0;

	for (size_t i = 0; i < run.answered_n; i++) {
		const struct append *a = run.answered[i];

		for (size_t k = 0; k < a->n && !a->error && a->outcome == APPEND_STORED; k++)
			if (n >= l->batch->n || l->batch->messages[n++] != a->messages[k])
				wrong(a, "not announced as stored");
	}
	if (n != l->batch->n) {
		printf("%zu messages were announced, %zu were stored\n", l->batch->n, n);
		run.is_bad = true;
	}
}

static void take_answers(void)
{
	struct letter_list letters = STAILQ_HEAD_INITIALIZER(letters);
	struct letter *each;
	struct append *a;

	mailbox_take(&run.worker, &letters);
	while ((each = STAILQ_FIRST(&letters)) != NULL) {
		STAILQ_REMOVE_HEAD(&letters, link);
		struct batch_letter *l = container_of(each, struct batch_letter, letter);
		run.answered_n = 0;
		while ((a = STAILQ_FIRST(&l->receipts)) != NULL) {
			STAILQ_REMOVE_HEAD(&l->receipts, receipt);
			a->done(a);
		}
		for (size_t i = 0; i < run.answered_n; i++)
			judge(run.answered[i]);
		check_batch(l);
		for (size_t i = 0; i < run.answered_n; i++)
			append_free(run.answered[i]);
		batch_letter_free(l);
	}
}

static void one_round(void)
{
	size_t n;

	for (size_t i = 1 + roll(6); i > 0; i--)
		post();
	run.is_failing = roll(8) == 0;
	while (!STAILQ_EMPTY(&run.h->writer.waiting)) {
		round_run(run.h);
		take_answers();
	}
	clock_fake_advance(PICK(0, 1000, 100000, 400000));
	if (roll(3) == 0)
		for (int i = 0; i < PLACE_COUNT; i++)
			run.side.ops.trim(run.h->shelves[i].store, clock_wall_ms(), 100, &n);
}

static bool run_seed(uint64_t seed, bool is_loud)
{
	memset(&run, 0, sizeof(run));
	run.random = seed;
	run.is_loud = is_loud;
	start();
	for (int i = 0; i < ROUNDS && !run.is_bad; i++)
		one_round();
	if (run.is_bad)
		fprintf(stderr, "seed %llu failed\nreplay: once --seed %llu\n",
			(unsigned long long)seed, (unsigned long long)seed);
	history_close(run.h);
	mailbox_fini(&run.worker);
	clock_fake_off();
	return !run.is_bad;
}

int main(int argc, char **argv)
{
	map_seed();
	log_set_level(LOG_LEVEL_ERROR);
	return seeds_main(argc, argv, SEEDS, run_seed);
}
