/* SPDX-License-Identifier: MIT */
/*
 * sse: Server-Sent Events (WHATWG HTML, section 9.2). A subscription is a GET whose answer never
 * ends: first `retry:` and hello, then messages with their ids, a heartbeat when nothing else was
 * sent for a while, goodbye at the end. Frames are chunks of the chunked coding, so that all
 * HTTP/1.1 sessions share them; an HTTP/1.0 client gets the content of the chunks.
 *
 * life: sse_open (checks; waits for its turn on the connection) → on_ready (stream) → on_closed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "transports/encode.h"
#include "transports/hello.h"
#include "transports/params.h"
#include "transports/session.h"
#include "transports/transport.h"

/* The client that asked for it gets an event as soon as the stream has been quiet for so long, then
 * four times as long, and so on: what waits on the way for more bytes, or for the end, is told by
 * its absence. Only what comes alone tells: messages behind it would push it out of a buffer. */
#define PROBE_MS 100
#define PROBES   3

struct sse {
	struct session session;
	struct loop_timer heartbeat;
	uint64_t active_ms; /* when something was last sent */
	bool is_plain;      /* HTTP/1.0: no chunks */
	bool is_admin;
	uint8_t probes; /* that are still to be sent */
};

/* Until the stream begins. */
struct sse_start {
	struct gateway *gateway;
	struct subscribe_params params;
	struct visit visit;
	bool wants_probe;
};

static struct sse *sse_of(struct subscriber *sub)
{
	return container_of(session_of(sub), struct sse, session);
}

static void send_chunk(struct sse *s, struct frame *chunk)
{
	if (s->is_plain)
		conn_send_bytes(s->session.conn, sse_chunk_content(chunk));
	else
		conn_send(s->session.conn, chunk);
	s->active_ms = loop_now_ms(s->session.gateway->loop);
	frame_unref(chunk);
}

/* --- subscriber_ops -------------------------------------------------------------------------- */

static int sse_send(struct subscriber *sub, struct frame *f)
{
	struct sse *s = sse_of(sub);
	int rc;

	s->active_ms = loop_now_ms(s->session.gateway->loop);
	if (!s->is_plain)
		return session_send_stream(sub, f);
	struct frame *plain = frame_copy(sse_chunk_content(f));
	plain->seq = f->seq;
	plain->is_message = f->is_message;
	rc = session_send_stream(sub, plain);
	frame_unref(plain);
	return rc;
}

static void sse_opened(struct subscriber *sub, uint64_t cursor)
{
	struct sse *s = sse_of(sub);
	struct buf b = {0};

	buf_addf(&b, "retry: %llu\n\n",
		 (unsigned long long)s->session.gateway->config->sse_retry_ms);
	send_chunk(s, sse_chunk(buf_slice(&b)));
	buf_clear(&b);
	json_add_hello(&b, &s->session, cursor);
	send_chunk(s, sse_event("hello", buf_slice(&b)));
	buf_fini(&b);
}

static void sse_gap(struct subscriber *sub, const struct gap *g)
{
	struct buf b = {0};

	json_add_gap(&b, g, &sub->hub->epoch);
	send_chunk(sse_of(sub), sse_event("gap", buf_slice(&b)));
	buf_fini(&b);
}

static void send_members(struct session *session, struct slice json)
{
	send_chunk(container_of(session, struct sse, session), sse_event("presence", json));
}

static void sse_live(struct subscriber *sub)
{
	session_tell_members(session_of(sub), send_members);
}

static void end(struct sse *s, enum close_reason reason, uint64_t delay_ms)
{
	struct buf b = {0};

	buf_addf(&b, "retry: %llu\n\n",
		 (unsigned long long)(delay_ms ? delay_ms
					       : s->session.gateway->config->sse_retry_ms));
	send_chunk(s, sse_chunk(buf_slice(&b)));
	buf_clear(&b);
	json_add_goodbye(&b, reason, delay_ms);
	send_chunk(s, sse_event("goodbye", buf_slice(&b)));
	buf_fini(&b);
	if (!s->is_plain)
		conn_send_bytes(s->session.conn, SLICE("0\r\n\r\n"));
	conn_finish(s->session.conn, reason);
	loop_timer_clear(s->session.gateway->loop, &s->heartbeat);
}

static void sse_failed(struct subscriber *sub, enum fault_id why)
{
	log_warn("history_read_failed", "transport=sse code=%s", fault_code(why));
	end(sse_of(sub), CLOSE_INTERNAL, 0);
}

static void sse_too_slow(struct subscriber *sub)
{
	end(sse_of(sub), CLOSE_SLOW, 0);
}

static const struct subscriber_ops sse_json_subscriber = {
	.kind = KIND_SSE,
	.format = FORMAT_SSE_JSON,
	.encode = encode_sse_json,
	.send = sse_send,
	.rewind = session_rewind_stream,
	.opened = sse_opened,
	.gap = sse_gap,
	.live = sse_live,
	.failed = sse_failed,
	.too_slow = sse_too_slow,
};

static const struct subscriber_ops sse_raw_subscriber = {
	.kind = KIND_SSE,
	.format = FORMAT_SSE_RAW,
	.encode = encode_sse_raw,
	.send = sse_send,
	.rewind = session_rewind_stream,
	.opened = sse_opened,
	.gap = sse_gap,
	.live = sse_live,
	.failed = sse_failed,
	.too_slow = sse_too_slow,
};

static const struct durable_ops sse_json_durable = {
	.ops =
		{
			.kind = KIND_SSE,
			.format = FORMAT_SSE_JSON,
			.encode = encode_sse_json,
			.send = durable_send,
			.rewind = durable_rewind,
			.opened = sse_opened,
			.gap = sse_gap,
			.live = sse_live,
			.failed = sse_failed,
		},
	.plain = &sse_json_subscriber,
	.encode_again = encode_sse_json_again,
};

static const struct durable_ops sse_raw_durable = {
	.ops =
		{
			.kind = KIND_SSE,
			.format = FORMAT_SSE_RAW,
			.encode = encode_sse_raw,
			.send = durable_send,
			.rewind = durable_rewind,
			.opened = sse_opened,
			.gap = sse_gap,
			.live = sse_live,
			.failed = sse_failed,
		},
	.plain = &sse_raw_subscriber,
	.encode_again = encode_sse_raw_again,
};

static void sse_joined(struct subscriber *sub, void *arg, const struct fault *fault, uint64_t from)
{
	UNUSED(arg);
	UNUSED(from);
	if (fault)
		sse_failed(sub, fault->id);
}

/* --- session --------------------------------------------------------------------------------- */

static void sse_goodbye(struct session *session, enum close_reason reason, uint64_t delay_ms)
{
	end(container_of(session, struct sse, session), reason, delay_ms);
	session_end(session, reason); /* what is published from now on is not for it */
}

const struct session_ops sse_session = {.goodbye = sse_goodbye};

/* Quiet for so long, the stream carries a heartbeat. */
static uint64_t heartbeat_ms(const struct sse *s)
{
	uint64_t usual = s->session.gateway->config->heartbeat_ms;
	uint64_t probe = (uint64_t)PROBE_MS << 2 * (PROBES - s->probes);

	return s->probes > 0 && probe < usual ? probe : usual;
}

static void on_heartbeat(struct loop_timer *t)
{
	struct sse *s = container_of(t, struct sse, heartbeat);
	struct gateway *g = s->session.gateway;
	uint64_t idle_ms = loop_now_ms(g->loop) - s->active_ms;
	uint64_t quiet_ms = heartbeat_ms(s);
	struct buf b = {0};

	if (idle_ms < quiet_ms) {
		loop_timer_set(g->loop, t, quiet_ms - idle_ms);
		return;
	}
	if (s->probes > 0)
		s->probes--;
	/* The comment is for proxies, the event for browser code, which can not see comments. */
	buf_addf(&b,
		 ": heartbeat\nevent: heartbeat\ndata: {\"type\":\"heartbeat\",\"ts\":%lld}\n\n",
		 (long long)clock_wall_ms());
	send_chunk(s, sse_chunk(buf_slice(&b)));
	buf_fini(&b);
	count_inc(g->counters, COUNTER_HEARTBEATS);
	loop_timer_set(g->loop, t, heartbeat_ms(s));
}

/* --- connection ------------------------------------------------------------------------------ */

static size_t on_input(struct conn *c, struct slice bytes)
{
	UNUSED(c);
	return bytes.n; /* nothing is expected from the client any more */
}

static void on_eof(struct conn *c)
{
	conn_close(c, CLOSE_CLIENT_GONE);
}

static void on_drain(struct conn *c)
{
	struct sse *s = c->owner;

	subscriber_drained(&s->session.subscriber);
	session_tell_members(&s->session, send_members);
}

static void sse_free(void *arg)
{
	struct sse *s = arg;

	pool_give(&s->session.gateway->streams, s);
}

static void on_closed(struct conn *c, enum close_reason reason)
{
	struct sse *s = c->owner;
	struct loop *l = s->session.gateway->loop;

	loop_timer_clear(l, &s->heartbeat);
	session_end(&s->session, reason);
	loop_free_later(l, s, sse_free);
}

static const struct conn_ops sse_conn = {
	.on_input = on_input, .on_eof = on_eof, .on_drain = on_drain, .on_closed = on_closed};

/* --- opening --------------------------------------------------------------------------------- */

static void start_free(struct sse_start *st)
{
	subscribe_params_fini(&st->params);
	visit_close(&st->visit);
	free(st);
}

static void on_abort(struct http_exchange *x)
{
	start_free(http_exchange_owner(x));
}

static void begin_stream(struct sse *s, struct sse_start *st)
{
	struct gateway *g = st->gateway;
	struct fault fault;

	s->probes = st->wants_probe ? PROBES : 0;
	loop_timer_set(g->loop, &s->heartbeat, heartbeat_ms(s));
	/* Checked before; only the options may have changed since. */
	if (session_subscribe(&s->session, &st->params, s->is_admin,
			      st->params.is_raw ? &sse_raw_durable : &sse_json_durable, sse_joined,
			      &fault) != 0)
		end(s, CLOSE_REFUSED, 0);
	else if (g->is_draining)
		sse_goodbye(&s->session, CLOSE_DRAIN, 0);
}

static void on_ready(struct http_exchange *x)
{
	struct sse_start *st = http_exchange_owner(x);
	struct gateway *g = st->gateway;
	struct sse *s = pool_take(&g->streams, sizeof(*s));
	struct buf head = {0};

	s->is_plain = http_exchange_request(x)->minor == 0;
	s->is_admin = http_exchange_request(x)->is_admin;
	http_head_begin(&head, x, 200, s->is_plain ? "close" : "keep-alive");
	buf_add_str(&head, "Content-Type: text/event-stream\r\n"
			   "Cache-Control: no-cache, no-transform\r\n"
			   "X-Accel-Buffering: no\r\n");
	if (!s->is_plain)
		buf_add_str(&head, "Transfer-Encoding: chunked\r\n");
	buf_add_str(&head, "\r\n");
	/* The request dies with the exchange: what the params point to must be kept until the
	 * subscription stands. */
	struct conn *c = http_exchange_conn(x);
	loop_timer_init(&s->heartbeat, on_heartbeat);
	s->active_ms = loop_now_ms(g->loop);
	session_start(&s->session, g, c, &st->visit,
		      st->params.is_raw ? &sse_raw_subscriber : &sse_json_subscriber);
	conn_send_bytes(c, buf_slice(&head));
	buf_fini(&head);
	begin_stream(s, st);
	start_free(st);
	http_detach(x, slice_str(""));
	conn_set_owner(c, &sse_conn, s);
}

static void sse_open(struct gateway *g, struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	struct sse_start *st = xcalloc(1, sizeof(*st));
	struct fault fault;

	st->gateway = g;
	int rc = param_bool(r, "probe", &st->wants_probe, &fault);
	if (rc == 0)
		rc = subscribe_params_parse(r, g->config, true, &st->params, &fault);
	if (rc == 0 && st->params.channel_n == 0)
		rc = fault_set(&fault, FAULT_NO_CHANNEL,
			       "name at least one channel: ?channel=NAME");
	if (rc == 0)
		rc = subscriber_check(g->hub, NULL, st->params.channels, st->params.channel_n,
				      r->is_admin, &fault);
	if (rc == 0) {
		visit_open(&st->visit, g, st->params.session, false);
		visit_introduce(&st->visit, g, st->params.info, st->params.wants_members);
		rc = visit_attend(&st->visit, g, st->params.channels, st->params.channel_n, &fault);
	}
	if (rc) {
		http_respond_fault(x, fault.id, "", "%s", fault.message);
		start_free(st);
		return;
	}
	http_exchange_set(x, st, on_abort);
	http_take_over(x, on_ready);
}

/* `Accept: text/html, text/event-stream;q=0.9` asks for a stream, too. */
static bool accepts_event_stream(const struct http_request *r)
{
	static const char type[] = "text/event-stream";
	struct slice accept = http_header_get(r, "Accept");

	for (; accept.n >= sizeof(type) - 1; accept = slice_skip(accept, 1))
		if (strncasecmp(accept.p, type, sizeof(type) - 1) == 0)
			return true;
	return false;
}

static bool sse_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/v1/sse") ||
	       (slice_eq_str(r->path, "/v1/subscribe") && accepts_event_stream(r));
}

const struct transport_ops sse_transport = {
	.name = "sse",
	.methods = METHOD_BIT(HTTP_GET_),
	.is_subscribing = true,
	.match = sse_match,
	.open = sse_open,
};
