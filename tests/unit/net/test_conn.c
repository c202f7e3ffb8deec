/* SPDX-License-Identifier: MIT */
/* conn: input, pauses, hang-ups, hand-over, finishing, timeouts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/obj.h"
#include "net/conn_private.h"
#include "tests/unit/net/conn_rig.h"

/* --- input ----------------------------------------------------------------------------------- */

static void test_unconsumed_input_is_kept_and_offered_with_more(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	r->take = 2;
	wire_send(&r->w, SLICE("abcde"));
	assert_int_equal(r->inputs, 1);
	assert_true(slice_eq_str(buf_slice(&c->rest->in), "cde"));
	wire_send(&r->w, SLICE("f"));
	assert_int_equal(r->inputs, 2);
	assert_true(slice_eq_str(buf_slice(&c->rest->in), "ef"));
	r->take = SIZE_MAX;
	wire_send(&r->w, SLICE("g"));
	assert_true(slice_eq_str(buf_slice(&r->input), "abcdefg"));
	assert_null(c->rest); /* an idle connection owns no memory */
	assert_int_equal(c->in_total, 7);
	assert_int_equal(rig_count(r, COUNTER_BYTES_IN), 7);
}

static void test_input_beyond_in_max_stops_reading(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	static char block[300000];
	memset(block, 'b', sizeof(block));
	r->take = 0;
	wire_send(&r->w, slice_make(block, sizeof(block)));
	assert_in_range(c->rest->in.n, r->w.env.in_max, r->w.env.in_max + 65536);
	r->take = SIZE_MAX;
	conn_pause(c, false);
	conn_resume(c);
	wire_settle(&r->w);
	size_t had = r->input.n;
	assert_true(had > r->w.env.in_max);
	wire_send(&r->w, slice_make(block, sizeof(block)));
	assert_true(r->input.n >= had + sizeof(block));
	assert_int_equal(r->input.n, c->in_total);
}

static void test_a_flood_does_not_own_the_turn(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	static char block[1 << 20];
	int size = 4 << 20;
	setsockopt(r->w.peer, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	ssize_t sent = send(r->w.peer, block, sizeof(block), MSG_DONTWAIT);
	if (sent < (512 << 10))
		skip(); /* not allowed to have such a large socket buffer */
	loop_turn(r->w.loop, false);
	assert_int_equal(c->in_total, 256 << 10);
	loop_turn(r->w.loop, false);
	assert_int_equal(c->in_total, 512 << 10);
	wire_turn(&r->w);
	assert_int_equal(c->in_total, sent);
}

static void pause_now(struct rig *r)
{
	conn_pause(r->w.conn, false);
}

static void test_pause_and_resume(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	r->take = 1;
	r->on_input = pause_now;
	wire_send(&r->w, SLICE("abc"));
	wire_send(&r->w, SLICE("def"));
	assert_int_equal(r->inputs, 1);
	assert_int_equal(c->in_total, 3);
	r->on_input = NULL;
	r->take = SIZE_MAX;
	conn_resume(c);
	wire_settle(&r->w);
	assert_true(slice_eq_str(buf_slice(&r->input), "abcdef"));
	assert_int_equal(r->eofs, 0);
}

static void test_paused_connection_notices_a_reset(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	conn_pause(c, false);
	/* Closing with unread bytes resets a Unix stream as it does TCP. */
	conn_send_bytes(c, SLICE("unread"));
	wire_turn(&r->w);
	close(r->w.peer);
	r->w.peer = -1;
	wire_turn(&r->w);
	assert_int_equal(r->w.closed, 1);
	assert_int_equal(r->w.reason, CLOSE_RESET);
	assert_int_equal(rig_count(r, COUNTER_CLOSED_RESET), 1);
}

static void test_paused_connection_hears_of_fin_when_it_reads_on(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	conn_pause(c, false);
	wire_send(&r->w, SLICE("last words"));
	wire_half_close(&r->w);
	assert_int_equal(r->eofs, 0);
	conn_resume(c);
	wire_settle(&r->w);
	assert_true(slice_eq_str(buf_slice(&r->input), "last words"));
	assert_int_equal(r->eofs, 1);
	assert_int_equal(r->w.closed, 0);
}

static void note_eof(struct conn *c)
{
	struct rig *r = c->owner;
	buf_add_str(&r->input, "|fin");
	r->eofs++;
}

/* Kept input is offered at the end of the turn; the event of a FIN comes before that. */
static void test_fin_in_the_turn_of_resuming_comes_behind_kept_input(void **state)
{
	static const struct conn_ops noting = {
		.on_input = rig_on_input,
		.on_eof = note_eof,
		.on_closed = rig_on_closed,
	};
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	conn_set_owner(c, &noting, r);
	r->take = 1;
	r->on_input = pause_now;
	wire_send(&r->w, SLICE("abc"));
	r->on_input = NULL;
	r->take = SIZE_MAX;
	conn_resume(c);
	wire_half_close(&r->w);
	assert_true(slice_eq_str(buf_slice(&r->input), "abc|fin"));
	assert_int_equal(r->eofs, 1);
}

static void test_watched_pause_hears_of_fin_at_once(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	conn_pause(c, true);
	wire_send(&r->w, SLICE("unread"));
	assert_int_equal(r->eofs, 0);
	wire_half_close(&r->w);
	assert_int_equal(r->eofs, 1);
	assert_int_equal(r->inputs, 0);
	conn_send_bytes(c, SLICE("still writable"));
	rig_expect_got(r, "still writable");
	assert_int_equal(r->eofs, 1);
}

static void test_fin_before_the_watch_begins(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	conn_pause(c, false);
	wire_half_close(&r->w);
	assert_int_equal(r->eofs, 0);
	conn_pause(c, true);
	wire_settle(&r->w);
	assert_int_equal(r->eofs, 1);
}

static void test_eof_comes_behind_the_bytes(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	assert_int_equal(send(r->w.peer, "bytes", 5, 0), 5);
	wire_half_close(&r->w);
	assert_true(slice_eq_str(buf_slice(&r->input), "bytes"));
	assert_int_equal(r->eofs, 1);
}

/* --- hand-over ------------------------------------------------------------------------------- */

static struct buf second_input;

static size_t second_on_input(struct conn *c, struct slice bytes)
{
	buf_add_slice(&second_input, bytes);
	return bytes.n;
}

static const struct conn_ops second_ops = {
	.on_input = second_on_input,
	.on_eof = rig_on_eof,
	.on_closed = rig_on_closed,
};

static void hand_over(struct rig *r)
{
	conn_set_owner(r->w.conn, &second_ops, r);
}

static void test_hand_over_inside_on_input(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	r->take = 5;
	r->on_input = hand_over;
	assert_int_equal(send(r->w.peer, "firstsecond", 11, 0), 11);
	wire_half_close(&r->w);
	assert_int_equal(r->inputs, 1);
	assert_true(slice_eq_str(buf_slice(&second_input), "second"));
	assert_true(r->eofs >= 1);
	buf_fini(&second_input);
}

static void test_new_owner_may_leave_input_too(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	conn_set_owner(c, &rig_ops, r);
	wire_settle(&r->w);
	r->take = 1;
	wire_send(&r->w, SLICE("abc"));
	wire_send(&r->w, SLICE("def"));
	assert_int_equal(r->inputs, 2);
	conn_pause(c, false);
	conn_resume(c);
	r->take = SIZE_MAX;
	wire_settle(&r->w);
	assert_true(slice_eq_str(buf_slice(&r->input), "abcdef"));
}

static void test_hand_over_of_a_half_closed_connection(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	wire_half_close(&r->w);
	assert_int_equal(r->eofs, 1);
	conn_set_owner(c, &second_ops, r);
	wire_settle(&r->w);
	assert_int_equal(r->eofs, 2); /* the new owner knows too */
}

/* --- the end --------------------------------------------------------------------------------- */

static void count_room(struct conn_env *env)
{
	struct rig *r = env->room_arg;
	r->rooms++;
}

static void test_close_is_at_once_and_once(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	r->w.env.on_room = count_room;
	r->w.env.room_arg = r;
	assert_int_equal(r->w.env.n, 1);
	assert_int_equal(rig_count(r, COUNTER_CONNECTIONS), 1);
	conn_send_bytes(c, SLICE("lost"));
	conn_close(c, CLOSE_KICKED);
	assert_int_equal(r->w.closed, 1);
	assert_int_equal(r->w.reason, CLOSE_KICKED);
	assert_int_equal(r->rooms, 1);
	assert_int_equal(r->w.env.n, 0);
	assert_int_equal(rig_count(r, COUNTER_CONNECTIONS), 0);
	conn_close(c, CLOSE_RESET);
	wire_settle(&r->w);
	assert_int_equal(r->w.closed, 1);
	assert_int_equal(rig_count(r, COUNTER_CLOSED_KICKED), 1);
	assert_int_equal(rig_count(r, COUNTER_CLOSED_RESET), 0);
	assert_int_equal(r->w.got.n, 0);
}

static void close_now(struct rig *r)
{
	conn_close(r->w.conn, CLOSE_BAD_DATA);
}

static void finish_now(struct rig *r)
{
	conn_send_bytes(r->w.conn, SLICE("bye"));
	conn_finish(r->w.conn, CLOSE_PROTOCOL);
}

static void test_close_inside_on_input_with_input_kept(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	r->take = 1;
	wire_send(&r->w, SLICE("abc"));
	r->on_input = close_now;
	wire_send(&r->w, SLICE("def"));
	assert_int_equal(r->w.closed, 1);
	assert_int_equal(r->inputs, 2);
}

static void test_finish_inside_on_input_with_input_kept(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	r->take = 1;
	wire_send(&r->w, SLICE("abc"));
	r->on_input = finish_now;
	wire_send(&r->w, SLICE("def"));
	rig_expect_got(r, "bye");
	assert_true(r->w.got_eof);
	assert_int_equal(r->inputs, 2);
	assert_int_equal(r->w.closed, 0); /* lingers for the client's FIN */
	wire_half_close(&r->w);
	assert_int_equal(r->w.closed, 1);
	assert_int_equal(r->w.reason, CLOSE_PROTOCOL);
}

static void test_finish_discards_what_still_comes(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	conn_pause(c, true);
	conn_send_bytes(c, SLICE("refused"));
	conn_finish(c, CLOSE_TOO_BIG);
	conn_send_bytes(c, SLICE("not sent"));
	wire_send(&r->w, SLICE("more and more"));
	rig_expect_got(r, "refused");
	assert_true(r->w.got_eof);
	assert_int_equal(r->inputs, 0);
	assert_int_equal(c->rest->in.n, 0);
	wire_pass(&r->w, 400);
	assert_int_equal(r->w.closed, 0);
	wire_pass(&r->w, 200);
	assert_int_equal(r->w.closed, 1);
	assert_int_equal(r->w.reason, CLOSE_TOO_BIG);
}

static void test_finish_has_patience_for_so_many_bytes(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	static char block[1 << 20];
	conn_finish(c, CLOSE_TOO_BIG);
	for (int i = 0; i < 16; i++)
		wire_send(&r->w, slice_make(block, sizeof(block)));
	assert_int_equal(r->w.closed, 0);
	wire_send(&r->w, SLICE("x"));
	assert_int_equal(r->w.closed, 1);
	assert_int_equal(r->w.reason, CLOSE_TOO_BIG);
}

static void test_finish_waits_for_the_queue(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	size_t sent = rig_stuff(r);
	conn_finish(c, CLOSE_NORMAL);
	wire_turn(&r->w);
	assert_int_equal(r->w.closed, 0);
	wire_settle(&r->w);
	assert_int_equal(r->w.got.n, sent);
	assert_true(r->w.got_eof);
	wire_hang_up(&r->w);
	assert_int_equal(r->w.closed, 1);
	assert_int_equal(rig_count(r, COUNTER_CLOSED_NORMAL), 1);
}

static void test_finish_after_the_peers_fin_does_not_linger(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	wire_half_close(&r->w);
	conn_send_bytes(c, SLICE("answer"));
	conn_finish(c, CLOSE_CLIENT_GONE);
	rig_expect_got(r, "answer");
	assert_true(r->w.got_eof);
	assert_int_equal(r->w.closed, 1);
}

static void test_no_linger(void **state)
{
	struct rig *r = *state;
	r->w.env.linger_ms = 0;
	struct conn *c = rig_start(r);
	conn_send_bytes(c, SLICE("x"));
	conn_finish(c, CLOSE_NORMAL);
	rig_expect_got(r, "x");
	assert_int_equal(r->w.closed, 1);
}

static void test_the_first_reason_stands(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	rig_stuff(r);
	conn_finish(c, CLOSE_DRAIN);
	close(r->w.peer); /* resets it: bytes are unread */
	r->w.peer = -1;
	wire_turn(&r->w);
	assert_int_equal(r->w.closed, 1);
	assert_int_equal(r->w.reason, CLOSE_DRAIN);
	assert_int_equal(rig_count(r, COUNTER_CLOSED_DRAIN), 1);
	assert_int_equal(rig_count(r, COUNTER_CLOSED_RESET), 0);
	UNUSED(c);
}

static void test_peer_that_never_reads_is_closed(void **state)
{
	struct rig *r = *state;
	rig_start(r);
	rig_stuff(r);
	clock_fake_advance(900 * 1000);
	wire_turn(&r->w);
	assert_int_equal(r->w.closed, 0);
	/* Progress gives new time, though it is too little for the socket to be writable again. */
	static char some[40000];
	size_t out = conn_out_bytes(r->w.conn);
	assert_true(recv(r->w.peer, some, sizeof(some), MSG_DONTWAIT) > 0);
	clock_fake_advance(900 * 1000);
	wire_turn(&r->w);
	assert_int_equal(r->w.closed, 0);
	assert_int_equal(conn_out_bytes(r->w.conn), out);
	clock_fake_advance(1100 * 1000);
	wire_turn(&r->w);
	assert_int_equal(r->w.closed, 1);
	assert_int_equal(r->w.reason, CLOSE_WRITE_TIMEOUT);
}

static void test_finish_does_not_wait_for_ever_either(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	rig_stuff(r);
	conn_finish(c, CLOSE_SLOW);
	clock_fake_advance(1100 * 1000);
	wire_turn(&r->w);
	assert_int_equal(r->w.closed, 1);
	assert_int_equal(r->w.reason, CLOSE_SLOW);
}

static void test_write_to_a_closed_peer(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_start(r);
	close(r->w.peer);
	r->w.peer = -1;
	conn_send_bytes(c, SLICE("x"));
	assert_int_equal(r->w.closed, 0); /* not inside conn_send */
	wire_turn(&r->w);
	assert_int_equal(r->w.closed, 1);
	assert_int_equal(r->w.reason, CLOSE_RESET);
}

static void test_reasons_of_errors(void **state)
{
	struct rig *r = *state;
	static const struct {
		int err;
		enum close_reason reason;
	} rows[] = {{EPIPE, CLOSE_RESET}, {ECONNRESET, CLOSE_RESET}, {ETIMEDOUT, CLOSE_TIMED_OUT}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct conn *c = rig_start_scripted(r, -rows[i].err);
		r->w.closed = 0;
		conn_send_bytes(c, SLICE("x"));
		wire_turn(&r->w);
		assert_int_equal(r->w.closed, 1);
		assert_int_equal(r->w.reason, rows[i].reason);
		close(r->w.peer);
		rig_start_scripted(r, 0);
		r->w.closed = 0;
		r->read_error = -rows[i].err;
		assert_int_equal(send(r->w.peer, "x", 1, 0), 1);
		wire_turn(&r->w);
		assert_int_equal(r->w.closed, 1);
		assert_int_equal(r->w.reason, rows[i].reason);
		r->read_error = 0;
		close(r->w.peer);
	}
	r->w.peer = -1;
}

/* --- TCP ------------------------------------------------------------------------------------- */

static int tcp_pair(const char *host, int *ret_peer)
{
	struct sockaddr_storage ss = {0};
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	socklen_t n = sizeof(ss);
	ss.ss_family = strchr(host, ':') ? AF_INET6 : AF_INET;
	inet_pton(ss.ss_family, host,
		  ss.ss_family == AF_INET ? (void *)&in->sin_addr : (void *)&in6->sin6_addr);
	int listening = socket(ss.ss_family, SOCK_STREAM, 0);
	if (listening < 0 || bind(listening, (struct sockaddr *)&ss, sizeof(ss)) != 0) {
		if (listening >= 0)
			close(listening);
		return -1;
	}
	assert_int_equal(listen(listening, 1), 0);
	getsockname(listening, (struct sockaddr *)&ss, &n);
	*ret_peer = socket(ss.ss_family, SOCK_STREAM, 0);
	assert_int_equal(connect(*ret_peer, (struct sockaddr *)&ss, n), 0);
	int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	close(listening);
	return fd;
}

static void test_tcp_options_and_peer_text(void **state)
{
	struct rig *r = *state;
	char text[64];
	r->w.env.tcp_user_timeout_ms = 12345;
	int fd = tcp_pair("127.0.0.1", &r->w.peer);
	assert_true(fd >= 0);
	struct conn *c = conn_new(&r->w.env, fd, &conn_io_plain, &rig_ops, r);
	int value = 0;
	socklen_t n = sizeof(value);
	getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &n);
	assert_true(value != 0);
	getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &n);
	assert_int_equal(value, 12345);
	struct sockaddr_in local;
	n = sizeof(local);
	getsockname(r->w.peer, (struct sockaddr *)&local, &n);
	char want[64];
	snprintf(want, sizeof(want), "127.0.0.1:%u", ntohs(local.sin_port));
	assert_string_equal(conn_peer_text(c, text), want);
	assert_false(c->is_unix);
	conn_close(c, CLOSE_NORMAL);
	close(r->w.peer);
	r->w.peer = -1;
	c = rig_start(r);
	assert_string_equal(conn_peer_text(c, text), "unix");
	conn_close(c, CLOSE_NORMAL);
	close(r->w.peer);
	fd = tcp_pair("::1", &r->w.peer);
	if (fd < 0) {
		r->w.peer = -1;
		skip(); /* no IPv6 here */
	}
	c = conn_new(&r->w.env, fd, &conn_io_plain, &rig_ops, r);
	assert_true(strncmp(conn_peer_text(c, text), "[::1]:", 6) == 0);
}

static void test_tcp_reset_while_paused(void **state)
{
	struct rig *r = *state;
	int fd = tcp_pair("127.0.0.1", &r->w.peer);
	struct conn *c = conn_new(&r->w.env, fd, &conn_io_plain, &rig_ops, r);
	struct linger hard = {1, 0};
	conn_pause(c, false);
	wire_turn(&r->w);
	assert_int_equal(send(r->w.peer, "unread", 6, 0), 6);
	setsockopt(r->w.peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(r->w.peer);
	r->w.peer = -1;
	while (!r->w.closed)
		loop_turn(r->w.loop, true);
	assert_int_equal(r->w.reason, CLOSE_RESET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_unconsumed_input_is_kept_and_offered_with_more),
		RIG_TEST(test_input_beyond_in_max_stops_reading),
		RIG_TEST(test_a_flood_does_not_own_the_turn),
		RIG_TEST(test_pause_and_resume),
		RIG_TEST(test_paused_connection_notices_a_reset),
		RIG_TEST(test_paused_connection_hears_of_fin_when_it_reads_on),
		RIG_TEST(test_fin_in_the_turn_of_resuming_comes_behind_kept_input),
		RIG_TEST(test_watched_pause_hears_of_fin_at_once),
		RIG_TEST(test_fin_before_the_watch_begins),
		RIG_TEST(test_eof_comes_behind_the_bytes),
		RIG_TEST(test_hand_over_inside_on_input),
		RIG_TEST(test_new_owner_may_leave_input_too),
		RIG_TEST(test_hand_over_of_a_half_closed_connection),
		RIG_TEST(test_close_is_at_once_and_once),
		RIG_TEST(test_close_inside_on_input_with_input_kept),
		RIG_TEST(test_finish_inside_on_input_with_input_kept),
		RIG_TEST(test_finish_discards_what_still_comes),
		RIG_TEST(test_finish_has_patience_for_so_many_bytes),
		RIG_TEST(test_finish_waits_for_the_queue),
		RIG_TEST(test_finish_after_the_peers_fin_does_not_linger),
		RIG_TEST(test_no_linger),
		RIG_TEST(test_the_first_reason_stands),
		RIG_TEST(test_peer_that_never_reads_is_closed),
		RIG_TEST(test_finish_does_not_wait_for_ever_either),
		RIG_TEST(test_write_to_a_closed_peer),
		RIG_TEST(test_reasons_of_errors),
		RIG_TEST(test_tcp_options_and_peer_text),
		RIG_TEST(test_tcp_reset_while_paused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
