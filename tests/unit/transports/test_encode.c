/* SPDX-License-Identifier: MIT */
/* encode: every kind of payload in every wire format, compared byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/json.h"
#include "transports/encode.h"

static const struct epoch epoch = {"k3v9q2"};

struct spec {
	const char *channel;
	const char *type;
	struct slice payload;
	enum message_kind kind;
	uint64_t seq, prev;
};

static struct message *make(const struct spec *s)
{
	struct message *m = message_new(&(struct message_spec){
		.channel = slice_str(s->channel ? s->channel : "news"),
		.type = slice_str(s->type),
		.payload = s->payload,
		.kind = s->kind,
		.durability = s->seq ? DURABILITY_COMMIT : DURABILITY_EPHEMERAL,
	});

	assert_non_null(m);
	m->seq = s->seq;
	m->prev = s->prev;
	m->ts_ms = 1790000000123;
	return m;
}

typedef struct frame *(*encode_fn)(const struct message *m, const struct epoch *e);

static void expect_slice(struct slice got, struct slice want)
{
	if (slice_eq(got, want))
		return;
	print_message("# got %zu:  %.*s\n# want %zu: %.*s\n", got.n, SLICE_ARG(got), want.n,
		      SLICE_ARG(want));
	fail();
}

static void expect_frame(const struct message *m, encode_fn encode, struct slice want)
{
	struct frame *f = encode(m, &epoch);

	assert_int_equal(f->refs, 1);
	assert_true(f->is_message);
	assert_int_equal(f->seq, m->seq);
	expect_slice(slice_make(f->bytes, f->n), want);
	frame_unref(f);
}

/* The text in a chunk of HTTP/1.1. */
static void add_chunk(struct buf *b, struct slice text)
{
	buf_addf(b, "%zx\r\n", text.n);
	buf_add_slice(b, text);
	buf_add_str(b, "\r\n");
}

static void expect_sse(const struct message *m, encode_fn encode, struct slice event)
{
	struct buf want = {0};

	add_chunk(&want, event);
	expect_frame(m, encode, buf_slice(&want));
	struct frame *f = encode(m, &epoch);
	expect_slice(sse_chunk_content(f), event);
	frame_unref(f);
	buf_fini(&want);
}

/* The text in an unmasked WebSocket frame, by hand (RFC 6455 5.2). */
static void expect_ws(const struct message *m, encode_fn encode, uint8_t opcode, struct slice text)
{
	struct buf want = {0};

	buf_add_char(&want, (char)(0x80 | opcode));
	if (text.n < 126) {
		buf_add_char(&want, (char)text.n);
	} else if (text.n < 65536) {
		buf_add_char(&want, 126);
	} else {
		buf_add_char(&want, 127);
		buf_add(&want, "\0\0\0\0\0", 5);
		buf_add_char(&want, (char)(text.n >> 16));
	}
	if (text.n >= 126) {
		buf_add_char(&want, (char)(text.n >> 8));
		buf_add_char(&want, (char)text.n);
	}
	buf_add_slice(&want, text);
	expect_frame(m, encode, buf_slice(&want));
	buf_fini(&want);
}

/* The three formats with the envelope; it has no line breaks. */
static void expect_envelope(const struct spec *s, const char *json)
{
	struct message *m = make(s);
	struct buf event = {0}, list = {0};

	expect_frame(m, encode_json, slice_str(json));
	expect_ws(m, encode_ws_json, 1, slice_str(json));
	if (s->seq)
		buf_addf(&event, "id: k3v9q2.%llu\n", (unsigned long long)s->seq);
	buf_addf(&event, "data: %s\n\n", json);
	expect_sse(m, encode_sse_json, buf_slice(&event));
	buf_add_char(&list, '[');
	json_add_message(&list, m, &epoch);
	expect_slice(slice_skip(buf_slice(&list), 1), slice_str(json));
	assert_true(json_is_valid(slice_str(json), NULL));
	buf_fini(&event);
	buf_fini(&list);
	message_unref(m);
}

/* --- the envelope ---------------------------------------------------------------------------- */

static void test_envelope(void **state)
{
	expect_envelope(
		&(struct spec){.payload = SLICE("{\"any\":\"json\"}"), .seq = 42, .prev = 37},
		"{\"type\":\"message\",\"channel\":\"news\",\"id\":\"k3v9q2.42\","
		"\"prev\":\"k3v9q2.37\",\"ts\":1790000000123,\"data\":{\"any\":\"json\"}}");
}

static void test_first_of_its_channel_has_prev_null(void **state)
{
	expect_envelope(
		&(struct spec){.payload = SLICE("1"), .seq = 1},
		"{\"type\":\"message\",\"channel\":\"news\",\"id\":\"k3v9q2.1\",\"prev\":null,"
		"\"ts\":1790000000123,\"data\":1}");
}

static void test_ephemeral_has_neither_id_nor_prev(void **state)
{
	expect_envelope(
		&(struct spec){.payload = SLICE("{}")},
		"{\"type\":\"message\",\"channel\":\"news\",\"ts\":1790000000123,\"data\":{}}");
}

static void test_largest_numbers(void **state)
{
	expect_envelope(
		&(struct spec){.payload = SLICE("[]"), .seq = INT64_MAX, .prev = INT64_MAX - 1},
		"{\"type\":\"message\",\"channel\":\"news\",\"id\":\"k3v9q2.9223372036854775807\","
		"\"prev\":\"k3v9q2.9223372036854775806\",\"ts\":1790000000123,\"data\":[]}");
}

static void test_text_is_a_json_string(void **state)
{
	expect_envelope(
		&(struct spec){.payload = SLICE("say \"h\\i\"\n\r\t\x01\x7f ü\xe2\x80\xa8/"),
			       .kind = MESSAGE_TEXT,
			       .seq = 2,
			       .prev = 1},
		"{\"type\":\"message\",\"channel\":\"news\",\"id\":\"k3v9q2.2\","
		"\"prev\":\"k3v9q2.1\",\"ts\":1790000000123,"
		"\"data\":\"say \\\"h\\\\i\\\"\\n\\r\\t\\u0001\x7f ü\xe2\x80\xa8/\"}");
}

static void test_nul_in_a_text(void **state)
{
	expect_envelope(&(struct spec){.payload = slice_make("a\0b", 3), .kind = MESSAGE_TEXT},
			"{\"type\":\"message\",\"channel\":\"news\",\"ts\":1790000000123,"
			"\"data\":\"a\\u0000b\"}");
}

static void test_binary_is_base64(void **state)
{
	static const struct {
		struct slice bytes;
		const char *text;
	} cases[] = {
		/* RFC 4648 section 10, and both letters that differ in its variants */
		{{"", 0}, ""},
		{{"f", 1}, "Zg=="},
		{{"fo", 2}, "Zm8="},
		{{"foo", 3}, "Zm9v"},
		{{"foobar", 6}, "Zm9vYmFy"},
		{{"\xfb\xff\xbf\0", 4}, "+/+/AA=="},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf want = {0};

		buf_addf(&want,
			 "{\"type\":\"message\",\"channel\":\"news\",\"ts\":1790000000123,"
			 "\"encoding\":\"base64\",\"data\":\"%s\"}",
			 cases[i].text);
		buf_add_char(&want, '\0');
		expect_envelope(&(struct spec){.payload = cases[i].bytes, .kind = MESSAGE_BINARY},
				want.p);
		buf_fini(&want);
	}
}

static void test_empty_text(void **state)
{
	expect_envelope(
		&(struct spec){.payload = SLICE(""), .kind = MESSAGE_TEXT, .seq = 3, .prev = 2},
		"{\"type\":\"message\",\"channel\":\"news\",\"id\":\"k3v9q2.3\","
		"\"prev\":\"k3v9q2.2\",\"ts\":1790000000123,\"data\":\"\"}");
}

static void test_quotes_and_backslashes_in_names(void **state)
{
	expect_envelope(&(struct spec){.channel = "a\"b\\c",
				       .type = "x/\"y\\\"",
				       .payload = SLICE("0"),
				       .kind = MESSAGE_TEXT},
			"{\"type\":\"message\",\"channel\":\"a\\\"b\\\\c\",\"ts\":1790000000123,"
			"\"content_type\":\"x/\\\"y\\\\\\\"\",\"data\":\"0\"}");
}

static void test_content_type_stands_before_encoding(void **state)
{
	expect_envelope(
		&(struct spec){.type = "image/png",
			       .payload = SLICE("\x89"),
			       .kind = MESSAGE_BINARY,
			       .seq = 5},
		"{\"type\":\"message\",\"channel\":\"news\",\"id\":\"k3v9q2.5\",\"prev\":null,"
		"\"ts\":1790000000123,\"content_type\":\"image/png\",\"encoding\":\"base64\","
		"\"data\":\"iQ==\"}");
}

/* The longest head there can be: all of channel and type escaped. */
static void test_longest_names(void **state)
{
	char channel[256], type[256];
	struct buf want = {0};

	memset(channel, '"', 255);
	memset(type, '\\', 255);
	channel[255] = type[255] = '\0';
	buf_add_str(&want, "{\"type\":\"message\",\"channel\":\"");
	for (int i = 0; i < 255; i++)
		buf_add_str(&want, "\\\"");
	buf_add_str(&want, "\",\"id\":\"k3v9q2.7\",\"prev\":null,\"ts\":1790000000123,"
			   "\"content_type\":\"");
	for (int i = 0; i < 255; i++)
		buf_add_str(&want, "\\\\");
	buf_add_str(&want, "\",\"encoding\":\"base64\",\"data\":\"AA==\"}");
	buf_add_char(&want, '\0');
	expect_envelope(&(struct spec){channel, type, SLICE("\0"), MESSAGE_BINARY, 7, 0}, want.p);
	buf_fini(&want);
}

/* --- sizes around the lengths of WebSocket heads and chunks ---------------------------------- */

static void test_all_lengths_of_heads(void **state)
{
	static const size_t sizes[] = {0,   1,    39,   40,    41,    125,   126,
				       127, 4095, 4096, 65400, 65500, 65535, 65536};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char *text = calloc(1, sizes[i] + 1);
		struct buf want = {0};

		memset(text, 'x', sizes[i]);
		struct spec s = {.payload = slice_make(text, sizes[i]), .kind = MESSAGE_TEXT};
		buf_add_str(&want,
			    "{\"type\":\"message\",\"channel\":\"news\",\"ts\":1790000000123,"
			    "\"data\":\"");
		buf_add(&want, text, sizes[i]);
		buf_add_str(&want, "\"}");
		buf_add_char(&want, '\0');
		expect_envelope(&s, want.p);
		struct message *m = make(&s);
		expect_ws(m, encode_ws_raw, 1, s.payload);
		message_unref(m);
		buf_fini(&want);
		free(text);
	}
}

/* --- line breaks in SSE ---------------------------------------------------------------------- */

static void test_line_breaks_in_json_become_data_lines(void **state)
{
	static const struct {
		const char *json, *lines;
	} cases[] = {
		{"[1,\n2]", "[1,\ndata: 2]"},     {"[1,\r2]", "[1,\ndata: 2]"},
		{"[1,\r\n2]", "[1,\ndata: 2]"},   {"[\n\n]", "[\ndata: \ndata: ]"},
		{"[\r\r]", "[\ndata: \ndata: ]"}, {"[\r\n\r\n]", "[\ndata: \ndata: ]"},
		{"[\n\r]", "[\ndata: \ndata: ]"}, {"[\r\r\n\n]", "[\ndata: \ndata: \ndata: ]"},
		{"\n{}\n", "\ndata: {}\ndata: "}, {"1\r", "1\ndata: "},
		{"1\r\n", "1\ndata: "},           {"\r\n1", "\ndata: 1"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct spec s = {.payload = slice_str(cases[i].json), .seq = 9, .prev = 8};
		struct message *m = make(&s);
		struct buf want = {0};

		buf_addf(&want,
			 "id: k3v9q2.9\ndata: {\"type\":\"message\",\"channel\":\"news\","
			 "\"id\":\"k3v9q2.9\",\"prev\":\"k3v9q2.8\",\"ts\":1790000000123,"
			 "\"data\":%s}\n\n",
			 cases[i].lines);
		expect_sse(m, encode_sse_json, buf_slice(&want));
		buf_clear(&want);
		buf_addf(&want, "id: k3v9q2.9\ndata: %s\n\n", cases[i].lines);
		expect_sse(m, encode_sse_raw, buf_slice(&want));
		buf_clear(&want);
		/* Elsewhere the very bytes. */
		expect_ws(m, encode_ws_raw, 1, s.payload);
		message_unref(m);
		buf_fini(&want);
	}
}

static void test_escaped_breaks_of_a_text_stay_one_line(void **state)
{
	expect_envelope(&(struct spec){.payload = SLICE("a\r\nid: 5\n\n"), .kind = MESSAGE_TEXT},
			"{\"type\":\"message\",\"channel\":\"news\",\"ts\":1790000000123,"
			"\"data\":\"a\\r\\nid: 5\\n\\n\"}");
}

/* --- raw ------------------------------------------------------------------------------------- */

static void expect_raw(const struct spec *s, const char *data, uint8_t opcode)
{
	struct message *m = make(s);
	struct buf want = {0};

	if (s->seq)
		buf_addf(&want, "id: k3v9q2.%llu\n", (unsigned long long)s->seq);
	buf_addf(&want, "data: %s\n\n", data);
	expect_sse(m, encode_sse_raw, buf_slice(&want));
	expect_ws(m, encode_ws_raw, opcode, s->payload);
	buf_fini(&want);
	message_unref(m);
}

static void test_raw(void **state)
{
	expect_raw(&(struct spec){.payload = SLICE("{ }"), .seq = 4, .prev = 3}, "{ }", 1);
	expect_raw(&(struct spec){.payload = SLICE("a\nid: 7\r\n\r\nb"),
				  .kind = MESSAGE_TEXT,
				  .seq = 4},
		   "a\ndata: id: 7\ndata: \ndata: b", 1);
	expect_raw(&(struct spec){.payload = SLICE(""), .kind = MESSAGE_TEXT}, "", 1);
	expect_raw(&(struct spec){.payload = SLICE("\n"), .kind = MESSAGE_TEXT}, "\ndata: ", 1);
	expect_raw(&(struct spec){.payload = SLICE(""), .kind = MESSAGE_BINARY, .seq = 6}, "", 2);
	expect_raw(&(struct spec){.payload = SLICE("\xff\n\xfe"), .kind = MESSAGE_BINARY}, "/wr+",
		   2);
	expect_raw(&(struct spec){.payload = SLICE("\n"), .kind = MESSAGE_BINARY}, "Cg==", 2);
}

/* --- control events -------------------------------------------------------------------------- */

static void expect_chunk(struct frame *f, const char *text)
{
	struct buf want = {0};

	add_chunk(&want, slice_str(text));
	assert_false(f->is_message);
	expect_slice(slice_make(f->bytes, f->n), buf_slice(&want));
	expect_slice(sse_chunk_content(f), slice_str(text));
	frame_unref(f);
	buf_fini(&want);
}

static void test_chunks(void **state)
{
	expect_chunk(sse_chunk(SLICE("retry: 2000\n\n")), "retry: 2000\n\n");
	expect_chunk(sse_chunk(SLICE(": 10 bytes\n\nbegins with a size line\r\n")),
		     ": 10 bytes\n\nbegins with a size line\r\n");
	expect_chunk(sse_event("gap", SLICE("{\"type\":\"gap\"}")),
		     "event: gap\ndata: {\"type\":\"gap\"}\n\n");
}

static void expect_json(struct buf *b, const char *text)
{
	expect_slice(buf_slice(b), slice_str(text));
	assert_true(json_is_valid(buf_slice(b), NULL));
	buf_fini(b);
}

static void test_gap(void **state)
{
	struct gap g = {SLICE("a\"b"), SLICE("k3v9q2.10"), 36, 37, GAP_RETENTION};
	struct buf b = {0};

	json_add_gap(&b, &g, &epoch);
	expect_json(&b, "{\"type\":\"gap\",\"channel\":\"a\\\"b\",\"from\":\"k3v9q2.10\","
			"\"to\":\"k3v9q2.36\",\"oldest\":\"k3v9q2.37\",\"reason\":\"retention\"}");
	g = (struct gap){SLICE("n"), SLICE("\"\\\n"), 0, 0, GAP_INVALID};
	json_add_gap(&b, &g, &epoch);
	expect_json(&b, "{\"type\":\"gap\",\"channel\":\"n\",\"from\":\"\\\"\\\\\\n\",\"to\":null,"
			"\"oldest\":null,\"reason\":\"invalid\"}");
	g.reason = GAP_EPOCH;
	json_add_gap(&b, &g, &epoch);
	expect_json(&b, "{\"type\":\"gap\",\"channel\":\"n\",\"from\":\"\\\"\\\\\\n\",\"to\":null,"
			"\"oldest\":null,\"reason\":\"epoch\"}");
}

static void test_fault_and_goodbye(void **state)
{
	struct buf b = {0};

	json_add_fault(&b, SLICE("\"r 1\""), FAULT_BAD_JSON, "byte \"3\"");
	expect_json(&b, "{\"type\":\"error\",\"ref\":\"r 1\",\"code\":\"bad_json\","
			"\"message\":\"byte \\\"3\\\"\"}");
	json_add_fault(&b, SLICE(""), FAULT_INTERNAL, "");
	expect_json(&b, "{\"type\":\"error\",\"code\":\"internal\",\"message\":\"\"}");
	json_add_goodbye(&b, CLOSE_DRAIN, 1234);
	expect_json(&b, "{\"type\":\"goodbye\",\"reason\":\"drain\",\"reconnect\":true,"
			"\"delay_ms\":1234}");
	json_add_goodbye(&b, CLOSE_KICKED, 0);
	expect_json(&b, "{\"type\":\"goodbye\",\"reason\":\"kicked\",\"reconnect\":false,"
			"\"delay_ms\":0}");
}

static void test_message_beyond_the_cap_fails_the_buf(void **state)
{
	struct message *m = make(&(struct spec){.payload = SLICE("12345")});
	struct buf b = {.cap = 50};

	json_add_message(&b, m, &epoch);
	assert_true(b.failed);
	assert_int_equal(b.n, 0);
	buf_fini(&b);
	message_unref(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_first_of_its_channel_has_prev_null),
		cmocka_unit_test(test_ephemeral_has_neither_id_nor_prev),
		cmocka_unit_test(test_largest_numbers),
		cmocka_unit_test(test_text_is_a_json_string),
		cmocka_unit_test(test_nul_in_a_text),
		cmocka_unit_test(test_binary_is_base64),
		cmocka_unit_test(test_empty_text),
		cmocka_unit_test(test_quotes_and_backslashes_in_names),
		cmocka_unit_test(test_content_type_stands_before_encoding),
		cmocka_unit_test(test_longest_names),
		cmocka_unit_test(test_all_lengths_of_heads),
		cmocka_unit_test(test_line_breaks_in_json_become_data_lines),
		cmocka_unit_test(test_escaped_breaks_of_a_text_stay_one_line),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_gap),
		cmocka_unit_test(test_fault_and_goodbye),
		cmocka_unit_test(test_message_beyond_the_cap_fails_the_buf),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
