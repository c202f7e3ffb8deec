/* SPDX-License-Identifier: MIT */
/*
 * http_reply: an HTTP/1.1 response out of a stream of bytes, for clients that know whom they talk
 * to: sized, chunked, or until the end of the connection. All zero is before the head. Thread: any
 * one.
 */
#ifndef BENCH_HTTP_REPLY_H
#define BENCH_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
	const char *p;
	size_t n;
};

enum http_step { HTTP_HEAD, HTTP_SIZED, HTTP_CHUNK_SIZE, HTTP_CHUNK, HTTP_CHUNK_END, HTTP_REST };
enum http_event {
	HTTP_MORE,      /* nothing can be said before more bytes have come */
	HTTP_GOT_HEAD,  /* ret_piece is the head; status and keeps are set */
	HTTP_GOT_BODY,  /* ret_piece is a part of the body */
	HTTP_GOT_FRAME, /* chunk framing, of no interest */
	HTTP_GOT_END,   /* the response is whole, the next one may begin */
	HTTP_BROKEN
};

struct http_reply {
	enum http_step step;
	uint16_t status;
	bool keeps;    /* the connection may be used again */
	uint64_t left; /* of the body or the chunk */
};

/* Take the next piece; *ret_used is how many bytes of p it was. A NUL stands at p[n]. */
enum http_event http_take(struct http_reply *r, struct span bytes, struct span *ret_piece,
			  size_t *ret_used);

/* The size of the whole response at p; 0: it is not all there; -1: it is none. */
long http_whole(struct span bytes, struct http_reply *ret_reply);

#endif
