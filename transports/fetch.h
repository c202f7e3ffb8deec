/* SPDX-License-Identifier: MIT */
/*
 * fetch: one read of one channel's history, shared by GET /v1/history and the WebSocket `history`
 * frame.
 * Thread: the worker's.
 */
#ifndef TRANSPORTS_FETCH_H
#define TRANSPORTS_FETCH_H

#include "base/buf.h"
#include "transports/gateway.h"

struct fetch_request {
	struct slice channel;
	struct start start; /* START_NOW counts as START_ALL */
	size_t limit;       /* 0: the server's */
	bool is_admin;
};

struct fetch {
	/* private */
	struct gateway *gateway;
	struct query *query;
	struct start_point point;
	char *since; /* a cursor that was no good */
	uint64_t asked_after;
	/* Called once with the members of the answer
	 * (`"channel":…,"cursor":…,"messages":[…],"more":…`, no braces), or with the fault; the
	 * fetch is gone afterwards. */
	void (*done)(struct fetch *f, struct slice members, enum fault_id fault, const char *text);
	void *owner;
};

/* Return the fetch, borrowed, or NULL with fault filled. */
struct fetch *fetch_start(struct gateway *g, const struct fetch_request *r,
			  void (*done)(struct fetch *, struct slice, enum fault_id, const char *),
			  void *owner, struct fault *fault);
/* The owner died: done will not be called. */
void fetch_cancel(struct fetch *f);

#endif
