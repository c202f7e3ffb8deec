/* SPDX-License-Identifier: MIT */
/*
 * fake_history: the log as the broker knows it (store/history.h), in memory, in one thread, moved
 * by hand. The test decides when the log thread commits, when a reader reads, when the answer is
 * posted, and when a worker opens its next letter. Linked instead of the store.
 *
 *   append ─▶ waiting ──fake_commit──▶ log, and a letter for every worker ──fake_deliver──▶ hub
 *   query  ─▶ waiting ──fake_read────▶ rows as of now ──fake_answer──▶ letter ──fake_deliver──▶ hub
 *
 * Kept from the real one: letters reach a worker in the order in which they were posted; a query's
 * answer is of the moment of reading; limits of a page and floor, oldest, head, after, reached as
 * store/store.h says; numbers of failed commits are skipped; a batch in which nothing succeeded
 * goes to its publishers' workers only, and history_head() does not know of it. Thread: one.
 */
#ifndef TESTS_UNIT_BROKER_FAKE_HISTORY_H
#define TESTS_UNIT_BROKER_FAKE_HISTORY_H

#include "base/map.h"
#include "broker/hub.h"
#include "store/history.h"

#define FAKE_WORKERS 2

/* Everything ever stored in a channel; the first `gone` of it were removed. */
struct fake_channel {
	UT_hash_handle hh;
	struct message **rows;
	size_t n, room, gone;
	uint64_t purged; /* up to here */
	char name[256];
};

struct fake_worker {
	struct mailbox mailbox; /* its address only */
	struct hub *hub;
	struct letter_list letters;
	size_t letter_n;
	const struct ack_letter *opening; /* while its done() is being called */
	/* Told when the hub has forgotten a purged channel's messages up to this one; may be NULL.
	 */
	void (*forgot)(struct fake_worker *w, const char *channel, uint64_t upto);
};

struct history {
	struct epoch epoch;
	uint64_t start_head;
	uint64_t seq;  /* newest number used */
	uint64_t head; /* newest announced */
	struct fake_channel *channels;
	STAILQ_HEAD(, append) appends; /* fake_waiting() of them */
	size_t append_n;               /* private */
	struct query *queries[64];     /* in the order of asking */
	bool is_read[64];
	size_t query_n;
	size_t query_room;      /* more than this waiting: -EAGAIN */
	size_t loss_max;        /* of a pattern are told so many losses, ≤ STORE_LOSS_MAX */
	int refuse_append;      /* history_append answers this */
	bool is_short_way_open; /* for ephemeral messages; else the test says when they leave, too
				 */
	/* Right after somebody looked at the head: the log thread goes on meanwhile. May be NULL.
	 */
	void (*after_a_look)(void);
	struct fake_worker workers[FAKE_WORKERS];
	size_t worker_n;
};

/* A log whose numbers begin after head. */
struct history *fake_history_new(uint64_t head, size_t workers);
/* The hubs are freed before. */
void fake_history_free(struct history *h);

/* --- the log thread ------------------------------------------------------------------------- */

/* Have all workers post what they published; return how many appends wait. */
size_t fake_waiting(struct history *h);
/* Commit the n oldest appends as one batch; error: the disk fails, only ephemeral ones succeed. */
void fake_commit(struct history *h, size_t n, int error);
/* Number and commit one message that nobody waits for. Return its seq. */
uint64_t fake_publish(struct history *h, const char *channel, enum durability d, const char *text);
/* Remove all but the newest `keep` of a channel. */
void fake_trim(struct history *h, const char *channel, size_t keep);
/* Remove what is older than this. */
void fake_trim_age(struct history *h, const char *channel, int64_t oldest_ms);
/* Empty the channel; workers are told later. */
void fake_purge(struct history *h, const char *channel);
/* Post to a worker that the channel was purged. */
void fake_tell_purged(struct history *h, struct fake_worker *w, const char *channel);

/* Post a letter of another part of the log to the worker whose mailbox this is. */
void fake_post(struct history *h, struct mailbox *to, struct letter *l);
/* Tell every worker of positions that moved (copied). */
void fake_tell_acks(struct history *h, const struct batch_ack *acks, size_t n);

/* --- the readers ---------------------------------------------------------------------------- */

/* Read for query i of those that wait, now. */
void fake_read(struct history *h, size_t i);
/* Post the answer of query i; read now, unless it was read before. error: the read failed. */
void fake_answer(struct history *h, size_t i, int error);

/* --- the workers ---------------------------------------------------------------------------- */

/* Open the worker's next letter; false when there is none. */
bool fake_deliver(struct fake_worker *w);
/* Commit, answer and deliver until nothing waits. */
void fake_settle(struct history *h);

/* --- what is in the log --------------------------------------------------------------------- */

/* NULL when nothing was ever stored there. */
struct fake_channel *fake_channel_find(struct history *h, const char *name);
/* Index of the first row with seq > after. */
size_t fake_channel_after(const struct fake_channel *c, uint64_t after);
/* Highest seq that was removed; 0: none. */
uint64_t fake_channel_floor(const struct fake_channel *c);

#endif
