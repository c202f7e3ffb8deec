/* SPDX-License-Identifier: MIT */
/* loop: the order of a turn; timers that are never early and never lost; frees that wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/obj.h"

#define TICK_MS  50
#define START_US 1000000000ull

static struct loop *loop;
static char trace[256]; /* one letter per thing that ran */

static void ran(char what)
{
	size_t n = strlen(trace);

	assert_true(n + 1 < sizeof(trace));
	trace[n] = what;
	trace[n + 1] = '\0';
}

static int with_loop(void **state)
{
	loop = loop_new("test");
	trace[0] = '\0';
	return 0;
}

static int with_fake_clock(void **state)
{
	clock_fake_set(START_US, 0);
	return with_loop(state);
}

static int without_loop(void **state)
{
	loop_free(loop);
	clock_fake_off();
	return 0;
}

static void advance_ms(uint64_t ms)
{
	clock_fake_advance(ms * 1000);
	loop_turn(loop, false);
}

/* --- end of turn --------------------------------------------------------------------------- */

struct work {
	struct loop_task task;
	char name;
	struct work *adds; /* queued by this one when it runs */
};

static void on_work(struct loop_task *t)
{
	struct work *w = container_of(t, struct work, task);

	ran(w->name);
	if (w->adds)
		loop_at_end(loop, &w->adds->task);
}

static void free_noting(void *p)
{
	ran(*(char *)p);
}

static void free_more(void *p)
{
	static char inner = 'y';

	ran(*(char *)p);
	loop_free_later(loop, &inner, free_noting);
}

static void test_tasks_then_frees(void **state)
{
	struct work c = {.name = 'c'}, b = {.name = 'b'}, a = {.name = 'a', .adds = &c};
	char x = 'x', z = 'z';

	loop_task_init(&a.task, on_work);
	loop_task_init(&b.task, on_work);
	loop_task_init(&c.task, on_work);
	loop_free_later(loop, &x, free_more);
	loop_free_later(loop, &z, free_noting);
	loop_at_end(loop, &a.task);
	loop_at_end(loop, &b.task);
	loop_at_end(loop, &a.task);
	assert_string_equal(trace, "");
	loop_turn(loop, false);
	assert_string_equal(trace, "abcxzy");
	loop_turn(loop, false);
	assert_string_equal(trace, "abcxzy");
	/* A task that has run may be queued again. */
	loop_at_end(loop, &b.task);
	loop_turn(loop, false);
	assert_string_equal(trace, "abcxzyb");
}

static void test_cancelled_task_does_not_run(void **state)
{
	struct work b = {.name = 'b'}, a = {.name = 'a', .adds = &b};

	loop_task_init(&a.task, on_work);
	loop_task_init(&b.task, on_work);
	loop_at_end(loop, &a.task);
	loop_at_end(loop, &b.task);
	loop_at_end_cancel(loop, &b.task);
	loop_at_end_cancel(loop, &b.task);
	a.adds = NULL;
	loop_turn(loop, false);
	assert_string_equal(trace, "a");
}

static void on_soon(struct loop_task *t)
{
	struct work *w = container_of(t, struct work, task);

	ran(w->name);
	if (w->adds)
		loop_soon(loop, &w->adds->task);
}

/* New letters come as fast as they are handled. */
static bool open_inbox(void *arg)
{
	struct work *w = arg;

	ran('L');
	loop_soon(loop, &w->task);
	return true;
}

static bool find_inbox_empty(void *arg)
{
	UNUSED(arg);
	ran('-');
	return false;
}

static void test_soon_is_before_the_next_stage(void **state)
{
	struct work after_letters = {.name = 'l'}, b = {.name = 'b'}, a = {.name = 'a', .adds = &b};
	struct work end = {.name = 'e', .adds = &after_letters};
	const struct loop_inbox inbox = {.open = open_inbox, .arg = &after_letters};

	loop_task_init(&after_letters.task, on_soon);
	loop_task_init(&a.task, on_soon);
	loop_task_init(&b.task, on_soon);
	loop_task_init(&end.task, on_soon);
	loop_at_end(loop, &end.task);
	loop_soon(loop, &a.task);
	loop_set_inbox(loop, &inbox);
	loop_turn(loop, false);
	assert_string_equal(trace, "abLlLlel");
	loop_set_inbox(loop, NULL);
	loop_soon(loop, &b.task);
	loop_soon_cancel(loop, &b.task);
	loop_turn(loop, false);
	assert_string_equal(trace, "abLlLlel");
	loop_set_inbox(loop, &(struct loop_inbox){.open = find_inbox_empty});
	loop_turn(loop, false);
	assert_string_equal(trace, "abLlLlel-");
	loop_set_inbox(loop, NULL);
}

static struct work queued_by_free = {.name = 't'};

static void free_and_queue(void *p)
{
	ran('f');
	loop_at_end(loop, &queued_by_free.task);
}

static void test_task_queued_by_a_free_runs_in_this_turn(void **state)
{
	loop_task_init(&queued_by_free.task, on_work);
	loop_free_later(loop, NULL, free_and_queue);
	loop_turn(loop, false);
	assert_string_equal(trace, "ft");
}

static void test_many_frees_keep_their_order(void **state)
{
	static char names[200];

	for (int i = 0; i < 200; i++) {
		names[i] = (char)('a' + i % 26);
		loop_free_later(loop, &names[i], free_noting);
	}
	loop_turn(loop, false);
	assert_int_equal(strlen(trace), 200);
	assert_memory_equal(trace, names, 200);
}

static void test_what_waits_already_does_not_wait_for_an_event(void **state)
{
	struct work a = {.name = 'a'};
	char f = 'f';

	loop_task_init(&a.task, on_work);
	loop_at_end(loop, &a.task);
	loop_turn(loop, true); /* would hang */
	loop_free_later(loop, &f, free_noting);
	loop_turn(loop, true);
	assert_string_equal(trace, "af");
}

static void test_loop_free_runs_what_is_deferred(void **state)
{
	struct work a = {.name = 'a'};
	char f = 'f';

	loop_task_init(&a.task, on_work);
	loop_free_later(loop, &f, free_noting);
	loop_at_end(loop, &a.task);
	loop_free(loop);
	loop = NULL;
	assert_string_equal(trace, "af");
}

/* --- events, clock and turning -------------------------------------------------------------- */

static void on_pipe(evutil_socket_t fd, short what, void *arg)
{
	uint64_t now_ms = loop_now_ms(loop);
	char byte;

	assert_int_equal(read(fd, &byte, 1), 1);
	ran('e');
	loop_at_end(loop, arg);
	/* Time goes on, but not inside a turn. */
	clock_fake_advance(1000000);
	assert_int_equal(loop_now_ms(loop), now_ms);
}

static void test_events_come_before_tasks_and_see_one_time(void **state)
{
	struct work a = {.name = 'a'};
	struct event *ev;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	loop_task_init(&a.task, on_work);
	ev = event_new(loop_event_base(loop), fds[0], EV_READ | EV_PERSIST, on_pipe, &a.task);
	event_add(ev, NULL);
	assert_int_equal(write(fds[1], "x", 1), 1);
	clock_fake_advance(7000);
	loop_turn(loop, true);
	assert_string_equal(trace, "ea");
	assert_int_equal(loop_now_ms(loop), START_US / 1000 + 7 + 1000);
	event_free(ev);
	close(fds[0]);
	close(fds[1]);
}

struct stopper {
	struct loop_timer timer;
	int left;
};

static void on_stop_timer(struct loop_timer *t)
{
	struct stopper *s = container_of(t, struct stopper, timer);

	ran('t');
	if (--s->left > 0)
		loop_timer_set(loop, t, 1);
	else
		loop_stop(loop);
}

static void test_run_until_stop_and_again(void **state)
{
	struct stopper s = {.left = 2};
	struct work a = {.name = 'a'};

	loop_timer_init(&s.timer, on_stop_timer);
	loop_task_init(&a.task, on_work);
	loop_timer_set(loop, &s.timer, 1);
	loop_run(loop);
	assert_string_equal(trace, "tt");
	s.left = 1;
	loop_timer_set(loop, &s.timer, 1);
	loop_at_end(loop, &a.task);
	loop_run(loop);
	assert_string_equal(trace, "ttat");
}

static void *turn_elsewhere(void *arg)
{
	struct stopper s = {.left = 1};

	loop_timer_init(&s.timer, on_stop_timer);
	loop_timer_set(loop, &s.timer, 1);
	loop_run(loop);
	return NULL;
}

static void test_a_loop_that_ended_may_be_used_by_another_thread(void **state)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, turn_elsewhere, NULL), 0);
	pthread_join(thread, NULL);
	loop_assert(loop);
	loop_turn(loop, false);
}

static void *assert_elsewhere(void *arg)
{
	loop_assert(loop);
	return NULL;
}

static void on_wrong_thread_timer(struct loop_timer *t)
{
	pthread_t thread;

	pthread_create(&thread, NULL, assert_elsewhere, NULL);
	pthread_join(thread, NULL);
	loop_stop(loop);
}

static void test_wrong_thread_is_caught(void **state)
{
	struct rlimit no_core = {0, 0};
	struct loop_timer t;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		log_set_level(LOG_LEVEL_OFF);
		loop_timer_init(&t, on_wrong_thread_timer);
		loop_free(loop); /* an epoll descriptor is shared with the parent after fork */
		loop = loop_new("child");
		loop_timer_set(loop, &t, 1);
		loop_run(loop);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_not_equal(status, 0);
}

/* --- timers --------------------------------------------------------------------------------- */

struct note {
	struct loop_timer timer;
	char name;
	int fired;
};

static void on_note(struct loop_timer *t)
{
	struct note *n = container_of(t, struct note, timer);

	assert_false(loop_timer_is_set(t));
	n->fired++;
	if (n->name)
		ran(n->name);
}

static void test_fires_once_within_a_tick(void **state)
{
	static const uint64_t delays[] = {0,     1,     49,    50,    51,     100,    999,
					  25000, 51199, 51200, 51201, 102400, 600000, 3600000};

	for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
		struct note n = {.name = 0};
		uint64_t waited_ms = 0;
		loop_timer_init(&n.timer, on_note);
		assert_false(loop_timer_is_set(&n.timer));
		clock_fake_advance(i * 7331); /* begin anywhere inside a tick */
		loop_timer_set(loop, &n.timer, delays[i]);
		assert_true(loop_timer_is_set(&n.timer));
		while (!n.fired) {
			advance_ms(10);
			waited_ms += 10;
			assert_true(waited_ms <= delays[i] + TICK_MS + 10);
		}
		assert_true(waited_ms >= delays[i]);
		for (int k = 0; k < 2000; k++)
			advance_ms(60);
		assert_int_equal(n.fired, 1);
	}
}

static void test_exact_on_the_tick(void **state)
{
	struct note n = {.name = 'n'};

	loop_timer_init(&n.timer, on_note);
	loop_timer_set(loop, &n.timer, 25000);
	advance_ms(24999);
	assert_string_equal(trace, "");
	advance_ms(1);
	assert_string_equal(trace, "n");
}

static void test_a_leap_over_many_rounds(void **state)
{
	struct note n[40];

	for (size_t i = 0; i < ARRAY_LEN(n); i++) {
		n[i] = (struct note){.name = 0};
		loop_timer_init(&n[i].timer, on_note);
		loop_timer_set(loop, &n[i].timer, i * 10007);
	}
	advance_ms(200000);
	for (size_t i = 0; i < ARRAY_LEN(n); i++)
		assert_int_equal(n[i].fired, i * 10007 <= 200000 - TICK_MS);
	advance_ms(100000000);
	for (size_t i = 0; i < ARRAY_LEN(n); i++)
		assert_int_equal(n[i].fired, 1);
}

static void test_clear_and_set_again(void **state)
{
	struct note n = {.name = 'n'};

	loop_timer_init(&n.timer, on_note);
	loop_timer_clear(loop, &n.timer);
	loop_timer_set(loop, &n.timer, 100);
	loop_timer_clear(loop, &n.timer);
	assert_false(loop_timer_is_set(&n.timer));
	advance_ms(1000);
	assert_string_equal(trace, "");
	loop_timer_set(loop, &n.timer, 100);
	loop_timer_set(loop, &n.timer, 500); /* replaces */
	advance_ms(450);
	assert_string_equal(trace, "");
	advance_ms(50);
	assert_string_equal(trace, "n");
}

static void test_far_future_does_not_wrap(void **state)
{
	struct note n = {.name = 'n'};

	loop_timer_init(&n.timer, on_note);
	loop_timer_set(loop, &n.timer, UINT64_MAX);
	assert_true(loop_timer_is_set(&n.timer));
	advance_ms(1000000);
	assert_string_equal(trace, "");
	loop_timer_clear(loop, &n.timer);
}

static void test_fake_clock_that_begins_before_the_real_one(void **state)
{
	struct note n = {.name = 'n'}, real = {.name = 'r'};

	loop_timer_init(&n.timer, on_note);
	loop_timer_init(&real.timer, on_note);
	clock_fake_off();
	loop_timer_set(loop, &real.timer, 1000000);
	clock_fake_set(0, 0);
	loop_timer_set(loop, &n.timer, 1000);
	advance_ms(950);
	assert_string_equal(trace, "");
	advance_ms(50);
	assert_string_equal(trace, "n");
	loop_timer_clear(loop, &real.timer);
}

/* A timer that clears one which expired with it, and sets others, itself included. */
struct meddler {
	struct loop_timer timer;
	struct loop_timer *clears;
	struct loop_timer *sets;
	uint64_t set_ms;
};

static void on_meddle(struct loop_timer *t)
{
	struct meddler *m = container_of(t, struct meddler, timer);

	ran('m');
	if (m->clears)
		loop_timer_clear(loop, m->clears);
	if (m->sets)
		loop_timer_set(loop, m->sets, m->set_ms);
}

static void test_callback_clears_a_timer_that_expired_with_it(void **state)
{
	struct note a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
	struct meddler m = {.clears = &b.timer, .sets = &a.timer};

	loop_timer_init(&m.timer, on_meddle);
	loop_timer_init(&a.timer, on_note);
	loop_timer_init(&b.timer, on_note);
	loop_timer_init(&c.timer, on_note);
	loop_timer_set(loop, &m.timer, 10);
	loop_timer_set(loop, &a.timer, 20);
	loop_timer_set(loop, &c.timer, 30);
	loop_timer_set(loop, &b.timer, 40); /* the last of its list */
	advance_ms(60);
	/* m cleared b and put off a, which fires a tick later. */
	assert_string_equal(trace, "mc");
	assert_false(loop_timer_is_set(&b.timer));
	assert_true(loop_timer_is_set(&a.timer));
	advance_ms(60);
	assert_string_equal(trace, "mca");
}

static void test_callback_sets_itself(void **state)
{
	struct meddler m = {.set_ms = 0};

	m.sets = &m.timer;
	loop_timer_init(&m.timer, on_meddle);
	loop_timer_set(loop, &m.timer, 0);
	for (int i = 0; i < 10; i++)
		advance_ms(TICK_MS); /* once per tick, no endless loop */
	assert_string_equal(trace, "mmmmmmmmmm");
	loop_timer_clear(loop, &m.timer);
}

static void on_free_self(struct loop_timer *t)
{
	ran('f');
	free(container_of(t, struct note, timer));
}

static void test_callback_frees_its_timer(void **state)
{
	for (int i = 0; i < 5; i++) {
		struct note *n = calloc(1, sizeof(*n));
		assert_non_null(n);
		loop_timer_init(&n->timer, on_free_self);
		loop_timer_set(loop, &n->timer, 10);
	}
	advance_ms(60);
	assert_string_equal(trace, "fffff");
}

#define MODEL_TIMERS 300

struct model {
	struct note note;
	uint64_t due_ms; /* by this test's own reckoning; 0: not set */
};

static void model_set(struct model *m, uint64_t after_ms)
{
	loop_timer_set(loop, &m->note.timer, after_ms);
	m->due_ms = clock_mono_ms() + after_ms;
}

static void model_check(struct model *m, uint64_t now_ms)
{
	if (m->due_ms == 0) {
		assert_int_equal(m->note.fired, 0);
	} else if (m->note.fired) {
		assert_int_equal(m->note.fired, 1);
		assert_true(now_ms >= m->due_ms);
		assert_false(loop_timer_is_set(&m->note.timer));
		m->due_ms = 0;
		m->note.fired = 0;
	} else {
		assert_true(now_ms < m->due_ms + TICK_MS);
		assert_true(loop_timer_is_set(&m->note.timer));
	}
}

static void test_random_use_against_a_model(void **state)
{
	static struct model models[MODEL_TIMERS];

	srandom(4711);
	for (size_t i = 0; i < MODEL_TIMERS; i++)
		loop_timer_init(&models[i].note.timer, on_note);
	for (int round = 0; round < 5000; round++) {
		for (int k = 0; k < 5; k++) {
			struct model *m = &models[random() % MODEL_TIMERS];
			if (random() % 4 == 0) {
				loop_timer_clear(loop, &m->note.timer);
				m->due_ms = 0;
			} else {
				model_set(m, (uint64_t)(random() % 120000));
			}
		}
		advance_ms((uint64_t)(random() % (round % 50 == 0 ? 70000 : 200)));
		for (size_t i = 0; i < MODEL_TIMERS; i++)
			model_check(&models[i], clock_mono_ms());
	}
	for (size_t i = 0; i < MODEL_TIMERS; i++)
		loop_timer_clear(loop, &models[i].note.timer);
}

static void test_real_time_is_never_early_and_does_not_spin(void **state)
{
	struct note n = {.name = 'n'};
	uint64_t start_us = clock_mono_us();
	int turns = 0;

	loop_timer_init(&n.timer, on_note);
	loop_timer_set(loop, &n.timer, 120);
	while (!n.fired) {
		loop_turn(loop, true);
		turns++;
	}
	assert_true(clock_mono_us() - start_us >= 120000);
	assert_in_range(turns, 1, 5);
}

static void on_always(evutil_socket_t fd, short what, void *arg)
{
	ran('e');
}

static void test_no_timer_no_ticking(void **state)
{
	struct event_base *base = loop_event_base(loop);
	int had = event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED);
	struct note n = {.name = 'n'};
	struct event *ev;
	int fds[2];

	/* An event that is always there, so that waiting ends before the timer is due. */
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	ev = event_new(base, fds[0], EV_READ | EV_PERSIST, on_always, NULL);
	event_add(ev, NULL);
	loop_timer_init(&n.timer, on_note);
	loop_turn(loop, true);
	assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), had + 1);
	loop_timer_set(loop, &n.timer, 100000);
	loop_turn(loop, true);
	assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), had + 2);
	loop_timer_clear(loop, &n.timer);
	loop_turn(loop, true);
	assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), had + 1);
	assert_string_equal(trace, "eee");
	event_free(ev);
	close(fds[0]);
	close(fds[1]);
}

#define WITH_LOOP(f) cmocka_unit_test_setup_teardown(f, with_loop, without_loop)
#define WITH_FAKE(f) cmocka_unit_test_setup_teardown(f, with_fake_clock, without_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LOOP(test_tasks_then_frees),
		WITH_LOOP(test_cancelled_task_does_not_run),
		WITH_LOOP(test_task_queued_by_a_free_runs_in_this_turn),
		WITH_LOOP(test_soon_is_before_the_next_stage),
		WITH_LOOP(test_many_frees_keep_their_order),
		WITH_LOOP(test_what_waits_already_does_not_wait_for_an_event),
		WITH_LOOP(test_loop_free_runs_what_is_deferred),
		WITH_FAKE(test_events_come_before_tasks_and_see_one_time),
		WITH_LOOP(test_run_until_stop_and_again),
		WITH_LOOP(test_a_loop_that_ended_may_be_used_by_another_thread),
		WITH_LOOP(test_wrong_thread_is_caught),
		WITH_FAKE(test_fires_once_within_a_tick),
		WITH_FAKE(test_exact_on_the_tick),
		WITH_FAKE(test_a_leap_over_many_rounds),
		WITH_FAKE(test_clear_and_set_again),
		WITH_FAKE(test_far_future_does_not_wrap),
		WITH_LOOP(test_fake_clock_that_begins_before_the_real_one),
		WITH_FAKE(test_callback_clears_a_timer_that_expired_with_it),
		WITH_FAKE(test_callback_sets_itself),
		WITH_FAKE(test_callback_frees_its_timer),
		WITH_FAKE(test_random_use_against_a_model),
		WITH_LOOP(test_real_time_is_never_early_and_does_not_spin),
		WITH_LOOP(test_no_timer_no_ticking),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
