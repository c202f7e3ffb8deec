/* SPDX-License-Identifier: MIT */
/*
 * wire_ws: WebSocket, for subscribers and publishers. Frames to the server are masked with zeroes,
 * which leaves them as they are. Fragments need no joining: what is inside of all of them is
 * scanned.
 *
 *   step 0 the head of the answer is awaited   step 1 frames
 */
#include <stdio.h>
#include <string.h>

#include "bench/load.h"
#include "bench/template.h"

#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

enum opcode { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

static void send_frame(struct load *l, struct conn *c, enum opcode opcode, struct span text)
{
	unsigned char head[14] = {0x80 | (unsigned char)opcode};
	size_t n = 2;

	if (text.n < 126) {
		head[1] = (unsigned char)text.n;
	} else if (text.n < 65536) {
		head[1] = 126;
		head[n++] = (unsigned char)(text.n >> 8);
		head[n++] = (unsigned char)text.n;
	} else {
		head[1] = 127;
		for (int shift = 56; shift >= 0; shift -= 8)
			head[n++] = (unsigned char)((uint64_t)text.n >> shift);
	}
	head[1] |= 0x80;
	n += 4; /* the mask */
	bytes_add(&c->out, (char *)head, n);
	conn_send(l, c, text.p, text.n);
}

static void shake_hands(struct load *l, struct conn *c, const char *path)
{
	static const char rest[] =
		"Connection: Upgrade\r\nUpgrade: websocket\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n\r\n";

	conn_request(l, c, "GET", path);
	conn_send(l, c, rest, sizeof(rest) - 1);
}

static void ws_subscriber(struct load *l, struct conn *c)
{
	shake_hands(l, c, l->o.subscribe_path);
}

static void ws_publisher(struct load *l, struct conn *c)
{
	shake_hands(l, c, l->o.publish_path);
}

static size_t take_head(struct load *l, struct conn *c, struct span bytes)
{
	struct http_reply reply = {0};
	struct span head;
	size_t used;
	enum http_event event = http_take(&reply, bytes, &head, &used);

	if (event == HTTP_MORE)
		return 0;
	if (event != HTTP_GOT_HEAD || reply.status != 101 ||
	    !memmem(head.p, head.n, ACCEPT, sizeof(ACCEPT) - 1))
		die("a WebSocket was refused: %.*s", (int)(bytes.n < 1000 ? bytes.n : 1000),
		    bytes.p);
	c->step = 1;
	if (!c->is_publisher && l->o.subscribe_text) {
		struct bytes query = {0}, text = {0};
		struct fields f = conn_fields(l, c, &query);

		template_add(&text, l->o.subscribe_text, &f);
		send_frame(l, c, TEXT, (struct span){text.p, text.n});
		bytes_free(&text);
		bytes_free(&query);
	}
	if (c->is_publisher || !*l->o.ready)
		conn_ready(l, c);
	return used;
}

static void take_receipts(struct load *l, struct conn *c, struct span text)
{
	size_t n = strlen(l->o.ack);
	const char *p = text.p, *end = text.p + text.n;

	while (n > 0 && (p = memmem(p, (size_t)(end - p), l->o.ack, n))) {
		publish_acked(l, c);
		p += n;
	}
	if (n > 0 && memmem(text.p, text.n, "\"type\":\"error\"", 14))
		publish_refused(l, c, text);
}

static void take_text(struct load *l, struct conn *c, struct span text)
{
	if (c->is_publisher) {
		take_receipts(l, c, text);
		return;
	}
	if (!c->is_ready && memmem(text.p, text.n, l->o.ready, strlen(l->o.ready)))
		conn_ready(l, c);
	track_scan(l, c, text);
}

static void take_close(struct load *l, struct conn *c, struct span text)
{
	char why[160];

	snprintf(why, sizeof(why), "the server closed a WebSocket: %u %.*s",
		 text.n < 2 ? 0u : (unsigned char)text.p[0] * 256u + (unsigned char)text.p[1],
		 text.n > 2 ? (int)text.n - 2 : 0, text.n > 2 ? text.p + 2 : "");
	conn_close(l, c, why);
}

static size_t ws_input(struct load *l, struct conn *c, struct span bytes)
{
	const unsigned char *u = (const unsigned char *)bytes.p;
	size_t head = 2, size;

	if (c->step == 0)
		return take_head(l, c, bytes);
	if (bytes.n < 2)
		return 0;
	size = u[1] & 127;
	if (size >= 126) {
		size_t more = size == 126 ? 2 : 8;

		head += more;
		if (bytes.n < head)
			return 0;
		size = 0;
		for (size_t i = 0; i < more; i++)
			size = size << 8 | u[2 + i];
	}
	if (bytes.n - head < size)
		return 0;
	struct span text = {bytes.p + head, size};
	if ((u[0] & 15) == CLOSE)
		take_close(l, c, text);
	else if ((u[0] & 15) == PING)
		send_frame(l, c, PONG, text);
	else if ((u[0] & 15) != PONG)
		take_text(l, c, text);
	return head + size;
}

static void ws_publish(struct load *l, struct conn *c, struct span payload, const char *channel)
{
	struct fields f = {.channel = channel, .payload = payload, .index = c->index};
	struct bytes text = {0};

	template_add(&text, l->o.publish_text, &f);
	send_frame(l, c, l->o.is_binary ? BINARY : TEXT, (struct span){text.p, text.n});
	bytes_free(&text);
}

const struct wire wire_ws = {
	.name = "ws",
	.subscribe_path = "/v1/ws?%q",
	.publish_path = "/v1/ws",
	.publish_text = "{\"type\":\"publish\",\"channel\":\"%c\",\"data\":%p}",
	.open_subscriber = ws_subscriber,
	.open_publisher = ws_publisher,
	.input = ws_input,
	.publish = ws_publish,
};
