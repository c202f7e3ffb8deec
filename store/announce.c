/* SPDX-License-Identifier: MIT */
/*
 * announce: the way of messages from whoever finished them to all workers: one batch, shared, and a
 * letter for each worker with its own receipts.
 *
 * DESIGN: two come here. The log thread with a round that is committed, and a worker with ephemeral
 * messages, which have no number, no place in the log and nothing to wait for: their way through
 * the log thread would be two hand-overs between threads for nothing (docs/design/11-short-way.md).
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "store/history_internal.h"

static bool is_stored(const struct append *a)
{
	return a->error == 0 && a->outcome == APPEND_STORED;
}

static void count_published(struct counters *counters, const struct message *m)
{
	static const enum counter_id ids[] = {
		[DURABILITY_EPHEMERAL] = COUNTER_PUBLISHED_EPHEMERAL,
		[DURABILITY_MEMORY] = COUNTER_PUBLISHED_MEMORY,
		[DURABILITY_COMMIT] = COUNTER_PUBLISHED_COMMIT,
		[DURABILITY_SYNC] = COUNTER_PUBLISHED_SYNC,
	};

	if (counters != NULL && m->kind != MESSAGE_EVENT)
		count_inc(counters, ids[m->durability]);
}

static void add_all(struct batch *b, const struct append *a, struct counters *counters)
{
	for (size_t i = 0; i < a->n; i++) {
		b->messages[b->n++] = message_ref(a->messages[i]);
		count_published(counters, a->messages[i]);
		/* Never the number of a message that failed: it may be given out again after a
		 * crash, and a cursor that has it would hide the message that gets it then. */
		if (a->messages[i]->seq)
			b->head = a->messages[i]->seq;
	}
}

struct batch *announce_batch(struct append *const *appends, size_t n, struct counters *counters)
{
	size_t message_n = 0;

	for (size_t i = 0; i < n; i++)
		message_n += is_stored(appends[i]) ? appends[i]->n : 0;
	struct batch *b = xcalloc(1, sizeof(*b) + message_n * sizeof(b->messages[0]));
	atomic_init(&b->refs, 1);
	for (size_t i = 0; i < n; i++) {
		const struct append *a = appends[i];

		if (is_stored(a)) {
			add_all(b, a, counters);
			continue;
		}
		for (size_t k = 0; k < a->n; k++)
			a->messages[k]->seq = a->messages[k]->prev = 0;
	}
	return b;
}

static struct batch_letter *letter_new(struct mailbox *to, struct batch *b)
{
	struct batch_letter *l = xcalloc(1, sizeof(*l));

	l->letter.kind = LETTER_BATCH;
	STAILQ_INIT(&l->receipts);
	l->to = to;
	l->batch = b;
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return l;
}

/* NULL when there is nothing to tell this worker. */
static struct batch_letter *letter_for(struct mailbox *worker, struct batch *b,
				       struct append *const *appends, size_t n)
{
	struct batch_letter *l = b->n > 0 || b->ack_n > 0 ? letter_new(worker, b) : NULL;

	for (size_t i = 0; i < n; i++) {
		if (appends[i]->reply_to != worker)
			continue;
		if (l == NULL)
			l = letter_new(worker, b);
		STAILQ_INSERT_TAIL(&l->receipts, appends[i], receipt);
	}
	return l;
}

void announce_post(struct history *h, struct batch *b, struct append *const *appends, size_t n)
{
	struct letter_list letters = STAILQ_HEAD_INITIALIZER(letters);
	struct letter *l;

	/* All of them before the first is posted: an append is its worker's from then on. */
	for (size_t i = 0; i < h->worker_n; i++) {
		struct batch_letter *bl = letter_for(h->workers[i], b, appends, n);
		if (bl != NULL)
			STAILQ_INSERT_TAIL(&letters, &bl->letter, link);
	}
	while ((l = STAILQ_FIRST(&letters)) != NULL) {
		STAILQ_REMOVE_HEAD(&letters, link);
		mailbox_post(container_of(l, struct batch_letter, letter)->to, l);
	}
	batch_unref(b);
}

void history_announce(struct history *h, struct append *const *appends, size_t n,
		      struct counters *counters)
{
	int64_t now_ms = clock_wall_ms();

	for (size_t i = 0; i < n; i++) {
		struct append *a = appends[i];

		a->stored_n = a->n;
		a->durability = DURABILITY_EPHEMERAL;
		for (size_t k = 0; k < a->n; k++)
			a->messages[k]->ts_ms = now_ms;
	}
	announce_post(h, announce_batch(appends, n, counters), appends, n);
}

bool history_takes_short_way(const struct history *h, const struct append *a)
{
	/* a batch may be at one worker before another was sent it: an answer to it must not be
	 * there before it */
	if (a->terms != NULL || atomic_load(&h->is_announcing))
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->messages[i]->durability != DURABILITY_EPHEMERAL)
			return false;
	for (size_t i = 0; i < h->worker_n; i++)
		if (mailbox_count(h->workers[i]) > h->cfg.worker_lag)
			return false;
	return true;
}
