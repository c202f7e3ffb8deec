/* SPDX-License-Identifier: MIT */
/*
 * presence: who is in which channel of this node: an entry per session and channel, however many
 * connections the session has there. An entry stays for a while (grace) after the last of them is
 * gone, so that a client that comes back, over whatever transport, has neither left nor joined.
 * Touched when somebody subscribes, leaves, asks, or when time is over; never when messages flow.
 * The second state, besides the census, that workers share.
 * Thread: any. Locks are leaves.
 */
#ifndef BROKER_PRESENCE_H
#define BROKER_PRESENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/counters.h"
#include "base/session_id.h"
#include "base/slice.h"
#include "broker/census.h"

struct presence;

struct presence_config {
	size_t entries;    /* at most, in all channels together */
	uint64_t grace_ms; /* an entry without connections stays so long */
	uint64_t batch_ms; /* from a change to its event */
};

struct presence *presence_new(const struct presence_config *cfg);
void presence_free(struct presence *p);

/* Who somebody is in the channels it subscribes to. */
struct attendee {
	struct session_id id;
	struct slice user;   /* empty: not known */
	struct slice info;   /* valid JSON on one line; empty: none given, what there is stays */
	bool wants_members;  /* of the channels it subscribes to now */
	bool leaves_at_once; /* no grace when it goes: it was shown the door */
};

/* A connection's place in a channel. */
struct presence_place {
	struct slice channel;
	enum subscriber_kind kind;
	bool has_events; /* others are told of who comes and goes */
};

/* One more connection of the attendee in the channel, and one less. They return when something has
 * to be done because of it (clock_mono_ms), 0: nothing. */
uint64_t presence_join(struct presence *p, struct counters *c, const struct presence_place *at,
		       const struct attendee *who);
uint64_t presence_leave(struct presence *p, struct counters *c, const struct presence_place *at,
			const struct session_id *id, bool at_once);

/* How many more entries there may be. */
size_t presence_room(const struct presence *p);
bool presence_has(struct presence *p, struct slice channel, const struct session_id *id);

/* --- asking ---------------------------------------------------------------------------------- */

struct presence_entry {
	struct session_id id;
	struct slice user; /* empty: not known */
	struct slice info; /* empty: none */
	enum subscriber_kind kind;
	uint32_t connections;
	int64_t since_ms;
};

struct presence_page {
	struct session_id after; /* entries with a greater id; zero: from the first */
	size_t entry_max;
	/* Called under a lock, with ids rising: it must not call presence. False: no more. */
	bool (*row)(void *arg, const struct presence_entry *e);
	void *arg;
};

/* How many are in the channel: users, where they are known, else sessions (docs/protocol.md). */
size_t presence_count(struct presence *p, struct slice channel);
/* Give a page of entries to page->row. Return the count; *ret_more: there are entries beyond. */
size_t presence_list(struct presence *p, struct slice channel, const struct presence_page *page,
		     bool *ret_more);
/* `{"session":…,"user":…,"info":…,"transport":…,"since_ts":…,"connections":…}` */
void presence_add_entry(struct buf *out, const struct presence_entry *e);

/* --- time, and telling ----------------------------------------------------------------------- */

/* Let at most max entries go whose grace is over. Return how many. */
size_t presence_sweep(struct presence *p, struct counters *c, uint64_t now_ms, size_t max);

/* What a channel's subscribers are to be told: the texts of a leave and of a join event; an empty
 * one is not due. */
struct presence_news {
	char channel[256];
	size_t channel_n;
	struct buf leave, join;
};

/* Take the news of one channel for which it is time; false when there is none. Until
 * presence_told() nobody takes more of that channel: so events keep their order. */
bool presence_take_news(struct presence *p, struct counters *c, uint64_t now_ms,
			struct presence_news *ret);
/* They are on their way to all workers. Returns as presence_join does. */
uint64_t presence_told(struct presence *p, struct slice channel);
void presence_news_fini(struct presence_news *n);

/* When the next sweep or news is due; 0: nothing is. */
uint64_t presence_next_due(struct presence *p);

#endif
