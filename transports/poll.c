/* SPDX-License-Identifier: MIT */
/*
 * poll: collects what history and the hub hand over, and answers once.
 *
 *   poll_open ─▶ COLLECTING ── full, or caught up with something, or does not wait ──▶ answer
 *                    └── caught up, nothing there ─▶ WAITING ── a message, or time is up ──▶ answer
 *
 * The answer is always sent from an end-of-turn task or a timer, never from inside a subscriber
 * callback. Items are the frames of FORMAT_JSON, shared by all polls; only commas, head and tail
 * are a poll's own.
 */
#include "transports/poll.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/pattern.h"
#include "base/xalloc.h"
#include "transports/encode.h"
#include "transports/params.h"
#include "transports/transport.h"

#define TYPE        "application/json"
#define HEADERS_MAX 128

struct poll {
	struct session session;
	struct http_exchange *exchange;
	struct loop_task answer;
	struct buf gaps;   /* JSON, separated by commas */
	struct buf events; /* the same: join, leave, presence */
	struct frame **items;
	size_t item_n, item_room, item_bytes;
	uint64_t match_seq; /* If-None-Match, when has_match */
	enum fault_id fault;
	bool match_is_weak;
	bool waits;      /* was asked to wait */
	bool is_waiting; /* does */
	bool has_match, is_caught_up, is_full, is_bursting;
	bool is_due;       /* its time is over: answer as soon as there is a cursor to tell */
	bool is_shareable; /* depends on the URL alone, of public channels */
};

static struct poll *poll_of(struct subscriber *sub)
{
	return container_of(session_of(sub), struct poll, session);
}

static void answer_soon(struct poll *p)
{
	loop_at_end(p->session.gateway->loop, &p->answer);
}

/* Before the log has said where the channels begin there is no cursor, and gaps are still to be
 * told: an answer now would lose them. */
static bool can_answer(struct poll *p)
{
	p->is_due = true;
	return p->session.subscriber.is_opened || p->fault;
}

/* The end of the wait, or of the burst. */
static void on_time(struct http_exchange *x)
{
	struct poll *p = http_exchange_owner(x);

	if (can_answer(p))
		answer_soon(p);
}

/* --- subscriber_ops -------------------------------------------------------------------------- */

static void answer_after_burst(struct poll *p)
{
	const struct gateway_config *cfg = p->session.gateway->config;

	if (cfg->poll_batch_ms == 0 || !p->waits) {
		answer_soon(p);
	} else if (!p->is_bursting) {
		p->is_bursting = true;
		if (p->is_waiting)
			http_exchange_wait(p->exchange, cfg->poll_batch_ms, on_time);
	}
}

static void add_event(struct poll *p, struct slice json)
{
	if (p->events.n)
		buf_add_char(&p->events, ',');
	buf_add_slice(&p->events, json);
}

/* Not kept anywhere: what finds no room is missed. */
static int take_event(struct poll *p, struct slice json)
{
	if (p->is_full || p->events.n >= p->session.gateway->config->poll_bytes)
		return -ENOBUFS;
	add_event(p, json);
	answer_after_burst(p);
	return 0;
}

static int poll_send(struct subscriber *sub, struct frame *f)
{
	struct poll *p = poll_of(sub);
	const struct gateway_config *cfg = p->session.gateway->config;

	if (!f->is_message)
		return take_event(p, slice_make(f->bytes, f->n));
	if (p->is_full || p->item_n >= cfg->poll_messages || p->item_bytes >= cfg->poll_bytes) {
		p->is_full = true;
		answer_soon(p);
		return -ENOBUFS;
	}
	if (p->item_n == p->item_room) {
		p->item_room = p->item_room ? p->item_room * 2 : 4;
		p->items = xrealloc(p->items, p->item_room * sizeof(struct frame *));
	}
	p->items[p->item_n++] = frame_ref(f);
	p->item_bytes += f->n;
	p->session.sent++;
	if (p->is_caught_up)
		answer_after_burst(p);
	return 0;
}

static uint64_t poll_rewind(struct subscriber *sub)
{
	UNUSED(sub);
	return 0; /* what was collected is kept: it leaves with the answer */
}

static void poll_gap(struct subscriber *sub, const struct gap *g)
{
	struct poll *p = poll_of(sub);

	if (p->gaps.n)
		buf_add_char(&p->gaps, ',');
	json_add_gap(&p->gaps, g, &sub->hub->epoch);
}

static void send_members(struct session *session, struct slice json)
{
	add_event(container_of(session, struct poll, session), json);
}

static void poll_live(struct subscriber *sub)
{
	struct poll *p = poll_of(sub);

	p->is_caught_up = true;
	session_tell_members(&p->session, send_members);
	if (!p->waits || p->is_due || p->item_n || p->gaps.n || p->events.n)
		answer_soon(p);
}

static void poll_failed(struct subscriber *sub, enum fault_id why)
{
	struct poll *p = poll_of(sub);

	p->fault = why;
	answer_soon(p);
}

static const struct subscriber_ops long_subscriber = {
	.kind = KIND_LONGPOLL,
	.format = FORMAT_JSON,
	.encode = encode_json,
	.send = poll_send,
	.rewind = poll_rewind,
	.gap = poll_gap,
	.live = poll_live,
	.failed = poll_failed,
};

static const struct subscriber_ops short_subscriber = {
	.kind = KIND_SHORTPOLL,
	.format = FORMAT_JSON,
	.encode = encode_json,
	.send = poll_send,
	.rewind = poll_rewind,
	.gap = poll_gap,
	.live = poll_live,
	.failed = poll_failed,
};

/* Its position is known, or can not be kept. */
static void poll_joined(struct subscriber *sub, void *arg, const struct fault *fault, uint64_t from)
{
	struct poll *p = poll_of(sub);

	UNUSED(arg);
	UNUSED(from);
	if (!fault)
		return;
	p->fault = fault->id;
	answer_soon(p);
}

/* --- end ------------------------------------------------------------------------------------- */

static void poll_free(void *arg)
{
	struct poll *p = arg;

	for (size_t i = 0; i < p->item_n; i++)
		frame_unref(p->items[i]);
	free(p->items);
	buf_fini(&p->gaps);
	buf_fini(&p->events);
	free(p);
}

static void close_poll(struct poll *p, enum close_reason reason)
{
	struct loop *l = p->session.gateway->loop;

	loop_at_end_cancel(l, &p->answer);
	session_end(&p->session, reason);
	p->exchange = NULL;
	loop_free_later(l, p, poll_free);
}

static void on_abort(struct http_exchange *x)
{
	close_poll(http_exchange_owner(x), CLOSE_CLIENT_GONE);
}

/* --- answering ------------------------------------------------------------------------------- */

static bool is_not_modified(const struct poll *p, uint64_t cursor)
{
	if (p->waits || !p->has_match || p->gaps.n || p->events.n)
		return false;
	for (size_t i = 0; i < p->item_n; i++)
		if (p->items[i]->seq > p->match_seq)
			return false;
	return !p->is_full || cursor == p->match_seq;
}

static const char *cache_control(const struct poll *p)
{
	if (p->waits)
		return "no-store";
	return p->is_shareable ? "public, max-age=1" : "private, no-cache";
}

/* `],"gaps":…,"events":…` */
static void add_own(struct buf *b, const struct poll *p)
{
	buf_add_char(b, ']');
	if (p->gaps.n) {
		buf_add_str(b, ",\"gaps\":[");
		buf_add_slice(b, buf_slice(&p->gaps));
		buf_add_char(b, ']');
	}
	if (p->events.n) {
		buf_add_str(b, ",\"events\":[");
		buf_add_slice(b, buf_slice(&p->events));
		buf_add_char(b, ']');
	}
}

/* `,"session":…,"more":…}` */
static void add_tail(struct buf *b, const struct poll *p)
{
	char name[SESSION_ID_TEXT + 1];

	if (!p->is_shareable) {
		session_id_format(name, &p->session.visit.id);
		buf_addf(b, ",\"session\":\"%s\"", name);
	}
	buf_addf(b, ",\"more\":%s}", p->is_full ? "true" : "false");
}

/* `{"cursor":…,"messages":[` items `],…}` as a list of frames: shared items, own punctuation. */
struct reply {
	struct frame **parts;
	size_t n, bytes;
};

/* Takes the frame. */
static void reply_add(struct reply *r, struct frame *f)
{
	r->parts[r->n++] = f;
	r->bytes += f->n;
}

static void reply_make(struct reply *r, const struct poll *p, uint64_t cursor)
{
	struct frame *comma = frame_copy(SLICE(","));
	struct buf b = {0};

	*r = (struct reply){xcalloc(p->item_n * 2 + 3, sizeof(struct frame *)), 0, 0};
	buf_reserve(&b, 128);
	buf_add_str(&b, "{\"cursor\":");
	json_add_id(&b, &p->session.gateway->hub->epoch, cursor);
	buf_add_str(&b, ",\"messages\":[");
	reply_add(r, frame_copy(buf_slice(&b)));
	for (size_t i = 0; i < p->item_n; i++) {
		if (i)
			reply_add(r, frame_ref(comma));
		reply_add(r, frame_ref(p->items[i]));
	}
	buf_clear(&b);
	add_own(&b, p);
	reply_add(r, frame_copy(buf_slice(&b)));
	buf_clear(&b);
	add_tail(&b, p);
	struct frame *tail = frame_copy(buf_slice(&b));
	tail->is_secret = !p->is_shareable; /* whoever publishes may guess at the session */
	reply_add(r, tail);
	frame_unref(comma);
	buf_fini(&b);
}

static void reply_fini(struct reply *r)
{
	for (size_t i = 0; i < r->n; i++)
		frame_unref(r->parts[i]);
	free(r->parts);
}

/* The tag names the content; in gzip, whose bytes are others, it is a weak one. */
static void make_headers(char *out, size_t room, const struct poll *p, uint64_t cursor,
			 bool is_weak)
{
	char id[ID_TEXT_MAX];

	id_format(id, &p->session.gateway->hub->epoch, cursor);
	snprintf(out, room, "ETag: %s\"%s\"\r\nCache-Control: %s\r\n", is_weak ? "W/" : "", id,
		 cache_control(p));
}

static void respond(struct poll *p, uint64_t cursor)
{
	struct http_exchange *x = p->exchange;
	char headers[HEADERS_MAX];
	struct reply r;

	if (is_not_modified(p, cursor)) {
		make_headers(headers, sizeof(headers), p, p->match_seq, p->match_is_weak);
		http_respond(x, 304, NULL, headers, slice_str(""));
		return;
	}
	reply_make(&r, p, cursor);
	make_headers(headers, sizeof(headers), p, cursor, http_wants_gzip(x, 200, TYPE, r.bytes));
	http_respond_frames(x, 200, TYPE, headers, r.parts, r.n);
	reply_fini(&r);
}

static void answer(struct poll *p, enum close_reason reason)
{
	subscriber_settle(&p->session.subscriber);
	uint64_t cursor = subscriber_position(&p->session.subscriber);

	http_exchange_set(p->exchange, NULL, NULL);
	if (p->fault) {
		http_respond_fault(p->exchange, p->fault, "Retry-After: 1\r\n",
				   "the message store can not be read now; try again");
		reason = CLOSE_INTERNAL;
	} else {
		respond(p, cursor);
	}
	close_poll(p, reason);
}

static void on_answer(struct loop_task *t)
{
	answer(container_of(t, struct poll, answer), CLOSE_NORMAL);
}

/* A drained or kicked poll is simply answered: its cursor is good anywhere. */
static void poll_goodbye(struct session *session, enum close_reason reason, uint64_t delay_ms)
{
	UNUSED(delay_ms);
	struct poll *p = container_of(session, struct poll, session);

	if (can_answer(p))
		answer(p, reason);
}

static const struct session_ops poll_session = {.goodbye = poll_goodbye};

/* --- opening --------------------------------------------------------------------------------- */

bool poll_match(const struct http_request *r, bool *ret_waits)
{
	uint64_t wait_ms = 0;

	if (!slice_eq_str(r->path, "/v1/poll") && !slice_eq_str(r->path, "/v1/subscribe"))
		return false;
	*ret_waits = param_seconds(r, "wait", &wait_ms, NULL) != 0 || wait_ms > 0;
	return true;
}

/* Does the reply depend on nothing but the URL, and may everybody have it? A start taken from
 * If-None-Match is not part of the URL that a shared cache would go by; a session is somebody's
 * own, and so is a position.
 */
static bool is_shareable(const struct gateway *g, const struct http_request *r,
			 const struct subscribe_params *params)
{
	const struct namespace_table *t = g->hub->namespaces;

	for (size_t i = 0; i < params->channel_n; i++)
		for (size_t k = 0; k < t->n; k++)
			if ((!t->ns[k].is_public || t->ns[k].has_presence) &&
			    pattern_meets_namespace(t, k, params->channels[i]))
				return false;
	return !r->is_admin && !params->session.p && !params->durable.name.p &&
	       (params->has_since || params->start.kind != START_AFTER);
}

/* The entity tag that the client has, as a position; only a valid one can match. */
static void take_match(struct poll *p, const struct http_request *r)
{
	struct slice v = http_header_get(r, "If-None-Match");

	p->match_is_weak = slice_starts(v, "W/");
	if (p->match_is_weak)
		v = slice_skip(v, 2);
	if (v.n < 2 || v.p[0] != '"' || v.p[v.n - 1] != '"')
		return;
	p->has_match = id_parse(slice_make(v.p + 1, v.n - 2), &p->session.gateway->hub->epoch,
				&p->match_seq) == ID_VALID;
}

/* Takes the visit. */
static struct poll *poll_new(struct gateway *g, struct http_exchange *x,
			     const struct subscribe_params *params, struct visit *v, bool waits)
{
	const struct http_request *r = http_exchange_request(x);
	struct poll *p = xcalloc(1, sizeof(*p));

	p->exchange = x;
	p->waits = waits;
	loop_task_init(&p->answer, on_answer);
	session_start(&p->session, g, http_exchange_conn(x), v, &poll_session,
		      waits ? &long_subscriber : &short_subscriber);
	take_match(p, r);
	p->is_shareable = is_shareable(g, r, params);
	http_exchange_set(x, p, on_abort);
	return p;
}

/* A reply that caches may share names no session; then there is nothing to be known by. */
static int visit(struct gateway *g, const struct http_request *r,
		 const struct subscribe_params *params, struct visit *v, struct fault *fault)
{
	visit_open(v, g->hub, params->session, !is_shareable(g, r, params));
	visit_introduce(v, params->info, params->wants_members);
	int rc = visit_attend(v, g->hub, params->channels, params->channel_n, fault);
	if (rc)
		visit_close(v, g->hub);
	return rc;
}

static int parse(struct gateway *g, const struct http_request *r, struct subscribe_params *params,
		 uint64_t *ret_wait_ms, struct fault *fault)
{
	int rc = param_seconds(r, "wait", ret_wait_ms, fault);

	if (rc)
		return rc;
	if (*ret_wait_ms > g->config->poll_wait_max_ms)
		*ret_wait_ms = g->config->poll_wait_max_ms;
	rc = subscribe_params_parse(r, g->config, false, params, fault);
	if (rc)
		return rc;
	if (params->channel_n == 0)
		rc = fault_set(fault, FAULT_NO_CHANNEL, "name at least one channel: ?channel=NAME");
	if (rc == 0)
		rc = subscriber_check(g->hub, NULL, params->channels, params->channel_n,
				      r->is_admin, fault);
	if (rc)
		subscribe_params_fini(params);
	return rc;
}

void poll_open(struct gateway *g, struct http_exchange *x, bool waits)
{
	const struct http_request *r = http_exchange_request(x);
	struct subscribe_params params;
	struct visit v;
	struct fault fault;
	uint64_t wait_ms = 0;

	int rc = parse(g, r, &params, &wait_ms, &fault);
	if (rc == 0) {
		rc = visit(g, r, &params, &v, &fault);
		if (rc)
			subscribe_params_fini(&params);
	}
	if (rc) {
		http_respond_fault(x, fault.id, "", "%s", fault.message);
		return;
	}
	struct poll *p = poll_new(g, x, &params, &v, waits);
	if (session_subscribe(&p->session, &params, r->is_admin, NULL, poll_joined, &fault) != 0) {
		p->fault = fault.id;
		answer_soon(p);
	}
	subscribe_params_fini(&params);
	p->is_waiting = waits;
	if (waits) /* last: it forgets what params point into */
		http_exchange_wait(x, p->is_bursting ? g->config->poll_batch_ms : wait_ms, on_time);
}
