/* SPDX-License-Identifier: MIT */
/*
 * visit: DESIGN: an id costs the node memory only where it is of use: for sessions that are in a
 * channel with presence, and for polls, which have no connection to be known by. So the table of
 * sessions is entered (is_held) when the former becomes true, and left when the connection ends. A
 * poll that came without an id it is known by gets one, and enters the table, when it is told; who
 * waits until then is nobody yet.
 */
#include "transports/visit.h"

#include <stdlib.h>

#include "base/pattern.h"
#include "base/xalloc.h"
#include "broker/presence_desk.h"

static void make_id(struct visit *v)
{
	if (!v->is_made)
		session_id_make(&v->id);
	v->is_made = true;
}

void visit_open(struct visit *v, struct hub *h, struct slice session, bool is_poll)
{
	*v = (struct visit){.is_held = false};
	if (h->desk && session_id_parse(session, &v->id))
		v->is_held = sessions_recall(h->desk->sessions, &v->id);
	v->is_made = v->is_held;
	if (!is_poll)
		make_id(v);
}

void visit_tell(struct visit *v, struct hub *h, struct session_id *ret)
{
	make_id(v);
	*ret = v->id;
	if (h->desk && !v->is_held)
		presence_desk_note(h->desk, &v->id);
}

static struct attendee *attendee_of(struct visit *v)
{
	make_id(v);
	if (!v->attendee) {
		v->attendee = xcalloc(1, sizeof(*v->attendee));
		v->attendee->id = v->id;
	}
	return v->attendee;
}

/* One line, whatever the client's JSON looks like: a line end can only stand between tokens. */
static char *one_line(struct slice json)
{
	char *copy = xstrndup(json.p, json.n);

	for (size_t i = 0; i < json.n; i++)
		if (copy[i] == '\n' || copy[i] == '\r')
			copy[i] = ' ';
	return copy;
}

void visit_introduce(struct visit *v, struct slice info, bool wants_members)
{
	if (info.n) {
		struct attendee *a = attendee_of(v);

		free((char *)a->info.p);
		a->info = slice_make(one_line(info), info.n);
	}
	if (wants_members || v->attendee)
		attendee_of(v)->wants_members = wants_members;
}

static int refuse(struct hub *h, struct fault *fault, const char *what)
{
	count_inc(h->counters, COUNTER_PRESENCE_REFUSED);
	return fault_set(fault, FAULT_OVERLOADED, "this node has as many %s as it may; try again",
			 what);
}

/* Not of a pattern: who subscribes to it is in none of its channels. */
static bool has_presence(const struct hub *h, struct slice channel)
{
	return h->desk && !pattern_is(channel) &&
	       namespace_find(h->namespaces, channel)->has_presence;
}

static size_t count_new(struct visit *v, struct hub *h, const struct slice *channels, size_t n)
{
	size_t fresh = 0;

	for (size_t i = 0; i < n; i++)
		fresh += has_presence(h, channels[i]) &&
			 !presence_has(h->desk->presence, channels[i], &v->id);
	return fresh;
}

int visit_attend(struct visit *v, struct hub *h, const struct slice *channels, size_t n,
		 struct fault *fault)
{
	size_t present = 0;

	for (size_t i = 0; i < n; i++) {
		if (has_presence(h, channels[i]))
			present++;
		else if (v->attendee && v->attendee->wants_members)
			return fault_set(fault, FAULT_NOT_SUPPORTED,
					 "presence is not kept for %.*s", SLICE_ARG(channels[i]));
	}
	if (!present)
		return 0;
	make_id(v);
	if (!v->is_held && sessions_remember(h->desk->sessions, h->desk->counters, &v->id) != 0)
		return refuse(h, fault, "sessions");
	v->is_held = true;
	attendee_of(v);
	size_t room = presence_room(h->desk->presence);
	if (present > room && count_new(v, h, channels, n) > room)
		return refuse(h, fault, "entries of presence");
	v->is_present = true;
	return 0;
}

void visit_close(struct visit *v, struct hub *h)
{
	if (v->is_held)
		presence_desk_release(h->desk, &v->id, v->is_present);
	if (v->attendee)
		free((char *)v->attendee->info.p);
	free(v->attendee);
	*v = (struct visit){.is_held = false};
}
