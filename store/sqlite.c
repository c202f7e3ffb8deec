/* SPDX-License-Identifier: MIT */
/*
 * sqlite: the default engine. The log in one SQLite database in WAL mode: open, append, close.
 *
 * DESIGN
 *  - One connection writes (the log thread's), each reader has its own, and one more moves the
 *    write-ahead log into the database (sqlite_checkpoint.c). Nobody waits for anybody.
 *  - `commit` is PRAGMA synchronous = NORMAL: written to the file, so it survives the process;
 * `sync` is FULL: synced before the commit returns, and with it everything that was committed
 * before.
 *  - The write-ahead log is kept short: passes of the checkpoint thread, once a second when there
 * are WAL_KICK_FRAMES to move, and from WAL_HURRY_FRAMES on at once (a page that changes with every
 * commit is written once per pass, so more at a time is less to write). Past WAL_RESTART_FRAMES the
 * log thread moves the last few pages itself, so that SQLite can start the file again. A reader in
 * the middle of a page, or a backup, puts that off.
 *  - Between its transactions the connection goes on reading (hold()), for WAL_HOLD_FRAMES and for
 * a second at most: a checkpoint can not pass it. Who else writes meanwhile is noticed by SQLite at
 * the next BEGIN, and then the connection lets go.
 *  - No mmap: a read error in mapped memory is a signal, not an error code.
 *  - After any failure the transaction is rolled back and everything cached is forgotten; the next
 *    append starts from what is on disk.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "store/engines.h"
#include "store/sqlite_engine.h"

#define WAL_KICK_FRAMES    1000                 /* 4 MB: moved within a second */
#define WAL_HURRY_FRAMES   3500                 /* 14 MB: moved at once */
#define WAL_RESTART_FRAMES 7000                 /* 28 MB; SQLite cuts the file at 32 MB then */
#define WAL_REST_FRAMES    1000                 /* what the log thread may move itself */
#define WAL_HOLD_FRAMES    250                  /* 1 MB that a pass may have to leave */
#define WAL_KEEP_BYTES     ((uint64_t)16 << 20) /* a longer file is cut when idle */

/* --- transactions ---------------------------------------------------------------------------- */

/* A pragma cannot be changed inside a transaction. */
static int set_sync(struct store *s, bool full)
{
	if (s->is_full_sync == full)
		return 0;
	int rc = connection_exec(&s->c, full ? "PRAGMA synchronous = FULL"
					     : "PRAGMA synchronous = NORMAL");
	if (rc == 0)
		s->is_full_sync = full;
	return rc;
}

/* Stop reading between transactions. */
static void let_go(struct store *s)
{
	if (s->is_held)
		sqlite3_reset(s->c.stmts[SQL_HOLD]);
	s->is_held = false;
}

/* In a transaction that is about to be committed. The next one begins where this one ends, so it
 * needs no new lock to read and no look at the file's state: four of six lock calls. */
static int hold(struct store *s)
{
	if (s->is_held)
		return 0;
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_HOLD);
	int rc = stmt ? sqlite3_step(stmt) : SQLITE_ERROR;
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? 0 : connection_error(&s->c);
	s->is_held = true;
	s->held_since = s->wal_frames;
	return 0;
}

int store_begin(struct store *s, bool sync)
{
	if (s->in_transaction)
		return 0;
	int rc = set_sync(s, sync);
	if (rc == 0)
		rc = connection_run_id(&s->c, SQL_BEGIN_WRITE);
	if (rc != 0 && s->is_held) {
		/* somebody else has written since, so what is held is not the end any more */
		let_go(s);
		rc = connection_run_id(&s->c, SQL_BEGIN_WRITE);
	}
	if (rc == 0)
		s->in_transaction = true;
	return rc;
}

/* Move the last pages, so that SQLite can start the file again with the next commit. */
static void restart_wal(struct store *s)
{
	int frames = 0, moved = 0;

	let_go(s);
	if (sqlite3_wal_checkpoint_v2(s->c.db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved) ==
	    SQLITE_OK)
		atomic_store(&s->checkpointer.moved, moved);
	/* a reader may be in the way: leave it some time */
	s->wal_try_at = s->wal_frames + WAL_REST_FRAMES;
}

/* Frames that are not in the database yet. */
static int wal_rest(const struct store *s)
{
	int moved = atomic_load(&s->checkpointer.moved);

	/* fewer than were moved: the file was started again */
	return s->wal_frames >= moved ? s->wal_frames - moved : s->wal_frames;
}

/* Keep the write-ahead log short. */
static void after_commit(struct store *s)
{
	int rest = wal_rest(s);

	s->is_idle = false;
	if (s->wal_frames < WAL_RESTART_FRAMES)
		s->wal_try_at = WAL_RESTART_FRAMES;
	/* the checkpoint goes no further than what is held */
	if (s->wal_frames < s->held_since || s->wal_frames - s->held_since >= WAL_HOLD_FRAMES)
		let_go(s);
	if (atomic_load(&s->checkpointer.is_busy))
		return;
	if (s->wal_frames >= s->wal_try_at && rest <= WAL_REST_FRAMES)
		restart_wal(s);
	else if (s->wal_frames >= s->wal_try_at || rest >= WAL_HURRY_FRAMES)
		checkpointer_kick(&s->checkpointer);
}

int store_end(struct store *s, int rc)
{
	bool was_open = s->in_transaction;

	if (rc == 0 && was_open)
		rc = channels_write(s);
	if (rc == 0 && was_open)
		rc = hold(s);
	if (rc == 0 && was_open)
		rc = connection_run_id(&s->c, SQL_COMMIT);
	s->in_transaction = false;
	s->ack_n = 0;
	if (rc != 0) {
		s->ack_rows = -1;
		let_go(s);
		/* some errors have rolled back already */
		if (!sqlite3_get_autocommit(s->c.db))
			connection_run_id(&s->c, SQL_ROLLBACK);
		channels_forget(s);
		return rc;
	}
	if (was_open)
		after_commit(s);
	channels_evict(s);
	return 0;
}

/* SQLite's own hook would checkpoint on the log thread. */
static int on_commit(void *arg, sqlite3 *db, const char *name, int frames)
{
	struct store *s = arg;

	UNUSED(db);
	UNUSED(name);
	s->wal_frames = frames;
	return SQLITE_OK;
}

/* --- open and close -------------------------------------------------------------------------- */

static void sqlite_close(struct store *s)
{
	if (s == NULL)
		return;
	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	checkpointer_stop(&s->checkpointer);
	channels_forget(s);
	free(s->ns);
	/* the last connection moves the rest and removes the -wal and -shm files */
	connection_close(&s->c);
	if (s->lock_fd >= 0)
		close(s->lock_fd); /* only now: see check_file() */
	if (s->mark_fd >= 0)
		close(s->mark_fd);
	free(s->path);
	s->magic = 0;
	free(s);
}

static int set_up_connection(struct store *s)
{
	int rc = connection_exec(&s->c, "PRAGMA journal_mode = WAL;"
					"PRAGMA synchronous = FULL;"
					"PRAGMA wal_autocheckpoint = 0;"
					"PRAGMA journal_size_limit = 33554432;"
					"PRAGMA cache_size = -16384;"
					"PRAGMA mmap_size = 0;"
					"PRAGMA temp_store = MEMORY;"
					"PRAGMA secure_delete = FAST");
	s->is_full_sync = true;
	sqlite3_busy_timeout(s->c.db, 1000); /* somebody's shell may be writing */
	sqlite3_wal_hook(s->c.db, on_commit, s);
	return rc;
}

static int open_connection(struct store *s, bool adopt)
{
	int64_t id = 0;

	int rc = connection_open_with(&s->c, s->path, SQLITE_OPEN_READWRITE, wal_vfs_name());
	if (rc == 0)
		rc = set_up_connection(s);
	if (rc == 0)
		rc = schema_migrate(&s->c, schema_steps, schema_version);
	if (rc == 0)
		rc = connection_number(&s->c, "SELECT coalesce(max(id), 0) FROM channel", &id);
	s->last_id = s->next_id = id;
	if (rc == 0)
		rc = checkpointer_start(&s->checkpointer, s->path);
	return rc != 0 ? rc : incarnation_take(s, adopt);
}

static int lock_or_create(const char *path, bool create, int *ret_fd, struct problem *problem)
{
	int rc = check_file(path, ret_fd, problem);

	if (rc > 0 && create) {
		rc = schema_create(path, schema_steps, schema_version, problem);
		if (rc == 0 || rc == -EEXIST)
			rc = check_file(path, ret_fd, problem);
	}
	if (rc > 0)
		return problem_set(problem, -ENOENT, "%s: there is no such file.", path);
	return rc;
}

/* SQLite keeps its files beside the file that a link points to; so does everything here. */
static char *real_path(const char *path)
{
	char *real = realpath(path, NULL);

	return real ? real : connection_path(path);
}

static int sqlite_open(const struct store_config *cfg, struct store **ret, struct problem *problem)
{
	int fd = -1;

	if (cfg->path == NULL || cfg->path[0] == '\0')
		return problem_set(problem, -EINVAL, "The sqlite engine needs the path of a file.");
	char *path = real_path(cfg->path);
	int rc = lock_or_create(path, cfg->create, &fd, problem);
	if (rc != 0) {
		free(path);
		return rc;
	}
	struct store *s = xcalloc(1, sizeof(*s));
	s->magic = SQLITE_STORE_MAGIC;
	s->path = path;
	s->lock_fd = fd;
	s->mark_fd = -1;
	s->namespaces = cfg->namespaces;
	s->cancel = cfg->cancel;
	s->ack_rows = -1;
	s->ack_max = cfg->ack_max;
	TAILQ_INIT(&s->lru);
	TAILQ_INIT(&s->over);
	channels_forget(s);
	rc = open_connection(s, cfg->adopt);
	if (rc != 0) {
		problem_set(problem, rc, "%s: cannot be opened: %s (SQLite says: %s).", cfg->path,
			    strerror(-rc), s->c.db ? sqlite3_errmsg(s->c.db) : "nothing");
		sqlite_close(s);
		return rc;
	}
	*ret = s;
	return 0;
}

static int read_epoch(struct store *s, struct epoch *ret)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(s->c.db, "SELECT value FROM meta WHERE key = 'epoch'", -1, &stmt,
			       NULL) != SQLITE_OK)
		return connection_error(&s->c);
	int rc = sqlite3_step(stmt), error = -EUCLEAN;
	if (rc == SQLITE_ROW) {
		struct slice text = slice_make((const char *)sqlite3_column_text(stmt, 0),
					       (size_t)sqlite3_column_bytes(stmt, 0));
		if (text.p != NULL && text.n <= EPOCH_MAX && epoch_is_valid(text)) {
			*ret = (struct epoch){""};
			memcpy(ret->text, text.p, text.n);
			error = 0;
		}
	}
	sqlite3_finalize(stmt);
	return error;
}

static int sqlite_origin(struct store *s, struct store_origin *ret)
{
	struct store_origin o = {0};
	int64_t top, ts, reserved, head;

	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	int rc = read_epoch(s, &o.epoch);
	if (rc == 0)
		rc = connection_number(&s->c, "SELECT coalesce(max(seq), 0) FROM message", &top);
	if (rc == 0)
		rc = connection_number(&s->c, "SELECT value FROM meta WHERE key = 'reserved'",
				       &reserved);
	/* the newest message may have been removed since: its channel knows (once per start) */
	if (rc == 0)
		rc = connection_number(&s->c, "SELECT coalesce(max(head), 0) FROM channel", &head);
	if (rc == 0)
		rc = connection_number(&s->c, "SELECT coalesce(max(head_ts), 0) FROM channel", &ts);
	if (rc != 0)
		return rc;
	o.top = (uint64_t)(top > head ? top : head);
	o.reserved = (uint64_t)reserved;
	o.top_ts_ms = ts;
	o.lineage = s->lineage;
	*ret = o;
	return 0;
}

static int sqlite_reserve(struct store *s, uint64_t seq)
{
	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	int rc = store_begin(s, true);
	if (rc == 0)
		rc = meta_set_number(&s->c, "reserved", seq);
	/* SQLite writes nothing when the value is the same, and would tell a probe that all is well
	 */
	if (rc == 0)
		rc = meta_count(&s->c, "reservations");
	return store_end(s, rc);
}

/* --- append ---------------------------------------------------------------------------------- */

/* Bind the columns of one message, the first of them to the parameter `at`. */
static int bind_message(struct store *s, sqlite3_stmt *stmt, int at, int64_t channel,
			const struct message *m)
{
	struct slice payload = message_payload(m);

	sqlite3_bind_int64(stmt, at, (sqlite3_int64)m->seq);
	sqlite3_bind_int64(stmt, at + 1, channel);
	sqlite3_bind_int64(stmt, at + 2, (sqlite3_int64)m->prev);
	sqlite3_bind_int64(stmt, at + 3, m->ts_ms);
	sqlite3_bind_int(stmt, at + 4, m->kind);
	if (m->type_n > 0)
		sqlite3_bind_text(stmt, at + 5, message_type(m).p, m->type_n, SQLITE_STATIC);
	else
		sqlite3_bind_null(stmt, at + 5);
	/* the one that can be too big */
	if (sqlite3_bind_blob64(stmt, at + 6, payload.n ? payload.p : "", payload.n,
				SQLITE_STATIC) != SQLITE_OK)
		return connection_error(&s->c);
	if (m->expires_ms != 0)
		sqlite3_bind_int64(stmt, at + 7, m->expires_ms);
	else
		sqlite3_bind_null(stmt, at + 7);
	store_note_due(s, m->expires_ms);
	return 0;
}

/* The row of the message's channel as it is with the message. Return the channel's id. */
static int64_t count_message(struct store *s, struct sql_channel *c, const struct message *m)
{
	if (c->row.id == 0)
		c->row.id = ++s->next_id;
	channel_touch(s, c);
	c->row.head = m->seq;
	c->row.head_ts_ms = m->ts_ms;
	c->row.count++;
	if (c->row.oldest == 0) {
		c->row.oldest = m->seq;
		c->row.oldest_ts_ms = m->ts_ms;
	}
	if (m->seq < s->ns[c->ns].walk && c->row.id <= s->sweep_id)
		s->ns[c->ns].walk = m->seq;
	channel_account(s, c, m->payload_n, 0);
	channel_refresh(s, c);
	return c->row.id;
}

/* n messages with one statement, which has as many rows. */
static int append_some(struct store *s, enum sql_id id, struct message *const *some, size_t n)
{
	sqlite3_stmt *stmt = connection_stmt(&s->c, id);
	int rc = 0;

	if (stmt == NULL)
		return connection_error(&s->c);
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct sql_channel *c;
		rc = row_get(s, message_channel(some[i]), &c);
		if (rc == 0)
			rc = bind_message(s, stmt, (int)i * MESSAGE_COLUMNS + 1,
					  count_message(s, c, some[i]), some[i]);
	}
	if (rc == 0)
		rc = connection_run(&s->c, stmt);
	/* the bytes are the messages': no pointer stays behind */
	sqlite3_clear_bindings(stmt);
	return rc;
}

static int append_all(struct store *s, struct message *const *batch, size_t n)
{
	size_t i = 0;
	int rc = 0;

	for (; rc == 0 && n - i >= MESSAGE_ROWS; i += MESSAGE_ROWS)
		rc = append_some(s, SQL_MESSAGES_INSERT, batch + i, MESSAGE_ROWS);
	for (; rc == 0 && i < n; i++)
		rc = append_some(s, SQL_MESSAGE_INSERT, batch + i, 1);
	return rc;
}

static int sqlite_append(struct store *s, struct message *const *batch, size_t n, bool sync)
{
	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	assert(n >= 1 || s->ack_n >= 1);
	int rc = store_begin(s, sync);
	if (rc == 0)
		rc = acks_write(s);
	if (rc == 0)
		rc = append_all(s, batch, n);
	if (rc == 0)
		rc = dedup_write(s);
	s->staged_n = 0;
	rc = store_end(s, rc);
	if (rc == 0 && n > 0)
		incarnation_mark(s, batch[n - 1]->seq);
	return rc;
}

static int sqlite_head(struct store *s, struct slice channel, uint64_t *ret_seq)
{
	struct sql_channel *c;

	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	int rc = row_get(s, channel, &c);
	if (rc == 0)
		*ret_seq = c->row.head;
	return rc;
}

/* --- housekeeping ---------------------------------------------------------------------------- */

static int sqlite_set_namespaces(struct store *s, const struct namespace_table *t)
{
	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	assert(!s->in_transaction);
	s->namespaces = t;
	channels_forget(s);
	return 0;
}

static uint64_t file_bytes(const char *path, const char *suffix)
{
	char name[4096];
	struct stat st;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	return stat(name, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int sqlite_sizes(struct store *s, uint64_t *ret_db_bytes, uint64_t *ret_wal_bytes)
{
	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	let_go(s);
	uint64_t wal = file_bytes(s->path, "-wal");
	if (s->is_idle && wal > WAL_KEEP_BYTES && !atomic_load(&s->checkpointer.is_busy)) {
		/* Nobody publishes and the file is long: move the rest and cut it. No waiting for
		 * readers: with one in the way this does what a passive pass does. */
		sqlite3_busy_timeout(s->c.db, 0);
		sqlite3_wal_checkpoint_v2(s->c.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
		sqlite3_busy_timeout(s->c.db, 1000);
		wal = file_bytes(s->path, "-wal");
		s->wal_frames = 0;
	} else if (s->is_idle && s->wal_frames > 0) {
		checkpointer_kick(&s->checkpointer);
		s->wal_frames = 0;
	} else if (wal_rest(s) >= WAL_KICK_FRAMES) {
		checkpointer_kick(&s->checkpointer);
	}
	s->is_idle = true;
	*ret_db_bytes = file_bytes(s->path, "");
	*ret_wal_bytes = wal;
	return 0;
}

const struct store_engine sqlite_engine = {
	.ops =
		{
			.name = "sqlite",
			.open = sqlite_open,
			.close = sqlite_close,
			.append = sqlite_append,
			.head = sqlite_head,
			.trim = sqlite_trim,
			.reader_open = sqlite_reader_open,
			.reader_close = sqlite_reader_close,
			.read = sqlite_read,
		},
	.admin =
		{
			.channels = sqlite_channels,
			.channel = sqlite_channel,
			.purge = sqlite_purge,
			.backup = sqlite_backup,
			.set_namespaces = sqlite_set_namespaces,
			.sizes = sqlite_sizes,
		},
	.ack =
		{
			.stage = sqlite_ack_stage,
			.forget = sqlite_ack_forget,
			.scan = sqlite_ack_scan,
			.standing = sqlite_ack_standing,
			.list = sqlite_ack_list,
			.behind = sqlite_ack_behind,
		},
	.dedup =
		{
			.find_key = sqlite_find_key,
			.find_producer = sqlite_find_producer,
			.stage = sqlite_stage,
		},
	.origin = sqlite_origin,
	.reserve = sqlite_reserve,
};
