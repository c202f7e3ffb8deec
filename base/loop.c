/* SPDX-License-Identifier: MIT */
/*
 * loop: one thread's event loop.
 *
 * DESIGN. libevent waits and calls back (base without locks: nobody but the owner touches it). What
 * it does not have is here:
 *
 *   turn     wait, events │ letters │ expired timers │ tasks and frees, again until none is left;
 *            between two of them run the soon-tasks of the one before
 *   clock    read when first asked for after the wait, then kept to the end of the turn: ten
 * thousand callbacks of one turn see one time and cost one clock_gettime wheel    timers hashed by
 * due time into WHEEL_SLOTS slots of TICK_MS. A timer stands in the slot whose tick begins at or
 * after its due time, so when the wheel reaches a tick everything in its slot is due, but for
 * timers that are whole rounds away. Each slot is visited once per round; a bitmap of occupied
 * slots tells when to wake up, and with no timer set the loop sleeps for ever.
 *
 * Timers that have expired move to a list of their own before the first is called, with due_ms set
 * to FIRING, so that a callback may set or clear any timer, also one that expired with it.
 *
 * The wheel asks clock.h for the time and libevent only for the wake-up: a test that moves a fake
 * clock and turns the loop sees exactly what real time would have shown.
 *
 * Nothing here may be called from another thread, libevent's own wake-up functions included (they
 * need the locks that this base does not have): use a mailbox.
 */
#include "base/loop.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/obj.h"
#include "base/watch.h"
#include "base/xalloc.h"

#define LOOP_MAGIC  0x4c4f4f50u
#define TICK_MS     50
#define WHEEL_SLOTS 1024 /* a round is 51.2 s */
#define WORD_BITS   64
#define FIRING      UINT64_MAX /* due_ms of a timer on the list of expired ones */
/* libevent's timers go by the coarse clock, which lags by a jiffy: without this the wake-up would
 * often come just before the tick, find nothing due and be needed again. */
#define WAKE_LATER_MS 4

TAILQ_HEAD(timer_list, loop_timer);
TAILQ_HEAD(task_list, loop_task);

struct deferred_free {
	void *p;
	void (*fn)(void *);
};

struct loop {
	unsigned magic;
	char name[16];
	struct event_base *base;
	struct watch_set *watches;
	bool running; /* inside loop_run or loop_turn, on thread */
	bool stop;
	pthread_t thread;
	uint64_t now_ms; /* 0: not read since the wait */

	struct loop_inbox inbox;
	struct task_list soon;
	struct task_list tasks;
	struct deferred_free *frees;
	size_t frees_n;
	size_t frees_room;

	struct timer_list slots[WHEEL_SLOTS];
	uint64_t occupied[WHEEL_SLOTS / WORD_BITS]; /* bit per slot that is not empty */
	size_t timers_n;                            /* in slots */
	uint64_t tick;                              /* the last one that was visited */
	struct timer_list expired;
	struct event *wake;
	uint64_t wake_tick; /* what wake is armed for; 0: not armed */
};

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	UNUSED(fd);
	UNUSED(what);
	l->wake_tick = 0; /* the turn that this begins looks at the wheel */
}

static struct event_base *base_new(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	assert(config != NULL);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

struct loop *loop_new(const char *name)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	l->magic = LOOP_MAGIC;
	strncpy(l->name, name, sizeof(l->name) - 1);
	l->base = base_new();
	if (l->base != NULL)
		l->watches = watch_set_new(l);
	if (l->watches == NULL) {
		log_error("loop-failed", "loop=%s reason=%s", l->name,
			  log_value("no event base: are there file descriptors left?"));
		abort();
	}
	l->wake = evtimer_new(l->base, on_wake, l);
	assert(l->wake != NULL);
	TAILQ_INIT(&l->soon);
	TAILQ_INIT(&l->tasks);
	TAILQ_INIT(&l->expired);
	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		TAILQ_INIT(&l->slots[i]);
	return l;
}

void loop_assert(const struct loop *l)
{
	CHECK_OBJ(l, LOOP_MAGIC);
	if (l->running && !pthread_equal(l->thread, pthread_self())) {
		log_error("loop-wrong-thread", "loop=%s", l->name);
		abort();
	}
}

uint64_t loop_now_ms(const struct loop *l)
{
	/* A cache behind a const face: every struct loop comes from loop_new(), none is really
	 * const. */
	if (!l->running)
		return clock_mono_ms();
	if (l->now_ms == 0)
		((struct loop *)l)->now_ms = clock_mono_ms();
	return l->now_ms;
}

struct event_base *loop_event_base(struct loop *l)
{
	return l->base;
}

struct watch_set *loop_watches(struct loop *l)
{
	return l->watches;
}

void loop_set_inbox(struct loop *l, const struct loop_inbox *inbox)
{
	loop_assert(l);
	l->inbox = inbox ? *inbox : (struct loop_inbox){0};
}

void loop_stop(struct loop *l)
{
	loop_assert(l);
	l->stop = true;
}

/* --- end of turn ---------------------------------------------------------------------------- */

static void queue_task(struct loop *l, struct task_list *list, struct loop_task *t)
{
	loop_assert(l);
	if (!t->link.tqe_prev)
		TAILQ_INSERT_TAIL(list, t, link);
}

static void unqueue_task(struct loop *l, struct task_list *list, struct loop_task *t)
{
	loop_assert(l);
	if (!t->link.tqe_prev)
		return;
	TAILQ_REMOVE(list, t, link);
	t->link.tqe_prev = NULL;
}

void loop_soon(struct loop *l, struct loop_task *t)
{
	queue_task(l, &l->soon, t);
}

void loop_soon_cancel(struct loop *l, struct loop_task *t)
{
	unqueue_task(l, &l->soon, t);
}

void loop_at_end(struct loop *l, struct loop_task *t)
{
	queue_task(l, &l->tasks, t);
}

void loop_at_end_cancel(struct loop *l, struct loop_task *t)
{
	unqueue_task(l, &l->tasks, t);
}

void loop_free_later(struct loop *l, void *p, void (*free_fn)(void *))
{
	loop_assert(l);
	if (l->frees_n == l->frees_room) {
		l->frees_room = l->frees_room ? l->frees_room * 2 : 64;
		l->frees = xrealloc(l->frees, l->frees_room * sizeof(*l->frees));
	}
	l->frees[l->frees_n++] = (struct deferred_free){p, free_fn};
}

static bool has_deferred(const struct loop *l)
{
	return !TAILQ_EMPTY(&l->soon) || !TAILQ_EMPTY(&l->tasks) || l->frees_n > 0;
}

static void run_tasks(struct loop *l, struct task_list *list)
{
	struct loop_task *t;

	while ((t = TAILQ_FIRST(list)) != NULL) {
		unqueue_task(l, list, t);
		t->fn(t); /* may free t, and may queue it again */
	}
}

static void end_stage(struct loop *l)
{
	run_tasks(l, &l->soon);
}

/* Free in order, including what the frees defer. */
static void run_frees(struct loop *l)
{
	for (size_t i = 0; i < l->frees_n; i++) {
		/* A copy: the array may move while fn defers more. */
		struct deferred_free d = l->frees[i];
		d.fn(d.p);
	}
	l->frees_n = 0;
}

static void run_deferred(struct loop *l)
{
	while (has_deferred(l)) {
		end_stage(l);
		run_tasks(l, &l->tasks);
		run_frees(l);
	}
}

/* --- timers --------------------------------------------------------------------------------- */

/* The first tick that does not begin before due_ms. */
static uint64_t tick_of(uint64_t due_ms)
{
	return due_ms / TICK_MS + (due_ms % TICK_MS != 0);
}

static void slot_insert(struct loop *l, struct loop_timer *t)
{
	size_t slot = tick_of(t->due_ms) % WHEEL_SLOTS;

	TAILQ_INSERT_TAIL(&l->slots[slot], t, link);
	l->occupied[slot / WORD_BITS] |= 1ull << slot % WORD_BITS;
	l->timers_n++;
}

static void slot_remove(struct loop *l, struct loop_timer *t)
{
	size_t slot = tick_of(t->due_ms) % WHEEL_SLOTS;

	TAILQ_REMOVE(&l->slots[slot], t, link);
	if (TAILQ_EMPTY(&l->slots[slot]))
		l->occupied[slot / WORD_BITS] &= ~(1ull << slot % WORD_BITS);
	l->timers_n--;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t after_ms)
{
	/* The true time, not the cached one, and rounded up: a timer is never early. */
	uint64_t now_us = clock_mono_us();
	uint64_t now_ms = (now_us + 999) / 1000;
	uint64_t now_tick = now_us / 1000 / TICK_MS;
	uint64_t due_ms;

	loop_timer_clear(l, t);
	/* An empty wheel need not be turned past all the ticks since it was last used. And when a
	 * test took the clock in hand, time may have gone back. */
	if (l->timers_n == 0 || now_tick < l->tick)
		l->tick = now_tick;
	due_ms = after_ms < FIRING - now_ms - TICK_MS ? now_ms + after_ms : FIRING - TICK_MS;
	/* A slot that has been visited comes again after a whole round only. */
	if (due_ms <= l->tick * TICK_MS)
		due_ms = l->tick * TICK_MS + 1;
	t->due_ms = due_ms;
	slot_insert(l, t);
}

void loop_timer_clear(struct loop *l, struct loop_timer *t)
{
	loop_assert(l);
	if (t->due_ms == 0)
		return;
	if (t->due_ms == FIRING)
		TAILQ_REMOVE(&l->expired, t, link);
	else
		slot_remove(l, t);
	t->due_ms = 0;
}

static void collect_slot(struct loop *l, size_t slot, uint64_t now_ms)
{
	struct loop_timer *t, *next;

	TAILQ_FOREACH_SAFE (t, &l->slots[slot], link, next) {
		if (t->due_ms > now_ms)
			continue; /* rounds away */
		slot_remove(l, t);
		t->due_ms = FIRING;
		TAILQ_INSERT_TAIL(&l->expired, t, link);
	}
}

static void run_timers(struct loop *l)
{
	uint64_t now_ms = loop_now_ms(l);
	uint64_t now_tick = now_ms / TICK_MS;
	struct loop_timer *t;

	if (l->timers_n == 0)
		return;
	if (now_tick > l->tick + WHEEL_SLOTS)
		l->tick = now_tick - WHEEL_SLOTS; /* one round visits every slot */
	while (l->tick < now_tick && l->timers_n > 0)
		collect_slot(l, ++l->tick % WHEEL_SLOTS, now_ms);
	l->tick = now_tick;
	while ((t = TAILQ_FIRST(&l->expired)) != NULL) {
		loop_timer_clear(l, t);
		t->fn(t); /* may free t */
	}
}

/* The next tick whose slot is occupied; 0 when no timer is set. */
static uint64_t next_occupied_tick(const struct loop *l)
{
	uint64_t tick = l->tick + 1;
	uint64_t end = tick + WHEEL_SLOTS;

	if (l->timers_n == 0)
		return 0;
	while (tick < end) {
		size_t slot = tick % WHEEL_SLOTS;
		uint64_t rest = l->occupied[slot / WORD_BITS] >> slot % WORD_BITS;
		if (rest != 0)
			return tick + (uint64_t)__builtin_ctzll(rest);
		tick += WORD_BITS - slot % WORD_BITS;
	}
	assert(!"a timer is set, so a slot is occupied");
	return 0;
}

/* Have libevent end the coming wait at the next tick that matters. */
static void arm_wake(struct loop *l)
{
	uint64_t tick = next_occupied_tick(l);
	uint64_t now_ms, delay_ms;
	struct timeval tv;

	if (tick == l->wake_tick)
		return;
	l->wake_tick = tick;
	if (tick == 0) {
		evtimer_del(l->wake);
		return;
	}
	now_ms = clock_mono_ms();
	delay_ms = tick * TICK_MS > now_ms ? tick * TICK_MS - now_ms : 0;
	delay_ms += WAKE_LATER_MS;
	tv.tv_sec = (time_t)(delay_ms / 1000);
	tv.tv_usec = (suseconds_t)(delay_ms % 1000 * 1000);
	evtimer_add(l->wake, &tv);
}

/* --- turning -------------------------------------------------------------------------------- */

static bool has_letters(struct loop *l)
{
	return l->inbox.may_sleep && !l->inbox.may_sleep(l->inbox.arg);
}

/* What came while the first letters were handled is opened, too: it leaves with the same writes.
 * Once, for nobody may keep a turn from ending. */
static void open_letters(struct loop *l)
{
	for (int i = 0; i < 2 && l->inbox.open && l->inbox.open(l->inbox.arg); i++)
		end_stage(l);
}

static void turn(struct loop *l, bool block)
{
	int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
	int rc;

	/* What was deferred between turns must not wait for an event. */
	if (!block || has_deferred(l) || has_letters(l))
		flags |= EVLOOP_NONBLOCK;
	else
		arm_wake(l);
	l->now_ms = 0;
	rc = event_base_loop(l->base, flags);
	if (rc < 0) {
		log_error("loop-failed", "loop=%s", l->name);
		abort();
	}
	if (l->inbox.awake)
		l->inbox.awake(l->inbox.arg);
	end_stage(l);
	open_letters(l);
	run_timers(l);
	run_deferred(l);
}

void loop_turn(struct loop *l, bool block)
{
	loop_assert(l);
	assert(!l->running);
	l->thread = pthread_self();
	l->running = true;
	turn(l, block);
	l->running = false;
}

void loop_run(struct loop *l)
{
	loop_assert(l);
	assert(!l->running);
	l->thread = pthread_self();
	l->running = true;
	while (!l->stop)
		turn(l, true);
	l->stop = false;
	l->running = false;
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	loop_assert(l);
	assert(!l->running);
	run_deferred(l);
	free(l->frees);
	event_free(l->wake);
	watch_set_free(l->watches);
	event_base_free(l->base);
	l->magic = 0;
	free(l);
}
