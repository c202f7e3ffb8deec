/* SPDX-License-Identifier: MIT */
/* ack: positions on their way through the log thread: joined per round, told to every worker. */
#include "tests/unit/store/store_test.h"

#include <errno.h>

#include "base/counters.h"
#include "base/map.h"
#include "store/history.h"

#define PATIENCE_MS 20000

struct fixture {
	char folder[64];
	char path[96];
	struct namespace_table *namespaces;
	struct history *h;
	struct mailbox box[2]; /* of two workers */
	char heard[2][8192];   /* positions that batches told of */
	struct ack_letter *answered;
	size_t answers;
	struct store_task *task;
};

static void on_answer(struct ack_letter *l)
{
	struct fixture *f = l->owner;

	ack_letter_free(f->answered);
	f->answered = l;
	f->answers++;
}

static void on_receipt(struct append *a)
{
	append_free(a);
}

static void on_task(struct store_task *t)
{
	struct fixture *f = t->owner;

	f->task = t;
}

static void open_letter(struct fixture *f, size_t w, struct letter *l)
{
	struct batch_letter *b;
	struct ack_letter *a;
	struct append *r;

	switch (l->kind) {
	case LETTER_BATCH:
		b = container_of(l, struct batch_letter, letter);
		for (size_t i = 0; i < b->batch->ack_n; i++) {
			const struct batch_ack *ack = &b->batch->acks[i];
			size_t n = strlen(f->heard[w]);
			snprintf(f->heard[w] + n, sizeof(f->heard[w]) - n, "%.*s %.*s %llu|",
				 SLICE_ARG(ack->subscriber), SLICE_ARG(ack->channel),
				 (unsigned long long)ack->seq);
		}
		while ((r = STAILQ_FIRST(&b->receipts)) != NULL) {
			STAILQ_REMOVE_HEAD(&b->receipts, receipt);
			r->done(r);
		}
		batch_letter_free(b);
		break;
	case LETTER_ACK:
		a = container_of(l, struct ack_letter, letter);
		a->done(a);
		break;
	case LETTER_TASK:
		on_task(container_of(l, struct store_task, letter));
		break;
	default:
		fail();
	}
}

static void open_letters(struct fixture *f, size_t w)
{
	struct letter_list list = STAILQ_HEAD_INITIALIZER(list);
	struct letter *l;

	mailbox_take(&f->box[w], &list);
	while ((l = STAILQ_FIRST(&list)) != NULL) {
		STAILQ_REMOVE_HEAD(&list, link);
		open_letter(f, w, l);
	}
}

/* Until so many letters were answered. */
static void await(struct fixture *f, size_t answers)
{
	while (f->answers < answers) {
		mailbox_wait(&f->box[0], PATIENCE_MS);
		open_letters(f, 0);
	}
	open_letters(f, 1);
}

static void start(struct fixture *f, uint64_t positions)
{
	struct problem problem = {""};
	struct history_config cfg = {
		.engine = "sqlite",
		.path = f->path,
		.namespaces = f->namespaces,
		.readers = 1,
		.append_queue_bytes = 1 << 20,
		.query_queue = 16,
		.batch_messages = 1000,
		.worker_lag = 1000,
		.ack_positions = positions,
	};

	if (history_open(&cfg, &f->h, &problem) != 0)
		fail_msg("%s", problem.text);
	for (size_t w = 0; w < 2; w++) {
		mailbox_init(&f->box[w]);
		history_add_worker(f->h, &f->box[w]);
	}
	assert_int_equal(history_start(f->h), 0);
}

static void stop(struct fixture *f)
{
	history_close(f->h);
	for (size_t w = 0; w < 2; w++) {
		open_letters(f, w);
		mailbox_fini(&f->box[w]);
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	test_folder_make(f->folder);
	snprintf(f->path, sizeof(f->path), "%s/log.db", f->folder);
	f->namespaces = test_namespaces();
	start(f, 1000);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	stop(f);
	ack_letter_free(f->answered);
	namespace_table_unref(f->namespaces);
	test_folder_remove(f->folder);
	free(f);
	return 0;
}

static void ask(struct fixture *f, const char *subscriber, const char *channel, uint64_t begin,
		uint64_t seq)
{
	struct ack_letter *l = ack_letter_new(slice_str(subscriber), 1);

	ack_letter_set(l, 0, slice_str(channel), begin, seq);
	l->reply_to = &f->box[0];
	l->done = on_answer;
	l->owner = f;
	assert_int_equal(history_ack(f->h, l), 0);
}

static void test_answered_and_told_to_every_worker(void **state)
{
	struct fixture *f = *state;

	ask(f, "s", "a", 5, 0);
	await(f, 1);
	assert_int_equal(f->answered->items[0].kept, 5);
	ask(f, "s", "a", 7, 7);
	await(f, 2);
	assert_int_equal(f->answered->items[0].kept, 7);
	ask(f, "s", "a", 6, 6);
	await(f, 3);
	assert_int_equal(f->answered->items[0].kept, 7);
	assert_string_equal(f->heard[0], "s a 7|s a 7|");
	assert_string_equal(f->heard[1], f->heard[0]);
}

static void test_joined_as_if_made_alone(void **state)
{
	struct fixture *f = *state;

	/* one letter is one round, whatever the threads do */
	struct ack_letter *l = ack_letter_new(SLICE("s"), 4);
	ack_letter_set(l, 0, SLICE("a"), STORE_ACK_NO_BEGIN, 0);
	ack_letter_set(l, 1, SLICE("a"), 3, 0);
	ack_letter_set(l, 2, SLICE("a"), 2, 2);
	ack_letter_set(l, 3, SLICE("b"), 9, 9);
	l->reply_to = &f->box[0];
	l->done = on_answer;
	l->owner = f;
	assert_int_equal(history_ack(f->h, l), 0);
	await(f, 1);
	assert_int_equal(f->answered->items[0].kept, 3);
	assert_int_equal(f->answered->items[2].kept, 3);
	assert_int_equal(f->answered->items[3].kept, 9);
	assert_string_equal(f->heard[1], "s a 3|s b 9|");
}

static void test_kept_across_a_restart(void **state)
{
	struct fixture *f = *state;

	ask(f, "s", "ram:a", 5, 5);
	ask(f, "s", "safe:a", 6, 6);
	await(f, 2);
	stop(f);
	start(f, 1000);
	ask(f, "s", "ram:a", 1, 0);
	await(f, 3);
	assert_int_equal(f->answered->items[0].kept, 5);
	ask(f, "s", "safe:a", 1, 0);
	await(f, 4);
	assert_int_equal(f->answered->items[0].kept, 6);
}

static void test_what_waits_is_kept_at_the_end(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 1; i <= 100; i++)
		ask(f, "s", "a", i, i);
	stop(f);
	assert_int_equal(f->answers, 100);
	start(f, 1000);
	ask(f, "s", "a", 1, 0);
	await(f, 101);
	assert_int_equal(f->answered->items[0].kept, 100);
}

static void test_too_many(void **state)
{
	struct fixture *f = *state;

	stop(f);
	start(f, 1);
	ask(f, "s", "a", 1, 1);
	await(f, 1);
	ask(f, "s", "b", 1, 1);
	await(f, 2);
	assert_int_equal(f->answered->error, 0);
	assert_int_equal(f->answered->items[0].error, -EDQUOT);
	assert_string_equal(f->heard[0], "s a 1|");
}

static void test_queue_is_limited(void **state)
{
	struct fixture *f = *state;
	size_t n = 0;
	int rc = 0;

	/* letters of 64 KB: a megabyte is full before the log thread has taken many */
	while (rc == 0 && n < 100000) {
		struct ack_letter *l = ack_letter_new(SLICE("s"), 250);
		for (size_t i = 0; i < 250; i++)
			ack_letter_set(l, i, SLICE("a"), n, n);
		l->reply_to = &f->box[0];
		l->done = on_answer;
		l->owner = f;
		rc = history_ack(f->h, l);
		if (rc == 0)
			n++;
		else
			ack_letter_free(l);
	}
	assert_int_equal(rc, -EAGAIN);
	await(f, n);
}

static struct store_task *run_task(struct fixture *f, enum store_task_kind kind)
{
	struct store_task *t = store_task_new(kind, SLICE("s"));

	t->reply_to = &f->box[0];
	t->owner = f;
	t->max = 10;
	t->lag_max = 5;
	f->task = NULL;
	assert_int_equal(history_task(f->h, t), 0);
	while (f->task == NULL) {
		mailbox_wait(&f->box[0], PATIENCE_MS);
		open_letters(f, 0);
	}
	return f->task;
}

static void test_listed_with_lag_and_forgotten(void **state)
{
	struct fixture *f = *state;
	struct append *a = append_new(3);

	for (size_t i = 0; i < 3; i++) {
		struct message_spec spec = {.channel = SLICE("a"),
					    .payload = SLICE("x"),
					    .kind = MESSAGE_TEXT,
					    .durability = DURABILITY_COMMIT};
		a->messages[i] = message_new(&spec);
	}
	a->reply_to = &f->box[0];
	a->done = on_receipt;
	assert_int_equal(history_append(f->h, a), 0);
	ask(f, "s", "a", 1, 1);
	await(f, 1);
	struct store_task *t = run_task(f, TASK_ACKS);
	assert_int_equal(t->error, 0);
	assert_int_equal(t->row_n, 1);
	assert_string_equal(t->acks[0].channel, "a");
	assert_int_equal(t->acks[0].seq, 1);
	assert_int_equal(t->acks[0].lag, 2);
	store_task_free(t);
	t = run_task(f, TASK_FORGET);
	assert_int_equal(t->removed, 1);
	store_task_free(t);
	t = run_task(f, TASK_ACKS);
	assert_int_equal(t->row_n, 0);
	store_task_free(t);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_answered_and_told_to_every_worker),
		TEST(test_joined_as_if_made_alone),
		TEST(test_kept_across_a_restart),
		TEST(test_what_waits_is_kept_at_the_end),
		TEST(test_too_many),
		TEST(test_queue_is_limited),
		TEST(test_listed_with_lag_and_forgotten),
	};

	map_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
