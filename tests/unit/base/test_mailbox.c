/* SPDX-License-Identifier: MIT */
/* mailbox: every letter arrives once, in its sender's order; nobody sleeps on a full box. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/mailbox.h"
#include "base/obj.h"
#include "base/xalloc.h"

#define SENDERS 4
#define LETTERS 20000 /* per sender */

struct parcel {
	struct letter letter;
	int sender;
	int number;
};

static struct letter *parcel_new(int sender, int number)
{
	struct parcel *p = xcalloc(1, sizeof(*p));

	p->letter.kind = LETTER_APPEND;
	p->sender = sender;
	p->number = number;
	return &p->letter;
}

static bool is_readable(const struct mailbox *mb)
{
	struct pollfd pfd = {.fd = mb->fd, .events = POLLIN};

	return poll(&pfd, 1, 0) == 1;
}

/* --- one thread ------------------------------------------------------------------------------ */

static void test_take_keeps_order_and_appends(void **state)
{
	struct letter_list list = STAILQ_HEAD_INITIALIZER(list);
	struct mailbox mb;
	int expected = 0;

	mailbox_init(&mb);
	assert_int_equal(mailbox_take(&mb, &list), 0);
	mailbox_post(&mb, parcel_new(0, 0));
	mailbox_post(&mb, parcel_new(0, 1));
	assert_int_equal(mailbox_count(&mb), 2);
	assert_int_equal(mailbox_take(&mb, &list), 2);
	assert_int_equal(mailbox_count(&mb), 0);
	mailbox_post(&mb, parcel_new(0, 2));
	assert_int_equal(mailbox_take(&mb, &list), 1);
	while (!STAILQ_EMPTY(&list)) {
		struct parcel *p = container_of(STAILQ_FIRST(&list), struct parcel, letter);
		STAILQ_REMOVE_HEAD(&list, link);
		assert_int_equal(p->number, expected++);
		free(p);
	}
	assert_int_equal(expected, 3);
	mailbox_fini(&mb);
}

static void test_wait_ends_with_a_letter_or_in_time(void **state)
{
	struct letter_list list = STAILQ_HEAD_INITIALIZER(list);
	struct mailbox mb;

	mailbox_init(&mb);
	mailbox_wait(&mb, 0);
	mailbox_wait(&mb, 1);
	mailbox_post(&mb, parcel_new(0, 0));
	mailbox_wait(&mb, -1);
	mailbox_wait_below(&mb, 0, 1); /* nobody takes: gives up */
	mailbox_wait_below(&mb, 1, 1000000000);
	assert_int_equal(mailbox_take(&mb, &list), 1);
	free(STAILQ_FIRST(&list));
	mailbox_fini(&mb);
}

/* --- with a loop ----------------------------------------------------------------------------- */

struct reader {
	struct loop *loop;
	struct mailbox mb;
	int got;
	int answers;          /* letters the handler posts to its own box */
	bool detach_at_first; /* and frees everything, like a thread that ends */
	int next[SENDERS];
};

static void on_letter(struct letter *l, void *arg)
{
	struct reader *r = arg;
	struct parcel *p = container_of(l, struct parcel, letter);

	loop_assert(r->loop);
	assert(p->number == r->next[p->sender]);
	r->next[p->sender]++;
	r->got++;
	free(p);
	if (r->answers > 0) {
		r->answers--;
		mailbox_post(&r->mb, parcel_new(1, r->next[1]));
	}
	if (r->detach_at_first && r->got == 1)
		mailbox_detach(&r->mb);
	if (r->got == SENDERS * LETTERS)
		loop_stop(r->loop);
}

static void reader_init(struct reader *r)
{
	*r = (struct reader){.loop = loop_new("reader")};
	mailbox_init(&r->mb);
}

static void reader_fini(struct reader *r)
{
	mailbox_detach(&r->mb);
	mailbox_fini(&r->mb);
	loop_free(r->loop);
}

static void test_letters_posted_before_the_box_was_attached(void **state)
{
	struct reader r;

	reader_init(&r);
	mailbox_post(&r.mb, parcel_new(0, 0));
	mailbox_post(&r.mb, parcel_new(0, 1));
	mailbox_attach(&r.mb, r.loop, on_letter, &r);
	loop_turn(r.loop, true);
	assert_int_equal(r.got, 2);
	reader_fini(&r);
}

static void test_letters_to_oneself_come_later(void **state)
{
	struct reader r;

	reader_init(&r);
	mailbox_attach(&r.mb, r.loop, on_letter, &r);
	r.answers = 3;
	mailbox_post(&r.mb, parcel_new(0, 0));
	/* each of them waits until the box is opened again: twice a turn, not for ever */
	loop_turn(r.loop, true);
	assert_int_equal(r.got, 2);
	loop_turn(r.loop, true);
	assert_int_equal(r.got, 4);
	loop_turn(r.loop, false);
	assert_int_equal(r.got, 4);
	reader_fini(&r);
}

static void test_detached_inside_the_handler(void **state)
{
	struct letter_list list = STAILQ_HEAD_INITIALIZER(list);
	struct reader r;

	reader_init(&r);
	mailbox_attach(&r.mb, r.loop, on_letter, &r);
	r.detach_at_first = true;
	for (int i = 0; i < 3; i++)
		mailbox_post(&r.mb, parcel_new(0, i));
	loop_turn(r.loop, true);
	assert_int_equal(r.got, 3); /* none that was taken gets lost */
	mailbox_post(&r.mb, parcel_new(0, 3));
	loop_turn(r.loop, false);
	assert_int_equal(r.got, 3);
	assert_int_equal(mailbox_take(&r.mb, &list), 1);
	free(STAILQ_FIRST(&list));
	reader_fini(&r);
}

static struct mailbox *own_box;
static struct loop_task own_post;

static void *post_one(void *arg)
{
	struct reader *r = arg;

	mailbox_post(&r->mb, parcel_new(0, 2));
	return NULL;
}

/* It looks at its box before it sleeps, so only one that sleeps is woken. */
static void test_a_receiver_that_is_awake_is_not_woken(void **state)
{
	struct reader r;
	pthread_t thread;

	reader_init(&r);
	mailbox_attach(&r.mb, r.loop, on_letter, &r);
	loop_turn(r.loop, false);
	mailbox_post(&r.mb, parcel_new(0, 0));
	mailbox_post(&r.mb, parcel_new(0, 1));
	assert_false(is_readable(&r.mb));
	loop_turn(r.loop, true);
	assert_int_equal(r.got, 2);
	assert_int_equal(pthread_create(&thread, NULL, post_one, &r), 0);
	while (r.got < 3)
		loop_turn(r.loop, true);
	pthread_join(thread, NULL);
	reader_fini(&r);
}

static void post_at_end(struct loop_task *t)
{
	UNUSED(t);
	mailbox_post(own_box, parcel_new(0, 0));
}

static void on_peer(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	loop_soon(((struct reader *)arg)->loop, &own_post);
}

/* Nor does it wake itself, whatever woke it. */
static void test_a_letter_to_oneself_after_other_events_wakes_nobody(void **state)
{
	struct reader r;
	int pipe_fds[2];

	reader_init(&r);
	mailbox_attach(&r.mb, r.loop, on_letter, &r);
	own_box = &r.mb;
	loop_task_init(&own_post, post_at_end);
	assert_int_equal(pipe(pipe_fds), 0);
	struct event *e =
		event_new(loop_event_base(r.loop), pipe_fds[0], EV_READ | EV_ET, on_peer, &r);
	event_add(e, NULL);
	assert_int_equal(write(pipe_fds[1], "x", 1), 1);
	loop_turn(r.loop, true); /* it says that it sleeps, and the pipe wakes it */
	assert_int_equal(r.got, 1);
	assert_false(is_readable(&r.mb));
	event_free(e);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	reader_fini(&r);
}

/* --- many threads ---------------------------------------------------------------------------- */

struct sender {
	pthread_t thread;
	struct mailbox *to;
	int id;
	size_t keep_below; /* 0: post without waiting */
};

static void *send_all(void *arg)
{
	struct sender *s = arg;

	for (int i = 0; i < LETTERS; i++) {
		if (s->keep_below > 0)
			mailbox_wait_below(s->to, s->keep_below, 60000);
		mailbox_post(s->to, parcel_new(s->id, i));
	}
	return NULL;
}

static void start_senders(struct sender *senders, struct mailbox *to, size_t keep_below)
{
	for (int i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){.to = to, .id = i, .keep_below = keep_below};
		assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]),
				 0);
	}
}

static void join_senders(struct sender *senders)
{
	for (int i = 0; i < SENDERS; i++)
		pthread_join(senders[i].thread, NULL);
}

static void test_many_senders_one_loop(void **state)
{
	struct sender senders[SENDERS];
	struct reader r;

	reader_init(&r);
	mailbox_attach(&r.mb, r.loop, on_letter, &r);
	start_senders(senders, &r.mb, 0);
	loop_run(r.loop);
	join_senders(senders);
	assert_int_equal(r.got, SENDERS * LETTERS);
	reader_fini(&r);
}

static void test_many_senders_that_keep_below_a_limit(void **state)
{
	struct letter_list list = STAILQ_HEAD_INITIALIZER(list);
	struct sender senders[SENDERS];
	int next[SENDERS] = {0};
	struct mailbox mb;
	int got = 0;

	mailbox_init(&mb);
	start_senders(senders, &mb, 10);
	while (got < SENDERS * LETTERS) {
		size_t n;
		mailbox_wait(&mb, -1);
		n = mailbox_take(&mb, &list);
		assert_true(n <= 10 + SENDERS);
		while (!STAILQ_EMPTY(&list)) {
			struct parcel *p = container_of(STAILQ_FIRST(&list), struct parcel, letter);
			STAILQ_REMOVE_HEAD(&list, link);
			assert_int_equal(p->number, next[p->sender]++);
			free(p);
			got++;
		}
	}
	join_senders(senders);
	mailbox_fini(&mb);
}

/* A letter that travels to another thread and back: the plain fields in it need no lock. */
struct echo {
	struct mailbox in;
	struct mailbox *back;
};

static void *echo_run(void *arg)
{
	struct letter_list list = STAILQ_HEAD_INITIALIZER(list);
	struct echo *e = arg;

	for (;;) {
		mailbox_wait(&e->in, -1);
		mailbox_take(&e->in, &list);
		while (!STAILQ_EMPTY(&list)) {
			struct letter *l = STAILQ_FIRST(&list);
			STAILQ_REMOVE_HEAD(&list, link);
			if (l->kind == LETTER_STOP) {
				free(container_of(l, struct parcel, letter));
				return NULL;
			}
			container_of(l, struct parcel, letter)->number *= 2;
			mailbox_post(e->back, l);
		}
	}
}

static void test_letters_travel_back(void **state)
{
	struct letter_list list = STAILQ_HEAD_INITIALIZER(list);
	struct letter *stop = parcel_new(0, 0);
	struct mailbox mine;
	struct echo e = {.back = &mine};
	pthread_t thread;

	mailbox_init(&mine);
	mailbox_init(&e.in);
	assert_int_equal(pthread_create(&thread, NULL, echo_run, &e), 0);
	for (int i = 0; i < 2000; i++) {
		struct letter *l = parcel_new(0, i);
		mailbox_post(&e.in, l);
		mailbox_wait(&mine, -1);
		assert_int_equal(mailbox_take(&mine, &list), 1);
		assert_ptr_equal(STAILQ_FIRST(&list), l);
		STAILQ_REMOVE_HEAD(&list, link);
		assert_int_equal(container_of(l, struct parcel, letter)->number, 2 * i);
		free(container_of(l, struct parcel, letter));
	}
	stop->kind = LETTER_STOP;
	mailbox_post(&e.in, stop);
	pthread_join(thread, NULL);
	mailbox_fini(&e.in);
	mailbox_fini(&mine);
}

/* The receiver ends as soon as it has its letter, while the sender may still be inside post. */
struct short_life {
	struct mailbox *mb;
	sem_t ready;
	sem_t posted;
};

static void *post_one_each(void *arg)
{
	struct short_life *s = arg;

	for (int i = 0; i < 2000; i++) {
		sem_wait(&s->ready);
		mailbox_post(s->mb, parcel_new(0, 0));
		sem_post(&s->posted);
	}
	return NULL;
}

static void test_receiver_may_end_while_the_sender_leaves(void **state)
{
	struct letter_list list = STAILQ_HEAD_INITIALIZER(list);
	struct short_life s;
	pthread_t thread;

	sem_init(&s.ready, 0, 0);
	sem_init(&s.posted, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, post_one_each, &s), 0);
	for (int i = 0; i < 2000; i++) {
		s.mb = xcalloc(1, sizeof(*s.mb));
		mailbox_init(s.mb);
		sem_post(&s.ready);
		mailbox_wait(s.mb, -1);
		assert_int_equal(mailbox_take(s.mb, &list), 1);
		free(container_of(STAILQ_FIRST(&list), struct parcel, letter));
		STAILQ_INIT(&list);
		mailbox_fini(s.mb);
		free(s.mb);
		sem_wait(&s.posted);
	}
	pthread_join(thread, NULL);
	sem_destroy(&s.ready);
	sem_destroy(&s.posted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take_keeps_order_and_appends),
		cmocka_unit_test(test_wait_ends_with_a_letter_or_in_time),
		cmocka_unit_test(test_letters_posted_before_the_box_was_attached),
		cmocka_unit_test(test_letters_to_oneself_come_later),
		cmocka_unit_test(test_detached_inside_the_handler),
		cmocka_unit_test(test_a_receiver_that_is_awake_is_not_woken),
		cmocka_unit_test(test_a_letter_to_oneself_after_other_events_wakes_nobody),
		cmocka_unit_test(test_many_senders_one_loop),
		cmocka_unit_test(test_many_senders_that_keep_below_a_limit),
		cmocka_unit_test(test_letters_travel_back),
		cmocka_unit_test(test_receiver_may_end_while_the_sender_leaves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
