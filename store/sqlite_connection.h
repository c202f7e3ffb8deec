/* SPDX-License-Identifier: MIT */
/*
 * sqlite_connection: one connection to the database, its statements and errors; the schema, and the
 * check of a file before it is used.
 * Thread: one at a time per connection.
 */
#ifndef STORE_SQLITE_CONNECTION_H
#define STORE_SQLITE_CONNECTION_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/problem.h"
#include "base/slice.h"

/* "Hfst": bytes 68–71 of the file, so that nothing else is mistaken for a log. */
#define SQLITE_APPLICATION_ID 0x48667374

/* --- connections ----------------------------------------------------------------------------- */

/* The columns of a channel row, in the order channel_state_read() expects. */
#define CHANNEL_COLUMNS "id, name, head, floor, oldest, count, bytes, head_ts, oldest_ts, due"

#define MESSAGE_COLUMNS 8
#define MESSAGE_ROWS    16 /* of SQL_MESSAGES_INSERT */

enum sql_id {
	SQL_BEGIN_WRITE,
	SQL_BEGIN_READ,
	SQL_HOLD,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_META_SET,
	SQL_META_COUNT,
	SQL_CHANNEL_BY_NAME,
	SQL_CHANNEL_INSERT,
	SQL_CHANNEL_UPDATE,
	SQL_CHANNEL_UPDATE_FLOOR,
	SQL_CHANNEL_UPDATE_DUE,
	SQL_CHANNELS_AFTER_ID,
	SQL_CHANNELS_AFTER_NAME,
	SQL_CHANNEL_DUE,
	SQL_NEXT_DUE,
	SQL_CHANNEL_NAME,
	SQL_CHANNELS_LOST,
	SQL_MESSAGE_INSERT,
	SQL_MESSAGES_INSERT, /* MESSAGE_ROWS of them */
	SQL_MESSAGES_OLDEST,
	SQL_MESSAGES_DELETE,
	SQL_MESSAGES_WALK,
	SQL_MESSAGES_SEQS,
	SQL_MESSAGE_BY_SEQ,
	SQL_MESSAGES_OF_CHANNEL,
	SQL_MESSAGES_LAST,
	SQL_ACK_UPDATE,
	SQL_ACK_INSERT,
	SQL_ACK_DELETE,
	SQL_ACKS,
	SQL_ACKS_OF_SUBSCRIBER,
	SQL_ACKS_OF_CHANNEL,
	SQL_MESSAGES_BEHIND,
	SQL_EXPIRED,
	SQL_MESSAGE_BEFORE,
	SQL_MESSAGE_BEHIND,
	SQL_MESSAGE_DELETE,
	SQL_MESSAGE_MARK,
	SQL_KEY_FIND,
	SQL_KEY_SET,
	SQL_KEY_DUE,
	SQL_KEY_FORGET,
	SQL_PRODUCER_FIND,
	SQL_PRODUCER_SET,
	SQL_PRODUCER_DUE,
	SQL_PRODUCER_FORGET,
	SQL_MESSAGES_SEQS_BACK,
	SQL_LOG_FORTH,
	SQL_LOG_BACK,
	SQL_COUNT
};

struct connection {
	sqlite3 *db;
	sqlite3_stmt *stmts[SQL_COUNT]; /* prepared on first use */
};

/* A copy that SQLite takes for the name of a file, whatever it is: not for a URI ("file:…") or
 * ":memory:". */
char *connection_path(const char *path);
/* flags: of sqlite3_open_v2. Return 0 or negative errno. */
int connection_open(struct connection *c, const char *path, int flags);
/* The same over a layer of SQLite's (a "VFS"); NULL: its own. */
int connection_open_with(struct connection *c, const char *path, int flags, const char *vfs);
/* The layer for the one connection that writes; NULL when there is none. */
const char *wal_vfs_name(void);
/* All statements of the connection must be reset or cached. */
void connection_close(struct connection *c);
/* The cached statement, reset; NULL on failure (connection_error says which). */
sqlite3_stmt *connection_stmt(struct connection *c, enum sql_id id);
/* What the last failed call means: negative errno. */
int connection_error(const struct connection *c);
/* Step a statement that gives no rows, and reset it. */
int connection_run(struct connection *c, sqlite3_stmt *stmt);
int connection_run_id(struct connection *c, enum sql_id id);
int connection_exec(struct connection *c, const char *sql);
/* The first column of the first row as a number. */
int connection_number(struct connection *c, const char *sql, int64_t *ret);
int meta_set_text(struct connection *c, const char *key, const char *value);
/* meta: set one value. */
int meta_set_number(struct connection *c, const char *key, uint64_t value);
/* meta: add one. */
int meta_count(struct connection *c, const char *key);

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

/* --- schema and checks ----------------------------------------------------------------------- */

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

#endif
