/* SPDX-License-Identifier: MIT */
/* ws: all the ways a connection ends, by the client, by us, and from inside a callback (RFC
 * 6455 5.5.1, 7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "tests/unit/net/ws_rig.h"

/* --- closing by the peer --------------------------------------------------------------------- */

static void a_close_frame_is_answered_in_kind(void **state)
{
	static const struct {
		unsigned code;
		const char *text, *note;
	} cases[] = {
		{0, "", "closed normal\n"},       {1000, "", "closed normal\n"},
		{1000, "bye", "closed normal\n"}, {1001, "going away", "closed client-gone\n"},
		{1011, "", "closed normal\n"},    {1014, "", "closed normal\n"},
		{3000, "", "closed normal\n"},    {4999, "gr\xc3\xbc\xc3\x9f", "closed normal\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char payload[125] = {(char)(cases[i].code >> 8), (char)cases[i].code};
		size_t n = cases[i].code ? 2 + strlen(cases[i].text) : 0;
		struct rig *r;
		rig_setup_ws(state);
		r = *state;
		if (n > 2)
			memcpy(payload + 2, cases[i].text, n - 2);
		client_sends_frame(r, true, WS_CLOSE, slice_make(payload, n));
		expect_frame(r, WS_CLOSE, slice_make(payload, n ? 2 : 0));
		/* 7.1.1: the server closes TCP first */
		assert_true(r->peer_eof);
		expect_notes(r, "");
		client_closes(r);
		expect_notes(r, cases[i].note);
		rig_teardown(state);
	}
}

static void a_close_frame_may_interrupt_a_message(void **state)
{
	struct rig *r = *state;

	client_sends_frame(r, false, WS_TEXT, T("unfini"));
	client_sends_frame(r, true, WS_CLOSE, T("\x03\xe8"));
	expect_frame(r, WS_CLOSE, T("\x03\xe8"));
	client_closes(r);
	expect_notes(r, "closed normal\n");
}

static void nothing_after_a_close_frame_counts(void **state)
{
	struct rig *r = *state;
	struct buf b;

	buf_init(&b, 0);
	rig_add_frame(&b, true, WS_CLOSE, T("\x03\xe8"));
	rig_add_frame(&b, true, WS_TEXT, T("ghost"));
	rig_add_frame(&b, true, WS_PING, T("ghost"));
	client_sends(r, buf_slice(&b));
	ws_send(r->ws, WS_TEXT, T("ghost"));
	ws_close(r->ws, CLOSE_KICKED, 1008, "ghost");
	rig_settle(r);
	expect_frame(r, WS_CLOSE, T("\x03\xe8"));
	assert_int_equal(r->in.n, 0);
	client_closes(r);
	expect_notes(r, "closed normal\n");
	buf_fini(&b);
}

static void a_client_that_just_goes(void **state)
{
	struct rig *r = *state;

	client_sends_frame(r, true, WS_TEXT, T("last words"));
	client_closes(r);
	expect_notes(r, "text last words\nclosed client-gone\n");
}

static void a_client_that_shuts_down_without_a_close_frame(void **state)
{
	struct rig *r = *state;

	client_sends_frame(r, false, WS_TEXT, T("unfini"));
	shutdown(r->peer, SHUT_WR);
	rig_settle(r);
	expect_notes(r, "closed client-gone\n");
}

static void a_reset(void **state)
{
	struct rig *r = *state;

	/* A Unix socket that is closed with unread bytes resets its peer. */
	ws_send(r->ws, WS_TEXT, T("unread"));
	loop_turn(r->loop, false);
	client_closes(r);
	expect_notes(r, "closed reset\n");
}

/* --- closing by us --------------------------------------------------------------------------- */

static void our_close_waits_for_the_answer(void **state)
{
	struct rig *r = *state;

	ws_close(r->ws, CLOSE_DRAIN, 1001, "draining");
	assert_false(ws_is_open(r->ws));
	ws_close(r->ws, CLOSE_KICKED, 1008, "again");
	ws_send(r->ws, WS_TEXT, T("too late"));
	rig_settle(r);
	expect_frame(r, WS_CLOSE,
		     T("\x03\xe9"
		       "draining"));
	assert_int_equal(r->in.n, 0);
	assert_false(r->peer_eof);
	/* what was under way is skipped, of whatever size and content */
	r->cfg.message_max = 1;
	client_sends_frame(r, true, WS_TEXT, T("too late \xff"));
	client_sends_frame(r, true, WS_PING, T("too late"));
	client_sends_frame(r, false, WS_TEXT, T("too"));
	client_sends_frame(r, true, WS_CONTINUATION, T("late"));
	assert_int_equal(r->in.n, 0);
	client_sends_frame(r, true, WS_CLOSE, T("\x03\xe9"));
	assert_true(r->peer_eof);
	assert_int_equal(r->in.n, 0);
	client_closes(r);
	expect_notes(r, "closed drain\n");
}

static void our_close_in_the_middle_of_a_frame(void **state)
{
	struct rig *r = *state;
	struct buf b;

	buf_init(&b, 0);
	rig_add_frame(&b, false, WS_TEXT, T("first"));
	rig_add_frame(&b, true, WS_CONTINUATION, T("second \xff"));
	client_sends(r, slice_make(b.p, b.n - 5));
	ws_close(r->ws, CLOSE_KICKED, 1008, "kicked");
	client_sends(r, slice_make(b.p + b.n - 5, 5));
	expect_close(r, 1008);
	client_sends_frame(r, true, WS_CLOSE, T(""));
	client_closes(r);
	expect_notes(r, "closed kicked\n");
	buf_fini(&b);
}

static void our_close_has_a_limit_of_time(void **state)
{
	struct rig *r = *state;

	ws_close(r->ws, CLOSE_KICKED, 1008, "kicked");
	rig_pass_ms(r, 4900);
	client_sends_frame(r, true, WS_TEXT, T("talking on does not help"));
	expect_notes(r, "");
	rig_pass_ms(r, 200);
	expect_notes(r, "closed kicked\n");
}

static void a_peer_that_answers_our_close_with_nonsense(void **state)
{
	static const struct slice answers[] = {{"\x81\x00", 2},
					       {"\xff\x80\0\0\0\0", 6},
					       {"\x88\x81\0\0\0\0\1", 7},
					       {"\x00\x80\0\0\0\0", 6}};

	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct rig *r;
		rig_setup_ws(state);
		r = *state;
		ws_close(r->ws, CLOSE_IDLE_TIMEOUT, 1000, "");
		client_sends(r, answers[i]);
		expect_close(r, 1000);
		assert_int_equal(r->in.n, 0); /* one close frame, not two */
		assert_true(r->peer_eof);
		client_closes(r);
		expect_notes(r, "closed idle-timeout\n");
		rig_teardown(state);
	}
}

static void a_peer_that_answers_our_close_by_going(void **state)
{
	struct rig *r = *state;

	ws_close(r->ws, CLOSE_KICKED, 1008, "kicked");
	rig_settle(r);
	client_closes(r);
	expect_notes(r, "closed kicked\n");
}

static void close_texts_are_cut_between_characters(void **state)
{
	struct rig *r = *state;
	char text[200];
	struct ws_head h;

	memset(text, 'x', sizeof(text));
	memcpy(text + 121, "\xe2\x82\xac", 3); /* the limit of 123 is inside this */
	text[150] = '\0';
	ws_close(r->ws, CLOSE_KICKED, 4000, text);
	rig_settle(r);
	assert_int_equal(ws_head_decode(buf_slice(&r->in), &h), WS_OK);
	assert_int_equal(h.payload_n, 2 + 121);
	text[123] = '\0';
}

static void a_code_that_may_not_travel_is_left_out(void **state)
{
	struct rig *r = *state;

	ws_close(r->ws, CLOSE_TIMED_OUT, 1006, "not to be said");
	rig_settle(r);
	expect_close(r, 0);
}

/* --- callbacks that close -------------------------------------------------------------------- */

static void close_inside(struct rig *r, struct slice payload)
{
	ws_close(r->ws, CLOSE_KICKED, 1008, "no more");
}

static void destroy_inside(struct rig *r, struct slice payload)
{
	conn_close(ws_conn(r->ws), CLOSE_OVERLOAD);
}

/* The message is handed over from the scratch page, from the assembly, and at the end of fragments.
 */
static void on_message_may_close(void **state)
{
	static char large[40000];

	memset(large, 'z', sizeof(large));
	for (int i = 0; i < 6; i++) {
		struct rig *r;
		struct buf b;
		char want[100];
		struct slice text = i % 3 == 1 ? slice_make(large, sizeof(large)) : T("last");
		rig_setup_ws(state);
		r = *state;
		r->on_message = i < 3 ? close_inside : destroy_inside;
		buf_init(&b, 0);
		if (i % 3 == 2)
			rig_add_frame(&b, false, WS_TEXT, T(""));
		rig_add_frame(&b, true, i % 3 == 2 ? WS_CONTINUATION : WS_TEXT, text);
		rig_add_frame(&b, true, WS_TEXT, T("ghost"));
		rig_add_frame(&b, true, WS_CLOSE, T(""));
		client_sends(r, buf_slice(&b));
		client_closes(r);
		if (i % 3 == 1)
			snprintf(want, sizeof(want), "text %zu %x\n", text.n, rig_checksum(text));
		else
			snprintf(want, sizeof(want), "text last\n");
		buf_add_char(&r->notes, '\0');
		assert_non_null(strstr(r->notes.p, want));
		assert_null(strstr(r->notes.p, "ghost"));
		assert_non_null(strstr(r->notes.p, i < 3 ? "closed kicked" : "closed overload"));
		assert_int_equal(r->closed_n, 1);
		buf_fini(&b);
		rig_teardown(state);
	}
}

#define WS_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup_ws, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_close_frame_is_answered_in_kind),
		WS_TEST(a_close_frame_may_interrupt_a_message),
		WS_TEST(nothing_after_a_close_frame_counts),
		WS_TEST(a_client_that_just_goes),
		WS_TEST(a_client_that_shuts_down_without_a_close_frame),
		WS_TEST(a_reset),
		WS_TEST(our_close_waits_for_the_answer),
		WS_TEST(our_close_in_the_middle_of_a_frame),
		WS_TEST(our_close_has_a_limit_of_time),
		cmocka_unit_test(a_peer_that_answers_our_close_with_nonsense),
		WS_TEST(a_peer_that_answers_our_close_by_going),
		WS_TEST(close_texts_are_cut_between_characters),
		WS_TEST(a_code_that_may_not_travel_is_left_out),
		cmocka_unit_test(on_message_may_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
