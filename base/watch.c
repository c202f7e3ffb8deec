/* SPDX-License-Identifier: MIT */
/*
 * watch: see the header.
 *
 * DESIGN. An epoll set is a descriptor too, readable while something in it is ready: libevent waits
 * for it as for any other, and then up to BATCH events are taken in one system call and go straight
 * to their owners. What is left is taken in the next turn, so that a flood of events can not keep a
 * turn from ending.
 *
 * A watch that was removed by the callback of another one of the same batch is still in the array:
 * its fn is NULL, and its memory stays until the turn ends.
 */
#include "base/watch.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/obj.h"
#include "base/xalloc.h"

#define BATCH 512

struct watch_set {
	int fd;
	struct event *event;
	struct epoll_event ready[BATCH];
};

/* As libevent reads them: an error is told to whoever waits for anything. */
static unsigned what_of(uint32_t events)
{
	unsigned what = 0;

	if (events & EPOLLERR)
		return WATCH_READ | WATCH_WRITE;
	if ((events & EPOLLHUP) && !(events & EPOLLRDHUP))
		return WATCH_READ | WATCH_WRITE;
	if (events & EPOLLIN)
		what |= WATCH_READ;
	if (events & EPOLLOUT)
		what |= WATCH_WRITE;
	if (events & EPOLLRDHUP)
		what |= WATCH_HANGUP;
	return what;
}

static void on_ready(evutil_socket_t fd, short events, void *arg)
{
	struct watch_set *s = arg;
	int n = epoll_wait(s->fd, s->ready, BATCH, 0);

	UNUSED(fd);
	UNUSED(events);
	for (int i = 0; i < n; i++) {
		struct watch *w = s->ready[i].data.ptr;

		if (w->fn)
			w->fn(w, what_of(s->ready[i].events));
	}
}

struct watch_set *watch_set_new(struct event_base *base)
{
	struct watch_set *s = xcalloc(1, sizeof(*s));

	s->fd = epoll_create1(EPOLL_CLOEXEC);
	s->event = s->fd >= 0 ? event_new(base, s->fd, EV_READ | EV_PERSIST, on_ready, s) : NULL;
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
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

static int control(struct loop *l, int op, struct watch *w, int fd, unsigned what)
{
	struct epoll_event e = {.events = EPOLLET, .data.ptr = w};

	loop_assert(l);
	if (what & WATCH_READ)
		e.events |= EPOLLIN;
	if (what & WATCH_WRITE)
		e.events |= EPOLLOUT;
	if (what & WATCH_HANGUP)
		e.events |= EPOLLRDHUP;
	return epoll_ctl(loop_watches(l)->fd, op, fd, &e) == 0 ? 0 : -errno;
}

int watch_add(struct loop *l, struct watch *w, int fd, unsigned what)
{
	assert(w->fn);
	return control(l, EPOLL_CTL_ADD, w, fd, what);
}

int watch_change(struct loop *l, struct watch *w, int fd, unsigned what)
{
	return control(l, EPOLL_CTL_MOD, w, fd, what);
}

void watch_remove(struct loop *l, struct watch *w, int fd)
{
	w->fn = NULL;
	control(l, EPOLL_CTL_DEL, w, fd, 0);
}
