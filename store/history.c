/* SPDX-License-Identifier: MIT */
/*
 * history: the face of the log: makes the letters, posts them, starts and stops the threads behind.
 *
 * DESIGN: the log thread (writer.c) and the reader threads (reader.c) do the work; this file owns
 * what they share and decides nothing. Two stores: the configured one, and a memory engine beside
 * it for namespaces that are kept in memory only; the memory engine starts at the number after
 * everything that may have been given out before, so that whoever comes back to such a channel is
 * told of a gap.
 *
 * Life: history_open → history_add_worker … → history_start → … → history_close. Closing ends the
 * log thread first (it commits and announces what waits), then the readers, then the stores.
 */
#include "store/history.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/pattern.h"
#include "base/xalloc.h"
#include "store/history_internal.h"

/* --- letters --------------------------------------------------------------------------------- */

struct append *append_new(size_t n)
{
	struct append *a = xcalloc(1, sizeof(*a) + n * sizeof(a->messages[0]));

	a->letter.kind = LETTER_APPEND;
	a->n = n;
	return a;
}

void append_set_terms(struct append *a, const struct append_terms *terms)
{
	struct append_terms *t = xcalloc(1, sizeof(*t) + terms->key.n + terms->producer.n);
	char *bytes = (char *)(t + 1);

	*t = *terms;
	if (terms->key.n > 0)
		memcpy(bytes, terms->key.p, terms->key.n);
	t->key.p = bytes;
	bytes += terms->key.n;
	if (terms->producer.n > 0)
		memcpy(bytes, terms->producer.p, terms->producer.n);
	t->producer.p = bytes;
	free(a->terms);
	a->terms = t;
}

void append_free(struct append *a)
{
	if (a == NULL)
		return;
	free(a->terms);
	for (size_t i = 0; i < a->n; i++)
		message_unref(a->messages[i]);
	free(a);
}

struct batch *batch_unref(struct batch *b)
{
	if (b == NULL || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return NULL;
	for (size_t i = 0; i < b->n; i++)
		message_unref(b->messages[i]);
	free(b->acks);
	free(b);
	return NULL;
}

void batch_letter_free(struct batch_letter *l)
{
	if (l == NULL)
		return;
	assert(STAILQ_EMPTY(&l->receipts));
	batch_unref(l->batch);
	free(l);
}

struct query *query_new(size_t range_n)
{
	struct query *q = xcalloc(1, sizeof(*q) + range_n * sizeof(q->ranges[0]));

	q->letter.kind = LETTER_QUERY;
	q->range_n = range_n;
	return q;
}

void query_set_channel(struct query *q, size_t i, struct slice channel)
{
	struct query_range *r = &q->ranges[i];

	assert(i < q->range_n && channel.n < sizeof(r->name));
	memcpy(r->name, channel.p, channel.n);
	r->range.is_prefix = pattern_is(channel);
	r->range.channel = slice_make(r->name, channel.n - r->range.is_prefix);
}

void query_free(struct query *q)
{
	if (q == NULL)
		return;
	for (size_t i = 0; i < q->row_n; i++)
		message_unref(q->rows[i]);
	for (size_t i = 0; i < q->range_n; i++)
		free(q->ranges[i].range.losses);
	free(q->rows);
	free(q);
}

struct store_task *store_task_new(enum store_task_kind kind, struct slice text)
{
	struct store_task *t = xcalloc(1, sizeof(*t));

	t->letter.kind = LETTER_TASK;
	t->kind = kind;
	t->text = xstrndup(text.p ? text.p : "", text.n);
	return t;
}

void store_task_free(struct store_task *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; t->rows && i < t->row_n; i++)
		free(t->rows[i].name);
	for (size_t i = 0; t->acks && i < t->row_n; i++) {
		free(t->acks[i].subscriber);
		free(t->acks[i].channel);
	}
	free(t->acks);
	free(t->channel);
	free(t->after_channel);
	free(t->rows);
	free(t->text);
	free(t->after);
	free(t);
}

/* --- opening --------------------------------------------------------------------------------- */

enum place history_place(const struct history *h, enum durability d)
{
	return d == DURABILITY_MEMORY && h->shelves[PLACE_SIDE].store ? PLACE_SIDE : PLACE_MAIN;
}

static int open_shelf(struct history *h, enum place place, const char *name, uint64_t first_seq,
		      struct problem *problem)
{
	struct shelf *shelf = &h->shelves[place];
	struct store_config cfg = {
		.path = h->cfg.path,
		.namespaces = h->writer.namespaces,
		.first_seq = first_seq,
		.create = true,
		.adopt = h->cfg.adopt,
		.dedup_max = h->cfg.key_memory,
		.cancel = &h->is_closing,
		.ack_max = h->cfg.ack_positions,
	};

	shelf->engine = store_engine_find(name);
	if (shelf->engine == NULL)
		return problem_set(problem, -EINVAL,
				   "There is no store engine \"%s\"; use \"%s\" or \"%s\".", name,
				   store_engine_names()[0], store_engine_names()[1]);
	return shelf->engine->ops.open(&cfg, &shelf->store, problem);
}

/* What an operator must know: clients that come back are told of a gap. */
static void tell_lineage(const struct history *h, enum lineage l)
{
	static const char *const texts[] = {
		[LINEAGE_BACKUP] = "it is a backup that has not run yet",
		[LINEAGE_REPLACED] = "it is not the database that ran here last; another copy was "
				     "put in its place",
		[LINEAGE_OLDER] = "it is older than what ran here last; a copy was put back",
		[LINEAGE_ALONE] = "no .incarnation file is beside it, so it was restored or came "
				  "from elsewhere (store.adopt = yes keeps the epoch)",
	};

	if (l == LINEAGE_ADOPTED)
		log_info("log_adopted", "database=%s epoch=%s", log_value(h->cfg.path),
			 h->epoch.text);
	else if (lineage_is_broken(l))
		log_warn("new_epoch", "database=%s epoch=%s reason=%s", log_value(h->cfg.path),
			 h->epoch.text, log_value(texts[l]));
}

static int open_shelves(struct history *h, struct problem *problem)
{
	struct shelf *shelf = &h->shelves[PLACE_MAIN];
	struct store_origin origin;

	int rc = open_shelf(h, PLACE_MAIN, h->cfg.engine, 1, problem);
	if (rc != 0)
		return rc;
	rc = shelf->engine->origin(shelf->store, &origin);
	if (rc != 0)
		return problem_set(problem, rc, "The log cannot be read: %s. Restore a backup.",
				   strerror(-rc));
	h->epoch = origin.epoch;
	tell_lineage(h, origin.lineage);
	h->start_head = origin.top > origin.reserved ? origin.top : origin.reserved;
	atomic_init(&h->head, h->start_head);
	h->writer.seq = h->start_head;
	h->writer.reserved = origin.reserved;
	h->writer.ts_ms = origin.top_ts_ms;
	/* nothing can be lost from a main engine that is memory itself: its epoch is new */
	if (strcmp(shelf->engine->ops.name, "memory") == 0)
		return 0;
	return open_shelf(h, PLACE_SIDE, "memory", h->start_head + 1, problem);
}

static void set_up_threads(struct history *h)
{
	mailbox_init(&h->log_box);
	h->reader_n = (h->cfg.readers ? h->cfg.readers : 1) + 1;
	h->readers = xcalloc(h->reader_n, sizeof(*h->readers));
	for (size_t i = 0; i < h->reader_n; i++) {
		mailbox_init(&h->readers[i].box);
		h->readers[i].h = h;
		h->readers[i].namespaces = namespace_table_ref(h->cfg.namespaces);
	}
}

static void close_shelves(struct history *h)
{
	for (int i = 0; i < PLACE_COUNT; i++) {
		if (h->shelves[i].store != NULL)
			h->shelves[i].engine->ops.close(h->shelves[i].store);
	}
}

static void history_free(struct history *h)
{
	struct writer *w = &h->writer;

	close_shelves(h);
	namespace_table_unref(w->namespaces);
	free(w->round);
	free(w->rows[PLACE_MAIN]);
	free(w->rows[PLACE_SIDE]);
	free(w->head_pool);
	dedup_fini(&w->dedup);
	ack_round_fini(&w->acks);
	free(h->readers);
	free(h->workers);
	free((char *)h->cfg.engine);
	free((char *)h->cfg.path);
	free(h);
}

int history_open(const struct history_config *cfg, struct history **ret, struct problem *problem)
{
	struct history *h = xcalloc(1, sizeof(*h));

	h->cfg = *cfg;
	h->cfg.engine = xstrdup(cfg->engine);
	h->cfg.path = cfg->path ? xstrdup(cfg->path) : NULL;
	if (h->cfg.batch_messages == 0)
		h->cfg.batch_messages = 1;
	h->writer.namespaces = namespace_table_ref(cfg->namespaces);
	STAILQ_INIT(&h->writer.waiting);
	STAILQ_INIT(&h->writer.jobs);
	ack_round_init(&h->writer.acks);
	int rc = open_shelves(h, problem);
	if (rc != 0) {
		history_free(h);
		return rc;
	}
	set_up_threads(h);
	*ret = h;
	return 0;
}

void history_add_worker(struct history *h, struct mailbox *worker)
{
	assert(!h->is_started);
	h->workers = xrealloc(h->workers, (h->worker_n + 1) * sizeof(*h->workers));
	h->workers[h->worker_n++] = worker;
}

/* --- starting and stopping ------------------------------------------------------------------- */

static void post_stop(struct mailbox *mb)
{
	struct letter *l = xcalloc(1, sizeof(*l));

	l->kind = LETTER_STOP;
	mailbox_post(mb, l);
}

static void stop_readers(struct history *h, size_t n)
{
	for (size_t i = 0; i < n; i++)
		post_stop(&h->readers[i].box);
	for (size_t i = 0; i < n; i++)
		pthread_join(h->readers[i].thread, NULL);
}

static int start_thread(pthread_t *ret, void *(*body)(void *), void *arg, const char *name)
{
	sigset_t all, before;

	/* signals are the main thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(ret, NULL, body, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		pthread_setname_np(*ret, name);
	return -rc;
}

int history_start(struct history *h)
{
	size_t n = 0;
	int rc = 0;

	assert(!h->is_started);
	while (n < h->reader_n && rc == 0) {
		char name[16];
		snprintf(name, sizeof(name), "reader-%u", (unsigned)(n & 0xff));
		rc = start_thread(&h->readers[n].thread, reader_run, &h->readers[n],
				  n + 1 == h->reader_n ? "tasks" : name);
		if (rc == 0)
			n++;
	}
	if (rc == 0)
		rc = start_thread(&h->writer.thread, writer_run, h, "log");
	if (rc != 0) {
		stop_readers(h, n);
		return rc;
	}
	h->is_started = true;
	return 0;
}

void history_close(struct history *h)
{
	if (h == NULL)
		return;
	atomic_store(&h->is_closing, true);
	if (h->is_started) {
		post_stop(&h->log_box);
		pthread_join(h->writer.thread, NULL);
		stop_readers(h, h->reader_n);
	}
	writer_finish(h);
	mailbox_fini(&h->log_box);
	for (size_t i = 0; i < h->reader_n; i++) {
		reader_finish(&h->readers[i]);
		mailbox_fini(&h->readers[i].box);
		namespace_table_unref(h->readers[i].namespaces);
	}
	history_free(h);
}

/* --- asking ---------------------------------------------------------------------------------- */

const struct epoch *history_epoch(const struct history *h)
{
	return &h->epoch;
}

uint64_t history_start_head(const struct history *h)
{
	return h->start_head;
}

uint64_t history_head(const struct history *h)
{
	return atomic_load(&h->head);
}

int history_health(const struct history *h)
{
	return atomic_load(&h->health);
}

static void post_namespaces(struct mailbox *mb, struct namespace_table *t)
{
	struct namespaces_letter *nl = xcalloc(1, sizeof(*nl));

	nl->letter.kind = LETTER_CONFIG;
	nl->table = namespace_table_ref(t);
	mailbox_post(mb, &nl->letter);
}

void history_set_namespaces(struct history *h, struct namespace_table *t)
{
	post_namespaces(&h->log_box, t);
	for (size_t i = 0; i < h->reader_n; i++)
		post_namespaces(&h->readers[i].box, t);
	namespace_table_unref(t);
}

static size_t append_size(const struct append *a)
{
	size_t bytes = sizeof(*a);

	if (a->terms != NULL)
		bytes += sizeof(*a->terms) + a->terms->key.n + a->terms->producer.n;
	for (size_t i = 0; i < a->n; i++)
		bytes += message_size(a->messages[i]);
	return bytes;
}

int history_admit(struct history *h, struct append *a)
{
	assert(h->is_started);
	a->letter.kind = LETTER_APPEND;
	a->bytes = append_size(a);
	size_t before = atomic_fetch_add(&h->append_bytes, a->bytes);
	/* An append larger than the whole queue still gets through, alone. */
	if (before != 0 && before + a->bytes > h->cfg.append_queue_bytes) {
		atomic_fetch_sub(&h->append_bytes, a->bytes);
		return -EAGAIN;
	}
	return 0;
}

void history_append_all(struct history *h, struct letter_list *appends, size_t n)
{
	mailbox_post_all(&h->log_box, appends, n);
}

int history_append(struct history *h, struct append *a)
{
	int rc = history_admit(h, a);

	if (rc == 0)
		mailbox_post(&h->log_box, &a->letter);
	return rc;
}

/* The reader with the least to do. */
static struct reader *choose_reader(struct history *h)
{
	struct reader *best = &h->readers[0];

	for (size_t i = 1; i + 1 < h->reader_n; i++) {
		if (atomic_load(&h->readers[i].waiting) < atomic_load(&best->waiting))
			best = &h->readers[i];
	}
	return best;
}

int history_query(struct history *h, struct query *q)
{
	assert(h->is_started);
	q->letter.kind = LETTER_QUERY;
	if (atomic_fetch_add(&h->query_n, 1) >= h->cfg.query_queue) {
		atomic_fetch_sub(&h->query_n, 1);
		return -EAGAIN;
	}
	struct reader *r = choose_reader(h);
	atomic_fetch_add(&r->waiting, 1);
	mailbox_post(&r->box, &q->letter);
	return 0;
}

int history_task(struct history *h, struct store_task *t)
{
	assert(h->is_started);
	t->letter.kind = LETTER_TASK;
	if (t->kind == TASK_PURGE || t->kind == TASK_FORGET) {
		mailbox_post(&h->log_box, &t->letter);
		return 0;
	}
	struct reader *r = &h->readers[h->reader_n - 1];
	if (mailbox_count(&r->box) >= h->cfg.query_queue)
		return -EAGAIN;
	mailbox_post(&r->box, &t->letter);
	return 0;
}
