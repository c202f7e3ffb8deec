/* SPDX-License-Identifier: MIT */
/*
 * wire_http: publishing by requests on kept connections, as many unanswered ones as --depth says.
 * Answers come in the order of the requests; 2xx is a receipt.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/load.h"
#include "bench/template.h"

static void http_publisher(struct load *l, struct conn *c)
{
	conn_ready(l, c);
}

static void http_publish(struct load *l, struct conn *c, struct span payload, const char *channel)
{
	const struct load_options *o = &l->o;
	struct fields f = {.channel = channel, .payload = payload, .index = c->index};
	struct bytes body = {0};

	template_add(&body, o->publish_text, &f);
	bytes_printf(&c->out, "%s ", o->publish_method);
	template_add(&c->out, o->publish_path, &f);
	bytes_printf(&c->out,
		     " HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n",
		     o->publish_server, o->content_type, body.n);
	for (unsigned i = 0; i < o->publish_header_n; i++) {
		template_add(&c->out, o->publish_headers[i], &f);
		bytes_add(&c->out, "\r\n", 2);
	}
	bytes_add(&c->out, "\r\n", 2);
	conn_send(l, c, body.p, body.n);
	bytes_free(&body);
}

static size_t http_input(struct load *l, struct conn *c, struct span bytes)
{
	struct http_reply reply;
	long size = http_whole(bytes, &reply);

	if (size == 0)
		return 0;
	if (size < 0 || c->sent_n == 0)
		die("an answer that nobody asked for: %.*s", (int)(bytes.n < 1000 ? bytes.n : 1000),
		    bytes.p);
	if (reply.status >= 200 && reply.status < 300)
		publish_acked(l, c);
	else
		publish_refused(l, c, (struct span){bytes.p, (size_t)size});
	if (!reply.keeps)
		conn_close(l, c, "the server keeps no connections");
	return (size_t)size;
}

const struct wire wire_http = {
	.name = "http",
	.publish_path = "/v1/publish?channel=%c",
	.publish_text = "%p",
	.comes_back = true,
	.open_publisher = http_publisher,
	.input = http_input,
	.publish = http_publish,
};
