/* SPDX-License-Identifier: MIT */
/*
 * http: the connection's side of HTTP: which request is being read, whose answer is next, when to
 * stop.
 *
 * DESIGN. Exchanges stand in one queue in the order of their requests. A handler may answer at once
 * or later, in any order; an answer that is not at the head of the queue waits in its exchange.
 * pump() moves what is at the head and settle() decides, in one place, whether to go on reading and
 * which timer runs. A refusal is an exchange that was answered before anybody saw it: so an error
 * in a later pipelined request cannot overtake earlier answers.
 *
 *   exchange    READING ──complete──▶ OPEN ──http_respond──▶ ANSWERED ──its turn──▶ sent, freed
 *                  │                   └─http_take_over, its turn──▶ ready() ──http_detach──▶ freed
 *                  └──refused──▶ ANSWERED (and the connection ends behind it)
 *   client gone: OPEN → on_abort; without one it lives, without connection, until it is answered
 *
 * Reading pauses while pipeline_max exchanges are open, while one waits long (http_exchange_wait)
 * or is to take the connection over, and while the peer does not take the answers it has got. Then
 * the kernel keeps what comes, and the client feels it: our memory does not grow.
 *
 * It must never parse behind a request that ends the connection, and never touch h->conn after an
 * owner's call without looking whether it is still there.
 */
#include "net/http.h"

#include <errno.h>
#include <stdlib.h>

#include "base/obj.h"
#include "base/xalloc.h"
#include "net/http_private.h"

#define OUT_MAX  65536 /* answers queued and not taken: the next request has to wait */
#define OUT_MARK 16384
#define FRESH_MS 1000

#define BLANK_MAX 64 /* bytes of empty lines before a request */

enum timer_mode { TIMER_NONE, TIMER_IDLE, TIMER_HEAD, TIMER_BODY, TIMER_WAIT };

/* A head that comes in pieces. */
struct http_pieces {
	struct http_scan scan;
	struct buf head;
};

static_assert(sizeof(struct http) <= 88, "idle connections are many");

static struct http *http_of(const struct conn *c)
{
	struct http *h = c->owner;
	CHECK_OBJ(h, HTTP_MAGIC);
	return h;
}

static void drop_pieces(struct http *h)
{
	if (h->pieces)
		buf_fini(&h->pieces->head);
	free(h->pieces);
	h->pieces = NULL;
}

static void http_free(void *p)
{
	struct http *h = p;
	CHECK_OBJ(h, HTTP_MAGIC);
	drop_pieces(h);
	h->magic = 0;
	free(h);
}

/* --- the queue of exchanges ------------------------------------------------------------------ */

static void queue_add(struct http *h, struct http_exchange *x)
{
	TAILQ_INSERT_TAIL(&h->exchanges, x, link);
}

/* The one whose body comes: only the last can be. */
static struct http_exchange *reading(const struct http *h)
{
	struct http_exchange *x = TAILQ_LAST(&h->exchanges, http_exchange_list);

	return x && x->state == EXCHANGE_READING ? x : NULL;
}

static void queue_remove(struct http *h, struct http_exchange *x)
{
	TAILQ_REMOVE(&h->exchanges, x, link);
	if (x->is_waiting)
		h->is_waiting = false;
	x->is_waiting = false;
	if (x->is_taking)
		h->is_taking = false;
	x->is_taking = false;
	if (x->state != EXCHANGE_READING)
		h->n--;
}

static void set_timer(struct http *h, enum timer_mode mode)
{
	struct loop *l = h->conn->env->loop;
	uint64_t ms = 0;

	if (mode == h->timer_mode && !(mode == TIMER_BODY && h->body_touched))
		return;
	h->timer_mode = mode;
	h->body_touched = false;
	if (mode == TIMER_IDLE)
		ms = h->cfg->idle_timeout_ms;
	else if (mode == TIMER_HEAD)
		ms = h->cfg->head_timeout_ms;
	else if (mode == TIMER_BODY)
		ms = h->cfg->body_timeout_ms;
	/* TIMER_WAIT: it runs, or has run out */
	if (ms > 0)
		loop_timer_set(l, &h->timer, ms);
	else
		loop_timer_clear(l, &h->timer);
}

/* Let go of the connection: it is gone, or somebody else's. Exchanges are told. */
static void let_go(struct http *h)
{
	struct http_exchange *x;

	set_timer(h, TIMER_NONE);
	struct loop *l = h->conn->env->loop;
	h->conn = NULL;
	while ((x = TAILQ_FIRST(&h->exchanges))) {
		bool was_open = x->state == EXCHANGE_OPEN;
		queue_remove(h, x);
		x->http = NULL;
		if (was_open && !x->on_abort)
			continue; /* until it is answered */
		if (was_open) {
			x->state = EXCHANGE_DEAD;
			x->on_abort(x);
		}
		http_exchange_discard(x, l);
	}
	loop_free_later(l, h, http_free);
}

static unsigned pipeline_max(const struct http *h)
{
	return h->cfg->pipeline_max ? h->cfg->pipeline_max : 1;
}

static bool may_read(const struct http *h)
{
	return h->conn && conn_is_open(h->conn) && !h->ended && !h->is_taking && !h->is_waiting &&
	       h->n < pipeline_max(h) && conn_out_bytes(h->conn) <= OUT_MAX;
}

/* Whether to read, which timer runs: derived from the state, after every change of it. */
static void settle(struct http *h)
{
	struct conn *c = h->conn;
	struct http_exchange *x;

	if (!c || !conn_is_open(c))
		return;
	if (!may_read(h)) {
		h->is_paused = true;
		conn_pause(c, h->is_waiting);
		set_timer(h, h->is_waiting ? TIMER_WAIT : TIMER_NONE);
		if (conn_out_bytes(c) > OUT_MAX)
			conn_call_on_drain(c, OUT_MARK);
		return;
	}
	if (h->is_paused) {
		h->is_paused = false;
		conn_resume(c);
	}
	if ((x = reading(h)))
		set_timer(h, x->wants_continue ? TIMER_NONE : TIMER_BODY);
	else if (h->pieces)
		set_timer(h, TIMER_HEAD);
	else
		set_timer(h, h->n == 0 ? TIMER_IDLE : TIMER_NONE);
}

/* The answer at the head of the queue has been sent. False when the connection ends behind it. */
static bool finish_first(struct http *h, struct http_exchange *x)
{
	bool closes = !x->keep_alive; /* as its head says */
	enum close_reason reason = (enum close_reason)x->close_reason;

	/* Its handler may still look at the request, unless that is gone. */
	struct loop *later = x->message ? h->conn->env->loop : NULL;

	queue_remove(h, x);
	http_exchange_discard(x, later);
	if (closes)
		conn_finish(h->conn, reason);
	return !closes;
}

static bool send_first(struct http *h, struct http_exchange *x)
{
	for (size_t i = 0; i < x->answer->n; i++)
		conn_send(h->conn, x->answer->frames[i]);
	return finish_first(h, x);
}

/* Until it is its turn. Takes head. */
static void keep_answer(struct http_exchange *x, struct frame *head, struct frame *const *frames,
			size_t n)
{
	struct http_answer *a = xmalloc(sizeof(*a) + (n + 1) * sizeof(*a->frames));

	a->n = n + 1;
	a->frames[0] = head;
	for (size_t i = 0; i < n; i++)
		a->frames[i + 1] = frame_ref(frames[i]);
	x->answer = a;
}

/* Takes head. */
static bool send_answer(struct http *h, struct http_exchange *x, struct frame *head,
			struct frame *const *frames, size_t n)
{
	conn_send(h->conn, head);
	frame_unref(head);
	for (size_t i = 0; i < n; i++)
		conn_send(h->conn, frames[i]);
	return finish_first(h, x);
}

static void pump(struct http *h)
{
	struct http_exchange *x;

	while (h->conn && conn_is_open(h->conn) && (x = TAILQ_FIRST(&h->exchanges))) {
		if (x->state == EXCHANGE_ANSWERED) {
			if (!send_first(h, x))
				return;
		} else if (x->is_taking && x->then) {
			void (*ready)(struct http_exchange *) = x->then;
			x->then = NULL;
			ready(x);
		} else if (x->state == EXCHANGE_READING && x->wants_continue) {
			x->wants_continue = false;
			conn_send_bytes(h->conn, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
			break;
		} else {
			break;
		}
	}
	if (h->conn && h->eof && TAILQ_EMPTY(&h->exchanges))
		conn_finish(h->conn, CLOSE_CLIENT_GONE);
}

bool http_closes_after(const struct http_exchange *x)
{
	const struct http *h = x->http;

	if (!x->keep_alive || !h)
		return true;
	/* Requests that were taken on behind this one get their answers too. */
	return (h->eof || h->cfg->is_draining) && !TAILQ_NEXT(x, link);
}

static void end_open(struct http_exchange *x)
{
	if (x->is_waiting)
		x->http->is_waiting = false;
	x->is_waiting = false;
	x->state = EXCHANGE_ANSWERED;
	x->answer = NULL;
}

void http_deliver(struct http_exchange *x, int status, struct frame *head,
		  struct frame *const *frames, size_t n)
{
	struct http *h = x->http;

	if (!h || !h->conn) {
		frame_unref(head);
		if (h)
			end_open(x); /* let_go() is on its way to it */
		else if (x->state == EXCHANGE_OPEN)
			http_exchange_discard(x, NULL);
		return;
	}
	assert(x->state == EXCHANGE_OPEN || x->state == EXCHANGE_READING);
	struct counters *counters = h->conn->env->counters;
	count_inc(counters, COUNTER_REQUESTS);
	if (status >= 400)
		count_inc(counters, COUNTER_REQUESTS_BAD);
	if (http_closes_after(x)) {
		x->keep_alive = false;
		h->ended = true;
	}
	if (x->state == EXCHANGE_READING)
		h->n++;
	end_open(x);
	if (TAILQ_FIRST(&h->exchanges) != x || !conn_is_open(h->conn))
		keep_answer(x, head, frames, n);
	else if (send_answer(h, x, head, frames, n))
		pump(h);
	settle(h);
}

/* --- refusals -------------------------------------------------------------------------------- */

static enum close_reason refusal_reason(enum fault_id id)
{
	switch (id) {
	case FAULT_TOO_LARGE:
	case FAULT_URI_TOO_LONG:
	case FAULT_HEADERS_TOO_LARGE:
		return CLOSE_TOO_BIG;
	default:
		return CLOSE_PROTOCOL;
	}
}

/* Answer what is being read, or what would have become a request, with an error; then end the
 * connection. */
static void refuse(struct http *h, const struct fault *f, enum close_reason reason)
{
	struct http_exchange *x = reading(h);

	if (!x) {
		x = http_exchange_new(h);
		queue_add(h, x);
	}
	h->ended = true;
	drop_pieces(h);
	x->keep_alive = false;
	x->close_reason = (uint8_t)reason;
	http_respond_fault(x, f->id, NULL, "%s", f->message);
}

static void refuse_input(struct http *h, const struct fault *f)
{
	refuse(h, f, refusal_reason(f->id));
}

static void refuse_scanned(struct http *h, enum fault_id id, const char *why)
{
	struct fault f;
	(void)fault_set(&f, id, "%s", why);
	refuse_input(h, &f);
}

static void on_timer(struct loop_timer *t)
{
	struct http *h = container_of(t, struct http, timer);
	CHECK_OBJ(h, HTTP_MAGIC);
	enum timer_mode mode = h->timer_mode;
	struct fault f;

	h->timer_mode = TIMER_NONE;
	if (!h->conn || !conn_is_open(h->conn))
		return;
	if (mode == TIMER_IDLE) {
		conn_finish(h->conn, CLOSE_IDLE_TIMEOUT);
	} else if (mode == TIMER_WAIT) {
		struct http_exchange *x = TAILQ_LAST(&h->exchanges, http_exchange_list);
		x->then(x);
	} else if (mode == TIMER_HEAD) {
		(void)fault_set(&f, FAULT_REQUEST_TIMEOUT,
				"the request head took too long to arrive; send it at once");
		refuse(h, &f, CLOSE_HEADER_TIMEOUT);
	} else if (mode == TIMER_BODY) {
		(void)fault_set(
			&f, FAULT_REQUEST_TIMEOUT,
			"no byte of the request body came for too long; send it without pauses");
		refuse(h, &f, CLOSE_BODY_TIMEOUT);
	}
}

/* --- reading --------------------------------------------------------------------------------- */

/* The request is complete: it is the handler's now. */
static void hand_over(struct http *h, struct http_exchange *x)
{
	h->n++;
	x->state = EXCHANGE_OPEN;
	if (!x->keep_alive)
		h->ended = true;
	if (x->method == HTTP_OPTIONS_)
		http_answer_options(x);
	else
		h->cfg->on_request(h->cfg->arg, x);
}

static size_t body_limit(const struct http *h, const struct http_exchange *x)
{
	return h->cfg->body_limit ? h->cfg->body_limit(h->cfg->arg, &x->message->req)
				  : h->cfg->body_max;
}

/* A head is complete. */
static void begin_request(struct http *h, const struct http_scan *s, struct slice head,
			  size_t body_near)
{
	struct http_exchange *x = http_exchange_new(h);
	struct fault f;
	int bad = http_parse_head(x, s, head, body_near, &f);
	struct http_message *m = x->message;

	queue_add(h, x);
	drop_pieces(h);
	if (bad) {
		refuse_input(h, &f);
		return;
	}
	m->body_max = body_limit(h, x);
	buf_init(&m->body, m->body_max ? m->body_max : 1);
	if (m->length > m->body_max) {
		(void)fault_set(&f, FAULT_TOO_LARGE,
				"the request body is larger than the %zu bytes this server takes "
				"here; send less",
				m->body_max);
		refuse_input(h, &f);
	} else if (m->length == 0 && !x->is_chunked) {
		hand_over(h, x);
	} else if (body_near > 0) {
		x->wants_continue = false; /* the client did not wait */
	} else {
		pump(h);
	}
}

/* Some empty lines before a request are ignored (RFC 9112 2.2); they begin nothing. */
static size_t skip_blank(struct http *h, struct slice bytes)
{
	size_t i = 0;
	while (i < bytes.n) {
		if (!h->blank_cr && bytes.p[i] != '\r')
			break;
		if (h->blank_cr && bytes.p[i] != '\n') {
			refuse_scanned(h, FAULT_BAD_REQUEST,
				       "a carriage return stands without a line feed before the "
				       "request");
			return bytes.n;
		}
		if (++h->blank_n > BLANK_MAX) {
			refuse_scanned(h, FAULT_BAD_REQUEST,
				       "only empty lines come where a request should begin");
			return bytes.n;
		}
		h->blank_cr = !h->blank_cr;
		i++;
	}
	if (i < bytes.n)
		h->blank_n = 0;
	return i;
}

/* The head, or as much of it as has come, goes on in the next input. */
static void keep_pieces(struct http *h, const struct http_scan *scan, struct slice bytes)
{
	if (!h->pieces) {
		h->pieces = xmalloc(sizeof(*h->pieces));
		buf_init(&h->pieces->head, h->cfg->head_max);
	}
	h->pieces->scan = *scan;
	(void)buf_add_slice(&h->pieces->head, bytes); /* the scanner has kept it within head_max */
}

static size_t take_head(struct http *h, struct slice bytes)
{
	size_t skipped = h->pieces ? 0 : skip_blank(h, bytes);
	struct http_scan scan = h->pieces ? h->pieces->scan : (struct http_scan){0};
	size_t used = 0;

	if (h->ended || skipped == bytes.n)
		return skipped;
	bytes = slice_skip(bytes, skipped);
	enum scan_verdict v = http_scan_head(&scan, bytes.p, bytes.n, h->cfg->head_max,
					     h->cfg->target_max, &used);
	if (v == SCAN_BAD) {
		refuse_scanned(h, scan.fault, scan.why);
		return bytes.n + skipped;
	}
	struct slice head = slice_make(bytes.p, used);
	if (v == SCAN_MORE || h->pieces) {
		keep_pieces(h, &scan, head);
		head = buf_slice(&h->pieces->head);
	}
	if (v == SCAN_DONE)
		begin_request(h, &scan, head, bytes.n - used);
	return skipped + used;
}

/* One run of body bytes, or chunk framing. */
static size_t take_body(struct http *h, struct http_exchange *x, struct slice bytes)
{
	struct http_message *m = x->message;
	struct slice data = bytes;
	size_t used;
	bool is_last;

	h->body_touched = true;
	x->wants_continue = false;
	if (x->is_chunked) {
		enum scan_verdict v = http_scan_chunks(&m->chunks, bytes, m->body_max,
						       h->cfg->head_max, &used, &data);
		if (v == SCAN_BAD) {
			refuse_scanned(h, m->chunks.fault, m->chunks.why);
			return bytes.n;
		}
		is_last = v == SCAN_DONE;
	} else {
		uint64_t left = m->length - m->received;
		data.n = used = left < bytes.n ? (size_t)left : bytes.n;
		is_last = used == left;
	}
	if (data.n > 0 && http_body_add(m, data) < 0)
		refuse_scanned(h, FAULT_TOO_LARGE,
			       "the request body is larger than this server takes; send less");
	else if (is_last)
		hand_over(h, x);
	return used;
}

static size_t on_input(struct conn *c, struct slice bytes)
{
	struct http *h = http_of(c);
	size_t at = 0;

	while (at < bytes.n && may_read(h)) {
		struct slice rest = slice_skip(bytes, at);
		struct http_exchange *x = reading(h);
		at += x ? take_body(h, x, rest) : take_head(h, rest);
	}
	if (!h->conn)
		return at;
	settle(h);
	/* Nobody will ever read what follows the last request, unless it is not HTTP. */
	return h->ended && !h->is_taking ? bytes.n : at;
}

static void on_eof(struct conn *c)
{
	struct http *h = http_of(c);

	h->eof = true;
	h->ended = true;
	if (h->is_waiting) {
		conn_close(c, CLOSE_CLIENT_GONE); /* which aborts the exchanges */
		return;
	}
	struct http_exchange *x = reading(h);
	if (x) { /* it will never be complete */
		queue_remove(h, x);
		http_exchange_discard(x, c->env->loop);
	}
	pump(h);
	settle(h);
}

static void on_drain(struct conn *c)
{
	settle(http_of(c));
}

static void on_closed(struct conn *c, enum close_reason reason)
{
	struct http *h = http_of(c);
	if (h->conn)
		let_go(h);
}

static const struct conn_ops http_ops = {
	.on_input = on_input,
	.on_eof = on_eof,
	.on_drain = on_drain,
	.on_closed = on_closed,
};

void http_serve(struct conn *c, const struct http_config *cfg)
{
	struct http *h = xcalloc(1, sizeof(*h));
	h->magic = HTTP_MAGIC;
	h->conn = c;
	h->cfg = cfg;
	TAILQ_INIT(&h->exchanges);
	loop_timer_init(&h->timer, on_timer);
	conn_set_owner(c, &http_ops, h);
	settle(h);
}

/* --- the exchange, as handlers see it -------------------------------------------------------- */

const struct http_request *http_exchange_request(const struct http_exchange *x)
{
	CHECK_OBJ(x, HTTP_EXCHANGE_MAGIC);
	assert(x->message); /* not behind http_exchange_wait */
	return &x->message->req;
}

struct conn *http_exchange_conn(const struct http_exchange *x)
{
	CHECK_OBJ(x, HTTP_EXCHANGE_MAGIC);
	return x->http ? x->http->conn : NULL;
}

void http_exchange_set(struct http_exchange *x, void *owner,
		       void (*on_abort)(struct http_exchange *x))
{
	CHECK_OBJ(x, HTTP_EXCHANGE_MAGIC);
	x->owner = owner;
	x->on_abort = on_abort;
}

void *http_exchange_owner(const struct http_exchange *x)
{
	CHECK_OBJ(x, HTTP_EXCHANGE_MAGIC);
	return x->owner;
}

void http_exchange_wait(struct http_exchange *x, uint64_t ms, void (*then)(struct http_exchange *x))
{
	CHECK_OBJ(x, HTTP_EXCHANGE_MAGIC);
	struct http *h = x->http;
	if (!h || !h->conn)
		return;
	/* Nothing is read meanwhile: it is the last, and the timer is its own. */
	assert(TAILQ_LAST(&h->exchanges, http_exchange_list) == x && !h->is_taking);
	http_exchange_forget(x);
	x->is_waiting = h->is_waiting = true;
	x->then = then;
	h->timer_mode = TIMER_WAIT;
	loop_timer_set(h->conn->env->loop, &h->timer, ms);
	settle(h);
}

void http_take_over(struct http_exchange *x, void (*ready)(struct http_exchange *x))
{
	CHECK_OBJ(x, HTTP_EXCHANGE_MAGIC);
	if (!x->http)
		return;
	x->then = ready;
	x->is_taking = x->http->is_taking = true;
	settle(x->http);
	pump(x->http);
}

struct conn *http_detach(struct http_exchange *x, struct slice head)
{
	CHECK_OBJ(x, HTTP_EXCHANGE_MAGIC);
	struct http *h = x->http;
	assert(h && h->conn && TAILQ_FIRST(&h->exchanges) == x);
	struct conn *c = h->conn;

	count_inc(c->env->counters, COUNTER_REQUESTS);
	conn_send_bytes(c, head);
	queue_remove(h, x);
	http_exchange_discard(x, c->env->loop);
	conn_resume(c);
	let_go(h);
	return c;
}

void http_close_if_idle(struct conn *c)
{
	if (c->ops != &http_ops || !conn_is_open(c))
		return;
	struct http *h = http_of(c);
	/* Who has just come, to look at our health perhaps, gets to say so. */
	if (c->in_total == 0 && (uint32_t)loop_now_ms(c->env->loop) - c->opened_ms < FRESH_MS)
		return;

	if (TAILQ_EMPTY(&h->exchanges) && !h->pieces)
		conn_finish(c, CLOSE_DRAIN);
}
