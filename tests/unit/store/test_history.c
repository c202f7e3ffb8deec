/* SPDX-License-Identifier: MIT */
/* history: the log with its threads, as a worker sees it. */
#include "tests/unit/store/store_test.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/log.h"
#include "base/map.h"
#include "store/history_internal.h"
#include "store/sqlite_engine.h"
#include "tests/fault/vfs_shim.h"

#define PATIENCE_MS 20000

/* A worker that does nothing but remember. */
struct worker {
	struct mailbox box;
	struct test_rows rows; /* everything announced */
	uint64_t head;
	size_t batches;
	size_t receipts;
	size_t refused;          /* receipts with an error */
	bool is_forgetful;       /* keeps no rows */
	int error;               /* of the newest receipt */
	struct append *answered; /* it */
	struct query *query;
	struct store_task *task;
};

struct fixture {
	char folder[64];
	char path[96];
	struct namespace_table *namespaces;
	struct history_config cfg;
	struct history *h;
	int length_limit; /* SQLite refuses longer values; 0: its own limit */
	struct worker w[2];
};

static void on_append(struct append *a)
{
	struct worker *w = a->owner;

	w->receipts++;
	w->error = a->error;
	w->refused += a->error != 0;
	append_free(w->answered);
	w->answered = a;
}

static void on_batch(struct worker *w, struct batch_letter *l)
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
	((struct worker *)q->owner)->query = q;
}

static void on_task(struct store_task *t)
{
	((struct worker *)t->owner)->task = t;
}

static void worker_take(struct worker *w)
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

/* Take letters until the condition holds. */
#define WAIT_FOR(w, condition)                                     \
	do {                                                       \
		while (!(condition)) {                             \
			mailbox_wait(&(w)->box, PATIENCE_MS);      \
			assert_true(mailbox_count(&(w)->box) > 0); \
			worker_take(w);                            \
		}                                                  \
	} while (0)

static struct message *draft(const char *channel, const char *payload, enum durability d)
{
	return message_new(&(struct message_spec){.channel = slice_str(channel),
						  .payload = slice_str(payload),
						  .kind = MESSAGE_TEXT,
						  .durability = d});
}

static struct append *append_make(struct worker *w, const char *channel, enum durability d,
				  size_t n)
{
	struct append *a = append_new(n);

	a->reply_to = &w->box;
	a->owner = w;
	a->done = on_append;
	for (size_t i = 0; i < n; i++)
		a->messages[i] = draft(channel, "payload", d);
	return a;
}

static void publish_n(struct fixture *f, const char *channel, enum durability d, size_t n)
{
	assert_int_equal(history_append(f->h, append_make(&f->w[0], channel, d, n)), 0);
}

/* Publish one message and wait for its receipt; return its seq. */
static uint64_t publish(struct fixture *f, const char *channel, enum durability d)
{
	size_t before = f->w[0].receipts;

	publish_n(f, channel, d, 1);
	WAIT_FOR(&f->w[0], f->w[0].receipts > before);
	return f->w[0].answered->messages[0]->seq;
}

static struct query *ask(struct fixture *f, const char *a, const char *b, uint64_t after,
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
	WAIT_FOR(&f->w[0], f->w[0].query != NULL);
	return q;
}

static struct store_task *task(struct fixture *f, enum store_task_kind kind, const char *text,
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
	WAIT_FOR(&f->w[0], f->w[0].task != NULL);
	return t;
}

static void start(struct fixture *f)
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

static void stop(struct fixture *f)
{
	history_close(f->h);
	f->h = NULL;
	for (size_t i = 0; i < 2; i++)
		worker_take(&f->w[i]);
}

static int setup_engine(void **state, const char *engine)
{
	struct fixture *f = calloc(1, sizeof(*f));

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
	start(f);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_engine(state, "sqlite");
}

static int setup_memory(void **state)
{
	return setup_engine(state, "memory");
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->h != NULL)
		stop(f);
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

/* --- appending
 * -------------------------------------------------------------------------------------- */

static void test_every_worker_gets_every_batch(void **state)
{
	struct fixture *f = *state;

	publish_n(f, "a", DURABILITY_COMMIT, 3);
	publish_n(f, "b", DURABILITY_SYNC, 1);
	publish_n(f, "typing", DURABILITY_EPHEMERAL, 1);
	publish_n(f, "ram:a", DURABILITY_MEMORY, 2);
	publish_n(f, "a", DURABILITY_COMMIT, 1);
	for (size_t i = 0; i < 2; i++) {
		const struct test_rows *r = &f->w[i].rows;
		WAIT_FOR(&f->w[i], r->n == 8);
		assert_int_equal(r->m[0]->prev, 0);
		assert_int_equal(r->m[2]->prev, r->m[1]->seq);
		assert_int_equal(r->m[4]->seq, 0); /* ephemeral, in its place */
		assert_int_equal(r->m[6]->prev, r->m[5]->seq);
		assert_int_equal(r->m[7]->prev, r->m[2]->seq);
		assert_true(r->m[7]->seq == f->w[i].head);
		uint64_t seq = 0;
		for (size_t k = 0; k < 8; k++) {
			assert_true(r->m[k]->ts_ms > 0);
			if (r->m[k]->seq == 0)
				continue;
			assert_int_equal(r->m[k]->seq, seq + 1);
			seq++;
		}
	}
	assert_int_equal(f->w[0].receipts, 5);
	assert_int_equal(f->w[1].receipts, 0);
	assert_int_equal(history_health(f->h), 0);
}

#define PUBLISHES 300

/* One of two workers on its own thread: publishes, asks, and takes what comes. */
struct busy {
	struct fixture *f;
	struct worker *w;
	pthread_t thread;
};

static void *be_busy(void *arg)
{
	static const enum durability kinds[] = {DURABILITY_COMMIT, DURABILITY_MEMORY,
						DURABILITY_EPHEMERAL, DURABILITY_SYNC};
	struct busy *b = arg;

	for (size_t i = 0; i < PUBLISHES; i++) {
		enum durability d = kinds[i % 4];
		struct append *a = append_make(b->w, d == DURABILITY_MEMORY ? "ram:a" : "a", d, 2);
		while (history_append(b->f->h, a) != 0)
			worker_take(b->w);
		if (i % 10 == 0) {
			struct query *q = query_new(1);
			q->reply_to = &b->w->box;
			q->owner = b->w;
			q->done = query_free;
			q->upto = b->w->head;
			q->row_max = 50;
			q->byte_max = SIZE_MAX;
			q->ranges[0].range.channel = SLICE("a");
			if (history_query(b->f->h, q) != 0)
				query_free(q);
		}
		worker_take(b->w);
	}
	WAIT_FOR(b->w, b->w->rows.n == 2 * 2 * PUBLISHES && b->w->receipts == PUBLISHES);
	return NULL;
}

static void test_many_publishers(void **state)
{
	struct fixture *f = *state;
	struct busy b[2];

	for (size_t i = 0; i < 2; i++) {
		b[i] = (struct busy){.f = f, .w = &f->w[i]};
		assert_int_equal(pthread_create(&b[i].thread, NULL, be_busy, &b[i]), 0);
	}
	for (size_t i = 0; i < 2; i++)
		pthread_join(b[i].thread, NULL);
	/* the same messages in the same order, and appends in one piece */
	uint64_t seq = 0;
	for (size_t i = 0; i < f->w[0].rows.n; i++) {
		const struct message *m = f->w[0].rows.m[i];
		assert_ptr_equal(m, f->w[1].rows.m[i]);
		if (m->seq != 0)
			assert_int_equal(m->seq, ++seq);
		if (i % 2 == 1)
			assert_int_equal(m->durability, f->w[0].rows.m[i - 1]->durability);
	}
	assert_int_equal(seq, 2 * 2 * PUBLISHES / 4 * 3);
}

/* A worker that does not take its letters holds up the log, not the memory; and closing ends the
 * wait. */
static void test_slow_worker(void **state)
{
	struct fixture *f = *state;

	stop(f);
	f->cfg.worker_lag = 2;
	f->cfg.batch_messages = 1;
	start(f);
	for (int i = 0; i < 20; i++) {
		struct append *a = append_make(&f->w[1], "a", DURABILITY_COMMIT, 1);
		assert_int_equal(history_append(f->h, a), 0);
	}
	/* worker 1 takes all it is given, which is after worker 0 was given the same; that one
	 * takes nothing */
	WAIT_FOR(&f->w[1], f->w[1].receipts == 3);
	assert_int_equal(mailbox_count(&f->w[0].box), 3);
	/* it wakes up: more comes */
	worker_take(&f->w[0]);
	WAIT_FOR(&f->w[1], f->w[1].receipts == 6);
	stop(f);
	assert_int_equal(f->w[1].receipts, 20);
	assert_int_equal(f->w[0].rows.n, 20);
}

/* Past the log: at once, to all workers, without a number, and not when one is far behind. */
static void test_short_way(void **state)
{
	struct fixture *f = *state;

	stop(f);
	f->cfg.worker_lag = 1;
	start(f);
	struct append *stored = append_make(&f->w[1], "a", DURABILITY_COMMIT, 1);
	assert_false(history_takes_short_way(f->h, stored));
	append_free(stored);
	for (size_t i = 0; i < 2; i++) {
		struct append *a = append_make(&f->w[1], "typing", DURABILITY_EPHEMERAL, 2);
		assert_true(history_takes_short_way(f->h, a));
		history_announce(f->h, &a, 1, NULL);
		assert_int_equal(mailbox_count(&f->w[0].box), i + 1);
		worker_take(&f->w[1]);
	}
	assert_int_equal(f->w[1].receipts, 2);
	assert_int_equal(f->w[1].answered->stored_n, 2);
	assert_int_equal(f->w[1].answered->durability, DURABILITY_EPHEMERAL);
	assert_int_equal(f->w[1].rows.n, 4);
	assert_true(f->w[1].rows.m[3]->ts_ms > 0);
	struct append *late = append_make(&f->w[1], "typing", DURABILITY_EPHEMERAL, 1);
	assert_false(history_takes_short_way(f->h, late));
	append_free(late);
	worker_take(&f->w[0]);
	assert_int_equal(f->w[0].receipts, 0);
	assert_int_equal(f->w[0].rows.n, 4);
}

/* Nobody can put a letter into a box that is held. */
struct holder {
	pthread_t thread;
	struct mailbox *box;
	sem_t holds;
	sem_t is_done;
};

static void *hold(void *arg)
{
	struct holder *o = arg;
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_MS / 1000;
	pthread_mutex_lock(&o->box->lock);
	sem_post(&o->holds);
	sem_timedwait(&o->is_done, &until);
	pthread_mutex_unlock(&o->box->lock);
	return NULL;
}

/* A stored message is at one worker and not yet at the other: an ephemeral answer to it, given to
 * whichever of them, must not be at the other before it. */
static void test_short_way_between_two_mailboxes(void **state)
{
	struct fixture *f = *state;
	struct holder o = {.box = &f->w[1].box};
	struct append *answer = append_make(&f->w[1], "typing", DURABILITY_EPHEMERAL, 1);

	sem_init(&o.holds, 0, 0);
	sem_init(&o.is_done, 0, 0);
	assert_int_equal(pthread_create(&o.thread, NULL, hold, &o), 0);
	sem_wait(&o.holds);
	publish(f, "a", DURABILITY_COMMIT);
	assert_false(history_takes_short_way(f->h, answer));
	sem_post(&o.is_done);
	pthread_join(o.thread, NULL);
	/* by the log, then */
	assert_int_equal(history_append(f->h, answer), 0);
	WAIT_FOR(&f->w[1], f->w[1].receipts == 1);
	assert_int_equal(f->w[1].rows.n, 2);
	assert_int_equal(f->w[1].rows.m[0]->durability, DURABILITY_COMMIT);
	sem_destroy(&o.holds);
	sem_destroy(&o.is_done);
}

static void test_queue_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct append *big = append_new(1);
	char *payload = calloc(1, 2 << 20);

	f->w[0].is_forgetful = f->w[1].is_forgetful = true;
	/* larger than the queue: gets through when it is alone */
	memset(payload, 'x', (2 << 20) - 1);
	big->reply_to = &f->w[0].box;
	big->owner = &f->w[0];
	big->done = on_append;
	big->messages[0] = draft("a", payload, DURABILITY_COMMIT);
	free(payload);
	assert_int_equal(history_append(f->h, big), 0);
	WAIT_FOR(&f->w[0], f->w[0].receipts == 1);
	assert_int_equal(f->w[0].error, 0);
	/* fill it faster than it can be emptied */
	int rc = 0;
	size_t given = 1;
	while (rc == 0) {
		struct append *a = append_make(&f->w[0], "a", DURABILITY_SYNC, 50);
		rc = history_append(f->h, a);
		if (rc != 0)
			append_free(a);
		else
			given++;
	}
	assert_int_equal(rc, -EAGAIN);
	WAIT_FOR(&f->w[0], f->w[0].receipts == given);
	assert_int_equal(f->w[0].refused, 0);
}

static void test_close_commits_what_waits(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 50; i++)
		publish_n(f, "a", DURABILITY_COMMIT, 7);
	stop(f);
	assert_int_equal(f->w[0].receipts, 50);
	assert_int_equal(f->w[0].rows.n, 350);
	assert_int_equal(f->w[1].rows.n, 350);
	start(f);
	assert_int_equal(history_start_head(f->h), 350);
	struct query *q = ask(f, "a", NULL, 0, 350, 1000);
	assert_int_equal(q->row_n, 350);
	query_free(q);
	assert_int_equal(publish(f, "a", DURABILITY_COMMIT), 351);
	assert_int_equal(f->w[0].answered->messages[0]->prev, 350);
}

/* --- reading
 * ---------------------------------------------------------------------------------------- */

static void test_both_stores_are_merged(void **state)
{
	struct fixture *f = *state;
	uint64_t cursor = 0, seen = 0;

	for (int i = 0; i < 60; i++)
		publish_n(f, i % 3 ? "a" : "ram:a", i % 3 ? DURABILITY_COMMIT : DURABILITY_MEMORY,
			  1);
	WAIT_FOR(&f->w[0], f->w[0].receipts == 60);
	while (cursor < 60) {
		struct query *q = ask(f, "a", "ram:a", cursor, 60, 7);
		assert_int_equal(q->error, 0);
		for (size_t i = 0; i < q->row_n; i++)
			assert_int_equal(q->rows[i]->seq, ++seen);
		assert_true(q->reached >= seen);
		assert_int_equal(q->ranges[0].range.head, 60);
		assert_int_equal(q->ranges[1].range.head, 58);
		cursor = q->reached;
		assert_int_equal(cursor, seen);
		query_free(q);
	}
	assert_int_equal(seen, 60);
	struct query *q = ask(f, "ram:a", NULL, 0, 60, 100);
	assert_int_equal(q->row_n, 20);
	assert_int_equal(q->reached, 60);
	query_free(q);
}

static void test_tasks(void **state)
{
	struct fixture *f = *state;
	char copy[128];

	publish(f, "b", DURABILITY_COMMIT);
	publish(f, "ram:x", DURABILITY_MEMORY);
	publish(f, "z", DURABILITY_COMMIT);
	publish(f, "a", DURABILITY_COMMIT);
	struct store_task *t = task(f, TASK_CHANNELS, "", NULL, 3);
	assert_int_equal(t->error, 0);
	assert_int_equal(t->row_n, 3);
	assert_string_equal(t->rows[0].name, "a");
	assert_string_equal(t->rows[1].name, "b");
	assert_string_equal(t->rows[2].name, "ram:x");
	assert_int_equal(t->rows[2].info.count, 1);
	store_task_free(t);
	t = task(f, TASK_CHANNELS, "", "ram:x", 3);
	assert_int_equal(t->row_n, 1);
	store_task_free(t);
	t = task(f, TASK_CHANNEL, "ram:x", NULL, 0);
	assert_int_equal(t->info.head, 2);
	store_task_free(t);
	for (int i = 0; i < 10; i++)
		publish_n(f, "a", DURABILITY_COMMIT, 100);
	WAIT_FOR(&f->w[0], f->w[0].receipts == 14);
	t = task(f, TASK_PURGE, "a", NULL, 0);
	assert_int_equal(t->error, 0);
	assert_int_equal(t->removed, 1001);
	store_task_free(t);
	t = task(f, TASK_PURGE, "ram:x", NULL, 0);
	assert_int_equal(t->removed, 1);
	store_task_free(t);
	t = task(f, TASK_CHANNEL, "a", NULL, 0);
	assert_int_equal(t->info.head, 1004);
	assert_int_equal(t->info.floor, 1004);
	assert_int_equal(t->info.count, 0);
	store_task_free(t);
	snprintf(copy, sizeof(copy), "%s/copy.db", f->folder);
	t = task(f, TASK_BACKUP, copy, NULL, 0);
	assert_int_equal(t->error, 0);
	store_task_free(t);
	t = task(f, TASK_BACKUP, copy, NULL, 0);
	assert_int_equal(t->error, -EEXIST);
	assert_non_null(strstr(t->problem.text, "exists"));
	store_task_free(t);
}

static void test_retention_needs_no_publish(void **state)
{
	struct fixture *f = *state;
	uint64_t count = 10;

	publish_n(f, "few:a", DURABILITY_COMMIT, 10);
	WAIT_FOR(&f->w[0], f->w[0].receipts == 1);
	/* asking is waiting: each answer comes when the log went on */
	while (count > 3) {
		struct store_task *t = task(f, TASK_CHANNEL, "few:a", NULL, 0);
		count = t->info.count;
		store_task_free(t);
	}
	/* and with new options */
	struct namespace_table *t = test_namespaces();
	t->ns[1].history_count = 1;
	history_set_namespaces(f->h, t);
	while (count > 1) {
		struct store_task *task_now = task(f, TASK_CHANNEL, "few:a", NULL, 0);
		count = task_now->info.count;
		store_task_free(task_now);
	}
	assert_int_equal(count, 1);
}

/* --- restarts
 * --------------------------------------------------------------------------------------- */

static void test_numbers_are_never_used_twice(void **state)
{
	struct fixture *f = *state;
	struct epoch epoch = *history_epoch(f->h);

	assert_int_equal(publish(f, "a", DURABILITY_COMMIT), 1);
	assert_int_equal(publish(f, "ram:a", DURABILITY_MEMORY), 2);
	stop(f);
	/* a clean end: goes on right behind */
	start(f);
	assert_string_equal(history_epoch(f->h)->text, epoch.text);
	assert_int_equal(history_start_head(f->h), 2);
	assert_int_equal(publish(f, "a", DURABILITY_COMMIT), 3);
	assert_int_equal(f->w[0].answered->messages[0]->prev, 1);
	/* a client of the memory-only channel is told that something is gone */
	struct query *q = ask(f, "ram:a", NULL, 2, 3, 10);
	assert_int_equal(q->row_n, 0);
	assert_int_equal(q->ranges[0].range.head, 0);
	assert_int_equal(q->ranges[0].range.floor, 2);
	query_free(q);
	stop(f);
	/* a crash after a memory-only message: beyond everything that may have been given out */
	uint64_t seq = 0;
	int pipe_fd[2];
	assert_int_equal(pipe(pipe_fd), 0);
	pid_t pid = fork();
	if (pid == 0) {
		start(f);
		seq = publish(f, "ram:a", DURABILITY_MEMORY);
		if (write(pipe_fd[1], &seq, sizeof(seq)) != sizeof(seq))
			_exit(1);
		pause();
	}
	assert_int_equal(read(pipe_fd[0], &seq, sizeof(seq)), sizeof(seq));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	start(f);
	assert_int_equal(seq, 4);
	assert_true(history_start_head(f->h) >= seq);
	assert_true(publish(f, "a", DURABILITY_COMMIT) > seq);
	assert_int_equal(f->w[0].answered->messages[0]->prev, 3);
}

static void test_memory_log_starts_anew(void **state)
{
	struct fixture *f = *state;
	struct epoch epoch = *history_epoch(f->h);

	assert_int_equal(publish(f, "a", DURABILITY_COMMIT), 1);
	assert_int_equal(publish(f, "ram:a", DURABILITY_MEMORY), 2);
	struct query *q = ask(f, "a", "ram:a", 0, 2, 10);
	assert_int_equal(q->row_n, 2);
	query_free(q);
	struct store_task *t = task(f, TASK_BACKUP, "/nowhere/x", NULL, 0);
	assert_int_equal(t->error, -ENOTSUP);
	store_task_free(t);
	stop(f);
	f->w[0].head = f->w[1].head = 0;
	start(f);
	assert_string_not_equal(history_epoch(f->h)->text, epoch.text);
	assert_int_equal(history_start_head(f->h), 0);
	q = ask(f, "a", NULL, 0, 100, 10);
	assert_int_equal(q->row_n, 0);
	assert_int_equal(q->ranges[0].range.floor, 0);
	query_free(q);
}

/* --- a failing disk
 * --------------------------------------------------------------------------------- */

/* Ephemeral messages go on whatever the disk does, so they serve as the clock of this wait. */
static void wait_for_health(struct fixture *f)
{
	f->w[0].is_forgetful = f->w[1].is_forgetful = true;
	for (int i = 0; i < 1000000 && history_health(f->h) != 0; i++) {
		publish(f, "typing", DURABILITY_EPHEMERAL);
		worker_take(&f->w[1]);
	}
	assert_int_equal(history_health(f->h), 0);
}

static void test_full_disk(void **state)
{
	struct fixture *f = *state;

	uint64_t first = publish(f, "a", DURABILITY_COMMIT);
	uint64_t ram = publish(f, "ram:a", DURABILITY_MEMORY);
	vfs_shim_fail(VFS_SHIM_WRITE, 1, -1, SQLITE_FULL);
	publish(f, "a", DURABILITY_COMMIT);
	assert_int_equal(f->w[0].error, -ENOSPC);
	assert_int_equal(history_health(f->h), -ENOSPC);
	assert_int_equal(counters_sum(COUNTER_STORE_UP), 0);
	assert_int_equal(f->w[0].rows.n, 2);
	/* the rest goes on, in order */
	uint64_t ram2 = publish(f, "ram:a", DURABILITY_MEMORY);
	assert_int_equal(f->w[0].error, 0);
	assert_true(ram2 > ram);
	assert_int_equal(f->w[0].answered->messages[0]->prev, ram);
	publish(f, "typing", DURABILITY_EPHEMERAL);
	assert_int_equal(f->w[0].error, 0);
	publish(f, "a", DURABILITY_SYNC);
	assert_int_equal(f->w[0].error, -ENOSPC);
	/* reading, too */
	struct query *q = ask(f, "a", "ram:a", 0, f->w[0].head, 10);
	assert_int_equal(q->row_n, 3);
	query_free(q);
	/* heals by itself */
	vfs_shim_heal();
	wait_for_health(f);
	assert_int_equal(counters_sum(COUNTER_STORE_UP), 1);
	uint64_t after = publish(f, "a", DURABILITY_COMMIT);
	assert_int_equal(f->w[0].error, 0);
	assert_true(after > ram2);
	assert_int_equal(f->w[0].answered->messages[0]->prev, first);
	q = ask(f, "a", NULL, 0, after, 10);
	assert_int_equal(q->row_n, 2);
	query_free(q);
}

static void test_failing_sync(void **state)
{
	struct fixture *f = *state;

	uint64_t first = publish(f, "a", DURABILITY_SYNC);
	vfs_shim_fail(VFS_SHIM_SYNC, 1, -1, SQLITE_IOERR_FSYNC);
	publish(f, "a", DURABILITY_SYNC);
	assert_int_equal(f->w[0].error, -EIO);
	assert_true(history_health(f->h) < 0);
	/* nobody gets a cursor with the number of a message that is in no log */
	assert_int_equal(f->w[0].head, first);
	assert_int_equal(history_head(f->h), first);
	vfs_shim_heal();
	wait_for_health(f);
	uint64_t after = publish(f, "a", DURABILITY_SYNC);
	assert_int_equal(f->w[0].error, 0);
	assert_int_equal(f->w[0].answered->messages[0]->prev, first);
	struct query *q = ask(f, "a", NULL, 0, after, 10);
	assert_int_equal(q->row_n, 2);
	query_free(q);
}

/* One append that SQLite can never take must not take the others with it. */
static void test_one_bad_append(void **state)
{
	struct fixture *f = *state;
	char payload[2000];

	stop(f);
	f->length_limit = 1500;
	start(f);
	memset(payload, 'x', sizeof(payload) - 1);
	payload[sizeof(payload) - 1] = '\0';
	struct append *bad = append_make(&f->w[0], "a", DURABILITY_COMMIT, 1);
	message_unref(bad->messages[0]);
	bad->messages[0] = draft("a", payload, DURABILITY_COMMIT);
	publish_n(f, "a", DURABILITY_SYNC, 1);
	publish_n(f, "b", DURABILITY_COMMIT, 1);
	assert_int_equal(history_append(f->h, bad), 0);
	publish_n(f, "a", DURABILITY_COMMIT, 1);
	WAIT_FOR(&f->w[0], f->w[0].receipts == 4);
	assert_int_equal(f->w[0].refused, 1);
	assert_int_equal(f->w[0].rows.n, 3);
	assert_int_equal(history_health(f->h), 0);
	assert_int_equal(f->w[0].rows.m[2]->prev, f->w[0].rows.m[0]->seq);
	assert_true(f->w[0].rows.m[2]->seq > f->w[0].rows.m[1]->seq);
}

static int setup_shim(void **state)
{
	vfs_shim_install();
	return setup(state);
}

static int teardown_shim(void **state)
{
	vfs_shim_heal();
	int rc = teardown(state);
	vfs_shim_uninstall();
	return rc;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_worker_gets_every_batch, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_many_publishers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_way_between_two_mailboxes, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_queue_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_commits_what_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_both_stores_are_merged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tasks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retention_needs_no_publish, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers_are_never_used_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_log_starts_anew, setup_memory,
						teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup_shim, teardown_shim),
		cmocka_unit_test_setup_teardown(test_failing_sync, setup_shim, teardown_shim),
		cmocka_unit_test_setup_teardown(test_one_bad_append, setup, teardown),
	};

	map_seed();
	log_set_level(LOG_LEVEL_OFF);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
