/* SPDX-License-Identifier: MIT */
/*
 * sqlite_trim: retention in small steps, each one transaction, and purge.
 *
 * DESIGN: a step removes at most row_max messages and looks at a few times as many; nothing is ever
 * scanned to find out that there is nothing to do.
 *
 * What expired and what dedup remembered long enough go in the same step, and have rows of their
 * own to spend: sqlite_expire.c, sqlite_dedup.c. A step runs after each commit, and mostly nothing
 * is due by its time: so the store remembers until when (quiet_until_ms), and does not ask before.
 *
 *   too many    an append that takes a channel over its count puts it on the `over` list
 *   too old     the channel row says when its oldest message will be too old (`due`, with an
 * index); a due time may be too early, then it is set right when its time has come too large   per
 * namespace: bytes, and `walk`, a position in the log that all its messages are behind; when it
 * holds too much, the walk goes on along the log and takes what is its own unknown     the sweep,
 * once per start and after each change of options or rollback: looks at every channel row once, in
 * order of id, and files it under the three above
 *
 * All removals are of a channel's oldest messages up to some seq: channel_cut(). The channel row is
 * written in the same transaction, so floor, count and bytes are exact whenever anybody looks.
 */
#include "store/sqlite_engine.h"

#include <errno.h>

#include "base/xalloc.h"

#define SWEEP_STEP 64

/* Which of a channel's oldest messages go. */
struct rule {
	size_t max;        /* at most so many … */
	uint64_t upto;     /* … with seq ≤ this … */
	int64_t ts_max_ms; /* … and a time stamp ≤ this */
};

/* One call of trim. */
struct trim_step {
	struct store *s;
	int64_t now_ms;
	size_t left; /* messages that may still be removed */
	size_t look; /* rows that may still be looked at */
	bool more;
};

/* Find the messages that the rule takes, and note them in the channel's cut_ fields. */
static int channel_measure(struct store *s, struct sql_channel *c, const struct rule *rule)
{
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_MESSAGES_OLDEST);
	int rc;

	if (stmt == NULL)
		return connection_error(&s->c);
	c->cut_n = c->cut_bytes = c->cut_upto = 0;
	sqlite3_bind_int64(stmt, 1, c->row.id);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)rule->max);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		uint64_t seq = (uint64_t)sqlite3_column_int64(stmt, 0);
		if (seq > rule->upto || sqlite3_column_int64(stmt, 1) > rule->ts_max_ms)
			break;
		c->cut_upto = seq;
		c->cut_bytes += (uint64_t)sqlite3_column_int64(stmt, 2);
		c->cut_n++;
	}
	int error = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : connection_error(&s->c);
	sqlite3_reset(stmt);
	return error;
}

/* What is the channel's oldest message now? */
static int channel_find_oldest(struct store *s, struct sql_channel *c)
{
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_MESSAGES_OLDEST);

	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_int64(stmt, 1, c->row.id);
	sqlite3_bind_int64(stmt, 2, 1);
	int rc = sqlite3_step(stmt), error = 0;
	if (rc == SQLITE_ROW) {
		c->row.oldest = (uint64_t)sqlite3_column_int64(stmt, 0);
		c->row.oldest_ts_ms = sqlite3_column_int64(stmt, 1);
	} else if (rc == SQLITE_DONE) {
		c->row.oldest = 0;
		c->row.oldest_ts_ms = 0;
	} else {
		error = connection_error(&s->c);
	}
	sqlite3_reset(stmt);
	/* the row and the messages must tell the same story */
	if (error == 0 && (c->row.oldest == 0) != (c->row.count == 0))
		error = -EUCLEAN;
	return error;
}

/* Remove what was measured. */
static int channel_cut(struct store *s, struct sql_channel *c)
{
	if (c->cut_n == 0)
		return 0;
	int rc = store_begin(s, false);
	if (rc != 0)
		return rc;
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_MESSAGES_DELETE);
	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_int64(stmt, 1, c->row.id);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)c->cut_upto);
	rc = connection_run(&s->c, stmt);
	if (rc != 0)
		return rc;
	if ((uint64_t)sqlite3_changes64(s->c.db) != c->cut_n || c->cut_n > c->row.count ||
	    c->cut_bytes > c->row.bytes)
		return -EUCLEAN;
	channel_touch(s, c);
	c->row.floor = c->cut_upto;
	c->is_floor_changed = true;
	c->row.count -= c->cut_n;
	channel_account(s, c, 0, c->cut_bytes);
	rc = channel_find_oldest(s, c);
	channel_refresh(s, c);
	return rc;
}

static int channel_apply(struct trim_step *t, struct sql_channel *c, const struct rule *rule)
{
	int rc = channel_measure(t->s, c, rule);

	if (rc == 0)
		rc = channel_cut(t->s, c);
	if (rc == 0)
		t->left -= c->cut_n;
	return rc;
}

/* --- too many -------------------------------------------------------------------------------- */

static int trim_over(struct trim_step *t)
{
	struct store *s = t->s;
	struct sql_channel *c;
	int rc = 0;

	while (rc == 0 && t->left > 0 && (c = TAILQ_FIRST(&s->over)) != NULL) {
		uint64_t excess = c->row.count - s->namespaces->ns[c->ns].history_count;
		struct rule rule = {excess < t->left ? excess : t->left, UINT64_MAX, INT64_MAX};
		rc = channel_apply(t, c, &rule);
		if (rc == 0 && c->cut_n == 0)
			rc = -EUCLEAN; /* the row counts messages that are not there */
	}
	return rc;
}

/* --- too old --------------------------------------------------------------------------------- */

static int due_channel(struct trim_step *t, struct sql_channel **ret)
{
	sqlite3_stmt *stmt = connection_stmt(&t->s->c, SQL_CHANNEL_DUE);

	if (stmt == NULL)
		return connection_error(&t->s->c);
	*ret = NULL;
	sqlite3_bind_int64(stmt, 1, t->now_ms);
	int rc = sqlite3_step(stmt), error = 0;
	if (rc == SQLITE_ROW) {
		*ret = channel_adopt(t->s, stmt);
		error = *ret ? 0 : -EUCLEAN;
	} else if (rc != SQLITE_DONE) {
		error = connection_error(&t->s->c);
	}
	sqlite3_reset(stmt);
	return error;
}

/* Remove what is too old, and set the channel's due time right. */
static int trim_due_channel(struct trim_step *t, struct sql_channel *c)
{
	struct store *s = t->s;
	int64_t age_ms = (int64_t)s->namespaces->ns[c->ns].history_age_ms;
	int rc = store_begin(s, false);

	if (rc == 0 && age_ms != 0) {
		struct rule rule = {t->left, UINT64_MAX, t->now_ms - age_ms};
		rc = channel_apply(t, c, &rule);
	}
	if (rc != 0)
		return rc;
	channel_touch(s, c);
	c->row.due_ms = age_ms != 0 && c->row.count != 0 ? c->row.oldest_ts_ms + age_ms : 0;
	c->is_due_changed = true;
	/* the next look goes by the index, so the row must be there */
	return channels_write(s);
}

static int trim_due(struct trim_step *t)
{
	for (;;) {
		struct sql_channel *c = NULL;
		int rc = due_channel(t, &c);
		if (rc != 0 || c == NULL)
			return rc;
		if (t->left == 0 || t->look == 0) {
			t->more = true;
			return 0;
		}
		t->look--;
		rc = trim_due_channel(t, c);
		if (rc != 0)
			return rc;
	}
}

/* --- unknown --------------------------------------------------------------------------------- */

static int sweep_channel(struct trim_step *t, struct sql_channel *c)
{
	struct store *s = t->s;
	struct sql_namespace *ns = &s->ns[c->ns];
	int64_t age_ms = (int64_t)s->namespaces->ns[c->ns].history_age_ms;
	int64_t due_ms = age_ms != 0 && c->row.count != 0 ? c->row.oldest_ts_ms + age_ms : 0;

	s->sweep_id = c->row.id;
	ns->bytes += c->row.bytes;
	if (c->row.oldest != 0 && c->row.oldest < ns->walk)
		ns->walk = c->row.oldest;
	channel_refresh(s, c);
	if (due_ms == c->row.due_ms && !c->is_due_changed)
		return 0;
	int rc = store_begin(s, false);
	if (rc != 0)
		return rc;
	c->row.due_ms = due_ms;
	c->is_due_changed = true;
	channel_touch(s, c);
	return 0;
}

/* The next channels by id. Return how many, or negative errno. */
static int sweep_load(struct store *s, struct sql_channel *found[SWEEP_STEP])
{
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_CHANNELS_AFTER_ID);
	int n = 0, rc;

	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_int64(stmt, 1, s->sweep_id);
	sqlite3_bind_int64(stmt, 2, SWEEP_STEP);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && n < SWEEP_STEP) {
		found[n] = channel_adopt(s, stmt);
		if (found[n++] == NULL)
			break;
	}
	int error = rc == SQLITE_DONE ? 0 : rc == SQLITE_ROW ? -EUCLEAN : connection_error(&s->c);
	sqlite3_reset(stmt);
	return error != 0 ? error : n;
}

static int sweep(struct trim_step *t)
{
	struct sql_channel *found[SWEEP_STEP];
	struct store *s = t->s;

	while (s->sweep_id != INT64_MAX) {
		if (t->left == 0 || t->look < SWEEP_STEP) {
			t->more = true;
			return 0;
		}
		int n = sweep_load(s, found);
		if (n < 0)
			return n;
		t->look -= SWEEP_STEP;
		for (int i = 0; i < n; i++) {
			int rc = sweep_channel(t, found[i]);
			if (rc != 0)
				return rc;
		}
		if (n < SWEEP_STEP)
			s->sweep_id = INT64_MAX;
		/* what it found over the count goes first: that list must not grow without bound */
		int rc = channels_write(s);
		if (rc == 0)
			rc = trim_over(t);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* --- too large ------------------------------------------------------------------------------- */

/* Note one message of the walk in its channel; the channel goes on the list at its first. */
static int walk_row(sqlite3_stmt *stmt, struct sql_channel *c, struct sql_channel **list, size_t *n)
{
	uint64_t seq = (uint64_t)sqlite3_column_int64(stmt, 0);

	if (c->cut_n == 0) {
		list[(*n)++] = c;
		if (seq != c->row.oldest)
			return -EUCLEAN;
	}
	c->cut_upto = seq;
	c->cut_bytes += (uint64_t)sqlite3_column_int64(stmt, 1);
	c->cut_n++;
	return 0;
}

/* Walk on from ns->walk, noting the namespace's messages until `excess` bytes are found. */
static int walk_measure(struct trim_step *t, size_t ns_index, uint64_t excess,
			struct sql_channel **list, size_t *ret_n)
{
	struct store *s = t->s;
	struct sql_namespace *ns = &s->ns[ns_index];
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_MESSAGES_WALK);
	uint64_t found = 0;
	int rc = SQLITE_ROW, error = 0;

	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_int64(stmt, 1, (sqlite3_int64)(ns->walk > INT64_MAX ? INT64_MAX : ns->walk));
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)t->look);
	while (error == 0 && found < excess && t->left > 0 &&
	       (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct slice name = slice_make((const char *)sqlite3_column_text(stmt, 2),
					       (size_t)sqlite3_column_bytes(stmt, 2));
		struct sql_channel *c;
		t->look--;
		ns->walk = (uint64_t)sqlite3_column_int64(stmt, 0) + 1;
		error = row_get(s, name, &c);
		if (error != 0 || c->ns != ns_index)
			continue;
		error = walk_row(stmt, c, list, ret_n);
		found += (uint64_t)sqlite3_column_int64(stmt, 1);
		t->left--;
	}
	if (error == 0 && rc != SQLITE_ROW && rc != SQLITE_DONE)
		error = connection_error(&s->c);
	/* at the end of the log and still too much: the sums do not fit the messages */
	if (error == 0 && rc == SQLITE_DONE && t->look > 0 && found < excess)
		error = -EUCLEAN;
	sqlite3_reset(stmt);
	return error;
}

static int trim_namespace(struct trim_step *t, size_t i)
{
	struct store *s = t->s;
	uint64_t limit = s->namespaces->ns[i].history_bytes;
	size_t n = 0;

	if (limit == 0 || s->ns[i].bytes <= limit)
		return 0;
	if (t->left == 0 || t->look == 0) {
		t->more = true;
		return 0;
	}
	struct sql_channel **list = xcalloc(t->left, sizeof(*list));
	int rc = walk_measure(t, i, s->ns[i].bytes - limit, list, &n);
	for (size_t k = 0; k < n; k++) {
		if (rc == 0)
			rc = channel_cut(s, list[k]);
		list[k]->cut_n = list[k]->cut_bytes = 0;
	}
	free(list);
	if (rc == 0 && s->ns[i].bytes > limit)
		t->more = true;
	return rc;
}

/* --- by its time ----------------------------------------------------------------------------- */

/* Find out until when there is nothing to look for. */
static int find_quiet(struct store *s)
{
	sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_NEXT_DUE);

	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_int64(stmt, 1, INT64_MAX);
	int rc = sqlite3_step(stmt) == SQLITE_ROW ? 0 : connection_error(&s->c);
	if (rc == 0)
		s->quiet_until_ms = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return rc;
}

/* What is too old, what expired, and what dedup remembered long enough. */
static int trim_by_time(struct trim_step *t, size_t row_max, size_t *ret_expired)
{
	struct store *s = t->s;

	if (t->now_ms < s->quiet_until_ms)
		return 0;
	int rc = trim_due(t);
	if (rc == 0)
		rc = sqlite_expire(s, t->now_ms, row_max, ret_expired);
	if (rc == 0)
		rc = dedup_forget(s, t->now_ms, row_max, &t->more);
	/* rows that are written later in this step say so themselves */
	return rc == 0 ? find_quiet(s) : rc;
}

/* --- the face -------------------------------------------------------------------------------- */

int sqlite_trim(struct store *s, int64_t now_ms, size_t row_max, size_t *ret_n)
{
	struct trim_step t = {
		.s = s, .now_ms = now_ms, .left = row_max, .look = 2 * row_max + SWEEP_STEP};
	size_t expired = 0;

	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	int rc = trim_over(&t);
	if (rc == 0)
		rc = sweep(&t);
	if (rc == 0)
		rc = trim_by_time(&t, row_max, &expired);
	for (size_t i = 0; rc == 0 && s->sweep_id == INT64_MAX && i < s->namespaces->n; i++)
		rc = trim_namespace(&t, i);
	rc = store_end(s, rc);
	if (rc != 0)
		return rc;
	*ret_n = row_max - t.left + expired;
	return t.more || expired == row_max || !TAILQ_EMPTY(&s->over) ? 1 : 0;
}

int sqlite_purge(struct store *s, struct slice channel, uint64_t upto, size_t row_max,
		 uint64_t *ret_n)
{
	struct rule rule = {row_max, upto, INT64_MAX};
	struct sql_channel *c;

	CHECK_OBJ(s, SQLITE_STORE_MAGIC);
	int rc = row_get(s, channel, &c);
	if (rc != 0)
		return rc;
	rc = channel_measure(s, c, &rule);
	if (rc == 0)
		rc = channel_cut(s, c);
	uint64_t n = c->cut_n;
	bool more = c->row.oldest != 0 && c->row.oldest <= upto;
	c->cut_n = c->cut_bytes = 0;
	rc = store_end(s, rc);
	if (rc != 0)
		return rc;
	*ret_n = n;
	return more ? 1 : 0;
}
