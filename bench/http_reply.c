/* SPDX-License-Identifier: MIT */
/*
 * http_reply: a small machine. The head decides what follows: 1xx, 204 and 304 have no body, then
 * chunked goes before a length, and without both the body ends with the connection.
 */
#include "bench/http_reply.h"

#include <stdlib.h>
#include <string.h>

/* The value of a header of this head, behind blanks; NULL: there is none. The name is "\r\nName:".
 */
static const char *header(struct span head, const char *name)
{
	const char *at = strcasestr(head.p, name);

	if (!at || at >= head.p + head.n)
		return NULL;
	at += strlen(name);
	return at + strspn(at, " ");
}

static void plan_body(struct http_reply *r, struct span head)
{
	const char *coding = header(head, "\r\nTransfer-Encoding:");
	const char *length = header(head, "\r\nContent-Length:");

	r->left = 0;
	r->step = HTTP_SIZED;
	if (r->status < 200 || r->status == 204 || r->status == 304)
		return;
	if (coding && strncasecmp(coding, "chunked", 7) == 0) {
		r->step = HTTP_CHUNK_SIZE;
	} else if (length) {
		r->left = strtoull(length, NULL, 10);
	} else {
		r->step = HTTP_REST;
		r->keeps = false;
	}
}

static enum http_event take_head(struct http_reply *r, struct span bytes, size_t *ret_used)
{
	const char *end = memmem(bytes.p, bytes.n, "\r\n\r\n", 4);

	if (!end)
		return HTTP_MORE;
	if (bytes.n < 12 || strncmp(bytes.p, "HTTP/1.", 7) != 0)
		return HTTP_BROKEN;
	struct span head = {bytes.p, (size_t)(end - bytes.p) + 4};
	const char *connection = header(head, "\r\nConnection:");
	r->status = (uint16_t)atoi(bytes.p + 9);
	r->keeps = bytes.p[7] == '1';
	if (connection)
		r->keeps = strncasecmp(connection, "close", 5) != 0;
	plan_body(r, head);
	*ret_used = head.n;
	return HTTP_GOT_HEAD;
}

static enum http_event take_chunk_size(struct http_reply *r, struct span bytes, size_t *ret_used)
{
	const char *end = memmem(bytes.p, bytes.n, "\r\n", 2);
	char *stop;

	if (!end)
		return HTTP_MORE;
	r->left = strtoull(bytes.p, &stop, 16);
	if (stop == bytes.p)
		return HTTP_BROKEN;
	r->step = r->left ? HTTP_CHUNK : HTTP_CHUNK_END;
	if (r->left)
		r->left += 2; /* its line end */
	*ret_used = (size_t)(end - bytes.p) + 2;
	return HTTP_GOT_FRAME;
}

/* The body of a chunk, with its line end counted in left. */
static enum http_event take_chunk(struct http_reply *r, struct span bytes, struct span *ret_piece,
				  size_t *ret_used)
{
	if (bytes.n == 0)
		return HTTP_MORE;
	*ret_used = bytes.n < r->left ? bytes.n : (size_t)r->left;
	uint64_t body = r->left > 2 ? r->left - 2 : 0;
	*ret_piece = (struct span){bytes.p, *ret_used < body ? *ret_used : (size_t)body};
	r->left -= *ret_used;
	if (r->left == 0)
		r->step = HTTP_CHUNK_SIZE;
	return ret_piece->n ? HTTP_GOT_BODY : HTTP_GOT_FRAME;
}

static enum http_event take_sized(struct http_reply *r, struct span bytes, struct span *ret_piece,
				  size_t *ret_used)
{
	if (r->left == 0) {
		r->step = HTTP_HEAD;
		return HTTP_GOT_END;
	}
	if (bytes.n == 0)
		return HTTP_MORE;
	*ret_used = bytes.n < r->left ? bytes.n : (size_t)r->left;
	*ret_piece = (struct span){bytes.p, *ret_used};
	r->left -= *ret_used;
	return HTTP_GOT_BODY;
}

enum http_event http_take(struct http_reply *r, struct span bytes, struct span *ret_piece,
			  size_t *ret_used)
{
	enum http_event event;

	*ret_used = 0;
	*ret_piece = (struct span){bytes.p, 0};
	switch (r->step) {
	case HTTP_HEAD:
		event = take_head(r, bytes, ret_used);
		ret_piece->n = *ret_used;
		return event;
	case HTTP_SIZED:
		return take_sized(r, bytes, ret_piece, ret_used);
	case HTTP_CHUNK_SIZE:
		return take_chunk_size(r, bytes, ret_used);
	case HTTP_CHUNK:
		return take_chunk(r, bytes, ret_piece, ret_used);
	case HTTP_CHUNK_END: /* trailers are not expected */
		if (bytes.n < 2)
			return HTTP_MORE;
		*ret_used = 2;
		r->step = HTTP_HEAD;
		return HTTP_GOT_END;
	case HTTP_REST:
		*ret_used = ret_piece->n = bytes.n;
		return bytes.n ? HTTP_GOT_BODY : HTTP_MORE;
	}
	return HTTP_BROKEN;
}

long http_whole(struct span bytes, struct http_reply *ret_reply)
{
	struct http_reply r = {0};
	struct span piece;
	size_t at = 0, used;

	for (;;) {
		struct span rest = {bytes.p + at, bytes.n - at};
		enum http_event event = http_take(&r, rest, &piece, &used);

		at += used;
		if (event == HTTP_MORE)
			return 0;
		if (event == HTTP_BROKEN)
			return -1;
		if (event == HTTP_GOT_HEAD && r.status == 100) {
			r = (struct http_reply){0};
		} else if (event == HTTP_GOT_END) {
			*ret_reply = r;
			return (long)at;
		}
	}
}
