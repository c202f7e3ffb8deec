/* SPDX-License-Identifier: MIT */
/*
 * sse_parse.c: the event stream format, by the letter of the standard.
 *
 * DESIGN. Bytes become lines, lines become fields, an empty line sends the event. Lines end with
 * LF, CR or CRLF; since a CR may be the last byte of a chunk, its line is taken at once and an LF
 * that comes first in the next chunk is skipped: waiting for it would hold a live event back. A
 * line that is complete within the input is parsed where it lies, only cut ones are copied.
 *
 * What the standard wants and is easily forgotten: one byte order mark at the very start is
 * ignored; one space after the colon is not part of the value; an id with a NUL is ignored; retry
 * is digits only; an event without data is not sent but clears its type; what is not ended by an
 * empty line is thrown away when the stream ends.
 */
#include "cli/sse_parse.h"

#include <errno.h>

#define BOM_DONE 3

void sse_parser_init(struct sse_parser *p, size_t event_max, sse_event_fn *on_event, void *arg)
{
	*p = (struct sse_parser){.on_event = on_event, .arg = arg};
	buf_init(&p->line, event_max);
	buf_init(&p->data, event_max);
	buf_init(&p->type, event_max);
	buf_init(&p->id, event_max);
}

void sse_parser_fini(struct sse_parser *p)
{
	buf_fini(&p->line);
	buf_fini(&p->data);
	buf_fini(&p->type);
	buf_fini(&p->id);
}

static int dispatch(struct sse_parser *p)
{
	struct sse_event event;
	int rc = 0;

	if (p->data.n > 0) {
		event.type = buf_slice(&p->type);
		event.data = slice_make(p->data.p, p->data.n - 1); /* the last LF is not data */
		event.id = buf_slice(&p->id);
		rc = p->on_event(p->arg, &event);
	}
	buf_clear(&p->data);
	buf_clear(&p->type);
	return rc;
}

static void take_retry(struct sse_parser *p, struct slice value)
{
	uint64_t ms = 0;

	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] < '0' || value.p[i] > '9' || ms > UINT32_MAX)
			return;
		ms = 10 * ms + (uint64_t)(value.p[i] - '0');
	}
	if (value.n)
		p->retry_ms = ms;
}

static int take_field(struct sse_parser *p, struct slice name, struct slice value)
{
	if (slice_eq_str(name, "data")) {
		if (buf_add_slice(&p->data, value) || buf_add_char(&p->data, '\n'))
			return -ENOBUFS;
	} else if (slice_eq_str(name, "event")) {
		buf_clear(&p->type);
		return buf_add_slice(&p->type, value);
	} else if (slice_eq_str(name, "id")) {
		if (value.n && memchr(value.p, '\0', value.n))
			return 0;
		buf_clear(&p->id);
		return buf_add_slice(&p->id, value);
	} else if (slice_eq_str(name, "retry")) {
		take_retry(p, value);
	}
	return 0;
}

static int take_line(struct sse_parser *p, struct slice line)
{
	const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
	struct slice value = slice_make("", 0);
	size_t name_n = line.n;

	if (line.n == 0)
		return dispatch(p);
	if (colon) {
		name_n = (size_t)(colon - line.p);
		if (name_n == 0)
			return 0; /* a comment */
		value = slice_skip(line, name_n + 1);
		if (value.n && value.p[0] == ' ')
			value = slice_skip(value, 1);
	}
	return take_field(p, slice_make(line.p, name_n), value);
}

/* Step over a byte order mark at the very start; one that is incomplete at the end of the stream
 * was none, but then there was no event either. */
static const char *skip_bom(struct sse_parser *p, const char *at, const char *end)
{
	static const char bom[] = {'\xef', '\xbb', '\xbf'};

	while (p->bom_n < BOM_DONE && at < end) {
		if (*at != bom[p->bom_n]) {
			/* Bytes that only looked like its beginning are the start of a line. */
			buf_add(&p->line, bom, p->bom_n);
			p->bom_n = BOM_DONE;
			break;
		}
		at++;
		p->bom_n++;
	}
	return at;
}

static const char *find_line_end(const char *at, const char *end)
{
	const char *lf = memchr(at, '\n', (size_t)(end - at));
	const char *cr = memchr(at, '\r', (size_t)((lf ? lf : end) - at));

	return cr ? cr : lf;
}

static int parse(struct sse_parser *p, const char *at, const char *end)
{
	while (at < end) {
		const char *stop;
		int rc;

		if (p->skip_lf) {
			p->skip_lf = false;
			if (*at == '\n') {
				at++;
				continue;
			}
		}
		stop = find_line_end(at, end);
		if (!stop)
			return buf_add(&p->line, at, (size_t)(end - at));
		if (p->line.n) {
			rc = buf_add(&p->line, at, (size_t)(stop - at));
			if (rc == 0)
				rc = take_line(p, buf_slice(&p->line));
			buf_clear(&p->line);
		} else {
			rc = take_line(p, slice_make(at, (size_t)(stop - at)));
		}
		if (rc)
			return rc;
		p->skip_lf = *stop == '\r';
		at = stop + 1;
	}
	return 0;
}

int sse_parse(struct sse_parser *p, const void *bytes, size_t n)
{
	const char *at = bytes;
	int rc;

	if (p->is_over)
		return -EINVAL;
	at = skip_bom(p, at, at + n);
	rc = parse(p, at, (const char *)bytes + n);
	p->is_over = rc != 0;
	return rc;
}
