/* SPDX-License-Identifier: MIT */
/* subject: see subject.h. */
#include "bench/store/subject.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/common.h"

/* What a returning client gets at a time: daemon/worker.c with the default replay_window_bytes. */
#define PAGE_ROWS  1000
#define PAGE_BYTES (64 * 1024 / 2)

/* --- what comes back ------------------------------------------------------------------------- */

static void on_append(struct append *a)
{
	struct subject *s = a->owner;

	if (a->error != 0 || a->outcome != APPEND_STORED)
		die("a publish was refused: %s", strerror(-a->error));
	durations_add(&s->acks, mono_ns() - a->born_us);
	s->in_flight--;
	s->answered++;
	append_free(a);
}

static void on_batch(struct subject *s, struct batch_letter *l)
{
	struct append *a;

	s->head = l->batch->head;
	while ((a = STAILQ_FIRST(&l->receipts)) != NULL) {
		STAILQ_REMOVE_HEAD(&l->receipts, receipt);
		a->done(a);
	}
	batch_letter_free(l);
}

static void on_query(struct query *q)
{
	((struct subject *)q->owner)->query = q;
}

/* Take what has come; sleep when there is nothing. */
static void take(struct subject *s)
{
	struct letter_list letters = STAILQ_HEAD_INITIALIZER(letters);
	struct letter *l;

	if (mailbox_take(&s->box, &letters) == 0) {
		mailbox_wait(&s->box, -1);
		mailbox_take(&s->box, &letters);
	}
	while ((l = STAILQ_FIRST(&letters)) != NULL) {
		STAILQ_REMOVE_HEAD(&letters, link);
		if (l->kind == LETTER_BATCH) {
			on_batch(s, container_of(l, struct batch_letter, letter));
		} else {
			struct query *q = container_of(l, struct query, letter);
			q->done(q);
		}
	}
}

/* --- life ------------------------------------------------------------------------------------ */

void subject_open(struct subject *s, const struct subject_config *cfg)
{
	struct problem problem = {""};

	*s = (struct subject){.cfg = *cfg};
	snprintf(s->path, sizeof(s->path), "%s/log.db", cfg->folder);
	s->payload = must_alloc(cfg->payload_n, 1);
	memset(s->payload, 'x', cfg->payload_n);
	s->namespaces = namespace_table_new(1);
	s->namespaces->ns[0].durability = cfg->durability;
	s->namespaces->ns[0].history_count = cfg->keep;
	s->namespaces->ns[0].history_age_ms = UINT64_C(7) * 86400 * 1000;
	struct history_config h = {
		.engine = "sqlite",
		.path = s->path,
		.namespaces = s->namespaces,
		.readers = 2,
		.append_queue_bytes = (size_t)64 << 20,
		.query_queue = 10000,
		.batch_messages = cfg->batch_messages,
		.key_window_ms = UINT64_C(86400) * 1000,
		.key_memory = 100000,
		.worker_lag = 1024,
		.ack_positions = 1000000,
		.ack_expiry_ms = UINT64_C(30) * 86400 * 1000,
	};
	mailbox_init(&s->box);
	if (history_open(&h, &s->history, &problem) != 0)
		die("%s", problem.text);
	history_add_worker(s->history, &s->box);
	s->head = history_start_head(s->history);
	if (history_start(s->history) != 0)
		die("the log's threads do not start");
}

void subject_close(struct subject *s)
{
	history_close(s->history);
	while (mailbox_count(&s->box) > 0)
		take(s);
	mailbox_fini(&s->box);
	namespace_table_unref(s->namespaces);
	free(s->payload);
}

/* --- publishing ------------------------------------------------------------------------------ */

static void publish(struct subject *s)
{
	struct append *a = append_new(1);
	char channel[32];

	int n = snprintf(channel, sizeof(channel), "bench%zu",
			 (size_t)(s->sent++ % s->cfg.channels));
	a->reply_to = &s->box;
	a->owner = s;
	a->done = on_append;
	a->messages[0] = message_new(&(struct message_spec){
		.channel = slice_make(channel, (size_t)n),
		.payload = slice_make(s->payload, s->cfg.payload_n),
		.kind = MESSAGE_TEXT,
		.durability = s->cfg.durability,
	});
	if (a->messages[0] == NULL)
		die("no memory");
	a->born_us = mono_ns(); /* the publisher's own; finer than what it is named for */
	if (history_append(s->history, a) != 0)
		die("the append queue is full");
	s->in_flight++;
}

static void drain(struct subject *s)
{
	while (s->in_flight > 0)
		take(s);
}

uint64_t subject_publish(struct subject *s, size_t window, double seconds)
{
	uint64_t before = s->answered;
	uint64_t end = mono_ns() + (uint64_t)(seconds * 1e9);

	while (mono_ns() < end) {
		while (s->in_flight < window)
			publish(s);
		take(s);
	}
	drain(s);
	return s->answered - before;
}

void subject_fill(struct subject *s, size_t window, uint64_t n)
{
	uint64_t end = s->sent + n;

	while (s->sent < end) {
		while (s->in_flight < window && s->sent < end)
			publish(s);
		take(s);
	}
	drain(s);
}

/* --- reading --------------------------------------------------------------------------------- */

void subject_replay(struct subject *s, size_t n)
{
	uint64_t after = 0;
	size_t rows = 0;

	while (rows < n) {
		struct query *q = query_new(1);
		q->reply_to = &s->box;
		q->owner = s;
		q->done = on_query;
		q->upto = s->head;
		q->row_max = PAGE_ROWS;
		q->byte_max = PAGE_BYTES;
		query_set_channel(q, 0, SLICE("bench0"));
		q->ranges[0].range.after = after;
		s->query = NULL;
		if (history_query(s->history, q) != 0)
			die("the query queue is full");
		while (s->query == NULL)
			take(s);
		if (q->error != 0 || q->row_n == 0)
			die("replay: %s", q->error ? strerror(-q->error) : "rows are missing");
		rows += q->row_n;
		after = q->rows[q->row_n - 1]->seq;
		query_free(q);
	}
	if (rows != n)
		die("replay: %zu rows instead of %zu", rows, n);
}

unsigned subject_wal_restarts(const struct subject *s)
{
	char name[sizeof(s->path) + 4];
	uint32_t head[4];

	snprintf(name, sizeof(name), "%s-wal", s->path);
	FILE *f = fopen(name, "rb");
	if (f == NULL)
		return 0;
	size_t n = fread(head, sizeof(head[0]), 4, f);
	fclose(f);
	return n == 4 ? be32toh(head[3]) : 0; /* its checkpoint sequence number */
}
