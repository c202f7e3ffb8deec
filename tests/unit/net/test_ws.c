/* SPDX-License-Identifier: MIT */
/* ws: messages whole and in fragments, the limits, and everything a client may do wrong (RFC 6455).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "base/xalloc.h"
#include "tests/unit/net/ws_rig.h"

/* --- messages -------------------------------------------------------------------------------- */

static void messages_come_in_order(void **state)
{
	struct rig *r = *state;

	client_sends_frame(r, true, WS_TEXT, T("hello"));
	client_sends_frame(r, true, WS_BINARY, T("\xff\xfe"));
	client_sends_frame(r, true, WS_TEXT, T(""));
	expect_notes(r, "text hello\nbinary \xff\xfe\ntext \n");
	ws_send(r->ws, WS_TEXT, T("hi"));
	ws_send(r->ws, WS_BINARY, slice_make(NULL, 0));
	rig_settle(r);
	expect_frame(r, WS_TEXT, T("hi"));
	expect_frame(r, WS_BINARY, T(""));
}

static void every_length_arrives_whole(void **state)
{
	static const size_t sizes[] = {1,     7,     8,     124,   125,   126,   127,    4095,
				       16383, 16384, 16385, 65535, 65536, 65537, 300000, 1 << 20};
	struct rig *r = *state;
	char *text = xmalloc(1 << 20), want[64];

	for (size_t i = 0; i < 1 << 20; i++)
		text[i] = (char)('a' + i * i % 26);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct slice s = slice_make(text, sizes[i]);
		client_sends_frame(r, true, i % 2 ? WS_TEXT : WS_BINARY, s);
		if (s.n > NOTE_SHORT_MAX) {
			snprintf(want, sizeof(want), "%s %zu %x\n", i % 2 ? "text" : "binary", s.n,
				 rig_checksum(s));
			expect_notes(r, want);
		}
		buf_clear(&r->notes);
		ws_send(r->ws, WS_BINARY, s);
		rig_settle(r);
		while (r->in.n < s.n)
			rig_settle(r);
		expect_frame(r, WS_BINARY, s);
	}
	free(text);
}

/* A conversation with everything in it, cut into pieces of every size, is the same conversation. */
static void the_cut_of_the_bytes_does_not_matter(void **state)
{
	struct rig *r = *state;
	struct buf b;

	buf_init(&b, 0);
	rig_add_frame(&b, true, WS_TEXT, T("one"));
	rig_add_frame(&b, false, WS_TEXT, T("t\xc3"));
	rig_add_frame(&b, true, WS_PING, T("p1"));
	rig_add_frame(&b, false, WS_CONTINUATION, T(""));
	rig_add_frame(&b, true, WS_PONG, T("unasked"));
	rig_add_frame(&b, true, WS_CONTINUATION, T("\xb6two"));
	rig_add_frame(&b, true, WS_BINARY, T("\x80\x81 and so on, a little longer than a word"));
	rig_add_frame(&b, true, WS_PING, T(""));
	for (size_t piece = 1; piece <= b.n; piece++) {
		for (size_t at = 0; at < b.n; at += piece) {
			size_t n = b.n - at < piece ? b.n - at : piece;
			assert_int_equal(send(r->peer, b.p + at, n, 0), n);
			loop_turn(r->loop, false);
		}
		rig_settle(r);
		expect_notes(r, "text one\ntext t\xc3\xb6two\n"
				"binary \x80\x81 and so on, a little longer than a word\n");
		expect_frame(r, WS_PONG, T("p1"));
		expect_frame(r, WS_PONG, T(""));
		assert_int_equal(r->in.n, 0);
	}
	buf_fini(&b);
}

static void the_largest_message_in_the_most_fragments(void **state)
{
	enum { PIECES = 65536, PIECE = (16 << 20) / PIECES };
	struct rig *r = *state;
	char *text = xmalloc(PIECES * PIECE), want[64];
	struct buf b;

	for (size_t i = 0; i < PIECES * PIECE; i++)
		text[i] = (char)('a' + i % 23);
	buf_init(&b, 0);
	for (size_t i = 0; i < PIECES; i++)
		rig_add_frame(&b, i == PIECES - 1, i ? WS_CONTINUATION : WS_TEXT,
			      slice_make(text + i * PIECE, PIECE));
	client_sends(r, buf_slice(&b));
	snprintf(want, sizeof(want), "text %d %x\n", PIECES * PIECE,
		 rig_checksum(slice_make(text, PIECES * PIECE)));
	expect_notes(r, want);
	buf_fini(&b);
	free(text);
}

/* --- limits ---------------------------------------------------------------------------------- */

static void a_head_that_announces_too_much_is_enough(void **state)
{
	struct rig *r = *state;
	uint8_t head[WS_HEAD_MAX], mask[4] = {0};

	client_sends(r, slice_make((char *)head, ws_head_encode_masked(head, WS_TEXT, true,
								       (16 << 20) + 1, mask)));
	expect_close(r, 1009);
	assert_true(r->peer_eof);
	client_closes(r);
	expect_notes(r, "closed too-big\n");
}

static void a_length_near_the_end_of_numbers_is_too_much(void **state)
{
	struct rig *r = *state;
	uint8_t head[WS_HEAD_MAX], mask[4] = {0};

	client_sends_frame(r, false, WS_TEXT, T("abc"));
	client_sends(r, slice_make((char *)head, ws_head_encode_masked(head, WS_CONTINUATION, true,
								       INT64_MAX, mask)));
	expect_close(r, 1009);
	client_closes(r);
	expect_notes(r, "closed too-big\n");
}

static void fragments_add_up_to_the_limit(void **state)
{
	struct rig *r = *state;

	r->cfg.message_max = 10;
	client_sends_frame(r, false, WS_TEXT, T("01234"));
	client_sends_frame(r, true, WS_CONTINUATION, T("56789"));
	expect_notes(r, "text 0123456789\n");
	client_sends_frame(r, false, WS_TEXT, T("01234"));
	client_sends_frame(r, false, WS_CONTINUATION, T("5678"));
	client_sends_frame(r, true, WS_CONTINUATION, T("9a"));
	expect_close(r, 1009);
	client_closes(r);
	expect_notes(r, "closed too-big\n");
}

static void fragments_are_counted(void **state)
{
	struct rig *r = *state;

	r->cfg.fragments_max = 3;
	for (int i = 0; i < 2; i++) {
		client_sends_frame(r, false, WS_TEXT, T("a"));
		client_sends_frame(r, false, WS_CONTINUATION, T(""));
		client_sends_frame(r, true, WS_CONTINUATION, T("c"));
		expect_notes(r, "text ac\n");
	}
	client_sends_frame(r, false, WS_TEXT, T("a"));
	client_sends_frame(r, false, WS_CONTINUATION, T(""));
	client_sends_frame(r, false, WS_CONTINUATION, T(""));
	expect_notes(r, "");
	client_sends_frame(r, false, WS_CONTINUATION, T(""));
	expect_close(r, 1009);
	client_closes(r);
	expect_notes(r, "closed too-big\n");
}

/* --- rules ----------------------------------------------------------------------------------- */

/* Each row is a connection: bytes of the client, the code of our close frame, the reason. */
static const struct wrong_case {
	const char *what;
	const char *bytes;
	size_t n;
	unsigned code;
} wrong_cases[] = {
#define BYTES(literal) literal, sizeof(literal) - 1
	{"5.1 unmasked text", BYTES("\x81\x01\x61"), 1002},
	{"5.1 unmasked, head alone", BYTES("\x81\x05"), 1002},
	{"5.1 unmasked ping", BYTES("\x89\x00"), 1002},
	{"5.1 unmasked close", BYTES("\x88\x00"), 1002},
	{"5.2 RSV1", BYTES("\xc1\x80\0\0\0\0"), 1002},
	{"5.2 RSV2", BYTES("\xa1\x80\0\0\0\0"), 1002},
	{"5.2 RSV3", BYTES("\x91\x80\0\0\0\0"), 1002},
	{"5.2 RSV1 on a ping", BYTES("\xc9\x80\0\0\0\0"), 1002},
	{"5.2 RSV1 on a continuation", BYTES("\x01\x80\0\0\0\0\xc0\x80\0\0\0\0"), 1002},
	{"5.2 opcode 3", BYTES("\x83\x80\0\0\0\0"), 1002},
	{"5.2 opcode 7", BYTES("\x87\x80\0\0\0\0"), 1002},
	{"5.2 opcode 11", BYTES("\x8b\x80\0\0\0\0"), 1002},
	{"5.2 opcode 15", BYTES("\x8f\x80\0\0\0\0"), 1002},
	{"5.2 opcode 3 inside a message", BYTES("\x01\x80\0\0\0\0\x83\x80\0\0\0\0"), 1002},
	{"5.2 length not shortest, 16", BYTES("\x81\xfe\0\x7d\0\0\0\0"), 1002},
	{"5.2 length not shortest, 64", BYTES("\x81\xff\0\0\0\0\0\0\xff\xff\0\0\0\0"), 1002},
	{"5.2 length with highest bit", BYTES("\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0"), 1002},
	{"5.4 continuation of nothing", BYTES("\x80\x80\0\0\0\0"), 1002},
	{"5.4 unfinished continuation of nothing", BYTES("\x00\x80\0\0\0\0"), 1002},
	{"5.4 continuation of a finished message", BYTES("\x81\x80\0\0\0\0\x80\x80\0\0\0\0"), 1002},
	{"5.4 text inside a message", BYTES("\x01\x80\0\0\0\0\x81\x80\0\0\0\0"), 1002},
	{"5.4 binary inside a message", BYTES("\x01\x80\0\0\0\0\x02\x80\0\0\0\0"), 1002},
	{"5.5 long ping", BYTES("\x89\xfe\0\x7e\0\0\0\0"), 1002},
	{"5.5 long close", BYTES("\x88\xfe\0\x7e\0\0\0\0"), 1002},
	{"5.5 fragmented ping", BYTES("\x09\x80\0\0\0\0"), 1002},
	{"5.5 fragmented pong", BYTES("\x0a\x80\0\0\0\0"), 1002},
	{"5.5 fragmented close", BYTES("\x08\x80\0\0\0\0"), 1002},
	{"5.5.1 close of one byte", BYTES("\x88\x81\0\0\0\0\x03"), 1002},
	{"7.4 close code 0", BYTES("\x88\x82\0\0\0\0\x00\x00"), 1002},
	{"7.4 close code 999", BYTES("\x88\x82\0\0\0\0\x03\xe7"), 1002},
	{"7.4 close code 1004", BYTES("\x88\x82\0\0\0\0\x03\xec"), 1002},
	{"7.4 close code 1005", BYTES("\x88\x82\0\0\0\0\x03\xed"), 1002},
	{"7.4 close code 1006", BYTES("\x88\x82\0\0\0\0\x03\xee"), 1002},
	{"7.4 close code 1015", BYTES("\x88\x82\0\0\0\0\x03\xf7"), 1002},
	{"7.4 close code 2999", BYTES("\x88\x82\0\0\0\0\x0b\xb7"), 1002},
	{"7.4 close code 5000", BYTES("\x88\x82\0\0\0\0\x13\x88"), 1002},
	{"7.4 close code 65535", BYTES("\x88\x82\0\0\0\0\xff\xff"), 1002},
	{"5.5.1 close reason not UTF-8", BYTES("\x88\x84\0\0\0\0\x03\xe8\xc3\x28"), 1007},
	{"5.5.1 close reason cut", BYTES("\x88\x84\0\0\0\0\x03\xe8\xe2\x82"), 1007},
	{"8.1 bad byte in a whole frame", BYTES("\x81\x83\0\0\0\0\x61\xff\x62"), 1007},
	{"8.1 cut character in a whole frame", BYTES("\x81\x82\0\0\0\0\xe2\x82"), 1007},
	{"8.1 bad byte, frame unfinished", BYTES("\x81\xfe\x10\0\0\0\0\0\x61\xc0"), 1007},
	{"8.1 bad byte, message unfinished", BYTES("\x01\x81\0\0\0\0\x80"), 1007},
	{"8.1 surrogate, frame unfinished", BYTES("\x81\xfe\x10\0\0\0\0\0\xed\xa0"), 1007},
	{"8.1 above U+10FFFF, frame unfinished", BYTES("\x81\xfe\x10\0\0\0\0\0\xf4\x90"), 1007},
	{"8.1 bad across fragments", BYTES("\x01\x81\0\0\0\0\xc3\x00\x81\0\0\0\0\x28"), 1007},
	{"8.1 cut at the end of fragments", BYTES("\x01\x81\0\0\0\0\xe2\x80\x81\0\0\0\0\x82"),
	 1007},
	{"8.1 cut, last fragment empty", BYTES("\x01\x81\0\0\0\0\xc3\x80\x80\0\0\0\0"), 1007},
#undef BYTES
};

static void whoever_breaks_a_rule_is_told_which_and_closed(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(wrong_cases); i++) {
		const struct wrong_case *c = &wrong_cases[i];
		for (int bytewise = 0; bytewise < 2; bytewise++) {
			struct rig *r;
			rig_setup_ws(state);
			r = *state;
			for (size_t at = 0; bytewise && at + 1 < c->n; at++)
				client_sends(r, slice_make(c->bytes + at, 1));
			client_sends(r, bytewise ? slice_make(c->bytes + c->n - 1, 1)
						 : slice_make(c->bytes, c->n));
			if (r->in.n == 0 || !r->peer_eof)
				fail_msg("%s: not closed", c->what);
			expect_close(r, c->code);
			assert_int_equal(r->in.n, 0);
			/* what comes behind is not looked at */
			send(r->peer, "\x81\x80\0\0\0\0", 6, MSG_NOSIGNAL);
			buf_clear(&r->notes);
			client_closes(r);
			expect_notes(r, c->code == 1007 ? "closed bad-data\n"
							: "closed protocol-error\n");
			rig_teardown(state);
		}
	}
}

static void binary_may_be_anything(void **state)
{
	struct rig *r = *state;

	client_sends_frame(r, false, WS_BINARY, T("\xff"));
	client_sends_frame(r, true, WS_CONTINUATION, T("\xc0\x80"));
	expect_notes(r, "binary \xff\xc0\x80\n");
}

#define WS_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup_ws, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WS_TEST(messages_come_in_order),
		WS_TEST(every_length_arrives_whole),
		WS_TEST(the_cut_of_the_bytes_does_not_matter),
		WS_TEST(the_largest_message_in_the_most_fragments),
		WS_TEST(a_head_that_announces_too_much_is_enough),
		WS_TEST(a_length_near_the_end_of_numbers_is_too_much),
		WS_TEST(fragments_add_up_to_the_limit),
		WS_TEST(fragments_are_counted),
		cmocka_unit_test(whoever_breaks_a_rule_is_told_which_and_closed),
		WS_TEST(binary_may_be_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
