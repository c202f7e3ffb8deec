/* SPDX-License-Identifier: MIT */
/*
 * ack_store: what an engine keeps for durable subscribers: one position per subscriber and channel,
 * the seq up to which the subscriber has acknowledged the channel. Positions live in the main
 * engine, whatever the durability of their channels: a position that survives is how a client
 * learns (by a gap) that a channel's messages did not.
 */
#ifndef STORE_ACK_STORE_H
#define STORE_ACK_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct channel_info;
struct store;
struct store_reader;

/* As `begin`: only a position that is there is changed. */
#define STORE_ACK_NO_BEGIN UINT64_MAX

/* One change of one position. A position never goes back. */
struct store_ack {
	struct slice subscriber;
	struct slice channel;
	uint64_t begin; /* what it becomes when there was none … */
	uint64_t seq;   /* … and otherwise at least this */
	int64_t ts_ms;  /* when the subscriber was last heard of; 0: stays */
	bool is_passed; /* retention was seen to have removed messages behind it; an advance clears
			   it */
	/* answers */
	uint64_t kept;
	int error; /* -EDQUOT: there are too many positions; -ENOENT: NO_BEGIN, and there was none
		    */
};

struct store_ack_row {
	struct slice subscriber;
	struct slice channel;
	uint64_t seq;
	int64_t ts_ms;
	bool is_passed;
};

/* Rows come in the order of (subscriber, channel), those after a place in that order. */
struct store_ack_range {
	struct slice subscriber; /* only this one's; p NULL: all */
	struct slice channel;    /* only of this one; p NULL: all. Not both */
	struct slice after_subscriber;
	struct slice after_channel;
	size_t max;
};

typedef void store_ack_fn(void *arg, const struct store_ack_row *row);

struct store_ack_ops {
	/* Log thread. To be written by the next append, in its transaction, all or none with its
	 * messages (of which there may be none then). Borrowed until that append has returned,
	 * which fills the answers; after its failure they are forgotten. */
	void (*stage)(struct store *s, struct store_ack *const *acks, size_t n);
	/* Log thread. Forget these positions (subscriber and channel are used), all or none. */
	int (*forget)(struct store *s, const struct store_ack *acks, size_t n);
	/* Log thread. */
	int (*scan)(struct store *s, const struct store_ack_range *range, store_ack_fn *row,
		    void *arg);
	/* Log thread. How the channel stands; zeroes when it does not exist. */
	int (*standing)(struct store *s, struct slice channel, struct channel_info *ret);
	/* Reader thread. */
	int (*list)(struct store_reader *r, const struct store_ack_range *range, store_ack_fn *row,
		    void *arg);
	/* Reader thread. How many messages of the channel have a seq > after; counts no further
	 * than max. */
	int (*behind)(struct store_reader *r, struct slice channel, uint64_t after, size_t max,
		      uint64_t *ret_n);
};

#endif
