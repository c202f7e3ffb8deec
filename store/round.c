/* SPDX-License-Identifier: MIT */
/*
 * round: what the log thread does with the appends that wait: number, commit, announce.
 *
 * DESIGN
 *  1. Take: whole appends, up to batch_messages of messages.
 *  2. Number: every message that is kept gets the next seq, the channel's newest one as prev, and
 * the time. Before a number is used it is covered by a reservation on the medium (RESERVE_BLOCK at
 * a time), unless its message is synced itself: so no number is ever used twice, even when the
 *     machine loses what was only written, or the message was only ever in memory.
 *     Before it is numbered an append is judged: a repetition, a hole in its producer's numbers
 *     (dedup.c), or a head that is not the expected one. Such an append takes no number.
 *  3. Commit: one transaction in the main store, acknowledged positions included
 *     (ack.c), then the memory store, which cannot fail. When the
 *     commit fails because of the disk, the round is judged and numbered again without it: appends
 *     with something for the disk are answered with the error, the others stay where they are in
 *     the order. When it fails because of one of the appends, they are done again one by one.
 *     Numbers of failed attempts are skipped, never used again: after a crash a failed commit may
 *     turn out to have reached the disk.
 *  4. Announce: one batch for all workers; each letter carries its worker's receipts. Then wait for
 *     workers that are too far behind: what is announced is memory.
 *
 * It must never announce before the commit, and never touch an append after its letter was posted.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "store/history_internal.h"

#define RESERVE_BLOCK  1000000u
#define LAG_RECHECK_MS 100

/* --- take ------------------------------------------------------------------------------------ */

static void make_room(struct history *h, size_t messages)
{
	struct writer *w = &h->writer;

	if (messages > w->row_room) {
		w->row_room = messages;
		for (int i = 0; i < PLACE_COUNT; i++)
			w->rows[i] = xrealloc(w->rows[i], messages * sizeof(*w->rows[i]));
		w->head_pool = xrealloc(w->head_pool, messages * sizeof(*w->head_pool));
	}
}

static void round_take(struct history *h)
{
	struct writer *w = &h->writer;
	struct append *a;
	size_t messages = 0, bytes = 0;

	w->round_n = 0;
	while ((a = STAILQ_FIRST(&w->waiting)) != NULL &&
	       (w->round_n == 0 || messages + a->n <= h->cfg.batch_messages)) {
		STAILQ_REMOVE_HEAD(&w->waiting, receipt);
		if (w->round_n == w->round_room) {
			w->round_room = w->round_room ? w->round_room * 2 : 64;
			w->round = xrealloc(w->round, w->round_room * sizeof(*w->round));
		}
		w->round[w->round_n++] = a;
		messages += a->n;
		bytes += a->bytes;
	}
	atomic_fetch_sub(&h->append_bytes, bytes);
	make_room(h, messages);
}

/* --- number ---------------------------------------------------------------------------------- */

static void heads_forget(struct writer *w)
{
	HASH_CLEAR(hh, w->heads);
	w->head_n = 0;
}

/* Where the newest seq of the message's channel stands; NULL when the store fails (*ret_error). */
static uint64_t *head_of(struct history *h, const struct message *m, enum place place,
			 int *ret_error)
{
	struct writer *w = &h->writer;
	struct shelf *shelf = &h->shelves[place];
	struct slice name = message_channel(m);
	struct round_head *head;
	unsigned hash;

	HASH_VALUE(name.p, name.n, hash);
	HASH_FIND_BYHASHVALUE(hh, w->heads, name.p, name.n, hash, head);
	if (head == NULL) {
		head = &w->head_pool[w->head_n++];
		*head = (struct round_head){0};
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, w->heads, name.p, name.n, hash, head);
	}
	if (!head->is_known[place]) {
		*ret_error = shelf->engine->ops.head(shelf->store, name, &head->seq[place]);
		if (*ret_error != 0)
			return NULL;
		head->is_known[place] = true;
	}
	return &head->seq[place];
}

/* May the next seq be given to a message of this durability? */
static int cover_next(struct history *h, enum durability d)
{
	struct writer *w = &h->writer;
	struct shelf *shelf = &h->shelves[PLACE_MAIN];

	if (w->seq < w->reserved || d == DURABILITY_SYNC)
		return 0;
	int rc = shelf->engine->reserve(shelf->store, w->seq + RESERVE_BLOCK);
	round_note_store(h, rc);
	if (rc == 0)
		w->reserved = w->seq + RESERVE_BLOCK;
	return rc;
}

static int number_message(struct history *h, struct message *m, uint64_t ttl_ms)
{
	struct writer *w = &h->writer;
	int rc;

	m->ts_ms = w->ts_ms;
	m->expires_ms = ttl_ms != 0 ? w->ts_ms + (int64_t)ttl_ms : 0;
	m->seq = m->prev = 0;
	if (m->durability == DURABILITY_EPHEMERAL)
		return 0;
	enum place place = history_place(h, m->durability);
	uint64_t *head = head_of(h, m, place, &rc);
	if (head == NULL) {
		round_note_store(h, rc);
		return rc;
	}
	rc = cover_next(h, m->durability);
	if (rc != 0)
		return rc;
	m->seq = ++w->seq;
	m->prev = *head;
	*head = m->seq;
	w->rows[place][w->row_n[place]++] = m;
	return 0;
}

/* Is the channel's head what the publisher expects? Return 0 and set the outcome, or errno. */
static int check_head(struct history *h, struct append *a)
{
	const struct append_terms *terms = a->terms;
	const struct message *m = a->messages[0];
	int rc = 0;

	if (terms == NULL || terms->expect == EXPECT_ANYTHING || a->outcome != APPEND_STORED)
		return 0;
	const uint64_t *head = head_of(h, m, history_place(h, m->durability), &rc);
	if (head == NULL)
		return rc;
	if (*head != (terms->expect == EXPECT_HEAD ? terms->expect_seq : 0)) {
		a->outcome = APPEND_CONFLICT;
		a->told = *head;
	}
	return 0;
}

/* May it be stored? Set outcome or error. */
static bool judge_append(struct history *h, struct append *a)
{
	a->first = a->stored_n = a->told = 0;
	a->error = dedup_judge(h, a);
	if (a->error == 0)
		a->error = check_head(h, a);
	if (a->error != 0)
		round_note_store(h, a->error);
	else if (a->outcome == APPEND_STORED && h->writer.main_error != 0 && append_has_main(h, a))
		a->error = h->writer.main_error;
	return a->error == 0 && a->outcome == APPEND_STORED;
}

/* What the receipt says. */
static void note_stored(struct history *h, struct append *a)
{
	a->first = a->messages[0]->seq;
	a->stored_n = a->n;
	a->durability = DURABILITY_SYNC;
	for (size_t i = 0; i < a->n; i++) {
		if (a->messages[i]->durability < a->durability)
			a->durability = a->messages[i]->durability;
	}
	dedup_note(h, a);
}

/* All messages of the append, or none: then it carries the outcome or the error. */
static void number_append(struct history *h, struct append *a)
{
	struct writer *w = &h->writer;
	size_t before[PLACE_COUNT] = {w->row_n[PLACE_MAIN], w->row_n[PLACE_SIDE]};
	uint64_t ttl_ms = a->terms != NULL ? a->terms->ttl_ms : 0;
	size_t i;

	if (!judge_append(h, a))
		return;
	for (i = 0; i < a->n && a->error == 0; i++)
		a->error = number_message(h, a->messages[i], ttl_ms);
	if (a->error == 0) {
		note_stored(h, a);
		return;
	}
	w->row_n[PLACE_MAIN] = before[PLACE_MAIN];
	w->row_n[PLACE_SIDE] = before[PLACE_SIDE];
	/* a later message must not name one of these as its prev */
	heads_forget(w);
	for (i = 0; i < before[PLACE_MAIN] + before[PLACE_SIDE]; i++) {
		enum place place = i < before[PLACE_MAIN] ? PLACE_MAIN : PLACE_SIDE;
		struct message *m =
			w->rows[place][place == PLACE_MAIN ? i : i - before[PLACE_MAIN]];
		int rc;
		uint64_t *head = head_of(h, m, place, &rc);
		if (head != NULL)
			*head = m->seq;
	}
}

/* --- commit ---------------------------------------------------------------------------------- */

/* Errors that one append may cause for all. */
static bool is_specific(int error)
{
	return error == -EFBIG || error == -EINVAL || error == -ENOMEM;
}

void round_note_store(struct history *h, int rc)
{
	struct writer *w = &h->writer;
	int before = atomic_load(&h->health);

	if (rc != 0 && w->counters != NULL)
		count_inc(w->counters, COUNTER_COMMIT_ERRORS);
	if (is_specific(rc) || rc == before)
		return;
	atomic_store(&h->health, rc);
	counters_set_global(COUNTER_STORE_UP, rc == 0);
	if (rc == 0)
		log_info("store_recovered", "error=%s", log_value(strerror(-before)));
	else
		log_warn("store_failed", "error=%s", log_value(strerror(-rc)));
}

static int commit_main(struct history *h)
{
	struct writer *w = &h->writer;
	struct shelf *shelf = &h->shelves[PLACE_MAIN];
	struct ack_round *acks = &w->acks;
	bool sync = acks->is_pending && acks->is_sync;

	if (w->row_n[PLACE_MAIN] == 0 && !acks->is_pending)
		return 0;
	for (size_t i = 0; i < w->row_n[PLACE_MAIN]; i++)
		sync |= w->rows[PLACE_MAIN][i]->durability == DURABILITY_SYNC;
	if (acks->is_pending)
		shelf->engine->ack.stage(shelf->store, acks->staged, acks->n);
	dedup_stage(h, PLACE_MAIN);
	uint64_t start_us = clock_mono_us();
	int rc = shelf->engine->ops.append(shelf->store, w->rows[PLACE_MAIN], w->row_n[PLACE_MAIN],
					   sync);
	round_note_store(h, rc);
	/* what one append may have caused is no reason to refuse positions: they go with the next
	 */
	if (acks->is_pending && !is_specific(rc)) {
		acks->is_pending = false;
		acks->error = rc;
	}
	if (rc != 0)
		return rc;
	w->trim_debt += w->row_n[PLACE_MAIN];
	w->may_trim = true;
	if (w->counters != NULL) {
		histogram_add(w->counters, HISTOGRAM_COMMIT, clock_mono_us() - start_us);
		count_inc(w->counters, COUNTER_COMMITS);
	}
	return 0;
}

bool append_has_main(const struct history *h, const struct append *a)
{
	for (size_t i = 0; i < a->n; i++) {
		if (a->messages[i]->durability != DURABILITY_EPHEMERAL &&
		    history_place(h, a->messages[i]->durability) == PLACE_MAIN)
			return true;
	}
	return false;
}

static void number_range(struct history *h, size_t from, size_t to)
{
	struct writer *w = &h->writer;

	heads_forget(w);
	dedup_reset(&w->dedup);
	w->row_n[PLACE_MAIN] = w->row_n[PLACE_SIDE] = 0;
	for (size_t i = from; i < to; i++)
		number_append(h, w->round[i]);
}

/* The commit failed: so does every append with something in it, and what rested on those is judged
 * anew. What they had for memory goes, too. */
static void fail_range(struct history *h, size_t from, size_t to, int error)
{
	h->writer.main_error = error;
	number_range(h, from, to);
	h->writer.main_error = 0;
}

static void commit_side(struct history *h)
{
	struct writer *w = &h->writer;
	struct shelf *shelf = &h->shelves[PLACE_SIDE];

	if (w->row_n[PLACE_SIDE] == 0)
		return;
	dedup_stage(h, PLACE_SIDE);
	int rc = shelf->engine->ops.append(shelf->store, w->rows[PLACE_SIDE], w->row_n[PLACE_SIDE],
					   false);
	assert(rc == 0); /* memory aborts rather than fails */
	w->may_trim = true;
}

static void commit_range(struct history *h, size_t from, size_t to)
{
	number_range(h, from, to);
	int rc = commit_main(h);
	if (rc != 0 && is_specific(rc) && to - from > 1) {
		for (size_t i = from; i < to; i++)
			commit_range(h, i, i + 1);
		return;
	}
	if (rc != 0)
		fail_range(h, from, to, rc);
	commit_side(h);
}

/* Every append of the round failed for a reason of its own. */
static void commit_rest_of_acks(struct history *h)
{
	struct writer *w = &h->writer;

	if (!w->acks.is_pending)
		return;
	w->row_n[PLACE_MAIN] = 0;
	w->acks.error = commit_main(h);
}

/* --- announce -------------------------------------------------------------------------------- */

static void count_outcomes(const struct writer *w)
{
	for (size_t i = 0; w->counters != NULL && i < w->round_n; i++) {
		const struct append *a = w->round[i];

		if (a->error != 0 || a->outcome == APPEND_STORED)
			continue;
		count_inc(w->counters, a->outcome == APPEND_DUPLICATE ? COUNTER_PUBLISH_DUPLICATE
								      : COUNTER_PUBLISH_CONFLICT);
	}
}

static void announce(struct history *h)
{
	struct writer *w = &h->writer;
	struct batch *b = announce_batch(w->round, w->round_n, w->counters);

	count_outcomes(w);
	if (b->head == 0)
		b->head = atomic_load(&h->head);
	/* Before any letter: who has seen a message of this batch finds it at or below the head. A
	 * batch of nothing does not reach every worker. */
	if (b->n > 0)
		atomic_store(&h->head, b->head);
	ack_round_tell(h, b);
	atomic_store(&h->is_announcing, true);
	announce_post(h, b, w->round, w->round_n);
	atomic_store(&h->is_announcing, false);
}

static void wait_for_workers(struct history *h)
{
	for (size_t i = 0; i < h->worker_n; i++) {
		while (!atomic_load(&h->is_closing) &&
		       mailbox_count(h->workers[i]) > h->cfg.worker_lag)
			mailbox_wait_below(h->workers[i], h->cfg.worker_lag, LAG_RECHECK_MS);
	}
}

void round_run(struct history *h)
{
	struct writer *w = &h->writer;
	int64_t now_ms = clock_wall_ms();

	if (now_ms > w->ts_ms)
		w->ts_ms = now_ms;
	round_take(h);
	bool has_acks = ack_round_take(h);
	if (w->round_n == 0 && !has_acks)
		return;
	commit_range(h, 0, w->round_n);
	commit_rest_of_acks(h);
	heads_forget(w);
	dedup_reset(&w->dedup);
	announce(h);
	ack_round_answer(h);
	wait_for_workers(h);
}
