/* SPDX-License-Identifier: MIT */
/*
 * demo: GET / and what the page there is made of, a page to see the broker work in a browser. Its
 * sources are in client/demo; the files are compiled in.
 *
 * DESIGN. The page may load nothing from elsewhere and run no code but its file's: the policy below
 * has the browser enforce it. A browser keeps the files and asks each time whether they are still
 * the same (ETag), so after an update of the daemon nobody sees an old page.
 */
#include "daemon/admin.h"
#include "daemon/worker.h"

#define EMBEDDED(name)                           \
	extern const char name[], name##_etag[]; \
	extern const unsigned long name##_size
EMBEDDED(demo_html);
EMBEDDED(demo_css);
EMBEDDED(demo_js);

#define POLICY                                                                           \
	"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; " \
	"form-action 'none'; frame-ancestors 'none'"

static const struct page_file {
	const char *path, *type, *bytes, *etag;
	const unsigned long *size;
} files[] = {
	{"/", "text/html; charset=utf-8", demo_html, demo_html_etag, &demo_html_size},
	{"/demo.css", "text/css; charset=utf-8", demo_css, demo_css_etag, &demo_css_size},
	{"/demo.js", "text/javascript; charset=utf-8", demo_js, demo_js_etag, &demo_js_size},
};

static const struct page_file *find_file(struct slice path)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (slice_eq_str(path, files[i].path))
			return &files[i];
	return NULL;
}

static void demo_open(struct gateway *g, struct http_exchange *x)
{
	const struct worker *w = g->extra_arg;
	const struct http_request *r = http_exchange_request(x);
	const struct page_file *f = find_file(r->path);
	char headers[512];

	if (!w->server->config->demo) {
		http_respond_fault(x, FAULT_NOT_FOUND, "", "there is nothing at this path");
		return;
	}
	snprintf(headers, sizeof(headers),
		 "Cache-Control: no-cache\r\nETag: %s\r\nContent-Security-Policy: " POLICY "\r\n"
		 "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n",
		 f->etag);
	if (http_header_has_token(r, "If-None-Match", f->etag))
		http_respond(x, 304, NULL, headers, SLICE(""));
	else
		http_respond(x, 200, f->type, headers, slice_make(f->bytes, *f->size));
}

static bool demo_match(const struct http_request *r)
{
	return find_file(r->path) != NULL;
}

const struct transport_ops demo_transport = {
	.name = "demo", .methods = METHODS_GET, .match = demo_match, .open = demo_open};
