/* SPDX-License-Identifier: MIT */
/*
 * sqlite_engine: what the files of the SQLite engine share, and what its tests look into.
 *
 *   sqlite.c             open, close, append: the table of functions
 *   sqlite_connection.c  connections, cached statements, errors
 *   sqlite_schema.c      the schema and its versions; making a new database
 *   sqlite_check.c       is this file ours, whole and free? Asked before anything is touched
 *   sqlite_incarnation.c is it the database that ran here last, or an older copy?
 *   sqlite_channel.c     the writer's cache of channel rows
 *   sqlite_trim.c        retention and purge
 *   sqlite_dedup.c       remembered publishes
 *   sqlite_expire.c      messages whose ttl is over
 *   sqlite_read.c        range reads
 *   sqlite_prefix.c      range reads over all channels with a prefix
 *   sqlite_admin.c       listing and backup
 *   sqlite_ack.c         positions of durable subscribers
 *   sqlite_wal.c         the writes of a transaction gathered
 *   sqlite_checkpoint.c  the thread that moves the write-ahead log into the database
 */
#ifndef STORE_SQLITE_ENGINE_H
#define STORE_SQLITE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "store/merge.h"
#include "store/sqlite_connection.h"
#include "store/store.h"

/* --- checkpoints ----------------------------------------------------------------------------- */

struct checkpointer {
	pthread_t thread;
	bool is_running;
	pthread_mutex_t lock; /* guards wanted and stop */
	pthread_cond_t wake;
	bool wanted;
	bool stop;
	atomic_bool is_busy;
	atomic_int moved; /* frames of the -wal file that are in the database after the last pass */
	struct connection c;
};

int checkpointer_start(struct checkpointer *k, const char *path);
void checkpointer_stop(struct checkpointer *k);
/* Ask for a pass; returns at once. */
void checkpointer_kick(struct checkpointer *k);

/* --- the writer ------------------------------------------------------------------------------ */

#define SQLITE_STORE_MAGIC  0x53514c31u
#define SQLITE_READER_MAGIC 0x53514c32u

/* message.kind of one that expired: its content is gone, the row is the place where it stood. */
#define SQLITE_KIND_MARKER (-1)

/* One cached channel row. */
struct sql_channel {
	UT_hash_handle hh;
	TAILQ_ENTRY(sql_channel) in_lru;      /* all; see channels_evict() */
	TAILQ_ENTRY(sql_channel) in_over;     /* holds more messages than its namespace allows */
	STAILQ_ENTRY(sql_channel) in_touched; /* changed by the transaction that is open */
	bool is_used;                         /* since the walk of channels_evict() came by */
	bool is_over;
	bool is_touched;
	bool is_due_changed;
	bool is_floor_changed;
	size_t ns; /* index into the namespace table */
	struct channel_state row;
	/* what sqlite_trim.c collected for it in this step */
	uint64_t cut_upto;
	uint64_t cut_n;
	uint64_t cut_bytes;
	uint8_t name_n;
	char name[];
};
TAILQ_HEAD(sql_channel_list, sql_channel);
STAILQ_HEAD(sql_touched_list, sql_channel);

struct sql_namespace {
	uint64_t bytes; /* payload bytes of the channels that the sweep has seen */
	uint64_t walk;  /* no message of the namespace has a smaller seq */
};

struct store {
	unsigned magic;
	char *path;
	int lock_fd;
	struct connection c;
	bool is_full_sync; /* PRAGMA synchronous now */
	bool in_transaction;
	bool is_held;   /* the connection goes on reading between transactions */
	int held_since; /* frames in the file then */
	const struct namespace_table *namespaces;
	const atomic_bool *cancel;
	enum lineage lineage;
	int mark_fd; /* the file of sqlite_incarnation.c; -1: none */
	int64_t mark_at;

	struct sql_channel *channels; /* map by name */
	struct sql_channel_list lru;
	struct sql_channel_list over;
	struct sql_touched_list touched;
	size_t channel_n;
	int64_t last_id; /* newest id of a channel that was written */
	int64_t next_id; /* newest id handed out */

	struct sql_namespace *ns; /* one per entry of namespaces */
	int64_t sweep_id;         /* channels up to this id have been looked at; INT64_MAX: all */
	int64_t quiet_until_ms;   /* before it nothing is too old, expired or to be forgotten */

	struct store_ack *const *acks; /* staged for the next append */
	size_t ack_n;
	int64_t ack_rows; /* in the table; -1: not known */
	uint64_t ack_max;
	const struct dedup_record *staged; /* for the next append; borrowed */
	size_t staged_n;

	struct checkpointer checkpointer;
	int wal_frames; /* in the file after our last commit */
	int wal_try_at; /* try to have the file started again when it has so many */
	bool is_idle;   /* nothing was committed since the last look at the sizes */
};

/* Begin a write transaction unless one is open. */
int store_begin(struct store *s, bool sync);
/* Commit when rc is 0, else roll back and forget everything cached. Returns rc, or the commit's
 * error. */
int store_end(struct store *s, int rc);

/* The channel, from cache or disk; made in memory when there is none (row.id 0). */
int row_get(struct store *s, struct slice name, struct sql_channel **ret);
/* The channel whose row the statement stands on; NULL when the row is none of ours. */
struct sql_channel *channel_adopt(struct store *s, sqlite3_stmt *stmt);
void channel_touch(struct store *s, struct sql_channel *c);
/* Write the touched rows. */
int channels_write(struct store *s);
/* The channel's share of its namespace changed. */
void channel_account(struct store *s, struct sql_channel *c, uint64_t added, uint64_t removed);
/* Put it on the over list or take it off, and set when it is due next. */
void channel_refresh(struct store *s, struct sql_channel *c);
/* Keep the cache within its bound. Outside transactions. */
void channels_evict(struct store *s);
/* Something was written whose time comes then; 0: never. */
void store_note_due(struct store *s, int64_t due_ms);
/* Forget the cache and start retention's sweep anew: after a rollback, and with new options. */
void channels_forget(struct store *s);

int sqlite_find_key(struct store *s, struct slice channel, struct slice key, struct dedup_row *ret);
int sqlite_find_producer(struct store *s, struct slice producer, struct dedup_row *ret);
void sqlite_stage(struct store *s, const struct dedup_record *records, size_t n);
/* Write what was staged, in the transaction that is open. */
int dedup_write(struct store *s);
/* Forget at most max keys and max producers that have expired; set *ret_more when there may be
 * others. */
int dedup_forget(struct store *s, int64_t now_ms, size_t max, bool *ret_more);

/* Take the content of at most max messages that have expired. *ret_n: how many. */
int sqlite_expire(struct store *s, int64_t now_ms, size_t max, size_t *ret_n);

int sqlite_trim(struct store *s, int64_t now_ms, size_t row_max, size_t *ret_n);
int sqlite_purge(struct store *s, struct slice channel, uint64_t upto, size_t row_max,
		 uint64_t *ret_n);

/* --- incarnations ---------------------------------------------------------------------------- */

/* At open, before anything is published: find s->lineage, and give the log a new epoch when it
 * is broken. Return 0 or negative errno. */
int incarnation_take(struct store *s, bool adopt);
/* Messages up to this one are committed. */
void incarnation_mark(struct store *s, uint64_t seq);
void sqlite_ack_stage(struct store *s, struct store_ack *const *acks, size_t n);
/* Write what is staged. Inside a transaction. */
int acks_write(struct store *s);
int sqlite_ack_forget(struct store *s, const struct store_ack *acks, size_t n);
int sqlite_ack_scan(struct store *s, const struct store_ack_range *range, store_ack_fn *row,
		    void *arg);
int sqlite_ack_standing(struct store *s, struct slice channel, struct channel_info *ret);

/* --- readers --------------------------------------------------------------------------------- */

#define SEQS_MAX 32

/* One channel of a range read: its next few seqs, from the index. */
struct sql_cursor {
	struct merge_cursor at; /* seqs[i] */
	struct slice channel;
	int64_t id;
	size_t i;
	size_t n;
	bool is_last; /* nothing follows seqs[n - 1] */
	uint64_t seqs[SEQS_MAX];
};

struct sql_prefixes;

struct store_reader {
	unsigned magic;
	struct store *s;
	struct connection c;
	struct sql_cursor *cursors;
	size_t cursor_room;
	size_t look_ahead; /* seqs to take from the index at a time */
	struct merge merge;
	struct sql_prefixes *prefixes; /* made by the first read that needs it */
	uint64_t limit;                /* of this read: rows beyond it were not looked for */
};

/* Take the seqs after `after` from the index. Return 1 when there are any, 0 or negative errno. */
int cursor_fill(struct store_reader *r, struct sql_cursor *cur, uint64_t after, uint64_t upto);

int sqlite_reader_open(struct store *s, struct store_reader **ret);
void sqlite_reader_close(struct store_reader *r);
int sqlite_read(struct store_reader *r, struct store_read *q, store_row_fn *row, void *arg);
int sqlite_channels(struct store_reader *r, struct slice prefix, struct slice after, size_t max,
		    void (*row)(void *arg, struct slice name, const struct channel_info *),
		    void *arg);
int sqlite_channel(struct store_reader *r, struct slice channel, struct channel_info *ret);
int sqlite_backup(struct store_reader *r, const char *path, struct problem *problem);
/* Read the channel's row and describe it; zeroes when there is none. */
int channel_describe(struct connection *c, struct slice name, struct channel_info *ret);
int sqlite_ack_list(struct store_reader *r, const struct store_ack_range *range, store_ack_fn *row,
		    void *arg);
int sqlite_ack_behind(struct store_reader *r, struct slice channel, uint64_t after, size_t max,
		      uint64_t *ret_n);

#endif
