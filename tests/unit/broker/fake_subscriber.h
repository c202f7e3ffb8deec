/* SPDX-License-Identifier: MIT */
/*
 * fake_subscriber: a client with a queue of its own that is written when the test says so. What was
 * written is kept as events, in order, so that a test sees what a client would see. Control events
 * are not dropped by a rewind, as in a real connection. Thread: one.
 */
#ifndef TESTS_UNIT_BROKER_FAKE_SUBSCRIBER_H
#define TESTS_UNIT_BROKER_FAKE_SUBSCRIBER_H

#include "broker/hub.h"

enum fake_kind { FAKE_MESSAGE, FAKE_GAP, FAKE_OPENED, FAKE_LIVE, FAKE_FAILED, FAKE_MARK };

struct fake_event {
	enum fake_kind kind;
	uint64_t seq; /* MESSAGE: 0 for an ephemeral one. OPENED: the cursor */
	uint64_t prev;
	unsigned again;         /* MESSAGE: sent for the n-th time again */
	uint64_t at_ms;         /* when it was queued */
	uint64_t to, oldest;    /* GAP */
	enum gap_reason reason; /* GAP */
	int mark;               /* MARK: the test's */
	char channel[32];
	char from[136]; /* GAP */
};

struct fake_events {
	struct fake_event *v;
	size_t n, room;
};

struct fake_subscriber {
	struct subscriber subscriber;
	struct subscriber_ops ops;
	size_t live_room;   /* the queue takes so many events while live … */
	size_t replay_room; /* … and so many while catching up */
	bool keeps;         /* as a poll: a rewind drops nothing */
	bool is_half_sent; /* the first message of the queue is partly written: a rewind keeps it */
	bool wants_drain;
	bool has_failed;
	bool is_too_slow; /* it was told so: nothing may be sent any more */
	unsigned rewinds;
	struct fake_events queue;
	struct fake_events seen;
};

void fake_subscriber_init(struct fake_subscriber *f, struct hub *h, enum subscriber_kind kind,
			  enum frame_format format);
void fake_subscriber_fini(struct fake_subscriber *f);
/* For ops.too_slow of those whom the policies of namespaces concern. */
void fake_too_slow(struct subscriber *s);
/* For durable_ops.encode_again: a message that says that it is sent again, and that no rewind
 * drops. */
struct frame *fake_encode_again(const struct message *m, const struct epoch *epoch, unsigned n);
/* A control event of the test's own, at the end of the queue. */
void fake_mark(struct fake_subscriber *f, int mark, const char *channel);
/* Write n events of the queue; tell the broker when there is room again. */
void fake_write(struct fake_subscriber *f, size_t n);
/* Write all, as long as there is something. */
void fake_write_all(struct fake_subscriber *f);
/* Write nothing, but what was written becomes text and is forgotten: "open 0|live|a1|b2|gap a 1-2
 * oldest 3 epoch". Static, good until the next call. */
const char *fake_seen(struct fake_subscriber *f);
/* The same after writing all. */
const char *fake_take(struct fake_subscriber *f);

#endif
