/* SPDX-License-Identifier: MIT */
/*
 * sqlite_prefix: range reads over all channels whose names begin with a prefix.
 *
 * DESIGN: there are two ways, and which is better depends on the log. Few channels under the prefix
 * and a long way to go: channel by channel, each with a cursor on the heap as if it had been named;
 * what else the log holds costs nothing. Many channels, or a short way: a walk over the log itself
 * from the cursor on, looking at each row's channel; how many channels there are costs nothing. A
 * walk looks at scan_max rows that do not match and then says how far it got (r->limit), so that a
 * page has a bound however rare the matches are. A channel's name never changes, so the walk knows
 * the names of the ids it met before.
 *
 * What a prefix has lost is asked of the index over floors: only channels that lost something since
 * the cursor are looked at, whatever their names, and again scan_max of them at most.
 */
#include "store/sqlite_prefix.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/pattern.h"
#include "base/xalloc.h"

#define WALK_ROWS  256  /* taken from the log at a time */
#define WALK_SHORT 2000 /* a way so short is walked without asking how many channels there are */
#define KNOWN_ROOM 4096

/* A channel that the walk has met. */
struct known {
	int64_t id;
	char *name;
	size_t name_n;
};

struct sql_prefixes {
	/* channel by channel */
	struct sql_cursor channels[PREFIX_CHANNELS_MAX];
	uint64_t after[PREFIX_CHANNELS_MAX];
	char names[PREFIX_CHANNELS_MAX][UINT8_MAX];
	size_t channel_n;
	struct merge back;
	/* the walk */
	struct sql_cursor walk;
	int64_t found_ids[WALK_ROWS];
	uint64_t found[WALK_ROWS];
	size_t found_i, found_n;
	uint64_t next;   /* walk on after this seq */
	uint64_t looked; /* rows, by this read */
	size_t left;     /* of scan_max */
	int64_t now_ms;  /* what counts as expired by this read */
	bool is_over;
	struct known known[KNOWN_ROOM];
};

void prefixes_free(struct sql_prefixes *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < KNOWN_ROOM; i++)
		free(p->known[i].name);
	merge_fini(&p->back);
	free(p);
}

size_t prefixes_scanned(const struct store_reader *r)
{
	return r->prefixes->looked;
}

bool prefixes_own(const struct store_reader *r, const struct sql_cursor *cur)
{
	return r->prefixes != NULL && cur == &r->prefixes->walk;
}

/* The channel's name; good until the next call. -EUCLEAN: there is no such channel. */
static int name_of(struct store_reader *r, int64_t id, struct slice *ret)
{
	struct known *k = &r->prefixes->known[(uint64_t)id % KNOWN_ROOM];

	if (k->name == NULL || k->id != id) {
		sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_CHANNEL_NAME);
		if (stmt == NULL)
			return connection_error(&r->c);
		sqlite3_bind_int64(stmt, 1, id);
		int rc = sqlite3_step(stmt), error = 0;
		if (rc == SQLITE_ROW) {
			const char *text = (const char *)sqlite3_column_text(stmt, 0);
			free(k->name);
			k->id = id;
			k->name_n = (size_t)sqlite3_column_bytes(stmt, 0);
			k->name = xstrndup(text ? text : "", k->name_n);
		} else {
			error = rc == SQLITE_DONE ? -EUCLEAN : connection_error(&r->c);
		}
		sqlite3_reset(stmt);
		if (error != 0)
			return error;
	}
	*ret = slice_make(k->name, k->name_n);
	return 0;
}

/* --- what was lost --------------------------------------------------------------------------- */

static void add_loss(struct store_range *range, sqlite3_stmt *stmt, struct slice name)
{
	struct store_losses *l = range->losses;

	if (l == NULL)
		l = range->losses = xcalloc(1, sizeof(*l));
	if (l->n == STORE_LOSS_MAX) {
		l->more = true;
		return;
	}
	struct store_loss *loss = &l->each[l->n++];
	loss->floor = (uint64_t)sqlite3_column_int64(stmt, 1);
	loss->oldest = (uint64_t)sqlite3_column_int64(stmt, 2);
	loss->name_n = (uint8_t)name.n;
	memcpy(loss->name, name.p, name.n);
	if (loss->floor > range->floor)
		range->floor = loss->floor;
}

static int find_losses(struct store_reader *r, struct store_range *range, size_t look_max)
{
	sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_CHANNELS_LOST);
	uint64_t after = range->last ? 0 : range->after;
	int rc = SQLITE_DONE;

	if (stmt == NULL)
		return connection_error(&r->c);
	if (range->lost_after > after)
		after = range->lost_after;
	range->head = range->floor = range->oldest = 0;
	sqlite3_bind_int64(stmt, 1, after > INT64_MAX ? INT64_MAX : (sqlite3_int64)after);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)look_max + 1);
	for (size_t n = 1; (rc = sqlite3_step(stmt)) == SQLITE_ROW; n++) {
		struct slice name = slice_str((const char *)sqlite3_column_text(stmt, 0));
		r->prefixes->looked++;
		if (n > look_max) {
			/* what was not looked at has lower floors than this */
			if (range->losses == NULL) {
				range->losses = xcalloc(1, sizeof(*range->losses));
				range->floor = (uint64_t)sqlite3_column_int64(stmt, 1);
			}
			range->losses->more = true;
			rc = SQLITE_DONE;
			break;
		}
		if (name.n <= UINT8_MAX && slice_has_prefix(name, range->channel))
			add_loss(range, stmt, name);
		if (range->losses != NULL && range->losses->more) {
			rc = SQLITE_DONE;
			break;
		}
	}
	int error = rc == SQLITE_DONE ? 0 : connection_error(&r->c);
	sqlite3_reset(stmt);
	return error;
}

/* --- channel by channel ---------------------------------------------------------------------- */

static void add_channel(struct sql_prefixes *p, struct slice name, int64_t id, uint64_t after)
{
	struct sql_cursor *cur = &p->channels[p->channel_n];

	memcpy(p->names[p->channel_n], name.p, name.n);
	cur->channel = slice_make(p->names[p->channel_n], name.n);
	cur->id = id;
	p->after[p->channel_n++] = after;
}

/* Add the channels of the range that hold messages after `after`. Return 0, 1 when there are too
 * many channels, or negative errno. */
static int add_channels(struct store_reader *r, const struct store_range *range, uint64_t after)
{
	sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_CHANNELS_AFTER_NAME);
	struct sql_prefixes *p = r->prefixes;
	size_t n = 0;
	int rc;

	if (stmt == NULL)
		return connection_error(&r->c);
	sqlite3_bind_text(stmt, 1, range->channel.n ? range->channel.p : "", (int)range->channel.n,
			  SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, "", 0, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 3, PREFIX_CHANNELS_MAX + 1);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct slice name = channel_name_read(stmt);
		struct channel_state row;
		if (!slice_has_prefix(name, range->channel))
			break; /* past the prefix */
		channel_state_read(stmt, &row);
		p->looked++;
		if (++n > PREFIX_CHANNELS_MAX || p->channel_n == PREFIX_CHANNELS_MAX) {
			sqlite3_reset(stmt);
			return 1;
		}
		if (name.n <= UINT8_MAX && row.count > 0 && row.head > after)
			add_channel(p, name, row.id, after);
	}
	int error = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : connection_error(&r->c);
	sqlite3_reset(stmt);
	return error;
}

static size_t take_at_once(size_t rows, size_t channels)
{
	size_t n = channels ? rows / channels * 2 : 2;

	return n < 2 ? 2 : n > SEQS_MAX ? SEQS_MAX : n;
}

static int start_channels(struct store_reader *r, const struct store_read *q)
{
	struct sql_prefixes *p = r->prefixes;

	r->look_ahead = take_at_once(q->row_max, p->channel_n + q->range_n);
	for (size_t i = 0; i < p->channel_n; i++) {
		int rc = cursor_fill(r, &p->channels[i], p->after[i], q->upto);
		if (rc < 0)
			return rc;
		if (rc > 0)
			merge_push(&r->merge, &p->channels[i].at);
	}
	return 0;
}

/* --- the walk -------------------------------------------------------------------------------- */

/* Return 1 when a range wants the row, 0, or negative errno. */
static int is_wanted(struct store_reader *r, const struct store_read *q, uint64_t seq, int64_t id)
{
	struct slice name;
	int rc = name_of(r, id, &name);

	for (size_t i = 0; rc == 0 && i < q->range_n; i++) {
		const struct store_range *range = &q->ranges[i];
		if (range->is_prefix && seq > range->after &&
		    slice_has_prefix(name, range->channel))
			return 1;
	}
	return rc;
}

/* Look at the next rows of the log. */
static int walk_on(struct store_reader *r, struct store_read *q)
{
	sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_LOG_FORTH);
	struct sql_prefixes *p = r->prefixes;
	size_t rows = p->left < WALK_ROWS ? p->left : WALK_ROWS, n = 0;
	int rc, wanted = 0;

	if (stmt == NULL)
		return connection_error(&r->c);
	sqlite3_bind_int64(stmt, 1, (sqlite3_int64)p->next);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)q->upto);
	sqlite3_bind_int64(stmt, 3, (sqlite3_int64)rows);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		p->next = (uint64_t)sqlite3_column_int64(stmt, 0);
		int64_t id = sqlite3_column_int64(stmt, 1);
		n++;
		wanted = is_wanted(r, q, p->next, id);
		if (wanted < 0)
			break;
		if (wanted > 0) {
			p->found_ids[p->found_n] = id;
			p->found[p->found_n++] = p->next;
		} else {
			p->left--;
		}
	}
	int error = wanted < 0 ? wanted : rc == SQLITE_DONE ? 0 : connection_error(&r->c);
	sqlite3_reset(stmt);
	p->looked += n;
	p->is_over = n < rows;
	return error;
}

int prefixes_step(struct store_reader *r, struct store_read *q)
{
	struct sql_prefixes *p = r->prefixes;

	if (p->found_i == p->found_n) {
		p->found_i = p->found_n = 0;
		while (p->found_n == 0 && !p->is_over && p->left > 0) {
			int rc = walk_on(r, q);
			if (rc != 0)
				return rc;
		}
		if (p->found_n == 0) {
			if (!p->is_over)
				r->limit = p->next;
			return 0;
		}
	}
	p->walk.at.seq = p->found[p->found_i];
	p->walk.id = p->found_ids[p->found_i++];
	int rc = name_of(r, p->walk.id, &p->walk.channel);
	return rc != 0 ? rc : 1;
}

static int start_walk(struct store_reader *r, struct store_read *q, uint64_t after)
{
	struct sql_prefixes *p = r->prefixes;

	p->found_i = p->found_n = 0;
	p->is_over = false;
	p->next = after;
	p->left = q->scan_max;
	int rc = prefixes_step(r, q);
	if (rc > 0)
		merge_push(&r->merge, &p->walk.at);
	return rc < 0 ? rc : 0;
}

/* --- the newest ------------------------------------------------------------------------------ */

/* Take the seqs up to `upto` of messages that have not expired, newest first. The heap knows
 * smallest only: it gets complements. Return 1 when there are any, 0 or negative errno. */
static int fill_back(struct store_reader *r, struct sql_cursor *cur, uint64_t upto, size_t max)
{
	sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_MESSAGES_SEQS_BACK);
	int rc;

	if (stmt == NULL)
		return connection_error(&r->c);
	cur->i = cur->n = 0;
	sqlite3_bind_int64(stmt, 1, cur->id);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)upto);
	sqlite3_bind_int64(stmt, 3, (sqlite3_int64)max);
	sqlite3_bind_int64(stmt, 4, r->prefixes->now_ms);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
		cur->seqs[cur->n++] = (uint64_t)sqlite3_column_int64(stmt, 0);
	int error = rc == SQLITE_DONE ? 0 : connection_error(&r->c);
	sqlite3_reset(stmt);
	cur->is_last = cur->n < max;
	cur->at.seq = UINT64_MAX - cur->seqs[0];
	return error != 0 ? error : cur->n > 0;
}

static int step_back(struct store_reader *r, struct sql_cursor *cur, size_t max)
{
	uint64_t seq = cur->seqs[cur->i];

	if (++cur->i == cur->n)
		return cur->is_last ? 0 : fill_back(r, cur, seq - 1, max);
	cur->at.seq = UINT64_MAX - cur->seqs[cur->i];
	return 1;
}

/* Where do the newest range->last messages of the channels that were added begin? */
static int newest_of_channels(struct store_reader *r, struct store_range *range, uint64_t before)
{
	struct sql_prefixes *p = r->prefixes;
	size_t max = take_at_once(range->last, p->channel_n);
	struct merge_cursor *top;

	merge_reset(&p->back, p->channel_n);
	for (size_t i = 0; i < p->channel_n; i++) {
		int rc = fill_back(r, &p->channels[i], before, max);
		if (rc < 0)
			return rc;
		if (rc > 0)
			merge_push(&p->back, &p->channels[i].at);
	}
	range->after = before;
	for (uint32_t n = 0; n < range->last && (top = merge_top(&p->back)) != NULL; n++) {
		range->after = UINT64_MAX - top->seq - 1;
		int rc = step_back(r, container_of(top, struct sql_cursor, at), max);
		if (rc < 0)
			return rc;
		if (rc > 0)
			merge_sink(&p->back);
		else
			merge_pop(&p->back);
	}
	return 0;
}

/* The same by a walk back over the log. */
static int newest_of_log(struct store_reader *r, struct store_range *range, uint64_t before)
{
	sqlite3_stmt *stmt = connection_stmt(&r->c, SQL_LOG_BACK);
	struct sql_prefixes *p = r->prefixes;
	uint32_t left = range->last;
	int rc = SQLITE_DONE, error = 0;

	if (stmt == NULL)
		return connection_error(&r->c);
	range->after = before;
	sqlite3_bind_int64(stmt, 1, (sqlite3_int64)before);
	sqlite3_bind_int64(stmt, 2, INT64_MAX);
	sqlite3_bind_int64(stmt, 3, p->now_ms);
	while (left > 0 && error == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		uint64_t seq = (uint64_t)sqlite3_column_int64(stmt, 0);
		struct slice name;
		if (p->left == 0) {
			range->is_partial = true;
			range->before = seq;
			range->last = left;
			break;
		}
		p->left--;
		p->looked++;
		if (sqlite3_column_int(stmt, 2) == 0)
			continue; /* expired */
		error = name_of(r, sqlite3_column_int64(stmt, 1), &name);
		if (error == 0 && slice_has_prefix(name, range->channel)) {
			range->after = seq - 1;
			left--;
		}
	}
	if (error == 0 && rc != SQLITE_ROW && rc != SQLITE_DONE)
		error = connection_error(&r->c);
	sqlite3_reset(stmt);
	return error;
}

static int resolve_last(struct store_reader *r, struct store_range *range, uint64_t upto)
{
	uint64_t before = range->before && range->before < upto ? range->before : upto;

	r->prefixes->channel_n = 0;
	int rc = add_channels(r, range, 0);
	return rc < 0   ? rc
	       : rc > 0 ? newest_of_log(r, range, before)
			: newest_of_channels(r, range, before);
}

/* --- the start ------------------------------------------------------------------------------- */

/* Return 0, 1 when there are too many channels, or negative errno. */
static int add_all_channels(struct store_reader *r, const struct store_read *q)
{
	int rc = 0;

	r->prefixes->channel_n = 0;
	for (size_t i = 0; i < q->range_n && rc == 0; i++)
		if (q->ranges[i].is_prefix)
			rc = add_channels(r, &q->ranges[i], q->ranges[i].after);
	return rc;
}

int prefixes_start(struct store_reader *r, struct store_read *q)
{
	uint64_t after = UINT64_MAX;
	bool is_partial = false;
	int rc = 0;

	if (r->prefixes == NULL)
		r->prefixes = xcalloc(1, sizeof(*r->prefixes));
	r->prefixes->looked = 0;
	r->prefixes->left = q->scan_max;
	r->prefixes->now_ms = clock_wall_ms();
	for (size_t i = 0; i < q->range_n && rc == 0; i++) {
		struct store_range *range = &q->ranges[i];
		if (range->is_prefix && range->last)
			rc = resolve_last(r, range, q->upto);
		is_partial |= range->is_partial;
	}
	if (rc != 0 || is_partial)
		return rc != 0 ? rc : 1;
	for (size_t i = 0; i < q->range_n && rc == 0; i++) {
		struct store_range *range = &q->ranges[i];
		if (!range->is_prefix)
			continue;
		rc = find_losses(r, range, q->scan_max);
		after = range->after < after ? range->after : after;
	}
	if (rc != 0 || after >= q->upto)
		return rc;
	rc = q->upto - after <= WALK_SHORT ? 1 : add_all_channels(r, q);
	return rc < 0 ? rc : rc > 0 ? start_walk(r, q, after) : start_channels(r, q);
}
