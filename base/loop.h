/* SPDX-License-Identifier: MIT */
/*
 * loop: one thread's event loop (libevent without locks), with what a turn needs besides events:
 * a cached clock, cheap timers, work at the end of the turn, and frees that wait for it.
 *
 * A turn: events fire → letters of other threads are handled, and what came meanwhile → timers fire
 * → end-of-turn tasks run until none is left (a task may add tasks) → deferred frees. So everything
 * that a turn produces for one connection leaves in one write, and nothing is freed under a
 * callback that may still look at it.
 *
 * Thread: a loop belongs to the thread that runs it (loop_assert); other threads reach it through
 * a mailbox only.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct loop;
struct event_base;
struct watch_set;

struct loop *loop_new(const char *name);
/* Runs what is deferred, then frees. NULL is fine. */
void loop_free(struct loop *l);
/* Turn until loop_stop(). Binds the loop to the calling thread. */
void loop_run(struct loop *l);
/* One turn; block: wait for the first event. For tests and for draining at the end. */
void loop_turn(struct loop *l, bool block);
/* Owner thread: leave loop_run() after this turn. */
void loop_stop(struct loop *l);
/* The caller is the loop's thread (or the loop has not run yet). */
void loop_assert(const struct loop *l);
/* Monotonic milliseconds, read once per turn. */
uint64_t loop_now_ms(const struct loop *l);
/* For the listener and mailbox.c only. */
struct event_base *loop_event_base(struct loop *l);
/* For watch.c only. */
struct watch_set *loop_watches(struct loop *l);

/* --- letters of other threads; for mailbox.c only --------------------------------------------- */

struct loop_inbox {
	/* The loop is about to sleep: false when there are letters. Otherwise who brings the next
	 * one wakes it, by an event of this loop. */
	bool (*may_sleep)(void *arg);
	/* Once per turn, before what its events caused is posted: the loop is awake, by whatever
	 * event; no need to wake it. */
	void (*awake)(void *arg);
	/* Once or twice per turn, after the events: handle what is there. False: nothing was. */
	bool (*open)(void *arg);
	void *arg;
};

/* One per loop; NULL: none any more. */
void loop_set_inbox(struct loop *l, const struct loop_inbox *inbox);

/* --- end of turn --------------------------------------------------------------------------- */

struct loop_task {
	TAILQ_ENTRY(loop_task) link; /* tqe_prev NULL: not queued */
	void (*fn)(struct loop_task *);
};

static inline void loop_task_init(struct loop_task *t, void (*fn)(struct loop_task *))
{
	t->fn = fn;
	t->link.tqe_prev = NULL;
}
/* Run t->fn once when this stage of the turn is over: all events, all letters, all timers, or all
 * end-of-turn tasks that are to be had now. For what others wait for, who are to begin with it
 * while this turn goes on. */
void loop_soon(struct loop *l, struct loop_task *t);
void loop_soon_cancel(struct loop *l, struct loop_task *t);
/* Run t->fn once at the end of this turn. Queuing it twice is one run. */
void loop_at_end(struct loop *l, struct loop_task *t);
void loop_at_end_cancel(struct loop *l, struct loop_task *t);
/* Call free_fn(p) after the end-of-turn tasks. */
void loop_free_later(struct loop *l, void *p, void (*free_fn)(void *));

/* --- timers: 50 ms resolution, never early; O(1) to set and clear, 32 bytes each ------------- */

struct loop_timer {
	TAILQ_ENTRY(loop_timer) link;
	void (*fn)(struct loop_timer *);
	uint64_t due_ms; /* 0: not set */
};

static inline void loop_timer_init(struct loop_timer *t, void (*fn)(struct loop_timer *))
{
	t->fn = fn;
	t->due_ms = 0;
}
static inline bool loop_timer_is_set(const struct loop_timer *t)
{
	return t->due_ms != 0;
}
/* (Re)arm to fire once, after_ms from now. */
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t after_ms);
void loop_timer_clear(struct loop *l, struct loop_timer *t);

#endif
