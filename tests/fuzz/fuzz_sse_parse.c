/* SPDX-License-Identifier: MIT */
/*
 * fuzz_sse_parse: an event stream through cli/sse_parse.c, in one piece and in pieces of the size
 * that the first byte says. Both must tell the same events, and the same as a second, slow reading
 * of the standard that sees all lines at once.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>

#include "cli/sse_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EVENT_MAX 512
#define INPUT_MAX 4096

static void tell(struct buf *story, const struct sse_event *e)
{
	buf_addf(story, "[%zu,%zu,%zu]", e->type.n, e->data.n, e->id.n);
	buf_add_slice(story, e->type);
	buf_add_slice(story, e->data);
	buf_add_slice(story, e->id);
}

static int on_event(void *arg, const struct sse_event *e)
{
	assert(e->data.n <= EVENT_MAX && e->type.n <= EVENT_MAX && e->id.n <= EVENT_MAX);
	assert(e->id.n == 0 || !memchr(e->id.p, '\0', e->id.n));
	tell(arg, e);
	return 0;
}

/* Return what sse_parse() said last. */
static int run(struct buf *story, struct slice in, size_t piece, uint64_t *ret_retry)
{
	struct sse_parser p;
	int rc = 0;

	sse_parser_init(&p, EVENT_MAX, on_event, story);
	p.retry_ms = 77;
	while (in.n && rc == 0) {
		size_t n = in.n < piece ? in.n : piece;

		rc = sse_parse(&p, in.p, n);
		in = slice_skip(in, n);
	}
	assert(rc == 0 || (rc == -ENOBUFS && sse_parse(&p, "x", 1) == -EINVAL));
	*ret_retry = p.retry_ms;
	sse_parser_fini(&p);
	return rc;
}

/* --- the standard, line by line (WHATWG HTML 9.2.6) ------------------------------------------ */

struct reading {
	struct buf data, type, id;
	uint64_t retry;
};

static void field(struct reading *r, struct slice name, struct slice value)
{
	if (slice_eq_str(name, "data")) {
		buf_add_slice(&r->data, value);
		buf_add_char(&r->data, '\n');
	} else if (slice_eq_str(name, "event")) {
		buf_clear(&r->type);
		buf_add_slice(&r->type, value);
	} else if (slice_eq_str(name, "id") && !(value.n && memchr(value.p, '\0', value.n))) {
		buf_clear(&r->id);
		buf_add_slice(&r->id, value);
	} else if (slice_eq_str(name, "retry")) {
		uint64_t ms = 0;

		for (size_t i = 0; i < value.n; i++) {
			if (value.p[i] < '0' || value.p[i] > '9' || ms > UINT32_MAX)
				return; /* as cli/sse_parse.c: nobody waits for longer than that */
			ms = ms * 10 + (uint64_t)(value.p[i] - '0');
		}
		if (value.n)
			r->retry = ms;
	}
}

static void line(struct reading *r, struct slice l, struct buf *story)
{
	const char *colon = l.n ? memchr(l.p, ':', l.n) : NULL;
	size_t n = colon ? (size_t)(colon - l.p) : l.n;

	if (l.n == 0) {
		struct slice data = slice_make(r->data.p, r->data.n ? r->data.n - 1 : 0);

		if (r->data.n)
			tell(story,
			     &(struct sse_event){buf_slice(&r->type), data, buf_slice(&r->id)});
		buf_clear(&r->data);
		buf_clear(&r->type);
	} else if (n > 0) {
		struct slice value = slice_skip(l, n + 1);

		field(r, slice_make(l.p, n), slice_skip(value, value.n && value.p[0] == ' '));
	}
}

static uint64_t read_slowly(struct buf *story, struct slice in)
{
	struct reading r = {.retry = 77};

	if (slice_starts(in, "\xef\xbb\xbf"))
		in = slice_skip(in, 3);
	for (size_t i = 0; i < in.n;) {
		if (in.p[i] != '\r' && in.p[i] != '\n') {
			i++;
			continue;
		}
		line(&r, slice_make(in.p, i), story);
		in = slice_skip(in,
				i + 1 + (in.p[i] == '\r' && i + 1 < in.n && in.p[i + 1] == '\n'));
		i = 0;
	}
	buf_fini(&r.data);
	buf_fini(&r.type);
	buf_fini(&r.id);
	return r.retry;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = {0}, pieces = {0}, slow = {0};
	uint64_t retry, retry_in_pieces;

	if (size < 1 || size > INPUT_MAX)
		return 0;
	struct slice in = slice_make((const char *)data + 1, size - 1);
	int rc = run(&whole, in, INPUT_MAX, &retry);
	int rc_in_pieces = run(&pieces, in, data[0] % 16 + 1u, &retry_in_pieces);
	/* A line that is never kept may be longer than one that is: only what is complete in one
	 * piece gets through. */
	if (rc == 0 && rc_in_pieces == 0) {
		assert(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
		assert(retry == retry_in_pieces);
		uint64_t slow_retry = read_slowly(&slow, in);
		assert(slice_eq(buf_slice(&whole), buf_slice(&slow)));
		assert(slow_retry == retry);
	}
	buf_fini(&whole);
	buf_fini(&pieces);
	buf_fini(&slow);
	return 0;
}
