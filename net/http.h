/* SPDX-License-Identifier: MIT */
/*
 * http: HTTP/1.1 server side of one connection (RFC 9110, 9112), on llhttp. Strict about everything
 * that requests are smuggled with. A request is handed over when its body is complete. Requests may
 * be pipelined: each is an exchange, handled as it arrives, and answers leave in the order of the
 * requests.
 *
 *   conn ──bytes──▶ http ──on_request──▶ handler … http_respond ──frames──▶ conn
 *
 * An exchange lives from on_request until its answer is complete or the client is gone (on_abort).
 * Thread: the owner loop's.
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/frame.h"
#include "base/slice.h"
#include "net/conn.h"

struct http;
struct http_exchange;

enum http_method {
	HTTP_GET_,
	HTTP_HEAD_,
	HTTP_POST_,
	HTTP_PUT_,
	HTTP_DELETE_,
	HTTP_OPTIONS_,
	HTTP_OTHER_
};

#define HTTP_HEADERS_MAX 100
#define HTTP_PARAMS_MAX  1100 /* more would be a channel list beyond every limit */

struct http_header {
	struct slice name, value; /* value without white space around it */
};

/* Valid during on_request only, except through an exchange that has not been answered yet, and was
 * not told to wait or to forget it: then until it is. */
struct http_request {
	enum http_method method;
	struct slice method_text;
	uint8_t minor;      /* HTTP/1.minor */
	struct slice path;  /* percent-decoded; begins with '/'; no NUL */
	struct slice query; /* raw, without '?' */
	struct slice body;
	struct http_header *headers;
	size_t header_n;
	struct http_header *params; /* decoded query: name → value, '+' is a space; in order */
	size_t param_n;
	bool is_admin;      /* came in through the admin socket */
	bool wants_upgrade; /* Connection: upgrade */
};

/* First header of this name (case-insensitive), or an empty slice with p == NULL. */
struct slice http_header_get(const struct http_request *r, const char *name);
size_t http_header_count(const struct http_request *r, const char *name);
/* Is token among the comma-separated words of all headers of this name? Case-insensitive. */
bool http_header_has_token(const struct http_request *r, const char *name, const char *token);
/* First query parameter, or an empty slice with p == NULL. */
struct slice http_param_get(const struct http_request *r, const char *name);

struct http_config {
	size_t head_max; /* bytes of request line and headers together: 431; of the target alone:
			    414 */
	size_t target_max;
	size_t body_max;          /* 413 */
	uint64_t head_timeout_ms; /* from the first byte of a request to the end of its head: 408 */
	uint64_t body_timeout_ms; /* without a byte of body: 408 */
	uint64_t idle_timeout_ms; /* keep-alive without a request: closed */
	unsigned
		pipeline_max; /* unanswered requests per connection; more are not read until then */
	const char *server;   /* Server header, e.g. "holdfast" ; NULL: none */
	const char *cors_origins; /* "*", or origins separated by spaces; "" none: no CORS headers,
				     preflight 404 */

	struct deflater *deflater; /* for Content-Encoding: gzip; NULL: never */

	/* A request is complete. Must answer it, now or later, by one of the functions below.
	 * OPTIONS never comes here: it is answered inside. */
	void (*on_request)(void *arg, struct http_exchange *x);
	/* The body is larger than body_max for this path? Called when the head is complete; NULL:
	 * body_max for all. (Batch publishes and admin calls may have their own limit.) */
	size_t (*body_limit)(void *arg, const struct http_request *r);
	void *arg;
	bool is_draining; /* set by the owner: every answer is the last of its connection */
};

/* Serve HTTP on this connection (takes over c->ops and c->owner). cfg is shared and outlives it. */
void http_serve(struct conn *c, const struct http_config *cfg);

/* The node drains: close the connection, unless a request is being read or answered on it, or it is
 * not HTTP any more. Answers close it when cfg->is_draining. */
void http_close_if_idle(struct conn *c);

/* --- the exchange ---------------------------------------------------------------------------- */

const struct http_request *http_exchange_request(const struct http_exchange *x);
/* NULL once the connection is gone. */
struct conn *http_exchange_conn(const struct http_exchange *x);
/* The handler's own. on_abort is called once if the client goes before the answer is complete; x
 * dies after it. Without on_abort, x lives on, without a connection, until it is answered. */
void http_exchange_set(struct http_exchange *x, void *owner,
		       void (*on_abort)(struct http_exchange *x));
void *http_exchange_owner(const struct http_exchange *x);

/* A complete answer. extra_headers: "Name: value\r\n…" or "". Date, Content-Length, Connection,
 * CORS headers are added; HEAD gets no body; 304 and 204 get none either. type may be NULL when
 * there is no body. Text that was asked for with GET goes in gzip where the client takes it and it
 * is worth it. x is gone afterwards. */
void http_respond(struct http_exchange *x, int status, const char *type, const char *extra_headers,
		  struct slice body);
/* The same with a body of frames joined (poll replies share items): body_n bytes in total. Takes no
 * references. */
void http_respond_frames(struct http_exchange *x, int status, const char *type,
			 const char *extra_headers, struct frame *const *frames, size_t n);
/* The same with the body in gzip as well, made beforehand: what is wanted of the two. */
void http_respond_packed(struct http_exchange *x, int status, const char *type,
			 const char *extra_headers, struct slice body, struct slice packed);
/* Will such an answer, with a body of body_n bytes, go in gzip? A strong entity tag would name
 * another one then. (It may still turn out not to be smaller.) */
bool http_wants_gzip(const struct http_exchange *x, int status, const char *type, size_t body_n);
/* {"error":{"code","message"}} with the fault's status (and Allow, Retry-After,
 * Sec-WebSocket-Version in extra_headers if given). */
void http_respond_fault(struct http_exchange *x, enum fault_id id, const char *extra_headers,
			const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Nobody will look at the request any more: its memory goes now, not with the answer. */
void http_exchange_forget(struct http_exchange *x);
/* Waiting long (long poll), inside on_request or later: from now on a client that hangs up (FIN
 * too) is noticed at once: on_abort. Input that comes meanwhile is kept up to the limits and not
 * parsed until the answer is complete. `then` is called once if there is none after ms; calling
 * this again sets another time. The request is gone: nobody may look at it any more. */
void http_exchange_wait(struct http_exchange *x, uint64_t ms,
			void (*then)(struct http_exchange *x));

/* A stream (SSE): take the connection away from HTTP. Only for the exchange whose turn it is: when
 * earlier ones are unanswered, `ready` is called later instead of at once. Before ready, on_abort
 * may come instead. */
void http_take_over(struct http_exchange *x, void (*ready)(struct http_exchange *x));
/* Inside ready: end the HTTP life of the connection: exchange and parser are freed, the conn is the
 * caller's (it must conn_set_owner at once); head, if not empty, is sent first. Unconsumed input
 * stays in the conn. */
struct conn *http_detach(struct http_exchange *x, struct slice head);

/* Append the standard head lines (status line, Date, Server, CORS, Connection …) without
 * Content-Length, for streams. connection: value of the Connection header or NULL. Ends without the
 * empty line. */
void http_head_begin(struct buf *out, const struct http_exchange *x, int status,
		     const char *connection);

const char *http_status_text(int status);

#endif
