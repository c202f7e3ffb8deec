/* SPDX-License-Identifier: MIT */
/* announce: all that any worker publishes comes to every worker, in one order, by the log or past
 * it. */
#include <semaphore.h>

#include "base/log.h"
#include "base/map.h"
#include "tests/unit/store/history_rig.h"

static void test_every_worker_gets_every_batch(void **state)
{
	struct history_rig *f = *state;

	rig_publish_n(f, "a", DURABILITY_COMMIT, 3);
	rig_publish_n(f, "b", DURABILITY_SYNC, 1);
	rig_publish_n(f, "typing", DURABILITY_EPHEMERAL, 1);
	rig_publish_n(f, "ram:a", DURABILITY_MEMORY, 2);
	rig_publish_n(f, "a", DURABILITY_COMMIT, 1);
	for (size_t i = 0; i < 2; i++) {
		const struct test_rows *r = &f->w[i].rows;
		RIG_WAIT_FOR(&f->w[i], r->n == 8);
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
	struct history_rig *f;
	struct rig_worker *w;
	pthread_t thread;
};

static void *be_busy(void *arg)
{
	static const enum durability kinds[] = {DURABILITY_COMMIT, DURABILITY_MEMORY,
						DURABILITY_EPHEMERAL, DURABILITY_SYNC};
	struct busy *b = arg;

	for (size_t i = 0; i < PUBLISHES; i++) {
		enum durability d = kinds[i % 4];
		struct append *a = rig_append(b->w, d == DURABILITY_MEMORY ? "ram:a" : "a", d, 2);
		while (history_append(b->f->h, a) != 0)
			rig_take(b->w);
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
		rig_take(b->w);
	}
	RIG_WAIT_FOR(b->w, b->w->rows.n == 2 * 2 * PUBLISHES && b->w->receipts == PUBLISHES);
	return NULL;
}

static void test_many_publishers(void **state)
{
	struct history_rig *f = *state;
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
	struct history_rig *f = *state;

	rig_stop(f);
	f->cfg.worker_lag = 2;
	f->cfg.batch_messages = 1;
	rig_start(f);
	for (int i = 0; i < 20; i++) {
		struct append *a = rig_append(&f->w[1], "a", DURABILITY_COMMIT, 1);
		assert_int_equal(history_append(f->h, a), 0);
	}
	/* worker 1 takes all it is given, which is after worker 0 was given the same; that one
	 * takes nothing */
	RIG_WAIT_FOR(&f->w[1], f->w[1].receipts == 3);
	assert_int_equal(mailbox_count(&f->w[0].box), 3);
	/* it wakes up: more comes */
	rig_take(&f->w[0]);
	RIG_WAIT_FOR(&f->w[1], f->w[1].receipts == 6);
	rig_stop(f);
	assert_int_equal(f->w[1].receipts, 20);
	assert_int_equal(f->w[0].rows.n, 20);
}

/* Past the log: at once, to all workers, without a number, and not when one is far behind. */
static void test_short_way(void **state)
{
	struct history_rig *f = *state;

	rig_stop(f);
	f->cfg.worker_lag = 1;
	rig_start(f);
	struct append *stored = rig_append(&f->w[1], "a", DURABILITY_COMMIT, 1);
	assert_false(history_takes_short_way(f->h, stored));
	append_free(stored);
	for (size_t i = 0; i < 2; i++) {
		struct append *a = rig_append(&f->w[1], "typing", DURABILITY_EPHEMERAL, 2);
		assert_true(history_takes_short_way(f->h, a));
		history_announce(f->h, &a, 1, NULL);
		assert_int_equal(mailbox_count(&f->w[0].box), i + 1);
		rig_take(&f->w[1]);
	}
	assert_int_equal(f->w[1].receipts, 2);
	assert_int_equal(f->w[1].answered->stored_n, 2);
	assert_int_equal(f->w[1].answered->durability, DURABILITY_EPHEMERAL);
	assert_int_equal(f->w[1].rows.n, 4);
	assert_true(f->w[1].rows.m[3]->ts_ms > 0);
	struct append *late = rig_append(&f->w[1], "typing", DURABILITY_EPHEMERAL, 1);
	assert_false(history_takes_short_way(f->h, late));
	append_free(late);
	rig_take(&f->w[0]);
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
	struct history_rig *f = *state;
	struct holder o = {.box = &f->w[1].box};
	struct append *answer = rig_append(&f->w[1], "typing", DURABILITY_EPHEMERAL, 1);

	sem_init(&o.holds, 0, 0);
	sem_init(&o.is_done, 0, 0);
	assert_int_equal(pthread_create(&o.thread, NULL, hold, &o), 0);
	sem_wait(&o.holds);
	rig_publish(f, "a", DURABILITY_COMMIT);
	assert_false(history_takes_short_way(f->h, answer));
	sem_post(&o.is_done);
	pthread_join(o.thread, NULL);
	/* by the log, then */
	assert_int_equal(history_append(f->h, answer), 0);
	RIG_WAIT_FOR(&f->w[1], f->w[1].receipts == 1);
	assert_int_equal(f->w[1].rows.n, 2);
	assert_int_equal(f->w[1].rows.m[0]->durability, DURABILITY_COMMIT);
	sem_destroy(&o.holds);
	sem_destroy(&o.is_done);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_worker_gets_every_batch,
						history_rig_set_up, history_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_many_publishers, history_rig_set_up,
						history_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_slow_worker, history_rig_set_up,
						history_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_short_way, history_rig_set_up,
						history_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_short_way_between_two_mailboxes,
						history_rig_set_up, history_rig_tear_down),
	};

	map_seed();
	log_set_level(LOG_LEVEL_OFF);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
