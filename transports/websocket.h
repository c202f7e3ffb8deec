/* SPDX-License-Identifier: MIT */
/*
 * websocket: one WebSocket session, shared by websocket.c (life, delivery), ws_commands.c (the JSON
 * frames of clients) and ws_raw (payloads both ways).
 * Thread: the worker's. Inside transports/
 * only.
 */
#ifndef TRANSPORTS_WEBSOCKET_H
#define TRANSPORTS_WEBSOCKET_H

#include "broker/publish.h"
#include "transports/fetch.h"
#include "transports/params.h"
#include "transports/session.h"

struct websocket;

/* A command that waits for the log. */
struct ws_pending {
	struct websocket *socket;
	struct append *append;  /* a publish … */
	struct fetch *fetch;    /* … or a history read */
	struct ack_letter *ack; /* … or an acknowledgement … */
	char *text;          /* … or a durable subscription: the answer up to its cursor, owned */
	bool wants_members;  /* of that subscription */
	bool is_cursor_open; /* the log is to say where it starts: told as null */
	bool is_batch;       /* a publish of `messages` */
	LIST_ENTRY(ws_pending) link;
	size_t ref_n;
	char ref[]; /* raw JSON of the client's ref */
};

struct websocket {
	struct session session;
	struct ws ws;
	LIST_HEAD(, ws_pending) pending;
	uint32_t pending_n;
	uint32_t fetching : 28; /* of them, history reads */
	bool is_admin : 1;
	bool is_raw : 1;       /* has one channel, always */
	bool is_ephemeral : 1; /* raw: what the client sends is not stored */
	bool is_paused : 1;    /* reading stopped: too much is pending or unsent */
};

struct ws_pending *ws_pending_new(struct websocket *w, struct slice ref);
void ws_pending_free(struct ws_pending *p);
/* Something that was pending is done: perhaps go on reading. */
void websocket_resume_if_ready(struct websocket *w);

/* Close, and leave all channels at once: no message may follow the close frame (RFC 6455 5.5.1). */
void websocket_close(struct websocket *w, enum close_reason reason, uint16_t code,
		     const char *text);
/* A JSON text frame. */
void websocket_send_json(struct websocket *w, struct slice json);
void websocket_send_fault(struct websocket *w, struct slice ref, enum fault_id id,
			  const char *message);

/* The member lists that are owed to a live subscriber. */
void websocket_tell_members(struct websocket *w);
/* The members of a subscribe frame that make it durable; name.p stays NULL without them. text holds
 * the name. */
int ws_durable_get(struct websocket *w, struct slice frame, struct buf *text,
		   struct durable_want *ret, struct fault *fault);
/* Subscribe and answer; r lacks only what is this transport's. Return 0, or negative with fault
 * filled: then nothing was answered. */
int ws_durable_subscribe(struct websocket *w, struct slice ref, struct durable_request *r,
			 struct fault *fault);
/* An ack frame. */
void ws_ack(struct websocket *w, struct slice frame, struct slice ref);
/* How a JSON session delivers durably. */
const struct durable_ops *websocket_durable(const struct websocket *w);

/* One frame of a client, JSON envelope or raw payload. */
void ws_command(struct websocket *w, struct slice text);
void ws_raw_publish(struct websocket *w, bool is_binary, struct slice payload);

#endif
