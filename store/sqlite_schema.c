/* SPDX-License-Identifier: MIT */
/*
 * sqlite_schema: the tables, their versions, and how a new database comes to be.
 *
 * DESIGN
 *  - The schema is a list of steps; step i leads from version i to i + 1, and PRAGMA user_version
 * says how many were taken. A new database takes all of them, an older one takes the rest in one
 *    transaction, a newer one is refused (sqlite_check.c).
 *  - So the tables of version n are always exactly what steps 1 … n make, and that is how a
 * database is verified: the same steps are taken in memory and the two schemas compared, text by
 * text.
 *  - A new database is made whole under another name, synced, and then linked to its own: whoever
 *    opens it finds all of it or nothing. An empty file is therefore never ours.
 *
 * It must never change a step that was released: add one.
 */
#include "store/sqlite_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/id.h"
#include "base/xalloc.h"

const struct schema_step schema_steps[] = {
	{/* 0 → 1 */
	 "CREATE TABLE meta (\n"
	 "  -- One row each: epoch (the word before the dot in ids), reserved (numbers up to here\n"
	 "  -- may have been given out), reservations (how often that was written), created\n"
	 "  -- (milliseconds since 1970), incarnation (of the last start; also in the file "
	 "beside).\n"
	 "  key   TEXT PRIMARY KEY,\n"
	 "  value ANY NOT NULL\n"
	 ") STRICT, WITHOUT ROWID;\n"
	 "CREATE TABLE channel (\n"
	 "  -- One row for every name that was ever published to; it stays when the messages go.\n"
	 "  id        INTEGER PRIMARY KEY,\n"
	 "  name      TEXT NOT NULL UNIQUE,\n"
	 "  head      INTEGER NOT NULL, -- newest seq ever\n"
	 "  floor     INTEGER NOT NULL, -- highest seq that was removed; 0: none was\n"
	 "  oldest    INTEGER NOT NULL, -- oldest seq still there; 0: none is\n"
	 "  count     INTEGER NOT NULL, -- messages there\n"
	 "  bytes     INTEGER NOT NULL, -- payload bytes there\n"
	 "  head_ts   INTEGER NOT NULL, -- time of head\n"
	 "  oldest_ts INTEGER NOT NULL, -- time of oldest; 0: none\n"
	 "  due       INTEGER           -- when oldest will be too old; NULL: never\n"
	 ") STRICT;\n"
	 "CREATE INDEX channel_by_due ON channel(due) WHERE due IS NOT NULL;\n"
	 "CREATE INDEX channel_by_floor ON channel(floor) WHERE floor > 0;\n"
	 "CREATE TABLE message (\n"
	 "  -- The log. seq is the number after the dot in ids, and the order of everything.\n"
	 "  seq     INTEGER PRIMARY KEY,\n"
	 "  channel INTEGER NOT NULL REFERENCES channel(id),\n"
	 "  prev    INTEGER NOT NULL, -- seq of the message before it in its channel; 0: none\n"
	 "  ts      INTEGER NOT NULL, -- milliseconds since 1970, never going backwards\n"
	 "  kind    INTEGER NOT NULL, -- 0 JSON, 1 text (UTF-8), 2 binary; -1 expired: the "
	 "content\n"
	 "                            -- is gone, and so are others back to prev\n"
	 "  type    TEXT,             -- content type; NULL: the default of the kind\n"
	 "  payload BLOB NOT NULL,    -- the very bytes\n"
	 "  expires INTEGER           -- not delivered from then on; NULL: never, or expired\n"
	 ") STRICT;\n"
	 "CREATE INDEX message_by_expiry ON message(expires) WHERE expires IS NOT NULL;\n"
	 "CREATE INDEX message_by_channel ON message(\n"
	 "  channel -- and seq: every index ends in the row's key\n"
	 ");\n"
	 "CREATE TABLE ack (\n"
	 "  -- Durable subscribers: up to where each has acknowledged each of its channels.\n"
	 "  subscriber TEXT NOT NULL,\n"
	 "  channel    TEXT NOT NULL,    -- its name: it need not have been published to\n"
	 "  seq        INTEGER NOT NULL, -- everything of the channel up to here is acknowledged\n"
	 "  updated_ms INTEGER NOT NULL, -- when the subscriber was last heard of\n"
	 "  passed     INTEGER NOT NULL, -- 1: retention removed messages behind it (and was "
	 "counted)\n"
	 "  PRIMARY KEY(subscriber, channel)\n"
	 ") STRICT, WITHOUT ROWID;\n"
	 "CREATE INDEX ack_by_channel ON ack(channel);\n"
	 "CREATE TABLE publish_key (\n"
	 "  -- Publishes with a key, so that their repetition is known.\n"
	 "  channel    INTEGER NOT NULL, -- 0: batches over several channels\n"
	 "  key        BLOB NOT NULL,\n"
	 "  first      INTEGER NOT NULL, -- seq of its first message; the others follow\n"
	 "  count      INTEGER NOT NULL, -- messages\n"
	 "  durability INTEGER NOT NULL, -- as promised: 1 memory, 2 commit, 3 sync\n"
	 "  expires    INTEGER NOT NULL, -- milliseconds since 1970: forgotten from then on\n"
	 "  PRIMARY KEY(channel, key)\n"
	 ") STRICT, WITHOUT ROWID;\n"
	 "CREATE INDEX publish_key_by_expiry ON publish_key(expires);\n"
	 "CREATE TABLE producer (\n"
	 "  -- The last publish of everybody who numbers them.\n"
	 "  id         TEXT PRIMARY KEY,\n"
	 "  last       INTEGER NOT NULL, -- its number\n"
	 "  first      INTEGER NOT NULL, -- the rest as in publish_key\n"
	 "  count      INTEGER NOT NULL,\n"
	 "  durability INTEGER NOT NULL,\n"
	 "  expires    INTEGER NOT NULL\n"
	 ") STRICT, WITHOUT ROWID;\n"
	 "CREATE INDEX producer_by_expiry ON producer(expires);\n"
	 "CREATE VIEW log AS\n"
	 "  -- For people: SELECT * FROM log WHERE channel = 'news' ORDER BY seq DESC LIMIT 10;\n"
	 "  SELECT m.seq, c.name AS channel, m.prev,\n"
	 "         strftime('%Y-%m-%d %H:%M:%f', m.ts / 1000.0, 'unixepoch') AS time,\n"
	 "         m.type,\n"
	 "         CASE m.kind WHEN 2 THEN m.payload ELSE CAST(m.payload AS TEXT) END AS payload\n"
	 "  FROM message m JOIN channel c ON c.id = m.channel WHERE m.kind >= 0;\n"},
};

const int schema_version = (int)ARRAY_LEN(schema_steps);

static int take_steps(struct connection *c, const struct schema_step *steps, int from, int to)
{
	char sql[64];
	int rc = 0;

	for (int i = from; i < to && rc == 0; i++)
		rc = connection_exec(c, steps[i].sql);
	if (rc != 0)
		return rc;
	snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", to);
	return connection_exec(c, sql);
}

int schema_migrate(struct connection *c, const struct schema_step *steps, int n)
{
	int64_t version;

	int rc = connection_run_id(c, SQL_BEGIN_WRITE);
	if (rc != 0)
		return rc;
	rc = connection_number(c, "PRAGMA user_version", &version);
	if (rc == 0 && version < n)
		rc = take_steps(c, steps, (int)version, n);
	if (rc == 0)
		rc = connection_run_id(c, SQL_COMMIT);
	if (rc != 0)
		connection_run_id(c, SQL_ROLLBACK);
	return rc;
}

/* --- verify ---------------------------------------------------------------------------------- */

#define SCHEMA_ROWS                                                         \
	"SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema" \
	" WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name"

static bool same_row(sqlite3_stmt *a, sqlite3_stmt *b)
{
	for (int i = 0; i < 4; i++) {
		const char *x = (const char *)sqlite3_column_text(a, i);
		const char *y = (const char *)sqlite3_column_text(b, i);
		if (x == NULL || y == NULL || strcmp(x, y) != 0)
			return false;
	}
	return true;
}

/* Does `have` hold every row of `want`, in the same order? More is fine: an operator's own index.
 */
static int compare_schemas(struct connection *have, sqlite3_stmt *h, sqlite3_stmt *w)
{
	while (sqlite3_step(w) == SQLITE_ROW) {
		do {
			int rc = sqlite3_step(h);
			if (rc != SQLITE_ROW)
				return rc == SQLITE_DONE ? -EUCLEAN : connection_error(have);
		} while (!same_row(h, w));
	}
	return 0;
}

int schema_verify(struct connection *c, const struct schema_step *steps, int version)
{
	struct connection ref;
	sqlite3_stmt *h = NULL, *w = NULL;

	int rc = connection_open(&ref, ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
	if (rc != 0)
		return rc;
	rc = take_steps(&ref, steps, 0, version);
	if (rc == 0 && sqlite3_prepare_v2(ref.db, SCHEMA_ROWS, -1, &w, NULL) != SQLITE_OK)
		rc = connection_error(&ref);
	if (rc == 0 && sqlite3_prepare_v2(c->db, SCHEMA_ROWS, -1, &h, NULL) != SQLITE_OK)
		rc = connection_error(c);
	if (rc == 0)
		rc = compare_schemas(c, h, w);
	sqlite3_finalize(h);
	sqlite3_finalize(w);
	connection_close(&ref);
	return rc;
}

/* --- create ---------------------------------------------------------------------------------- */

static int fill_new(struct connection *c, const struct schema_step *steps, int n)
{
	char sql[512];
	struct epoch epoch;

	epoch_make(&epoch);
	/* no journal: the file has no name yet that anybody would open */
	int rc = connection_exec(c, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN");
	if (rc != 0)
		return rc;
	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d", SQLITE_APPLICATION_ID);
	rc = connection_exec(c, sql);
	if (rc == 0)
		rc = take_steps(c, steps, 0, n);
	if (rc != 0)
		return rc;
	snprintf(sql, sizeof(sql),
		 "INSERT INTO meta VALUES('epoch', '%s'), ('reserved', 0), "
		 "('created', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)); COMMIT",
		 epoch.text);
	return connection_exec(c, sql);
}

int schema_sync_parent(const char *path)
{
	char *copy = xstrdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd >= 0 && fsync(fd) == 0 ? 0 : -errno;

	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

/* Give the finished file its name, unless somebody else took it meanwhile. */
static int give_name(const char *temporary, const char *path)
{
	if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return schema_sync_parent(path);
	if (errno != EINVAL)
		return -errno;
	/* a file system without RENAME_NOREPLACE */
	if (link(temporary, path) != 0)
		return -errno;
	unlink(temporary);
	return schema_sync_parent(path);
}

static int create_whole(const char *temporary, const struct schema_step *steps, int n)
{
	struct connection c;

	int rc = connection_open(&c, temporary, SQLITE_OPEN_READWRITE);
	if (rc != 0)
		return rc;
	rc = fill_new(&c, steps, n);
	connection_close(&c);
	return rc;
}

int schema_create(const char *path, const struct schema_step *steps, int n, struct problem *problem)
{
	size_t room = strlen(path) + sizeof(".new-") + EPOCH_MAX;
	char *temporary = xmalloc(room);
	struct epoch word; /* a random one will do */

	epoch_make(&word);
	snprintf(temporary, room, "%s.new-%s", path, word.text);
	int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	int rc = fd >= 0 ? 0 : -errno;
	if (rc == 0)
		rc = create_whole(temporary, steps, n);
	if (rc == 0 && fsync(fd) != 0)
		rc = -errno;
	if (rc == 0)
		rc = give_name(temporary, path);
	if (fd >= 0) {
		close(fd);
		if (rc != 0)
			unlink(temporary);
	}
	free(temporary);
	if (rc == 0 || rc == -EEXIST)
		return rc;
	return problem_set(problem, rc,
			   "%s: cannot make a new database here: %s. Check that the folder exists, "
			   "that this user may write to it and that the disk has room.",
			   path, strerror(-rc));
}
