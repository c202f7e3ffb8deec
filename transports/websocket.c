/* SPDX-License-Identifier: MIT */
/*
 * websocket: sessions over WebSocket. The protocol itself is in net/ws.c, what clients can ask in
 * ws_commands.c; here are the handshake, hello, delivery, and the end.
 *
 * Back-pressure both ways: a client that does not read falls behind and is fed from history
 * (session.c); a client that sends faster than the log takes, or that does not read the replies to
 * what it sends, is not read from meanwhile.
 *
 * Where permessage-deflate was agreed on, what is shared goes compressed: messages and events, each
 * deflated once for all. Everything that is made for one connection alone (hello with its session's
 * secret, replies, what is sent again) goes as it is: no client can have the worker deflate by
 * asking, and no secret stands in one compressed text with what others wrote.
 */
#include "transports/websocket.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/pattern.h"
#include "base/xalloc.h"
#include "net/ws_deflate.h"
#include "transports/encode.h"
#include "transports/hello.h"
#include "transports/transport.h"

#define SUBPROTOCOL "holdfast.v1.json"

struct ws_start {
	struct gateway *gateway;
	struct subscribe_params params;
	struct visit visit;
};

static struct websocket *websocket_of(struct subscriber *sub)
{
	return container_of(session_of(sub), struct websocket, session);
}

void websocket_send_json(struct websocket *w, struct slice json)
{
	ws_send(&w->ws, WS_TEXT, json);
}

void websocket_send_fault(struct websocket *w, struct slice ref, enum fault_id id,
			  const char *message)
{
	struct buf b = {0};

	json_add_fault(&b, ref, id, message);
	websocket_send_json(w, buf_slice(&b));
	buf_fini(&b);
}

/* --- pending commands ------------------------------------------------------------------------ */

struct ws_pending *ws_pending_new(struct websocket *w, struct slice ref)
{
	struct ws_pending *p = xcalloc(1, sizeof(*p) + ref.n);

	p->socket = w;
	p->ref_n = ref.n;
	if (ref.n)
		memcpy(p->ref, ref.p, ref.n);
	LIST_INSERT_HEAD(&w->pending, p, link);
	w->pending_n++;
	return p;
}

void ws_pending_free(struct ws_pending *p)
{
	LIST_REMOVE(p, link);
	p->socket->pending_n--;
	if (p->fetch)
		p->socket->fetching--;
	free(p->text);
	free(p);
}

static void drop_pending(struct websocket *w)
{
	struct ws_pending *p;

	while ((p = LIST_FIRST(&w->pending)) != NULL) {
		if (p->append)
			p->append->owner = NULL;
		if (p->ack)
			p->ack->owner = NULL;
		if (p->fetch)
			fetch_cancel(p->fetch);
		ws_pending_free(p);
	}
}

/* --- back-pressure on what the client sends -------------------------------------------------- */

/* A page of history that is under way counts as if it were queued already. */
static bool is_behind(const struct websocket *w)
{
	const struct gateway_config *cfg = w->session.gateway->config;
	size_t expected = conn_out_bytes(ws_conn(&w->ws)) + w->fetching * cfg->poll_bytes;

	return w->pending_n >= cfg->pending_publishes ||
	       expected > cfg->out_queue_bytes + cfg->replay_window_bytes;
}

static void call_when_read(struct websocket *w)
{
	size_t mark = w->session.gateway->config->replay_window_bytes / 2;

	if (conn_out_bytes(ws_conn(&w->ws)) > mark)
		conn_call_on_drain(ws_conn(&w->ws), mark);
}

static void pause_if_behind(struct websocket *w)
{
	if (w->is_paused || !ws_is_open(&w->ws) || !is_behind(w))
		return;
	w->is_paused = true;
	ws_pause(&w->ws);
	call_when_read(w);
}

void websocket_resume_if_ready(struct websocket *w)
{
	if (!w->is_paused || !ws_is_open(&w->ws))
		return;
	if (is_behind(w)) {
		call_when_read(w); /* replies that came meanwhile; what is pending calls again */
		return;
	}
	w->is_paused = false;
	ws_resume(&w->ws);
}

/* --- subscriber_ops -------------------------------------------------------------------------- */

static void ws_opened(struct subscriber *sub, uint64_t cursor)
{
	struct websocket *w = websocket_of(sub);
	struct buf b = {0};

	json_add_hello(&b, &w->session, cursor);
	websocket_send_json(w, buf_slice(&b));
	buf_fini(&b);
}

static void ws_gap(struct subscriber *sub, const struct gap *g)
{
	struct buf b = {0};

	json_add_gap(&b, g, &sub->hub->epoch);
	websocket_send_json(websocket_of(sub), buf_slice(&b));
	buf_fini(&b);
}

static void send_members(struct session *session, struct slice json)
{
	websocket_send_json(container_of(session, struct websocket, session), json);
}

static void ws_live(struct subscriber *sub)
{
	session_tell_members(session_of(sub), send_members);
}

void websocket_tell_members(struct websocket *w)
{
	session_tell_members(&w->session, send_members);
}

/* A raw client has no envelope to be told of a gap with; what there is follows. */
static void ws_raw_gap(struct subscriber *sub, const struct gap *g)
{
	UNUSED(sub);
	UNUSED(g);
}

static void ws_failed(struct subscriber *sub, enum fault_id why)
{
	log_warn("history_read_failed", "transport=websocket code=%s", fault_code(why));
	ws_close(&websocket_of(sub)->ws, CLOSE_INTERNAL, 1011, "history can not be read");
}

static void send_goodbye(struct websocket *w, enum close_reason reason, uint64_t delay_ms)
{
	struct buf b = {0};

	if (w->is_raw)
		return;
	json_add_goodbye(&b, reason, delay_ms);
	websocket_send_json(w, buf_slice(&b));
	buf_fini(&b);
}

/* The channels are left when the connection is over: the fan-out stands on them. */
static void ws_too_slow(struct subscriber *sub)
{
	struct websocket *w = websocket_of(sub);
	const struct close_reason_info *info = close_reason_info(CLOSE_SLOW);

	send_goodbye(w, CLOSE_SLOW, 0);
	ws_close(&w->ws, CLOSE_SLOW, info->ws_code, info->text);
}

#define PLAIN(FORMAT)    .kind = KIND_WEBSOCKET, .format = FORMAT
#define DEFLATED(FORMAT) PLAIN(FORMAT##_DEFLATE), .pack = ws_deflate_pack
#define STREAM           .send = session_send_stream, .rewind = session_rewind_stream
#define JSON_OPS         .encode = encode_ws_json, .opened = ws_opened, .gap = ws_gap, .live = ws_live
#define RAW_OPS          .encode = encode_ws_raw, .gap = ws_raw_gap
#define ENDS             .failed = ws_failed

static const struct subscriber_ops json_subscriber[2] = {
	{PLAIN(FORMAT_WS_JSON), JSON_OPS, STREAM, ENDS, .too_slow = ws_too_slow},
	{DEFLATED(FORMAT_WS_JSON), JSON_OPS, STREAM, ENDS, .too_slow = ws_too_slow},
};

static const struct subscriber_ops raw_subscriber[2] = {
	{PLAIN(FORMAT_WS_RAW), RAW_OPS, STREAM, ENDS, .too_slow = ws_too_slow},
	{DEFLATED(FORMAT_WS_RAW), RAW_OPS, STREAM, ENDS, .too_slow = ws_too_slow},
};

#define DURABLE .send = durable_send, .rewind = durable_rewind

static const struct durable_ops json_durable[2] = {
	{.ops = {PLAIN(FORMAT_WS_JSON), JSON_OPS, DURABLE, ENDS},
	 .plain = &json_subscriber[false],
	 .encode_again = encode_ws_json_again},
	{.ops = {DEFLATED(FORMAT_WS_JSON), JSON_OPS, DURABLE, ENDS},
	 .plain = &json_subscriber[true],
	 .encode_again = encode_ws_json_again},
};

const struct durable_ops *websocket_durable(const struct websocket *w)
{
	return &json_durable[ws_deflates(&w->ws)];
}

/* --- session and connection ------------------------------------------------------------------ */

void websocket_close(struct websocket *w, enum close_reason reason, uint16_t code, const char *text)
{
	ws_close(&w->ws, reason, code, text);
	session_end(&w->session, reason);
}

static void ws_goodbye(struct session *session, enum close_reason reason, uint64_t delay_ms)
{
	struct websocket *w = container_of(session, struct websocket, session);
	const struct close_reason_info *info = close_reason_info(reason);

	send_goodbye(w, reason, delay_ms);
	websocket_close(w, reason, info->ws_code, info->text);
}

const struct session_ops websocket_session = {.goodbye = ws_goodbye};

static void on_message(struct ws *ws, enum ws_opcode opcode, struct slice payload)
{
	struct websocket *w = container_of(ws, struct websocket, ws);

	if (w->is_raw)
		ws_raw_publish(w, opcode == WS_BINARY, payload);
	else if (opcode == WS_TEXT)
		ws_command(w, payload);
	else
		websocket_send_fault(w, slice_str(""), FAULT_BAD_REQUEST,
				     "a binary frame; commands are JSON in text frames");
	pause_if_behind(w);
}

static void on_drain(struct ws *ws)
{
	struct websocket *w = container_of(ws, struct websocket, ws);

	subscriber_drained(&w->session.subscriber);
	websocket_tell_members(w);
	websocket_resume_if_ready(w);
}

static void on_heartbeat(struct ws *ws)
{
	struct websocket *w = container_of(ws, struct websocket, ws);

	count_inc(w->session.gateway->counters, COUNTER_HEARTBEATS);
}

static void websocket_free(void *arg)
{
	struct websocket *w = arg;

	pool_give(&w->session.gateway->websockets, w);
}

static void on_closed(struct ws *ws, enum close_reason reason)
{
	struct websocket *w = container_of(ws, struct websocket, ws);

	drop_pending(w);
	session_end(&w->session, reason);
	loop_free_later(w->session.gateway->loop, w, websocket_free);
}

static const struct ws_ops websocket_ops = {.on_message = on_message,
					    .on_drain = on_drain,
					    .on_heartbeat = on_heartbeat,
					    .on_closed = on_closed};

/* --- opening --------------------------------------------------------------------------------- */

static void start_free(struct ws_start *st)
{
	subscribe_params_fini(&st->params);
	visit_close(&st->visit);
	free(st);
}

static void on_abort(struct http_exchange *x)
{
	start_free(http_exchange_owner(x));
}

static void on_joined(struct subscriber *sub, void *arg, const struct fault *fault, uint64_t from)
{
	UNUSED(arg);
	UNUSED(from);
	if (fault)
		websocket_close(websocket_of(sub), CLOSE_OVERLOAD, 1013, fault->message);
}

static void subscribe_from_url(struct websocket *w, struct subscribe_params *p, struct fault *fault)
{
	if (p->channel_n == 0) {
		/* Nothing yet: hello tells where "now" is. */
		w->session.subscriber.is_opened = true;
		ws_opened(&w->session.subscriber, subscriber_position(&w->session.subscriber));
	} else if (session_subscribe(&w->session, p, w->is_admin, websocket_durable(w), on_joined,
				     fault) != 0) {
		websocket_close(w, CLOSE_REFUSED, 1008, fault->message);
	}
}

/* What the URL says is kept beside the request, which is gone once the WebSocket is accepted. */
struct url_copy {
	char *text; /* all names, since and subscriber, one after the other */
};

static struct url_copy copy_params(struct subscribe_params *p)
{
	size_t n = p->start.since.n + p->durable.name.n;

	for (size_t i = 0; i < p->channel_n; i++)
		n += p->channels[i].n;
	struct url_copy copy = {xmalloc(n + 1)};
	char *at = copy.text;
	for (size_t i = 0; i < p->channel_n; i++) {
		memcpy(at, p->channels[i].p, p->channels[i].n);
		p->channels[i].p = at;
		at += p->channels[i].n;
	}
	if (p->start.since.n)
		memcpy(at, p->start.since.p, p->start.since.n);
	p->start.since.p = at;
	at += p->start.since.n;
	if (p->durable.name.n)
		memcpy(at, p->durable.name.p, p->durable.name.n);
	if (p->durable.name.p)
		p->durable.name.p = at;
	return copy;
}

static const char *select_protocol(const struct http_request *r)
{
	return http_header_has_token(r, "Sec-WebSocket-Protocol", SUBPROTOCOL) ? SUBPROTOCOL : NULL;
}

static void on_ready(struct http_exchange *x)
{
	struct ws_start *st = http_exchange_owner(x);
	const struct http_request *r = http_exchange_request(x);
	struct gateway *g = st->gateway;
	struct websocket *w = pool_take(&g->websockets, sizeof(*w));
	struct fault fault;

	w->is_admin = r->is_admin;
	w->is_raw = st->params.is_raw;
	w->is_ephemeral = st->params.is_ephemeral;
	LIST_INIT(&w->pending);
	struct url_copy copy = copy_params(&st->params);
	const char *protocol = select_protocol(r);
	struct conn *c = http_exchange_conn(x);
	ws_accept(&w->ws, x, protocol, &g->config->ws, &websocket_ops);
	const struct subscriber_ops *ops = w->is_raw ? raw_subscriber : json_subscriber;
	session_start(&w->session, g, c, &st->visit, &ops[ws_deflates(&w->ws)]);
	subscribe_from_url(w, &st->params, &fault);
	if (g->is_draining)
		ws_goodbye(&w->session, CLOSE_DRAIN, 0);
	free(copy.text);
	start_free(st);
}

static bool origin_is_allowed(const struct gateway *g, const struct http_request *r)
{
	struct slice origin = http_header_get(r, "Origin");
	const char *list = g->config->ws_origins;

	if (!origin.n || strcmp(list, "*") == 0)
		return true;
	while (*list) {
		size_t n = strcspn(list, " ");

		if (n == origin.n && strncasecmp(list, origin.p, n) == 0)
			return true;
		list += n + (list[n] == ' ');
	}
	return false;
}

static int check(struct gateway *g, const struct http_request *r, const struct subscribe_params *p,
		 struct fault *fault)
{
	if (!origin_is_allowed(g, r))
		return fault_set(fault, FAULT_FORBIDDEN,
				 "this Origin may not connect (server.ws_origins)");
	if (p->is_raw && p->channel_n != 1)
		return fault_set(fault, p->channel_n ? FAULT_BAD_PARAMETER : FAULT_NO_CHANNEL,
				 "format=raw needs exactly one channel");
	if (p->is_raw && p->wants_members)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "presence=1 can not be told with format=raw");
	if (p->is_raw && p->durable.name.p)
		return fault_set(
			fault, FAULT_BAD_PARAMETER,
			"format=raw has no room for acknowledgements: leave subscriber out");
	if (p->is_raw && pattern_is(p->channels[0]))
		return fault_set(fault, FAULT_BAD_CHANNEL,
				 "format=raw needs a channel, not a pattern");
	return subscriber_check(g->hub, NULL, p->channels, p->channel_n, r->is_admin, fault);
}

static int visit(struct ws_start *st, struct fault *fault)
{
	const struct subscribe_params *p = &st->params;
	struct gateway *g = st->gateway;

	visit_open(&st->visit, g, p->session, false);
	visit_introduce(&st->visit, g, p->info, p->wants_members);
	return visit_attend(&st->visit, g, p->channels, p->channel_n, fault);
}

static void websocket_open(struct gateway *g, struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	struct fault fault;

	if (ws_check_handshake(x) != 0)
		return;
	struct ws_start *st = xcalloc(1, sizeof(*st));
	st->gateway = g;
	int rc = subscribe_params_parse(r, g->config, true, &st->params, &fault);
	if (rc == 0)
		rc = check(g, r, &st->params, &fault);
	if (rc == 0)
		rc = visit(st, &fault);
	if (rc) {
		http_respond_fault(x, fault.id, "", "%s", fault.message);
		start_free(st);
		return;
	}
	http_exchange_set(x, st, on_abort);
	http_take_over(x, on_ready);
}

static bool websocket_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/v1/ws") ||
	       (slice_eq_str(r->path, "/v1/subscribe") &&
		http_header_has_token(r, "Upgrade", "websocket"));
}

const struct transport_ops websocket_transport = {
	.name = "websocket",
	.methods = METHOD_BIT(HTTP_GET_),
	.is_subscribing = true,
	.match = websocket_match,
	.open = websocket_open,
};
