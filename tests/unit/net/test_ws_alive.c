/* SPDX-License-Identifier: MIT */
/* ws: pings and pongs, the heartbeat, and pausing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/net/ws_rig.h"

/* --- pings ----------------------------------------------------------------------------------- */

static void pings_are_answered(void **state)
{
	struct rig *r = *state;
	char payload[125];

	memset(payload, 'p', sizeof(payload));
	client_sends_frame(r, true, WS_PING, T(""));
	client_sends_frame(r, true, WS_PING, slice_make(payload, sizeof(payload)));
	client_sends_frame(r, true, WS_PONG, T("unasked"));
	expect_frame(r, WS_PONG, T(""));
	expect_frame(r, WS_PONG, slice_make(payload, sizeof(payload)));
	assert_int_equal(r->in.n, 0);
	expect_notes(r, "");
}

/* A client that asks and asks and reads nothing. When it reads at last, the newest is answered. */
static void pongs_do_not_pile_up(void **state)
{
	enum { PINGS = 50000 };
	struct rig *r = *state;
	struct slice last = {0};
	struct ws_head h;
	struct buf b;

	buf_init(&b, 0);
	for (int i = 0; i < PINGS; i++) {
		char text[16];
		int n = snprintf(text, sizeof(text), "%d", i);
		rig_add_frame(&b, true, WS_PING, slice_make(text, (size_t)n));
	}
	for (size_t at = 0; at < b.n;) {
		ssize_t n = send(r->peer, b.p + at, b.n - at, MSG_DONTWAIT);
		at += n > 0 ? (size_t)n : 0;
		loop_turn(r->loop, false);
		assert_true(conn_out_bytes(r->conn) < 64 << 10);
	}
	rig_settle(r);
	assert_int_equal(conn_out_bytes(r->conn), 0);
	while (ws_head_decode(buf_slice(&r->in), &h) == WS_OK) {
		assert_int_equal(h.opcode, WS_PONG);
		if (r->in.n == h.head_n + h.payload_n)
			break;
		buf_consume(&r->in, h.head_n + (size_t)h.payload_n);
	}
	last = slice_make(r->in.p + h.head_n, (size_t)h.payload_n);
	assert_true(slice_eq_str(last, "49999"));
	buf_fini(&b);
}

/* The owner's wish to be called on drain survives a pong that waits. */
static void a_waiting_pong_leaves_the_owner_its_drain(void **state)
{
	static char large[4 << 20];
	struct rig *r = *state;

	ws_send(r->ws, WS_BINARY, slice_make(large, sizeof(large)));
	conn_call_on_drain(ws_conn(r->ws), 1 << 20);
	loop_turn(r->loop, false);
	for (int i = 0; i < 3; i++) {
		struct buf b;
		buf_init(&b, 0);
		rig_add_frame(&b, true, WS_PING, i == 2 ? T("new") : T("old"));
		assert_int_equal(send(r->peer, b.p, b.n, 0), b.n);
		loop_turn(r->loop, false);
		buf_fini(&b);
	}
	while (r->notes.n == 0)
		rig_settle(r);
	while (conn_out_bytes(r->conn) > 0)
		rig_settle(r);
	rig_settle(r);
	expect_notes(r, "drain\n");
	expect_frame(r, WS_BINARY, slice_make(large, sizeof(large)));
	expect_frame(r, WS_PONG, T("new"));
	assert_int_equal(r->in.n, 0);
}

/* --- heartbeat ------------------------------------------------------------------------------- */

static void a_silent_client_is_asked_and_then_closed(void **state)
{
	struct rig *r = *state;

	rig_pass_ms(r, 24900);
	expect_notes(r, "");
	rig_pass_ms(r, 200);
	expect_notes(r, "heartbeat\n");
	expect_frame(r, WS_PING, T(""));
	rig_pass_ms(r, 9800);
	expect_notes(r, "");
	rig_pass_ms(r, 300);
	expect_notes(r, "closed pong-timeout\n");
	assert_int_equal(r->in.n, 0);
}

static void any_byte_is_a_sign_of_life(void **state)
{
	struct rig *r = *state;

	rig_pass_ms(r, 25100);
	for (int i = 0; i < 14; i++) {
		expect_notes(r, "heartbeat\n");
		rig_pass_ms(r, 9000);
		/* a head's first bytes, then its mask and payload */
		client_sends(r, i == 0 ? T("\x82") : i == 1 ? T("\x8a") : T("\0"));
		rig_pass_ms(r, 1100);
		expect_notes(r, "");
		rig_pass_ms(r, 15100);
	}
	expect_notes(r, "heartbeat\n");
	rig_pass_ms(r, 10100);
	expect_notes(r, "closed pong-timeout\n");
}

static void a_pong_is_a_sign_of_life(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 5; i++) {
		rig_pass_ms(r, i == 0 ? 25100 : 15100);
		expect_frame(r, WS_PING, T(""));
		expect_notes(r, "heartbeat\n");
		client_sends_frame(r, true, WS_PONG, T(""));
		rig_pass_ms(r, 10100);
	}
	assert_true(ws_is_open(r->ws));
}

static void a_ping_behind_a_long_queue_asks_nothing_yet(void **state)
{
	static char large[8 << 20];
	struct rig *r = *state;
	char bytes[200000];

	r->env.write_timeout_ms = 120000;
	ws_send(r->ws, WS_BINARY, slice_make(large, sizeof(large)));
	loop_turn(r->loop, false);
	assert_true(conn_out_bytes(r->conn) > 0);
	clock_fake_advance(25100 * 1000);
	loop_turn(r->loop, false);
	expect_notes(r, "heartbeat\n");
	for (int i = 0; i < 4; i++) { /* slow, not dead */
		clock_fake_advance(10100 * 1000);
		assert_true(recv(r->peer, bytes, sizeof(bytes), MSG_DONTWAIT) > 0);
		loop_turn(r->loop, false);
		loop_turn(r->loop, false);
		assert_true(conn_out_bytes(r->conn) > 0);
		expect_notes(r, "");
	}
	while (conn_out_bytes(r->conn) > 0)
		rig_settle(r);
	expect_notes(r, "");
	rig_pass_ms(r, 20200); /* asked now, and silent */
	expect_notes(r, "closed pong-timeout\n");
}

static void without_heartbeat_silence_is_fine(void **state)
{
	struct rig *r;

	rig_setup(state);
	r = *state;
	r->cfg.heartbeat_ms = 0;
	rig_speak_ws(r);
	for (int i = 0; i < 20; i++)
		rig_pass_ms(r, 600000);
	expect_notes(r, "");
	assert_int_equal(r->in.n, 0);
	assert_true(ws_is_open(r->ws));
	rig_teardown(state);
}

static void without_pong_timeout_nobody_is_closed(void **state)
{
	struct rig *r = *state;

	r->cfg.pong_timeout_ms = 0;
	for (int i = 0; i < 4; i++) {
		rig_pass_ms(r, 25100);
		expect_notes(r, "heartbeat\n");
		expect_frame(r, WS_PING, T(""));
	}
	assert_true(ws_is_open(r->ws));
}

/* --- pausing --------------------------------------------------------------------------------- */

static void pause_inside(struct rig *r, struct slice payload)
{
	ws_pause(r->ws);
}

static void a_pause_holds_messages_and_keeps_their_order(void **state)
{
	struct rig *r = *state;
	struct buf b;

	r->on_message = pause_inside;
	buf_init(&b, 0);
	rig_add_frame(&b, true, WS_TEXT, T("1"));
	rig_add_frame(&b, true, WS_TEXT, T("2"));
	rig_add_frame(&b, false, WS_TEXT, T("3"));
	client_sends(r, buf_slice(&b));
	expect_notes(r, "text 1\n");
	client_sends_frame(r, true, WS_CONTINUATION, T("4"));
	client_sends_frame(r, true, WS_TEXT, T("5"));
	expect_notes(r, "");
	ws_resume(r->ws);
	ws_resume(r->ws);
	rig_settle(r);
	expect_notes(r, "text 2\n");
	r->on_message = NULL;
	ws_resume(r->ws);
	rig_settle(r);
	expect_notes(r, "text 34\ntext 5\n");
	buf_fini(&b);
}

static void what_came_before_the_fin_is_heard_after_a_pause(void **state)
{
	struct rig *r = *state;
	struct buf b;

	r->on_message = pause_inside;
	buf_init(&b, 0);
	for (char c = '1'; c < '5'; c++)
		rig_add_frame(&b, true, WS_TEXT, slice_make(&c, 1));
	client_sends(r, buf_slice(&b));
	client_closes(r);
	expect_notes(r, "text 1\n");
	ws_resume(r->ws);
	rig_settle(r);
	expect_notes(r, "text 2\n");
	r->on_message = NULL;
	ws_resume(r->ws);
	rig_settle(r);
	expect_notes(r, "text 3\ntext 4\nclosed client-gone\n");
	buf_fini(&b);
}

static void a_fin_in_the_turn_of_resuming_is_heard_last(void **state)
{
	struct rig *r = *state;
	struct buf b;

	r->on_message = pause_inside;
	buf_init(&b, 0);
	rig_add_frame(&b, true, WS_TEXT, T("1"));
	rig_add_frame(&b, true, WS_TEXT, T("2"));
	client_sends(r, buf_slice(&b));
	expect_notes(r, "text 1\n");
	r->on_message = NULL;
	ws_resume(r->ws);
	client_closes(r);
	expect_notes(r, "text 2\nclosed client-gone\n");
	buf_fini(&b);
}

static void a_pause_is_not_the_client_s_silence(void **state)
{
	struct rig *r = *state;

	ws_pause(r->ws);
	for (int i = 0; i < 4; i++)
		rig_pass_ms(r, 25100);
	expect_notes(r, "");
	ws_resume(r->ws);
	rig_pass_ms(r, 25100);
	expect_notes(r, "heartbeat\n");
}

static void closing_ends_a_pause(void **state)
{
	struct rig *r = *state;

	ws_pause(r->ws);
	client_sends_frame(r, true, WS_TEXT, T("too late"));
	ws_close(r->ws, CLOSE_KICKED, 1008, "kicked");
	client_sends_frame(r, true, WS_CLOSE, T("\x03\xf0"));
	expect_close(r, 1008);
	assert_true(r->peer_eof);
	client_closes(r);
	expect_notes(r, "closed kicked\n");
}

#define WS_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup_ws, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WS_TEST(pings_are_answered),
		WS_TEST(pongs_do_not_pile_up),
		WS_TEST(a_waiting_pong_leaves_the_owner_its_drain),
		WS_TEST(a_silent_client_is_asked_and_then_closed),
		WS_TEST(any_byte_is_a_sign_of_life),
		WS_TEST(a_pong_is_a_sign_of_life),
		WS_TEST(a_ping_behind_a_long_queue_asks_nothing_yet),
		cmocka_unit_test(without_heartbeat_silence_is_fine),
		WS_TEST(without_pong_timeout_nobody_is_closed),
		WS_TEST(a_pause_holds_messages_and_keeps_their_order),
		WS_TEST(what_came_before_the_fin_is_heard_after_a_pause),
		WS_TEST(a_fin_in_the_turn_of_resuming_is_heard_last),
		WS_TEST(a_pause_is_not_the_client_s_silence),
		WS_TEST(closing_ends_a_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
