/* SPDX-License-Identifier: MIT */
/*
 * sqlite_read: range reads, the hot half of every reconnect.
 *
 * DESIGN: a page of N rows from k channels. One read transaction, so that head, floor and rows are
 * of one moment. One look at each channel's row says whether it has anything after the cursor; only
 * then does it get a cursor: its next few seqs, taken from the index (channel, seq) without
 * touching a message. A heap tells which cursor stands on the smallest seq, and that message is
 * fetched by its key. k + N short steps in all, nothing sorted, no payload read that is not given.
 *
 * A single channel is read by one statement, which does the same inside SQLite.
 *
 * Not a statement per channel, kept open and stepped: SQLite walks over all open cursors whenever
 * it opens or closes one, which makes a thousand channels cost a million steps.
 *
 * It must never hold its transaction longer than a page: it keeps the write-ahead log from starting
 * anew.
 */
#include "store/sqlite_engine.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "store/sqlite_prefix.h"

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
	connection_close(&r->c);
	free(r->cursors);
	prefixes_free(r->prefixes);
	merge_fini(&r->merge);
	r->magic = 0;
	free(r);
}

/* --- one range ------------------------------------------------------------------------------- */

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

/* Where do the newest range->last messages ≤ upto that have not expired begin? */
static int resolve_last(struct store_reader *r, const struct channel_state *row, uint64_t upto,
			struct store_range *range)
{
	sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_MESSAGES_LAST);

	if (stmt == NULL)
		return connection_error(&r->c);
	sqlite3_bind_int64(stmt, 1, row->id);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)upto);
	sqlite3_bind_int64(stmt, 3, range->last);
	sqlite3_bind_int64(stmt, 4, clock_wall_ms());
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

int cursor_fill(struct store_reader *r, struct sql_cursor *cur, uint64_t after, uint64_t upto)
{
	sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_MESSAGES_SEQS);
	int rc;

	if (stmt == NULL)
		return connection_error(&r->c);
	cur->i = cur->n = 0;
	sqlite3_bind_int64(stmt, 1, cur->id);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)after);
	sqlite3_bind_int64(stmt, 3, (sqlite3_int64)upto);
	sqlite3_bind_int64(stmt, 4, (sqlite3_int64)r->look_ahead);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
		cur->seqs[cur->n++] = (uint64_t)sqlite3_column_int64(stmt, 0);
	int error = rc == SQLITE_DONE ? 0 : connection_error(&r->c);
	sqlite3_reset(stmt);
	if (error != 0)
		return error;
	cur->is_last = cur->n < r->look_ahead;
	cur->at.seq = cur->seqs[0];
	return cur->n > 0;
}

/* Move on. Return 1 when the cursor stands on a message, 0 at the end, or negative errno. */
static int cursor_step(struct store_reader *r, struct sql_cursor *cur, uint64_t upto)
{
	if (++cur->i == cur->n)
		return cur->is_last ? 0 : cursor_fill(r, cur, cur->at.seq, upto);
	cur->at.seq = cur->seqs[cur->i];
	return 1;
}

/* Answer the range's questions. Return 1 when it may have rows ≤ upto, and the cursor knows its
 * channel; 0 or negative errno. */
static int range_answer(struct store_reader *r, struct store_range *range, uint64_t upto,
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
	cur->id = row.id;
	return 1;
}

/* The same, and put its cursor on the heap when it has rows ≤ upto. */
static int range_start(struct store_reader *r, struct store_range *range, uint64_t upto,
		       struct sql_cursor *cur)
{
	int rc = range_answer(r, range, upto, cur);

	if (rc > 0)
		rc = cursor_fill(r, cur, range->after, upto);
	if (rc > 0)
		merge_push(&r->merge, &cur->at);
	return rc < 0 ? rc : 0;
}

/* --- the page -------------------------------------------------------------------------------- */

/* The message that the statement stands on. */
static int make_message(const struct sql_cursor *cur, sqlite3_stmt *stmt, struct message **ret)
{
	int kind = sqlite3_column_int(stmt, 3);
	struct slice type = slice_str((const char *)sqlite3_column_text(stmt, 4));
	const char *payload = sqlite3_column_blob(stmt, 5);
	size_t payload_n = (size_t)sqlite3_column_bytes(stmt, 5);

	/* the index and the table must tell the same story */
	if (sqlite3_column_int64(stmt, 0) != cur->id)
		return -EUCLEAN;
	bool is_marker = kind == SQLITE_KIND_MARKER;
	if (is_marker)
		kind = MESSAGE_BINARY;
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
	m->expires_ms = is_marker ? MESSAGE_MARKER : sqlite3_column_int64(stmt, 6);
	m->born_us = 0;
	*ret = m;
	return 0;
}

static int fetch(struct store_reader *r, const struct sql_cursor *cur, struct message **ret)
{
	sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_MESSAGE_BY_SEQ);

	if (stmt == NULL)
		return connection_error(&r->c);
	sqlite3_bind_int64(stmt, 1, (sqlite3_int64)cur->at.seq);
	int rc = sqlite3_step(stmt), error;
	if (rc == SQLITE_ROW)
		error = make_message(cur, stmt, ret);
	else
		error = rc == SQLITE_DONE ? -EUCLEAN : connection_error(&r->c);
	sqlite3_reset(stmt);
	return error;
}

static int give_row(struct store_reader *r, const struct sql_cursor *cur, store_row_fn *row,
		    void *arg, size_t *bytes)
{
	struct message *m = NULL;
	int rc = fetch(r, cur, &m);

	if (rc != 0)
		return rc;
	*bytes += m->payload_n;
	row(arg, m);
	return 0;
}

static int read_rows(struct store_reader *r, struct store_read *q, store_row_fn *row, void *arg)
{
	struct merge_cursor *top;
	size_t n = 0, bytes = 0;
	uint64_t given = 0;

	while ((top = merge_top(&r->merge)) != NULL && top->seq <= r->limit &&
	       (top->seq == given || (n < q->row_max && (n == 0 || bytes < q->byte_max)))) {
		struct sql_cursor *cur = container_of(top, struct sql_cursor, at);
		/* a range may overlap a prefix */
		if (top->seq != given) {
			int rc = give_row(r, cur, row, arg, &bytes);
			if (rc != 0)
				return rc;
			given = top->seq;
			n++;
		}
		int rc = prefixes_own(r, cur) ? prefixes_step(r, q) : cursor_step(r, cur, q->upto);
		if (rc < 0)
			return rc;
		if (rc > 0)
			merge_sink(&r->merge);
		else
			merge_pop(&r->merge);
	}
	q->reached = top && top->seq <= r->limit ? top->seq - 1 : r->limit;
	return 0;
}

/* All rows of one channel: one statement walks the index and fetches, where a merge asks for each
 * seq by itself. */
static int read_channel(struct store_reader *r, struct store_read *q, store_row_fn *row, void *arg)
{
	struct sql_cursor *cur = &r->cursors[0];
	int rc = range_answer(r, &q->ranges[0], q->upto, cur), error = 0;
	size_t n = 0, bytes = 0;

	q->reached = q->upto;
	if (rc <= 0)
		return rc;
	sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_MESSAGES_OF_CHANNEL);
	if (stmt == NULL)
		return connection_error(&r->c);
	sqlite3_bind_int64(stmt, 1, cur->id);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)q->ranges[0].after);
	sqlite3_bind_int64(stmt, 3, (sqlite3_int64)q->upto);
	sqlite3_bind_int64(stmt, 4, (sqlite3_int64)q->row_max + 1);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct message *m = NULL;

		cur->at.seq = (uint64_t)sqlite3_column_int64(stmt, 7);
		if (n == q->row_max || (n > 0 && bytes >= q->byte_max)) {
			q->reached = cur->at.seq - 1;
			break;
		}
		error = make_message(cur, stmt, &m);
		if (error != 0)
			break;
		bytes += m->payload_n;
		row(arg, m);
		n++;
	}
	if (error == 0 && rc != SQLITE_ROW && rc != SQLITE_DONE)
		error = connection_error(&r->c);
	sqlite3_reset(stmt);
	return error;
}

static int read_page(struct store_reader *r, struct store_read *q, store_row_fn *row, void *arg)
{
	bool has_prefix = false;
	int rc = connection_run_id(&r->c, SQL_BEGIN_READ);

	for (size_t i = 0; i < q->range_n; i++)
		has_prefix |= q->ranges[i].is_prefix;
	if (rc == 0 && has_prefix)
		rc = prefixes_start(r, q);
	if (rc == 0 && q->range_n == 1 && !has_prefix) {
		rc = read_channel(r, q, row, arg);
	} else if (rc == 0) {
		for (size_t i = 0; i < q->range_n && rc == 0; i++)
			if (!q->ranges[i].is_prefix)
				rc = range_start(r, &q->ranges[i], q->upto, &r->cursors[i]);
		if (rc == 0)
			rc = read_rows(r, q, row, arg);
	} else if (rc > 0) {
		q->reached = 0;
		rc = 0;
	}
	if (has_prefix && rc == 0)
		q->scanned = prefixes_scanned(r);
	if (!sqlite3_get_autocommit(r->c.db)) {
		int end = connection_run_id(&r->c, SQL_COMMIT);
		if (rc == 0)
			rc = end;
	}
	return rc;
}

/* Twice what each channel gives to the page when all are equally busy. */
static size_t look_ahead(const struct store_read *q)
{
	size_t n = q->range_n ? q->row_max / q->range_n * 2 : 1;

	return n < 2 ? 2 : n > SEQS_MAX ? SEQS_MAX : n;
}

int sqlite_read(struct store_reader *r, struct store_read *q, store_row_fn *row, void *arg)
{
	CHECK_OBJ(r, SQLITE_READER_MAGIC);
	if (q->range_n > r->cursor_room) {
		r->cursors = xrealloc(r->cursors, q->range_n * sizeof(*r->cursors));
		r->cursor_room = q->range_n;
	}
	merge_reset(&r->merge, q->range_n + PREFIX_CHANNELS_MAX);
	r->look_ahead = look_ahead(q);
	/* SQLite's numbers have 63 bits */
	uint64_t upto = q->upto;
	if (q->upto > INT64_MAX)
		q->upto = INT64_MAX;
	r->limit = q->upto;
	q->scanned = 0;
	int rc = read_page(r, q, row, arg);
	for (size_t i = 0; rc != 0 && i < q->range_n; i++) {
		free(q->ranges[i].losses);
		q->ranges[i].losses = NULL;
	}
	if (rc == 0 && q->reached == q->upto)
		q->reached = upto;
	q->upto = upto;
	return rc;
}
