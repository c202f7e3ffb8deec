/* SPDX-License-Identifier: MIT */
/*
 * ws: the server side of one WebSocket connection (RFC 6455): handshake, fragments, control frames,
 * UTF-8, close handshake, heartbeat. Knows nothing of channels or JSON.
 *
 *   OPEN ──ws_close──▶ CLOSING (close frame sent; waits for the peer's)
 *     │                     └──peer's close frame──▶ TCP is closed, by us first
 *     └──peer's close frame──▶ answered with the same code, then the same
 *
 * Thread: the owner loop's.
 */
#ifndef NET_WS_H
#define NET_WS_H

#include "net/conn.h"
#include "net/http.h"
#include "net/ws_frame.h"

struct ws;
struct ws_partial; /* a message that has not come whole */

struct ws_config {
	size_t message_max;       /* bytes of one message, all fragments: close 1009 */
	unsigned fragments_max;   /* fragments of one message: close 1009 */
	uint64_t heartbeat_ms;    /* a ping after so long; 0: none */
	uint64_t pong_timeout_ms; /* no byte from the peer for so long after a ping: PONG_TIMEOUT */
	uint64_t close_timeout_ms; /* the peer does not answer our close frame for so long */
	struct deflater *deflater; /* permessage-deflate is taken when it is offered; NULL: never */
};

struct ws_ops {
	/* A whole message; valid UTF-8 when opcode is WS_TEXT. payload is valid during the call.
	 * The callee may close. */
	void (*on_message)(struct ws *w, enum ws_opcode opcode, struct slice payload);
	/* As conn_ops.on_drain. May also come unasked: look at conn_out_bytes(). May be NULL. */
	void (*on_drain)(struct ws *w);
	/* A heartbeat has just been sent as a ping frame (nothing to do; counting). May be NULL. */
	void (*on_heartbeat)(struct ws *w);
	/* Over, called once. The owner keeps w to the end of the turn. */
	void (*on_closed)(struct ws *w, enum close_reason reason);
};

/* Embedded by its owner. Private. */
struct ws {
	unsigned magic;
	uint8_t state;
	uint8_t close_reason; /* of ws_close() */
	uint8_t opcode;       /* of the message being assembled; WS_CONTINUATION: none is */
	bool fin : 1;         /* the frame being taken is its message's last */
	bool paused : 1;
	bool resting : 1;      /* until the timer fires: it had much inflated */
	bool deflates : 1;     /* permessage-deflate was agreed on */
	bool compressed : 1;   /* the message being assembled is */
	bool ping_pending : 1; /* nobody has looked yet whether a byte came since our ping */
	/* at our ping, the low halves: of conn's in_total, and of its out_total once it has left */
	uint32_t ping_in_total, ping_out_total;
	struct ws_partial *partial; /* what most messages do without; NULL: none, or skipped */
	struct frame *pong;         /* waits for the out queue to drain */
	struct conn *conn;
	const struct ws_config *cfg;
	const struct ws_ops *ops;
	struct loop_timer timer; /* OPEN: next ping or missing pong; CLOSING: missing close frame */
};

/* Check the handshake request (RFC 6455 4.2.1) and answer it with a fault if it is not one: 405,
 * 400, or 426 with Sec-WebSocket-Version: 13. Return 0 when it is good; otherwise x has been
 * answered and is gone. */
int ws_check_handshake(struct http_exchange *x);
/* Inside http_take_over's ready: send 101 and speak WebSocket. protocol: the subprotocol to select,
 * or NULL. Whether messages may be compressed is agreed on here: ws_deflates(). */
void ws_accept(struct ws *w, struct http_exchange *x, const char *protocol,
	       const struct ws_config *cfg, const struct ws_ops *ops);

/* Speak WebSocket on a connection whose handshake is behind it. cfg is shared and outlives it. */
void ws_init(struct ws *w, struct conn *c, const struct ws_config *cfg, const struct ws_ops *ops);
/* permessage-deflate was agreed on: conn_send() may be given compressed frames (ws_deflate.h), and
 * the peer may send such. For handshakes that are behind the connection. */
void ws_set_deflates(struct ws *w);
bool ws_deflates(const struct ws *w);

struct conn *ws_conn(const struct ws *w); /* for conn_send of ready frames, out_bytes, drain */
/* Make a frame (unshared) and queue it. */
void ws_send(struct ws *w, enum ws_opcode opcode, struct slice payload);
/* A frame holding a whole unmasked WebSocket frame around payload, ready for conn_send and for
 * sharing. */
struct frame *ws_frame_make(enum ws_opcode opcode, struct slice payload);
/* Start the close handshake with this code and text (≤ 123 bytes), for this reason. Messages that
 * come later are ignored. A code that may not travel (0, 1005, 1006 …) gives a close frame without
 * code and text. */
void ws_close(struct ws *w, enum close_reason reason, uint16_t code, const char *text);
bool ws_is_open(const struct ws *w);
/* Do not give more messages to on_message until ws_resume (back-pressure on what the client sends).
 */
void ws_pause(struct ws *w);
void ws_resume(struct ws *w);

#endif
