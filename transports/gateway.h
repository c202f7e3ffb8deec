/* SPDX-License-Identifier: MIT */
/*
 * gateway: one worker's front door: every HTTP request comes in here and is given to the transport
 * that says it is its own. Holds what transports need to know about their worker, and its sessions.
 * Thread: the worker's.
 */
#ifndef TRANSPORTS_GATEWAY_H
#define TRANSPORTS_GATEWAY_H

#include "base/counters.h"
#include "base/pool.h"
#include "broker/hub.h"
#include "net/http.h"
#include "net/ws.h"

struct session;
struct session_key;
struct transport_ops;

/* One for all workers, immutable; a reload makes a new one. */
struct gateway_config {
	size_t out_queue_bytes;     /* a live subscriber with more unsent falls behind */
	size_t replay_window_bytes; /* a catching-up subscriber gets more below this */
	uint64_t heartbeat_ms;
	uint64_t sse_retry_ms;
	uint64_t poll_wait_max_ms;
	uint64_t poll_batch_ms;
	size_t poll_messages;
	size_t poll_bytes;
	size_t history_limit;
	size_t channels_per_subscription;
	size_t patterns_per_subscription;
	bool pattern_any;
	size_t message_bytes;
	size_t request_bytes;
	size_t batch_bytes;
	uint32_t last_limit;
	size_t pending_publishes;
	size_t presence_members; /* in one reply or list */
	size_t info_bytes;
	uint32_t in_flight;       /* of a durable subscriber that does not say … */
	uint32_t in_flight_max;   /* … and of one that does */
	uint64_t ack_wait_ms;     /* 0: nothing is sent again */
	uint64_t ack_wait_min_ms; /* shorter ones are raised to it */
	size_t lag_max;           /* lag is counted up to here */
	uint64_t key_window_ms;   /* for `limits`: what the log does */
	const char *ws_origins;   /* "*", or origins separated by spaces */
	struct ws_config ws;
	bool log_sessions;
};

struct gateway {
	struct loop *loop;
	struct hub *hub;
	struct counters *counters;
	const struct gateway_config *config;
	const struct session_key *session_key; /* of all workers */
	bool is_draining;
	LIST_HEAD(session_list, session) sessions;
	size_t session_n;
	struct pool websockets, streams,
		polls;     /* sessions of these transports; polls: long ones … */
	struct pool hauls; /* … and what they are about to answer */
	/* The process's own requests (health, metrics, admin …); asked before the transports.
	 * NULL-terminated. */
	const struct transport_ops *const *extra;
	void *extra_arg;
};

/* All sessions are gone, and so is what the loop was to free later. */
void gateway_fini(struct gateway *g);

/* For http_config.on_request and .body_limit; arg is the gateway. */
void gateway_on_request(void *arg, struct http_exchange *x);
size_t gateway_body_limit(void *arg, const struct http_request *r);

/* The node goes down: no new subscriptions, every session is told to come back elsewhere after a
 * delay of its own, spread over spread_ms, and ended; waiting polls are answered. */
void gateway_drain(struct gateway *g, uint64_t spread_ms);
/* End sessions of this connection id (0: any) and channel (n == 0: any). Return how many. */
size_t gateway_kick(struct gateway *g, uint64_t conn_id, struct slice channel);

#endif
