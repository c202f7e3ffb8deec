/* SPDX-License-Identifier: MIT */
/* conn: the out queue, writev, drops and drains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/net/conn_rig.h"

/* --- output ---------------------------------------------------------------------------------- */

static void test_a_turn_is_one_write(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	struct frame *f = frame_copy(SLICE("ab"));
	for (int i = 0; i < 60; i++)
		conn_send(c, f);
	assert_int_equal(f->refs, 61);
	assert_int_equal(conn_out_bytes(c), 120);
	assert_int_equal(rig_count(r, COUNTER_WRITES), 0); /* nothing leaves inside conn_send */
	wire_settle(&r->w);
	assert_int_equal(rig_count(r, COUNTER_WRITES), 1);
	assert_int_equal(rig_count(r, COUNTER_BYTES_OUT), 120);
	assert_int_equal(c->out_total, 120);
	assert_int_equal(r->w.got.n, 120);
	assert_int_equal(f->refs, 1);
	assert_null(c->out_first);
	frame_unref(f);
}

static void test_more_frames_than_one_writev_takes(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	struct buf want = {0};
	for (int i = 0; i < 1000; i++) {
		char text[16];
		snprintf(text, sizeof(text), "<%d>", i);
		buf_add_str(&want, text);
		conn_send_bytes(c, slice_str(text));
	}
	wire_settle(&r->w);
	assert_true(slice_eq(buf_slice(&r->w.got), buf_slice(&want)));
	assert_int_equal(rig_count(r, COUNTER_WRITES), (1000 + 63) / 64);
	buf_fini(&want);
}

/* A long queue is offered to the socket before the turn ends; nobody is called back from there. */
static void test_write_now_takes_what_the_socket_takes(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start_scripted(r, 4);

	rig_send_message(c, "abcdefgh", 1);
	conn_call_on_drain(c, 100);
	conn_write_now(c);
	assert_int_equal(conn_out_bytes(c), 4);
	assert_int_equal(r->drains, 0);
	/* the socket was full: it is not asked again */
	int64_t writes = rig_count(r, COUNTER_WRITES);
	conn_write_now(c);
	assert_int_equal(rig_count(r, COUNTER_WRITES), writes);
	wire_turn(&r->w);
	assert_int_equal(r->drains, 1);
}

static void test_write_now_tells_a_failure_at_the_end_of_the_turn(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start_scripted(r, -ETIMEDOUT);

	rig_send_message(c, "abcdefgh", 1);
	conn_write_now(c);
	conn_write_now(c);
	assert_true(conn_is_open(c));
	wire_turn(&r->w);
	assert_int_equal(r->w.closed, 1);
	assert_int_equal(r->w.reason, CLOSE_TIMED_OUT);
}

static void test_partial_writes_keep_the_bytes_in_order(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start_scripted(r, 1);
	for (int i = 0; i < 10; i++)
		conn_send_bytes(c, SLICE("abc"));
	for (r->write_again = 1; conn_out_bytes(c) > 0; r->write_again = r->write_again % 5 + 1)
		wire_settle(&r->w); /* each read of the client makes an edge */
	rig_expect_got(r, "abcabcabcabcabcabcabcabcabcabc");
	assert_false(c->watches_write);
}

static void test_empty_frames_are_nothing(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	struct frame *f = frame_new(0);
	conn_send(c, f);
	conn_send_bytes(c, SLICE(""));
	wire_settle(&r->w);
	assert_int_equal(f->refs, 1);
	assert_int_equal(rig_count(r, COUNTER_WRITES), 0);
	frame_unref(f);
}

static void test_chunks_are_kept_and_go_with_the_last_connection(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	for (int i = 0; i < 100; i++)
		conn_send_bytes(c, SLICE("x"));
	assert_int_equal(r->w.env.free_chunk_n, 0);
	wire_settle(&r->w);
	size_t kept = r->w.env.free_chunk_n;
	assert_true(kept > 0);
	conn_send_bytes(c, SLICE("x"));
	assert_int_equal(r->w.env.free_chunk_n, kept - 1);
	wire_settle(&r->w);
	assert_int_equal(r->w.env.free_chunk_n, kept);
	conn_close(c, CLOSE_NORMAL);
	assert_int_equal(r->w.env.free_chunk_n, 0);
	assert_null(r->w.env.free_chunks);
}

static void test_drop_messages_keeps_the_rest(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	rig_send_message(c, "m9", 9);
	conn_send_bytes(c, SLICE("one "));
	for (uint64_t i = 0; i < 40; i++)
		rig_send_message(c, "m", 10 + i);
	rig_send_message(c, "ephemeral", 0);
	conn_send_bytes(c, SLICE("two"));
	assert_int_equal(conn_drop_messages(c), 9);
	assert_int_equal(conn_out_bytes(c), 7);
	assert_int_equal(conn_drop_messages(c), 0);
	rig_expect_got(r, "one two");
}

static void test_drop_messages_never_cuts_a_frame(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start_scripted(r, 3);
	rig_send_message(c, "first", 1);
	rig_send_message(c, "second", 2);
	conn_send_bytes(c, SLICE("|"));
	wire_turn(&r->w);
	assert_int_equal(conn_out_bytes(c), 9);
	assert_int_equal(conn_drop_messages(c), 2);
	assert_int_equal(conn_out_bytes(c), 3);
	r->write_max = 100;
	rig_expect_got(r, "first|");
}

static void test_partially_written_frame_is_completed_after_a_drop(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	struct frame *big = frame_new(1 << 20);
	memset(big->bytes, 'a', big->n);
	big->is_message = true;
	big->seq = 5;
	conn_send(c, big);
	rig_send_message(c, "gone", 6);
	wire_turn(&r->w);
	assert_in_range(conn_out_bytes(c), 1, big->n - 1 + 4);
	assert_int_equal(conn_drop_messages(c), 6);
	conn_send_bytes(c, SLICE("end"));
	wire_settle(&r->w);
	assert_int_equal(r->w.got.n, big->n + 3);
	assert_memory_equal(r->w.got.p + big->n, "end", 3);
	frame_unref(big);
}

/* --- drains ---------------------------------------------------------------------------------- */

static void test_drain_is_told_once_at_the_end_of_the_turn(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	conn_call_on_drain(c, 100);
	assert_int_equal(r->drains, 0);
	wire_settle(&r->w);
	assert_int_equal(r->drains, 1);
	conn_send_bytes(c, SLICE("x"));
	wire_settle(&r->w);
	assert_int_equal(r->drains, 1);
}

static void test_drain_comes_when_the_peer_reads(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	rig_stuff(r);
	size_t mark = conn_out_bytes(c) / 2;
	conn_call_on_drain(c, mark);
	wire_turn(&r->w);
	assert_int_equal(r->drains, 0);
	wire_settle(&r->w);
	assert_int_equal(r->drains, 1);
	assert_true(r->drained_at <= mark);
	assert_false(c->watches_write);
}

static void test_drop_may_cause_a_drain(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start_scripted(r, 0);
	for (int i = 0; i < 10; i++)
		rig_send_message(c, "0123456789", 1);
	conn_call_on_drain(c, 50);
	wire_turn(&r->w);
	assert_int_equal(r->drains, 0);
	conn_drop_messages(c);
	wire_turn(&r->w);
	assert_int_equal(r->drains, 1);
}

static void feed_more(struct rig *r)
{
	conn_send_bytes(r->w.conn, SLICE("page "));
	conn_call_on_drain(r->w.conn, 0);
}

/* A peer that takes everything at once gets one page per turn, and the turn ends. */
static void test_drain_inside_drain_comes_in_the_next_turn(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	r->on_drain = feed_more;
	conn_call_on_drain(c, 0);
	for (unsigned i = 1; i <= 5; i++) {
		loop_turn(r->w.loop, false);
		assert_int_equal(r->drains, i);
	}
	r->on_drain = NULL;
	rig_expect_got(r, "page page page page page ");
	assert_int_equal(r->drains, 6);
	assert_false(c->watches_write);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_a_turn_is_one_write),
		RIG_TEST(test_more_frames_than_one_writev_takes),
		RIG_TEST(test_write_now_takes_what_the_socket_takes),
		RIG_TEST(test_write_now_tells_a_failure_at_the_end_of_the_turn),
		RIG_TEST(test_partial_writes_keep_the_bytes_in_order),
		RIG_TEST(test_empty_frames_are_nothing),
		RIG_TEST(test_chunks_are_kept_and_go_with_the_last_connection),
		RIG_TEST(test_drop_messages_keeps_the_rest),
		RIG_TEST(test_drop_messages_never_cuts_a_frame),
		RIG_TEST(test_partially_written_frame_is_completed_after_a_drop),
		RIG_TEST(test_drain_is_told_once_at_the_end_of_the_turn),
		RIG_TEST(test_drain_comes_when_the_peer_reads),
		RIG_TEST(test_drop_may_cause_a_drain),
		RIG_TEST(test_drain_inside_drain_comes_in_the_next_turn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
