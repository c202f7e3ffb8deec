/* SPDX-License-Identifier: MIT */
/*
 * watch: see the header.
 *
 * DESIGN. An epoll set is a descriptor too, readable while something in it is ready: libevent waits
 * for it as for any other, and then events are taken a few at a time and go straight to their
 * owners, until none is left or the time that a turn has for them is over. What is left stays in
 * the kernel's list, which is first in, first out, so nobody starves; and a flood of events can not
 * keep a turn from ending, nor the letters of other threads waiting.
 *
 * A second set, inside the first, holds who has just come (WATCH_FRESH) and is readable for the
 * first like a socket: when ten thousand clients return at once, their handshakes are served a
 * slice per round through those that are ready, instead of standing in line in front of them.
 *
 * Who leaves can not be told from the others before the event is taken. So it is taken, which costs
 * next to nothing, and put in a line, of which each turn serves a slice after all others: to close
 * a connection takes longer than a message to it, and nobody waits for that.
 *
 * A watch that was removed by the callback of another one of the same few is still in the array:
 * its fn is NULL, and its memory stays until the turn ends.
 */
#include "base/watch.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/obj.h"
#include "base/xalloc.h"

/* What a turn spends on sockets that are ready. What they cause at the end of the turn (writes,
 * above all) takes two or three times as long again: so a turn is a few milliseconds. */
#define TURN_US  1000
#define FRESH_US 500
#define LEAVE_US 500
/* Taken at once. A handshake with a subscription costs ten times what a message does. */
#define BATCH       16
#define FRESH_BATCH 8
/* Places of the line that stay when it is empty. */
#define LINE_KEPT 64

/* Who hung up, and what is to be told of it. */
struct leaving {
	struct watch *watch; /* NULL: removed meanwhile */
	unsigned what;
};

struct watch_set {
	int fd;
	int fresh_fd;
	struct watch fresh; /* of fresh_fd, in fd */
	struct event *event;
	struct loop *loop;
	/* the line: those from `first` to `end` */
	struct leaving *line;
	size_t first, end, room;
	struct loop_task go_on;
};

/* As libevent reads them: an error is told to whoever waits for anything. */
static unsigned what_of(uint32_t events)
{
	unsigned what = 0;

	/* over, with or without bytes before the end */
	if ((events & EPOLLERR) || ((events & EPOLLHUP) && !(events & EPOLLRDHUP)))
		return WATCH_READ | WATCH_WRITE | WATCH_HANGUP;
	if (events & EPOLLIN)
		what |= WATCH_READ;
	if (events & EPOLLOUT)
		what |= WATCH_WRITE;
	if (events & EPOLLRDHUP)
		what |= WATCH_HANGUP;
	return what;
}

/* --- who leaves ------------------------------------------------------------------------------ */

/* Room for one more at the end, amortized. */
static void make_room(struct watch_set *s)
{
	size_t n = s->end - s->first;

	if (n >= s->room / 2) {
		s->room = s->room ? s->room * 2 : LINE_KEPT;
		s->line = xrealloc(s->line, s->room * sizeof(*s->line));
	}
	memmove(s->line, s->line + s->first, n * sizeof(*s->line));
	s->first = 0;
	s->end = n;
	for (size_t i = 0; i < n; i++)
		if (s->line[i].watch)
			s->line[i].watch->place = (uint32_t)i + 1;
}

static void stand_in_line(struct watch_set *s, struct watch *w, unsigned what)
{
	if (s->end == s->room)
		make_room(s);
	s->line[s->end++] = (struct leaving){w, what};
	w->place = (uint32_t)s->end;
}

/* The next turn is not to wait for an event. */
static void on_turn_end(struct loop_task *t)
{
	event_active(container_of(t, struct watch_set, go_on)->event, EV_READ, 0);
}

static void serve_line(struct watch_set *s)
{
	if (s->end == 0)
		return;
	uint64_t end_us = clock_mono_us() + LEAVE_US;
	while (s->first < s->end && clock_mono_us() < end_us) {
		struct leaving l = s->line[s->first++];

		if (!l.watch)
			continue;
		l.watch->place = 0;
		l.watch->fn(l.watch, l.what);
	}
	if (s->first < s->end) {
		loop_at_end(s->loop, &s->go_on);
		return;
	}
	s->first = s->end = 0;
	if (s->room > LINE_KEPT) {
		free(s->line);
		s->line = NULL;
		s->room = 0;
	}
}

/* --- who is ready ---------------------------------------------------------------------------- */

static void tell(struct watch_set *s, struct watch *w, unsigned what)
{
	if (w->place)
		s->line[w->place - 1].what |= what;
	else if (what & WATCH_HANGUP)
		stand_in_line(s, w, what);
	else
		w->fn(w, what);
}

/* Serve what is ready in fd, a set of s, `batch` at a time, for us microseconds or a little more.
 */
static void serve(struct watch_set *s, int fd, int batch, uint64_t us)
{
	struct epoll_event ready[BATCH];
	uint64_t end_us = clock_mono_us() + us;
	int n;

	do {
		n = epoll_wait(fd, ready, batch, 0);
		for (int i = 0; i < n; i++) {
			struct watch *w = ready[i].data.ptr;

			if (w->fn)
				tell(s, w, what_of(ready[i].events));
		}
	} while (n == batch && clock_mono_us() < end_us);
}

static void on_ready(evutil_socket_t fd, short events, void *arg)
{
	struct watch_set *s = arg;

	UNUSED(fd);
	UNUSED(events);
	serve(s, s->fd, BATCH, TURN_US);
	serve_line(s);
}

static void on_fresh(struct watch *w, unsigned what)
{
	struct watch_set *s = container_of(w, struct watch_set, fresh);

	UNUSED(what);
	serve(s, s->fresh_fd, FRESH_BATCH, FRESH_US);
}

struct watch_set *watch_set_new(struct loop *l)
{
	struct watch_set *s = xcalloc(1, sizeof(*s));
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = &s->fresh};

	s->loop = l;
	loop_task_init(&s->go_on, on_turn_end);
	s->fresh.fn = on_fresh;
	s->fd = epoll_create1(EPOLL_CLOEXEC);
	s->fresh_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->fd >= 0 && s->fresh_fd >= 0 && epoll_ctl(s->fd, EPOLL_CTL_ADD, s->fresh_fd, &e) == 0)
		s->event = event_new(loop_event_base(l), s->fd, EV_READ | EV_PERSIST, on_ready, s);
	if (s->event && event_add(s->event, NULL) == 0)
		return s;
	watch_set_free(s);
	return NULL;
}

void watch_set_free(struct watch_set *s)
{
	if (!s)
		return;
	if (s->event)
		event_free(s->event);
	if (s->fresh_fd >= 0)
		close(s->fresh_fd);
	if (s->fd >= 0)
		close(s->fd);
	free(s->line);
	free(s);
}

static int control(struct loop *l, bool is_fresh, int op, struct watch *w, int fd, unsigned what)
{
	struct epoll_event e = {.events = EPOLLET, .data.ptr = w};
	const struct watch_set *s = loop_watches(l);

	loop_assert(l);
	if (what & WATCH_READ)
		e.events |= EPOLLIN;
	if (what & WATCH_WRITE)
		e.events |= EPOLLOUT;
	if (what & WATCH_HANGUP)
		e.events |= EPOLLRDHUP;
	return epoll_ctl(is_fresh ? s->fresh_fd : s->fd, op, fd, &e) == 0 ? 0 : -errno;
}

int watch_add(struct loop *l, struct watch *w, int fd, unsigned what)
{
	assert(w->fn);
	return control(l, what & WATCH_FRESH, EPOLL_CTL_ADD, w, fd, what);
}

int watch_change(struct loop *l, struct watch *w, int fd, unsigned what)
{
	return control(l, what & WATCH_FRESH, EPOLL_CTL_MOD, w, fd, what);
}

int watch_settle(struct loop *l, struct watch *w, int fd, unsigned what)
{
	int rc = control(l, false, EPOLL_CTL_ADD, w, fd, what);

	return rc == 0 ? control(l, true, EPOLL_CTL_DEL, w, fd, 0) : rc;
}

void watch_remove(struct loop *l, struct watch *w, int fd)
{
	w->fn = NULL;
	if (w->place) {
		loop_watches(l)->line[w->place - 1].watch = NULL;
		w->place = 0;
	}
	if (control(l, false, EPOLL_CTL_DEL, w, fd, 0) == -ENOENT)
		control(l, true, EPOLL_CTL_DEL, w, fd, 0);
}
