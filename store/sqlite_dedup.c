/* SPDX-License-Identifier: MIT */
/*
 * sqlite_dedup: remembered publishes in the tables publish_key and producer.
 *
 * DESIGN: a look is one step down a primary key, outside transactions; what was staged is written
 * by the append that follows, in its transaction, after its messages, so that a channel that is new
 * has its id by then. Rows go when they expire, some per trim step, found by an index.
 *
 * Batches over several channels have no channel of their own: their keys stand under id 0, which no
 * channel has.
 */
#include "store/sqlite_engine.h"

#include <errno.h>

/* Columns of both tables, behind their keys. */
static void read_row(sqlite3_stmt *stmt, struct dedup_row *ret)
{
	*ret = (struct dedup_row){
		.first = (uint64_t)sqlite3_column_int64(stmt, 0),
		.n = (uint64_t)sqlite3_column_int64(stmt, 1),
		.durability = (uint8_t)sqlite3_column_int(stmt, 2),
		.expires_ms = sqlite3_column_int64(stmt, 3),
		.producer_seq = (uint64_t)sqlite3_column_int64(stmt, 4),
	};
}

static int step_row(struct store *s, sqlite3_stmt *stmt, struct dedup_row *ret)
{
	int rc = sqlite3_step(stmt), found = 0;

	if (rc == SQLITE_ROW) {
		read_row(stmt, ret);
		/* not written by us */
		found = ret->durability > DURABILITY_SYNC ? -EUCLEAN : 1;
	} else if (rc != SQLITE_DONE) {
		found = connection_error(&s->c);
	}
	sqlite3_reset(stmt);
	return found;
}

/* 0: of no channel, or of one that nothing was ever published to (*ret_known false). */
static int scope_id(struct store *s, struct slice channel, int64_t *ret, bool *ret_known)
{
	struct sql_channel *c;

	*ret = 0;
	*ret_known = true;
	if (channel.n == 0)
		return 0;
	int rc = row_get(s, channel, &c);
	if (rc == 0) {
		*ret = c->row.id;
		*ret_known = c->row.id != 0;
	}
	return rc;
}

int sqlite_find_key(struct store *s, struct slice channel, struct slice key, struct dedup_row *ret)
{
	int64_t id;
	bool is_known;

	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	int rc = scope_id(s, channel, &id, &is_known);
	if (rc != 0 || !is_known)
		return rc;
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_KEY_FIND);
	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_int64(stmt, 1, id);
	sqlite3_bind_blob64(stmt, 2, key.p, key.n, SQLITE_STATIC);
	return step_row(s, stmt, ret);
}

int sqlite_find_producer(struct store *s, struct slice producer, struct dedup_row *ret)
{
	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_PRODUCER_FIND);
	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_text(stmt, 1, producer.p, (int)producer.n, SQLITE_STATIC);
	return step_row(s, stmt, ret);
}

void sqlite_stage(struct store *s, const struct dedup_record *records, size_t n)
{
	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	s->staged = records;
	s->staged_n = n;
}

static int write_record(struct store *s, const struct dedup_record *r)
{
	bool is_key = r->producer.n == 0;
	int64_t id = 0;
	bool is_known;

	int rc = is_key ? scope_id(s, r->channel, &id, &is_known) : 0;
	if (rc != 0)
		return rc;
	sqlite3_stmt *stmt = connection_stmt(&s->c, is_key ? SQL_KEY_SET : SQL_PRODUCER_SET);
	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_int64(stmt, 1, (sqlite3_int64)r->row.first);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)r->row.n);
	sqlite3_bind_int(stmt, 3, r->row.durability);
	sqlite3_bind_int64(stmt, 4, r->row.expires_ms);
	store_note_due(s, r->row.expires_ms);
	if (is_key) {
		sqlite3_bind_int64(stmt, 5, id);
		sqlite3_bind_blob64(stmt, 6, r->key.p, r->key.n, SQLITE_STATIC);
	} else {
		sqlite3_bind_int64(stmt, 5, (sqlite3_int64)r->row.producer_seq);
		sqlite3_bind_text(stmt, 6, r->producer.p, (int)r->producer.n, SQLITE_STATIC);
	}
	rc = connection_run(&s->c, stmt);
	sqlite3_bind_null(stmt, 6); /* the bytes are the publisher's: no pointer stays behind */
	return rc;
}

int dedup_write(struct store *s)
{
	int rc = 0;

	for (size_t i = 0; i < s->staged_n && rc == 0; i++)
		rc = write_record(s, &s->staged[i]);
	return rc;
}

/* --- forgetting ------------------------------------------------------------------------------ */

static int forget_from(struct store *s, bool is_key, int64_t now_ms, size_t max, size_t *ret_n)
{
	sqlite3_stmt *stmt = connection_stmt(&s->c, is_key ? SQL_KEY_DUE : SQL_PRODUCER_DUE);

	if (stmt == NULL)
		return connection_error(&s->c);
	/* a look first: a transaction that changes nothing is not free */
	sqlite3_bind_int64(stmt, 1, now_ms);
	int rc = sqlite3_step(stmt);
	int error = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : connection_error(&s->c);
	sqlite3_reset(stmt);
	if (error != 0 || rc == SQLITE_DONE)
		return error;
	error = store_begin(s, false);
	if (error != 0)
		return error;
	stmt = connection_stmt(&s->c, is_key ? SQL_KEY_FORGET : SQL_PRODUCER_FORGET);
	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_int64(stmt, 1, now_ms);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)max);
	error = connection_run(&s->c, stmt);
	if (error == 0)
		*ret_n += (size_t)sqlite3_changes64(s->c.db);
	return error;
}

int dedup_forget(struct store *s, int64_t now_ms, size_t max, bool *ret_more)
{
	size_t keys = 0, producers = 0;

	int rc = forget_from(s, true, now_ms, max, &keys);
	if (rc == 0)
		rc = forget_from(s, false, now_ms, max, &producers);
	if (keys == max || producers == max)
		*ret_more = true;
	return rc;
}
