/* SPDX-License-Identifier: MIT */
/*
 * sqlite_channel: the writer's view of channel rows.
 *
 * DESIGN: every append needs its channel's id and head, and changes head, count and bytes. The rows
 * of the CACHE_MAX channels used last are kept in memory, are authoritative between and during
 * transactions, and are written once per transaction however many messages they got (`touched`).
 *
 *   cached    in the map and on a list; when there are too many, a walk along it drops those that
 *             were not used since it came by last, so a use costs no more than a mark
 *   touched   changed by the open transaction; written by channels_write()
 *   over      holds more messages than its namespace allows; never evicted, or it would be
 * forgotten
 *
 * After a rollback memory and disk differ: everything is forgotten (channels_forget) and comes back
 * from disk. What retention knew goes with it, so its sweep over all channels starts again.
 *
 * Bytes per namespace are sums over channels, made by the sweep while appends go on: a channel
 * counts once the sweep has passed its id, so the sum is exact at any time for the channels passed.
 */
#include "store/sqlite_engine.h"

#include <errno.h>

#include "base/xalloc.h"

#define CACHE_MAX 100000

static struct sql_channel *channel_add(struct store *s, struct slice name,
				       const struct channel_state *row)
{
	struct sql_channel *c = xcalloc(1, sizeof(*c) + name.n);

	memcpy(c->name, name.p, name.n);
	c->name_n = (uint8_t)name.n;
	c->row = *row;
	c->is_used = true;
	c->ns = (size_t)(namespace_find(s->namespaces, name) - s->namespaces->ns);
	HASH_ADD_KEYPTR(hh, s->channels, c->name, name.n, c);
	TAILQ_INSERT_TAIL(&s->lru, c, in_lru);
	s->channel_n++;
	return c;
}

static struct sql_channel *row_find(struct store *s, struct slice name)
{
	struct sql_channel *c;

	HASH_FIND(hh, s->channels, name.p, name.n, c);
	if (c != NULL)
		c->is_used = true;
	return c;
}

struct sql_channel *channel_adopt(struct store *s, sqlite3_stmt *stmt)
{
	struct slice name = channel_name_read(stmt);
	struct channel_state row;
	struct sql_channel *c = row_find(s, name);

	if (c != NULL)
		return c;
	if (name.n == 0 || name.n > UINT8_MAX) /* not written by us */
		return NULL;
	channel_state_read(stmt, &row);
	return channel_add(s, name, &row);
}

int row_get(struct store *s, struct slice name, struct sql_channel **ret)
{
	struct sql_channel *c = row_find(s, name);

	if (c == NULL) {
		sqlite3_stmt *stmt = connection_stmt(&s->c, SQL_CHANNEL_BY_NAME);
		if (stmt == NULL)
			return connection_error(&s->c);
		sqlite3_bind_text(stmt, 1, name.p, (int)name.n, SQLITE_STATIC);
		int rc = sqlite3_step(stmt);
		if (rc == SQLITE_ROW)
			c = channel_adopt(s, stmt);
		else if (rc == SQLITE_DONE)
			c = channel_add(s, name, &(struct channel_state){0});
		int error = c ? 0 : rc == SQLITE_ROW ? -EUCLEAN : connection_error(&s->c);
		sqlite3_reset(stmt);
		if (error != 0)
			return error;
	}
	*ret = c;
	return 0;
}

void channel_touch(struct store *s, struct sql_channel *c)
{
	assert(s->in_transaction);
	if (!c->is_touched)
		STAILQ_INSERT_TAIL(&s->touched, c, in_touched);
	c->is_touched = true;
}

void channel_account(struct store *s, struct sql_channel *c, uint64_t added, uint64_t removed)
{
	struct sql_namespace *ns = &s->ns[c->ns];

	c->row.bytes = c->row.bytes + added - removed;
	if (c->row.id <= s->sweep_id)
		ns->bytes = ns->bytes + added - removed;
}

void channel_refresh(struct store *s, struct sql_channel *c)
{
	const struct namespace *ns = &s->namespaces->ns[c->ns];
	bool is_over = ns->history_count != 0 && c->row.count > ns->history_count;
	int64_t due_ms = 0;

	if (is_over && !c->is_over)
		TAILQ_INSERT_TAIL(&s->over, c, in_over);
	if (!is_over && c->is_over)
		TAILQ_REMOVE(&s->over, c, in_over);
	c->is_over = is_over;
	if (ns->history_age_ms != 0 && c->row.count != 0)
		due_ms = c->row.oldest_ts_ms + (int64_t)ns->history_age_ms;
	/* A due time that is too early costs one look, so it need not follow every removal; too
	 * late it can only be after a change of options, and then the sweep sets it. */
	if ((due_ms == 0) != (c->row.due_ms == 0)) {
		c->row.due_ms = due_ms;
		c->is_due_changed = true;
	}
}

void store_note_due(struct store *s, int64_t due_ms)
{
	if (due_ms != 0 && due_ms < s->quiet_until_ms)
		s->quiet_until_ms = due_ms;
}

static int channel_write(struct store *s, struct sql_channel *c)
{
	const struct channel_state *row = &c->row;
	enum sql_id id = c->is_due_changed     ? SQL_CHANNEL_UPDATE_DUE
			 : c->is_floor_changed ? SQL_CHANNEL_UPDATE_FLOOR
					       : SQL_CHANNEL_UPDATE;
	bool is_new = row->id > s->last_id;

	sqlite3_stmt *stmt = connection_stmt(&s->c, is_new ? SQL_CHANNEL_INSERT : id);
	if (stmt == NULL)
		return connection_error(&s->c);
	sqlite3_bind_int64(stmt, 1, row->id);
	if (is_new)
		sqlite3_bind_text(stmt, 2, c->name, c->name_n, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 3, (sqlite3_int64)row->head);
	sqlite3_bind_int64(stmt, 4, (sqlite3_int64)row->floor);
	sqlite3_bind_int64(stmt, 5, (sqlite3_int64)row->oldest);
	sqlite3_bind_int64(stmt, 6, (sqlite3_int64)row->count);
	sqlite3_bind_int64(stmt, 7, (sqlite3_int64)row->bytes);
	sqlite3_bind_int64(stmt, 8, row->head_ts_ms);
	sqlite3_bind_int64(stmt, 9, row->oldest_ts_ms);
	if (is_new || c->is_due_changed) {
		sqlite3_bind_int64(stmt, 10, row->due_ms);
		store_note_due(s, row->due_ms);
	}
	return connection_run(&s->c, stmt);
}

int channels_write(struct store *s)
{
	struct sql_channel *c;
	int64_t newest = s->last_id;
	int rc = 0;

	while (rc == 0 && (c = STAILQ_FIRST(&s->touched)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->touched, in_touched);
		c->is_touched = false;
		rc = channel_write(s, c);
		c->is_due_changed = c->is_floor_changed = false;
		if (c->row.id > newest)
			newest = c->row.id;
	}
	/* after all of them: `new` means beyond last_id */
	s->last_id = newest;
	return rc;
}

static void channel_drop(struct store *s, struct sql_channel *c)
{
	HASH_DEL(s->channels, c);
	TAILQ_REMOVE(&s->lru, c, in_lru);
	if (c->is_over)
		TAILQ_REMOVE(&s->over, c, in_over);
	s->channel_n--;
	free(c);
}

void channels_evict(struct store *s)
{
	struct sql_channel *c, *next;

	if (s->channel_n <= CACHE_MAX)
		return;
	/* a tenth at a time, so that a walk past pinned ones is rare */
	size_t goal = CACHE_MAX / 10 * 9;
	TAILQ_FOREACH_SAFE (c, &s->lru, in_lru, next) {
		if (s->channel_n <= goal)
			break;
		if (c->is_used) {
			/* once more: the walk comes by again when all were used */
			c->is_used = false;
			TAILQ_REMOVE(&s->lru, c, in_lru);
			TAILQ_INSERT_TAIL(&s->lru, c, in_lru);
		} else if (!c->is_over) {
			channel_drop(s, c);
		}
	}
}

void channels_forget(struct store *s)
{
	struct sql_channel *c, *next;

	STAILQ_INIT(&s->touched);
	TAILQ_FOREACH_SAFE (c, &s->lru, in_lru, next)
		channel_drop(s, c);
	free(s->ns);
	s->ns = xcalloc(s->namespaces->n, sizeof(*s->ns));
	for (size_t i = 0; i < s->namespaces->n; i++)
		s->ns[i].walk = UINT64_MAX;
	s->sweep_id = 0;
	s->quiet_until_ms = 0;
}
