/* SPDX-License-Identifier: MIT */
/*
 * history: the log as workers see it. Asynchronous on both sides: an append goes out as a letter
 * and comes back numbered, in the batch it was committed with; a query goes out and comes back with
 * rows.
 *
 *   worker ──APPEND──▶ log thread: take all that waits, number it, commit once ──BATCH──▶ workers
 *   worker ──QUERY───▶ reader thread ──the same letter──▶ worker
 *
 * Rules that all else rests on:
 *  - one thread numbers; seq only grows, and is never used twice, restarts included;
 *  - a batch is announced only after it is as durable as it asked for; a failed commit answers its
 *    publishers with an error and nobody else hears of it. Ephemeral and memory-only messages do
 * not fail with the disk;
 *  - every worker gets every batch, in log order; batches of ephemeral messages alone, which have
 * no place in it, may come from any worker and stand anywhere between the others;
 *  - an append is all or none: its messages stand next to each other in one batch.
 *
 * Messages of namespaces with durability `memory` live in a memory engine beside the configured
 * one.
 */
#ifndef STORE_HISTORY_H
#define STORE_HISTORY_H

#include "base/id.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "base/message.h"
#include "base/namespace.h"
#include "base/problem.h"
#include "store/ack.h"
#include "store/store.h"
#include "store/terms.h"

struct counters;
struct history;

struct history_config {
	const char *engine;                 /* "sqlite" or "memory" */
	const char *path;                   /* the database file */
	bool adopt;                         /* store_config.adopt */
	struct namespace_table *namespaces; /* borrowed; the log takes references of its own */
	unsigned readers;                   /* reader threads, ≥ 1 */
	size_t append_queue_bytes;          /* more than this waiting: -EAGAIN */
	size_t query_queue;                 /* more queries than this waiting: -EAGAIN */
	size_t batch_messages;              /* at most this many messages in one commit */
	uint64_t key_window_ms; /* a publish is remembered by key or producer for so long */
	size_t key_memory;      /* … and so many of them in memory at most */
	unsigned worker_lag; /* batches a worker may be behind before the log thread waits for it */
	uint64_t ack_positions; /* positions of durable subscribers at most */
	uint64_t ack_expiry_ms; /* forget those that were not heard of for so long; 0: never */
};

/* --- appending ------------------------------------------------------------------------------- */

/* One publish of one or more messages, all or none. */
struct append {
	struct letter letter;         /* private */
	STAILQ_ENTRY(append) receipt; /* private: its place in the batch letter */
	struct mailbox *reply_to;     /* the worker's */
	/* Called on the worker when it came back; owns the append from then on (append_free). */
	void (*done)(struct append *);
	void *owner; /* the worker's; set to NULL when the owner died meanwhile */
	uint64_t born_us;
	bool is_counted;            /* the worker's, see broker/outbox.h */
	size_t bytes;               /* private */
	struct append_terms *terms; /* owned; NULL: none. See append_set_terms() */
	/* answer: 0, or a negative errno of the store (-ENOSPC, -EIO, …); with 0 the outcome. Of
	 * anything but APPEND_STORED the messages are not in the batch and have no number. */
	int error;
	enum append_outcome outcome;
	enum durability durability; /* of what is stored: the weakest of its messages */
	uint64_t first;             /* seq of its first message; 0: ephemeral, or no longer known */
	uint64_t stored_n;          /* messages */
	uint64_t told;
	size_t n;
	struct message *messages[]; /* given: drafts; back: sealed, numbered */
};

struct append *append_new(size_t n);
/* Give it terms (copied). */
void append_set_terms(struct append *a, const struct append_terms *terms);
/* Drops the references on the messages. */
void append_free(struct append *a);

/* Committed together; shared by all workers, immutable. */
struct batch {
	atomic_uint refs;
	uint64_t head; /* newest seq given out up to this batch; 0: it says nothing of the log */
	struct batch_ack *acks; /* positions that moved; one piece of memory with their names */
	size_t ack_n;
	size_t n;
	struct message *messages[];
};
struct batch *batch_unref(struct batch *b);

struct batch_letter {
	struct letter letter;
	struct mailbox *to;             /* private */
	struct batch *batch;            /* may hold 0 messages when all that is in it failed */
	STAILQ_HEAD(, append) receipts; /* this worker's appends, answered */
};
/* Drops the batch; receipts must have been taken out. */
void batch_letter_free(struct batch_letter *l);

/* --- reading --------------------------------------------------------------------------------- */

struct query_range {
	struct store_range range; /* range.channel points to name */
	bool is_answered;         /* private */
	char name[256];           /* of a prefix with its `*` */
};

struct query {
	struct letter letter; /* private */
	struct mailbox *reply_to;
	void (*done)(struct query *); /* on the worker; owns the query from then on (query_free) */
	void *owner;
	uint64_t upto;
	size_t row_max;
	size_t byte_max;
	size_t scan_max;
	/* answers */
	int error;
	uint64_t reached;
	size_t row_n;
	struct message **rows; /* sealed, rising seq; one reference each, owned by the query */
	size_t row_room;       /* private */
	size_t range_n;
	struct query_range ranges[];
};

struct query *query_new(size_t range_n);
/* Range i reads this channel, or the channels of this pattern (copied). The start is set in
 * ranges[i].range. */
void query_set_channel(struct query *q, size_t i, struct slice channel);
/* The channel or pattern as it was set. */
static inline struct slice query_range_text(const struct query_range *r)
{
	return slice_make(r->name, r->range.channel.n + r->range.is_prefix);
}
void query_free(struct query *q);

/* --- tasks for operators --------------------------------------------------------------------- */

enum store_task_kind {
	TASK_CHANNELS,
	TASK_CHANNEL,
	TASK_PURGE,
	TASK_BACKUP,
	TASK_ACKS,
	TASK_FORGET
};

struct channel_row {
	char *name;
	struct channel_info info;
};

struct store_task {
	struct letter letter; /* private */
	enum store_task_kind kind;
	struct mailbox *reply_to;
	void (*done)(struct store_task *);
	void *owner;
	char *text;  /* CHANNELS: prefix; CHANNEL, PURGE: name; BACKUP: path; ACKS, FORGET: the
			subscriber ("" all). Freed with the task. */
	char *after; /* CHANNELS: start after this name; ACKS: after this subscriber. Freed with the
			task; may be NULL. */
	char *channel;       /* ACKS, FORGET: of this one only; NULL: all. Freed with the task. */
	char *after_channel; /* ACKS. Freed with the task; may be NULL. */
	size_t max;          /* CHANNELS, ACKS */
	size_t lag_max;      /* ACKS */
	/* answers */
	int error; /* -ECANCELED: PURGE or BACKUP given up because the log is being closed */
	struct problem problem; /* BACKUP */
	struct channel_info info;
	uint64_t removed;
	struct ack_row *acks;     /* ACKS; row_n of them */
	struct channel_row *rows; /* CHANNELS: of both engines, in byte order */
	size_t row_n;
};

struct store_task *store_task_new(enum store_task_kind kind, struct slice text);
void store_task_free(struct store_task *t);

/* --- life ------------------------------------------------------------------------------------ */

/* Open the engines. On failure nothing was touched and problem says why and what to do. Thread:
 * main. */
int history_open(const struct history_config *cfg, struct history **ret, struct problem *problem);
/* Before history_start: this worker gets every batch. */
void history_add_worker(struct history *h, struct mailbox *worker);
/* Start the log thread and the readers. */
int history_start(struct history *h);
/* Stop all threads (what waits is still committed and announced), checkpoint, close. Thread: main.
 * The workers' mailboxes must outlive this call, and it may leave letters in them. */
void history_close(struct history *h);

/* Any thread. */
const struct epoch *history_epoch(const struct history *h);
/* The newest seq given out before the first batch: where the workers' heads start. Valid after
 * history_open. */
uint64_t history_start_head(const struct history *h);
/* The newest seq announced, or about to be, to any worker: a cursor beyond it was never given out.
 * Any thread. */
uint64_t history_head(const struct history *h);
/* Does the store take appends? 0, or the negative errno it failed with last. Any thread. */
int history_health(const struct history *h);
/* Use these options from now on (durability of existing names may not change). Any thread. Takes
 * over the caller's reference. */
void history_set_namespaces(struct history *h, struct namespace_table *t);

/* Worker threads. Takes the letter on 0; -EAGAIN when the queue is full (it stays the caller's). */
MUST_CHECK int history_append(struct history *h, struct append *a);
/* The same in two steps: have each admitted, then post n > 0 of them, linked by their letters. */
MUST_CHECK int history_admit(struct history *h, struct append *a);
void history_append_all(struct history *h, struct letter_list *appends, size_t n);
/* May it leave by history_announce(): all of it is ephemeral, what any worker was sent by the log
 * thread all were sent, and none is too far behind. */
bool history_takes_short_way(const struct history *h, const struct append *a);
/* Takes such appends and sends them to all workers, past the log. counters: the calling worker's.
 */
void history_announce(struct history *h, struct append *const *appends, size_t n,
		      struct counters *counters);
MUST_CHECK int history_query(struct history *h, struct query *q);
MUST_CHECK int history_task(struct history *h, struct store_task *t);

#endif
