/* SPDX-License-Identifier: MIT */
/*
 * sqlite_read: range reads, the hot half of every reconnect.
 *
 * DESIGN: a page of N rows from k channels. One read transaction, so that head, floor and rows are
 * of one moment. One look at each channel's row says whether it has anything after the cursor; only
 * then does it get a statement over (channel, seq), stepped row by row. A heap tells which
 * statement stands on the smallest seq: k + N steps in all, nothing sorted, nothing read that is
 * not given. Statements come from a pool of the reader, because preparing one costs more than a
 * short range.
 *
 * It must never hold its transaction longer than a page: it keeps the write-ahead log from starting
 * anew.
 */
#include "store/sqlite_engine.h"

#include <errno.h>
#include <stdlib.h>

#include "base/xalloc.h"

int sqlite_reader_open(struct store *s, struct store_reader **ret)
{
	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	struct store_reader *r = xcalloc(1, sizeof(*r));
	int rc = connection_open(&r->c, s->path, SQLITE_OPEN_READONLY);
	if (rc == 0)
		rc = connection_exec(&r->c, "PRAGMA query_only = 1; PRAGMA cache_size = -4096;"
					    "PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY");
	if (rc != 0) {
		connection_close(&r->c);
		free(r);
		return rc;
	}
	sqlite3_busy_timeout(r->c.db, 1000);
	r->magic = SQLITE_READER_MAGIC;
	r->s = s;
	*ret = r;
	return 0;
}

void sqlite_reader_close(struct store_reader *r)
{
	if (r == NULL)
		return;
	CHECK_OBJ(r, SQLITE_READER_MAGIC);
	while (r->pool_n > 0)
		sqlite3_finalize(r->pool[--r->pool_n]);
	connection_close(&r->c);
	free(r->cursors);
	merge_fini(&r->merge);
	r->magic = 0;
	free(r);
}

/* --- one range ----------------------------------------------------------------------------------
 */

static sqlite3_stmt *pool_take(struct store_reader *r)
{
	if (r->pool_n > 0)
		return r->pool[--r->pool_n];
	return connection_prepare(&r->c, SQL_MESSAGES_RANGE);
}

static void pool_give(struct store_reader *r, sqlite3_stmt *stmt)
{
	sqlite3_reset(stmt);
	if (r->pool_n < RANGE_POOL_MAX)
		r->pool[r->pool_n++] = stmt;
	else
		sqlite3_finalize(stmt);
}

/* Read the channel's row; all zero when there is none. */
static int load_channel(struct store_reader *r, struct slice name, struct channel_state *ret)
{
	sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_CHANNEL_BY_NAME);

	if (stmt == NULL)
		return connection_error(&r->c);
	sqlite3_bind_text(stmt, 1, name.p, (int)name.n, SQLITE_STATIC);
	int rc = sqlite3_step(stmt), error = 0;
	if (rc == SQLITE_ROW)
		channel_state_read(stmt, ret);
	else if (rc == SQLITE_DONE)
		*ret = (struct channel_state){0};
	else
		error = connection_error(&r->c);
	sqlite3_reset(stmt);
	return error;
}

/* Where do the newest range->last messages ≤ upto begin? */
static int resolve_last(struct store_reader *r, const struct channel_state *row, uint64_t upto,
			struct store_range *range)
{
	sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_MESSAGES_LAST);

	if (stmt == NULL)
		return connection_error(&r->c);
	sqlite3_bind_int64(stmt, 1, row->id);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)upto);
	sqlite3_bind_int64(stmt, 3, range->last);
	int rc = sqlite3_step(stmt), error = 0;
	if (rc == SQLITE_ROW) {
		uint64_t first = (uint64_t)sqlite3_column_int64(stmt, 0);
		range->after = sqlite3_column_int64(stmt, 1) > 0 ? first - 1 : upto;
	} else {
		error = connection_error(&r->c);
	}
	sqlite3_reset(stmt);
	return error;
}

/* Step the cursor. Return 1 on a row, 0 at the end, or negative errno. */
static int cursor_step(struct store_reader *r, struct sql_cursor *cur)
{
	int rc = sqlite3_step(cur->stmt);

	if (rc == SQLITE_DONE)
		return 0;
	if (rc != SQLITE_ROW)
		return connection_error(&r->c);
	cur->at.seq = (uint64_t)sqlite3_column_int64(cur->stmt, 0);
	return 1;
}

/* Answer the range's questions, and put its cursor on the heap when it has rows ≤ upto. */
static int range_start(struct store_reader *r, struct store_range *range, uint64_t upto,
		       struct sql_cursor *cur)
{
	struct channel_state row;
	int rc = load_channel(r, range->channel, &row);

	if (rc != 0)
		return rc;
	range->head = row.head;
	range->floor = row.floor;
	range->oldest = row.oldest;
	if (range->last != 0)
		rc = resolve_last(r, &row, upto, range);
	if (rc != 0 || row.count == 0 || row.head <= range->after || row.oldest > upto)
		return rc;
	cur->channel = range->channel;
	cur->stmt = pool_take(r);
	if (cur->stmt == NULL)
		return connection_error(&r->c);
	sqlite3_bind_int64(cur->stmt, 1, row.id);
	sqlite3_bind_int64(cur->stmt, 2, (sqlite3_int64)range->after);
	sqlite3_bind_int64(cur->stmt, 3, (sqlite3_int64)upto);
	rc = cursor_step(r, cur);
	if (rc > 0)
		merge_push(&r->merge, &cur->at);
	return rc < 0 ? rc : 0;
}

/* --- the page -----------------------------------------------------------------------------------
 */

static int make_message(const struct sql_cursor *cur, struct message **ret)
{
	sqlite3_stmt *stmt = cur->stmt;
	int kind = sqlite3_column_int(stmt, 3);
	const char *payload = sqlite3_column_blob(stmt, 5);
	size_t payload_n = (size_t)sqlite3_column_bytes(stmt, 5);
	struct slice type = slice_str((const char *)sqlite3_column_text(stmt, 4));

	if (kind < MESSAGE_JSON || kind > MESSAGE_BINARY || type.n > UINT16_MAX)
		return -EUCLEAN;
	if (payload == NULL && sqlite3_errcode(sqlite3_db_handle(stmt)) == SQLITE_NOMEM)
		return -ENOMEM;
	struct message *m = message_new(&(struct message_spec){
		.channel = cur->channel,
		.type = type,
		.payload = slice_make(payload ? payload : "", payload ? payload_n : 0),
		.kind = (enum message_kind)kind,
		.durability = DURABILITY_COMMIT,
	});
	if (m == NULL)
		return -ENOMEM;
	m->seq = cur->at.seq;
	m->prev = (uint64_t)sqlite3_column_int64(stmt, 1);
	m->ts_ms = sqlite3_column_int64(stmt, 2);
	m->born_us = 0;
	*ret = m;
	return 0;
}

static int read_rows(struct store_reader *r, struct store_read *q, store_row_fn *row, void *arg)
{
	struct merge_cursor *top;
	size_t n = 0, bytes = 0;

	while ((top = merge_top(&r->merge)) != NULL && n < q->row_max &&
	       (n == 0 || bytes < q->byte_max)) {
		struct sql_cursor *cur = container_of(top, struct sql_cursor, at);
		struct message *m;
		int rc = make_message(cur, &m);
		if (rc != 0)
			return rc;
		n++;
		bytes += m->payload_n;
		row(arg, m);
		rc = cursor_step(r, cur);
		if (rc < 0)
			return rc;
		if (rc > 0)
			merge_sink(&r->merge);
		else
			merge_pop(&r->merge);
	}
	q->reached = top ? top->seq - 1 : q->upto;
	return 0;
}

static int read_page(struct store_reader *r, struct store_read *q, store_row_fn *row, void *arg)
{
	int rc = connection_run_id(&r->c, SQL_BEGIN_READ);

	for (size_t i = 0; i < q->range_n && rc == 0; i++)
		rc = range_start(r, &q->ranges[i], q->upto, &r->cursors[i]);
	if (rc == 0)
		rc = read_rows(r, q, row, arg);
	for (size_t i = 0; i < q->range_n; i++) {
		if (r->cursors[i].stmt != NULL)
			pool_give(r, r->cursors[i].stmt);
	}
	if (!sqlite3_get_autocommit(r->c.db)) {
		int end = connection_run_id(&r->c, SQL_COMMIT);
		if (rc == 0)
			rc = end;
	}
	return rc;
}

int sqlite_read(struct store_reader *r, struct store_read *q, store_row_fn *row, void *arg)
{
	CHECK_OBJ(r, SQLITE_READER_MAGIC);
	if (q->range_n > r->cursor_room) {
		r->cursors = xrealloc(r->cursors, q->range_n * sizeof(*r->cursors));
		r->cursor_room = q->range_n;
	}
	if (q->range_n > 0)
		memset(r->cursors, 0, q->range_n * sizeof(*r->cursors));
	merge_reset(&r->merge, q->range_n);
	/* SQLite's numbers have 63 bits */
	uint64_t upto = q->upto;
	if (q->upto > INT64_MAX)
		q->upto = INT64_MAX;
	int rc = read_page(r, q, row, arg);
	if (rc == 0 && q->reached == q->upto)
		q->reached = upto;
	q->upto = upto;
	return rc;
}
