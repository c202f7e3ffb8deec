/* SPDX-License-Identifier: MIT */
/*
 * http_answer: the bytes of answers: status line, the headers that all have, errors as JSON, CORS.
 *
 * DESIGN. A complete answer is one frame (head and body together), or a head and references to
 * frames that others share; http.c sends it when its turn has come. In gzip it is always one frame,
 * because then it is nobody else's. The Date line is made once per second and thread.
 *
 * It must never decide about order or about the connection: http_closes_after() and http_deliver()
 * do.
 */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/obj.h"
#include "base/utf8.h"
#include "net/deflate.h"
#include "net/http_private.h"

#define METHODS "GET, HEAD, POST, PUT, DELETE, OPTIONS"
/* What the transports understand beside the headers a browser may always send. */
#define REQUEST_HEADERS                                                                \
	"Authorization, Cache-Control, Content-Type, Idempotency-Key, If-None-Match, " \
	"Last-Event-ID"
#define PREFLIGHT_SECONDS "86400"
#define HEAD_USUAL        1024 /* heads up to here are made without an allocation */

/* What the head of an answer says, beside what all say. */
struct outline {
	int status;
	const char *type, *extra_headers;
	bool is_gzip;
};

static const struct {
	int status;
	const char *text;
} status_texts[] = {
	{100, "Continue"},
	{101, "Switching Protocols"},
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{204, "No Content"},
	{304, "Not Modified"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{417, "Expectation Failed"},
	{422, "Unprocessable Content"},
	{426, "Upgrade Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{503, "Service Unavailable"},
	{505, "HTTP Version Not Supported"},
};

const char *http_status_text(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(status_texts); i++)
		if (status_texts[i].status == status)
			return status_texts[i].text;
	return "Unknown";
}

/* RFC 9110 5.6.7, in no locale but its own. */
static const char *date_now(void)
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	static _Thread_local char text[64];
	static _Thread_local time_t second = -1;

	time_t now = clock_wall_s();
	if (now == second)
		return text;
	struct tm t;
	if (!gmtime_r(&now, &t))
		return text;
	snprintf(text, sizeof(text), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[t.tm_wday],
		 t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
	second = now;
	return text;
}

/* --- CORS ------------------------------------------------------------------------------------ */

static bool cors_is_on(const struct http_config *cfg)
{
	return cfg->cors_origins && *cfg->cors_origins;
}

static bool origin_is_listed(const char *list, struct slice origin)
{
	while (*list) {
		size_t n = strcspn(list, " ");
		if (n == origin.n && n > 0 && memcmp(list, origin.p, n) == 0)
			return true;
		list += n + strspn(list + n, " ");
	}
	return false;
}

struct slice http_origin_named(const struct http_exchange *x)
{
	const struct http_config *cfg = x->http ? x->http->cfg : NULL;

	if (!cfg || !cors_is_on(cfg) || strcmp(cfg->cors_origins, "*") == 0)
		return slice_make(NULL, 0);
	if (!x->message)
		return x->origin ? slice_str(x->origin) : slice_make(NULL, 0);
	struct slice origin = http_header_get(&x->message->req, "origin");
	return origin.p && origin_is_listed(cfg->cors_origins, origin) ? origin
								       : slice_make(NULL, 0);
}

/* The value for Access-Control-Allow-Origin; p NULL: none. */
static struct slice cors_allowed(const struct http_exchange *x)
{
	return strcmp(x->http->cfg->cors_origins, "*") == 0 ? SLICE("*") : http_origin_named(x);
}

static void add_cors(struct buf *out, const struct http_exchange *x)
{
	const struct http_config *cfg = x->http->cfg;

	if (!cors_is_on(cfg))
		return;
	struct slice allowed = cors_allowed(x);
	if (allowed.p) {
		buf_add_str(out, "Access-Control-Allow-Origin: ");
		buf_add_slice(out, allowed);
		buf_add_str(out, "\r\nAccess-Control-Expose-Headers: ETag, Retry-After\r\n");
	}
	if (strcmp(cfg->cors_origins, "*") != 0)
		buf_add_str(out, "Vary: Origin\r\n"); /* whatever the answer was this time */
}

void http_answer_options(struct http_exchange *x)
{
	static const char preflight[] = "Allow: " METHODS "\r\n"
					"Access-Control-Allow-Methods: " METHODS "\r\n"
					"Access-Control-Allow-Headers: " REQUEST_HEADERS "\r\n"
					"Access-Control-Max-Age: " PREFLIGHT_SECONDS "\r\n";
	const struct http_request *r = &x->message->req;
	const struct http_config *cfg = x->http->cfg;

	if (slice_eq_str(r->path, "*") || (cors_is_on(cfg) && !http_header_get(r, "origin").p))
		http_respond(x, 204, NULL, "Allow: " METHODS "\r\n", SLICE(""));
	else if (!cors_is_on(cfg))
		http_respond_fault(x, FAULT_NOT_FOUND, NULL,
				   "there is nothing to preflight: no other origin may use this "
				   "server; the operator can set cors_origins");
	else if (!cors_allowed(x).p)
		http_respond_fault(x, FAULT_FORBIDDEN, NULL,
				   "pages of this origin may not use this server; the operator can "
				   "add it to cors_origins");
	else
		http_respond(x, 204, NULL, preflight, SLICE(""));
}

/* --- answers --------------------------------------------------------------------------------- */

/* "name value CRLF"; heads are many, and printf is dear. */
static inline void add_words(struct buf *out, const char *name, const char *value)
{
	buf_add_str(out, name);
	buf_add_str(out, value);
	buf_add_str(out, "\r\n");
}

void http_head_begin(struct buf *out, const struct http_exchange *x, int status,
		     const char *connection)
{
	const struct http_config *cfg = x->http ? x->http->cfg : NULL;

	buf_add_str(out, "HTTP/1.1 ");
	buf_add_u64(out, (uint64_t)status);
	add_words(out, " ", http_status_text(status));
	add_words(out, "Date: ", date_now());
	if (cfg && cfg->server)
		add_words(out, "Server: ", cfg->server);
	if (connection)
		add_words(out, "Connection: ", connection);
	if (cfg)
		add_cors(out, x);
}

/* Head, empty line included, for a body of body_n bytes. */
static void add_head(struct buf *out, const struct http_exchange *x, const struct outline *o,
		     size_t body_n)
{
	const char *connection = NULL;

	if (http_closes_after(x))
		connection = "close";
	else if (x->minor == 0)
		connection = "keep-alive";
	http_head_begin(out, x, o->status, connection);
	if (o->type)
		add_words(out, "Content-Type: ", o->type);
	if (o->status != 204 && o->status != 304) {
		buf_add_str(out, "Content-Length: ");
		buf_add_u64(out, body_n);
		buf_add_str(out, "\r\n");
	}
	if (o->is_gzip)
		buf_add_str(out, "Content-Encoding: gzip\r\n");
	if (http_varies(x, o->status, o->type))
		buf_add_str(out, "Vary: Accept-Encoding\r\n");
	buf_add_str(out, o->extra_headers ? o->extra_headers : "");
	buf_add_str(out, "\r\n");
}

/* A frame that begins with the head of an answer with so much of a body, and has room for `room`
 * bytes of it: *ret_at. */
static struct frame *frame_of_head(const struct http_exchange *x, const struct outline *o,
				   size_t body_n, size_t room, size_t *ret_at)
{
	static _Thread_local char usual[HEAD_USUAL];
	struct buf head;

	buf_init_lent(&head, 0, usual, sizeof(usual));
	add_head(&head, x, o, body_n);
	struct frame *f = frame_new(head.n + room);
	memcpy(f->bytes, head.p, head.n);
	*ret_at = head.n;
	buf_fini(&head);
	return f;
}

static bool has_body(const struct http_exchange *x, int status)
{
	return status != 204 && status != 304 && x->method != HTTP_HEAD_;
}

static void respond_whole(struct http_exchange *x, const struct outline *o, struct slice body)
{
	size_t body_n = has_body(x, o->status) ? body.n : 0, at;
	struct frame *f = frame_of_head(x, o, body.n, body_n, &at);

	if (body_n > 0)
		memcpy(f->bytes + at, body.p, body_n);
	http_deliver(x, o->status, f, NULL, 0);
}

void http_respond(struct http_exchange *x, int status, const char *type, const char *extra_headers,
		  struct slice body)
{
	CHECK_OBJ(x, HTTP_EXCHANGE_MAGIC);
	struct outline o = {status, type, extra_headers, false};
	struct slice packed;

	if (http_wants_gzip(x, status, type, body.n)) {
		struct deflater *d = x->http->cfg->deflater;

		deflater_gzip_begin(d, body.n);
		deflater_gzip_add(d, body, false);
		if (deflater_gzip_end(d, &packed) == 0) {
			o.is_gzip = true;
			respond_whole(x, &o, packed);
			return;
		}
	}
	respond_whole(x, &o, body);
}

void http_respond_packed(struct http_exchange *x, int status, const char *type,
			 const char *extra_headers, struct slice body, struct slice packed)
{
	CHECK_OBJ(x, HTTP_EXCHANGE_MAGIC);
	struct outline o = {status, type, extra_headers, http_wants_gzip(x, status, type, body.n)};

	respond_whole(x, &o, o.is_gzip ? packed : body);
}

static int gzip_frames(struct deflater *d, struct frame *const *frames, size_t n, size_t body_n,
		       struct slice *ret)
{
	deflater_gzip_begin(d, body_n);
	for (size_t i = 0; i < n; i++)
		deflater_gzip_add(d, slice_make(frames[i]->bytes, frames[i]->n),
				  frames[i]->is_secret);
	return deflater_gzip_end(d, ret);
}

void http_respond_frames(struct http_exchange *x, int status, const char *type,
			 const char *extra_headers, struct frame *const *frames, size_t n)
{
	CHECK_OBJ(x, HTTP_EXCHANGE_MAGIC);
	struct outline o = {status, type, extra_headers, false};
	struct slice packed;
	size_t body_n = 0, at;
	for (size_t i = 0; i < n; i++)
		body_n += frames[i]->n;
	if (http_wants_gzip(x, status, type, body_n) &&
	    gzip_frames(x->http->cfg->deflater, frames, n, body_n, &packed) == 0) {
		o.is_gzip = true;
		respond_whole(x, &o, packed);
		return;
	}
	struct frame *f = frame_of_head(x, &o, body_n, 0, &at);
	http_deliver(x, status, f, frames, has_body(x, status) ? n : 0);
}

void http_respond_fault(struct http_exchange *x, enum fault_id id, const char *extra_headers,
			const char *fmt, ...)
{
	char message[512];
	struct buf body = {0}, headers = {0};
	va_list args;

	va_start(args, fmt);
	int printed = vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	size_t n = printed < 0 ? 0 : strnlen(message, sizeof(message));
	while (n > 0 && !utf8_is_valid(message, n))
		n--; /* cut in the middle of a character */
	buf_add_str(&body, "{\"error\":{\"code\":");
	json_add_string(&body, slice_str(fault_code(id)));
	buf_add_str(&body, ",\"message\":");
	json_add_string(&body, slice_make(message, n));
	buf_add_str(&body, "}}\n");
	/* Some statuses may be cached without being asked to (RFC 9110 15.1). */
	buf_add_str(&headers, "Cache-Control: no-store\r\n");
	buf_add_str(&headers, extra_headers ? extra_headers : "");
	buf_add_char(&headers, '\0');
	http_respond(x, fault_status(id), "application/json", headers.p, buf_slice(&body));
	buf_fini(&headers);
	buf_fini(&body);
}
