/* SPDX-License-Identifier: MIT */
/*
 * history_internal: what history.c, writer.c and reader.c share. Nobody else includes it.
 *
 *   who            touches
 *   any thread     the atomics, and the mailboxes of the log thread and the readers (mailbox_post)
 *   main           everything, before history_start() and after the threads were joined
 *   log thread     struct writer, both stores
 *   reader i       struct reader i
 */
#ifndef STORE_HISTORY_INTERNAL_H
#define STORE_HISTORY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/counters.h"
#include "base/map.h"
#include "store/dedup.h"
#include "store/history.h"

struct shelf {
	const struct store_engine *engine;
	struct store *store; /* NULL: absent */
};

/* LETTER_CONFIG to the log thread and to each reader. */
struct namespaces_letter {
	struct letter letter;
	struct namespace_table *table; /* a reference */
};

/* The newest seq of a channel that got messages in the round that is being numbered. */
struct round_head {
	UT_hash_handle hh;
	bool is_known[PLACE_COUNT];
	uint64_t seq[PLACE_COUNT];
};

/* Acknowledgements that wait, and those of the round that is being made (ack.c). */
struct ack_slot;
struct ack_sweep;
struct ack_round {
	struct letter_list waiting;
	struct letter_list taken;
	struct ack_slot *slots;    /* map by subscriber and channel */
	struct store_ack **staged; /* the same, in the order of coming */
	size_t n;
	size_t room;
	bool is_sync;
	bool is_pending; /* not yet committed, nor failed */
	int error;
	struct ack_sweep *sweep;
};

#define SWEEP_ROWS 64

struct sweep_row {
	uint64_t seq;
	int64_t ts_ms;
	bool is_passed;
	bool is_newly_passed;
	bool is_doomed;
	uint8_t subscriber_n;
	uint8_t channel_n;
	char subscriber[256];
	char channel[256];
};

/* The walk over all positions. */
struct ack_sweep {
	uint64_t at_ms; /* the next step */
	struct sweep_row after;
	size_t walked;
	unsigned share_max;
	size_t n;
	struct sweep_row rows[SWEEP_ROWS];
};

struct writer {
	pthread_t thread;
	struct counters *counters;
	struct namespace_table *namespaces; /* a reference; the stores borrow it */
	STAILQ_HEAD(, append) waiting;
	struct letter_list jobs; /* purges and the like, done step by step */
	struct ack_round acks;
	bool is_stopping;
	uint64_t seq;      /* newest given out */
	uint64_t reserved; /* recorded in the main store: may be given out */
	int64_t ts_ms;     /* newest given out */
	/* the round: rooms are reused */
	struct append **round;
	size_t round_n;
	size_t round_room;
	struct message **rows[PLACE_COUNT]; /* what goes to which store */
	size_t row_n[PLACE_COUNT];
	size_t row_room;
	struct round_head *heads; /* map by channel name; keys are in the messages */
	struct round_head *head_pool;
	size_t head_n;
	int main_error; /* not 0: the main store failed, nothing more goes into it this round */
	struct dedup dedup;
	/* housekeeping */
	bool may_trim;       /* something was appended, or the last step left something */
	size_t trim_debt;    /* messages appended since the last step */
	uint64_t trim_at_ms; /* look at ages again */
	uint64_t probe_at_ms;
	uint64_t sizes_at_ms;
};

struct reader {
	pthread_t thread;
	struct history *h;
	struct mailbox box;
	atomic_size_t waiting; /* queries in the box or being answered */
	struct counters *counters;
	struct namespace_table *namespaces;
	struct store_reader *handles[PLACE_COUNT];
	struct store_range *ranges[PLACE_COUNT]; /* room for a split query */
	size_t *origin[PLACE_COUNT];             /* which range of the query each came from */
	size_t range_room;
	bool is_stopping;
};

struct history {
	struct history_config cfg;
	struct shelf shelves[PLACE_COUNT];
	struct epoch epoch;
	uint64_t start_head;
	_Atomic uint64_t head;     /* newest seq announced */
	atomic_bool is_announcing; /* the log thread: some workers were sent a batch, not yet all */
	struct mailbox **workers;
	size_t worker_n;
	bool is_started;
	atomic_bool is_closing; /* do not wait for workers, give up backups */
	atomic_int health;
	atomic_size_t append_bytes;
	atomic_size_t query_n;
	struct mailbox log_box;
	struct writer writer;
	struct reader *readers; /* the last one is for tasks: a backup may take minutes */
	size_t reader_n;
};

/* Thread bodies; arg: struct history, struct reader. */
void *writer_run(void *arg);
void *reader_run(void *arg);
/* After the thread ended: do what came in too late for it. Thread: main. */
void writer_finish(struct history *h);
void reader_finish(struct reader *r);

/* One round: take what waits, number it, commit it, announce it. Thread: log. */
void round_run(struct history *h);
/* The batch of what went well, in order; its head is the newest seq in it, 0 when there is none.
 * counters: of the calling thread, may be NULL. Thread: log, workers. */
struct batch *announce_batch(struct append *const *appends, size_t n, struct counters *counters);
/* To all workers, with the receipts of these appends: they are not the caller's any more. Takes the
 * batch. */
void announce_post(struct history *h, struct batch *b, struct append *const *appends, size_t n);
/* The main store said rc: keep the health and its counters. Thread: log. */
void round_note_store(struct history *h, int rc);
/* The part of a round that is about positions. Thread: log. */
void ack_round_init(struct ack_round *r);
void ack_round_fini(struct ack_round *r);
/* True: there are changes to be committed. */
bool ack_round_take(struct history *h);
void ack_round_tell(struct history *h, struct batch *b);
void ack_round_answer(struct history *h);
/* Look after some of the positions, if it is time. */
void ack_sweep_step(struct history *h, uint64_t now);
uint64_t ack_sweep_at(const struct history *h);
/* TASK_FORGET. Return 1 when there is more to do, 0, or negative errno. */
int ack_forget_step(struct history *h, struct store_task *t);
/* Where are messages of this durability kept? Not for ephemeral ones. */
enum place history_place(const struct history *h, enum durability d);
/* Does it have something for the main store? */
bool append_has_main(const struct history *h, const struct append *a);

#endif
