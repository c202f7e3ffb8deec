/* SPDX-License-Identifier: MIT */
/*
 * durable: subscribers that have a name, under which the broker remembers up to where they have
 * acknowledged each channel (store/ack.h).
 *
 *   durable_subscribe ──ACK──▶ log thread: the position, made when there was none
 *        joined() ◀── subscriber_add from there ◀──────────────┘
 *
 * A session that streams gets at most max_in_flight messages beyond its acknowledgements, and what
 * it does not acknowledge in ack_wait again. A poll has neither: its next cursor is its
 * acknowledgement. Others pay for none of this: a durable session has a send() of its own.
 * Thread: the hub's.
 */
#ifndef BROKER_DURABLE_H
#define BROKER_DURABLE_H

#include "base/fault.h"
#include "broker/subscriber.h"

struct ack_letter;
struct batch;
struct durable;
struct hub;

/* What a client asks for. */
struct durable_want {
	struct slice name; /* p NULL: it is no durable subscriber */
	uint32_t max_in_flight;
	uint64_t ack_wait_ms; /* 0: nothing is sent again */
	bool start_is_ack;    /* a cursor to start from acknowledges what is before it */
};

/* A session's own way to deliver. The two halves are one constant each. */
struct durable_ops {
	/* What the session goes by from now on: as before, but durable_send and durable_rewind. */
	struct subscriber_ops ops;
	/* What it went by before: the real send and rewind. */
	const struct subscriber_ops *plain;
	/* A frame that says that it is sent for the n-th time again. Not shared; must not be
	 * dropped from the queue (is_message false). */
	struct frame *(*encode_again)(const struct message *m, const struct epoch *e, unsigned n);
};

struct durable_request {
	const struct slice *channels;
	size_t n;
	const struct start *start;
	bool is_admin;
	const struct durable_want *want;
	const struct durable_ops *ops; /* NULL: a poll */
	/* Called once: before the first of what the subscription brings, with the position where
	 * it starts, or with what went wrong. Not after subscriber_fini. May be NULL. */
	void (*joined)(struct subscriber *s, void *arg, const struct fault *fault, uint64_t from);
	void *arg;
};

/* As subscriber_add, for a durable subscriber; may be done when it returns, or later. Return 0, or
 * negative with fault filled, and then joined is not called. Besides subscriber_add's:
 * FAULT_BAD_PARAMETER (another name than before), FAULT_OVERLOADED. */
int durable_subscribe(struct subscriber *s, const struct durable_request *r, struct fault *fault);
/* The name; p NULL when the subscriber has none. */
struct slice durable_name(const struct subscriber *s);

/* Can a position be kept of it? 0, or FAULT_NOT_SUPPORTED for a pattern. */
int durable_check_channel(struct slice channel, struct fault *fault);
/* May this id be acknowledged for this channel? 0 and its seq, or negative with fault filled. */
int durable_check_ack(const struct hub *h, struct slice subscriber, struct slice channel,
		      struct slice id, bool is_admin, uint64_t *ret_seq, struct fault *fault);

/* What was wrong with an answered letter: 0, or negative with fault filled. */
int durable_letter_fault(const struct ack_letter *l, struct fault *fault);

/* subscriber_ops.send and .rewind of durable_ops. */
int durable_send(struct subscriber *s, struct frame *f);
uint64_t durable_rewind(struct subscriber *s);

/* --- inside broker/ -------------------------------------------------------------------------- */

/* Where the subscription starts is known now and must be remembered first: true when the
 * subscriber has to wait for that. */
bool durable_must_wait(struct subscriber *s);
/* Messages with after < seq ≤ to can not be had any more. */
void durable_gap(struct subscriber *s, struct slice channel, uint64_t after, uint64_t to);
/* It is live, and this message is not for its session: nor is it with what is sent again. */
void durable_pass(struct subscriber *s, const struct message *m);
/* The subscriber left this channel. */
void durable_leave(struct subscriber *s, struct slice channel);
/* How many more new messages may be sent; SIZE_MAX: any number. */
size_t durable_room(const struct subscriber *s);
/* Tell the sessions of this hub of positions that moved. */
void durable_deliver(struct hub *h, const struct batch *b);
void durable_fini(struct subscriber *s);

#endif
