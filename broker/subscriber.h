/* SPDX-License-Identifier: MIT */
/*
 * subscriber: one connection's (or one poll's) interest in channels. The core knows of a client
 * just what struct subscriber_ops says.
 *
 *   NEW ──subscriber_add──▶ CATCHING_UP ⇄ LIVE ──subscriber_fini──▶ gone
 *
 * CATCHING_UP: fed from history, page by page, as fast as the client takes it (subscriber_drained);
 * a fresh subscriber that asks for the past, a client that returns, and a live one that fell behind
 * are the same thing. LIVE: gets messages as they are announced. Order and completeness rest on one
 * number: `pos`, the position up to which everything has been handed to send().
 *
 * Thread: the hub's.
 */
#ifndef BROKER_SUBSCRIBER_H
#define BROKER_SUBSCRIBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/frame.h"
#include "base/id.h"
#include "base/list.h"
#include "base/message.h"
#include "base/slice.h"
#include "broker/census.h"

#define SUBSCRIBER_MAGIC 0x53554253u

struct attendee;
struct catch_up;
struct durable;
struct hub;
struct subscriber;
struct subscription;

enum gap_reason { GAP_EPOCH, GAP_RETENTION, GAP_INVALID, GAP_SKIPPED, GAP_EXPIRED };
const char *gap_reason_name(enum gap_reason r);

/* What a client is told about messages it can not have. */
struct gap {
	struct slice channel;
	struct slice from; /* the cursor as the client gave it, or as an id when the core made it */
	uint64_t to;       /* seq of the last missing message; 0: unknown */
	uint64_t oldest;   /* seq of the oldest there is; 0: none, or (SKIPPED) not looked up */
	enum gap_reason reason;
};

struct subscriber_ops {
	enum subscriber_kind kind;
	enum frame_format format; /* subscribers of equal format share frames */
	/* Pure: no session, no clock. One reference for the caller. */
	struct frame *(*encode)(const struct message *m, const struct epoch *epoch);
	/* Compress what encode() made: takes the frame, gives another of the same message, or the
	 * same. packer: the hub's. NULL: frames of this format go as they are. */
	struct frame *(*pack)(void *packer, struct frame *f);
	/* Queue a message. 0; or -ENOBUFS: not taken, the client is full: the core stops until
	 * subscriber_drained(). Must not close or free anything. */
	int (*send)(struct subscriber *s, struct frame *f);
	/* The subscriber fell behind: drop what is queued and not yet written; return the lowest
	 * seq dropped (0: none). */
	uint64_t (*rewind)(struct subscriber *s);
	/* Once, before the first message or gap: delivery starts after this position. May be NULL.
	 */
	void (*opened)(struct subscriber *s, uint64_t cursor);
	void (*gap)(struct subscriber *s, const struct gap *g);
	/* Everything up to now has been handed over; live from here. May be NULL. */
	void (*live)(struct subscriber *s);
	/* History can not be read; the subscriber stays where it is. The session should end (at the
	 * end of the turn). */
	void (*failed)(struct subscriber *s, enum fault_id why);
	/* It fell behind, and one of its namespaces wants such clients disconnected: the session
	 * should end (at the end of the turn; nothing may be closed or freed inside, the fan-out is
	 * under way). Nothing is sent after this. NULL: it never counts as slow, but always lags.
	 */
	void (*too_slow)(struct subscriber *s);
};

enum subscriber_state { SUB_NEW, SUB_CATCHING_UP, SUB_LIVE };

/* Idle ones are many: what only some have is a pointer. */
struct subscriber {
	unsigned magic;
	uint8_t state; /* enum subscriber_state */
	bool is_opened : 1;
	bool is_full : 1;     /* send() said -ENOBUFS: wait for subscriber_drained() */
	bool is_skipping : 1; /* fell behind, and goes on with the newest once it has room */
	bool has_expired : 1; /* a subscription has an expired run to tell */
	uint16_t pattern_n;
	uint32_t channel_n; /* patterns among them */
	uint32_t delivery;  /* the last of hub->deliveries that it had a look at */
	uint64_t name;      /* of its session, for message.except; 0: none */
	struct hub *hub;
	const struct subscriber_ops *ops;
	uint64_t asked;            /* what it asked to be given again ends here */
	uint64_t pos;              /* while CATCHING_UP */
	struct catch_up *catch_up; /* the same (recovery.h) */
	struct durable *durable;   /* when it has a name; NULL: it has none (durable.h) */
	struct attendee *attendee; /* who it is in presence; set by the session before channels are
				      added, outlives them. NULL: nobody */
	STAILQ_HEAD(, subscription) subscriptions;
};

enum start_kind {
	START_NOW,
	START_ALL,   /* everything retained */
	START_AFTER, /* after the cursor */
	START_LAST,  /* the newest `last` of each channel, or of all channels of a pattern */
};

/* Where delivery starts. */
struct start {
	enum start_kind kind;
	struct slice since; /* START_AFTER: the text the client gave */
	uint32_t last;
};

/* The same, as far as it is known before the log is asked. */
struct start_point {
	uint64_t from;    /* after this seq */
	uint32_t last;    /* not 0: START_LAST */
	bool from_oldest; /* with the oldest there is */
	bool is_bad;      /* the cursor was no good, for this reason: a gap is due */
	enum gap_reason reason;
};
struct start_point start_resolve(const struct hub *hub, const struct start *start);

void subscriber_init(struct subscriber *s, struct hub *hub, const struct subscriber_ops *ops);
/* Leaves all channels, forgets what is under way. Fine for a zeroed struct. */
void subscriber_fini(struct subscriber *s);

/* Subscribe to n more channels or patterns (ones already subscribed are left as they are) from the
 * same start, all or none. A message that several of them stand for comes once. Return 0, or
 * negative with fault filled: FAULT_BAD_CHANNEL, FAULT_FORBIDDEN, FAULT_TOO_MANY_CHANNELS,
 * FAULT_TOO_MANY_PATTERNS, FAULT_OVERLOADED (too many patterns on this worker). gap(), opened(),
 * send() and live() may be called before this returns. */
int subscriber_add(struct subscriber *s, const struct slice *channels, size_t n,
		   const struct start *start, bool is_admin, struct fault *fault);
/* The same with a start of its own for each. */
int subscriber_add_each(struct subscriber *s, const struct slice *channels,
			const struct start *starts, size_t n, bool is_admin, struct fault *fault);
/* The checks of subscriber_add alone, for callers that must know before they answer. s: NULL for
 * one that has no channels yet. */
int subscriber_check(const struct hub *hub, const struct subscriber *s,
		     const struct slice *channels, size_t n, bool is_admin, struct fault *fault);
/* A channel, or a pattern as it was written. False when it was not subscribed. */
bool subscriber_remove(struct subscriber *s, struct slice channel);
bool subscriber_has(const struct subscriber *s, struct slice channel);
/* A channel whose members the client asked for and has not been told, or not all changes of them
 * since; false when there is none. For live subscribers. */
bool subscriber_take_owed(struct subscriber *s, struct slice *ret_channel);
/* The client has room again: go on feeding. */
void subscriber_drained(struct subscriber *s);
/* Tell the gaps that wait for the next message: before a client is given its position. */
void subscriber_settle(struct subscriber *s);
/* The position up to which everything has been handed to send(). */
uint64_t subscriber_position(const struct subscriber *s);
/* Call fn for each channel and pattern. */
void subscriber_each_channel(const struct subscriber *s,
			     void (*fn)(void *arg, struct slice channel), void *arg);

#endif
