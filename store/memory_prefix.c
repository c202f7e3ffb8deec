/* SPDX-License-Identifier: MIT */
/*
 * memory_prefix: the memory engine's log of all messages, and reads of all channels whose names
 * begin with a prefix.
 *
 * DESIGN
 *  - The log is a ring of (seq, message) in rising seq: a read finds its cursor by binary search
 *    and walks from there, however many channels there are. A removed message leaves a hole; holes
 *    at the old end go at once, those between when the ring would have to grow and half of it is
 *    holes, so appending and removing cost O(1) in the long run.
 *  - A walk looks at scan_max entries at most, and says how far it got: what matches may be far
 *    away, and the log thread waits for the lock meanwhile.
 *  - Which channels have lost something after a cursor? Those that were cut since the log was at
 *    that cursor: the list of cut channels, latest first, is walked up to there.
 */
#include "store/memory_engine.h"

#include <stdlib.h>

#include "base/pattern.h"
#include "base/xalloc.h"

#define LOG_ROOM_MIN 64

/* --- the log --------------------------------------------------------------------------------- */

static struct mem_entry *log_entry(const struct mem_log *l, size_t i)
{
	return &l->entries[(l->first + i) & (l->room - 1)];
}

/* Index of the first entry with seq > after. */
static size_t log_after(const struct mem_log *l, uint64_t after)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (log_entry(l, mid)->seq > after)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Move to a ring with room for what there is and as much again, without the holes. */
static void log_renew(struct mem_log *l)
{
	size_t room = LOG_ROOM_MIN, n = 0;

	while (room < l->live * 2)
		room *= 2;
	struct mem_entry *entries = xmalloc(room * sizeof(*entries));
	for (size_t i = 0; i < l->n; i++)
		if (log_entry(l, i)->item)
			entries[n++] = *log_entry(l, i);
	free(l->entries);
	l->entries = entries;
	l->room = room;
	l->first = 0;
	l->n = n;
}

void mem_log_append(struct store *s, struct item *it)
{
	struct mem_log *l = &s->log;

	if (l->n == l->room)
		log_renew(l);
	l->n++;
	l->live++;
	*log_entry(l, l->n - 1) = (struct mem_entry){it->m->seq, it};
}

void mem_log_remove(struct store *s, const struct item *it)
{
	struct mem_log *l = &s->log;
	struct mem_entry *e = log_entry(l, log_after(l, it->m->seq - 1));

	assert(e->item == it);
	e->item = NULL;
	l->live--;
	while (l->n && !log_entry(l, 0)->item) {
		l->first = (l->first + 1) & (l->room - 1);
		l->n--;
	}
}

void mem_note_cut(struct store *s, struct mem_channel *c)
{
	if (c->cut_top)
		TAILQ_REMOVE(&s->cut, c, in_cut);
	c->cut_top = s->top;
	TAILQ_INSERT_HEAD(&s->cut, c, in_cut);
}

/* --- what a prefix has lost ------------------------------------------------------------------ */

static void add_loss(struct store_losses *l, const struct mem_channel *c)
{
	if (l->n == STORE_LOSS_MAX) {
		l->more = true;
		return;
	}
	struct store_loss *loss = &l->each[l->n++];
	loss->floor = c->floor;
	loss->oldest = c->n ? channel_item(c, 0)->m->seq : 0;
	loss->name_n = c->name_n;
	memcpy(loss->name, c->name, c->name_n);
}

static void find_losses(const struct store *s, struct store_range *range, size_t look_max)
{
	uint64_t after = range->last ? 0 : range->after;
	struct store_losses l = {.n = 0};
	const struct mem_channel *c;

	range->head = range->floor = range->oldest = 0;
	if (range->lost_after > after)
		after = range->lost_after;
	/* channels that are forgotten may have had the prefix */
	if (s->unknown_floor > after) {
		l.more = true;
		range->floor = s->unknown_floor;
	}
	TAILQ_FOREACH (c, &s->cut, in_cut) {
		if (c->cut_top <= after)
			break;
		if (look_max-- == 0) {
			l.more = true;
			range->floor = c->cut_top > range->floor ? c->cut_top : range->floor;
			break;
		}
		if (c->floor <= after ||
		    !slice_has_prefix(slice_make(c->name, c->name_n), range->channel))
			continue;
		add_loss(&l, c);
		range->floor = c->floor > range->floor ? c->floor : range->floor;
	}
	if (l.n || l.more) {
		range->losses = xmalloc(sizeof(l));
		*range->losses = l;
	}
}

/* --- the newest of a prefix ------------------------------------------------------------------ */

/* Walk back from range->before until range->last messages are found. False: it is too far. */
static bool find_newest(const struct store *s, struct store_range *range, struct mem_scan *scan,
			const struct store_read *q)
{
	const struct mem_log *l = &s->log;
	uint64_t before = range->before && range->before < q->upto ? range->before : q->upto;
	size_t i = log_after(l, before);

	range->after = before;
	while (i > 0 && range->last > 0) {
		const struct mem_entry *e = log_entry(l, i - 1);

		if (scan->looked == q->scan_max) {
			range->before = e->seq;
			range->is_partial = true;
			return false;
		}
		scan->looked++;
		i--;
		if (!e->item || !slice_has_prefix(message_channel(e->item->m), range->channel) ||
		    message_is_expired(e->item->m))
			continue;
		range->after = e->seq - 1;
		range->last--;
	}
	return true;
}

/* --- the walk -------------------------------------------------------------------------------- */

static bool is_wanted(const struct store_read *q, const struct message *m)
{
	for (size_t i = 0; i < q->range_n; i++) {
		const struct store_range *range = &q->ranges[i];

		if (range->is_prefix && m->seq > range->after &&
		    slice_has_prefix(message_channel(m), range->channel))
			return true;
	}
	return false;
}

/* Find where the newest of each begin. False: at least one is too far away for one read. */
static bool resolve_last(const struct store *s, struct store_read *q, struct mem_scan *scan)
{
	bool is_whole = true;

	for (size_t i = 0; i < q->range_n; i++) {
		struct store_range *range = &q->ranges[i];
		uint32_t last = range->last;

		if (!range->is_prefix || !last)
			continue;
		if (find_newest(s, range, scan, q))
			range->last = last;
		else
			is_whole = false;
	}
	return is_whole;
}

bool mem_scan_start(const struct store *s, struct store_read *q, struct mem_scan *scan)
{
	uint64_t after = UINT64_MAX;

	scan->s = s;
	if (!resolve_last(s, q, scan))
		return false;
	for (size_t i = 0; i < q->range_n; i++) {
		struct store_range *range = &q->ranges[i];

		if (!range->is_prefix)
			continue;
		scan->has_prefix = true;
		find_losses(s, range, q->scan_max);
		after = range->after < after ? range->after : after;
	}
	if (scan->has_prefix)
		scan->next = log_after(&s->log, after);
	return true;
}

bool mem_scan_next(struct mem_scan *scan, const struct store_read *q)
{
	const struct mem_log *l = &scan->s->log;

	for (; scan->next < l->n; scan->next++) {
		const struct mem_entry *e = log_entry(l, scan->next);

		if (e->seq > scan->limit)
			return false;
		if (e->item && is_wanted(q, e->item->m)) {
			scan->cursor.item = e->item;
			scan->cursor.at.seq = e->seq;
			scan->next++;
			return true;
		}
		if (++scan->looked >= q->scan_max) {
			scan->limit = e->seq;
			return false;
		}
	}
	return false;
}
