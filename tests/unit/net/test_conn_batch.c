/* SPDX-License-Identifier: MIT */
/* conn_batch: many connections that write together, and what may happen to them meanwhile. Skipped
 * where the kernel has no io_uring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/obj.h"
#include "net/conn_batch.h"

#define MANY 600 /* more than two batches */

struct client {
	struct conn *conn;
	int peer;
	unsigned drains, overs;
	enum close_reason reason;
	void (*on_drain)(struct client *me);
	const char *last_words; /* when the peer has sent FIN */
};

static struct loop *loop;
static struct conn_env env;
static struct client clients[MANY];
static int64_t batches_before, writes_before;

static size_t on_input(struct conn *c, struct slice bytes)
{
	return bytes.n;
}

static void on_eof(struct conn *c)
{
	struct client *me = c->owner;

	if (me->last_words)
		conn_send_bytes(c, slice_str(me->last_words));
	else
		conn_finish(c, CLOSE_NORMAL);
}

static void on_drain(struct conn *c)
{
	struct client *me = c->owner;

	me->drains++;
	if (me->on_drain)
		me->on_drain(me);
}

static void on_closed(struct conn *c, enum close_reason reason)
{
	struct client *me = c->owner;

	me->overs++;
	me->reason = reason;
	me->conn = NULL;
}

static const struct conn_ops ops = {on_input, on_eof, on_drain, on_closed};

static int setup(void **state)
{
	const char *why;

	loop = loop_new("test");
	env = (struct conn_env){.loop = loop, .counters = counters_new()};
	LIST_INIT(&env.all);
	memset(clients, 0, sizeof(clients));
	batches_before = counters_sum(COUNTER_WRITE_BATCHES);
	writes_before = counters_sum(COUNTER_WRITES);
	if (!conn_batch_start(&env, &why)) {
		print_message("# no io_uring here: %s\n", why);
		return 0;
	}
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < MANY; i++) {
		if (clients[i].conn)
			conn_close(clients[i].conn, CLOSE_NORMAL);
		if (clients[i].peer > 0)
			close(clients[i].peer);
	}
	loop_turn(loop, false);
	conn_batch_free(env.batch);
	counters_free(env.counters);
	loop_free(loop);
	conn_env_fini(&env);
	return 0;
}

static void connect_some(size_t n)
{
	if (!env.batch)
		skip();
	for (size_t i = 0; i < n; i++) {
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
		clients[i].peer = fds[1];
		clients[i].conn = conn_new(&env, fds[0], &conn_io_plain, &ops, &clients[i]);
	}
}

static void send_to_all(size_t n, const char *text, bool is_message, uint64_t seq)
{
	struct frame *f = frame_copy(slice_str(text));

	f->is_message = is_message;
	f->seq = seq;
	for (size_t i = 0; i < n; i++)
		if (clients[i].conn)
			conn_send(clients[i].conn, f);
	frame_unref(f);
}

static void expect_got(struct client *c, const char *text)
{
	char got[4096];
	ssize_t n = recv(c->peer, got, sizeof(got), MSG_DONTWAIT);

	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, (size_t)n);
}

/* Counters are summed over the life of the process. */
static int64_t batches(void)
{
	return counters_sum(COUNTER_WRITE_BATCHES) - batches_before;
}

static void test_many_send_in_few_calls(void **state)
{
	connect_some(MANY);
	send_to_all(MANY, "one,", false, 0);
	send_to_all(MANY, "two", false, 0);
	loop_turn(loop, false);
	for (size_t i = 0; i < MANY; i++) {
		expect_got(&clients[i], "one,two");
		assert_int_equal(conn_out_bytes(clients[i].conn), 0);
		assert_int_equal(clients[i].conn->out_total, 7);
	}
	assert_in_range(batches(), 3, 4);
	assert_int_equal(counters_sum(COUNTER_WRITES) - writes_before, MANY);
}

static void send_more(struct loop_task *t)
{
	send_to_all(8, "two", false, 0);
}

/* What is sent by a task that runs after the connections were put into the batch goes with it. */
static void test_what_comes_while_they_wait_is_sent_once(void **state)
{
	struct loop_task later;

	connect_some(8);
	send_to_all(8, "one,", false, 0);
	loop_task_init(&later, send_more);
	loop_at_end(loop, &later);
	loop_turn(loop, false);
	for (size_t i = 0; i < 8; i++)
		expect_got(&clients[i], "one,two");
	assert_int_equal(batches(), 1);
}

/* The end of a turn calls owners back before it writes; what they send queues the end of the turn
 * of the same connection again, before the batch. */
static void test_what_is_sent_at_the_end_of_a_turn_is_sent_once(void **state)
{
	connect_some(8);
	for (size_t i = 0; i < 8; i++) {
		clients[i].last_words = "and you?";
		conn_pause(clients[i].conn, true);
		shutdown(clients[i].peer, SHUT_WR);
	}
	loop_turn(loop, false);
	for (size_t i = 0; i < 8; i++) {
		expect_got(&clients[i], "and you?");
		assert_int_equal(clients[i].overs, 0);
	}
	assert_int_equal(batches(), 1);
}

static void test_a_few_write_for_themselves(void **state)
{
	connect_some(3);
	send_to_all(3, "x", false, 0);
	loop_turn(loop, false);
	for (size_t i = 0; i < 3; i++)
		expect_got(&clients[i], "x");
	assert_int_equal(batches(), 0);
}

static void test_a_full_socket_goes_on_when_it_has_room(void **state)
{
	static char big[1 << 20];
	size_t got = 0;
	ssize_t n;

	connect_some(8);
	memset(big, 'b', sizeof(big) - 1);
	send_to_all(8, "a", false, 0);
	conn_send_bytes(clients[3].conn, slice_make(big, sizeof(big)));
	loop_turn(loop, false);
	assert_true(clients[3].conn->writing_blocked);
	assert_true(conn_out_bytes(clients[3].conn) > 0);
	for (size_t i = 0; i < 8; i++)
		if (i != 3)
			expect_got(&clients[i], "a");
	while (got < sizeof(big) + 1) {
		while ((n = recv(clients[3].peer, big, sizeof(big), MSG_DONTWAIT)) > 0)
			got += (size_t)n;
		loop_turn(loop, false);
	}
	assert_int_equal(got, sizeof(big) + 1);
	assert_int_equal(conn_out_bytes(clients[3].conn), 0);
}

static void test_one_whose_peer_is_gone_is_closed_alone(void **state)
{
	connect_some(8);
	close(clients[2].peer);
	clients[2].peer = 0;
	send_to_all(8, "a", false, 0);
	loop_turn(loop, false);
	loop_turn(loop, false);
	assert_int_equal(clients[2].overs, 1);
	assert_null(clients[2].conn);
	for (size_t i = 0; i < 8; i++)
		if (i != 2)
			expect_got(&clients[i], "a");
}

/* Closed after it was put into the batch, by a task that runs before it. */
static void test_one_that_closes_meanwhile_sends_nothing(void **state)
{
	connect_some(8);
	send_to_all(8, "a", false, 0);
	conn_close(clients[5].conn, CLOSE_KICKED);
	loop_turn(loop, false);
	assert_int_equal(recv(clients[5].peer, &(char){0}, 1, MSG_DONTWAIT), 0);
	expect_got(&clients[4], "a");
}

static void meddle(struct client *me)
{
	/* what the others have sent is out of their queues already: nothing is there to drop */
	for (size_t i = 0; i < 8; i++)
		if (&clients[i] != me && clients[i].conn)
			assert_int_equal(conn_drop_messages(clients[i].conn), 0);
	for (size_t i = 4; i < 8; i++)
		if (&clients[i] != me && clients[i].conn)
			conn_close(clients[i].conn, CLOSE_KICKED);
	conn_send_bytes(me->conn, SLICE("more"));
}

static void test_callbacks_may_drop_and_close_the_others(void **state)
{
	connect_some(8);
	clients[1].on_drain = meddle;
	send_to_all(8, "message,", true, 7);
	conn_call_on_drain(clients[1].conn, 0);
	loop_turn(loop, false);
	assert_int_equal(clients[1].drains, 1);
	expect_got(&clients[1], "message,more");
	expect_got(&clients[0], "message,");
	for (size_t i = 4; i < 8; i++) {
		expect_got(&clients[i], "message,");
		assert_int_equal(clients[i].overs, 1);
	}
}

static void test_finishing_ones_send_their_last_bytes_and_fin(void **state)
{
	char last;

	connect_some(8);
	env.linger_ms = 0;
	send_to_all(8, "bye", false, 0);
	for (size_t i = 0; i < 8; i++)
		conn_finish(clients[i].conn, CLOSE_NORMAL);
	loop_turn(loop, false);
	for (size_t i = 0; i < 8; i++) {
		expect_got(&clients[i], "bye");
		assert_int_equal(recv(clients[i].peer, &last, 1, MSG_DONTWAIT), 0);
		assert_int_equal(clients[i].overs, 1);
	}
}

static void *turn_elsewhere(void *arg)
{
	loop_turn(loop, false);
	return NULL;
}

/* The ring may refuse another thread than that which made it, or fail in any other way: all is sent
 * even so. */
static void test_a_ring_that_fails_is_given_up(void **state)
{
	pthread_t thread;

	connect_some(8);
	send_to_all(8, "one", false, 0);
	assert_int_equal(pthread_create(&thread, NULL, turn_elsewhere, NULL), 0);
	pthread_join(thread, NULL);
	for (size_t i = 0; i < 8; i++)
		expect_got(&clients[i], "one");
	send_to_all(8, "two", false, 0);
	loop_turn(loop, false);
	for (size_t i = 0; i < 8; i++)
		expect_got(&clients[i], "two");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_many_send_in_few_calls),
		TEST(test_what_comes_while_they_wait_is_sent_once),
		TEST(test_what_is_sent_at_the_end_of_a_turn_is_sent_once),
		TEST(test_a_few_write_for_themselves),
		TEST(test_a_full_socket_goes_on_when_it_has_room),
		TEST(test_one_whose_peer_is_gone_is_closed_alone),
		TEST(test_one_that_closes_meanwhile_sends_nothing),
		TEST(test_callbacks_may_drop_and_close_the_others),
		TEST(test_finishing_ones_send_their_last_bytes_and_fin),
		TEST(test_a_ring_that_fails_is_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
