/* SPDX-License-Identifier: MIT */
/*
 * encode: wire formats of a message. DESIGN: the envelope's members before `data` are written into
 * a small array (their size is bounded: channel and content type are short), the payload's size in
 * its embedding is computed, and the frame is allocated once, at its exact size. JSON payloads are
 * copied as the very bytes.
 */
#include "transports/encode.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/digits.h"
#include "base/json.h"
#include "base/utf8.h"
#include "net/ws.h"

/* type + channel (255 bytes, each at most escaped to 6) + ids + ts + content type (255, likewise) +
 * names */
#define HEAD_MAX 3440

struct head {
	char p[HEAD_MAX];
	size_t n;
};

static void head_add(struct head *h, struct slice s)
{
	assert(h->n + s.n <= HEAD_MAX);
	memcpy(h->p + h->n, s.p, s.n);
	h->n += s.n;
}

static void head_add_number(struct head *h, uint64_t v)
{
	char digits[DIGITS_U64];

	head_add(h, slice_make(digits, digits_write(digits, v)));
}

static void head_add_string(struct head *h, struct slice s)
{
	assert(h->n + json_string_size(s) <= HEAD_MAX);
	h->n = (size_t)(json_write_string(h->p + h->n, s) - h->p);
}

static void head_add_id(struct head *h, const struct epoch *e, uint64_t seq)
{
	char id[ID_TEXT_MAX];

	head_add(h, SLICE("\""));
	head_add(h, slice_make(id, id_format(id, e, seq)));
	head_add(h, SLICE("\""));
}

/* Everything of the envelope up to and including `"data":`. again: the how-manieth repetition. */
static void head_make(struct head *h, const struct message *m, const struct epoch *e,
		      unsigned again)
{
	h->n = 0;
	head_add(h, SLICE("{\"type\":\"message\",\"channel\":"));
	head_add_string(h, message_channel(m));
	if (m->seq) {
		head_add(h, SLICE(",\"id\":"));
		head_add_id(h, e, m->seq);
		head_add(h, SLICE(",\"prev\":"));
		if (m->prev)
			head_add_id(h, e, m->prev);
		else
			head_add(h, SLICE("null"));
	}
	head_add(h, SLICE(",\"ts\":"));
	head_add_number(h, (uint64_t)m->ts_ms);
	if (m->type_n) {
		head_add(h, SLICE(",\"content_type\":"));
		head_add_string(h, message_type(m));
	}
	if (m->kind == MESSAGE_BINARY)
		head_add(h, SLICE(",\"encoding\":\"base64\""));
	if (again) {
		head_add(h, SLICE(",\"redelivered\":"));
		head_add_number(h, again);
	}
	head_add(h, SLICE(",\"data\":"));
}

static size_t base64_size(size_t n)
{
	return (n + 2) / 3 * 4;
}

/* libsodium ends its text with a NUL: out has room for one byte more. */
static char *base64_write(char *out, struct slice s)
{
	sodium_bin2base64(out, base64_size(s.n) + 1, (const unsigned char *)s.p, s.n,
			  sodium_base64_VARIANT_ORIGINAL);
	return out + base64_size(s.n);
}

static size_t data_size(const struct message *m)
{
	switch (m->kind) {
	case MESSAGE_JSON:
		return m->payload_n;
	case MESSAGE_TEXT:
		return json_string_size(message_payload(m));
	default:
		return base64_size(m->payload_n) + 2;
	}
}

/* Writes data_size() bytes; what follows must have room for one more (see base64_write). */
static char *data_write(char *out, const struct message *m)
{
	struct slice p = message_payload(m);

	switch (m->kind) {
	case MESSAGE_JSON:
		memcpy(out, p.p, p.n);
		return out + p.n;
	case MESSAGE_TEXT:
		return json_write_string(out, p);
	default:
		*out++ = '"';
		out = base64_write(out, p);
		*out++ = '"';
		return out;
	}
}

static struct frame *message_frame(const struct message *m, size_t n)
{
	struct frame *f = frame_new(n);

	f->seq = m->seq;
	f->is_message = true;
	return f;
}

static char *put(char *out, const void *p, size_t n)
{
	memcpy(out, p, n);
	return out + n;
}

/* --- events of the broker itself: the payload is the object ---------------------------------- */

/* Not droppable: history does not have it. That is also how a poll tells events from messages. */
static struct frame *event_json(const struct message *m)
{
	return frame_copy(message_payload(m));
}

static struct frame *event_ws(const struct message *m)
{
	uint8_t ws[WS_HEAD_MAX];
	size_t ws_n = ws_head_encode(ws, WS_TEXT, true, m->payload_n);
	struct frame *f = frame_new(ws_n + m->payload_n);

	put(put(f->bytes, ws, ws_n), message_payload(m).p, m->payload_n);
	return f;
}

static struct frame *event_sse(const struct message *m)
{
	return sse_event(message_type(m).p, message_payload(m)); /* the type ends in a NUL */
}

/* --- messages -------------------------------------------------------------------------------- */

struct frame *encode_json(const struct message *m, const struct epoch *e)
{
	struct head h;

	if (m->kind == MESSAGE_EVENT)
		return event_json(m);

	head_make(&h, m, e, 0);
	struct frame *f = message_frame(m, h.n + data_size(m) + 1);
	char *p = put(f->bytes, h.p, h.n);
	p = data_write(p, m);
	*p = '}';
	return f;
}

static struct frame *ws_json(const struct message *m, const struct epoch *e, unsigned again)
{
	uint8_t ws[WS_HEAD_MAX];
	struct head h;

	if (m->kind == MESSAGE_EVENT)
		return event_ws(m);
	head_make(&h, m, e, again);
	size_t n = h.n + data_size(m) + 1;
	size_t ws_n = ws_head_encode(ws, WS_TEXT, true, n);
	struct frame *f = message_frame(m, ws_n + n);
	char *p = put(f->bytes, ws, ws_n);
	p = put(p, h.p, h.n);
	p = data_write(p, m);
	*p = '}';
	return f;
}

struct frame *encode_ws_json(const struct message *m, const struct epoch *e)
{
	return ws_json(m, e, 0);
}

/* What is sent again is its session's own, and stays in the queue (broker/durable.h). */
static struct frame *as_own(struct frame *f)
{
	f->is_message = false;
	return f;
}

struct frame *encode_ws_json_again(const struct message *m, const struct epoch *e, unsigned n)
{
	return as_own(ws_json(m, e, n));
}

struct frame *encode_ws_raw(const struct message *m, const struct epoch *e)
{
	uint8_t ws[WS_HEAD_MAX];
	enum ws_opcode op = m->kind == MESSAGE_BINARY ? WS_BINARY : WS_TEXT;
	size_t ws_n = ws_head_encode(ws, op, true, m->payload_n);
	struct frame *f = message_frame(m, ws_n + m->payload_n);

	UNUSED(e);
	put(put(f->bytes, ws, ws_n), message_payload(m).p, m->payload_n);
	return f;
}

/* --- SSE ------------------------------------------------------------------------------------- */

#define CHUNK_HEAD_MAX 20

static size_t chunk_head(char out[CHUNK_HEAD_MAX], size_t n)
{
	return (size_t)snprintf(out, CHUNK_HEAD_MAX, "%zx\r\n", n);
}

struct frame *sse_chunk(struct slice text)
{
	char head[CHUNK_HEAD_MAX];
	size_t head_n = chunk_head(head, text.n);
	struct frame *f = frame_new(head_n + text.n + 2);

	put(put(put(f->bytes, head, head_n), text.p, text.n), "\r\n", 2);
	return f;
}

struct slice sse_chunk_content(const struct frame *f)
{
	const char *lf = memchr(f->bytes, '\n', f->n);

	assert(lf && f->n >= (size_t)(lf + 1 - f->bytes) + 2);
	return slice_make(lf + 1, f->n - (size_t)(lf + 1 - f->bytes) - 2);
}

struct frame *sse_event(const char *event, struct slice json)
{
	struct buf b = {0};

	buf_add_str(&b, "event: ");
	buf_add_str(&b, event);
	buf_add_str(&b, "\ndata: ");
	buf_add_slice(&b, json);
	buf_add_str(&b, "\n\n");
	struct frame *f = sse_chunk(buf_slice(&b));
	buf_fini(&b);
	return f;
}

/* Line breaks (CR LF, CR or LF) in a text: each begins another data line. */
static size_t count_breaks(struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\n' || (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')))
			n++;
	return n;
}

static size_t count_crlf(struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i + 1 < s.n; i++)
		n += s.p[i] == '\r' && s.p[i + 1] == '\n';
	return n;
}

static const char data_line[] = "\ndata: ";

static size_t lines_size(struct slice s)
{
	return s.n - count_breaks(s) - count_crlf(s) + count_breaks(s) * (sizeof(data_line) - 1);
}

static char *lines_write(char *out, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\n' && s.p[i] != '\r') {
			*out++ = s.p[i];
			continue;
		}
		if (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n')
			i++;
		out = put(out, data_line, sizeof(data_line) - 1);
	}
	return out;
}

/* Writes the event around a body of body_n bytes and returns where the body goes. */
static struct frame *sse_frame(const struct message *m, const struct epoch *e, size_t body_n,
			       char **ret_body)
{
	char intro[ID_TEXT_MAX + 16], chunk[CHUNK_HEAD_MAX], *end = intro;

	if (m->seq) {
		end = put(end, "id: ", 4);
		end += id_format(end, e, m->seq);
		*end++ = '\n';
	}
	end = put(end, "data: ", 6);
	size_t intro_n = (size_t)(end - intro);
	size_t chunk_n = chunk_head(chunk, intro_n + body_n + 2);
	struct frame *f = message_frame(m, chunk_n + intro_n + body_n + 4);
	*ret_body = put(put(f->bytes, chunk, chunk_n), intro, intro_n);
	return f;
}

static struct frame *sse_json(const struct message *m, const struct epoch *e, unsigned again)
{
	bool has_breaks = m->kind == MESSAGE_JSON && count_breaks(message_payload(m)) > 0;
	struct head h;
	char *p;

	if (m->kind == MESSAGE_EVENT)
		return event_sse(m);
	head_make(&h, m, e, again);
	size_t data_n = has_breaks ? lines_size(message_payload(m)) : data_size(m);
	struct frame *f = sse_frame(m, e, h.n + data_n + 1, &p);
	p = put(p, h.p, h.n);
	p = has_breaks ? lines_write(p, message_payload(m)) : data_write(p, m);
	put(p, "}\n\n\r\n", 5);
	return f;
}

struct frame *encode_sse_json(const struct message *m, const struct epoch *e)
{
	return sse_json(m, e, 0);
}

struct frame *encode_sse_json_again(const struct message *m, const struct epoch *e, unsigned n)
{
	return as_own(sse_json(m, e, n));
}

struct frame *encode_sse_raw(const struct message *m, const struct epoch *e)
{
	struct slice payload = message_payload(m);
	bool is_binary = m->kind == MESSAGE_BINARY;
	char *p;

	if (m->kind == MESSAGE_EVENT)
		return event_sse(m);
	struct frame *f =
		sse_frame(m, e, is_binary ? base64_size(payload.n) : lines_size(payload), &p);
	p = is_binary ? base64_write(p, payload) : lines_write(p, payload);
	put(p, "\n\n\r\n", 4);
	return f;
}

struct frame *encode_sse_raw_again(const struct message *m, const struct epoch *e, unsigned n)
{
	UNUSED(n);
	return as_own(encode_sse_raw(m, e));
}

/* --- control events -------------------------------------------------------------------------- */

void json_add_message(struct buf *out, const struct message *m, const struct epoch *e)
{
	struct head h;

	head_make(&h, m, e, 0);
	if (buf_reserve(out, h.n + data_size(m) + 2) != 0) {
		out->failed = true;
		return;
	}
	char *p = put(out->p + out->n, h.p, h.n);
	p = data_write(p, m);
	*p++ = '}';
	out->n = (size_t)(p - out->p);
}

void json_add_id(struct buf *out, const struct epoch *e, uint64_t seq)
{
	char id[ID_TEXT_MAX];

	buf_add_char(out, '"');
	buf_add(out, id, id_format(id, e, seq));
	buf_add_char(out, '"');
}

void json_add_id_or_null(struct buf *out, const struct epoch *e, uint64_t seq)
{
	if (seq)
		json_add_id(out, e, seq);
	else
		buf_add_str(out, "null");
}

void json_add_gap(struct buf *out, const struct gap *g, const struct epoch *e)
{
	buf_add_str(out, "{\"type\":\"gap\",\"channel\":");
	json_add_string(out, g->channel);
	buf_add_str(out, ",\"from\":");
	json_add_string(out, g->from);
	buf_add_str(out, ",\"to\":");
	json_add_id_or_null(out, e, g->to);
	buf_add_str(out, ",\"oldest\":");
	json_add_id_or_null(out, e, g->oldest);
	buf_addf(out, ",\"reason\":\"%s\"}", gap_reason_name(g->reason));
}

void json_add_fault(struct buf *out, struct slice ref, enum fault_id id, const char *message)
{
	buf_add_str(out, "{\"type\":\"error\",");
	if (ref.n) {
		buf_add_str(out, "\"ref\":");
		buf_add_slice(out, ref);
		buf_add_char(out, ',');
	}
	buf_addf(out, "\"code\":\"%s\",\"message\":", fault_code(id));
	json_add_string(out, slice_str(message));
	buf_add_char(out, '}');
}

void json_add_goodbye(struct buf *out, enum close_reason reason, uint64_t delay_ms)
{
	const struct close_reason_info *info = close_reason_info(reason);

	buf_addf(out, "{\"type\":\"goodbye\",\"reason\":\"%s\",\"reconnect\":%s,\"delay_ms\":%llu}",
		 info->text, info->may_reconnect ? "true" : "false", (unsigned long long)delay_ms);
}
