/* SPDX-License-Identifier: MIT */
/*
 * dedup: publishes that are repeated are stored once.
 *
 * DESIGN
 *  - Two ways to know a publish again. A key is a word of the publisher's, good for one channel (of
 *    a batch over several channels: for such batches) during the window. A producer numbers its
 *    publishes, and only its last number is kept: O(1), whatever it sends.
 *  - The rows are kept where the messages are and written in their transaction, so both survive or
 *    neither. A publish with anything for the main store is kept there; one of memory-only messages
 *    beside them, and does not depend on the disk. A producer that writes to both has a row in
 * each, and the larger number counts.
 *  - What the round that is being numbered will remember stands in one map, `pending`, so that the
 *    second of two equal publishes in one commit finds the first. When the commit fails the round
 *    is judged again from what is on disk (round.c), so a failed commit leaves no key behind.
 *
 *   record   lives in
 *   pending  this round, until the next dedup_reset()
 *   staged   the engine, for the time of one append
 *   row      the engine, until it expires
 *
 * It must never be asked by anybody but the log thread: there is no lock.
 */
#include "store/dedup.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/xalloc.h"
#include "store/history_internal.h"

#define NAME_MAX_BYTES (1 + 255 + 1 + 255)

struct dedup_pending {
	UT_hash_handle hh;
	struct dedup_row row;
	size_t name_n;
	char name[];
};

/* What a key or producer is called in the map. */
struct name {
	size_t n;
	char bytes[NAME_MAX_BYTES];
};

static void name_add(struct name *to, struct slice s)
{
	assert(to->n + s.n <= sizeof(to->bytes));
	if (s.n > 0)
		memcpy(to->bytes + to->n, s.p, s.n);
	to->n += s.n;
}

static struct slice scope_of(const struct append *a)
{
	return a->terms->is_scattered ? slice_str("") : message_channel(a->messages[0]);
}

/* Channel names hold no NUL, so the pair is told apart. */
static void name_of(const struct append *a, struct name *ret)
{
	ret->n = 0;
	if (a->terms->producer.n > 0) {
		name_add(ret, SLICE("p"));
		name_add(ret, a->terms->producer);
		return;
	}
	name_add(ret, SLICE("k"));
	name_add(ret, scope_of(a));
	name_add(ret, slice_make("", 1));
	name_add(ret, a->terms->key);
}

void dedup_reset(struct dedup *d)
{
	struct dedup_pending *p, *next;

	HASH_ITER (hh, d->pending, p, next) {
		HASH_DEL(d->pending, p);
		free(p);
	}
	for (int i = 0; i < PLACE_COUNT; i++)
		d->record_n[i] = 0;
}

void dedup_fini(struct dedup *d)
{
	dedup_reset(d);
	for (int i = 0; i < PLACE_COUNT; i++) {
		free(d->records[i]);
		d->records[i] = NULL;
		d->record_room[i] = 0;
	}
}

/* --- judging --------------------------------------------------------------------------------- */

static struct dedup_pending *pending_find(const struct dedup *d, const struct append *a)
{
	struct dedup_pending *p;
	struct name name;

	name_of(a, &name);
	HASH_FIND(hh, d->pending, name.bytes, name.n, p);
	return p;
}

static enum place place_of(const struct history *h, const struct append *a)
{
	return append_has_main(h, a) ? PLACE_MAIN : PLACE_SIDE;
}

/* The key of a batch over several channels may be in either place, whatever it carries this time.
 */
static bool may_be_in(const struct history *h, const struct append *a, enum place place)
{
	return h->shelves[place].store != NULL &&
	       (a->terms->producer.n > 0 || a->terms->is_scattered || place_of(h, a) == place);
}

static int find_in(struct history *h, const struct append *a, enum place place,
		   struct dedup_row *ret)
{
	const struct shelf *shelf = &h->shelves[place];

	return a->terms->producer.n > 0
		       ? shelf->engine->dedup.find_producer(shelf->store, a->terms->producer, ret)
		       : shelf->engine->dedup.find_key(shelf->store, scope_of(a), a->terms->key,
						       ret);
}

/* Of a producer the newest publish, wherever it went. What has expired in one place does not hide
 * what is known in the other. */
static int find_stored(struct history *h, const struct append *a, struct dedup_row *ret)
{
	int found = 0;

	for (int i = 0; i < PLACE_COUNT; i++) {
		struct dedup_row row;

		if (!may_be_in(h, a, (enum place)i))
			continue;
		int rc = find_in(h, a, (enum place)i, &row);
		if (rc < 0)
			return rc;
		if (rc == 0 || row.expires_ms <= h->writer.ts_ms ||
		    (found && row.producer_seq <= ret->producer_seq))
			continue;
		*ret = row;
		found = 1;
	}
	return found;
}

static int find(struct history *h, const struct append *a, struct dedup_row *ret)
{
	const struct dedup_pending *p = pending_find(&h->writer.dedup, a);

	if (p == NULL)
		return find_stored(h, a, ret);
	*ret = p->row;
	return 1;
}

static void set_duplicate(struct append *a, const struct dedup_row *row)
{
	a->outcome = APPEND_DUPLICATE;
	a->first = row->first;
	a->stored_n = row->n;
	a->durability = row->durability;
}

int dedup_judge(struct history *h, struct append *a)
{
	struct dedup_row row = {0};

	a->outcome = APPEND_STORED;
	if (a->terms == NULL || (a->terms->key.n == 0 && a->terms->producer.n == 0))
		return 0;
	int rc = find(h, a, &row);
	if (rc <= 0)
		return rc;
	if (a->terms->producer.n == 0 || a->terms->producer_seq == row.producer_seq) {
		set_duplicate(a, &row);
	} else if (a->terms->producer_seq < row.producer_seq) {
		/* stored, but which it was is no longer known */
		set_duplicate(a, &(struct dedup_row){.durability = row.durability});
	} else if (a->terms->producer_seq > row.producer_seq + 1) {
		a->outcome = APPEND_PRODUCER_GAP;
		a->told = row.producer_seq + 1;
	}
	return 0;
}

/* --- remembering ----------------------------------------------------------------------------- */

static void pending_set(struct dedup *d, const struct append *a, const struct dedup_row *row)
{
	struct dedup_pending *p = pending_find(d, a);
	struct name name;

	if (p == NULL) {
		name_of(a, &name);
		p = xcalloc(1, sizeof(*p) + name.n);
		p->name_n = name.n;
		memcpy(p->name, name.bytes, name.n);
		HASH_ADD_KEYPTR(hh, d->pending, p->name, p->name_n, p);
	}
	p->row = *row;
}

void dedup_note(struct history *h, const struct append *a)
{
	struct dedup *d = &h->writer.dedup;
	const struct append_terms *terms = a->terms;

	if (terms == NULL || (terms->key.n == 0 && terms->producer.n == 0))
		return;
	struct dedup_row row = {
		.first = a->first,
		.n = a->stored_n,
		.producer_seq = terms->producer_seq,
		.expires_ms = h->writer.ts_ms + (int64_t)h->cfg.key_window_ms,
		.durability = (uint8_t)a->durability,
	};
	pending_set(d, a, &row);
	enum place place = place_of(h, a);
	if (d->record_n[place] == d->record_room[place]) {
		d->record_room[place] = d->record_room[place] ? d->record_room[place] * 2 : 16;
		d->records[place] = xrealloc(d->records[place],
					     d->record_room[place] * sizeof(*d->records[place]));
	}
	d->records[place][d->record_n[place]++] = (struct dedup_record){
		.channel = scope_of(a), .key = terms->key, .producer = terms->producer, .row = row};
}

void dedup_stage(struct history *h, enum place place)
{
	const struct dedup *d = &h->writer.dedup;
	const struct shelf *shelf = &h->shelves[place];

	if (d->record_n[place] > 0)
		shelf->engine->dedup.stage(shelf->store, d->records[place], d->record_n[place]);
}
