/* SPDX-License-Identifier: MIT */
/*
 * http_parse: from a scanned head to an exchange with a request in it, and the bytes of its body.
 *
 * DESIGN. The head is copied once, into the exchange's own block, and the request's slices point
 * there: they stay valid as long as the exchange. Counts for everything in the block come from
 * http_scan, so it is allocated once. A small body that has arrived with its head goes into the
 * same block; others go to a buf that grows as bytes come, so that a Content-Length alone reserves
 * next to nothing.
 *
 * What http_scan has let through can be cut at its first colons and CRLFs. Then llhttp reads the
 * same bytes, and has to come to the same method, version, number of fields and length of the body:
 * two readings of one request is what smuggling is made of, so a difference is a refusal. Bodies
 * need no second opinion: their length is a number, or chunks that http_scan has measured.
 *
 * It must never send or close anything: http.c does, with the fault that is returned here.
 */
#include <errno.h>
#include <llhttp.h>
#include <stdlib.h>

#include "base/obj.h"
#include "base/xalloc.h"
#include "net/http_private.h"

#define INLINE_BODY_MAX 4096
#define RESERVE_MAX     65536 /* of a body that is announced but not there */

/* --- the second opinion ---------------------------------------------------------------------- */

/* What llhttp made of a head. */
struct reading {
	unsigned fields;
	bool is_done;
	bool is_chunked;
	uint64_t length;
};

static int on_header_field_complete(llhttp_t *parser)
{
	struct reading *seen = parser->data;
	seen->fields++;
	return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
	struct reading *seen = parser->data;
	seen->is_done = true;
	seen->is_chunked = (parser->flags & F_CHUNKED) != 0;
	seen->length = (parser->flags & F_CONTENT_LENGTH) ? parser->content_length : 0;
	return 0;
}

static int ask_llhttp(const struct http_exchange *x, struct slice head, struct fault *ret)
{
	static const llhttp_settings_t settings = {
		.on_header_field_complete = on_header_field_complete,
		.on_headers_complete = on_headers_complete,
	};
	const struct http_message *m = x->message;
	const struct http_request *r = &m->req;
	struct reading seen = {0};
	llhttp_t parser;

	llhttp_init(&parser, HTTP_REQUEST, &settings);
	parser.data = &seen;
	llhttp_errno_t err = llhttp_execute(&parser, head.p, head.n);
	/* Upgrade is the handler's business: for llhttp the message just ends. */
	if (err != HPE_OK && err != HPE_PAUSED_UPGRADE) {
		const char *reason = llhttp_get_error_reason(&parser);
		return fault_set(ret, FAULT_BAD_REQUEST,
				 "the request is malformed (%s); send it as RFC 9112 says",
				 reason && *reason ? reason : llhttp_errno_name(err));
	}
	if (!seen.is_done || seen.fields != r->header_n || seen.is_chunked != x->is_chunked ||
	    seen.length != m->length || parser.http_major != 1 || parser.http_minor != r->minor ||
	    !slice_eq_str(r->method_text, llhttp_method_name(parser.method)))
		return fault_set(ret, FAULT_BAD_REQUEST,
				 "the request head is ambiguous; send it as RFC 9112 says");
	return 0;
}

/* --- what the fields say --------------------------------------------------------------------- */

static int check_host(const struct http_request *r, struct fault *ret)
{
	size_t n = http_header_count(r, "host");
	if (n > 1)
		return fault_set(ret, FAULT_BAD_REQUEST,
				 "the request has %zu Host headers; send one", n);
	if (n == 0 && r->minor > 0)
		return fault_set(ret, FAULT_BAD_REQUEST,
				 "the Host header is missing; HTTP/1.1 requires it");
	if (n == 1 && !http_host_is_valid(http_header_get(r, "host")))
		return fault_set(ret, FAULT_BAD_REQUEST,
				 "the Host header is malformed; send host or host:port");
	return 0;
}

/* 1*DIGIT without overflow, and nothing else. */
static bool parse_length(struct slice text, uint64_t *ret)
{
	uint64_t v = 0;
	if (text.n == 0 || text.n > 18)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		v = v * 10 + (unsigned)(text.p[i] - '0');
	}
	*ret = v;
	return true;
}

static int check_transfer_encoding(struct http_exchange *x, size_t n, struct fault *ret)
{
	const struct http_request *r = &x->message->req;
	struct slice te = http_header_get(r, "transfer-encoding");

	if (r->minor == 0)
		return fault_set(ret, FAULT_BAD_REQUEST,
				 "HTTP/1.0 has no Transfer-Encoding; send Content-Length");
	if (http_header_get(r, "content-length").p)
		return fault_set(ret, FAULT_BAD_REQUEST,
				 "the request has both Content-Length and Transfer-Encoding; send "
				 "one of them");
	if (n > 1 || te.n == 0)
		return fault_set(ret, FAULT_BAD_REQUEST,
				 "the Transfer-Encoding header is empty or repeated; send one, "
				 "saying chunked");
	if (!slice_eq_nocase(te, "chunked"))
		return fault_set(ret, FAULT_NOT_IMPLEMENTED,
				 "the only Transfer-Encoding this server knows is chunked; send "
				 "exactly that");
	x->is_chunked = true;
	return 0;
}

static int check_length(struct http_exchange *x, struct fault *ret)
{
	const struct http_request *r = &x->message->req;
	size_t encodings = http_header_count(r, "transfer-encoding");
	size_t lengths = http_header_count(r, "content-length");

	if (encodings > 0)
		return check_transfer_encoding(x, encodings, ret);
	if (lengths > 1)
		return fault_set(ret, FAULT_BAD_REQUEST,
				 "the request has %zu Content-Length headers; send one", lengths);
	if (lengths == 1 &&
	    !parse_length(http_header_get(r, "content-length"), &x->message->length))
		return fault_set(
			ret, FAULT_BAD_REQUEST,
			"the Content-Length header is not a plain decimal number in range");
	return 0;
}

static int check_expect(struct http_exchange *x, struct fault *ret)
{
	const struct http_request *r = &x->message->req;
	size_t n = http_header_count(r, "expect");

	if (n == 0 || r->minor == 0)
		return 0;
	if (n > 1 || !slice_eq_nocase(http_header_get(r, "expect"), "100-continue"))
		return fault_set(ret, FAULT_EXPECTATION,
				 "the only expectation this server meets is 100-continue; send "
				 "that or no Expect header");
	x->wants_continue = true;
	return 0;
}

static int check_fields(struct http_exchange *x, struct fault *ret)
{
	int r = check_host(&x->message->req, ret);
	if (r == 0)
		r = check_length(x, ret);
	if (r == 0)
		r = check_expect(x, ret);
	return r;
}

static const struct {
	const char *name;
	enum http_method method;
} methods[] = {
	{"GET", HTTP_GET_},     {"HEAD", HTTP_HEAD_},     {"POST", HTTP_POST_},
	{"PUT", HTTP_PUT_},     {"DELETE", HTTP_DELETE_}, {"OPTIONS", HTTP_OPTIONS_},
	{"PATCH", HTTP_OTHER_}, {"TRACE", HTTP_OTHER_},
};

/* Methods are names with case (RFC 9110 9.1). */
static int check_method(struct http_request *r, struct fault *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (slice_eq_str(r->method_text, methods[i].name)) {
			r->method = methods[i].method;
			return 0;
		}
	}
	r->method = HTTP_OTHER_;
	if (slice_eq_str(r->method_text, "CONNECT"))
		return fault_set(ret, FAULT_BAD_REQUEST, "this server is no proxy; do not CONNECT");
	return fault_set(ret, FAULT_NOT_IMPLEMENTED, "this server does not know the method %.*s",
			 SLICE_ARG(r->method_text));
}

/* --- exchanges ------------------------------------------------------------------------------- */

struct http_exchange *http_exchange_new(struct http *h)
{
	struct http_exchange *x = xcalloc(1, sizeof(*x));

	x->magic = HTTP_EXCHANGE_MAGIC;
	x->method = HTTP_OTHER_;
	x->http = h;
	return x;
}

static void message_free(struct http_message *m)
{
	if (!m)
		return;
	buf_fini(&m->body);
	free(m);
}

static void exchange_free(void *p)
{
	struct http_exchange *x = p;
	CHECK_OBJ(x, HTTP_EXCHANGE_MAGIC);
	free(x->origin);
	message_free(x->message);
	x->magic = 0;
	free(x);
}

static void answer_free(struct http_answer *a)
{
	for (size_t i = 0; a && i < a->n; i++)
		frame_unref(a->frames[i]);
	free(a);
}

void http_exchange_discard(struct http_exchange *x, struct loop *l)
{
	if (x->state == EXCHANGE_ANSWERED)
		answer_free(x->answer);
	x->state = EXCHANGE_DEAD;
	x->http = NULL;
	if (l)
		loop_free_later(l, x, exchange_free);
	else
		exchange_free(x);
}

void http_exchange_forget(struct http_exchange *x)
{
	CHECK_OBJ(x, HTTP_EXCHANGE_MAGIC);
	struct http_message *m = x->message;
	struct slice origin = http_origin_named(x);

	if (!m)
		return;
	http_keep_codings(x);
	if (origin.p)
		x->origin = xstrndup(origin.p, origin.n);
	x->message = NULL;
	message_free(m);
}

/* Lay out the block: struct, headers, params, head, decoded text, body. All sizes are within cfg's
 * limits. */
static struct http_message *message_new(const struct http_scan *s, size_t head_n,
					bool may_have_body, size_t body_near)
{
	size_t params_n = s->pairs + 1 < HTTP_PARAMS_MAX ? s->pairs + 1 : HTTP_PARAMS_MAX;
	size_t pairs_n = s->lines + params_n;
	size_t room = may_have_body && body_near <= INLINE_BODY_MAX ? body_near : 0;

	struct http_message *m = xmalloc(sizeof(*m) + pairs_n * sizeof(struct http_header) +
					 head_n + s->target_n + room);
	memset(m, 0, sizeof(*m));
	m->req.body = m->req.path = m->req.query = m->req.method_text = SLICE("");
	m->req.headers = (struct http_header *)(m + 1);
	m->req.params = m->req.headers + s->lines;
	m->head = (char *)(m->req.headers + pairs_n);
	m->decoded = m->head + head_n;
	m->inline_body = m->decoded + s->target_n;
	m->inline_room = room;
	return m;
}

/* Everything up to the next byte c, which is skipped with as many as separate. The scanner has seen
 * it, and that there is no CR but before an LF. */
static struct slice cut(struct slice *text, char c, size_t separator_n)
{
	const char *at = memchr(text->p, c, text->n);
	struct slice first = slice_make(text->p, (size_t)(at - text->p));
	*text = slice_skip(*text, first.n + separator_n);
	return first;
}

static struct slice trim(struct slice s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = slice_skip(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static void cut_head(struct http_message *m, struct slice head)
{
	struct http_request *r = &m->req;
	r->method_text = cut(&head, ' ', 1);
	m->target = cut(&head, ' ', 1);
	(void)cut(&head, '\r', 2);
	while (head.p[0] != '\r') {
		struct slice line = cut(&head, '\r', 2);
		struct http_header *field = &r->headers[r->header_n++];
		field->name = cut(&line, ':', 1);
		field->value = trim(line);
	}
}

static void note_connection(struct http_exchange *x)
{
	struct http_request *r = &x->message->req;
	x->keep_alive = !http_header_has_token(r, "connection", "close") &&
			(r->minor > 0 || http_header_has_token(r, "connection", "keep-alive"));
	r->wants_upgrade = r->minor > 0 && http_header_has_token(r, "connection", "upgrade");
}

int http_parse_head(struct http_exchange *x, const struct http_scan *s, struct slice head,
		    size_t body_near, struct fault *ret)
{
	struct http_message *m = message_new(s, head.n, head.p[0] != 'G', body_near);
	struct http_request *r = &m->req;

	x->message = m;
	memcpy(m->head, head.p, head.n);
	head = slice_make(m->head, head.n);
	r->is_admin = x->http->conn->is_admin;
	x->minor = r->minor = s->minor;
	cut_head(m, head);
	int bad = check_method(r, ret);
	x->method = (uint8_t)r->method;
	if (!bad)
		bad = check_fields(x, ret);
	if (!bad)
		bad = ask_llhttp(x, head, ret);
	if (bad)
		return bad;
	const char *why = http_target_parse(r, m->target, http_header_get(r, "host"), m->decoded);
	if (why)
		return fault_set(ret, FAULT_BAD_REQUEST, "%s", why);
	note_connection(x);
	if (x->is_chunked || m->length > m->inline_room)
		m->inline_body = NULL;
	return 0;
}

int http_body_add(struct http_message *m, struct slice bytes)
{
	if (m->inline_body) {
		assert(bytes.n <= m->inline_room - m->received);
		memcpy(m->inline_body + m->received, bytes.p, bytes.n);
	} else {
		/* What is announced and near at hand is made room for at once. */
		if (m->received == 0 && m->length > 0)
			(void)buf_reserve(&m->body,
					  m->length < RESERVE_MAX ? m->length : RESERVE_MAX);
		if (buf_add_slice(&m->body, bytes) < 0)
			return -ENOBUFS;
	}
	m->received += bytes.n;
	m->req.body =
		m->inline_body ? slice_make(m->inline_body, m->received) : buf_slice(&m->body);
	return 0;
}

/* --- looking things up ----------------------------------------------------------------------- */

/* Case-insensitive. */
static bool is_named(const struct http_header *h, struct slice name)
{
	return h->name.n == name.n && strncasecmp(h->name.p, name.p, name.n) == 0;
}

struct slice http_header_get(const struct http_request *r, const char *name)
{
	struct slice wanted = slice_str(name);

	for (size_t i = 0; i < r->header_n; i++)
		if (is_named(&r->headers[i], wanted))
			return r->headers[i].value;
	return slice_make(NULL, 0);
}

size_t http_header_count(const struct http_request *r, const char *name)
{
	struct slice wanted = slice_str(name);
	size_t n = 0;

	for (size_t i = 0; i < r->header_n; i++)
		n += is_named(&r->headers[i], wanted);
	return n;
}

static bool list_has_token(struct slice list, const char *token)
{
	size_t at = 0;
	while (at < list.n) {
		size_t end = at;
		while (end < list.n && list.p[end] != ',')
			end++;
		size_t from = at, to = end;
		while (from < to && (list.p[from] == ' ' || list.p[from] == '\t'))
			from++;
		while (to > from && (list.p[to - 1] == ' ' || list.p[to - 1] == '\t'))
			to--;
		if (slice_eq_nocase(slice_make(list.p + from, to - from), token))
			return true;
		at = end + 1;
	}
	return false;
}

bool http_header_has_token(const struct http_request *r, const char *name, const char *token)
{
	struct slice wanted = slice_str(name);

	for (size_t i = 0; i < r->header_n; i++)
		if (is_named(&r->headers[i], wanted) && list_has_token(r->headers[i].value, token))
			return true;
	return false;
}

struct slice http_param_get(const struct http_request *r, const char *name)
{
	struct slice wanted = slice_str(name);

	for (size_t i = 0; i < r->param_n; i++)
		if (slice_eq(r->params[i].name, wanted))
			return r->params[i].value;
	return slice_make(NULL, 0);
}
