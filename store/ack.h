/* SPDX-License-Identifier: MIT */
/*
 * ack: acknowledged positions as workers see them. A change goes to the log thread as a letter of
 * its own, is committed together with the messages that wait there, and comes back answered.
 * Everybody else hears of it in the batch: sessions of the same subscriber may be on any worker.
 *
 *   worker ──ACK──▶ log thread: one change per position and round ──BATCH──▶ workers
 *                                                                 ──the same letter──▶ worker
 */
#ifndef STORE_ACK_H
#define STORE_ACK_H

#include "base/id.h"
#include "base/mailbox.h"
#include "base/obj.h"
#include "store/ack_store.h"

struct history;

struct ack_item {
	uint64_t begin; /* as in struct store_ack */
	uint64_t seq;
	/* answers */
	uint64_t kept; /* the position now */
	int error;     /* of this one, as in struct store_ack */
	uint8_t channel_n;
	char channel[256];
};

struct ack_letter {
	struct letter letter; /* private */
	struct mailbox *reply_to;
	/* On the worker when it came back; owns the letter from then on (ack_letter_free). */
	void (*done)(struct ack_letter *);
	void *owner; /* the worker's; set to NULL when the owner died meanwhile */
	/* answer: 0, or why nothing of it was kept: a negative errno of the store */
	int error;
	uint8_t subscriber_n;
	char subscriber[256];
	size_t n;
	struct ack_item items[];
};

struct ack_letter *ack_letter_new(struct slice subscriber, size_t n);
void ack_letter_set(struct ack_letter *l, size_t i, struct slice channel, uint64_t begin,
		    uint64_t seq);
void ack_letter_free(struct ack_letter *l);
static inline struct slice ack_letter_subscriber(const struct ack_letter *l)
{
	return slice_make(l->subscriber, l->subscriber_n);
}
static inline struct slice ack_item_channel(const struct ack_item *i)
{
	return slice_make(i->channel, i->channel_n);
}

/* Worker threads. Takes the letter on 0; -EAGAIN when too much waits for the log (it stays the
 * caller's). */
MUST_CHECK int history_ack(struct history *h, struct ack_letter *l);

/* What a batch tells of positions: sealed with it. */
struct batch_ack {
	struct slice subscriber; /* the bytes are the batch's */
	struct slice channel;
	uint64_t seq;
};

/* One position, as operators see it (struct store_task). */
struct ack_row {
	char *subscriber;
	char *channel;
	uint64_t seq;
	int64_t ts_ms; /* last heard of */
	uint64_t lag;  /* messages of the channel after seq; not counted beyond lag_max */
};

#endif
