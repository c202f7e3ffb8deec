/* SPDX-License-Identifier: MIT */
/*
 * deflate: one worker's zlib: messages deflated and inflated one by one (RFC 7692 without context
 * takeover), bodies of HTTP answers in gzip. All its memory is the worker's, none a connection's.
 * Thread: the owner loop's.
 */
#ifndef NET_DEFLATE_H
#define NET_DEFLATE_H

#include "base/buf.h"
#include "base/counters.h"
#include "base/slice.h"

struct deflate_config {
	int level;            /* of messages, 1..9 */
	unsigned window_bits; /* of messages, 9..15 */
	size_t min_bytes;     /* shorter messages are left as they are … */
	size_t max_bytes;     /* … and longer ones: they would hold the worker up */
	int gzip_level;       /* of HTTP answers; the same three for them */
	size_t gzip_min_bytes;
	size_t gzip_max_bytes;
};

struct deflater;

/* zlib's own memory is taken when it is first needed. */
struct deflater *deflater_new(const struct deflate_config *cfg, struct counters *counters);
void deflater_free(struct deflater *d);
const struct deflate_config *deflater_config(const struct deflater *d);

/* The payload of a compressed message (RFC 7692 7.2.1), valid until the next call. Return 0, or
 * -EFBIG when it would not be smaller, or lies outside of min_bytes and max_bytes. */
int deflater_deflate(struct deflater *d, struct slice message, struct slice *ret);
/* Append to out what the payload of a compressed message holds (RFC 7692 7.2.2). Return 0,
 * -EMSGSIZE when that is more than the cap of out (little more was made), or -EBADMSG. */
int deflater_inflate(struct deflater *d, struct slice payload, struct buf *out);

/* gzip of an answer in pieces: begin, add …, end. A piece that is secret is not compressed, so that
 * the size of the answer tells nothing of whether it is like something else in there. end: the
 * whole, valid until the next call. Return 0, or -EFBIG when it is not smaller than size, the sum
 * of all pieces. */
void deflater_gzip_begin(struct deflater *d, size_t size);
void deflater_gzip_add(struct deflater *d, struct slice piece, bool is_secret);
int deflater_gzip_end(struct deflater *d, struct slice *ret);

#endif
