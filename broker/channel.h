/* SPDX-License-Identifier: MIT */
/*
 * channel: one hub's view of a channel: its subscribers and its newest messages ("recent"), with
 * the frames already made of them. Recent covers every message after `covers_after`, without a
 * hole: a subscriber whose cursor is at or behind nothing older is served from memory.
 *
 * Made by the first subscriber; kept for a while after the last one has left, so that a client
 * between two polls finds its history in memory. `warm`: filled once from the log, so that a crowd
 * that returns after a restart costs one read.
 *
 * A pattern (`room:*`) is a channel too: its messages are those of all channels that it stands for,
 * its subscribers, recent messages and reads are like any other's.
 * Thread: the hub's. Inside broker/ only.
 */
#ifndef BROKER_CHANNEL_H
#define BROKER_CHANNEL_H

#include "base/frame.h"
#include "base/map.h"
#include "broker/hub.h"

struct expired_runs;
struct pattern_losses;

/* What few subscriptions have. */
struct subscription_rest {
	char *gap_from;       /* a cursor that was no good, to be told with the first data; owned */
	uint8_t gap_reason;   /* of gap_from */
	uint64_t gone;        /* a gap told that everything up to here can not be had */
	uint64_t last_before; /* last of a pattern: counts only messages up to here; 0: no bound */
	struct expired_runs *expired;  /* see expired.h; NULL: none */
	struct pattern_losses *losses; /* of a pattern: what the client knows; NULL: nothing */
};

struct subscription {
	struct subscriber *subscriber;
	struct channel *channel;
	uint64_t from;  /* wants seq > from; see subscriber.pos */
	uint64_t start; /* of what it wants, all with start < seq ≤ from has been handed over */
	uint32_t slot;  /* index in channel->subscriptions */
	uint32_t last;  /* not 0: START_LAST, not yet resolved into from */
	uint32_t next;  /* scratch of one merge: index into channel->recent */
	bool from_oldest : 1; /* starts with the oldest there is, not yet resolved into from */
	bool has_cursor : 1;  /* began with a position: what was lost after it is told */
	bool is_resolved : 1; /* last of a pattern: from is good, but others of the read are not */
	bool is_present : 1;  /* has a place in the channel's presence */
	bool wants_members : 1;
	bool owes_members : 1;           /* the list is to be told once the subscriber is live */
	struct subscription_rest *rest;  /* NULL: nothing of it */
	STAILQ_ENTRY(subscription) link; /* of its subscriber */
};

/* To write to; made when there is none. */
struct subscription_rest *subscription_rest(struct subscription *sub);

/* Everything up to here has been handed over, is not wanted, or was told to be gone. */
static inline uint64_t subscription_cursor(const struct subscription *sub)
{
	uint64_t at = sub->from > sub->subscriber->pos ? sub->from : sub->subscriber->pos;

	return sub->rest && sub->rest->gone > at ? sub->rest->gone : at;
}

struct recent {
	struct message *message;
	struct frame *frames[FORMAT_COUNT]; /* made when first needed */
};

enum warmth { CHANNEL_COLD, CHANNEL_WARMING, CHANNEL_WARM };

struct channel {
	struct hub *hub;
	UT_hash_handle hh;
	struct subscription **subscriptions; /* dense, unordered: the fan-out walks it */
	uint32_t subscription_n, subscription_room;

	struct recent *recent; /* ring of recent_room entries, a power of two */
	uint32_t recent_room, recent_first, recent_n;
	size_t recent_bytes;
	uint64_t covers_after;
	bool is_whole;       /* recent holds all that is retained: nothing older can be had */
	bool is_pattern;     /* the name ends in `*` */
	bool is_pinned;      /* in use by a delivery: not to be freed */
	uint64_t keep_count; /* retention of the namespace: recent keeps no more either (of a
				pattern, the strictest of all it reaches into; see below) */
	uint64_t keep_age_ms;
	bool has_presence, has_presence_events; /* of the namespace */
	uint64_t newest; /* seq of the newest message announced since the channel was made; 0: none
			  */
	uint8_t slow;    /* enum slow_policy of the namespace */
	uint8_t warmth;
	struct query *query; /* while WARMING */
	struct catch_up_list waiters;

	uint64_t idle_since_ms; /* on hub->idle while without subscribers */
	TAILQ_ENTRY(channel) idle;
	uint8_t name_n;
	char name[];
};

/* Does recent hold nothing of what retention by number has removed? Recent of a pattern may: which
 * messages of which channel are too many is for the log to know. */
static inline bool channel_is_exact(const struct channel *ch)
{
	return !ch->is_pattern || ch->keep_count == 0 || ch->recent_n <= ch->keep_count;
}

/* Find or make. */
struct channel *channel_get(struct hub *h, struct slice name);
struct channel *channel_find(struct hub *h, struct slice name);
void channel_attach(struct channel *ch, struct subscription *s);
void channel_detach(struct subscription *s);
static inline struct slice channel_name(const struct channel *ch)
{
	return slice_make(ch->name, ch->name_n);
}

/* Remember a stored message as the newest; takes a reference. NULL when the limits leave no room
 * for it. */
struct recent *channel_remember(struct channel *ch, struct message *m);
/* i-th oldest, 0 ≤ i < recent_n. */
static inline struct recent *channel_recent(struct channel *ch, uint32_t i)
{
	return &ch->recent[(ch->recent_first + i) & (ch->recent_room - 1)];
}
/* Index of the first recent message with seq > after; recent_n when there is none. */
uint32_t channel_recent_after(struct channel *ch, uint64_t after);
/* Where the newest n messages that have not expired begin: index of the first of them. False:
 * recent holds fewer. */
bool channel_recent_last(struct channel *ch, uint32_t n, uint32_t *ret_i);
/* The frame of a recent message for this kind of subscriber, made now if need be; borrowed. */
struct frame *channel_frame(struct channel *ch, struct recent *r, const struct subscriber_ops *ops);
/* Keep this frame, made for another channel of the same message, with it; takes a reference. */
void channel_keep_frame(struct channel *ch, struct recent *r, enum frame_format format,
			struct frame *f);
/* Make the channel and the hub keep their limits; after frames were made. The newest message stays,
 * unless the hub is full. */
void channel_keep_limits(struct channel *ch);
/* Fill recent from the log, once; subscribers on ch->waiters are stepped when it is done. */
void channel_warm(struct channel *ch);

/* Drop recent messages that are older than the namespace keeps. */
void channel_expire_old(struct channel *ch);
/* Drop all recent messages: they were purged from the log. */
void channel_forget(struct channel *ch);
/* Read the options of the channel's namespace again. */
void channel_take_options(struct channel *ch);

/* hub's housekeeping: forget channels that have been idle too long; all of them when everything is
 * set. */
void channel_expire_idle(struct hub *h, bool everything);

#endif
