/* SPDX-License-Identifier: MIT */
/* demo: GET /, a page to see the broker work in a browser. The page is daemon/demo.html, compiled
 * in. */
#include "daemon/admin.h"
#include "daemon/worker.h"

extern const char demo_html[];
extern const unsigned long demo_html_size;

static void demo_open(struct gateway *g, struct http_exchange *x)
{
	const struct worker *w = g->extra_arg;

	if (!w->server->config->demo)
		http_respond_fault(x, FAULT_NOT_FOUND, "", "there is nothing at this path");
	else
		http_respond(x, 200, "text/html; charset=utf-8", "Cache-Control: no-cache\r\n",
			     slice_make(demo_html, demo_html_size));
}

static bool demo_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/");
}

const struct transport_ops demo_transport = {
	.name = "demo", .methods = METHODS_GET, .match = demo_match, .open = demo_open};
