/* SPDX-License-Identifier: MIT */
/* wire_sse: an event stream: one response that does not end, chunked or not, scanned as it comes.
 */
#include <string.h>

#include "bench/load.h"

static void sse_subscriber(struct load *l, struct conn *c)
{
	static const char rest[] = "Accept: text/event-stream\r\n\r\n";

	conn_request(l, c, "GET", l->o.subscribe_path);
	conn_send(l, c, rest, sizeof(rest) - 1);
}

static size_t sse_input(struct load *l, struct conn *c, struct span bytes)
{
	struct span piece;
	size_t used;

	switch (http_take(&c->reply, bytes, &piece, &used)) {
	case HTTP_GOT_HEAD:
		if (c->reply.status != 200)
			die("an event stream was refused: %.*s",
			    (int)(bytes.n < 1000 ? bytes.n : 1000), bytes.p);
		if (!*l->o.ready)
			conn_ready(l, c);
		break;
	case HTTP_GOT_BODY:
		if (!c->is_ready && memmem(piece.p, piece.n, l->o.ready, strlen(l->o.ready)))
			conn_ready(l, c);
		track_scan(l, c, piece);
		break;
	case HTTP_GOT_END:
		conn_close(l, c, "the stream ended");
		break;
	case HTTP_BROKEN:
		die("this is no HTTP: %.*s", (int)(bytes.n < 200 ? bytes.n : 200), bytes.p);
	default:
		break;
	}
	return used;
}

const struct wire wire_sse = {
	.name = "sse",
	.subscribe_path = "/v1/sse?%q",
	.open_subscriber = sse_subscriber,
	.input = sse_input,
};
