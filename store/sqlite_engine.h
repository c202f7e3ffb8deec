/* SPDX-License-Identifier: MIT */
/*
 * sqlite_engine: what the files of the SQLite engine share, and what its tests look into.
 *
 *   sqlite.c             open, close, append: the table of functions
 *   sqlite_connection.c  connections, cached statements, errors
 *   sqlite_schema.c      the schema and its versions; making a new database
 *   sqlite_check.c       is this file ours, whole and free? Asked before anything is touched
 *   sqlite_channel.c     the writer's cache of channel rows
 *   sqlite_trim.c        retention and purge
 *   sqlite_read.c        range reads
 *   sqlite_admin.c       listing and backup
 *   sqlite_checkpoint.c  the thread that moves the write-ahead log into the database
 */
#ifndef STORE_SQLITE_ENGINE_H
#define STORE_SQLITE_ENGINE_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "store/merge.h"
#include "store/store.h"

/* "Hfst": bytes 68–71 of the file, so that nothing else is mistaken for a log. */
#define SQLITE_APPLICATION_ID 0x48667374

/* --- connections ------------------------------------------------------------------------------ */

/* The columns of a channel row, in the order channel_state_read() expects. */
#define CHANNEL_COLUMNS "id, name, head, floor, oldest, count, bytes, head_ts, oldest_ts, due"

enum sql_id {
	SQL_BEGIN_WRITE,
	SQL_BEGIN_READ,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_META_SET,
	SQL_CHANNEL_BY_NAME,
	SQL_CHANNEL_INSERT,
	SQL_CHANNEL_UPDATE,
	SQL_CHANNEL_UPDATE_DUE,
	SQL_CHANNELS_AFTER_ID,
	SQL_CHANNELS_AFTER_NAME,
	SQL_CHANNEL_DUE,
	SQL_MESSAGE_INSERT,
	SQL_MESSAGES_OLDEST,
	SQL_MESSAGES_DELETE,
	SQL_MESSAGES_WALK,
	SQL_MESSAGES_RANGE,
	SQL_MESSAGES_LAST,
	SQL_COUNT
};

struct connection {
	sqlite3 *db;
	sqlite3_stmt *stmts[SQL_COUNT]; /* prepared on first use */
};

/* flags: of sqlite3_open_v2. Return 0 or negative errno. */
int connection_open(struct connection *c, const char *path, int flags);
/* All statements of the connection must be reset or cached. */
void connection_close(struct connection *c);
/* The cached statement, reset; NULL on failure (connection_error says which). */
sqlite3_stmt *connection_stmt(struct connection *c, enum sql_id id);
/* A statement of its own, to be finalized by the caller. */
sqlite3_stmt *connection_prepare(struct connection *c, enum sql_id id);
/* What the last failed call means: negative errno. */
int connection_error(const struct connection *c);
/* Step a statement that gives no rows, and reset it. */
int connection_run(struct connection *c, sqlite3_stmt *stmt);
int connection_run_id(struct connection *c, enum sql_id id);
int connection_exec(struct connection *c, const char *sql);
/* The first column of the first row as a number. */
int connection_number(struct connection *c, const char *sql, int64_t *ret);
/* meta: one value. -ENOENT when there is no such row. */
int meta_set_number(struct connection *c, const char *key, uint64_t value);

/* A channel row. */
struct channel_state {
	int64_t id; /* 0: not in the database yet */
	uint64_t head;
	uint64_t floor;
	uint64_t oldest;
	uint64_t count;
	uint64_t bytes;
	int64_t head_ts_ms;
	int64_t oldest_ts_ms;
	int64_t due_ms; /* 0: never */
};

void channel_state_read(sqlite3_stmt *stmt, struct channel_state *ret);
struct slice channel_name_read(sqlite3_stmt *stmt);

/* --- schema and checks ------------------------------------------------------------------------ */

struct schema_step {
	const char *sql; /* from version i to i + 1 */
};

extern const struct schema_step schema_steps[];
extern const int schema_version; /* number of steps */

/* Bring the database from its user_version to version n, in one transaction. Return 0 or negative
 * errno; on failure nothing was changed. */
int schema_migrate(struct connection *c, const struct schema_step *steps, int n);
/* Are the tables exactly what steps 1 … version make? -EUCLEAN when not. */
int schema_verify(struct connection *c, const struct schema_step *steps, int version);
/* Make a new database at path with these steps; a file that is there already is left alone
 * (-EEXIST). */
int schema_create(const char *path, const struct schema_step *steps, int n,
		  struct problem *problem);

/* Sync the folder that holds path, so that the file's name survives the machine. */
int schema_sync_parent(const char *path);

/* Look at the file without changing anything on disk, and lock it against other daemons. *ret_fd
 * holds the lock and is closed after every SQLite connection to the file (POSIX: closing any
 * descriptor drops SQLite's own locks). Return 0, 1 when there is no such file, or negative errno.
 */
int check_file(const char *path, int *ret_fd, struct problem *problem);

/* --- checkpoints ------------------------------------------------------------------------------ */

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

/* --- the writer ------------------------------------------------------------------------------- */

#define SQLITE_STORE_MAGIC  0x53514c31u
#define SQLITE_READER_MAGIC 0x53514c32u

/* One cached channel row. */
struct sql_channel {
	UT_hash_handle hh;
	TAILQ_ENTRY(sql_channel) in_lru;      /* all; coldest first */
	TAILQ_ENTRY(sql_channel) in_over;     /* holds more messages than its namespace allows */
	STAILQ_ENTRY(sql_channel) in_touched; /* changed by the transaction that is open */
	bool is_over;
	bool is_touched;
	bool is_due_changed;
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
	const struct namespace_table *namespaces;
	const atomic_bool *cancel;

	struct sql_channel *channels; /* map by name */
	struct sql_channel_list lru;
	struct sql_channel_list over;
	struct sql_touched_list touched;
	size_t channel_n;
	int64_t last_id; /* newest id of a channel that was written */
	int64_t next_id; /* newest id handed out */

	struct sql_namespace *ns; /* one per entry of namespaces */
	int64_t sweep_id;         /* channels up to this id have been looked at; INT64_MAX: all */

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
/* Forget the cache and start retention's sweep anew: after a rollback, and with new options. */
void channels_forget(struct store *s);

int sqlite_trim(struct store *s, int64_t now_ms, size_t row_max, size_t *ret_n);
int sqlite_purge(struct store *s, struct slice channel, uint64_t upto, size_t row_max,
		 uint64_t *ret_n);

/* --- readers ---------------------------------------------------------------------------------- */

#define RANGE_POOL_MAX 64

struct sql_cursor {
	struct merge_cursor at;
	sqlite3_stmt *stmt; /* stands on the row `at` */
	struct slice channel;
};

struct store_reader {
	unsigned magic;
	struct store *s;
	struct connection c;
	sqlite3_stmt *pool[RANGE_POOL_MAX]; /* idle range statements */
	size_t pool_n;
	struct sql_cursor *cursors;
	size_t cursor_room;
	struct merge merge;
};

int sqlite_reader_open(struct store *s, struct store_reader **ret);
void sqlite_reader_close(struct store_reader *r);
int sqlite_read(struct store_reader *r, struct store_read *q, store_row_fn *row, void *arg);
int sqlite_channels(struct store_reader *r, struct slice prefix, struct slice after, size_t max,
		    void (*row)(void *arg, struct slice name, const struct channel_info *),
		    void *arg);
int sqlite_channel(struct store_reader *r, struct slice channel, struct channel_info *ret);
int sqlite_backup(struct store_reader *r, const char *path, struct problem *problem);

#endif
