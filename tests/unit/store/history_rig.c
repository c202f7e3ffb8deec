/* SPDX-License-Identifier: MIT */
#include "tests/unit/store/history_rig.h"

#include <sqlite3.h>

#include "store/sqlite_engine.h"

static void on_append(struct append *a)
{
	struct rig_worker *w = a->owner;

	w->receipts++;
	w->error = a->error;
	w->refused += a->error != 0;
	append_free(w->answered);
	w->answered = a;
}

static void on_batch(struct rig_worker *w, struct batch_letter *l)
{
	struct append *a;

	if (l->batch->head != 0) { /* not past the log */
		assert_true(l->batch->head >= w->head);
		w->head = l->batch->head;
	}
	w->batches++;
	for (size_t i = 0; i < l->batch->n; i++) {
		assert_true(l->batch->messages[i]->seq <= w->head);
		if (!w->is_forgetful)
			test_row(&w->rows, message_ref(l->batch->messages[i]));
	}
	while ((a = STAILQ_FIRST(&l->receipts)) != NULL) {
		STAILQ_REMOVE_HEAD(&l->receipts, receipt);
		a->done(a);
	}
	batch_letter_free(l);
}

static void on_query(struct query *q)
{
	((struct rig_worker *)q->owner)->query = q;
}

static void on_task(struct store_task *t)
{
	((struct rig_worker *)t->owner)->task = t;
}

void rig_take(struct rig_worker *w)
{
	struct letter_list letters = STAILQ_HEAD_INITIALIZER(letters);
	struct letter *l;

	mailbox_take(&w->box, &letters);
	while ((l = STAILQ_FIRST(&letters)) != NULL) {
		STAILQ_REMOVE_HEAD(&letters, link);
		if (l->kind == LETTER_BATCH) {
			on_batch(w, container_of(l, struct batch_letter, letter));
		} else if (l->kind == LETTER_QUERY) {
			struct query *q = container_of(l, struct query, letter);
			q->done(q);
		} else {
			assert_int_equal(l->kind, LETTER_TASK);
			struct store_task *t = container_of(l, struct store_task, letter);
			t->done(t);
		}
	}
}

struct message *rig_draft(const char *channel, const char *payload, enum durability d)
{
	return message_new(&(struct message_spec){.channel = slice_str(channel),
						  .payload = slice_str(payload),
						  .kind = MESSAGE_TEXT,
						  .durability = d});
}

struct append *rig_append(struct rig_worker *w, const char *channel, enum durability d, size_t n)
{
	struct append *a = append_new(n);

	a->reply_to = &w->box;
	a->owner = w;
	a->done = on_append;
	for (size_t i = 0; i < n; i++)
		a->messages[i] = rig_draft(channel, "payload", d);
	return a;
}

void rig_publish_n(struct history_rig *f, const char *channel, enum durability d, size_t n)
{
	assert_int_equal(history_append(f->h, rig_append(&f->w[0], channel, d, n)), 0);
}

uint64_t rig_publish(struct history_rig *f, const char *channel, enum durability d)
{
	size_t before = f->w[0].receipts;

	rig_publish_n(f, channel, d, 1);
	RIG_WAIT_FOR(&f->w[0], f->w[0].receipts > before);
	return f->w[0].answered->messages[0]->seq;
}

struct query *rig_ask(struct history_rig *f, const char *a, const char *b, uint64_t after,
		      uint64_t upto, size_t row_max)
{
	const char *names[2] = {a, b};
	struct query *q = query_new(b ? 2 : 1);

	q->reply_to = &f->w[0].box;
	q->owner = &f->w[0];
	q->done = on_query;
	q->upto = upto;
	q->row_max = row_max;
	q->byte_max = SIZE_MAX;
	for (size_t i = 0; i < q->range_n; i++) {
		strcpy(q->ranges[i].name, names[i]);
		q->ranges[i].range.channel = slice_str(q->ranges[i].name);
		q->ranges[i].range.after = after;
	}
	f->w[0].query = NULL;
	assert_int_equal(history_query(f->h, q), 0);
	RIG_WAIT_FOR(&f->w[0], f->w[0].query != NULL);
	return q;
}

struct store_task *rig_task(struct history_rig *f, enum store_task_kind kind, const char *text,
			    const char *after, size_t max)
{
	struct store_task *t = store_task_new(kind, slice_str(text));

	t->reply_to = &f->w[0].box;
	t->owner = &f->w[0];
	t->done = on_task;
	t->after = after ? strdup(after) : NULL;
	t->max = max;
	f->w[0].task = NULL;
	assert_int_equal(history_task(f->h, t), 0);
	RIG_WAIT_FOR(&f->w[0], f->w[0].task != NULL);
	return t;
}

void rig_start(struct history_rig *f)
{
	struct problem problem = {""};

	if (history_open(&f->cfg, &f->h, &problem) != 0)
		fail_msg("%s", problem.text);
	if (f->length_limit != 0)
		sqlite3_limit(f->h->shelves[PLACE_MAIN].store->c.db, SQLITE_LIMIT_LENGTH,
			      f->length_limit);
	for (size_t i = 0; i < 2; i++) {
		f->w[i].head = history_start_head(f->h);
		history_add_worker(f->h, &f->w[i].box);
	}
	assert_int_equal(history_start(f->h), 0);
}

void rig_stop(struct history_rig *f)
{
	history_close(f->h);
	f->h = NULL;
	for (size_t i = 0; i < 2; i++)
		rig_take(&f->w[i]);
}

static int setup_engine(void **state, const char *engine)
{
	struct history_rig *f = calloc(1, sizeof(*f));

	test_folder_make(f->folder);
	snprintf(f->path, sizeof(f->path), "%s/log.db", f->folder);
	f->namespaces = test_namespaces();
	f->cfg = (struct history_config){
		.engine = engine,
		.path = f->path,
		.namespaces = f->namespaces,
		.readers = 2,
		.append_queue_bytes = 1 << 20,
		.query_queue = 100,
		.batch_messages = 100,
		.worker_lag = 1000,
	};
	for (size_t i = 0; i < 2; i++)
		mailbox_init(&f->w[i].box);
	rig_start(f);
	*state = f;
	return 0;
}

int history_rig_set_up(void **state)
{
	return setup_engine(state, "sqlite");
}

int history_rig_set_up_memory(void **state)
{
	return setup_engine(state, "memory");
}

int history_rig_tear_down(void **state)
{
	struct history_rig *f = *state;

	if (f->h != NULL)
		rig_stop(f);
	for (size_t i = 0; i < 2; i++) {
		append_free(f->w[i].answered);
		test_rows_clear(&f->w[i].rows);
		mailbox_fini(&f->w[i].box);
	}
	namespace_table_unref(f->namespaces);
	test_folder_remove(f->folder);
	free(f);
	return 0;
}
