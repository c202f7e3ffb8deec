/* SPDX-License-Identifier: MIT */
/*
 * sub: a subscription over time: connections come and go, the cursor stays. What the four
 * transports share; each is one file with one struct sub_transport. Thread: main.
 */
#ifndef CLI_SUB_H
#define CLI_SUB_H

#include "base/problem.h"
#include "cli/backoff.h"
#include "cli/commands.h"
#include "cli/event.h"
#include "cli/out.h"
#include "cli/sub_ack.h"
#include "cli/track.h"

struct sub_options {
	const char *transport;
	const char *since;
	uint64_t last;
	uint64_t count;
	uint64_t timeout_ms;
	uint64_t interval_ms;
	const char *subscriber;
	bool ack;
	bool raw;
	bool json;
	bool fail_on_gap;
	bool presence;
};

/* How one connection (or one round of polls) ended. */
enum sub_end {
	SUB_OVER,        /* the whole subscription is: count, deadline, signal, reader gone, gap */
	SUB_LOST,        /* try again, from the cursor */
	SUB_UNREACHABLE, /* the same, and nothing was ever sent */
	SUB_REFUSED,     /* for good */
};

struct sub {
	struct cli *cli;
	const struct sub_options *opt;
	enum event_style style;
	struct track track;
	char session[64]; /* as the server told it; empty: not yet */
	struct out out;
	struct backoff backoff;
	struct sub_acks acks;
	uint64_t shown;        /* messages */
	uint64_t deadline_ms;  /* monotonic; 0: none */
	uint64_t floor_ms;     /* the server's wish for the next pause; 0: none */
	uint64_t heartbeat_ms; /* of hello; 0: not told */
	int exit_code;
	bool is_over;
	bool is_refused;    /* the server said not to come back */
	bool was_up;        /* some connection worked */
	struct problem why; /* of an end other than SUB_OVER */
};

struct sub_transport {
	const char *name;
	const char *alias; /* its name in the protocol */
	/* Connect, and feed sub_event() until the end. */
	enum sub_end (*run)(struct sub *s);
};

extern const struct sub_transport sub_ws;
extern const struct sub_transport sub_sse;
extern const struct sub_transport sub_long_poll;
extern const struct sub_transport sub_poll;

/* Initialise path with the channels and the place to start from. */
void sub_path(const struct sub *s, const char *name, struct buf *path);
/* The session to come back with; one that is no session is ignored. */
void sub_set_session(struct sub *s, struct slice session);
/* One JSON object from the server. False: leave this connection (see sub_end_of()). */
bool sub_event(struct sub *s, struct slice json);
/* Before every wait: write what is gathered, look at signals, deadline and reader. False: it is
 * over. */
bool sub_turn(void *sub);
/* The connection works: the next failure is a first one. */
void sub_is_up(struct sub *s);
/* Note a failure and return what it means. */
enum sub_end sub_failed(struct sub *s, enum sub_end end, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* What a reply that is no success means. */
enum sub_end sub_judge(struct sub *s, const struct http_reply *reply);
/* Why sub_event() said false. */
enum sub_end sub_end_of(const struct sub *s);
/* Wait, with output flushed and signals heard. False: it is over. */
bool sub_pause(struct sub *s, uint64_t ms);
/* The longest silence that is no failure: two heartbeats and a little. */
uint64_t sub_stall_ms(const struct sub *s);

#endif
