/* SPDX-License-Identifier: MIT */
/* codec_cases: a message in the wire formats. */
#include <assert.h>

#include "base/buf.h"
#include "bench/micro/micro.h"
#include "transports/encode.h"

static const struct epoch epoch = {"k3v9q2"};
static struct message *json, *text, *binary;

static struct message *make(enum message_kind kind, struct slice payload)
{
	struct message *m = message_new(&(struct message_spec){
		.channel = SLICE("room:1234"),
		.payload = payload,
		.kind = kind,
		.durability = DURABILITY_COMMIT,
	});

	assert(m != NULL);
	m->seq = 123456789;
	m->prev = 123456700;
	m->ts_ms = 1790000000123;
	return m;
}

static void set_up(void)
{
	struct buf b = {0};

	buf_add_str(&b, "{\"n\":1,\"text\":\"");
	while (b.n < 126)
		buf_add_char(&b, 'x');
	buf_add_str(&b, "\"}");
	json = make(MESSAGE_JSON, buf_slice(&b));
	buf_fini(&b);
	while (b.n < 128)
		buf_add_str(&b, "two\nlines, \"quoted\" \xc3\xbc");
	text = make(MESSAGE_TEXT, buf_slice(&b));
	binary = make(MESSAGE_BINARY, buf_slice(&b));
	buf_fini(&b);
}

static void tear_down(void)
{
	json = message_unref(json);
	text = message_unref(text);
	binary = message_unref(binary);
}

static void encode(struct frame *(*fn)(const struct message *, const struct epoch *),
		   const struct message *m, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct frame *f = fn(m, &epoch);
		micro_use(f);
		frame_unref(f);
	}
}

static void run_ws(size_t n)
{
	encode(encode_ws_json, json, n);
}

static void run_ws_text(size_t n)
{
	encode(encode_ws_json, text, n);
}

static void run_ws_binary(size_t n)
{
	encode(encode_ws_json, binary, n);
}

static void run_ws_raw(size_t n)
{
	encode(encode_ws_raw, json, n);
}

static void run_sse(size_t n)
{
	encode(encode_sse_json, json, n);
}

static void run_sse_raw(size_t n)
{
	encode(encode_sse_raw, text, n);
}

static void run_poll(size_t n)
{
	encode(encode_json, json, n);
}

const struct micro_case codec_cases[] = {
	{"encode-ws", "128 bytes of JSON as a WebSocket frame", 1000, set_up, run_ws, tear_down},
	{"encode-ws-text", "… of text", 1000, set_up, run_ws_text, tear_down},
	{"encode-ws-binary", "… of binary, as base64", 1000, set_up, run_ws_binary, tear_down},
	{"encode-ws-raw", "… of JSON, without the envelope", 1000, set_up, run_ws_raw, tear_down},
	{"encode-sse", "128 bytes of JSON as an SSE event", 1000, set_up, run_sse, tear_down},
	{"encode-sse-raw", "… of text in lines, without the envelope", 1000, set_up, run_sse_raw,
	 tear_down},
	{"encode-poll", "128 bytes of JSON for a poll reply", 1000, set_up, run_poll, tear_down},
	{NULL},
};
