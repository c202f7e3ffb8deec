/* SPDX-License-Identifier: MIT */
/*
 * visit: DESIGN: the node remembers no session. An id that comes back proves itself (session_id),
 * and who is present stands in presence. A poll that came without an id it is known by gets a name
 * when it is told one; who waits until then is nobody yet.
 */
#include "transports/visit.h"

#include <stdlib.h>

#include "base/pattern.h"
#include "base/xalloc.h"
#include "broker/presence_desk.h"

static void name_it(struct visit *v)
{
	if (!v->name)
		v->name = session_name_make();
}

void visit_open(struct visit *v, const struct gateway *g, struct slice session, bool is_poll)
{
	struct session_id id;

	*v = (struct visit){.name = 0};
	if (session_id_parse(session, &id) && session_id_is_ours(g->session_key, &id))
		v->name = session_name_value(&id);
	if (!is_poll)
		name_it(v);
}

struct session_id visit_tell(struct visit *v, const struct gateway *g)
{
	name_it(v);
	return session_id_of(g->session_key, v->name);
}

static struct attendee *attendee_of(struct visit *v, const struct gateway *g)
{
	if (!v->attendee) {
		v->attendee = xcalloc(1, sizeof(*v->attendee));
		v->attendee->id = visit_tell(v, g);
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

void visit_introduce(struct visit *v, const struct gateway *g, struct slice info,
		     bool wants_members)
{
	if (info.n) {
		struct attendee *a = attendee_of(v, g);

		free((char *)a->info.p);
		a->info = slice_make(one_line(info), info.n);
	}
	if (wants_members || v->attendee)
		attendee_of(v, g)->wants_members = wants_members;
}

/* Not of a pattern: who subscribes to it is in none of its channels. */
static bool has_presence(const struct hub *h, struct slice channel)
{
	return h->desk && !pattern_is(channel) &&
	       namespace_find(h->namespaces, channel)->has_presence;
}

static size_t count_new(const struct attendee *a, struct hub *h, const struct slice *channels,
			size_t n)
{
	size_t fresh = 0;

	for (size_t i = 0; i < n; i++)
		fresh += has_presence(h, channels[i]) &&
			 !presence_has(h->desk->presence, channels[i], &a->id);
	return fresh;
}

int visit_attend(struct visit *v, const struct gateway *g, const struct slice *channels, size_t n,
		 struct fault *fault)
{
	struct hub *h = g->hub;
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
	struct attendee *a = attendee_of(v, g);
	size_t room = presence_room(h->desk->presence);
	if (present <= room || count_new(a, h, channels, n) <= room)
		return 0;
	count_inc(h->counters, COUNTER_PRESENCE_REFUSED);
	return fault_set(fault, FAULT_OVERLOADED,
			 "this node has as many entries of presence as it may; try again");
}

void visit_close(struct visit *v)
{
	if (v->attendee)
		free((char *)v->attendee->info.p);
	free(v->attendee);
	*v = (struct visit){.name = 0};
}
