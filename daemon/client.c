/* SPDX-License-Identifier: MIT */
/* client: GET /holdfast.js, the browser client of this version. It is bundled from client/src when
 * the daemon is built, and compiled in. */
#include <stdio.h>

#include "daemon/admin.h"

extern const char client_js[];
extern const unsigned long client_js_size;
extern const char client_js_etag[];

static void client_open(struct gateway *g, struct http_exchange *x)
{
	struct slice known = http_header_get(http_exchange_request(x), "If-None-Match");
	char headers[128];

	UNUSED(g);
	snprintf(headers, sizeof(headers), "ETag: %s\r\nCache-Control: public, max-age=300\r\n",
		 client_js_etag);
	if (slice_starts(known, "W/"))
		known = slice_skip(known, 2); /* a proxy that compresses weakens the tag */
	if (slice_eq_str(known, client_js_etag))
		http_respond(x, 304, NULL, headers, slice_str(""));
	else
		http_respond(x, 200, "text/javascript; charset=utf-8", headers,
			     slice_make(client_js, client_js_size));
}

static bool client_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/holdfast.js");
}

const struct transport_ops client_transport = {
	.name = "client", .methods = METHODS_GET, .match = client_match, .open = client_open};
