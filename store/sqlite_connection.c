/* SPDX-License-Identifier: MIT */
/*
 * sqlite_connection: one connection, its statements, and what SQLite's errors mean here.
 *
 * DESIGN: every SQL text that runs more than once per open stands in one table and is prepared once
 * per connection, on first use. A connection belongs to one thread at a time, so SQLite's own mutex
 * on it is off (SQLITE_OPEN_NOMUTEX). Extended result codes are on: the system's errno behind an
 * I/O error tells a full disk from a broken one.
 */
#include "store/sqlite_connection.h"

#include <errno.h>
#include <stdio.h>

#include "base/obj.h"
#include "base/xalloc.h"

/* ROLLBACK: what was done already of a statement that fails is not kept apart, to be undone alone;
 * store_end() undoes all */
#define INSERT_MESSAGE                                                                 \
	"INSERT OR ROLLBACK INTO message(seq, channel, prev, ts, kind, type, payload," \
	" expires) VALUES"
#define MESSAGE_ROW    "(?, ?, ?, ?, ?, ?, ?, ?)"
#define MESSAGE_ROWS_4 MESSAGE_ROW "," MESSAGE_ROW "," MESSAGE_ROW "," MESSAGE_ROW

static const char *const sql_texts[SQL_COUNT] = {
	/* IMMEDIATE: a writer finds out at once whether it may write */
	[SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[SQL_BEGIN_READ] = "BEGIN DEFERRED",
	/* as long as its row is not done with, the end of a transaction leaves a reader behind */
	[SQL_HOLD] = "SELECT 1 FROM meta",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_META_SET] = "INSERT INTO meta(key, value) VALUES(?1, ?2)"
			 " ON CONFLICT(key) DO UPDATE SET value = excluded.value",
	[SQL_META_COUNT] = "INSERT INTO meta(key, value) VALUES(?1, 1)"
			   " ON CONFLICT(key) DO UPDATE SET value = value + 1",
	[SQL_CHANNEL_BY_NAME] = "SELECT " CHANNEL_COLUMNS " FROM channel WHERE name = ?1",
	[SQL_CHANNEL_INSERT] = "INSERT INTO channel(" CHANNEL_COLUMNS ")"
			       " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, nullif(?10, 0))",
	/* three updates, because naming `floor` or `due` costs a change of its index even when it
	 * stays */
	[SQL_CHANNEL_UPDATE] = "UPDATE channel SET head = ?3, oldest = ?5, count = ?6,"
			       " bytes = ?7, head_ts = ?8, oldest_ts = ?9 WHERE id = ?1",
	[SQL_CHANNEL_UPDATE_FLOOR] =
		"UPDATE channel SET head = ?3, floor = ?4, oldest = ?5, count = ?6, bytes = ?7,"
		" head_ts = ?8, oldest_ts = ?9 WHERE id = ?1",
	[SQL_CHANNEL_UPDATE_DUE] =
		"UPDATE channel SET head = ?3, floor = ?4, oldest = ?5, count = ?6, bytes = ?7,"
		" head_ts = ?8, oldest_ts = ?9, due = nullif(?10, 0) WHERE id = ?1",
	[SQL_CHANNELS_AFTER_ID] =
		"SELECT " CHANNEL_COLUMNS " FROM channel WHERE id > ?1 ORDER BY id LIMIT ?2",
	[SQL_CHANNELS_AFTER_NAME] =
		"SELECT " CHANNEL_COLUMNS
		" FROM channel WHERE name >= ?1 AND name <> ?2 ORDER BY name LIMIT ?3",
	[SQL_CHANNEL_DUE] =
		"SELECT " CHANNEL_COLUMNS " FROM channel WHERE due <= ?1 ORDER BY due LIMIT 1",
	/* four looks at the ends of indexes */
	[SQL_NEXT_DUE] = "SELECT min(coalesce((SELECT min(due) FROM channel WHERE due > 0), ?1),"
			 " coalesce((SELECT min(expires) FROM message WHERE expires > 0), ?1),"
			 " coalesce((SELECT min(expires) FROM publish_key), ?1),"
			 " coalesce((SELECT min(expires) FROM producer), ?1))",
	[SQL_CHANNEL_NAME] = "SELECT name FROM channel WHERE id = ?1",
	/* the second condition is for the index, which has only those */
	[SQL_CHANNELS_LOST] = "SELECT name, floor, oldest FROM channel"
			      " WHERE floor > ?1 AND floor > 0 ORDER BY floor DESC LIMIT ?2",
	[SQL_MESSAGE_INSERT] = INSERT_MESSAGE MESSAGE_ROW,
	/* cursors are opened and memory is taken once for all of them */
	[SQL_MESSAGES_INSERT] = INSERT_MESSAGE MESSAGE_ROWS_4 "," MESSAGE_ROWS_4 "," MESSAGE_ROWS_4
							      "," MESSAGE_ROWS_4,
	[SQL_MESSAGES_OLDEST] = "SELECT seq, ts, length(payload) FROM message"
				" WHERE channel = ?1 ORDER BY seq LIMIT ?2",
	[SQL_MESSAGES_DELETE] = "DELETE FROM message WHERE channel = ?1 AND seq <= ?2",
	[SQL_MESSAGES_WALK] = "SELECT m.seq, length(m.payload), c.name FROM message m"
			      " CROSS JOIN channel c ON c.id = m.channel"
			      " WHERE m.seq >= ?1 ORDER BY m.seq LIMIT ?2",
	/* answered from the index alone */
	[SQL_MESSAGES_SEQS] =
		"SELECT seq FROM message WHERE channel = ?1 AND seq > ?2 AND seq <= ?3"
		" ORDER BY seq LIMIT ?4",
	[SQL_MESSAGE_BY_SEQ] = "SELECT channel, prev, ts, kind, type, payload, expires FROM "
			       "message WHERE seq = ?1",
	[SQL_MESSAGES_OF_CHANNEL] =
		"SELECT channel, prev, ts, kind, type, payload, expires, seq FROM message"
		" WHERE channel = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4",
	[SQL_MESSAGES_LAST] = "SELECT min(seq), count(*) FROM (SELECT seq FROM message"
			      " WHERE channel = ?1 AND seq <= ?2 AND kind >= 0"
			      " AND (expires IS NULL OR expires > ?4) ORDER BY seq DESC LIMIT ?3)",
	[SQL_EXPIRED] = "SELECT m.seq, m.prev, length(m.payload), c.name FROM message m"
			" CROSS JOIN channel c ON c.id = m.channel"
			" WHERE m.expires <= ?1 ORDER BY m.expires LIMIT 1",
	[SQL_MESSAGE_BEFORE] = "SELECT seq, prev, kind FROM message WHERE channel = ?1 AND seq < ?2"
			       " ORDER BY seq DESC LIMIT 1",
	[SQL_MESSAGE_BEHIND] = "SELECT seq, prev, kind FROM message WHERE channel = ?1 AND seq > ?2"
			       " ORDER BY seq LIMIT 1",
	[SQL_MESSAGE_DELETE] = "DELETE FROM message WHERE seq = ?1",
	[SQL_MESSAGE_MARK] = "UPDATE message SET kind = -1, type = NULL, payload = x'', prev = ?2,"
			     " expires = NULL WHERE seq = ?1",
	[SQL_KEY_FIND] = "SELECT first, count, durability, expires, 0 FROM publish_key"
			 " WHERE channel = ?1 AND key = ?2",
	[SQL_KEY_SET] = "INSERT OR REPLACE INTO publish_key(first, count, durability, expires,"
			" channel, key) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[SQL_KEY_DUE] = "SELECT 1 FROM publish_key WHERE expires <= ?1 LIMIT 1",
	[SQL_KEY_FORGET] = "DELETE FROM publish_key WHERE (channel, key) IN (SELECT channel, key"
			   " FROM publish_key WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
	[SQL_PRODUCER_FIND] = "SELECT first, count, durability, expires, last FROM producer"
			      " WHERE id = ?1",
	[SQL_PRODUCER_SET] = "INSERT OR REPLACE INTO producer(first, count, durability, expires,"
			     " last, id) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[SQL_PRODUCER_DUE] = "SELECT 1 FROM producer WHERE expires <= ?1 LIMIT 1",
	[SQL_PRODUCER_FORGET] = "DELETE FROM producer WHERE id IN (SELECT id FROM producer"
				" WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
	[SQL_ACK_UPDATE] = "UPDATE ack SET seq = max(seq, ?3), updated_ms = max(updated_ms, ?4),"
			   " passed = CASE WHEN ?3 > seq THEN 0 ELSE max(passed, ?5) END"
			   " WHERE subscriber = ?1 AND channel = ?2 RETURNING seq",
	[SQL_ACK_INSERT] = "INSERT INTO ack(subscriber, channel, seq, updated_ms, passed)"
			   " VALUES(?1, ?2, ?3, ?4, 0)",
	[SQL_ACK_DELETE] = "DELETE FROM ack WHERE subscriber = ?1 AND channel = ?2",
	[SQL_ACKS] =
		"SELECT subscriber, channel, seq, updated_ms, passed FROM ack"
		" WHERE (subscriber, channel) > (?1, ?2) ORDER BY subscriber, channel LIMIT ?3",
	[SQL_ACKS_OF_SUBSCRIBER] =
		"SELECT subscriber, channel, seq, updated_ms, passed FROM ack"
		" WHERE subscriber = ?1 AND channel > ?2 ORDER BY channel LIMIT ?3",
	[SQL_ACKS_OF_CHANNEL] =
		"SELECT subscriber, channel, seq, updated_ms, passed FROM ack"
		" WHERE subscriber > ?1 AND channel = ?2 ORDER BY subscriber LIMIT ?3",
	[SQL_MESSAGES_BEHIND] = "SELECT count(*) FROM (SELECT 1 FROM message WHERE seq > ?2"
				" AND channel = (SELECT id FROM channel WHERE name = ?1) LIMIT ?3)",
	[SQL_MESSAGES_SEQS_BACK] = "SELECT seq FROM message WHERE channel = ?1 AND seq <= ?2"
				   " AND kind >= 0 AND (expires IS NULL OR expires > ?4)"
				   " ORDER BY seq DESC LIMIT ?3",
	[SQL_LOG_FORTH] = "SELECT seq, channel FROM message WHERE seq > ?1 AND seq <= ?2"
			  " ORDER BY seq LIMIT ?3",
	[SQL_LOG_BACK] = "SELECT seq, channel, kind >= 0 AND (expires IS NULL OR expires > ?3)"
			 " FROM message WHERE seq <= ?1 ORDER BY seq DESC LIMIT ?2",
};

char *connection_path(const char *path)
{
	size_t n = strlen(path) + sizeof("./");
	char *plain = xmalloc(n);

	snprintf(plain, n, "%s%s", path[0] == '/' || path[0] == '.' ? "" : "./", path);
	return plain;
}

int connection_open_with(struct connection *c, const char *path, int flags, const char *vfs)
{
	*c = (struct connection){0};
	int rc = sqlite3_open_v2(path, &c->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
				 vfs);
	if (rc == SQLITE_OK)
		return 0;
	int error = c->db ? connection_error(c) : -ENOMEM;
	connection_close(c);
	return error;
}

int connection_open(struct connection *c, const char *path, int flags)
{
	return connection_open_with(c, path, flags, NULL);
}

void connection_close(struct connection *c)
{
	for (size_t i = 0; i < SQL_COUNT; i++)
		sqlite3_finalize(c->stmts[i]);
	if (c->db != NULL) {
		int rc = sqlite3_close(c->db);
		assert(rc == SQLITE_OK); /* a statement was left open: a bug */
	}
	*c = (struct connection){0};
}

static sqlite3_stmt *prepare(struct connection *c, enum sql_id id)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v3(c->db, sql_texts[id], -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) !=
	    SQLITE_OK)
		return NULL;
	return stmt;
}

sqlite3_stmt *connection_stmt(struct connection *c, enum sql_id id)
{
	if (c->stmts[id] == NULL)
		c->stmts[id] = prepare(c, id);
	else
		sqlite3_reset(c->stmts[id]);
	return c->stmts[id];
}

/* An I/O error is a full disk, a quota or a size limit, or it is a broken disk. */
static int io_error(const struct connection *c)
{
	switch (sqlite3_system_errno(c->db)) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return -ENOSPC;
	default:
		return -EIO;
	}
}

int connection_error(const struct connection *c)
{
	int code = sqlite3_extended_errcode(c->db);

	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_TOOBIG:
		return -EFBIG;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return -EROFS;
	case SQLITE_INTERRUPT:
		return -ECANCELED;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_CONSTRAINT: /* a seq or name that must not be there is */
	case SQLITE_MISMATCH:
	case SQLITE_SCHEMA:
	case SQLITE_ERROR: /* a table or column is not what we made */
		return -EUCLEAN;
	default: /* IOERR, CANTOPEN and what else the system says no to */
		return io_error(c);
	}
}

int connection_run(struct connection *c, sqlite3_stmt *stmt)
{
	if (stmt == NULL)
		return connection_error(c);
	int rc = sqlite3_step(stmt);
	int error = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : connection_error(c);
	sqlite3_reset(stmt);
	return error;
}

int connection_run_id(struct connection *c, enum sql_id id)
{
	return connection_run(c, connection_stmt(c, id));
}

int connection_exec(struct connection *c, const char *sql)
{
	return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : connection_error(c);
}

int connection_number(struct connection *c, const char *sql, int64_t *ret)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(c->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return connection_error(c);
	int rc = sqlite3_step(stmt), error = 0;
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(stmt, 0);
	else
		error = rc == SQLITE_DONE ? -ENOENT : connection_error(c);
	sqlite3_finalize(stmt);
	return error;
}

int meta_set_text(struct connection *c, const char *key, const char *value)
{
	sqlite3_stmt *stmt = connection_stmt(c, SQL_META_SET);

	if (stmt == NULL)
		return connection_error(c);
	sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, value, -1, SQLITE_TRANSIENT);
	return connection_run(c, stmt);
}

int meta_set_number(struct connection *c, const char *key, uint64_t value)
{
	sqlite3_stmt *stmt = connection_stmt(c, SQL_META_SET);

	if (stmt == NULL)
		return connection_error(c);
	sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)value);
	return connection_run(c, stmt);
}

int meta_count(struct connection *c, const char *key)
{
	sqlite3_stmt *stmt = connection_stmt(c, SQL_META_COUNT);

	if (stmt == NULL)
		return connection_error(c);
	sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
	return connection_run(c, stmt);
}

void channel_state_read(sqlite3_stmt *stmt, struct channel_state *ret)
{
	*ret = (struct channel_state){
		.id = sqlite3_column_int64(stmt, 0),
		.head = (uint64_t)sqlite3_column_int64(stmt, 2),
		.floor = (uint64_t)sqlite3_column_int64(stmt, 3),
		.oldest = (uint64_t)sqlite3_column_int64(stmt, 4),
		.count = (uint64_t)sqlite3_column_int64(stmt, 5),
		.bytes = (uint64_t)sqlite3_column_int64(stmt, 6),
		.head_ts_ms = sqlite3_column_int64(stmt, 7),
		.oldest_ts_ms = sqlite3_column_int64(stmt, 8),
		.due_ms = sqlite3_column_int64(stmt, 9), /* NULL reads as 0 */
	};
}

struct slice channel_name_read(sqlite3_stmt *stmt)
{
	const char *p = (const char *)sqlite3_column_text(stmt, 1);

	return slice_make(p ? p : "", (size_t)sqlite3_column_bytes(stmt, 1));
}
