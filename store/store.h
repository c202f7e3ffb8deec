/* SPDX-License-Identifier: MIT */
/*
 * store: where the log lives. An engine is one file with one `const struct store_ops`; it is
 * synchronous and may block; it is called by store threads only and never calls back into the
 * broker. The asynchronous face exists once, above the engines: store/history.h.
 *
 * An engine is one writer (struct store, used by the log thread) and any number of readers
 * (struct store_reader, each used by one reader thread, concurrently with the writer).
 * A reader sees only committed batches, and each of them whole.
 *
 * A message that has expired (message.expires_ms) is still read, for its place in the chain of
 * prev. ops.trim takes its content and leaves a marker (MESSAGE_MARKER); of a run of markers in a
 * channel an engine may keep the last one only, with the prev of the first. Markers count as
 * messages and go as the oldest messages go; the floor moves only then.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/message.h"
#include "base/namespace.h"
#include "base/problem.h"
#include "store/ack_store.h"
#include "store/range.h"

struct store;
struct store_reader;

struct store_config {
	const char *path; /* sqlite: the database file */
	const struct namespace_table
		*namespaces; /* outlives the store; replaced by set_namespaces */
	uint64_t first_seq;  /* memory: number of the first message it may hold; smaller ones are
				gone */
	bool create;         /* sqlite: make the database when the file does not exist */
	bool adopt;          /* sqlite: a database that ran elsewhere keeps its epoch */
	size_t dedup_max;    /* memory: publishes remembered at most (struct store_dedup_ops) */
	const atomic_bool
		*cancel;  /* set by any thread: a backup that is running gives up. May be NULL */
	uint64_t ack_max; /* positions of durable subscribers at most */
};

/* Takes the reference on m. */
typedef void store_row_fn(void *arg, struct message *m);

struct channel_info {
	uint64_t head;   /* newest seq ever; 0: the channel does not exist */
	uint64_t floor;  /* as in store_range */
	uint64_t oldest; /* 0: nothing there */
	uint64_t count;  /* messages there */
	uint64_t bytes;  /* payload bytes there */
	int64_t oldest_ts_ms;
	int64_t head_ts_ms; /* 0 when the head itself is gone */
};

/* How an engine says what it can not do: negative errno. -ENOSPC disk full, -EIO disk error, -EBUSY
 * locked by somebody else, -EUCLEAN corrupt. After an error from append nothing of the batch is in
 * the log. */
struct store_ops {
	const char *name;

	/* Any one thread, before the log thread starts. On failure nothing on disk was touched and
	 * problem says why and what to do. The epoch is made with the log. */
	int (*open)(const struct store_config *cfg, struct store **ret, struct problem *problem);
	/* Log thread, or after it ended; readers are closed before. Checkpoints. NULL is fine. */
	void (*close)(struct store *s);

	/* Log thread. All n drafts (n ≥ 1 unless positions are staged, seq, prev and ts_ms set by
	 * the caller, seq rising) or none; durable on return 0: in the file (sync false) or on the
	 * medium (sync true). */
	int (*append)(struct store *s, struct message *const *batch, size_t n, bool sync);
	/* Log thread. Newest seq ever given to the channel (also when it was trimmed since); 0:
	 * none. */
	int (*head)(struct store *s, struct slice channel, uint64_t *ret_seq);
	/* Log thread. Take the content of what expired, forget what dedup remembered long enough,
	 * and remove at most row_max messages that retention says are too many, too old or too
	 * large; look at a few times row_max at most. *ret_n: how many went or expired. Return 0
	 * when all is within its limits now, 1 when there may be more to do, or negative errno. */
	int (*trim)(struct store *s, int64_t now_ms, size_t row_max, size_t *ret_n);

	/* Reader thread: its own handle, opened and closed there. */
	int (*reader_open)(struct store *s, struct store_reader **ret);
	void (*reader_close)(struct store_reader *r);
	/* Rows of all ranges merged in rising seq. A channel that does not exist yields no rows.
	 * After an error no range holds losses. */
	int (*read)(struct store_reader *r, struct store_read *q, store_row_fn *row, void *arg);
};

/* What the operator's tools need, besides. */
struct store_admin_ops {
	/* Reader thread. Channels with the prefix, after the name `after` ("" from the start), in
	 * byte order, ≤ max calls. */
	int (*channels)(struct store_reader *r, struct slice prefix, struct slice after, size_t max,
			void (*row)(void *arg, struct slice name, const struct channel_info *),
			void *arg);
	int (*channel)(struct store_reader *r, struct slice channel, struct channel_info *ret);
	/* Log thread. Remove at most row_max of the channel's messages with seq ≤ upto, oldest
	 * first (its head stays). *ret_n: how many. Return 0 when all are gone, 1 when some are
	 * left, or negative errno. */
	int (*purge)(struct store *s, struct slice channel, uint64_t upto, size_t row_max,
		     uint64_t *ret_n);
	/* Reader thread. Copy the whole log into a new file, online, then verify it. The file must
	 * not exist; it is gone again after a failure. The copy has an epoch of its own: once it is
	 * used, ids that were given out after it was made mean nothing. */
	int (*backup)(struct store_reader *r, const char *path, struct problem *problem);
	/* Log thread. */
	int (*set_namespaces)(struct store *s, const struct namespace_table *t);
	/* Log thread. Small housekeeping when idle (checkpoint), and sizes. */
	int (*sizes)(struct store *s, uint64_t *ret_db_bytes, uint64_t *ret_wal_bytes);
};

/* Where a log comes from (store/sqlite_incarnation.c). */
enum lineage {
	LINEAGE_NEW,
	LINEAGE_SAME,     /* it ran here last */
	LINEAGE_ADOPTED,  /* it ran elsewhere, and was taken as it is because that was asked for */
	LINEAGE_BACKUP,   /* a backup that has not run yet */
	LINEAGE_REPLACED, /* another copy than the one that ran here last */
	LINEAGE_OLDER,    /* a copy of it, made before it had its last messages */
	LINEAGE_ALONE,    /* nothing tells what ran here last */
};
/* The log is not known to hold all that was acknowledged under its epoch: it was given a new one.
 */
bool lineage_is_broken(enum lineage l);
/* A publish that is remembered, so that its repetition is known. */
struct dedup_row {
	uint64_t first; /* seq of its first message; the others follow without a hole */
	uint64_t n;     /* messages */
	uint64_t producer_seq;
	int64_t expires_ms; /* wall clock: forgotten from then on */
	uint8_t durability; /* enum durability: what the first receipt promised */
};

/* What is to be remembered: by key when producer is empty, else by producer. */
struct dedup_record {
	struct slice channel; /* of a key; empty: of batches over several channels */
	struct slice key;
	struct slice producer;
	struct dedup_row row;
};

/* Memory of publishes (store/dedup.c). All of it: log thread. */
struct store_dedup_ops {
	/* Return 1 and *ret, 0 when there is none, or negative errno. A row that has expired may
	 * still be given. */
	int (*find_key)(struct store *s, struct slice channel, struct slice key,
			struct dedup_row *ret);
	int (*find_producer)(struct store *s, struct slice producer, struct dedup_row *ret);
	/* The next append writes these too, with its messages or not at all; one of the same key or
	 * producer is replaced. Borrowed until that append returns. ops.trim forgets what expired.
	 */
	void (*stage)(struct store *s, const struct dedup_record *records, size_t n);
};

/* Log thread, at start: the epoch, the newest seq, and the mark below which seqs may have been
 * given out. */
struct store_origin {
	struct epoch epoch;
	uint64_t top; /* newest stored seq; 0: none */
	uint64_t
		reserved; /* seqs up to here may have been used for messages that were not stored */
	enum lineage lineage;
	int64_t top_ts_ms; /* time stamp of the newest stored message; 0: none */
};

struct store_engine {
	struct store_ops ops;
	struct store_admin_ops admin;
	struct store_ack_ops ack;
	struct store_dedup_ops dedup;
	int (*origin)(struct store *s, struct store_origin *ret);
	/* Log thread. Remember on the medium that seqs up to `seq` may be used (written before the
	 * first of them is). Writes even when it is the same seq as before: it is the probe, too.
	 */
	int (*reserve)(struct store *s, uint64_t seq);
};

/* NULL when there is none of this name. */
const struct store_engine *store_engine_find(const char *name);
/* Names, for error messages; NULL-terminated. */
const char *const *store_engine_names(void);

#endif
