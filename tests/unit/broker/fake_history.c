/* SPDX-License-Identifier: MIT */
/*
 * fake_history: see the header. DESIGN: nothing is ever forgotten: a removed message only moves
 * behind `gone`, so that a test can ask afterwards what there was. Reads are written as the
 * contract says, by the plainest means (a look at every number), so that they can be
 * believed.
 */
#include "tests/unit/broker/fake_history.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/obj.h"
#include "base/pattern.h"
#include "base/xalloc.h"

struct forget_letter {
	struct letter letter; /* of kind LETTER_TASK */
	uint64_t upto;
	char channel[256];
};

/* --- life ----------------------------------------------------------------------------------- */

struct history *fake_history_new(uint64_t head, size_t workers)
{
	struct history *h = xcalloc(1, sizeof(*h));

	assert(workers <= FAKE_WORKERS);
	strcpy(h->epoch.text, "fake");
	h->start_head = h->seq = h->head = head;
	h->query_room = ARRAY_LEN(h->queries);
	h->worker_n = workers;
	h->loss_max = STORE_LOSS_MAX;
	STAILQ_INIT(&h->appends);
	for (size_t i = 0; i < workers; i++)
		STAILQ_INIT(&h->workers[i].letters);
	return h;
}

static void letter_drop(struct letter *l)
{
	struct batch_letter *b;
	struct append *a;

	switch (l->kind) {
	case LETTER_BATCH:
		b = container_of(l, struct batch_letter, letter);
		while ((a = STAILQ_FIRST(&b->receipts)) != NULL) {
			STAILQ_REMOVE_HEAD(&b->receipts, receipt);
			append_free(a);
		}
		batch_letter_free(b);
		break;
	case LETTER_QUERY:
		query_free(container_of(l, struct query, letter));
		break;
	case LETTER_ACK:
		ack_letter_free(container_of(l, struct ack_letter, letter));
		break;
	default:
		free(container_of(l, struct forget_letter, letter));
	}
}

static void channels_free(struct history *h)
{
	struct fake_channel *c, *next;

	HASH_ITER (hh, h->channels, c, next) {
		HASH_DEL(h->channels, c);
		for (size_t i = 0; i < c->n; i++)
			message_unref(c->rows[i]);
		free(c->rows);
		free(c);
	}
}

void fake_history_free(struct history *h)
{
	struct append *a;
	struct letter *l;

	if (!h)
		return;
	while ((a = STAILQ_FIRST(&h->appends)) != NULL) {
		STAILQ_REMOVE_HEAD(&h->appends, receipt);
		append_free(a);
	}
	for (size_t i = 0; i < h->query_n; i++)
		query_free(h->queries[i]);
	for (size_t i = 0; i < h->worker_n; i++) {
		while ((l = STAILQ_FIRST(&h->workers[i].letters)) != NULL) {
			STAILQ_REMOVE_HEAD(&h->workers[i].letters, link);
			letter_drop(l);
		}
	}
	channels_free(h);
	free(h);
}

static void post(struct fake_worker *w, struct letter *l)
{
	STAILQ_INSERT_TAIL(&w->letters, l, link);
	w->letter_n++;
}

static struct fake_worker *worker_of(struct history *h, struct mailbox *mb)
{
	struct fake_worker *w = container_of(mb, struct fake_worker, mailbox);

	assert(w >= h->workers && w < h->workers + h->worker_n);
	return w;
}

/* --- channels ------------------------------------------------------------------------------- */

struct fake_channel *fake_channel_find(struct history *h, const char *name)
{
	struct fake_channel *c;

	HASH_FIND_STR(h->channels, name, c);
	return c;
}

size_t fake_channel_after(const struct fake_channel *c, uint64_t after)
{
	size_t low = 0, high = c->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->rows[mid]->seq > after)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

uint64_t fake_channel_floor(const struct fake_channel *c)
{
	return c && c->gone ? c->rows[c->gone - 1]->seq : 0;
}

static void store(struct history *h, struct message *m)
{
	struct slice name = message_channel(m);
	char text[256];

	memcpy(text, name.p, name.n);
	text[name.n] = '\0';
	struct fake_channel *c = fake_channel_find(h, text);
	if (!c) {
		c = xcalloc(1, sizeof(*c));
		strcpy(c->name, text);
		HASH_ADD_STR(h->channels, name, c);
	}
	if (c->n == c->room) {
		c->room = c->room ? c->room * 2 : 16;
		c->rows = xrealloc(c->rows, c->room * sizeof(struct message *));
	}
	m->prev = c->n ? c->rows[c->n - 1]->seq : 0;
	c->rows[c->n++] = message_ref(m);
}

void fake_trim(struct history *h, const char *channel, size_t keep)
{
	struct fake_channel *c = fake_channel_find(h, channel);

	if (c && c->n - c->gone > keep)
		c->gone = c->n - keep;
}

void fake_trim_age(struct history *h, const char *channel, int64_t oldest_ms)
{
	struct fake_channel *c = fake_channel_find(h, channel);

	while (c && c->gone < c->n && c->rows[c->gone]->ts_ms <= oldest_ms)
		c->gone++;
}

void fake_purge(struct history *h, const char *channel)
{
	struct fake_channel *c = fake_channel_find(h, channel);

	if (!c)
		return;
	c->gone = c->n;
	c->purged = c->rows[c->n - 1]->seq;
}

void fake_tell_purged(struct history *h, struct fake_worker *w, const char *channel)
{
	struct fake_channel *c = fake_channel_find(h, channel);
	struct forget_letter *l = xcalloc(1, sizeof(*l));

	l->letter.kind = LETTER_TASK;
	strcpy(l->channel, channel);
	l->upto = c ? c->purged : 0;
	post(w, &l->letter);
}

/* --- committing ----------------------------------------------------------------------------- */

/* Give numbers to the append's messages, which are used up whatever comes of them. */
static void number(struct history *h, struct append *a, int error)
{
	a->error = 0;
	for (size_t i = 0; i < a->n; i++) {
		struct message *m = a->messages[i];

		m->ts_ms = clock_wall_ms();
		m->expires_ms =
			a->terms && a->terms->ttl_ms ? m->ts_ms + (int64_t)a->terms->ttl_ms : 0;
		if (m->durability == DURABILITY_EPHEMERAL)
			continue;
		m->seq = ++h->seq;
		if (error && m->durability != DURABILITY_MEMORY)
			a->error = error;
	}
	for (size_t i = 0; i < a->n; i++) {
		if (a->error)
			a->messages[i]->seq = 0;
		else if (a->messages[i]->seq)
			store(h, a->messages[i]);
	}
	a->outcome = APPEND_STORED;
	a->first = a->messages[0]->seq;
	a->stored_n = a->n;
	a->durability = a->messages[0]->durability;
}

static struct batch *batch_make(struct history *h, size_t n)
{
	struct batch *b = xcalloc(1, sizeof(*b) + n * sizeof(b->messages[0]));

	atomic_init(&b->refs, 1);
	b->head = h->seq;
	return b;
}

/* Before any letter is posted. A batch of nothing does not reach every worker. */
static void batch_seal(struct history *h, const struct batch *b)
{
	if (b->n)
		h->head = b->head;
}

static struct batch_letter *letter_make(struct batch *b)
{
	struct batch_letter *l = xcalloc(1, sizeof(*l));

	l->letter.kind = LETTER_BATCH;
	l->batch = b;
	STAILQ_INIT(&l->receipts);
	atomic_fetch_add(&b->refs, 1);
	return l;
}

size_t fake_waiting(struct history *h)
{
	for (size_t i = 0; i < h->worker_n; i++)
		if (h->workers[i].hub)
			outbox_post(&h->workers[i].hub->outbox);
	return h->append_n;
}

void fake_commit(struct history *h, size_t n, int error)
{
	struct batch_letter *letters[FAKE_WORKERS] = {NULL};
	struct append *a, *round[64];
	size_t taken = 0, messages = 0;

	assert(n <= ARRAY_LEN(round));
	fake_waiting(h);
	while (taken < n && (a = STAILQ_FIRST(&h->appends)) != NULL) {
		STAILQ_REMOVE_HEAD(&h->appends, receipt);
		h->append_n--;
		number(h, a, error);
		round[taken++] = a;
		messages += a->n;
	}
	struct batch *b = batch_make(h, messages);
	for (size_t i = 0; i < taken; i++) {
		size_t w = (size_t)(worker_of(h, round[i]->reply_to) - h->workers);

		for (size_t k = 0; k < round[i]->n && round[i]->error == 0; k++)
			b->messages[b->n++] = message_ref(round[i]->messages[k]);
		if (!letters[w])
			letters[w] = letter_make(b);
		STAILQ_INSERT_TAIL(&letters[w]->receipts, round[i], receipt);
	}
	batch_seal(h, b);
	for (size_t w = 0; w < h->worker_n; w++) {
		if (!letters[w] && b->n)
			letters[w] = letter_make(b);
		if (letters[w])
			post(&h->workers[w], &letters[w]->letter);
	}
	batch_unref(b);
}

uint64_t fake_publish(struct history *h, const char *channel, enum durability d, const char *text)
{
	struct message *m = message_new(&(struct message_spec){
		.channel = slice_str(channel),
		.payload = slice_str(text),
		.kind = MESSAGE_TEXT,
		.durability = d,
	});

	m->ts_ms = clock_wall_ms();
	if (d != DURABILITY_EPHEMERAL) {
		m->seq = ++h->seq;
		store(h, m);
	}
	struct batch *b = batch_make(h, 1);
	b->messages[b->n++] = m;
	batch_seal(h, b);
	for (size_t w = 0; w < h->worker_n; w++)
		post(&h->workers[w], &letter_make(b)->letter);
	uint64_t seq = m->seq;
	batch_unref(b);
	return seq;
}

/* --- acknowledgements ------------------------------------------------------------------------ */

void fake_post(struct history *h, struct mailbox *to, struct letter *l)
{
	post(worker_of(h, to), l);
}

static struct slice copy_to(char **at, struct slice text)
{
	char *begin = *at;

	memcpy(begin, text.p, text.n);
	*at += text.n;
	return slice_make(begin, text.n);
}

void fake_tell_acks(struct history *h, const struct batch_ack *acks, size_t n)
{
	struct batch *b = batch_make(h, 0);
	size_t bytes = 0;

	b->head = h->head;
	for (size_t i = 0; i < n; i++)
		bytes += acks[i].subscriber.n + acks[i].channel.n;
	b->acks = xmalloc(n * sizeof(*acks) + bytes);
	char *at = (char *)(b->acks + n);
	for (; b->ack_n < n; b->ack_n++) {
		struct slice subscriber = copy_to(&at, acks[b->ack_n].subscriber);

		b->acks[b->ack_n] = (struct batch_ack){
			subscriber, copy_to(&at, acks[b->ack_n].channel), acks[b->ack_n].seq};
	}
	for (size_t w = 0; w < h->worker_n; w++)
		post(&h->workers[w], &letter_make(b)->letter);
	batch_unref(b);
}

/* --- reading -------------------------------------------------------------------------------- */

/* Fill the answers of a range that is no prefix. */
static void range_start(struct history *h, struct query_range *r, uint64_t upto)
{
	const struct fake_channel *c = fake_channel_find(h, r->name);

	r->range.head = c ? c->rows[c->n - 1]->seq : 0;
	r->range.floor = fake_channel_floor(c);
	r->range.oldest = c && c->gone < c->n ? c->rows[c->gone]->seq : 0;
	if (!r->range.last)
		return;
	r->range.after = upto;
	size_t end = c ? fake_channel_after(c, upto) : 0;
	size_t at = end;
	for (size_t i = end, n = r->range.last; c && i > c->gone && n > 0; i--) {
		if (message_is_expired(c->rows[i - 1]))
			continue;
		at = i - 1;
		n--;
	}
	if (at < end)
		r->range.after = c->rows[at]->seq - 1;
}

/* The row with this number, if it is still there. */
static struct message *row_at(struct history *h, uint64_t seq)
{
	struct fake_channel *c, *next;

	HASH_ITER (hh, h->channels, c, next) {
		size_t i = fake_channel_after(c, seq - 1);

		if (i >= c->gone && i < c->n && c->rows[i]->seq == seq)
			return c->rows[i];
	}
	return NULL;
}

static bool is_match(const struct query_range *r, const struct message *m)
{
	return pattern_matches(query_range_text(r), message_channel(m));
}

static void find_losses(struct history *h, struct query_range *r)
{
	uint64_t after = r->range.last ? 0 : r->range.after;
	struct fake_channel *c, *next;

	if (r->range.lost_after > after)
		after = r->range.lost_after;
	HASH_ITER (hh, h->channels, c, next) {
		uint64_t floor = fake_channel_floor(c);

		if (floor <= after || !pattern_matches(query_range_text(r), slice_str(c->name)))
			continue;
		if (!r->range.losses)
			r->range.losses = xcalloc(1, sizeof(*r->range.losses));
		struct store_losses *l = r->range.losses;
		r->range.floor = floor > r->range.floor ? floor : r->range.floor;
		if (l->n == h->loss_max) {
			l->more = true;
			continue;
		}
		struct store_loss *loss = &l->each[l->n++];
		loss->floor = floor;
		loss->oldest = c->gone < c->n ? c->rows[c->gone]->seq : 0;
		loss->name_n = (uint8_t)strlen(c->name);
		memcpy(loss->name, c->name, loss->name_n);
	}
}

/* Walk back; false when scan_max does not reach. */
static bool find_newest(struct history *h, const struct query *q, struct query_range *r)
{
	struct store_range *range = &r->range;
	uint64_t seq = range->before && range->before < q->upto ? range->before : q->upto;
	uint32_t left = range->last;
	size_t looked = 0;

	range->after = seq;
	for (; seq > 0 && left > 0; seq--) {
		struct message *m = row_at(h, seq);

		if (!m)
			continue;
		if (looked++ == q->scan_max) {
			range->is_partial = true;
			range->before = seq;
			range->last = left;
			return false;
		}
		if (is_match(r, m) && !message_is_expired(m)) {
			range->after = seq - 1;
			left--;
		}
	}
	return true;
}

/* How far a walk for all prefixes of the query gets. */
static uint64_t walk_end(struct history *h, const struct query *q)
{
	uint64_t seq = UINT64_MAX;
	size_t looked = 0;

	for (size_t i = 0; i < q->range_n; i++)
		if (q->ranges[i].range.is_prefix && q->ranges[i].range.after < seq)
			seq = q->ranges[i].range.after;
	for (; seq < q->upto; seq++) {
		struct message *m = row_at(h, seq + 1);
		bool is_wanted = false;

		for (size_t i = 0; m && i < q->range_n; i++)
			is_wanted |= q->ranges[i].range.is_prefix && is_match(&q->ranges[i], m);
		if (m && !is_wanted && ++looked == q->scan_max)
			return seq + 1;
	}
	return q->upto;
}

/* Answer all questions. Return how far rows can be given; 0: a range is partial. */
static uint64_t ranges_start(struct history *h, struct query *q)
{
	bool is_partial = false;

	for (size_t i = 0; i < q->range_n; i++) {
		struct query_range *r = &q->ranges[i];

		if (!r->range.is_prefix)
			range_start(h, r, q->upto);
		else if (r->range.last)
			is_partial |= !find_newest(h, q, r);
	}
	if (is_partial)
		return 0;
	for (size_t i = 0; i < q->range_n; i++)
		if (q->ranges[i].range.is_prefix)
			find_losses(h, &q->ranges[i]);
	return walk_end(h, q);
}

void fake_read(struct history *h, size_t i)
{
	struct query *q = h->queries[i];
	uint64_t least = UINT64_MAX;
	size_t bytes = 0;

	assert(i < h->query_n);
	if (h->is_read[i])
		return;
	h->is_read[i] = true;
	uint64_t end = ranges_start(h, q);
	for (size_t r = 0; r < q->range_n; r++)
		least = q->ranges[r].range.after < least ? q->ranges[r].range.after : least;
	q->reached = end;
	for (uint64_t seq = least; seq < end; seq++) {
		struct message *m = row_at(h, seq + 1);
		bool is_wanted = false;

		for (size_t r = 0; m && r < q->range_n; r++)
			is_wanted |= seq >= q->ranges[r].range.after && is_match(&q->ranges[r], m);
		if (!is_wanted)
			continue;
		if (q->row_n >= q->row_max || (q->row_n && bytes >= q->byte_max)) {
			q->reached = seq;
			return;
		}
		if (q->row_n == q->row_room) {
			q->row_room = q->row_room ? q->row_room * 2 : 8;
			q->rows = xrealloc(q->rows, q->row_room * sizeof(struct message *));
		}
		q->rows[q->row_n++] = message_ref(m);
		bytes += m->payload_n;
	}
}

void fake_answer(struct history *h, size_t i, int error)
{
	struct query *q = h->queries[i];

	assert(i < h->query_n);
	if (!error)
		fake_read(h, i);
	q->error = error;
	h->query_n--;
	memmove(&h->queries[i], &h->queries[i + 1], (h->query_n - i) * sizeof(struct query *));
	memmove(&h->is_read[i], &h->is_read[i + 1], (h->query_n - i) * sizeof(bool));
	post(worker_of(h, q->reply_to), &q->letter);
}

/* --- delivering ----------------------------------------------------------------------------- */

static void open_batch(struct fake_worker *w, struct batch_letter *b)
{
	struct append *a;

	hub_deliver(w->hub, b->batch);
	while ((a = STAILQ_FIRST(&b->receipts)) != NULL) {
		STAILQ_REMOVE_HEAD(&b->receipts, receipt);
		outbox_note_back(&w->hub->outbox, a);
		a->done(a);
	}
	batch_letter_free(b);
}

bool fake_deliver(struct fake_worker *w)
{
	struct letter *l = STAILQ_FIRST(&w->letters);
	struct forget_letter *f;

	if (!l)
		return false;
	STAILQ_REMOVE_HEAD(&w->letters, link);
	w->letter_n--;
	switch (l->kind) {
	case LETTER_BATCH:
		open_batch(w, container_of(l, struct batch_letter, letter));
		break;
	case LETTER_QUERY: {
		struct query *q = container_of(l, struct query, letter);
		q->done(q);
		break;
	}
	case LETTER_ACK: {
		struct ack_letter *a = container_of(l, struct ack_letter, letter);
		w->opening = a;
		a->done(a);
		w->opening = NULL;
		break;
	}
	default:
		f = container_of(l, struct forget_letter, letter);
		hub_forget(w->hub, slice_str(f->channel));
		if (w->forgot)
			w->forgot(w, f->channel, f->upto);
		free(f);
	}
	return true;
}

void fake_settle(struct history *h)
{
	bool is_busy;

	do {
		size_t append_n = fake_waiting(h);
		is_busy = append_n || h->query_n;
		if (append_n)
			fake_commit(h, append_n < 64 ? append_n : 64, 0);
		while (h->query_n)
			fake_answer(h, 0, 0);
		for (size_t i = 0; i < h->worker_n; i++)
			while (fake_deliver(&h->workers[i]))
				is_busy = true;
	} while (is_busy);
}

/* --- store/history.h ------------------------------------------------------------------------ */

struct append *append_new(size_t n)
{
	struct append *a = xcalloc(1, sizeof(*a) + n * sizeof(a->messages[0]));

	a->letter.kind = LETTER_APPEND;
	a->n = n;
	return a;
}

void append_set_terms(struct append *a, const struct append_terms *terms)
{
	a->terms = xcalloc(1, sizeof(*terms));
	*a->terms = *terms;
	/* the log here looks at the ttl only */
	a->terms->key = a->terms->producer = slice_str("");
}

void append_free(struct append *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->n; i++)
		message_unref(a->messages[i]);
	free(a->terms);
	free(a);
}

struct batch *batch_unref(struct batch *b)
{
	if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
		return NULL;
	for (size_t i = 0; i < b->n; i++)
		message_unref(b->messages[i]);
	free(b->acks);
	free(b);
	return NULL;
}

void batch_letter_free(struct batch_letter *l)
{
	assert(STAILQ_EMPTY(&l->receipts));
	batch_unref(l->batch);
	free(l);
}

struct query *query_new(size_t range_n)
{
	struct query *q = xcalloc(1, sizeof(*q) + range_n * sizeof(q->ranges[0]));

	q->letter.kind = LETTER_QUERY;
	q->range_n = range_n;
	return q;
}

void query_set_channel(struct query *q, size_t i, struct slice channel)
{
	assert(i < q->range_n && channel.n < sizeof(q->ranges[i].name));
	memcpy(q->ranges[i].name, channel.p, channel.n);
	q->ranges[i].range.is_prefix = pattern_is(channel);
	q->ranges[i].range.channel =
		slice_make(q->ranges[i].name, channel.n - q->ranges[i].range.is_prefix);
}

void query_free(struct query *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < q->row_n; i++)
		message_unref(q->rows[i]);
	for (size_t i = 0; i < q->range_n; i++)
		free(q->ranges[i].range.losses);
	free(q->rows);
	free(q);
}

const struct epoch *history_epoch(const struct history *h)
{
	return &h->epoch;
}

uint64_t history_start_head(const struct history *h)
{
	return h->start_head;
}

uint64_t history_head(const struct history *h)
{
	uint64_t head = h->head;

	if (h->after_a_look)
		h->after_a_look();
	return head;
}

bool history_takes_short_way(const struct history *h, const struct append *a)
{
	return h->is_short_way_open && a->messages[0]->durability == DURABILITY_EPHEMERAL;
}

void history_announce(struct history *h, struct append *const *appends, size_t n,
		      struct counters *counters)
{
	struct batch_letter *home = NULL;
	struct batch *b = batch_make(h, n);

	UNUSED(counters);
	b->head = 0;
	for (size_t w = 0; w < h->worker_n; w++) {
		struct batch_letter *l = letter_make(b);

		if (worker_of(h, appends[0]->reply_to) == &h->workers[w])
			home = l;
		post(&h->workers[w], &l->letter);
	}
	for (size_t i = 0; i < n; i++) {
		assert(appends[i]->n == 1);
		b->messages[b->n++] = message_ref(appends[i]->messages[0]);
		STAILQ_INSERT_TAIL(&home->receipts, appends[i], receipt);
	}
	batch_unref(b);
}

int history_admit(struct history *h, struct append *a)
{
	UNUSED(a);
	return h->refuse_append;
}

static void take_append(struct history *h, struct append *a)
{
	STAILQ_INSERT_TAIL(&h->appends, a, receipt);
	h->append_n++;
}

void history_append_all(struct history *h, struct letter_list *appends, size_t n)
{
	struct letter *l;

	while ((l = STAILQ_FIRST(appends)) != NULL) {
		STAILQ_REMOVE_HEAD(appends, link);
		take_append(h, container_of(l, struct append, letter));
		n--;
	}
	assert(n == 0);
}

int history_append(struct history *h, struct append *a)
{
	int rc = history_admit(h, a);

	if (rc == 0)
		take_append(h, a);
	return rc;
}

int history_query(struct history *h, struct query *q)
{
	/* A letter that comes back with leftovers of another question would be a fault of the
	 * asker. */
	assert(q->row_n == 0 && q->error == 0 && q->done && q->row_max >= 1);
	if (h->query_n >= h->query_room)
		return -EAGAIN;
	h->is_read[h->query_n] = false;
	h->queries[h->query_n++] = q;
	return 0;
}
