/* SPDX-License-Identifier: MIT */
/* client: GET /holdfast.js, the browser client of this version, and /holdfast-more.js, which it
 * fetches when it needs it. They are bundled from client/src when the daemon is built, and compiled
 * in, in gzip as well. */
#include <stdio.h>

#include "daemon/admin.h"

extern const char client_js[], client_js_gz[], client_more_js[], client_more_js_gz[];
extern const unsigned long client_js_size, client_js_gz_size, client_more_js_size,
	client_more_js_gz_size;
extern const char client_js_etag[], client_more_js_etag[];

static void respond(struct http_exchange *x, const char *etag, struct slice body,
		    struct slice packed)
{
	struct slice known = http_header_get(http_exchange_request(x), "If-None-Match");
	char headers[128];

	/* Weak: it names both forms. */
	snprintf(headers, sizeof(headers), "ETag: W/%s\r\nCache-Control: public, max-age=300\r\n",
		 etag);
	if (slice_starts(known, "W/"))
		known = slice_skip(known, 2);
	if (slice_eq_str(known, etag))
		http_respond(x, 304, NULL, headers, slice_str(""));
	else
		http_respond_packed(x, 200, "text/javascript; charset=utf-8", headers, body,
				    packed);
}

static void client_open(struct gateway *g, struct http_exchange *x)
{
	UNUSED(g);
	if (slice_eq_str(http_exchange_request(x)->path, "/holdfast.js"))
		respond(x, client_js_etag, slice_make(client_js, client_js_size),
			slice_make(client_js_gz, client_js_gz_size));
	else
		respond(x, client_more_js_etag, slice_make(client_more_js, client_more_js_size),
			slice_make(client_more_js_gz, client_more_js_gz_size));
}

static bool client_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/holdfast.js") || slice_eq_str(r->path, "/holdfast-more.js");
}

const struct transport_ops client_transport = {
	.name = "client", .methods = METHODS_GET, .match = client_match, .open = client_open};
