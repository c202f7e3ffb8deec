/* SPDX-License-Identifier: MIT */
/*
 * ack: acknowledged positions on the log thread, and the way there.
 *
 * DESIGN
 *  - A round takes the letters that wait, too, and joins what they ask into one change per
 *    (subscriber, channel): a client that acknowledges every message costs one row per commit. The
 *    changes are staged and go with the round's messages, in one transaction (round.c); a round of
 *    nothing else is a transaction of its own. It is synced when a namespace of it says `sync`.
 *  - All letters that asked for a position are told the same: where it stands after the round.
 *  - What changed is told to every worker in the batch, so that a session hears of it wherever the
 *    acknowledgement came in. The letters go back after that.
 *  - The sweep walks over all positions, a few at a time, and round again: it forgets those of
 *    subscribers that have not been heard of for too long, counts those that retention has passed
 *    (once each: `passed`), and finds the one that lags most.
 *
 * A letter that failed left nothing behind.
 */
#include "store/ack.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "store/history_internal.h"

#define SWEEP_MS      1000 /* between two walks */
#define SWEEP_STEP_MS 20   /* between two steps of one */
#define KEY_MAX       (2 * 255 + 1)

/* One change of the round that is being made. */
struct ack_slot {
	UT_hash_handle hh;
	struct store_ack ack; /* its names are in key */
	size_t key_n;
	char key[]; /* subscriber, space, channel: names have no spaces */
};

/* --- letters --------------------------------------------------------------------------------- */

struct ack_letter *ack_letter_new(struct slice subscriber, size_t n)
{
	struct ack_letter *l = xcalloc(1, sizeof(*l) + n * sizeof(l->items[0]));

	assert(n >= 1 && subscriber.n >= 1 && subscriber.n < sizeof(l->subscriber));
	l->letter.kind = LETTER_ACK;
	l->subscriber_n = (uint8_t)subscriber.n;
	memcpy(l->subscriber, subscriber.p, subscriber.n);
	l->n = n;
	return l;
}

void ack_letter_set(struct ack_letter *l, size_t i, struct slice channel, uint64_t begin,
		    uint64_t seq)
{
	struct ack_item *item = &l->items[i];

	assert(i < l->n && channel.n >= 1 && channel.n < sizeof(item->channel));
	item->channel_n = (uint8_t)channel.n;
	memcpy(item->channel, channel.p, channel.n);
	item->begin = begin;
	item->seq = seq;
}

void ack_letter_free(struct ack_letter *l)
{
	free(l);
}

static size_t letter_bytes(const struct ack_letter *l)
{
	return sizeof(*l) + l->n * sizeof(l->items[0]);
}

int history_ack(struct history *h, struct ack_letter *l)
{
	size_t bytes = letter_bytes(l);

	assert(h->is_started);
	size_t before = atomic_fetch_add(&h->append_bytes, bytes);
	if (before != 0 && before + bytes > h->cfg.append_queue_bytes) {
		atomic_fetch_sub(&h->append_bytes, bytes);
		return -EAGAIN;
	}
	mailbox_post(&h->log_box, &l->letter);
	return 0;
}

/* --- the round ------------------------------------------------------------------------------- */

void ack_round_init(struct ack_round *r)
{
	*r = (struct ack_round){0};
	STAILQ_INIT(&r->waiting);
	STAILQ_INIT(&r->taken);
}

void ack_round_fini(struct ack_round *r)
{
	free(r->staged);
	free(r->sweep);
}

static struct ack_slot *slot_find(struct ack_round *r, const struct ack_letter *l,
				  const struct ack_item *item, char key[KEY_MAX], size_t *ret_key_n)
{
	struct ack_slot *slot;

	memcpy(key, l->subscriber, l->subscriber_n);
	key[l->subscriber_n] = ' ';
	memcpy(key + l->subscriber_n + 1, item->channel, item->channel_n);
	*ret_key_n = (size_t)l->subscriber_n + 1 + item->channel_n;
	HASH_FIND(hh, r->slots, key, *ret_key_n, slot);
	return slot;
}

static struct ack_slot *slot_add(struct ack_round *r, const struct ack_letter *l, const char *key,
				 size_t key_n)
{
	struct ack_slot *slot = xcalloc(1, sizeof(*slot) + key_n);

	memcpy(slot->key, key, key_n);
	slot->key_n = key_n;
	slot->ack.subscriber = slice_make(slot->key, l->subscriber_n);
	slot->ack.channel = slice_skip(slice_make(slot->key, key_n), l->subscriber_n + 1u);
	slot->ack.begin = STORE_ACK_NO_BEGIN;
	HASH_ADD_KEYPTR(hh, r->slots, slot->key, key_n, slot);
	if (r->n == r->room) {
		r->room = r->room ? r->room * 2 : 64;
		r->staged = xrealloc(r->staged, r->room * sizeof(*r->staged));
	}
	r->staged[r->n++] = &slot->ack;
	return slot;
}

/* Join what is asked with what was asked before it, as if each had been made alone. */
static void slot_merge(struct writer *w, const struct ack_letter *l, const struct ack_item *item)
{
	struct ack_round *r = &w->acks;
	char key[KEY_MAX];
	size_t key_n;
	struct ack_slot *slot = slot_find(r, l, item, key, &key_n);

	if (slot == NULL)
		slot = slot_add(r, l, key, key_n);
	struct store_ack *a = &slot->ack;
	if (a->begin == STORE_ACK_NO_BEGIN)
		a->begin = item->begin;
	else if (item->seq > a->begin)
		a->begin = item->seq;
	if (item->seq > a->seq)
		a->seq = item->seq;
	a->ts_ms = w->ts_ms;
	r->is_sync |= namespace_find(w->namespaces, a->channel)->durability == DURABILITY_SYNC;
}

bool ack_round_take(struct history *h)
{
	struct writer *w = &h->writer;
	struct ack_round *r = &w->acks;
	struct letter *letter;
	size_t items = 0, bytes = 0;

	while ((letter = STAILQ_FIRST(&r->waiting)) != NULL) {
		struct ack_letter *l = container_of(letter, struct ack_letter, letter);
		if (items != 0 && items + l->n > h->cfg.batch_messages)
			break;
		STAILQ_REMOVE_HEAD(&r->waiting, link);
		STAILQ_INSERT_TAIL(&r->taken, letter, link);
		for (size_t i = 0; i < l->n; i++)
			slot_merge(w, l, &l->items[i]);
		items += l->n;
		bytes += letter_bytes(l);
	}
	atomic_fetch_sub(&h->append_bytes, bytes);
	r->is_pending = r->n > 0;
	r->error = 0;
	return r->is_pending;
}

/* The changes that the batch is to tell of. */
void ack_round_tell(struct history *h, struct batch *b)
{
	struct ack_round *r = &h->writer.acks;
	size_t bytes = 0, n = 0;

	for (size_t i = 0; r->error == 0 && i < r->n; i++) {
		if (r->staged[i]->seq == 0 || r->staged[i]->error != 0)
			continue;
		bytes += r->staged[i]->subscriber.n + r->staged[i]->channel.n;
		n++;
	}
	if (n == 0)
		return;
	b->acks = xmalloc(n * sizeof(*b->acks) + bytes);
	char *at = (char *)(b->acks + n);
	for (size_t i = 0; i < r->n; i++) {
		const struct store_ack *a = r->staged[i];
		struct batch_ack *to = &b->acks[b->ack_n];
		if (a->seq == 0 || a->error != 0)
			continue;
		*to = (struct batch_ack){slice_make(at, a->subscriber.n),
					 slice_make(at + a->subscriber.n, a->channel.n), a->kept};
		memcpy(at, a->subscriber.p, a->subscriber.n);
		memcpy(at + a->subscriber.n, a->channel.p, a->channel.n);
		at += a->subscriber.n + a->channel.n;
		b->ack_n++;
	}
}

static void answer(struct writer *w, struct ack_letter *l)
{
	struct ack_round *r = &w->acks;

	l->error = r->error;
	for (size_t i = 0; i < l->n && l->error == 0; i++) {
		char key[KEY_MAX];
		size_t key_n;
		const struct ack_slot *slot = slot_find(r, l, &l->items[i], key, &key_n);
		l->items[i].kept = slot->ack.kept;
		l->items[i].error = slot->ack.error;
		count_inc(w->counters,
			  slot->ack.error == -EDQUOT ? COUNTER_ACKS_REFUSED : COUNTER_ACKS);
	}
	mailbox_post(l->reply_to, &l->letter);
}

void ack_round_answer(struct history *h)
{
	struct ack_round *r = &h->writer.acks;
	struct ack_slot *slot, *next;
	struct letter *letter;

	while ((letter = STAILQ_FIRST(&r->taken)) != NULL) {
		STAILQ_REMOVE_HEAD(&r->taken, link);
		answer(&h->writer, container_of(letter, struct ack_letter, letter));
	}
	HASH_ITER (hh, r->slots, slot, next) {
		HASH_DEL(r->slots, slot);
		free(slot);
	}
	r->n = 0;
	r->is_sync = false;
	r->is_pending = false;
}

/* --- the sweep ------------------------------------------------------------------------------- */

static struct slice row_subscriber(const struct sweep_row *row)
{
	return slice_make(row->subscriber, row->subscriber_n);
}

static struct slice row_channel(const struct sweep_row *row)
{
	return slice_make(row->channel, row->channel_n);
}

static void sweep_add(void *arg, const struct store_ack_row *row)
{
	struct ack_sweep *s = arg;
	struct sweep_row *to = &s->rows[s->n++];

	assert(s->n <= SWEEP_ROWS);
	to->subscriber_n = (uint8_t)row->subscriber.n;
	to->channel_n = (uint8_t)row->channel.n;
	memcpy(to->subscriber, row->subscriber.p, row->subscriber.n);
	memcpy(to->channel, row->channel.p, row->channel.n);
	to->seq = row->seq;
	to->ts_ms = row->ts_ms;
	to->is_passed = row->is_passed;
}

/* How much of what the namespace keeps of a channel lies behind the position. From the numbers
 * alone: what is there is taken to lie evenly between its oldest and its newest number, so that a
 * look costs the same however far behind it is. */
static unsigned share_used(const struct channel_info *info, uint64_t seq, uint64_t limit)
{
	if (limit == 0 || seq >= info->head)
		return 0;
	if (info->floor > seq)
		return 100;
	if (info->oldest == 0)
		return 0;
	uint64_t from = seq < info->oldest ? info->oldest - 1 : seq;
	double behind = (double)info->count * (double)(info->head - from) /
			(double)(info->head - (info->oldest - 1));
	double percent = behind * 100 / (double)limit;
	return percent < 100 ? (unsigned)percent : 100;
}

/* What is to be done about one position. */
static int judge(struct history *h, struct sweep_row *row)
{
	struct ack_sweep *s = h->writer.acks.sweep;
	const struct namespace *ns = namespace_find(h->writer.namespaces, row_channel(row));
	const struct shelf *shelf = &h->shelves[history_place(h, ns->durability)];
	struct channel_info info = {0};
	int64_t age_ms = clock_wall_ms() - row->ts_ms;

	s->walked++;
	row->is_doomed = h->cfg.ack_expiry_ms != 0 && age_ms > (int64_t)h->cfg.ack_expiry_ms;
	if (row->is_doomed)
		return 0;
	int rc = shelf->engine->ack.standing(shelf->store, row_channel(row), &info);
	if (rc != 0)
		return rc;
	/* a channel that nobody ever published to may have any floor: nothing of it is missed */
	row->is_newly_passed = !row->is_passed && info.head != 0 && info.floor > row->seq;
	unsigned share = info.head ? share_used(&info, row->seq, ns->history_count) : 0;
	if (share > s->share_max)
		s->share_max = share;
	return 0;
}

/* Carry out what was judged. */
static int sweep_apply(struct history *h, struct ack_sweep *s)
{
	struct shelf *shelf = &h->shelves[PLACE_MAIN];
	struct store_ack doomed[SWEEP_ROWS], passed[SWEEP_ROWS], *staged[SWEEP_ROWS];
	size_t doomed_n = 0, passed_n = 0;
	int rc = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct sweep_row *row = &s->rows[i];
		struct store_ack a = {.subscriber = row_subscriber(row),
				      .channel = row_channel(row),
				      .begin = STORE_ACK_NO_BEGIN,
				      .is_passed = true};
		if (row->is_doomed)
			doomed[doomed_n++] = a;
		if (!row->is_newly_passed)
			continue;
		staged[passed_n] = &passed[passed_n];
		passed[passed_n++] = a;
	}
	if (doomed_n > 0)
		rc = shelf->engine->ack.forget(shelf->store, doomed, doomed_n);
	if (rc != 0)
		return rc;
	count_add(h->writer.counters, COUNTER_DURABLE_EXPIRED, (int64_t)doomed_n);
	s->walked -= doomed_n;
	if (passed_n == 0)
		return 0;
	shelf->engine->ack.stage(shelf->store, staged, passed_n);
	rc = shelf->engine->ops.append(shelf->store, NULL, 0, false);
	if (rc == 0)
		count_add(h->writer.counters, COUNTER_DURABLE_PASSED, (int64_t)passed_n);
	return rc;
}

static void sweep_end(struct ack_sweep *s, uint64_t now)
{
	counters_set_global(COUNTER_DURABLE_POSITIONS, (int64_t)s->walked);
	counters_set_global(COUNTER_DURABLE_SHARE, (int64_t)s->share_max);
	s->walked = 0;
	s->share_max = 0;
	s->after = (struct sweep_row){0};
	s->at_ms = now + SWEEP_MS;
}

void ack_sweep_step(struct history *h, uint64_t now)
{
	struct writer *w = &h->writer;
	struct shelf *shelf = &h->shelves[PLACE_MAIN];

	if (w->acks.sweep == NULL)
		w->acks.sweep = xcalloc(1, sizeof(*w->acks.sweep));
	struct ack_sweep *s = w->acks.sweep;
	if (now < s->at_ms)
		return;
	struct store_ack_range range = {.after_subscriber = row_subscriber(&s->after),
					.after_channel = row_channel(&s->after),
					.max = SWEEP_ROWS};
	s->n = 0;
	int rc = shelf->engine->ack.scan(shelf->store, &range, sweep_add, s);
	for (size_t i = 0; i < s->n && rc == 0; i++)
		rc = judge(h, &s->rows[i]);
	if (rc == 0)
		rc = sweep_apply(h, s);
	if (rc != 0) {
		/* nothing depends on it: the next walk begins in a moment */
		log_warn("ack_sweep_failed", "error=%s", log_value(strerror(-rc)));
		s->n = 0;
	}
	if (s->n < SWEEP_ROWS) {
		sweep_end(s, now);
	} else {
		s->after = s->rows[s->n - 1];
		s->at_ms = now + SWEEP_STEP_MS;
	}
}

uint64_t ack_sweep_at(const struct history *h)
{
	const struct ack_sweep *s = h->writer.acks.sweep;

	return s ? s->at_ms : 0;
}

/* --- forgetting ------------------------------------------------------------------------------ */

/* One position. Return 0, or negative errno. */
static int forget_one(struct shelf *shelf, struct store_task *t)
{
	struct store_ack a = {.subscriber = slice_str(t->text),
			      .channel = slice_str(t->channel),
			      .begin = STORE_ACK_NO_BEGIN};
	struct store_ack *staged = &a;

	/* a change of nothing tells whether it is there */
	shelf->engine->ack.stage(shelf->store, &staged, 1);
	int rc = shelf->engine->ops.append(shelf->store, NULL, 0, false);
	if (rc != 0 || a.error == -ENOENT)
		return rc;
	rc = shelf->engine->ack.forget(shelf->store, &a, 1);
	t->removed += rc == 0;
	return rc;
}

int ack_forget_step(struct history *h, struct store_task *t)
{
	struct shelf *shelf = &h->shelves[PLACE_MAIN];
	struct store_ack_range range = {.subscriber = slice_str(t->text), .max = SWEEP_ROWS};
	struct store_ack acks[SWEEP_ROWS];

	if (t->channel != NULL)
		return forget_one(shelf, t);
	struct ack_sweep *s = xcalloc(1, sizeof(*s));
	int rc = shelf->engine->ack.scan(shelf->store, &range, sweep_add, s);
	for (size_t i = 0; i < s->n; i++)
		acks[i] = (struct store_ack){.subscriber = row_subscriber(&s->rows[i]),
					     .channel = row_channel(&s->rows[i])};
	if (rc == 0 && s->n > 0)
		rc = shelf->engine->ack.forget(shelf->store, acks, s->n);
	if (rc == 0) {
		t->removed += s->n;
		rc = s->n == SWEEP_ROWS;
	}
	free(s);
	return rc;
}
