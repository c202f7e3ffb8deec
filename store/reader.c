/* SPDX-License-Identifier: MIT */
/*
 * reader: the threads that answer queries and the operator's tasks.
 *
 * DESIGN: each has its own handle on both stores, so readers wait neither for each other nor for
 * the log thread. A query whose channels live in both stores is asked of each and the answers are
 * merged by seq; `reached` is then the smaller one, and what lies beyond it is dropped again. Tasks
 * have a reader of their own, because a backup may take minutes.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/pattern.h"
#include "base/xalloc.h"
#include "store/history_internal.h"

/* Rows as they come from an engine. */
struct sink {
	struct message **rows;
	size_t n;
	size_t room;
};

static void sink_add(void *arg, struct message *m)
{
	struct sink *s = arg;

	if (s->n == s->room) {
		s->room = s->room ? s->room * 2 : 32;
		s->rows = xrealloc(s->rows, s->room * sizeof(struct message *));
	}
	s->rows[s->n++] = m;
}

static void sink_fini(struct sink *s)
{
	for (size_t i = 0; i < s->n; i++)
		message_unref(s->rows[i]);
	free(s->rows);
	*s = (struct sink){0};
}

/* The handle is opened here, on the thread that uses it; one that failed is tried again. */
static int handle(struct reader *r, enum place place, struct store_reader **ret)
{
	const struct shelf *shelf = &r->h->shelves[place];

	if (r->handles[place] == NULL) {
		int rc = shelf->engine->ops.reader_open(shelf->store, &r->handles[place]);
		if (rc != 0)
			return rc;
	}
	*ret = r->handles[place];
	return 0;
}

static enum place place_of(const struct reader *r, struct slice channel)
{
	return history_place(r->h, namespace_find(r->namespaces, channel)->durability);
}

/* --- queries --------------------------------------------------------------------------------- */

/* Does a channel of the range live in this store? A pattern may reach into both. */
static bool range_lives_in(const struct reader *r, const struct query_range *range,
			   enum place place)
{
	const struct namespace_table *t = r->namespaces;

	if (!range->range.is_prefix)
		return place_of(r, range->range.channel) == place;
	for (size_t i = 0; i < t->n; i++)
		if (history_place(r->h, t->ns[i].durability) == place &&
		    pattern_meets_namespace(t, i, query_range_text(range)))
			return true;
	return false;
}

/* Deal the query's ranges out to the stores they live in. */
static void split(struct reader *r, const struct query *q, size_t n[PLACE_COUNT])
{
	n[PLACE_MAIN] = n[PLACE_SIDE] = 0;
	if (q->range_n > r->range_room) {
		r->range_room = q->range_n;
		for (int i = 0; i < PLACE_COUNT; i++) {
			r->ranges[i] = xrealloc(r->ranges[i], q->range_n * sizeof(*r->ranges[i]));
			r->origin[i] = xrealloc(r->origin[i], q->range_n * sizeof(*r->origin[i]));
		}
	}
	for (size_t i = 0; i < q->range_n; i++) {
		for (int place = 0; place < PLACE_COUNT; place++) {
			if (!range_lives_in(r, &q->ranges[i], place))
				continue;
			r->origin[place][n[place]] = i;
			r->ranges[place][n[place]++] = q->ranges[i].range;
		}
	}
}

static void add_losses(struct store_range *to, struct store_losses *more)
{
	struct store_losses *l = to->losses;

	if (!l || !more) {
		to->losses = l ? l : more;
		return;
	}
	l->more |= more->more;
	for (size_t i = 0; i < more->n; i++) {
		if (l->n < STORE_LOSS_MAX)
			l->each[l->n++] = more->each[i];
		else
			l->more = true;
	}
	free(more);
}

/* Take over what the store said of a range. Of a prefix the other store may have had its say: then
 * each gives its own `last` messages, and how far the main one has got decides. */
static void take_answer(struct store_range *to, const struct store_range *from, bool is_second)
{
	struct slice channel = to->channel;

	if (!is_second) {
		*to = *from;
		to->channel = channel;
		return;
	}
	if (to->is_partial) {
		free(from->losses);
		return;
	}
	add_losses(to, from->losses);
	if (from->floor > to->floor)
		to->floor = from->floor;
	uint64_t after = from->is_partial ? from->before : from->after;
	if (after < to->after)
		to->after = after;
}

static int read_place(struct reader *r, enum place place, size_t n, struct query *q,
		      struct sink *sink, uint64_t *ret_reached)
{
	struct store_reader *sr;
	struct store_read read = {
		.ranges = r->ranges[place],
		.range_n = n,
		.upto = q->upto,
		.row_max = q->row_max,
		.byte_max = q->byte_max,
		.scan_max = q->scan_max,
	};

	int rc = handle(r, place, &sr);
	if (rc == 0)
		rc = r->h->shelves[place].engine->ops.read(sr, &read, sink_add, sink);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		struct query_range *to = &q->ranges[r->origin[place][i]];

		take_answer(&to->range, &r->ranges[place][i], to->is_answered);
		to->is_answered = true;
	}
	count_add(r->counters, COUNTER_PATTERN_SCANNED, (int64_t)read.scanned);
	*ret_reached = read.reached;
	return 0;
}

/* Both rise in seq. What is beyond `reached` on either side was not read on the other. */
static void merge_sinks(struct query *q, struct sink *a, struct sink *b, uint64_t reached)
{
	struct sink out = {0};
	size_t i = 0, k = 0, bytes = 0;

	while (i < a->n || k < b->n) {
		bool from_a = k == b->n || (i < a->n && a->rows[i]->seq < b->rows[k]->seq);
		struct message *m = from_a ? a->rows[i] : b->rows[k];
		if (m->seq > reached)
			break;
		if (out.n >= q->row_max || (out.n > 0 && bytes >= q->byte_max)) {
			reached = m->seq - 1;
			break;
		}
		sink_add(&out, message_ref(m));
		bytes += m->payload_n;
		if (from_a)
			i++;
		else
			k++;
	}
	sink_fini(a);
	sink_fini(b);
	*a = out;
	q->reached = reached;
}

static int run_query(struct reader *r, struct query *q, struct sink *rows)
{
	uint64_t reached[PLACE_COUNT] = {q->upto, q->upto};
	struct sink side = {0};
	size_t n[PLACE_COUNT];
	int rc = 0;

	split(r, q, n);
	if (n[PLACE_MAIN] > 0)
		rc = read_place(r, PLACE_MAIN, n[PLACE_MAIN], q, rows, &reached[PLACE_MAIN]);
	if (rc == 0 && n[PLACE_SIDE] > 0)
		rc = read_place(r, PLACE_SIDE, n[PLACE_SIDE], q, &side, &reached[PLACE_SIDE]);
	if (rc != 0) {
		sink_fini(rows);
		sink_fini(&side);
		return rc;
	}
	uint64_t least = reached[PLACE_MAIN] < reached[PLACE_SIDE] ? reached[PLACE_MAIN]
								   : reached[PLACE_SIDE];
	if (n[PLACE_SIDE] == 0)
		q->reached = least; /* the usual case: nothing to merge */
	else
		merge_sinks(q, rows, &side, least);
	return 0;
}

static void on_query(struct reader *r, struct query *q)
{
	struct history *h = r->h;
	struct sink rows = {0};
	uint64_t start_us = clock_mono_us();

	q->error = run_query(r, q, &rows);
	q->rows = rows.rows;
	q->row_n = rows.n;
	q->row_room = rows.room;
	histogram_add(r->counters, HISTOGRAM_QUERY, clock_mono_us() - start_us);
	count_inc(r->counters, COUNTER_QUERIES);
	atomic_fetch_sub(&r->waiting, 1);
	size_t left = atomic_fetch_sub(&h->query_n, 1) - 1;
	counters_set_global(COUNTER_QUERY_QUEUE, (int64_t)left);
	mailbox_post(q->reply_to, &q->letter);
}

/* --- tasks ----------------------------------------------------------------------------------- */

struct listing {
	struct channel_row *rows;
	size_t n;
	size_t room;
};

static void listing_add(void *arg, struct slice name, const struct channel_info *info)
{
	struct listing *l = arg;

	if (l->n == l->room) {
		l->room = l->room ? l->room * 2 : 32;
		l->rows = xrealloc(l->rows, l->room * sizeof(*l->rows));
	}
	l->rows[l->n].name = xstrndup(name.p, name.n);
	l->rows[l->n++].info = *info;
}

/* Byte order; of a name that is in both stores, the one where its messages go now. */
static void merge_listings(struct reader *r, struct store_task *t, struct listing part[PLACE_COUNT])
{
	struct listing out = {0};
	size_t at[PLACE_COUNT] = {0, 0};

	while (out.n < t->max) {
		struct channel_row *head[PLACE_COUNT];
		for (int i = 0; i < PLACE_COUNT; i++)
			head[i] = at[i] < part[i].n ? &part[i].rows[at[i]] : NULL;
		if (head[PLACE_MAIN] == NULL && head[PLACE_SIDE] == NULL)
			break;
		int order = head[PLACE_MAIN] == NULL ? 1
			    : head[PLACE_SIDE] == NULL
				    ? -1
				    : strcmp(head[PLACE_MAIN]->name, head[PLACE_SIDE]->name);
		enum place take = order < 0   ? PLACE_MAIN
				  : order > 0 ? PLACE_SIDE
					      : place_of(r, slice_str(head[PLACE_MAIN]->name));
		listing_add(&out, slice_str(head[take]->name), &head[take]->info);
		at[PLACE_MAIN] += order <= 0;
		at[PLACE_SIDE] += order >= 0;
	}
	t->rows = out.rows;
	t->row_n = out.n;
}

static int list_channels(struct reader *r, struct store_task *t)
{
	struct listing part[PLACE_COUNT] = {0};
	int rc = 0;

	for (int i = 0; i < PLACE_COUNT && rc == 0; i++) {
		const struct shelf *shelf = &r->h->shelves[i];
		struct store_reader *sr;
		if (shelf->store == NULL)
			continue;
		rc = handle(r, i, &sr);
		if (rc == 0)
			rc = shelf->engine->admin.channels(sr, slice_str(t->text),
							   slice_str(t->after), t->max, listing_add,
							   &part[i]);
	}
	if (rc == 0)
		merge_listings(r, t, part);
	for (int i = 0; i < PLACE_COUNT; i++) {
		for (size_t k = 0; k < part[i].n; k++)
			free(part[i].rows[k].name);
		free(part[i].rows);
	}
	return rc;
}

/* Where its messages go now; when it is unknown there, where they went before. */
static int describe_channel(struct reader *r, struct store_task *t)
{
	enum place place = place_of(r, slice_str(t->text));
	struct channel_info found = {0};

	for (int i = 0; i < PLACE_COUNT && found.head == 0; i++) {
		enum place p = i == 0 ? place : PLACE_COUNT - 1 - place;
		struct store_reader *sr;
		if (r->h->shelves[p].store == NULL)
			continue;
		int rc = handle(r, p, &sr);
		if (rc == 0)
			rc = r->h->shelves[p].engine->admin.channel(sr, slice_str(t->text), &found);
		if (rc != 0)
			return rc;
	}
	t->info = found;
	return 0;
}

static int back_up(struct reader *r, struct store_task *t)
{
	struct store_reader *sr;

	int rc = handle(r, PLACE_MAIN, &sr);
	if (rc != 0)
		return problem_set(&t->problem, rc, "The log cannot be read: %s.", strerror(-rc));
	return r->h->shelves[PLACE_MAIN].engine->admin.backup(sr, t->text, &t->problem);
}

/* --- positions of durable subscribers -------------------------------------------------------- */

static void acks_add(void *arg, const struct store_ack_row *row)
{
	struct store_task *t = arg;

	t->acks[t->row_n++] = (struct ack_row){
		.subscriber = xstrndup(row->subscriber.p, row->subscriber.n),
		.channel = xstrndup(row->channel.p, row->channel.n),
		.seq = row->seq,
		.ts_ms = row->ts_ms,
	};
}

static int count_lag(struct reader *r, struct ack_row *row, size_t lag_max)
{
	enum place place = place_of(r, slice_str(row->channel));
	struct store_reader *sr;

	int rc = handle(r, place, &sr);
	if (rc != 0)
		return rc;
	return r->h->shelves[place].engine->ack.behind(sr, slice_str(row->channel), row->seq,
						       lag_max, &row->lag);
}

static int list_acks(struct reader *r, struct store_task *t)
{
	struct store_ack_range range = {
		.subscriber = t->text[0] ? slice_str(t->text) : (struct slice){0},
		.channel = t->channel ? slice_str(t->channel) : (struct slice){0},
		.after_subscriber = slice_str(t->after),
		.after_channel = slice_str(t->after_channel),
		.max = t->max,
	};
	struct store_reader *sr;

	int rc = handle(r, PLACE_MAIN, &sr);
	if (rc != 0)
		return rc;
	t->acks = xcalloc(t->max + 1, sizeof(*t->acks));
	rc = r->h->shelves[PLACE_MAIN].engine->ack.list(sr, &range, acks_add, t);
	for (size_t i = 0; i < t->row_n && rc == 0; i++)
		rc = count_lag(r, &t->acks[i], t->lag_max);
	return rc;
}

/* --- the operator's tasks -------------------------------------------------------------------- */

static void on_task(struct reader *r, struct store_task *t)
{
	switch (t->kind) {
	case TASK_CHANNELS:
		t->error = list_channels(r, t);
		break;
	case TASK_CHANNEL:
		t->error = describe_channel(r, t);
		break;
	case TASK_BACKUP:
		t->error = back_up(r, t);
		break;
	case TASK_ACKS:
		t->error = list_acks(r, t);
		break;
	case TASK_PURGE:
	case TASK_FORGET:
		assert(!"these are the log thread's");
	}
	mailbox_post(t->reply_to, &t->letter);
}

/* --- the thread ------------------------------------------------------------------------------ */

static void on_letter(struct reader *r, struct letter *l)
{
	switch (l->kind) {
	case LETTER_QUERY:
		on_query(r, container_of(l, struct query, letter));
		break;
	case LETTER_TASK:
		on_task(r, container_of(l, struct store_task, letter));
		break;
	case LETTER_CONFIG: {
		struct namespaces_letter *nl = container_of(l, struct namespaces_letter, letter);
		namespace_table_unref(r->namespaces);
		r->namespaces = nl->table;
		free(nl);
		break;
	}
	case LETTER_STOP:
		r->is_stopping = true;
		free(l);
		break;
	default:
		assert(!"a letter for somebody else");
	}
}

static void take_letters(struct reader *r)
{
	struct letter_list letters = STAILQ_HEAD_INITIALIZER(letters);
	struct letter *l;

	mailbox_take(&r->box, &letters);
	while ((l = STAILQ_FIRST(&letters)) != NULL) {
		STAILQ_REMOVE_HEAD(&letters, link);
		on_letter(r, l);
	}
}

static void reader_close(struct reader *r)
{
	for (int i = 0; i < PLACE_COUNT; i++) {
		if (r->handles[i] != NULL)
			r->h->shelves[i].engine->ops.reader_close(r->handles[i]);
		r->handles[i] = NULL;
		free(r->ranges[i]);
		free(r->origin[i]);
		r->ranges[i] = NULL;
		r->origin[i] = NULL;
	}
	r->range_room = 0;
	counters_free(r->counters);
	r->counters = NULL;
}

void *reader_run(void *arg)
{
	struct reader *r = arg;

	r->counters = counters_new();
	while (!r->is_stopping) {
		mailbox_wait(&r->box, -1);
		take_letters(r);
	}
	reader_close(r);
	return NULL;
}

void reader_finish(struct reader *r)
{
	r->counters = counters_new();
	take_letters(r);
	reader_close(r);
}
