/* SPDX-License-Identifier: MIT */
/* ws_deflate: offers and answers, compressed frames, compressed messages of clients (RFC 7692). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "net/ws_deflate.h"
#include "tests/unit/net/ws_rig.h"

#define RSV1  0x40                                  /* beside an opcode */
#define HELLO SLICE("\xf2\x48\xcd\xc9\xc9\x07\x00") /* RFC 7692 7.2.3.1 */

static const struct deflate_config config = {
	.level = 6,
	.window_bits = 12,
	.min_bytes = 1,
	.max_bytes = 100000,
};

static int setup(void **state)
{
	rig_setup(state);
	struct rig *r = *state;

	r->cfg.message_max = 1000;
	r->cfg.fragments_max = 4;
	r->cfg.deflater = deflater_new(&config, r->env.counters);
	rig_speak_ws(r);
	ws_set_deflates(r->ws);
	rig_settle(r);
	return 0;
}

static int teardown(void **state)
{
	struct deflater *d = ((struct rig *)*state)->cfg.deflater;

	rig_teardown(state);
	deflater_free(d);
	return 0;
}

/* --- offers ---------------------------------------------------------------------------------- */

#define NO_WINDOW   "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
#define WITH_WINDOW NO_WINDOW "; server_max_window_bits=12"

static const struct {
	const char *offer[2]; /* headers */
	const char *answer;   /* NULL: declined */
} offers[] = {
	{{"permessage-deflate"}, NO_WINDOW},
	{{"permessage-deflate; client_max_window_bits"}, NO_WINDOW}, /* browsers */
	{{"permessage-deflate;client_max_window_bits=8"}, NO_WINDOW},
	{{"permessage-deflate; client_max_window_bits=15"}, NO_WINDOW},
	{{"permessage-deflate; server_no_context_takeover; client_no_context_takeover"}, NO_WINDOW},
	{{"permessage-deflate; server_max_window_bits=15"}, WITH_WINDOW},
	{{"permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"}, WITH_WINDOW},
	{{"permessage-deflate; server_max_window_bits=\"12\""}, WITH_WINDOW},
	{{"Permessage-Deflate ;  Server_No_Context_Takeover\t"}, NO_WINDOW},
	/* windows that are too small, for us or for zlib */
	{{"permessage-deflate; server_max_window_bits=11"}, NULL},
	{{"permessage-deflate; server_max_window_bits=8"}, NULL},
	{{"permessage-deflate; server_max_window_bits=10, permessage-deflate"}, NO_WINDOW},
	/* bad parameters */
	{{"permessage-deflate; server_max_window_bits"}, NULL},
	{{"permessage-deflate; server_max_window_bits="}, NULL},
	{{"permessage-deflate; server_max_window_bits=7"}, NULL},
	{{"permessage-deflate; server_max_window_bits=16"}, NULL},
	{{"permessage-deflate; server_max_window_bits=012"}, NULL},
	{{"permessage-deflate; server_max_window_bits=+12"}, NULL},
	{{"permessage-deflate; server_max_window_bits=12x"}, NULL},
	{{"permessage-deflate; server_max_window_bits=99999999999999999999"}, NULL},
	{{"permessage-deflate; client_max_window_bits=7"}, NULL},
	{{"permessage-deflate; client_max_window_bits=16"}, NULL},
	{{"permessage-deflate; client_max_window_bits=\"\""}, NULL},
	{{"permessage-deflate; server_no_context_takeover=1"}, NULL},
	{{"permessage-deflate; client_no_context_takeover=\"\""}, NULL},
	{{"permessage-deflate; client_max_window_bits; client_max_window_bits=10"}, NULL},
	{{"permessage-deflate; server_no_context_takeover; server_no_context_takeover"}, NULL},
	{{"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15"}, NULL},
	{{"permessage-deflate; mode=fast"}, NULL},
	{{"permessage-deflate; mode=\"a, b; \\\" c\", permessage-deflate"}, NO_WINDOW},
	/* others, and lists */
	{{""}, NULL},
	{{","}, NULL},
	{{"permessage-bzip2"}, NULL},
	{{"x-webkit-deflate-frame"}, NULL},
	{{"permessage-deflate-2"}, NULL},
	{{"permessage-bzip2, permessage-deflate"}, NO_WINDOW},
	{{"foo; server_max_window_bits=9, , permessage-deflate; server_max_window_bits=13,"},
	 WITH_WINDOW},
	{{"permessage-deflate; mode=x", "permessage-deflate"}, NO_WINDOW},
	{{"foo", "bar; permessage-deflate"}, NULL},
	/* no lists */
	{{"permessage-deflate client_max_window_bits"}, NULL},
	{{"permessage-deflate;"}, NULL},
	{{"permessage-deflate; ; client_max_window_bits"}, NULL},
	{{"; permessage-deflate"}, NULL},
	{{"permessage-deflate; mode=\"open"}, NULL},
	{{"permessage-deflate; mode=\"open\\"}, NULL},
	{{"foo=1, permessage-deflate"}, NULL},
	{{"permessage-deflate, @"}, NO_WINDOW},
	{{"@, permessage-deflate"}, NULL},
	{{"@", "permessage-deflate"}, NO_WINDOW},
};

static void offers_are_taken_or_declined(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
		struct http_header headers[] = {
			{SLICE("Host"), SLICE("x")},
			{SLICE("sec-websocket-extensions"), slice_str(offers[i].offer[0])},
			{SLICE("Sec-WebSocket-Extensions"), slice_str(offers[i].offer[1])},
		};
		struct http_request r = {.headers = headers,
					 .header_n = offers[i].offer[1] ? 3 : 2};
		char answer[WS_DEFLATE_ANSWER_MAX] = "untouched";

		bool taken = ws_deflate_negotiate(&r, 12, answer);
		if (taken != (offers[i].answer != NULL) ||
		    strcmp(answer, taken ? offers[i].answer : "untouched") != 0)
			fail_msg("%s → %s", offers[i].offer[0], answer);
	}
}

static void no_header_no_extension(void **state)
{
	struct http_request r = {.header_n = 0};
	char answer[WS_DEFLATE_ANSWER_MAX];

	assert_false(ws_deflate_negotiate(&r, 12, answer));
}

/* --- frames ---------------------------------------------------------------------------------- */

static struct frame *text_frame(size_t n)
{
	struct buf b = {0};

	for (unsigned i = 0; b.n < n; i++)
		buf_addf(&b, "word %u ", i % 10);
	struct frame *f = ws_frame_make(WS_TEXT, slice_make(b.p, n));
	f->seq = 42;
	f->is_message = true;
	buf_fini(&b);
	return f;
}

static void a_frame_is_the_same_message(void **state)
{
	static const size_t sizes[] = {20, 125, 126, 65535, 65536, 100000};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct frame *plain = frame_ref(text_frame(sizes[i]));
		struct frame *f = ws_deflate_pack(r->cfg.deflater, plain);
		struct slice bytes = slice_make(f->bytes, f->n);
		struct ws_head h;
		struct buf out = {0};

		assert_ptr_not_equal(f, plain);
		assert_int_equal(plain->refs, 1); /* that was ours */
		assert_int_equal(ws_head_decode(bytes, &h), WS_OK);
		assert_true(h.fin && h.rsv == WS_RSV1 && h.opcode == WS_TEXT && !h.masked);
		assert_int_equal(h.head_n + h.payload_n, f->n);
		assert_int_equal(f->seq, 42);
		assert_true(f->is_message && f->n < plain->n);
		assert_int_equal(
			deflater_inflate(r->cfg.deflater, slice_skip(bytes, h.head_n), &out), 0);
		assert_int_equal(ws_head_decode(slice_make(plain->bytes, plain->n), &h), WS_OK);
		assert_int_equal(out.n, sizes[i]);
		assert_memory_equal(out.p, plain->bytes + h.head_n, out.n);
		buf_fini(&out);
		frame_unref(plain);
		frame_unref(f);
	}
}

static void a_frame_that_is_not_worth_it_stays(void **state)
{
	struct rig *r = *state;
	struct frame *empty = ws_frame_make(WS_BINARY, SLICE(""));
	struct frame *few = ws_frame_make(WS_BINARY, T("\x01\x9a"));
	struct frame *large = text_frame(config.max_bytes + 1);

	assert_ptr_equal(ws_deflate_pack(r->cfg.deflater, empty), empty);
	assert_ptr_equal(ws_deflate_pack(r->cfg.deflater, few), few);
	assert_ptr_equal(ws_deflate_pack(r->cfg.deflater, large), large);
	frame_unref(empty);
	frame_unref(few);
	frame_unref(large);
}

/* --- messages of clients --------------------------------------------------------------------- */

static void messages_are_inflated(void **state)
{
	struct rig *r = *state;

	client_sends_frame(r, true, RSV1 | WS_TEXT, HELLO);
	client_sends_frame(r, true, WS_TEXT, T("plain"));
	client_sends_frame(r, true, RSV1 | WS_BINARY, HELLO);
	client_sends_frame(r, true, RSV1 | WS_TEXT, T("\x00"));
	expect_notes(r, "text Hello\ntext plain\nbinary Hello\ntext \n");
}

static void a_fragmented_message_has_the_bit_once(void **state)
{
	struct rig *r = *state;

	client_sends_frame(r, false, RSV1 | WS_TEXT, T("\xf2\x48\xcd"));
	client_sends_frame(r, true, WS_PING, T("p"));
	client_sends_frame(r, false, WS_CONTINUATION, T(""));
	client_sends_frame(r, true, WS_CONTINUATION, T("\xc9\xc9\x07\x00"));
	expect_frame(r, WS_PONG, T("p"));
	client_sends_frame(r, false, WS_TEXT, T("pl"));
	client_sends_frame(r, true, WS_CONTINUATION, T("ain"));
	expect_notes(r, "text Hello\ntext plain\n");
}

/* Characters may be cut anywhere on the wire; only the whole is text. */
static void the_bytes_on_the_wire_are_not_text(void **state)
{
	struct rig *r = *state;
	struct buf b = {0};

	rig_add_frame(&b, false, RSV1 | WS_TEXT, T("\xf2\x48\xcd\xc9\xc9"));
	rig_add_frame(&b, true, WS_CONTINUATION, T("\x07\x00"));
	for (size_t i = 0; i < b.n; i++)
		client_sends(r, slice_make(b.p + i, 1));
	expect_notes(r, "text Hello\n");
	buf_fini(&b);
}

static void what_may_not_be_compressed(void **state)
{
	static const struct {
		bool fin;
		unsigned opcode, code;
		struct slice payload;
	} cases[] = {
		{true, RSV1 | WS_PING, 1002, SLICE("")},
		{true, RSV1 | WS_PONG, 1002, SLICE("")},
		{true, RSV1 | WS_CLOSE, 1002, SLICE("\x03\xe8")},
		{true, RSV1 | WS_CONTINUATION, 1002, HELLO},
		{true, 0x60 | WS_TEXT, 1002, HELLO},
		{true, 0x20 | WS_TEXT, 1002, HELLO},
		{true, RSV1 | WS_TEXT, 1007, SLICE("")},
		{true, RSV1 | WS_TEXT, 1007, SLICE("Hello")},
		{true, RSV1 | WS_TEXT, 1007, SLICE("\x00\x01\x00\xfe\xff\xe9\x00")}, /* Latin-1 */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig *r;

		setup(state);
		r = *state;
		if ((cases[i].opcode & 0xf) == WS_CONTINUATION)
			client_sends_frame(r, false, RSV1 | WS_TEXT, SLICE(""));
		client_sends_frame(r, cases[i].fin, cases[i].opcode, cases[i].payload);
		expect_close(r, cases[i].code);
		client_closes(r);
		assert_int_equal(r->closed_n, 1);
		r->conn = NULL;
		teardown(state);
	}
}

static void without_agreement_the_bit_is_an_error(void **state)
{
	rig_setup_ws(state);
	struct rig *r = *state;

	client_sends_frame(r, true, RSV1 | WS_TEXT, HELLO);
	expect_close(r, 1002);
	client_closes(r);
	r->conn = NULL;
	rig_teardown(state);
}

static void add_deflated(struct rig *r, struct buf *out, size_t n)
{
	struct frame *f = ws_deflate_pack(r->cfg.deflater, text_frame(n));
	struct ws_head h;

	assert_int_equal(ws_head_decode(slice_make(f->bytes, f->n), &h), WS_OK);
	buf_add(out, f->bytes + h.head_n, f->n - h.head_n);
	frame_unref(f);
}

static void the_limit_is_that_of_the_message(void **state)
{
	struct rig *r = *state;
	struct buf b = {0};

	add_deflated(r, &b, 1000);
	client_sends_frame(r, true, RSV1 | WS_TEXT, buf_slice(&b));
	assert_int_equal(r->closed_n, 0);
	assert_true(slice_starts(buf_slice(&r->notes), "text 1000 "));
	buf_clear(&r->notes);
	buf_clear(&b);
	add_deflated(r, &b, 1001);
	client_sends_frame(r, true, RSV1 | WS_TEXT, buf_slice(&b));
	expect_close(r, 1009);
	client_closes(r);
	expect_notes(r, "closed too-big\n");
	r->conn = NULL;
	buf_fini(&b);
}

/* A message that does not compress may be longer on the wire than it is. */
static void stored_blocks_may_be_longer_than_the_message(void **state)
{
	struct rig *r = *state;
	struct buf b = {0};

	for (int i = 0; i < 10; i++) {
		buf_add(&b, "\x00\x64\x00\x9b\xff", 5);
		for (int k = 0; k < 100; k++)
			buf_add_char(&b, (char)('a' + k % 26));
	}
	buf_add_char(&b, '\0');
	assert_true(b.n > r->cfg.message_max);
	client_sends_frame(r, true, RSV1 | WS_TEXT, buf_slice(&b));
	assert_true(slice_starts(buf_slice(&r->notes), "text 1000 "));
	assert_true(b.n <= ws_deflate_payload_max(r->cfg.message_max));
	/* But not at will, and it is known from the head. */
	buf_reserve(&b, 1000);
	b.n = ws_deflate_payload_max(r->cfg.message_max) + 1;
	memset(b.p, 0, b.n);
	client_sends_frame(r, true, RSV1 | WS_TEXT, buf_slice(&b));
	expect_close(r, 1009);
	client_closes(r);
	r->conn = NULL;
	buf_fini(&b);
}

static void close_at_once(struct rig *r, struct slice payload)
{
	ws_close(r->ws, CLOSE_KICKED, 1008, "enough");
}

/* What is read must not go with the connection. */
static void the_callee_may_close(void **state)
{
	struct rig *r = *state;

	r->on_message = close_at_once;
	client_sends_frame(r, true, RSV1 | WS_TEXT, HELLO);
	expect_close(r, 1008);
	/* What comes now is only skipped. */
	client_sends_frame(r, true, RSV1 | WS_TEXT, T("no deflate data"));
	client_sends_frame(r, false, RSV1 | WS_TEXT, T("nor this"));
	client_sends_frame(r, true, WS_CONTINUATION, T(""));
	client_sends_frame(r, true, WS_CLOSE, T("\x03\xf0"));
	client_closes(r);
	expect_notes(r, "text Hello\nclosed kicked\n");
	r->conn = NULL;
}

/* 1.5 MB in a few kB. */
static void add_bomb(struct rig *r, struct buf *out)
{
	struct buf payload = {0}, zeros = {0};
	struct slice deflated;

	for (size_t i = 0; i < 100000; i++)
		buf_add_char(&zeros, '0');
	assert_int_equal(deflater_deflate(r->cfg.deflater, buf_slice(&zeros), &deflated), 0);
	for (int i = 0; i < 15; i++) {
		buf_add_slice(&payload, deflated);
		buf_add(&payload, "\0\0\xff\xff", 4);
	}
	buf_add_char(&payload, '\0');
	assert_true(payload.n < 5000);
	rig_add_frame(out, true, RSV1 | WS_TEXT, buf_slice(&payload));
	buf_fini(&payload);
	buf_fini(&zeros);
}

static void set_up_bombs(struct rig *r, struct buf *three)
{
	r->cfg.message_max = 2 << 20;
	*three = (struct buf){0};
	for (int i = 0; i < 3; i++)
		add_bomb(r, three);
	client_sends(r, buf_slice(three));
}

static unsigned noted(const struct rig *r)
{
	unsigned n = 0;

	for (size_t i = 0; i < r->notes.n; i++)
		n += r->notes.p[i] == '\n';
	return n;
}

/* One packet must not keep everybody else waiting. */
static void bombs_in_a_row_leave_room_for_others(void **state)
{
	struct rig *r = *state;
	struct buf three;

	set_up_bombs(r, &three);
	assert_int_equal(noted(r), 1);
	rig_pass_ms(r, 100);
	assert_int_equal(noted(r), 2);
	rig_pass_ms(r, 100);
	assert_int_equal(noted(r), 3);
	rig_pass_ms(r, 100);
	client_sends_frame(r, true, WS_TEXT, T("on"));
	assert_true(noted(r) == 4 &&
		    slice_starts(slice_make(r->notes.p + r->notes.n - 8, 8), "text on\n"));
	buf_clear(&r->notes);
	rig_pass_ms(r, r->cfg.heartbeat_ms);
	expect_notes(r, "heartbeat\n");
	buf_fini(&three);
}

static void pause_at_once(struct rig *r, struct slice payload)
{
	ws_pause(r->ws);
}

static void resting_and_pausing_do_not_meet(void **state)
{
	struct rig *r = *state;
	struct buf three;

	r->on_message = pause_at_once;
	set_up_bombs(r, &three);
	assert_int_equal(noted(r), 1);
	ws_resume(r->ws); /* it goes on resting */
	rig_settle(r);
	assert_int_equal(noted(r), 1);
	rig_pass_ms(r, 100);
	assert_int_equal(noted(r), 2);
	rig_pass_ms(r, 100); /* it has rested, but is paused */
	assert_int_equal(noted(r), 2);
	ws_resume(r->ws);
	rig_settle(r);
	assert_int_equal(noted(r), 3);
	buf_fini(&three);
}

static void a_close_ends_the_rest(void **state)
{
	struct rig *r = *state;
	struct buf three;

	set_up_bombs(r, &three);
	ws_close(r->ws, CLOSE_KICKED, 1008, "enough");
	client_sends_frame(r, true, WS_CLOSE, T("\x03\xf0"));
	expect_close(r, 1008);
	client_closes(r);
	assert_true(r->closed_n == 1 && noted(r) == 2);
	r->conn = NULL;
	buf_fini(&three);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers_are_taken_or_declined),
		cmocka_unit_test(no_header_no_extension),
		TEST(a_frame_is_the_same_message),
		TEST(a_frame_that_is_not_worth_it_stays),
		TEST(messages_are_inflated),
		TEST(a_fragmented_message_has_the_bit_once),
		TEST(the_bytes_on_the_wire_are_not_text),
		cmocka_unit_test(what_may_not_be_compressed),
		cmocka_unit_test(without_agreement_the_bit_is_an_error),
		TEST(the_limit_is_that_of_the_message),
		TEST(stored_blocks_may_be_longer_than_the_message),
		TEST(the_callee_may_close),
		TEST(bombs_in_a_row_leave_room_for_others),
		TEST(resting_and_pausing_do_not_meet),
		TEST(a_close_ends_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
