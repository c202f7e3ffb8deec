/* SPDX-License-Identifier: MIT */
/*
 * writer: the log thread. The only one that numbers, appends, trims and purges.
 *
 *   take all letters → one round (round.c) → one small step of housekeeping → again
 *
 * DESIGN: no timer decides when to commit: while one round is on its way to the disk the next one
 * gathers in the mailbox, so the slower the disk, the larger the round. Housekeeping never holds up
 * a publish for longer than one step: a purge step, or a trim step, whichever is due, sized so that
 * trimming keeps up with appending (STEP_ROWS more than was appended since the last step).
 *
 * After an error of the store it is probed every PROBE_MS with the smallest possible write, so that
 * it becomes healthy by itself, whether anybody publishes or not.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "store/history_internal.h"

#define STEP_ROWS      256
#define SIDE_STEP_ROWS 4096 /* memory is cheap to trim */
#define PROBE_MS       500
#define TRIM_MS        1000
#define SIZES_MS       1000

/* --- letters --------------------------------------------------------------------------------- */

static void use_namespaces(struct history *h, struct namespaces_letter *nl)
{
	struct writer *w = &h->writer;

	for (int i = 0; i < PLACE_COUNT; i++) {
		struct shelf *shelf = &h->shelves[i];
		if (shelf->store != NULL)
			shelf->engine->admin.set_namespaces(shelf->store, nl->table);
	}
	namespace_table_unref(w->namespaces);
	w->namespaces = nl->table;
	w->may_trim = true;
	free(nl);
}

static void on_letter(struct history *h, struct letter *l)
{
	struct writer *w = &h->writer;

	switch (l->kind) {
	case LETTER_APPEND: {
		struct append *a = container_of(l, struct append, letter);
		STAILQ_INSERT_TAIL(&w->waiting, a, receipt);
		break;
	}
	case LETTER_ACK:
		STAILQ_INSERT_TAIL(&w->acks.waiting, l, link);
		break;
	case LETTER_TASK:
		STAILQ_INSERT_TAIL(&w->jobs, l, link);
		break;
	case LETTER_CONFIG:
		use_namespaces(h, container_of(l, struct namespaces_letter, letter));
		break;
	case LETTER_STOP:
		w->is_stopping = true;
		free(l);
		break;
	default:
		assert(!"a letter for somebody else");
	}
}

static void take_letters(struct history *h, int timeout_ms)
{
	struct letter_list letters = STAILQ_HEAD_INITIALIZER(letters);
	struct letter *l;

	if (timeout_ms > 0)
		mailbox_wait(&h->log_box, timeout_ms);
	mailbox_take(&h->log_box, &letters);
	while ((l = STAILQ_FIRST(&letters)) != NULL) {
		STAILQ_REMOVE_HEAD(&letters, link);
		on_letter(h, l);
	}
	counters_set_global(COUNTER_APPEND_QUEUE, (int64_t)atomic_load(&h->append_bytes));
}

/* --- housekeeping ---------------------------------------------------------------------------- */

static struct store_task *first_job(struct history *h)
{
	return container_of(STAILQ_FIRST(&h->writer.jobs), struct store_task, letter);
}

static void job_done(struct history *h, struct store_task *t, int error)
{
	STAILQ_REMOVE_HEAD(&h->writer.jobs, link);
	t->error = error;
	mailbox_post(t->reply_to, &t->letter);
}

/* Remove some messages of a channel that is to be emptied, wherever they are. */
static void purge_step(struct history *h, struct store_task *t)
{
	int more = 0;

	/* up to what is there when its turn comes: publishers may go on meanwhile */
	if (t->info.head == 0)
		t->info.head = h->writer.seq;
	for (int i = 0; i < PLACE_COUNT && more == 0; i++) {
		struct shelf *shelf = &h->shelves[i];
		uint64_t n = 0;
		if (shelf->store == NULL)
			continue;
		more = shelf->engine->admin.purge(shelf->store, slice_str(t->text), t->info.head,
						  STEP_ROWS, &n);
		t->removed += n;
	}
	if (more <= 0)
		job_done(h, t, more);
}

static void job_step(struct history *h, struct store_task *t)
{
	if (t->kind == TASK_PURGE) {
		purge_step(h, t);
		return;
	}
	int more = ack_forget_step(h, t);
	if (more <= 0)
		job_done(h, t, more);
}

static void trim_step(struct history *h, uint64_t now)
{
	struct writer *w = &h->writer;
	size_t row_max[PLACE_COUNT] = {STEP_ROWS + w->trim_debt, SIDE_STEP_ROWS};
	bool more = false;

	for (int i = 0; i < PLACE_COUNT; i++) {
		struct shelf *shelf = &h->shelves[i];
		size_t n = 0;
		if (shelf->store == NULL)
			continue;
		int rc = shelf->engine->ops.trim(shelf->store, clock_wall_ms(), row_max[i], &n);
		count_add(w->counters, COUNTER_TRIMMED, (int64_t)n);
		/* publishing does not depend on it: the next try is in a second */
		if (rc < 0)
			log_warn("trim_failed", "error=%s", log_value(strerror(-rc)));
		more |= rc > 0;
	}
	w->trim_debt = 0;
	w->may_trim = more;
	w->trim_at_ms = now + TRIM_MS;
}

static void probe(struct history *h, uint64_t now)
{
	struct writer *w = &h->writer;
	struct shelf *shelf = &h->shelves[PLACE_MAIN];

	w->probe_at_ms = now + PROBE_MS;
	round_note_store(h, shelf->engine->reserve(shelf->store, w->reserved));
}

static void measure(struct history *h, uint64_t now)
{
	struct writer *w = &h->writer;
	struct shelf *shelf = &h->shelves[PLACE_MAIN];
	uint64_t db = 0, wal = 0;

	w->sizes_at_ms = now + SIZES_MS;
	shelf->engine->admin.sizes(shelf->store, &db, &wal);
	counters_set_global(COUNTER_DB_BYTES, (int64_t)db);
	counters_set_global(COUNTER_WAL_BYTES, (int64_t)wal);
}

static void housekeeping(struct history *h)
{
	struct writer *w = &h->writer;
	uint64_t now = clock_mono_ms();

	if (now >= w->sizes_at_ms)
		measure(h, now);
	if (!STAILQ_EMPTY(&w->jobs))
		job_step(h, first_job(h));
	else if (atomic_load(&h->health) != 0 && now >= w->probe_at_ms)
		probe(h, now);
	else if (atomic_load(&h->health) == 0 && (w->may_trim || now >= w->trim_at_ms))
		trim_step(h, now);
	if (atomic_load(&h->health) == 0)
		ack_sweep_step(h, now);
}

/* Publishes and acknowledgements that wait for a round. */
static bool has_work(const struct writer *w)
{
	return !STAILQ_EMPTY(&w->waiting) || !STAILQ_EMPTY(&w->acks.waiting);
}

/* How long may the thread sleep? */
static int sleep_ms(const struct history *h)
{
	const struct writer *w = &h->writer;
	bool is_healthy = atomic_load(&h->health) == 0;
	uint64_t now = clock_mono_ms();
	uint64_t then = w->sizes_at_ms;

	if (w->is_stopping || has_work(w) || !STAILQ_EMPTY(&w->jobs) || (w->may_trim && is_healthy))
		return 0;
	if (is_healthy && w->trim_at_ms < then)
		then = w->trim_at_ms;
	if (is_healthy && ack_sweep_at(h) < then)
		then = ack_sweep_at(h);
	if (!is_healthy && w->probe_at_ms < then)
		then = w->probe_at_ms;
	return then > now ? (int)(then - now) : 0;
}

/* --- the thread ------------------------------------------------------------------------------ */

void *writer_run(void *arg)
{
	struct history *h = arg;
	struct writer *w = &h->writer;

	w->counters = counters_new();
	counters_set_global(COUNTER_STORE_UP, 1);
	w->may_trim = true;
	while (!w->is_stopping || has_work(w)) {
		take_letters(h, sleep_ms(h));
		if (has_work(w))
			round_run(h);
		if (!w->is_stopping)
			housekeeping(h);
	}
	counters_free(w->counters);
	w->counters = NULL;
	return NULL;
}

void writer_finish(struct history *h)
{
	struct writer *w = &h->writer;
	struct shelf *shelf = &h->shelves[PLACE_MAIN];

	take_letters(h, 0);
	while (has_work(w))
		round_run(h);
	while (!STAILQ_EMPTY(&w->jobs))
		job_done(h, first_job(h), -ECANCELED);
	/* A clean end: the next start goes on where this one stopped. When it fails it only skips.
	 */
	if (w->seq < w->reserved && shelf->engine->reserve(shelf->store, w->seq) != 0)
		log_warn("reserve_failed", "seq=%llu", (unsigned long long)w->seq);
}
