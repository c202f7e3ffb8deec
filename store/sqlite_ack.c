/* SPDX-License-Identifier: MIT */
/*
 * sqlite_ack: positions of durable subscribers in the SQLite engine.
 *
 * DESIGN: a row per (subscriber, channel), in the order of that key; a second index leads from a
 * channel to its subscribers. Neither holds the position, so an acknowledgement changes one leaf
 * page and no index. Changes are staged and written by the append that follows, in its transaction:
 * a round of messages and acknowledgements is one commit. How many rows there are is counted once
 * and kept in step; after a rollback it is counted again.
 */
#include "store/sqlite_engine.h"

#include <errno.h>

static void bind_text(sqlite3_stmt *stmt, int i, struct slice text)
{
	sqlite3_bind_text(stmt, i, text.n ? text.p : "", (int)text.n, SQLITE_STATIC);
}

void sqlite_ack_stage(struct store *s, struct store_ack *const *acks, size_t n)
{
	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	s->acks = acks;
	s->ack_n = n;
}

/* --- writing --------------------------------------------------------------------------------- */

static int count_rows(struct store *s)
{
	if (s->ack_rows >= 0)
		return 0;
	return connection_number(&s->c, "SELECT count(*) FROM ack", &s->ack_rows);
}

/* Return 1 when there was a row, 0 when there was none, or negative errno. */
static int update(struct store *s, struct store_ack *a)
{
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_ACK_UPDATE);

	if (stmt == NULL)
		return connection_error(&s->c);
	bind_text(stmt, 1, a->subscriber);
	bind_text(stmt, 2, a->channel);
	sqlite3_bind_int64(stmt, 3, (sqlite3_int64)a->seq);
	sqlite3_bind_int64(stmt, 4, a->ts_ms);
	sqlite3_bind_int(stmt, 5, a->is_passed);
	int rc = sqlite3_step(stmt), found = 0;
	if (rc == SQLITE_ROW) {
		a->kept = (uint64_t)sqlite3_column_int64(stmt, 0);
		found = 1;
		/* the change is complete when the statement is */
		rc = sqlite3_step(stmt);
	}
	if (rc != SQLITE_DONE)
		found = connection_error(&s->c);
	sqlite3_reset(stmt);
	return found;
}

static int insert(struct store *s, struct store_ack *a)
{
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_ACK_INSERT);

	if (stmt == NULL)
		return connection_error(&s->c);
	bind_text(stmt, 1, a->subscriber);
	bind_text(stmt, 2, a->channel);
	sqlite3_bind_int64(stmt, 3, (sqlite3_int64)a->begin);
	sqlite3_bind_int64(stmt, 4, a->ts_ms);
	int rc = connection_run(&s->c, stmt);
	if (rc == 0) {
		a->kept = a->begin;
		s->ack_rows++;
	}
	return rc;
}

static int write_one(struct store *s, struct store_ack *a)
{
	int rc = update(s, a);

	a->error = 0;
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (a->begin == STORE_ACK_NO_BEGIN) {
		a->error = -ENOENT;
		return 0;
	}
	rc = count_rows(s);
	if (rc == 0 && (uint64_t)s->ack_rows >= s->ack_max) {
		a->error = -EDQUOT;
		return 0;
	}
	return rc != 0 ? rc : insert(s, a);
}

int acks_write(struct store *s)
{
	int rc = 0;

	assert(s->in_transaction);
	for (size_t i = 0; i < s->ack_n && rc == 0; i++)
		rc = write_one(s, s->acks[i]);
	return rc;
}

int sqlite_ack_forget(struct store *s, const struct store_ack *acks, size_t n)
{
	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	int rc = store_begin(s, false);

	for (size_t i = 0; i < n && rc == 0; i++) {
		sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_ACK_DELETE);
		if (stmt == NULL) {
			rc = connection_error(&s->c);
			break;
		}
		bind_text(stmt, 1, acks[i].subscriber);
		bind_text(stmt, 2, acks[i].channel);
		rc = connection_run(&s->c, stmt);
	}
	s->ack_rows = -1; /* counted again when it matters */
	return store_end(s, rc);
}

/* --- reading --------------------------------------------------------------------------------- */

static int list(struct connection *c, const struct store_ack_range *range, store_ack_fn *row,
		void *arg)
{
	bool by_subscriber = range->subscriber.p != NULL, by_channel = range->channel.p != NULL;
	sqlite3_stmt *stmt = connection_stmt(c, by_subscriber ? SQL_ACKS_OF_SUBSCRIBER
						: by_channel  ? SQL_ACKS_OF_CHANNEL
							      : SQL_ACKS);
	int rc;

	assert(!by_subscriber || !by_channel);
	if (stmt == NULL)
		return connection_error(c);
	bind_text(stmt, 1, by_subscriber ? range->subscriber : range->after_subscriber);
	bind_text(stmt, 2, by_channel ? range->channel : range->after_channel);
	sqlite3_bind_int64(stmt, 3, (sqlite3_int64)range->max);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct store_ack_row r = {
			.subscriber = slice_make((const char *)sqlite3_column_text(stmt, 0),
						 (size_t)sqlite3_column_bytes(stmt, 0)),
			.channel = slice_make((const char *)sqlite3_column_text(stmt, 1),
					      (size_t)sqlite3_column_bytes(stmt, 1)),
			.seq = (uint64_t)sqlite3_column_int64(stmt, 2),
			.ts_ms = sqlite3_column_int64(stmt, 3),
			.is_passed = sqlite3_column_int(stmt, 4) != 0,
		};
		/* not written by us, or no memory to show it */
		if (r.subscriber.p == NULL || r.channel.p == NULL || r.subscriber.n > UINT8_MAX ||
		    r.channel.n > UINT8_MAX) {
			sqlite3_reset(stmt);
			return -EUCLEAN;
		}
		row(arg, &r);
	}
	int error = rc == SQLITE_DONE ? 0 : connection_error(c);
	sqlite3_reset(stmt);
	return error;
}

int sqlite_ack_scan(struct store *s, const struct store_ack_range *range, store_ack_fn *row,
		    void *arg)
{
	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	return list(&s->c, range, row, arg);
}

int sqlite_ack_list(struct store_reader *r, const struct store_ack_range *range, store_ack_fn *row,
		    void *arg)
{
	CHECK_OBJ(r, SQLITE_READER_MAGIC);
	return list(&r->c, range, row, arg);
}

int sqlite_ack_standing(struct store *s, struct slice channel, struct channel_info *ret)
{
	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	return channel_describe(&s->c, channel, ret);
}

int sqlite_ack_behind(struct store_reader *r, struct slice channel, uint64_t after, size_t max,
		      uint64_t *ret_n)
{
	CHECK_OBJ(r, SQLITE_READER_MAGIC);
	sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_MESSAGES_BEHIND);

	if (stmt == NULL)
		return connection_error(&r->c);
	bind_text(stmt, 1, channel);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)after);
	sqlite3_bind_int64(stmt, 3, (sqlite3_int64)max);
	int rc = sqlite3_step(stmt), error = 0;
	if (rc == SQLITE_ROW)
		*ret_n = (uint64_t)sqlite3_column_int64(stmt, 0);
	else
		error = connection_error(&r->c);
	sqlite3_reset(stmt);
	return error;
}
