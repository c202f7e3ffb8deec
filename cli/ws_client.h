/* SPDX-License-Identifier: MIT */
/*
 * ws_client: the client's end of a WebSocket over a connection that curl made: handshake, frames,
 * pings, close. Text messages only; fragments are joined.
 * Thread: main.
 */
#ifndef CLI_WS_CLIENT_H
#define CLI_WS_CLIENT_H

#include "base/buf.h"
#include "base/problem.h"
#include "cli/http.h"

#define WS_MESSAGE_MAX ((size_t)256 << 20)

struct ws_client {
	struct http *http;
	struct buf in;      /* bytes not yet taken apart */
	struct buf message; /* fragments so far */
	bool in_message;
	uint64_t heard_ms;   /* when bytes came last */
	uint16_t close_code; /* of the server's close frame; 0: none came */
	char close_reason[124];
	struct problem why; /* of an end */
};

enum ws_end {
	WS_END_LOST,    /* connection gone, silent too long, or nonsense received; see why */
	WS_END_CLOSED,  /* a close frame came; see close_code */
	WS_END_STOPPED, /* on_text or the http's watch said so */
};

typedef bool ws_text_fn(void *arg, struct slice text);

void ws_client_init(struct ws_client *w, struct http *http);
void ws_client_fini(struct ws_client *w);
/* Connect and shake hands. ret_reply: HTTP_ANSWERED with status 101 when the WebSocket is open,
 * else why not; the caller ends it. */
void ws_client_open(struct ws_client *w, struct slice path, struct http_reply *ret_reply);
/* Read until the end, answering pings. stall_ms is h->stall_ms of http, which on_text may change.
 */
enum ws_end ws_client_run(struct ws_client *w, ws_text_fn *on_text, void *arg);
/* Say goodbye with a close frame (best effort). */
void ws_client_close(struct ws_client *w, uint16_t code);

#endif
