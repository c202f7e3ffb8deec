/* SPDX-License-Identifier: MIT */
/* base_cases: mailbox, message, ids, JSON scanner, UTF-8. */
#include <assert.h>
#include <stdlib.h>

#include "base/id.h"
#include "base/json.h"
#include "base/mailbox.h"
#include "base/message.h"
#include "base/obj.h"
#include "base/session_id.h"
#include "base/utf8.h"
#include "bench/micro/micro.h"

static void nothing(void)
{
}

/* --- mailbox --------------------------------------------------------------------------------- */

static struct mailbox box;
static struct letter letters[64];

static void mailbox_set_up(void)
{
	mailbox_init(&box);
}

static void mailbox_tear_down(void)
{
	mailbox_fini(&box);
}

static void post_and_take(size_t n, size_t burst)
{
	for (size_t i = 0; i < n; i += burst) {
		struct letter_list taken = STAILQ_HEAD_INITIALIZER(taken);
		for (size_t k = 0; k < burst; k++)
			mailbox_post(&box, &letters[k]);
		size_t got = mailbox_take(&box, &taken);
		assert(got == burst);
	}
}

static void run_mailbox(size_t n)
{
	post_and_take(n, 1);
}

static void run_mailbox_burst(size_t n)
{
	post_and_take(n - n % ARRAY_LEN(letters), ARRAY_LEN(letters));
}

/* --- message, ids ---------------------------------------------------------------------------- */

static char payload[128];

static void run_message(size_t n)
{
	struct message_spec spec = {
		.channel = SLICE("room:1234"),
		.payload = slice_make(payload, sizeof(payload)),
		.kind = MESSAGE_BINARY,
		.durability = DURABILITY_COMMIT,
	};

	for (size_t i = 0; i < n; i++) {
		struct message *m = message_new(&spec);
		micro_use(m);
		message_unref(m);
	}
}

static void run_id(size_t n)
{
	struct epoch epoch = {"k3v9q2"};

	for (size_t i = 0; i < n; i++) {
		char text[ID_TEXT_MAX];
		uint64_t seq = 0;
		size_t length = id_format(text, &epoch, 123456789 + i);
		enum id_verdict v = id_parse(slice_make(text, length), &epoch, &seq);
		assert(v == ID_VALID && seq == 123456789 + i);
	}
}

/* Given to a client, and known again. */
static void run_session_id(size_t n)
{
	static const struct session_key key = {{1}};

	for (size_t i = 0; i < n; i++) {
		char text[SESSION_ID_TEXT + 1];
		struct session_id id = session_id_of(&key, session_name_make());
		session_id_format(text, &id);
		bool is_ours = session_id_parse(slice_make(text, SESSION_ID_TEXT), &id) &&
			       session_id_is_ours(&key, &id);
		assert(is_ours);
	}
}

/* --- JSON and UTF-8 -------------------------------------------------------------------------- */

static struct buf json, text, ascii;

static void texts_set_up(void)
{
	buf_add_str(&json, "{\"type\":\"order\",\"items\":[");
	for (int i = 0; json.n < 950; i++)
		buf_addf(&json,
			 "%s{\"id\":%d,\"price\":%d.%02d,\"name\":\"Stra\xc3\x9f"
			 "e \\\"%d\\\"\"}",
			 i ? "," : "", i, i * 7, i, i);
	buf_add_str(&json, "],\"ok\":true,\"note\":null}");
	while (text.n < 1000)
		buf_add_str(&text, "Gr\xc3\xbc\xc3\x9f"
				   "e, \xe4\xb8\x96\xe7\x95\x8c, \"\xf0\x9f\x99\x82\"\n");
	while (ascii.n < 1024)
		buf_add_str(&ascii, "0123456789abcdef");
}

static void texts_tear_down(void)
{
	buf_fini(&json);
	buf_fini(&text);
	buf_fini(&ascii);
}

static void run_json_valid(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool is_valid = json_is_valid(buf_slice(&json), NULL);
		assert(is_valid);
	}
}

static void run_json_get(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct slice value;
		bool is_there = json_object_get(buf_slice(&json), "note", &value);
		assert(is_there);
		micro_use(value.p);
	}
}

static void run_json_string(size_t n)
{
	size_t size = json_string_size(buf_slice(&text));
	char *out = malloc(size);

	assert(out != NULL);
	for (size_t i = 0; i < n; i++) {
		const char *end = json_write_string(out, buf_slice(&text));
		assert(end == out + size);
		micro_use(out);
	}
	free(out);
}

static void check_utf8(const struct buf *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool is_valid = utf8_is_valid(b->p, b->n);
		assert(is_valid);
	}
}

static void run_utf8(size_t n)
{
	check_utf8(&text, n);
}

static void run_utf8_ascii(size_t n)
{
	check_utf8(&ascii, n);
}

const struct micro_case base_cases[] = {
	{"mailbox", "a letter posted to an empty box and taken", 1000, mailbox_set_up, run_mailbox,
	 mailbox_tear_down},
	{"mailbox-burst", "the same, 64 letters at a time", 6400, mailbox_set_up, run_mailbox_burst,
	 mailbox_tear_down},
	{"message", "a message of 128 bytes made and dropped", 1000, nothing, run_message, nothing},
	{"id", "an id written and read", 1000, nothing, run_id, nothing},
	{"session-id", "a session's id made, written, read and known again", 1000, nothing,
	 run_session_id, nothing},
	{"json-valid", "1 KiB of JSON scanned", 100, texts_set_up, run_json_valid, texts_tear_down},
	{"json-get", "the last member of 1 KiB of JSON found", 100, texts_set_up, run_json_get,
	 texts_tear_down},
	{"json-string", "1 KiB of text written as a JSON string", 100, texts_set_up,
	 run_json_string, texts_tear_down},
	{"utf8", "1 KiB of many languages checked", 100, texts_set_up, run_utf8, texts_tear_down},
	{"utf8-ascii", "1 KiB of ASCII checked", 100, texts_set_up, run_utf8_ascii,
	 texts_tear_down},
	{NULL},
};
