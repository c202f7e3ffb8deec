/* SPDX-License-Identifier: MIT */
/*
 * ws.c: one WebSocket connection, from the 101 to the last FIN.
 *
 *   state      entered by                  what input does
 *   OPEN       ws_init                     frames are judged, messages handed over
 *   CLOSING    ws_close: our close         frames are judged, payloads skipped, until the
 *              frame is out                peer's close frame or close_timeout_ms
 *   FINISHING  both close frames are out,  nothing: conn empties its queue, sends FIN before
 *              or a rule was broken        the peer does (RFC 6455 7.1.1), and calls back
 *   CLOSED     on_closed of conn           nothing: the owner frees it at the end of the turn
 *
 * DESIGN. Input is a sequence of pieces. A head (with the whole payload, for control frames) is
 * taken when it is complete; a data payload is taken as it comes. So a long message never sits in
 * the connection's input buffer, its bytes are looked at once, and a bad UTF-8 byte or a size
 * beyond the limits ends the connection at that byte or head and not at the end of the message. A
 * data frame that is a message of its own and has come whole, which is nearly every frame there is,
 * skips the assembly: it is unmasked into a scratch page of the thread and handed over from there.
 * So an idle WebSocket owns its struct and nothing else. A compressed message is assembled as it
 * is, and inflated when it has come whole, into a buffer that is bounded like any message: what it
 * claims to be costs nothing, and no window is kept for the next one.
 *
 * Callbacks may close the connection or pause it. Therefore a message being handed over belongs to
 * the function that hands it over, not to the struct, and the state is looked at again behind every
 * callback.
 */
#include "net/ws.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/obj.h"
#include "base/utf8.h"
#include "base/xalloc.h"
#include "net/ws_deflate.h"

#define WS_MAGIC 0x57534f43u

#define CONTROL_MAX    125 /* RFC 6455 5.5 */
#define CLOSE_TEXT_MAX (CONTROL_MAX - 2)
#define SCRATCH_SIZE   ((size_t)16 << 10)
/* With so much waiting to leave, pongs wait too, and only the newest (RFC 6455 5.5.3). A peer that
 * sends pings and reads nothing costs this and one frame. */
#define PONG_MARK ((size_t)16 << 10)
/* What one connection may have inflated in a row, before others have their turn: few bytes on the
 * wire can be many messages of the largest size. */
#define INFLATED_IN_A_ROW ((size_t)1 << 20)

enum ws_state { STATE_OPEN, STATE_CLOSING, STATE_FINISHING, STATE_CLOSED };

struct ws_partial {
	uint64_t left; /* payload bytes of the frame being taken that are still to come */
	uint8_t mask[4];
	uint8_t mask_at; /* which byte of the mask comes next */
	struct utf8_state utf8;
	uint32_t fragments;
	struct buf bytes; /* what has been assembled */
};

static_assert(sizeof(struct ws) <= 88, "idle WebSockets are many");

static _Thread_local char scratch[SCRATCH_SIZE];
static _Thread_local size_t inflated_n; /* in this call of on_input */

static struct loop *loop_of(const struct ws *w)
{
	return w->conn->env->loop;
}

/* --- out ------------------------------------------------------------------------------------- */

struct frame *ws_frame_make(enum ws_opcode opcode, struct slice payload)
{
	uint8_t head[WS_HEAD_MAX];
	size_t head_n = ws_head_encode(head, opcode, true, payload.n);
	struct frame *f = frame_new(head_n + payload.n);

	memcpy(f->bytes, head, head_n);
	if (payload.n > 0)
		memcpy(f->bytes + head_n, payload.p, payload.n);
	return f;
}

/* Takes the frame. */
static void send_take(struct ws *w, struct frame *f)
{
	conn_send(w->conn, f);
	frame_unref(f);
}

void ws_send(struct ws *w, enum ws_opcode opcode, struct slice payload)
{
	if (w->state == STATE_OPEN)
		send_take(w, ws_frame_make(opcode, payload));
}

/* Bytes of text that fit a close frame, whole characters only. */
static size_t close_text_n(const char *text)
{
	size_t n = strlen(text);

	if (n <= CLOSE_TEXT_MAX)
		return n;
	n = CLOSE_TEXT_MAX;
	while (n > 0 && ((uint8_t)text[n] & 0xc0) == 0x80)
		n--;
	return n;
}

/* A code that must not travel (1005, 1006 …) gives a close frame without one. */
static void send_close(struct ws *w, uint16_t code, const char *text)
{
	char payload[CONTROL_MAX];
	size_t n = 0;

	if (ws_close_code_is_valid(code)) {
		payload[0] = (char)(code >> 8);
		payload[1] = (char)code;
		n = close_text_n(text);
		memcpy(payload + 2, text, n);
		n += 2;
	}
	send_take(w, ws_frame_make(WS_CLOSE, slice_make(payload, n)));
}

/* --- ends ------------------------------------------------------------------------------------ */

static void partial_free(struct ws_partial *p)
{
	if (!p)
		return;
	buf_fini(&p->bytes);
	free(p);
}

/* Nothing more will be handed over or answered. */
static void let_go(struct ws *w)
{
	if (w->partial)
		buf_fini(&w->partial->bytes);
	w->pong = frame_unref(w->pong);
}

/* Both close frames have been sent, or ours is the last word. */
static void finish(struct ws *w, enum close_reason reason)
{
	w->state = STATE_FINISHING;
	let_go(w);
	loop_timer_clear(loop_of(w), &w->timer);
	conn_finish(w->conn, reason);
}

/* The peer broke a rule: tell it which, and listen no more (RFC 6455 7.1.7). */
static void fail(struct ws *w, enum close_reason reason, const char *text)
{
	if (w->state == STATE_OPEN)
		send_close(w, close_reason_info(reason)->ws_code, text);
	else
		reason = w->close_reason;
	finish(w, reason);
}

/* Others have their turn; the timer, which listens for nothing meanwhile, ends it. */
static void rest(struct ws *w)
{
	w->resting = true;
	conn_pause(w->conn, false);
	loop_timer_set(loop_of(w), &w->timer, 0);
}

/* Leaves the timer to the caller. */
static void end_rest(struct ws *w)
{
	if (!w->resting)
		return;
	w->resting = false;
	w->ping_pending = false; /* it was us who did not listen */
	if (!w->paused)
		conn_resume(w->conn);
}

void ws_close(struct ws *w, enum close_reason reason, uint16_t code, const char *text)
{
	CHECK_OBJ(w, WS_MAGIC);
	if (w->state != STATE_OPEN)
		return;
	send_close(w, code, text);
	w->state = STATE_CLOSING;
	w->close_reason = reason;
	let_go(w);
	loop_timer_set(loop_of(w), &w->timer, w->cfg->close_timeout_ms);
	end_rest(w);
	ws_resume(w); /* the answer has to be read */
}

static void on_closed(struct conn *c, enum close_reason reason)
{
	struct ws *w = c->owner;

	CHECK_OBJ(w, WS_MAGIC);
	assert(w->state != STATE_CLOSED);
	w->state = STATE_CLOSED;
	let_go(w);
	partial_free(w->partial);
	w->partial = NULL;
	loop_timer_clear(loop_of(w), &w->timer);
	w->ops->on_closed(w, reason);
}

static void on_eof(struct conn *c)
{
	struct ws *w = c->owner;

	CHECK_OBJ(w, WS_MAGIC);
	if (w->state == STATE_OPEN)
		conn_close(c, CLOSE_CLIENT_GONE);
	else if (w->state == STATE_CLOSING) /* without a close frame, but gone as it was told to */
		conn_close(c, w->close_reason);
}

/* --- control frames -------------------------------------------------------------------------- */

static void answer_ping(struct ws *w, struct slice payload)
{
	struct frame *pong = ws_frame_make(WS_PONG, payload);

	if (conn_out_bytes(w->conn) <= PONG_MARK) {
		send_take(w, pong);
		return;
	}
	frame_unref(w->pong);
	w->pong = pong;
	/* The owner may be waiting for its own mark; then ours can wait as long. */
	if (!w->conn->want_drain)
		conn_call_on_drain(w->conn, PONG_MARK);
}

static void on_drain(struct conn *c)
{
	struct ws *w = c->owner;

	CHECK_OBJ(w, WS_MAGIC);
	if (w->pong) {
		send_take(w, w->pong);
		w->pong = NULL;
	}
	if (w->ops->on_drain && w->state == STATE_OPEN)
		w->ops->on_drain(w);
}

/* RFC 6455 5.5.1, 7.4. */
static void take_close(struct ws *w, struct slice payload)
{
	const uint8_t *p = (const uint8_t *)payload.p;
	uint16_t code = payload.n >= 2 ? (uint16_t)(p[0] << 8 | p[1]) : 0;

	if (payload.n == 1 || (payload.n > 1 && !ws_close_code_is_valid(code))) {
		fail(w, CLOSE_PROTOCOL, "this close code may not be sent");
	} else if (payload.n > 2 && !utf8_is_valid(p + 2, payload.n - 2)) {
		fail(w, CLOSE_BAD_DATA, "close reason is not UTF-8");
	} else if (w->state == STATE_OPEN) {
		send_close(w, code, "");
		finish(w, code == 1001 ? CLOSE_CLIENT_GONE : CLOSE_NORMAL);
	} else {
		finish(w, w->close_reason);
	}
}

/* A control frame is taken whole. */
static size_t take_control(struct ws *w, const struct ws_head *h, struct slice in)
{
	char payload[CONTROL_MAX];
	size_t n = (size_t)h->payload_n;

	if (in.n < h->head_n + n)
		return 0;
	memcpy(payload, in.p + h->head_n, n);
	ws_mask(payload, n, h->mask, 0);
	if (h->opcode == WS_CLOSE)
		take_close(w, slice_make(payload, n));
	else if (h->opcode == WS_PING && w->state == STATE_OPEN)
		answer_ping(w, slice_make(payload, n));
	/* A pong, asked for or not, has said all by coming (RFC 6455 5.5.3). */
	return h->head_n + n;
}

/* --- data frames ----------------------------------------------------------------------------- */

/* A compressed message has come whole. Its own words are checked when they are known. */
static void inflate_message(struct ws *w, enum ws_opcode opcode, struct slice payload)
{
	struct buf message;

	buf_init(&message, w->cfg->message_max);
	int rc = deflater_inflate(w->cfg->deflater, payload, &message);
	inflated_n += message.n;
	if (rc == -EMSGSIZE)
		fail(w, CLOSE_TOO_BIG, "message too big");
	else if (rc)
		fail(w, CLOSE_BAD_DATA, "a compressed message is no deflate data");
	else if (opcode == WS_TEXT && !utf8_is_valid(buf_slice(&message).p, message.n))
		fail(w, CLOSE_BAD_DATA, "text is not UTF-8");
	else
		w->ops->on_message(w, opcode, buf_slice(&message));
	buf_fini(&message);
}

static void end_message(struct ws *w, struct ws_partial *p, enum ws_opcode opcode)
{
	if (opcode == WS_TEXT && !w->compressed && !utf8_is_complete(&p->utf8))
		fail(w, CLOSE_BAD_DATA, "text is not UTF-8");
	else if (w->compressed)
		inflate_message(w, opcode, buf_slice(&p->bytes));
	else
		w->ops->on_message(w, opcode, buf_slice(&p->bytes));
}

/* A frame has been taken to its end. */
static void end_frame(struct ws *w)
{
	struct ws_partial *p = w->partial;
	enum ws_opcode opcode = w->opcode;

	if (!w->fin)
		return;
	/* The callee may close: what it reads must not go with the connection. */
	w->partial = NULL;
	w->opcode = WS_CONTINUATION;
	if (w->state == STATE_OPEN)
		end_message(w, p, opcode);
	partial_free(p);
}

/* Take what has come of the payload. The limits were checked when the head came. */
static size_t take_payload(struct ws *w, struct slice in)
{
	struct ws_partial *p = w->partial;
	size_t n = in.n < p->left ? in.n : (size_t)p->left, at = p->bytes.n;

	p->left -= n;
	if (w->state == STATE_OPEN) {
		if (buf_add(&p->bytes, in.p, n) < 0) {
			fail(w, CLOSE_TOO_BIG, "message too big");
			return n;
		}
		ws_mask(p->bytes.p + at, n, p->mask, p->mask_at);
		p->mask_at = (uint8_t)((p->mask_at + n) % 4);
		if (w->opcode == WS_TEXT && !w->compressed &&
		    !utf8_feed(&p->utf8, p->bytes.p + at, n)) {
			fail(w, CLOSE_BAD_DATA, "text is not UTF-8");
			return n;
		}
	}
	if (p->left == 0)
		end_frame(w);
	return n;
}

/* A whole message in one frame, and all of it is here. */
static size_t take_whole(struct ws *w, const struct ws_head *h, struct slice in)
{
	size_t n = (size_t)h->payload_n;

	memcpy(scratch, in.p + h->head_n, n);
	ws_mask(scratch, n, h->mask, 0);
	if (h->rsv & WS_RSV1)
		inflate_message(w, h->opcode, slice_make(scratch, n));
	else if (h->opcode == WS_TEXT && !utf8_is_valid(scratch, n))
		fail(w, CLOSE_BAD_DATA, "text is not UTF-8");
	else
		w->ops->on_message(w, h->opcode, slice_make(scratch, n));
	return h->head_n + n;
}

/* Bytes of a message on the wire. */
static size_t payload_max(const struct ws *w, const struct ws_head *h)
{
	bool is_compressed = h->opcode == WS_CONTINUATION ? w->compressed : h->rsv & WS_RSV1;

	return is_compressed ? ws_deflate_payload_max(w->cfg->message_max) : w->cfg->message_max;
}

/* Begin a message, or go on with it, with this frame. False: it has too many. */
static bool begin_frame(struct ws *w, const struct ws_head *h, size_t max)
{
	if (!w->partial)
		w->partial = xcalloc(1, sizeof(*w->partial));
	struct ws_partial *p = w->partial;
	if (h->opcode != WS_CONTINUATION) {
		w->opcode = h->opcode;
		w->compressed = h->rsv & WS_RSV1;
		p->fragments = 0;
		p->utf8 = UTF8_START;
		buf_fini(&p->bytes);
		buf_init(&p->bytes, max);
	}
	w->fin = h->fin;
	p->left = h->payload_n;
	p->mask_at = 0;
	memcpy(p->mask, h->mask, 4);
	return ++p->fragments <= w->cfg->fragments_max;
}

static size_t take_data(struct ws *w, const struct ws_head *h, struct slice in)
{
	size_t max = payload_max(w, h), had = w->partial ? w->partial->bytes.n : 0;

	if (w->state == STATE_OPEN) {
		if (h->payload_n > max - had) {
			fail(w, CLOSE_TOO_BIG, "message too big");
			return in.n;
		}
		if (h->fin && h->opcode != WS_CONTINUATION && h->payload_n <= SCRATCH_SIZE &&
		    h->payload_n <= in.n - h->head_n)
			return take_whole(w, h, in);
	}
	if (!begin_frame(w, h, max) && w->state == STATE_OPEN) {
		fail(w, CLOSE_TOO_BIG, "too many fragments");
		return in.n;
	}
	if (w->partial->left == 0)
		end_frame(w);
	return h->head_n;
}

/* --- in -------------------------------------------------------------------------------------- */

/* What is wrong with a frame that begins like this, here and now? NULL: nothing. */
static const char *judge(const struct ws *w, const struct ws_head *h)
{
	bool is_control = h->opcode & 8, in_message = w->opcode != WS_CONTINUATION;
	/* RFC 7692 6.1: of the first frame of a message only */
	bool may_be_compressed = w->deflates && !is_control && h->opcode != WS_CONTINUATION;

	if (h->rsv && !(h->rsv == WS_RSV1 && may_be_compressed))
		return "reserved bits are set"; /* RFC 6455 5.2: no extension was agreed on */
	if (!h->masked)
		return "client frames must be masked"; /* 5.1 */
	if (is_control) {
		if (h->opcode > WS_PONG)
			return "reserved opcode";
		if (!h->fin || h->payload_n > CONTROL_MAX)
			return "control frames are short and whole"; /* 5.5 */
		return NULL;
	}
	if (h->opcode > WS_BINARY)
		return "reserved opcode";
	if (h->opcode == WS_CONTINUATION && !in_message)
		return "nothing to continue"; /* 5.4 */
	if (h->opcode != WS_CONTINUATION && in_message)
		return "last message is unfinished"; /* 5.4 */
	return NULL;
}

/* At the beginning of a frame. Return the bytes taken; 0: more are needed. */
static size_t take_frame(struct ws *w, struct slice in)
{
	struct ws_head h;
	const char *wrong;

	switch (ws_head_decode(in, &h)) {
	case WS_MORE:
		return 0;
	case WS_BAD:
		wrong = "bad frame length";
		break;
	default:
		wrong = judge(w, &h);
	}
	if (wrong) {
		fail(w, CLOSE_PROTOCOL, wrong);
		return in.n;
	}
	return h.opcode & 8 ? take_control(w, &h, in) : take_data(w, &h, in);
}

static size_t on_input(struct conn *c, struct slice bytes)
{
	struct ws *w = c->owner;
	size_t used = 0;

	CHECK_OBJ(w, WS_MAGIC);
	inflated_n = 0;
	while (used < bytes.n && w->state <= STATE_CLOSING && !w->paused && !w->resting) {
		struct slice in = slice_skip(bytes, used);
		size_t n = w->partial && w->partial->left > 0 ? take_payload(w, in)
							      : take_frame(w, in);
		if (n == 0)
			break;
		used += n;
		if (inflated_n >= INFLATED_IN_A_ROW && w->state == STATE_OPEN)
			rest(w);
	}
	return w->state <= STATE_CLOSING ? used : bytes.n;
}

static const struct conn_ops ws_conn_ops = {
	.on_input = on_input,
	.on_eof = on_eof,
	.on_drain = on_drain,
	.on_closed = on_closed,
};

void ws_pause(struct ws *w)
{
	CHECK_OBJ(w, WS_MAGIC);
	if (w->state != STATE_OPEN || w->paused)
		return;
	w->paused = true;
	/* No watch for FIN: what the peer sent before it counts, and is read on resuming. */
	conn_pause(w->conn, false);
}

void ws_resume(struct ws *w)
{
	CHECK_OBJ(w, WS_MAGIC);
	if (w->paused) {
		w->paused = false;
		w->ping_pending = false; /* it was us who did not listen */
		if (!w->resting)
			conn_resume(w->conn); /* which offers again what it kept */
	}
}

/* --- time ------------------------------------------------------------------------------------ */

static void arm_heartbeat(struct ws *w)
{
	if (w->cfg->heartbeat_ms > 0)
		loop_timer_set(loop_of(w), &w->timer, w->cfg->heartbeat_ms);
}

static void wake_up(struct ws *w)
{
	end_rest(w);
	arm_heartbeat(w);
}

static void send_ping(struct ws *w)
{
	ws_send(w, WS_PING, SLICE(""));
	w->ping_out_total = (uint32_t)(w->conn->out_total + conn_out_bytes(w->conn));
	w->ping_in_total = (uint32_t)w->conn->in_total;
	w->ping_pending = w->cfg->pong_timeout_ms > 0;
	if (w->ping_pending)
		loop_timer_set(loop_of(w), &w->timer, w->cfg->pong_timeout_ms);
	else
		arm_heartbeat(w);
	if (w->ops->on_heartbeat)
		w->ops->on_heartbeat(w);
}

/* A ping that waits behind other bytes asks nothing yet: a peer that takes them slowly is slow, not
 * dead (one that takes nothing meets conn's write timeout). Dropped frames may have shortened the
 * queue. */
static bool ping_has_left(const struct ws *w)
{
	return conn_out_bytes(w->conn) == 0 ||
	       (int32_t)((uint32_t)w->conn->out_total - w->ping_out_total) >= 0;
}

/* pong_timeout_ms after a ping. Any byte since then was a sign of life, whatever it said;
 * connections that talk all the time pay nothing for that. */
static void look_for_life(struct ws *w)
{
	uint64_t heartbeat_ms = w->cfg->heartbeat_ms, waited_ms = w->cfg->pong_timeout_ms;

	if ((uint32_t)w->conn->in_total != w->ping_in_total) {
		w->ping_pending = false;
		loop_timer_set(loop_of(w), &w->timer,
			       heartbeat_ms > waited_ms ? heartbeat_ms - waited_ms : 0);
	} else if (!ping_has_left(w)) {
		loop_timer_set(loop_of(w), &w->timer, waited_ms);
	} else {
		conn_close(w->conn, CLOSE_PONG_TIMEOUT);
	}
}

static void on_timer(struct loop_timer *t)
{
	struct ws *w = container_of(t, struct ws, timer);

	CHECK_OBJ(w, WS_MAGIC);
	if (w->state == STATE_CLOSING)
		conn_close(w->conn, w->close_reason);
	else if (w->resting)
		wake_up(w);
	else if (w->paused) /* we would not hear the pong */
		arm_heartbeat(w);
	else if (w->ping_pending)
		look_for_life(w);
	else
		send_ping(w);
}

/* --- beginning ------------------------------------------------------------------------------- */

/* What keeps this request from being a handshake (RFC 6455 4.2.1)? NULL: nothing. */
static const char *handshake_flaw(const struct http_request *r)
{
	if (r->minor != 1)
		return "A WebSocket handshake needs HTTP/1.1.";
	if (!http_header_has_token(r, "Upgrade", "websocket"))
		return "The Upgrade header of a WebSocket handshake says websocket.";
	if (!http_header_has_token(r, "Connection", "upgrade"))
		return "The Connection header of a WebSocket handshake says Upgrade.";
	if (http_header_count(r, "Sec-WebSocket-Key") != 1 ||
	    !ws_key_is_valid(http_header_get(r, "Sec-WebSocket-Key")))
		return "A WebSocket handshake has one Sec-WebSocket-Key: 16 bytes in base64.";
	if (r->body.n > 0)
		return "A WebSocket handshake has no body.";
	return NULL;
}

int ws_check_handshake(struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	const char *flaw;

	if (r->method != HTTP_GET_) {
		http_respond_fault(x, FAULT_METHOD_NOT_ALLOWED, "Allow: GET\r\n",
				   "A WebSocket is opened with GET.");
		return -EINVAL;
	}
	if (http_header_count(r, "Upgrade") == 0) {
		http_respond_fault(
			x, FAULT_UPGRADE_REQUIRED, "Upgrade: websocket\r\nConnection: Upgrade\r\n",
			"Connect with a WebSocket client (ws:// or wss://). If you did, a "
			"proxy on the way removed the Upgrade header: let it pass, or use "
			"another transport.");
		return -EINVAL;
	}
	/* Before the key: other versions may have another kind of key. */
	if (http_header_count(r, "Sec-WebSocket-Version") != 1 ||
	    !slice_eq_str(http_header_get(r, "Sec-WebSocket-Version"), "13")) {
		http_respond_fault(x, FAULT_UPGRADE_REQUIRED,
				   "Upgrade: websocket\r\nConnection: Upgrade\r\n"
				   "Sec-WebSocket-Version: 13\r\n",
				   "The Sec-WebSocket-Version spoken here is 13.");
		return -EINVAL;
	}
	flaw = handshake_flaw(r);
	if (flaw) {
		http_respond_fault(x, FAULT_BAD_HANDSHAKE, "", "%s", flaw);
		return -EINVAL;
	}
	return 0;
}

void ws_init(struct ws *w, struct conn *c, const struct ws_config *cfg, const struct ws_ops *ops)
{
	*w = (struct ws){.magic = WS_MAGIC, .conn = c, .cfg = cfg, .ops = ops};
	loop_timer_init(&w->timer, on_timer);
	conn_set_owner(c, &ws_conn_ops, w);
	arm_heartbeat(w);
}

void ws_accept(struct ws *w, struct http_exchange *x, const char *protocol,
	       const struct ws_config *cfg, const struct ws_ops *ops)
{
	const struct http_request *r = http_exchange_request(x);
	char key[29], extension[WS_DEFLATE_ANSWER_MAX];
	struct buf head;

	bool deflates =
		cfg->deflater &&
		ws_deflate_negotiate(r, deflater_config(cfg->deflater)->window_bits, extension);
	ws_accept_key(http_header_get(r, "Sec-WebSocket-Key"), key);
	buf_init(&head, 0);
	http_head_begin(&head, x, 101, "Upgrade");
	buf_addf(&head, "Upgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n", key);
	if (protocol)
		buf_addf(&head, "Sec-WebSocket-Protocol: %s\r\n", protocol);
	if (deflates)
		buf_addf(&head, "Sec-WebSocket-Extensions: %s\r\n", extension);
	buf_add_str(&head, "\r\n");
	struct conn *c = http_detach(x, buf_slice(&head));
	buf_fini(&head);
	ws_init(w, c, cfg, ops);
	if (deflates)
		ws_set_deflates(w);
}

void ws_set_deflates(struct ws *w)
{
	CHECK_OBJ(w, WS_MAGIC);
	assert(w->cfg->deflater);
	w->deflates = true;
	count_inc(w->conn->env->counters, COUNTER_WS_DEFLATE);
}

bool ws_deflates(const struct ws *w)
{
	return w->deflates;
}

struct conn *ws_conn(const struct ws *w)
{
	return w->conn;
}

bool ws_is_open(const struct ws *w)
{
	return w->state == STATE_OPEN && conn_is_open(w->conn);
}
