/* SPDX-License-Identifier: MIT */
/*
 * model: what a client may see, said once more and independently of the broker. One model per
 * connection. It is fed with what the client was told, in the order in which it was told, and
 * compares with everything that was ever stored.
 *
 * Each stored message of a subscribed channel is accounted for exactly once: not asked for (older
 * than the start), seen, or named by a gap, and then it is really gone. When a message arrives,
 * every older one of its channel must be accounted for. Thread: one.
 */
#ifndef TESTS_REPLAY_MODEL_H
#define TESTS_REPLAY_MODEL_H

#include "tests/unit/broker/fake_history.h"
#include "tests/unit/broker/fake_subscriber.h"

#define MODEL_CHANNELS 8

struct asked {
	enum start_kind kind;
	bool is_bad; /* a gap is due first */
	enum gap_reason reason;
	char since[32];      /* as the client gave it */
	uint64_t from;       /* START_NOW, START_AFTER: after this */
	uint32_t last;       /* START_LAST */
	uint64_t head;       /* of the worker when it was asked */
	uint64_t cursor;     /* what the client resumes from when it is cut right after */
	unsigned going_back; /* number of the request, when it is older than what the connection has
				seen; else 0 */
};

struct model_row {
	uint8_t account; /* enum account */
	unsigned again;  /* it came again so many times … */
	uint64_t at_ms;  /* … and was sent last then */
};

struct model_sub {
	bool is_on;
	bool is_settled; /* the first message was seen: from there on nothing may be missing */
	bool has_gap;    /* the gap of a bad cursor was told */
	struct asked asked;
	struct model_row *rows; /* one per row of the channel */
	size_t row_n;
	char channel[32];
};

struct model {
	struct history *history;
	const struct hub *hub;
	struct model_sub subs[MODEL_CHANNELS];
	uint64_t last;       /* newest seq seen */
	unsigned backs;      /* how often the order may still go back: once per request */
	unsigned going_back; /* number of the latest such request */
	uint64_t resume;     /* the client's cursor */
	bool is_opened, has_failed;
	/* what the client is, and what its channels allow */
	uint64_t name;        /* of its session: it may miss what is not for it */
	uint64_t ack_wait_ms; /* durable: sent again after that; 0: never */
	bool may_skip, may_cut;
	bool was_rewound; /* what a gap named may come all the same: memory had more than the log */
	char wrong[400];  /* what was wrong first; "" when all is well */
};

void model_init(struct model *m, struct history *h, const struct hub *hub);
void model_fini(struct model *m);
/* The client was told that it is, or is no longer, subscribed. */
void model_subscribed(struct model *m, const char *channel, const struct asked *asked);
void model_unsubscribed(struct model *m, const char *channel);
bool model_has(const struct model *m, const char *channel);
/* The client saw this (not for marks). */
void model_saw(struct model *m, const struct fake_event *e);
/* The newest that it saw of a channel; 0: none. */
uint64_t model_newest_seen(const struct model *m, const char *channel);
/* Messages after `acked` that it saw, and that can still be had. */
size_t model_in_flight(const struct model *m, const char *channel, uint64_t acked);
/* Can it still be had? */
bool model_is_there(const struct model *m, const char *channel, uint64_t seq);
/* The connection ends: resuming from the client's cursor must lose nothing. */
void model_cut(struct model *m);
/* Everything was delivered and written: nothing up to the worker's head may be missing. */
void model_complete(struct model *m);

#endif
