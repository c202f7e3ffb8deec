/* SPDX-License-Identifier: MIT */
/*
 * poll: collects what history and the hub hand over, and answers once.
 *
 *   poll_open ─▶ COLLECTING ── full, or caught up with something, or does not wait ──▶ answer
 *                    └── caught up, nothing there ─▶ WAITING ── a message, or time is up ──▶ answer
 *
 * The answer is always sent from an end-of-turn task or a timer, never from inside a subscriber
 * callback. Items are the frames of FORMAT_JSON, shared by all polls; only commas, head and tail
 * are a poll's own. A short reply is copied together nevertheless: one piece is sent sooner than
 * several.
 *
 * Many polls wait for a long time: one that waits is this struct, and an exchange without its
 * request; the clock is the connection's. What the answer will be made of is a block of its own
 * from the first piece on.
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

#define JOINED_MAX 4096 /* longer replies are not copied together, but refer to their items */
#define FEW        11   /* makes a haul as large as a poll: each leaves a place for the other */

/* What the answer is made of. Who waits has none of it. */
struct haul {
	struct poll *poll;
	struct loop_task answer;
	struct buf gaps;   /* JSON, separated by commas */
	struct buf events; /* the same: join, leave, presence */
	struct frame **items;
	size_t item_n, item_room, item_bytes;
	struct frame *few[FEW]; /* what items is, as long as there is room in it */
};

struct poll {
	struct session session;
	struct http_exchange *exchange;
	struct haul *haul;
	uint8_t fault; /* enum fault_id */
	bool waits;    /* was asked to wait … */
	bool is_waiting : 1, is_bursting : 1;
	bool is_caught_up : 1, is_full : 1;
	bool is_due : 1;       /* its time is over: answer as soon as there is a cursor to tell */
	bool is_shareable : 1; /* depends on the URL alone, of public channels */
	bool has_match : 1, match_is_weak : 1;
};

/* Short polls only have an If-None-Match that counts. */
struct short_poll {
	struct poll poll;
	uint64_t match_seq; /* when has_match */
};

static struct poll *poll_of(struct subscriber *sub)
{
	return container_of(session_of(sub), struct poll, session);
}

static void on_answer(struct loop_task *t);

static struct haul *haul_of(struct poll *p)
{
	if (!p->haul) {
		p->haul = pool_take(&p->session.gateway->hauls, sizeof(*p->haul));
		p->haul->poll = p;
		p->haul->items = p->haul->few;
		p->haul->item_room = FEW;
		loop_task_init(&p->haul->answer, on_answer);
	}
	return p->haul;
}

static void haul_free(struct haul *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->item_n; i++)
		frame_unref(c->items[i]);
	if (c->items != c->few)
		free(c->items);
	buf_fini(&c->gaps);
	buf_fini(&c->events);
	pool_give(&c->poll->session.gateway->hauls, c);
}

static bool has_something(const struct poll *p)
{
	return p->haul && (p->haul->item_n || p->haul->gaps.n || p->haul->events.n);
}

static void answer_soon(struct poll *p)
{
	loop_at_end(p->session.gateway->loop, &haul_of(p)->answer);
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
	struct buf *events = &haul_of(p)->events;

	if (events->n)
		buf_add_char(events, ',');
	buf_add_slice(events, json);
}

/* Not kept anywhere: what finds no room is missed. */
static int take_event(struct poll *p, struct slice json)
{
	if (p->is_full || haul_of(p)->events.n >= p->session.gateway->config->poll_bytes)
		return -ENOBUFS;
	add_event(p, json);
	answer_after_burst(p);
	return 0;
}

static void add_item(struct haul *c, struct frame *f)
{
	if (c->item_n == c->item_room) {
		bool was_few = c->items == c->few;

		c->item_room *= 2;
		c->items =
			xrealloc(was_few ? NULL : c->items, c->item_room * sizeof(struct frame *));
		if (was_few)
			memcpy(c->items, c->few, sizeof(c->few));
	}
	c->items[c->item_n++] = frame_ref(f);
	c->item_bytes += f->n;
}

static int poll_send(struct subscriber *sub, struct frame *f)
{
	struct poll *p = poll_of(sub);
	struct haul *c = haul_of(p);
	const struct gateway_config *cfg = p->session.gateway->config;

	if (!f->is_message)
		return take_event(p, slice_make(f->bytes, f->n));
	if (p->is_full || c->item_n >= cfg->poll_messages || c->item_bytes >= cfg->poll_bytes) {
		p->is_full = true;
		answer_soon(p);
		return -ENOBUFS;
	}
	add_item(c, f);
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
	struct buf *gaps = &haul_of(poll_of(sub))->gaps;

	if (gaps->n)
		buf_add_char(gaps, ',');
	json_add_gap(gaps, g, &sub->hub->epoch);
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
	if (!p->waits || p->is_due || has_something(p))
		answer_soon(p);
}

static void poll_failed(struct subscriber *sub, enum fault_id why)
{
	struct poll *p = poll_of(sub);

	p->fault = (uint8_t)why;
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
	p->fault = (uint8_t)fault->id;
	answer_soon(p);
}

/* --- end ------------------------------------------------------------------------------------- */

/* Nobody has a pointer to it afterwards: not the lists, nor the hub, nor the exchange. */
static void close_poll(struct poll *p, enum close_reason reason)
{
	if (p->haul)
		loop_at_end_cancel(p->session.gateway->loop, &p->haul->answer);
	session_end(&p->session, reason);
	haul_free(p->haul);
	if (p->waits)
		pool_give(&p->session.gateway->polls, p);
	else
		free(p);
}

static void on_abort(struct http_exchange *x)
{
	close_poll(http_exchange_owner(x), CLOSE_CLIENT_GONE);
}

/* --- answering ------------------------------------------------------------------------------- */

static uint64_t match_of(const struct poll *p)
{
	return container_of(p, const struct short_poll, poll)->match_seq;
}

static bool is_not_modified(const struct poll *p, uint64_t cursor)
{
	const struct haul *c = p->haul;

	if (p->waits || !p->has_match || c->gaps.n || c->events.n)
		return false;
	for (size_t i = 0; i < c->item_n; i++)
		if (c->items[i]->seq > match_of(p))
			return false;
	return !p->is_full || cursor == match_of(p);
}

static const char *cache_control(const struct poll *p)
{
	if (p->waits)
		return "no-store";
	return p->is_shareable ? "public, max-age=1" : "private, no-cache";
}

/* `{"cursor":…,"messages":[` */
static void add_start(struct buf *b, const struct poll *p, uint64_t cursor)
{
	buf_add_str(b, "{\"cursor\":");
	json_add_id(b, &p->session.gateway->hub->epoch, cursor);
	buf_add_str(b, ",\"messages\":[");
}

/* `],"gaps":…,"events":…` */
static void add_own(struct buf *b, const struct haul *c)
{
	buf_add_char(b, ']');
	if (c->gaps.n) {
		buf_add_str(b, ",\"gaps\":[");
		buf_add_slice(b, buf_slice(&c->gaps));
		buf_add_char(b, ']');
	}
	if (c->events.n) {
		buf_add_str(b, ",\"events\":[");
		buf_add_slice(b, buf_slice(&c->events));
		buf_add_char(b, ']');
	}
}

/* `,"session":…,"more":…}`; session NULL: it is not told. */
static void add_tail(struct buf *b, const struct poll *p, const struct session_id *session)
{
	char name[SESSION_ID_TEXT + 1];

	if (session) {
		session_id_format(name, session);
		buf_add_str(b, ",\"session\":\"");
		buf_add(b, name, SESSION_ID_TEXT);
		buf_add_char(b, '"');
	}
	buf_add_str(b, p->is_full ? ",\"more\":true}" : ",\"more\":false}");
}

/* The whole of a reply that is short; a longer one fails (b has a cap). */
static void add_reply(struct buf *b, const struct poll *p, uint64_t cursor,
		      const struct session_id *session)
{
	const struct haul *c = p->haul;

	add_start(b, p, cursor);
	for (size_t i = 0; i < c->item_n; i++) {
		if (i)
			buf_add_char(b, ',');
		buf_add(b, c->items[i]->bytes, c->items[i]->n);
	}
	add_own(b, c);
	add_tail(b, p, session);
}

/* The same as a list of frames: shared items, own punctuation. */
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

static void reply_make(struct reply *r, const struct poll *p, uint64_t cursor,
		       const struct session_id *session)
{
	const struct haul *c = p->haul;
	struct frame *comma = frame_copy(SLICE(","));
	struct buf b = {0};

	*r = (struct reply){xcalloc(c->item_n * 2 + 3, sizeof(struct frame *)), 0, 0};
	add_start(&b, p, cursor);
	reply_add(r, frame_copy(buf_slice(&b)));
	for (size_t i = 0; i < c->item_n; i++) {
		if (i)
			reply_add(r, frame_ref(comma));
		reply_add(r, frame_ref(c->items[i]));
	}
	buf_clear(&b);
	add_own(&b, c);
	reply_add(r, frame_copy(buf_slice(&b)));
	buf_clear(&b);
	add_tail(&b, p, session);
	struct frame *tail = frame_copy(buf_slice(&b));
	tail->is_secret = session != NULL; /* whoever publishes may guess at it */
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
	struct buf b = {.p = out, .room = room, .cap = room};

	buf_add_str(&b, is_weak ? "ETag: W/" : "ETag: ");
	json_add_id(&b, &p->session.gateway->hub->epoch, cursor);
	buf_add_str(&b, "\r\nCache-Control: ");
	buf_add_str(&b, cache_control(p));
	buf_add(&b, "\r\n", 3);
	assert(!b.failed);
}

static void respond_long(struct poll *p, uint64_t cursor, const struct session_id *session)
{
	struct http_exchange *x = p->exchange;
	char headers[HEADERS_MAX];
	struct reply r;

	reply_make(&r, p, cursor, session);
	make_headers(headers, sizeof(headers), p, cursor, http_wants_gzip(x, 200, TYPE, r.bytes));
	http_respond_frames(x, 200, TYPE, headers, r.parts, r.n);
	reply_fini(&r);
}

static void respond(struct poll *p, uint64_t cursor)
{
	static _Thread_local char room[JOINED_MAX];
	struct buf b = {.p = room, .room = sizeof(room), .cap = sizeof(room)};
	struct http_exchange *x = p->exchange;
	struct session_id id, *session = NULL;
	char headers[HEADERS_MAX];

	if (is_not_modified(p, cursor)) {
		make_headers(headers, sizeof(headers), p, match_of(p), p->match_is_weak);
		http_respond(x, 304, NULL, headers, slice_str(""));
		return;
	}
	if (!p->is_shareable) {
		session_tell(&p->session, &id);
		session = &id;
	}
	add_reply(&b, p, cursor, session);
	if (b.failed || http_wants_gzip(x, 200, TYPE, b.n)) {
		respond_long(p, cursor, session);
		return;
	}
	make_headers(headers, sizeof(headers), p, cursor, false);
	http_respond(x, 200, TYPE, headers, buf_slice(&b));
}

static void answer(struct poll *p, enum close_reason reason)
{
	subscriber_settle(&p->session.subscriber);
	uint64_t cursor = subscriber_position(&p->session.subscriber);

	http_exchange_set(p->exchange, NULL, NULL);
	if (p->fault) {
		http_respond_fault(p->exchange, (enum fault_id)p->fault, "Retry-After: 1\r\n",
				   "the message store can not be read now; try again");
		reason = CLOSE_INTERNAL;
	} else {
		(void)haul_of(p); /* perhaps an empty one */
		respond(p, cursor);
	}
	close_poll(p, reason);
}

static void on_answer(struct loop_task *t)
{
	answer(container_of(t, struct haul, answer)->poll, CLOSE_NORMAL);
}

/* A drained or kicked poll is simply answered: its cursor is good anywhere. */
static void poll_goodbye(struct session *session, enum close_reason reason, uint64_t delay_ms)
{
	UNUSED(delay_ms);
	struct poll *p = container_of(session, struct poll, session);

	if (can_answer(p))
		answer(p, reason);
}

const struct session_ops poll_session = {.goodbye = poll_goodbye};

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
static void take_match(struct short_poll *sp, const struct gateway *g, const struct http_request *r)
{
	struct poll *p = &sp->poll;
	struct slice v = http_header_get(r, "If-None-Match");

	p->match_is_weak = slice_starts(v, "W/");
	if (p->match_is_weak)
		v = slice_skip(v, 2);
	if (v.n < 2 || v.p[0] != '"' || v.p[v.n - 1] != '"')
		return;
	p->has_match =
		id_parse(slice_make(v.p + 1, v.n - 2), &g->hub->epoch, &sp->match_seq) == ID_VALID;
}

/* Takes the visit. */
static struct poll *poll_new(struct gateway *g, struct http_exchange *x, struct visit *v,
			     bool waits, bool is_shareable)
{
	struct short_poll *sp = NULL;
	struct poll *p;

	if (waits) {
		p = pool_take(&g->polls, sizeof(*p));
	} else {
		sp = xcalloc(1, sizeof(*sp));
		p = &sp->poll;
		take_match(sp, g, http_exchange_request(x));
	}
	p->exchange = x;
	p->waits = waits;
	p->is_shareable = is_shareable;
	session_start(&p->session, g, http_exchange_conn(x), v,
		      waits ? &long_subscriber : &short_subscriber);
	http_exchange_set(x, p, on_abort);
	return p;
}

static int visit(struct gateway *g, const struct subscribe_params *params, struct visit *v,
		 struct fault *fault)
{
	visit_open(v, g, params->session, true);
	visit_introduce(v, g, params->info, params->wants_members);
	int rc = visit_attend(v, g, params->channels, params->channel_n, fault);
	if (rc)
		visit_close(v);
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
		rc = visit(g, &params, &v, &fault);
		if (rc)
			subscribe_params_fini(&params);
	}
	if (rc) {
		http_respond_fault(x, fault.id, "", "%s", fault.message);
		return;
	}
	struct poll *p = poll_new(g, x, &v, waits, is_shareable(g, r, &params));
	if (session_subscribe(&p->session, &params, r->is_admin, NULL, poll_joined, &fault) != 0) {
		p->fault = (uint8_t)fault.id;
		answer_soon(p);
	}
	subscribe_params_fini(&params);
	p->is_waiting = waits;
	if (waits) /* last: it forgets what params point into */
		http_exchange_wait(x, p->is_bursting ? g->config->poll_batch_ms : wait_ms, on_time);
}
