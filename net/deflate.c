/* SPDX-License-Identifier: MIT */
/*
 * deflate: three zlib streams and a scratch buffer per worker.
 *
 *   message   raw deflate, window and memory of the size that a message is worth
 *   inverse   raw inflate with the largest window, so that it takes what any peer sends
 *   gzip      for HTTP
 *
 * DESIGN. No stream keeps anything between two messages, so one of each kind serves all connections
 * of a worker, and an idle connection costs nothing. What comes out is bounded before it is made:
 * deflated bytes that reach the size of the message are given up, inflated ones end at the cap of
 * the caller's buffer, one piece of scratch later.
 *
 * It must never see a config that zlib refuses: the options have their bounds, and a window of 8
 * bits, which raw deflate can not do, is none of them.
 */
#include "net/deflate.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/obj.h"
#include "base/xalloc.h"

#define DEFLATER_MAGIC 0x4445464cu
#define PIECE          ((size_t)16 << 10)
#define WINDOW_MAX     15
#define GZIP           16 /* zlib: added to the bits of the window */
/* zlib: a block ended there, and this many bits of the last byte are left */
#define AT_BLOCK_END 128
#define BITS_LEFT    63

static const char tail[4] = {0, 0, '\xff', '\xff'}; /* RFC 7692 7.2.1: left out on the wire */

struct deflater {
	unsigned magic;
	struct deflate_config cfg;
	struct counters *counters;
	z_stream message, inverse, gzip; /* state NULL: not needed so far */
	char *out;                       /* scratch for what is deflated … */
	size_t out_room;
	size_t gzip_size; /* of what gzip_begin announced */
	bool gzip_failed;
	char piece[PIECE]; /* … and for what is inflated */
};

static void *zlib_alloc(void *opaque, unsigned n, unsigned size)
{
	UNUSED(opaque);
	return xcalloc(n, size);
}

static void zlib_free(void *opaque, void *p)
{
	UNUSED(opaque);
	free(p);
}

struct deflater *deflater_new(const struct deflate_config *cfg, struct counters *counters)
{
	struct deflater *d = xcalloc(1, sizeof(*d));

	d->magic = DEFLATER_MAGIC;
	d->cfg = *cfg;
	d->counters = counters;
	d->message.zalloc = d->inverse.zalloc = d->gzip.zalloc = zlib_alloc;
	d->message.zfree = d->inverse.zfree = d->gzip.zfree = zlib_free;
	return d;
}

void deflater_free(struct deflater *d)
{
	if (!d)
		return;
	CHECK_OBJ(d, DEFLATER_MAGIC);
	if (d->message.state)
		deflateEnd(&d->message);
	if (d->inverse.state)
		inflateEnd(&d->inverse);
	if (d->gzip.state)
		deflateEnd(&d->gzip);
	free(d->out);
	d->magic = 0;
	free(d);
}

const struct deflate_config *deflater_config(const struct deflater *d)
{
	CHECK_OBJ(d, DEFLATER_MAGIC);
	return &d->cfg;
}

static void set_in(z_stream *z, struct slice s)
{
	z->next_in = (Bytef *)s.p; /* zlib reads only */
	z->avail_in = (uInt)s.n;
}

/* All of the scratch, which is room bytes at least. */
static void set_out(struct deflater *d, z_stream *z, size_t room)
{
	if (d->out_room < room) {
		d->out = xrealloc(d->out, room);
		d->out_room = room;
	}
	z->next_out = (Bytef *)d->out;
	z->avail_out = (uInt)room;
}

static void begin(z_stream *z, int level, int window_bits, int memory_level)
{
	int rc = z->state ? deflateReset(z)
			  : deflateInit2(z, level, Z_DEFLATED, window_bits, memory_level,
					 Z_DEFAULT_STRATEGY);

	assert(rc == Z_OK);
}

/* --- messages -------------------------------------------------------------------------------- */

/* The hash table, which zlib clears for every message, as large as the window. */
static int memory_level_of(unsigned window_bits)
{
	return (int)window_bits - 7;
}

int deflater_deflate(struct deflater *d, struct slice message, struct slice *ret)
{
	CHECK_OBJ(d, DEFLATER_MAGIC);
	z_stream *z = &d->message;

	if (message.n < d->cfg.min_bytes || message.n > d->cfg.max_bytes || message.n == 0) {
		count_inc(d->counters, COUNTER_DEFLATE_LEFT);
		return -EFBIG;
	}
	begin(z, d->cfg.level, -(int)d->cfg.window_bits, memory_level_of(d->cfg.window_bits));
	set_in(z, message);
	set_out(d, z, message.n + sizeof(tail));
	int rc = deflate(z, Z_SYNC_FLUSH);
	if (rc != Z_OK || z->avail_out == 0) {
		count_inc(d->counters, COUNTER_DEFLATE_LEFT);
		return -EFBIG;
	}
	size_t n = (size_t)((char *)z->next_out - d->out) - sizeof(tail);
	assert(z->avail_in == 0 && memcmp(d->out + n, tail, sizeof(tail)) == 0);
	count_inc(d->counters, COUNTER_DEFLATED_WEBSOCKET);
	count_add(d->counters, COUNTER_DEFLATE_IN_WEBSOCKET, (int64_t)message.n);
	count_add(d->counters, COUNTER_DEFLATE_OUT_WEBSOCKET, (int64_t)n);
	*ret = slice_make(d->out, n);
	return 0;
}

/* *ret_ended: the last byte was the last of a final block (RFC 7692 7.2.3.4), after which a peer
 * may begin anew. */
static int inflate_slice(struct deflater *d, struct slice in, struct buf *out, bool *ret_ended)
{
	z_stream *z = &d->inverse;

	set_in(z, in);
	do {
		z->next_out = (Bytef *)d->piece;
		z->avail_out = PIECE;
		int rc = inflate(z, Z_SYNC_FLUSH);
		if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
			return -EBADMSG;
		if (buf_add(out, d->piece, PIECE - z->avail_out) != 0)
			return -EMSGSIZE;
		*ret_ended = rc == Z_STREAM_END;
		if (rc == Z_STREAM_END)
			inflateReset(z);
	} while (z->avail_in > 0 || (z->avail_out == 0 && !*ret_ended));
	return 0;
}

static int inflate_payload(struct deflater *d, struct slice payload, struct buf *out)
{
	z_stream *z = &d->inverse;
	bool ended;

	int rc = z->state ? inflateReset(z) : inflateInit2(z, -WINDOW_MAX);
	assert(rc == Z_OK);
	rc = inflate_slice(d, payload, out, &ended);
	if (rc || ended)
		return rc;
	rc = inflate_slice(d, slice_make(tail, sizeof(tail)), out, &ended);
	if (rc)
		return rc;
	/* Cut in the middle of a block, the tail is taken for something else. */
	return (z->data_type & AT_BLOCK_END) && !(z->data_type & BITS_LEFT) ? 0 : -EBADMSG;
}

int deflater_inflate(struct deflater *d, struct slice payload, struct buf *out)
{
	CHECK_OBJ(d, DEFLATER_MAGIC);
	size_t before = out->n;

	int rc = inflate_payload(d, payload, out);
	if (rc) {
		count_inc(d->counters,
			  rc == -EMSGSIZE ? COUNTER_INFLATE_TOO_BIG : COUNTER_INFLATE_BAD);
		return rc;
	}
	count_inc(d->counters, COUNTER_INFLATED);
	count_add(d->counters, COUNTER_INFLATE_IN, (int64_t)payload.n);
	count_add(d->counters, COUNTER_INFLATE_OUT, (int64_t)(out->n - before));
	return 0;
}

/* --- gzip ------------------------------------------------------------------------------------ */

static void gzip_run(struct deflater *d, int flush)
{
	int rc = deflate(&d->gzip, flush);

	if (rc != (flush == Z_FINISH ? Z_STREAM_END : Z_OK) || d->gzip.avail_in > 0)
		d->gzip_failed = true;
}

void deflater_gzip_begin(struct deflater *d, size_t size)
{
	CHECK_OBJ(d, DEFLATER_MAGIC);
	begin(&d->gzip, d->cfg.gzip_level, WINDOW_MAX + GZIP, 8);
	set_out(d, &d->gzip, size ? size : 1);
	d->gzip_size = size;
	d->gzip_failed = false;
}

void deflater_gzip_add(struct deflater *d, struct slice piece, bool is_secret)
{
	if (d->gzip_failed || piece.n == 0)
		return;
	/* Ends the block, and what is secret gets one of its own. */
	if (deflateParams(&d->gzip, is_secret ? Z_NO_COMPRESSION : d->cfg.gzip_level,
			  Z_DEFAULT_STRATEGY) != Z_OK) {
		d->gzip_failed = true;
		return;
	}
	set_in(&d->gzip, piece);
	gzip_run(d, Z_NO_FLUSH);
}

int deflater_gzip_end(struct deflater *d, struct slice *ret)
{
	set_in(&d->gzip, SLICE(""));
	if (!d->gzip_failed)
		gzip_run(d, Z_FINISH);
	size_t n = (size_t)((char *)d->gzip.next_out - d->out);
	if (d->gzip_failed || n >= d->gzip_size)
		return -EFBIG;
	count_inc(d->counters, COUNTER_DEFLATED_HTTP);
	count_add(d->counters, COUNTER_DEFLATE_IN_HTTP, (int64_t)d->gzip_size);
	count_add(d->counters, COUNTER_DEFLATE_OUT_HTTP, (int64_t)n);
	*ret = slice_make(d->out, n);
	return 0;
}
