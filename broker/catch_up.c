/* SPDX-License-Identifier: MIT */
/*
 * catch_up: see the header.
 *
 * DESIGN. Thousands may return at once while others are live, who must not wait for them. So a turn
 * of the loop replays limits.replay_turn_bytes at most. Who comes after that stands in line, first
 * in, first out (pace.line), and each turn serves so many of it; who needs more than one page goes
 * to the end of it again. Nobody starves: newcomers stand in the same line.
 *
 * How does a turn come when nothing else happens? An eventfd that is always readable is watched; an
 * edge of it is told again when it is asked for at the end of a turn.
 *
 * The readers are asked for limits.pages at once, pages for subscribers and for channels that are
 * warmed: their answers do not all come in one turn either, and what was read and is not fed yet is
 * bounded. While they are all under way the line stands still, until an answer comes.
 */
#include "broker/catch_up.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/obj.h"
#include "broker/recovery.h"

/* --- waiting --------------------------------------------------------------------------------- */

void catch_up_wait(struct subscriber *s, struct catch_up_list *list)
{
	assert(!s->catch_up->waits_on);
	s->catch_up->waits_on = list;
	TAILQ_INSERT_TAIL(list, s->catch_up, link);
}

void catch_up_wait_no_more(struct catch_up *c)
{
	if (!c->waits_on)
		return;
	TAILQ_REMOVE(c->waits_on, c, link);
	c->waits_on = NULL;
}

/* --- the line -------------------------------------------------------------------------------- */

/* Turns within one millisecond count as one. */
static bool has_room_in_turn(struct hub *h)
{
	struct catch_up_pace *p = &h->pace;
	uint64_t now_ms = loop_now_ms(h->loop);

	if (p->turn_ms != now_ms)
		p->given = 0;
	p->turn_ms = now_ms;
	return p->given < h->limits.replay_turn_bytes;
}

bool catch_up_is_its_turn(struct subscriber *s)
{
	struct hub *h = s->hub;

	if (h->pace.is_serving || s->catch_up->is_detour ||
	    (TAILQ_EMPTY(&h->pace.line) && has_room_in_turn(h))) {
		s->catch_up->is_detour = false;
		return true;
	}
	catch_up_wait(s, &h->pace.line);
	loop_at_end(h->loop, &h->pace.next_turn);
	return false;
}

void catch_up_gave(struct hub *h, size_t bytes)
{
	h->pace.given += bytes;
}

static void on_next_turn(struct loop_task *t)
{
	struct hub *h = container_of(t, struct hub, pace.next_turn);

	/* Told once more, when the loop looks again. */
	watch_change(h->loop, &h->pace.watch, h->pace.fd, WATCH_READ);
}

static void on_turn(struct watch *w, unsigned what)
{
	struct hub *h = container_of(w, struct hub, pace.watch);
	struct catch_up_pace *p = &h->pace;
	struct catch_up *c;

	UNUSED(what);
	if (TAILQ_EMPTY(&p->line))
		return;
	p->turn_ms = loop_now_ms(h->loop);
	p->given = 0;
	p->is_serving = true;
	while ((c = TAILQ_FIRST(&p->line)) != NULL && p->pages < h->limits.pages &&
	       p->given < h->limits.replay_turn_bytes) {
		catch_up_wait_no_more(c);
		recovery_step(c->subscriber);
	}
	p->is_serving = false;
	/* Otherwise the next answer of the readers goes on. */
	if (c && p->pages < h->limits.pages)
		loop_at_end(h->loop, &p->next_turn);
}

/* --- pages ----------------------------------------------------------------------------------- */

bool catch_up_may_read(struct subscriber *s)
{
	if (s->hub->pace.pages < s->hub->limits.pages)
		return true;
	catch_up_wait(s, &s->hub->pace.line);
	return false;
}

void catch_up_reads(struct hub *h)
{
	h->pace.pages++;
}

void catch_up_has_read(struct hub *h)
{
	assert(h->pace.pages > 0);
	h->pace.pages--;
	if (!TAILQ_EMPTY(&h->pace.line))
		loop_at_end(h->loop, &h->pace.next_turn);
}

/* --- life ------------------------------------------------------------------------------------ */

void catch_up_start(struct hub *h)
{
	struct catch_up_pace *p = &h->pace;

	TAILQ_INIT(&p->line);
	loop_task_init(&p->next_turn, on_next_turn);
	p->watch.fn = on_turn;
	p->fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->fd < 0 || watch_add(h->loop, &p->watch, p->fd, WATCH_READ) != 0) {
		log_error("out_of_descriptors", "");
		abort();
	}
}

void catch_up_stop(struct hub *h)
{
	assert(TAILQ_EMPTY(&h->pace.line));
	loop_at_end_cancel(h->loop, &h->pace.next_turn);
	watch_remove(h->loop, &h->pace.watch, h->pace.fd);
	close(h->pace.fd);
}
