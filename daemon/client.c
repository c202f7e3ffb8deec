/* SPDX-License-Identifier: MIT */
/* client: GET /holdfast.js, the browser client of this version, and /holdfast-more.js, which it
 * fetches when it needs it. They are bundled from client/src when the daemon is built, and compiled
 * in. */
#include <stdio.h>

#include "daemon/admin.h"

extern const char client_js[], client_more_js[];
extern const unsigned long client_js_size, client_more_js_size;
extern const char client_js_etag[], client_more_js_etag[];

static bool is_more(const struct http_request *r)
{
	return slice_eq_str(r->path, "/holdfast-more.js");
}

static void client_open(struct gateway *g, struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	struct slice known = http_header_get(r, "If-None-Match");
	const char *etag = is_more(r) ? client_more_js_etag : client_js_etag;
	char headers[128];

	UNUSED(g);
	snprintf(headers, sizeof(headers), "ETag: %s\r\nCache-Control: public, max-age=300\r\n",
		 etag);
	if (slice_starts(known, "W/"))
		known = slice_skip(known, 2); /* a proxy that compresses weakens the tag */
	if (slice_eq_str(known, etag))
		http_respond(x, 304, NULL, headers, slice_str(""));
	else
		http_respond(x, 200, "text/javascript; charset=utf-8", headers,
			     is_more(r) ? slice_make(client_more_js, client_more_js_size)
					: slice_make(client_js, client_js_size));
}

static bool client_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/holdfast.js") || is_more(r);
}

const struct transport_ops client_transport = {
	.name = "client", .methods = METHODS_GET, .match = client_match, .open = client_open};
