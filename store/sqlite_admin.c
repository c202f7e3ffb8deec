/* SPDX-License-Identifier: MIT */
/*
 * sqlite_admin: what operators ask of the database: channels, one channel, a backup.
 *
 * DESIGN of the backup: VACUUM INTO copies one snapshot, whole and compact, while the log goes on
 * (the write-ahead log grows meanwhile: it cannot start again before the snapshot is let go). The
 * target is made with O_EXCL, so nothing is ever written over. The copy gets an epoch of its own:
 * ids that are given out after it was made mean nothing in it, and a client that comes back to a
 * restored log with one must be told of a gap instead of being served from the wrong place. Then
 * the copy is verified page by page and synced. Whatever fails, no file is left.
 */
#include "store/sqlite_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/xalloc.h"

static void describe(const struct channel_state *row, struct channel_info *ret)
{
	*ret = (struct channel_info){
		.head = row->head,
		.floor = row->floor,
		.oldest = row->oldest,
		.count = row->count,
		.bytes = row->bytes,
		.oldest_ts_ms = row->oldest_ts_ms,
		.head_ts_ms = row->count > 0 ? row->head_ts_ms : 0,
	};
}

int channel_describe(struct connection *c, struct slice name, struct channel_info *ret)
{
	sqlite3_stmt *stmt = connection_stmt(c, SQL_CHANNEL_BY_NAME);
	struct channel_state row = {0};

	if (stmt == NULL)
		return connection_error(c);
	sqlite3_bind_text(stmt, 1, name.p, (int)name.n, SQLITE_STATIC);
	int rc = sqlite3_step(stmt);
	int error = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : connection_error(c);
	if (rc == SQLITE_ROW)
		channel_state_read(stmt, &row);
	sqlite3_reset(stmt);
	if (error == 0)
		describe(&row, ret);
	return error;
}

int sqlite_channel(struct store_reader *r, struct slice channel, struct channel_info *ret)
{
	CHECK_OBJ(r, SQLITE_READER_MAGIC);
	return channel_describe(&r->c, channel, ret);
}

static int slice_compare(struct slice a, struct slice b)
{
	int rc = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return rc != 0 ? rc : (a.n > b.n) - (a.n < b.n);
}

int sqlite_channels(struct store_reader *r, struct slice prefix, struct slice after, size_t max,
		    void (*row)(void *arg, struct slice name, const struct channel_info *),
		    void *arg)
{
	CHECK_OBJ(r, SQLITE_READER_MAGIC);
	sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_CHANNELS_AFTER_NAME);
	int rc;

	if (stmt == NULL)
		return connection_error(&r->c);
	/* one lower bound, so that the index leads straight to it */
	struct slice from = slice_compare(prefix, after) > 0 ? prefix : after;
	sqlite3_bind_text(stmt, 1, from.n ? from.p : "", (int)from.n, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, after.n ? after.p : "", (int)after.n, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 3, max > INT64_MAX ? INT64_MAX : (sqlite3_int64)max);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct slice name = channel_name_read(stmt);
		struct channel_state state;
		struct channel_info info;
		if (name.n < prefix.n || memcmp(name.p, prefix.p, prefix.n) != 0) {
			rc = SQLITE_DONE; /* past the prefix */
			break;
		}
		channel_state_read(stmt, &state);
		describe(&state, &info);
		row(arg, name, &info);
	}
	int error = rc == SQLITE_DONE ? 0 : connection_error(&r->c);
	sqlite3_reset(stmt);
	return error;
}

/* --- backup ---------------------------------------------------------------------------------- */

/* SQLite asks this every few thousand steps; not 0 stops it. */
static int on_progress(void *arg)
{
	const struct store *s = arg;

	return s->cancel != NULL && atomic_load(s->cancel);
}

static int copy_into(struct store *s, const char *path)
{
	struct connection c;
	sqlite3_stmt *stmt = NULL;

	/* not the reader's own connection: query_only forbids VACUUM */
	int rc = connection_open(&c, s->path, SQLITE_OPEN_READONLY);
	if (rc != 0)
		return rc;
	sqlite3_progress_handler(c.db, 10000, on_progress, s);
	if (sqlite3_prepare_v2(c.db, "VACUUM INTO ?1", -1, &stmt, NULL) != SQLITE_OK) {
		rc = connection_error(&c);
	} else {
		sqlite3_bind_text(stmt, 1, path, -1, SQLITE_STATIC);
		rc = connection_run(&c, stmt);
	}
	sqlite3_finalize(stmt);
	connection_close(&c);
	return rc;
}

static int new_epoch(struct connection *c)
{
	struct epoch epoch;

	epoch_make(&epoch);
	/* without a word the first start on it knows that it is a copy, and so does each that is
	 * restored from it again */
	int rc = connection_exec(c, "DELETE FROM meta WHERE key = 'incarnation'");
	return rc != 0 ? rc : meta_set_text(c, "epoch", epoch.text);
}

static int verify(struct connection *c)
{
	sqlite3_stmt *stmt = NULL;
	int error = 0;

	if (sqlite3_prepare_v2(c->db, "PRAGMA integrity_check(1)", -1, &stmt, NULL) != SQLITE_OK)
		return connection_error(c);
	if (sqlite3_step(stmt) != SQLITE_ROW)
		error = connection_error(c);
	else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0)
		error = -EUCLEAN;
	sqlite3_finalize(stmt);
	return error;
}

static int finish_copy(struct store *s, const char *path, int fd)
{
	struct connection c;

	int rc = connection_open(&c, path, SQLITE_OPEN_READWRITE);
	if (rc != 0)
		return rc;
	sqlite3_progress_handler(c.db, 10000, on_progress, s);
	/* a failure removes the whole file: no journal that could be left beside it */
	rc = connection_exec(&c, "PRAGMA journal_mode = MEMORY");
	if (rc == 0)
		rc = new_epoch(&c);
	if (rc == 0)
		rc = verify(&c);
	if (rc == 0)
		rc = schema_verify(&c, schema_steps, schema_version);
	connection_close(&c);
	if (rc == 0 && fsync(fd) != 0)
		rc = -errno;
	return rc;
}

static int backup_problem(int rc, const char *path, struct problem *problem)
{
	switch (rc) {
	case -EEXIST:
		return problem_set(problem, rc,
				   "%s exists already; a backup is never written over anything.",
				   path);
	case -EUCLEAN:
		return problem_set(problem, rc,
				   "The log is damaged: the copy did not pass the integrity check. "
				   "Nothing was written to %s.",
				   path);
	case -ECANCELED:
		return problem_set(problem, rc, "The backup was given up: the broker is stopping.");
	default:
		return problem_set(problem, rc, "%s: the backup failed: %s. No file was left.",
				   path, strerror(-rc));
	}
}

/* SQLite leaves the journal of a copy that it could not finish. */
static void remove_copy(const char *path)
{
	char journal[PATH_MAX];

	unlink(path);
	if (snprintf(journal, sizeof(journal), "%s-journal", path) < (int)sizeof(journal))
		unlink(journal);
}

static int make_backup(struct store *s, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

	if (fd < 0)
		return -errno;
	int rc = copy_into(s, path);
	if (rc == 0)
		rc = finish_copy(s, path, fd);
	if (rc == 0)
		rc = schema_sync_parent(path);
	close(fd);
	if (rc != 0)
		remove_copy(path);
	return rc;
}

int sqlite_backup(struct store_reader *r, const char *path, struct problem *problem)
{
	CHECK_OBJ(r, SQLITE_READER_MAGIC);
	char *plain = connection_path(path);
	int rc = make_backup(r->s, plain);

	free(plain);
	return rc == 0 ? 0 : backup_problem(rc, path, problem);
}
