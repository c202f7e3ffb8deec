/* SPDX-License-Identifier: MIT */
/*
 * hub: one worker's maps channel → subscribers and pattern → subscribers, its recent messages, and
 * the fan-out. Hubs share nothing but sealed messages (and the census, off the hot path). The way
 * in is hub_deliver(), one call per committed batch; the way out is subscriber_ops.send(). Thread:
 * the worker's.
 */
#ifndef BROKER_HUB_H
#define BROKER_HUB_H

#include "base/counters.h"
#include "base/loop.h"
#include "base/mailbox.h"
#include "base/namespace.h"
#include "base/pool.h"
#include "base/watch.h"
#include "broker/outbox.h"
#include "broker/pattern_index.h"
#include "broker/subscriber.h"
#include "store/history.h"

#define HUB_MAGIC 0x48554221u

struct catch_up;
struct channel;
struct durable_family;
struct presence_desk;

TAILQ_HEAD(catch_up_list, catch_up);

struct hub_limits {
	size_t channels_per_subscriber; /* patterns among them */
	size_t patterns_per_subscriber;
	size_t patterns;  /* that have subscribers */
	bool pattern_any; /* patterns need not name a namespace */
	size_t message_bytes;
	uint32_t last_max;
	size_t recent_count;       /* messages kept in memory per active channel … */
	size_t recent_bytes;       /* … and their bytes */
	size_t recent_total_bytes; /* of all channels of this hub */
	size_t page_rows;          /* one page read from the log */
	size_t page_bytes;
	size_t page_scan;         /* … and rows that it looks at for patterns */
	size_t pages;             /* being read at once */
	size_t replay_turn_bytes; /* given in a turn to those who catch up */
	uint64_t idle_channel_ms; /* a channel without subscribers keeps its recent messages so long
				   */
	size_t idle_channels;     /* … and there are at most so many of them */
	uint64_t ack_expiry_ms;   /* a durable session is heard of more often than this; 0: no need
				   */
};

/* Whose turn it is to catch up (catch_up.c). */
struct catch_up_pace {
	struct catch_up_list line; /* who waits for the next turn, longest first */
	size_t given;              /* of limits.replay_turn_bytes, in this turn */
	uint64_t turn_ms;          /* when that was */
	size_t pages;              /* under way */
	bool is_serving;           /* the line, now */
	int fd;                    /* always readable */
	struct watch watch;
	struct loop_task next_turn;
};

struct hub {
	unsigned magic;
	struct loop *loop;
	struct history *history;
	struct mailbox *mailbox; /* where answers to this worker come */
	struct census *census;
	struct presence_desk *desk; /* set by the owner; NULL: presence is not kept */
	void *packer;               /* set by the owner: what subscriber_ops.pack compresses with */
	struct counters *counters;
	struct outbox outbox;               /* what is published here */
	struct namespace_table *namespaces; /* a reference; swapped on reload */
	struct epoch epoch;
	struct hub_limits limits;

	/* private */
	uint64_t head; /* newest seq announced to this worker */
	struct channel *channels;
	struct pattern_index patterns;
	uint32_t deliveries; /* number of the last message that went to more than one of both;
				0: of none */
	TAILQ_HEAD(channel_list, channel)
	idle; /* channels without subscribers, longest idle first */
	size_t idle_n;
	size_t idle_pattern_n;
	size_t recent_bytes;
	struct catch_up_list retries;    /* the reader's queue was full */
	struct catch_up_list ahead;      /* their cursor is newer than this worker's head */
	const struct message *sending;   /* what send() is being called for, for those who need more
					    than the frame */
	struct durable_family *durables; /* sessions of durable subscribers, by name */
	struct loop_timer retry_timer;
	struct loop_timer idle_timer;
	struct catch_up_pace pace;
	struct pool subscriptions;
};

struct hub *hub_new(struct loop *loop, struct history *history, struct mailbox *mailbox,
		    struct census *census, struct namespace_table *namespaces,
		    struct counters *counters, const struct hub_limits *limits);
/* All subscribers must be gone. */
void hub_free(struct hub *h);
/* Takes a reference on the table, drops the old one. */
void hub_set_namespaces(struct hub *h, struct namespace_table *t);

/* Make the frame of a message for this kind of subscriber; one reference for the caller. */
struct frame *hub_encode(struct hub *h, const struct subscriber_ops *ops, const struct message *m);

/* Fan a committed batch out. */
void hub_deliver(struct hub *h, const struct batch *b);

/* The channel was purged: what is remembered of it goes too. */
void hub_forget(struct hub *h, struct slice channel);

#endif
