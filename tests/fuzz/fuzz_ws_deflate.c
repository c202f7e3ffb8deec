/* SPDX-License-Identifier: MIT */
/*
 * fuzz_ws_deflate: the first byte says what the rest is.
 *
 *  - a Sec-WebSocket-Extensions header (or two, with a line feed between): an answer is one of
 * those there are, and follows from what was offered;
 *  - an Accept-Encoding header: qualities are such;
 *  - the payload of a compressed message: never more comes out than the limit, and whatever comes
 *    out comes out of its own deflation as well;
 *  - a message: comes out again, of any window.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "net/http_private.h"
#include "net/ws_deflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INFLATED_MAX 5000
#define INPUT_MAX    20000

static struct counters *counters;
static struct deflater *deflaters[16]; /* by bits of the window */

static void offer(struct slice in, unsigned bits)
{
	const char *lf = in.n ? memchr(in.p, '\n', in.n) : NULL;
	struct http_header headers[2] = {{SLICE("Sec-WebSocket-Extensions"), in}};
	struct http_request r = {.headers = headers, .header_n = 1};
	char answer[WS_DEFLATE_ANSWER_MAX];

	if (lf) {
		headers[1] = (struct http_header){headers[0].name,
						  slice_skip(in, (size_t)(lf + 1 - in.p))};
		headers[0].value.n = (size_t)(lf - in.p);
		r.header_n = 2;
	}
	if (!ws_deflate_negotiate(&r, bits, answer))
		return;
	assert(slice_starts(slice_str(answer), "permessage-deflate; server_no_context_takeover; "
					       "client_no_context_takeover"));
	assert(in.n >= strlen("permessage-deflate"));
	/* Offered as it was answered, it is taken again. */
	headers[0].value = slice_str(answer);
	r.header_n = 1;
	char again[WS_DEFLATE_ANSWER_MAX];
	assert(ws_deflate_negotiate(&r, bits, again) && strcmp(answer, again) == 0);
}

static void codings(struct slice in)
{
	struct http_header header = {SLICE("Accept-Encoding"), in};
	struct http_request r = {.headers = &header, .header_n = 1};
	struct http_codings q = http_codings_wanted(&r);

	assert(q.gzip <= 1000 && q.identity <= 1000);
}

/* Whether it could be deflated or not. */
static void round_trip(struct deflater *d, struct slice in)
{
	struct buf copy = {0}, out;
	struct slice deflated;

	if (deflater_deflate(d, in, &deflated) != 0)
		return;
	assert(deflated.n < in.n);
	buf_add_slice(&copy, deflated);
	buf_init(&out, in.n);
	int rc = deflater_inflate(d, buf_slice(&copy), &out);
	assert(rc == 0 && slice_eq(buf_slice(&out), in));
	buf_fini(&copy);
	buf_fini(&out);
}

static void payload(struct deflater *d, struct slice in)
{
	struct buf out;

	buf_init(&out, INFLATED_MAX);
	int rc = deflater_inflate(d, in, &out);
	assert(out.n <= INFLATED_MAX);
	if (rc == 0)
		round_trip(d, buf_slice(&out));
	buf_fini(&out);
}

static void gzip(struct deflater *d, struct slice in, unsigned piece)
{
	struct slice ret;
	size_t n;

	deflater_gzip_begin(d, in.n);
	for (size_t at = 0; at < in.n; at += n) {
		n = in.n - at < piece ? in.n - at : piece;
		deflater_gzip_add(d, slice_make(in.p + at, n), in.p[at] & 1);
	}
	if (deflater_gzip_end(d, &ret) == 0)
		assert(ret.n < in.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > INPUT_MAX)
		return 0;
	if (!counters)
		counters = counters_new();
	unsigned bits = 9 + (data[0] >> 3) % 7;
	if (!deflaters[bits])
		deflaters[bits] =
			deflater_new(&(struct deflate_config){.level = 1 + (int)bits % 9,
							      .window_bits = bits,
							      .max_bytes = INPUT_MAX,
							      .gzip_level = 1,
							      .gzip_max_bytes = INPUT_MAX},
				     counters);
	struct slice in = slice_make((const char *)data + 1, size - 1);
	switch (data[0] & 7) {
	case 0:
		offer(in, bits);
		break;
	case 1:
		codings(in);
		break;
	case 2:
		round_trip(deflaters[bits], in);
		break;
	case 3:
		gzip(deflaters[bits], in, 1 + (data[0] >> 3) * 16u);
		break;
	default:
		payload(deflaters[bits], in);
	}
	return 0;
}
