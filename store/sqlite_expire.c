/* SPDX-License-Identifier: MIT */
/*
 * sqlite_expire: messages whose ttl is over lose their content, and leave a marker.
 *
 * DESIGN: a marker is the row with an empty payload and kind -1; seq and prev stay. It is what
 * tells a client that comes back later why the chain of prev has no message there. Two markers that
 * follow each other in a channel are one: the earlier row goes, and the later one takes over its
 * prev. So a channel never holds more markers than messages, and one.
 *
 * A marker goes with the oldest messages, as retention says, and only then moves the floor.
 * Removing it earlier would mean a floor above messages that are still there, or a gap that
 * blames retention for what expired.
 *
 *   before            a marker    a message
 *   what expires      A ─ B       m ─ B           one step: B expired, A is the row before it
 *   after             B (A.prev)  m ─ B (marker)  and the same with the row behind it
 */
#include "store/sqlite_engine.h"

#include <errno.h>

struct victim {
	uint64_t seq;
	uint64_t prev;
	uint64_t bytes;
	struct sql_channel *channel;
};

/* The message whose time was over first. Return 1, 0 when there is none, or negative errno. */
static int find_victim(struct store *s, int64_t now_ms, struct victim *ret)
{
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_EXPIRED);

	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_int64(stmt, 1, now_ms);
	int rc = sqlite3_step(stmt), found = 0;
	if (rc == SQLITE_ROW) {
		struct slice name = slice_make((const char *)sqlite3_column_text(stmt, 3),
					       (size_t)sqlite3_column_bytes(stmt, 3));
		ret->seq = (uint64_t)sqlite3_column_int64(stmt, 0);
		ret->prev = (uint64_t)sqlite3_column_int64(stmt, 1);
		ret->bytes = (uint64_t)sqlite3_column_int64(stmt, 2);
		found = row_get(s, name, &ret->channel);
		if (found == 0)
			found = ret->channel->row.id != 0 ? 1 : -EUCLEAN;
	} else if (rc != SQLITE_DONE) {
		found = connection_error(&s->c);
	}
	sqlite3_reset(stmt);
	return found;
}

/* The row beside seq, before or behind it. Return 1 when it is a marker (*ret_seq, *ret_prev), 0
 * when it is none or there is no row, or negative errno. */
static int find_marker(struct store *s, const struct victim *v, bool is_behind, uint64_t *ret_seq,
		       uint64_t *ret_prev)
{
	sqlite3_stmt *stmt =
		connection_stmt(&s->c, is_behind ? SQL_MESSAGE_BEHIND : SQL_MESSAGE_BEFORE);

	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_int64(stmt, 1, v->channel->row.id);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)v->seq);
	int rc = sqlite3_step(stmt), found = 0;
	if (rc == SQLITE_ROW && sqlite3_column_int(stmt, 2) == SQLITE_KIND_MARKER) {
		*ret_seq = (uint64_t)sqlite3_column_int64(stmt, 0);
		*ret_prev = (uint64_t)sqlite3_column_int64(stmt, 1);
		found = 1;
	} else if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
		found = connection_error(&s->c);
	}
	sqlite3_reset(stmt);
	return found;
}

/* Remove a marker that another one, at next_seq, stands for. Its time stamp is near enough: `due`
 * may be too early. */
static int delete_row(struct store *s, struct sql_channel *c, uint64_t seq, uint64_t next_seq)
{
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_MESSAGE_DELETE);

	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_int64(stmt, 1, (sqlite3_int64)seq);
	int rc = connection_run(&s->c, stmt);
	if (rc != 0)
		return rc;
	c->row.count--;
	if (c->row.oldest == seq)
		c->row.oldest = next_seq;
	return 0;
}

/* Make the row a marker, or let the marker `seq` reach back to prev. */
static int set_marker(struct store *s, uint64_t seq, uint64_t prev)
{
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_MESSAGE_MARK);

	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_int64(stmt, 1, (sqlite3_int64)seq);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)prev);
	return connection_run(&s->c, stmt);
}

static int expire_one(struct store *s, const struct victim *v)
{
	struct sql_channel *c = v->channel;
	uint64_t seq, far, prev = v->prev;

	channel_touch(s, c);
	channel_account(s, c, 0, v->bytes);
	int rc = find_marker(s, v, false, &seq, &far);
	if (rc > 0) {
		prev = far;
		rc = delete_row(s, c, seq, v->seq);
	}
	if (rc == 0)
		rc = find_marker(s, v, true, &seq, &far);
	if (rc < 0)
		return rc;
	if (rc > 0) {
		rc = delete_row(s, c, v->seq, seq);
		if (rc == 0)
			rc = set_marker(s, seq, prev);
	} else {
		rc = set_marker(s, v->seq, prev);
	}
	channel_refresh(s, c);
	return rc;
}

int sqlite_expire(struct store *s, int64_t now_ms, size_t max, size_t *ret_n)
{
	struct victim v;
	size_t n = 0;
	int rc = 0;

	while (n < max && (rc = find_victim(s, now_ms, &v)) > 0) {
		rc = store_begin(s, false);
		if (rc == 0)
			rc = expire_one(s, &v);
		if (rc != 0)
			break;
		n++;
	}
	*ret_n = n;
	return rc;
}
