/* SPDX-License-Identifier: MIT */
/*
 * http_private: what the http_*.c files share; nobody else includes it.
 *
 *   http.c         the connection: which request is read, which exchange is answered, timers
 *   http_scan.c    strict scanners over heads and chunk framing, in front of llhttp (pure)
 *   http_parse.c   head → exchange through llhttp, and what a head must and must not say
 *   http_target.c  request target, percent-decoding, query parameters, Host (pure)
 *   http_answer.c  heads of answers, Date, CORS, errors
 *   http_gzip.c    which answers go in gzip
 *
 * Thread: the owner loop's.
 */
#ifndef NET_HTTP_PRIVATE_H
#define NET_HTTP_PRIVATE_H

#include "base/buf.h"
#include "base/list.h"
#include "net/http.h"

/* --- http_scan.c ----------------------------------------------------------------------------- */

enum scan_verdict { SCAN_MORE, SCAN_DONE, SCAN_BAD };

/* One request head, byte by byte. Zeroed: at the first byte of a method. */
struct http_scan {
	uint8_t state;
	uint8_t minor;       /* HTTP/1.minor, once DONE */
	uint8_t at;          /* position in the method or version */
	uint16_t lines;      /* header lines */
	uint32_t target_n;   /* bytes of the target */
	uint32_t pairs;      /* '&' in the target */
	size_t bytes;        /* of the head */
	enum fault_id fault; /* when BAD, with words for the client */
	const char *why;
};

/* Look at n bytes. *ret_used: how many belong to the head (all of them when MORE). */
enum scan_verdict http_scan_head(struct http_scan *s, const char *p, size_t n, size_t head_max,
				 size_t target_max, size_t *ret_used);

/* A chunked body. Zeroed: at the first chunk size. */
struct http_chunk_scan {
	uint8_t state;
	uint8_t digits; /* of the size */
	uint64_t left;  /* bytes of the chunk still to come */
	uint64_t total; /* of all chunks announced */
	size_t extra;   /* bytes of extensions and trailers */
	enum fault_id fault;
	const char *why;
};

/* The same for a chunked body of at most body_max bytes, with extra_max of extensions and trailers.
 * Stops behind each run of data too, which is then *ret_data (else empty). */
enum scan_verdict http_scan_chunks(struct http_chunk_scan *s, struct slice in, size_t body_max,
				   size_t extra_max, size_t *ret_used, struct slice *ret_data);

/* RFC 9110 5.6.2 */
bool http_is_token_char(unsigned char c);

/* --- http_target.c --------------------------------------------------------------------------- */

/* Decode %XX (and '+' if plus_is_space) into out, which has room for text.n bytes. Return the
 * length, or -EINVAL for malformed escapes and %00. */
ssize_t http_percent_decode(struct slice text, bool plus_is_space, char *out);
/* RFC 9110 7.2: uri-host [ ":" port ], not empty. */
bool http_host_is_valid(struct slice host);
/* Fill path, query and params of r from the target; decoded text goes to out (room for target.n + 1
 * bytes), pairs to r->params, which has room for what http_scan counted. host: of the Host header
 * (p NULL: none). Return NULL, or what is wrong. */
const char *http_target_parse(struct http_request *r, struct slice target, struct slice host,
			      char *out);

/* --- the objects ----------------------------------------------------------------------------- */

#define HTTP_MAGIC          0x48545450u
#define HTTP_EXCHANGE_MAGIC 0x45584348u

enum exchange_state {
	EXCHANGE_READING,  /* the body is not complete */
	EXCHANGE_OPEN,     /* the handler has it */
	EXCHANGE_ANSWERED, /* the answer waits for its turn */
	EXCHANGE_DEAD,     /* out of the queue; freed at the end of the turn */
};

/* A request as it came. One block: this struct, headers, params, head bytes, decoded text, small
 * body. */
struct http_message {
	struct http_request req;
	struct slice target;
	char *head, *decoded; /* in this block */
	uint64_t length;      /* Content-Length */
	uint64_t received;    /* bytes of the body so far */
	size_t body_max;
	char *inline_body; /* room for the whole body in this block, or NULL */
	size_t inline_room;
	struct buf body; /* otherwise */
	struct http_chunk_scan chunks;
};

/* Frames of an answer that waits for its turn. */
struct http_answer {
	size_t n;
	struct frame *frames[];
};

/* Many of them wait for a long time: what they do not need then is elsewhere. */
struct http_exchange {
	unsigned magic;
	uint8_t state : 4;        /* enum exchange_state */
	uint8_t method : 4;       /* enum http_method */
	uint8_t close_reason : 7; /* when the answer ends the connection */
	uint8_t minor : 1;        /* HTTP/1.minor */
	bool keep_alive : 1;      /* as the request asked */
	bool is_waiting : 1;      /* http_exchange_wait */
	bool is_taking : 1;       /* http_take_over */
	bool wants_continue : 1;  /* 100 is still to be sent */
	bool is_chunked : 1;
	bool wants_gzip : 1, forbids_plain : 1; /* when message is gone: see http_codings_wanted */
	struct http *http;                      /* NULL: the connection is gone */
	TAILQ_ENTRY(http_exchange) link;
	struct http_message *message; /* NULL: there was none, or it is not needed any more */
	char *origin;                 /* of it, once it is gone, where the answer repeats it */
	void *owner;
	void (*on_abort)(struct http_exchange *x);
	union {
		/* OPEN: of http_take_over or http_exchange_wait */
		void (*then)(struct http_exchange *x);
		/* ANSWERED: NULL when it did not have to wait for its turn */
		struct http_answer *answer;
	};
};
TAILQ_HEAD(http_exchange_list, http_exchange);
static_assert(sizeof(struct http_exchange) <= 72, "those that wait are many");

struct http {
	unsigned magic;
	unsigned n;        /* exchanges that are complete and not yet answered on the wire */
	struct conn *conn; /* NULL: gone or handed over */
	const struct http_config *cfg;
	struct http_exchange_list exchanges; /* in the order of the requests */
	struct http_pieces *pieces;          /* of the next one; NULL: nothing of it is there */
	struct loop_timer timer;
	uint8_t timer_mode;  /* enum timer_mode */
	uint8_t blank_n;     /* bytes of empty lines before a request */
	bool blank_cr : 1;   /* … and CR of one */
	bool is_waiting : 1; /* one of them, the last, does: http_exchange_wait */
	bool is_taking : 1;  /* for one of them http_take_over was called */
	bool ended : 1;      /* no more requests will be read */
	bool eof : 1;
	bool is_paused : 1;
	bool body_touched : 1; /* body bytes came: the timer starts anew */
};

/* --- http_parse.c ---------------------------------------------------------------------------- */

/* An exchange without a request: as it is, for refusals of heads that are none. */
struct http_exchange *http_exchange_new(struct http *h);
/* Its request, from the head that s has found good; body_near: bytes of input behind it. Return 0,
 * or -EINVAL with *ret filled; x->message is made in either case. */
int http_parse_head(struct http_exchange *x, const struct http_scan *s, struct slice head,
		    size_t body_near, struct fault *ret);
/* Bytes of its body, without framing. Return 0, or -ENOBUFS past body_max. */
int http_body_add(struct http_message *m, struct slice bytes);
/* Free an exchange and what it holds: at the end of the loop's turn; l NULL: now. */
void http_exchange_discard(struct http_exchange *x, struct loop *l);

/* --- http.c, for http_answer.c --------------------------------------------------------------- */

/* The answer is complete. Takes head; refers to the others. x is gone afterwards. */
void http_deliver(struct http_exchange *x, int status, struct frame *head,
		  struct frame *const *frames, size_t n);
/* Will the connection be closed behind this answer? */
bool http_closes_after(const struct http_exchange *x);

/* --- http_answer.c --------------------------------------------------------------------------- */

/* OPTIONS, which is answered here: CORS preflight. */
void http_answer_options(struct http_exchange *x);
/* The origin that the answer will name, because the request did and it is listed; p NULL: none. */
struct slice http_origin_named(const struct http_exchange *x);

/* --- http_gzip.c ----------------------------------------------------------------------------- */

/* RFC 9110 12.5.3: what the client says of a coding. */
struct http_codings {
	unsigned gzip, identity; /* thousandths of quality; 0: not wanted */
};
struct http_codings http_codings_wanted(const struct http_request *r);
/* Of what x->message says of it, keep what the answer will need. */
void http_keep_codings(struct http_exchange *x);
/* Is gzip taken, and preferred to the bytes as they are? Are those refused? */
bool http_codings_gzip(struct http_codings q);
bool http_codings_no_plain(struct http_codings q);
/* May an answer like this depend on Accept-Encoding? */
bool http_varies(const struct http_exchange *x, int status, const char *type);

#endif
