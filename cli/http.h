/* SPDX-License-Identifier: MIT */
/*
 * http: requests to the daemon, one at a time over one kept connection (libcurl), with room for
 * what must go on meanwhile: standard input, signals, a deadline. Thread: main.
 */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "cli/target.h"

#define HTTP_WATCH_MAX 2

/* What else to wait for while a request is under way. */
struct http_watch {
	/* Fill fds, return how many. May be NULL. */
	unsigned (*fds)(void *arg, struct curl_waitfd fds[HTTP_WATCH_MAX]);
	/* After every wait. False: give the request up (HTTP_STOPPED). May be NULL. */
	bool (*turn)(void *arg);
	void *arg;
	uint64_t wake_ms; /* be back by this time (monotonic); 0: no matter */
};

struct http {
	CURL *easy;
	CURLM *multi;
	const struct target *target;
	struct http_watch watch;
	uint64_t stall_ms; /* nothing received for so long: HTTP_STALLED; may change meanwhile */
};

struct http_request {
	const char *method;
	struct slice path;        /* with query */
	struct slice body;        /* of POST */
	const char *content_type; /* NULL: no such header */
	const char *headers[3];   /* further `Name: value` lines; NULL ends early */
	/* Bytes of a 200 body as they come; without it they are gathered. Return false to end. */
	bool (*on_body)(void *arg, struct slice bytes);
	void *arg;
};

enum http_result {
	HTTP_ANSWERED,    /* status is set */
	HTTP_UNREACHABLE, /* nothing was sent */
	HTTP_LOST,        /* sent, perhaps in part, and no full answer */
	HTTP_STALLED,     /* nothing came for too long */
	HTTP_STOPPED,     /* turn or on_body said so */
};

struct http_reply {
	enum http_result result;
	int status;
	uint64_t retry_after_ms; /* 0: not given */
	struct buf body;
	char reason[256]; /* why not HTTP_ANSWERED, in curl's words */
};

#define HTTP_STALL_MS 60000

void http_init(struct http *h, const struct target *target);
void http_fini(struct http *h);
/* Do it and wait for the end. reply is initialised here; the caller ends it with http_reply_fini().
 */
void http_perform(struct http *h, const struct http_request *request, struct http_reply *ret_reply);
void http_reply_fini(struct http_reply *reply);
/* Connect only, for other protocols: afterwards curl_easy_send() and _recv() on h->easy work. Only
 * result and reason of reply are set. */
void http_connect(struct http *h, struct http_reply *ret_reply);
/* {"error":{"code","message"}} of a refusal as "code (status): message", else the status. */
void http_refusal(const struct http_reply *reply, struct buf *out);
/* May a later try of the same thing work (overload, draining, a server's bug)? */
bool http_is_temporary(int status);

#endif
