/* SPDX-License-Identifier: MIT */
/* watch: edges, changes, hang-ups, and what callbacks may do to each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/obj.h"
#include "base/watch.h"

struct end {
	struct watch watch;
	int fd, peer;
	unsigned told; /* what was told, all calls together */
	unsigned calls;
	struct end *victim; /* removed by the callback */
	uint64_t takes_us;  /* the callback, on the fake clock */
	bool repeats;       /* it asks to be told again */
};

static struct loop *loop;

static void on_change(struct watch *w, unsigned what)
{
	struct end *e = container_of(w, struct end, watch);

	e->told |= what;
	e->calls++;
	clock_fake_advance(e->takes_us);
	if (e->repeats)
		watch_change(loop, w, e->fd, WATCH_READ);
	if (e->victim)
		watch_remove(loop, &e->victim->watch, e->victim->fd);
}

static void open_end(struct end *e)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	*e = (struct end){.watch = {.fn = on_change}, .fd = fds[0], .peer = fds[1]};
}

static void close_end(struct end *e)
{
	if (e->watch.fn)
		watch_remove(loop, &e->watch, e->fd);
	close(e->fd);
	if (e->peer >= 0)
		close(e->peer);
}

/* What was told in one turn. */
static unsigned turn(struct end *e)
{
	e->told = 0;
	loop_turn(loop, false);
	return e->told;
}

static int setup(void **state)
{
	loop = loop_new("test");
	return 0;
}

static int teardown(void **state)
{
	loop_free(loop);
	return 0;
}

static void test_each_edge_is_told_once(void **state)
{
	struct end e;

	open_end(&e);
	assert_int_equal(watch_add(loop, &e.watch, e.fd, WATCH_READ | WATCH_HANGUP), 0);
	assert_int_equal(turn(&e), 0);
	assert_int_equal(send(e.peer, "a", 1, 0), 1);
	assert_int_equal(turn(&e), WATCH_READ);
	assert_int_equal(turn(&e), 0);
	assert_int_equal(send(e.peer, "b", 1, 0), 1);
	assert_int_equal(turn(&e), WATCH_READ);
	shutdown(e.peer, SHUT_WR);
	assert_int_equal(turn(&e), WATCH_READ | WATCH_HANGUP);
	close_end(&e);
}

static void test_a_change_tells_what_is_so_already(void **state)
{
	struct end e;

	open_end(&e);
	assert_int_equal(watch_add(loop, &e.watch, e.fd, WATCH_READ), 0);
	assert_int_equal(watch_change(loop, &e.watch, e.fd, WATCH_READ | WATCH_WRITE), 0);
	assert_int_equal(turn(&e), WATCH_WRITE);
	assert_int_equal(turn(&e), 0);
	assert_int_equal(send(e.peer, "a", 1, 0), 1);
	turn(&e);
	assert_int_equal(watch_change(loop, &e.watch, e.fd, WATCH_READ), 0);
	assert_int_equal(turn(&e), WATCH_READ);
	close_end(&e);
}

static void test_what_is_gone_is_told_to_readers_and_writers(void **state)
{
	struct end e;

	open_end(&e);
	assert_int_equal(watch_add(loop, &e.watch, e.fd, WATCH_WRITE), 0);
	turn(&e);
	close(e.peer);
	e.peer = -1;
	assert_true(turn(&e) & WATCH_WRITE);
	close_end(&e);
}

static void test_removed_by_another_of_the_same_turn(void **state)
{
	struct end a, b;

	open_end(&a);
	open_end(&b);
	a.victim = &b;
	b.victim = &a;
	assert_int_equal(watch_add(loop, &a.watch, a.fd, WATCH_READ), 0);
	assert_int_equal(watch_add(loop, &b.watch, b.fd, WATCH_READ), 0);
	assert_int_equal(send(a.peer, "a", 1, 0), 1);
	assert_int_equal(send(b.peer, "b", 1, 0), 1);
	loop_turn(loop, false);
	assert_int_equal(a.calls + b.calls, 1);
	close_end(&a);
	close_end(&b);
}

static void test_more_than_one_batch_are_all_told(void **state)
{
	enum { N = 1200 };
	static struct end ends[N];

	for (size_t i = 0; i < N; i++) {
		open_end(&ends[i]);
		assert_int_equal(watch_add(loop, &ends[i].watch, ends[i].fd, WATCH_READ), 0);
		assert_int_equal(send(ends[i].peer, "a", 1, 0), 1);
	}
	/* a batch per turn at least, however slow the machine */
	for (int turns = 0; turns < N; turns++)
		loop_turn(loop, false);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(ends[i].calls, 1);
		close_end(&ends[i]);
	}
}

/* --- turns that end -------------------------------------------------------------------------- */

#define MANY    200
#define TAKES   100  /* us, each callback */
#define TURN_US 5000 /* what a turn may take at most */

static struct end many[MANY];

/* All of them are readable. */
static void open_many(unsigned how)
{
	clock_fake_set(1000000, 0);
	for (size_t i = 0; i < MANY; i++) {
		open_end(&many[i]);
		many[i].takes_us = TAKES;
		assert_int_equal(watch_add(loop, &many[i].watch, many[i].fd, WATCH_READ | how), 0);
		assert_int_equal(send(many[i].peer, "a", 1, 0), 1);
	}
}

static void close_many(void)
{
	for (size_t i = 0; i < MANY; i++)
		close_end(&many[i]);
	clock_fake_off();
}

static unsigned told_of_many(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < MANY; i++)
		n += many[i].calls;
	return n;
}

/* Turn until all have been told once; no turn takes long. */
static void turn_until_all_are_told(void)
{
	for (unsigned before = 0; before < MANY; before = told_of_many()) {
		uint64_t began_us = clock_mono_us();

		loop_turn(loop, false);
		assert_true(clock_mono_us() - began_us <= TURN_US);
		assert_true(told_of_many() > before);
	}
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(many[i].calls, 1);
}

static void test_a_turn_ends_whatever_is_ready(void **state)
{
	open_many(0);
	turn_until_all_are_told();
	close_many();
}

static void test_a_turn_ends_whoever_comes(void **state)
{
	open_many(WATCH_FRESH);
	turn_until_all_are_told();
	close_many();
}

static void test_who_is_known_does_not_wait_for_those_who_come(void **state)
{
	struct end known;

	open_many(WATCH_FRESH);
	open_end(&known);
	assert_int_equal(watch_add(loop, &known.watch, known.fd, WATCH_READ), 0);
	assert_int_equal(turn(&known), 0);
	assert_int_equal(send(known.peer, "a", 1, 0), 1);
	assert_int_equal(turn(&known), WATCH_READ);
	assert_true(told_of_many() < MANY);
	turn_until_all_are_told();
	close_end(&known);
	close_many();
}

static void test_who_comes_is_served_however_busy_the_others_are(void **state)
{
	struct end fresh;

	open_many(0);
	for (size_t i = 0; i < MANY; i++)
		many[i].repeats = true;
	open_end(&fresh);
	assert_int_equal(watch_add(loop, &fresh.watch, fresh.fd, WATCH_READ | WATCH_FRESH), 0);
	assert_int_equal(send(fresh.peer, "a", 1, 0), 1);
	/* after a round of all at the latest */
	for (int turns = 0; turns < MANY && fresh.calls == 0; turns++)
		loop_turn(loop, false);
	assert_int_equal(fresh.calls, 1);
	close_end(&fresh);
	close_many();
}

/* All of them but the first leave. */
static void leave_all_but_one(void)
{
	open_many(WATCH_HANGUP);
	loop_turn(loop, false);
	turn_until_all_are_told();
	for (size_t i = 0; i < MANY; i++)
		many[i].calls = 0;
	for (size_t i = 1; i < MANY; i++)
		shutdown(many[i].peer, SHUT_WR);
}

static void test_who_stays_does_not_wait_for_those_who_leave(void **state)
{
	leave_all_but_one();
	assert_int_equal(send(many[0].peer, "a", 1, 0), 1);
	assert_int_equal(turn(&many[0]), WATCH_READ);
	assert_true(told_of_many() < MANY);
	turn_until_all_are_told();
	for (size_t i = 1; i < MANY; i++)
		assert_true(many[i].told & WATCH_HANGUP);
	close_many();
}

static void test_who_waits_to_leave_is_told_of_all_at_once_or_removed(void **state)
{
	leave_all_but_one();
	loop_turn(loop, false);
	assert_int_equal(many[MANY - 1].calls, 0);
	/* by itself, and by one that is before it in the line */
	watch_remove(loop, &many[MANY - 1].watch, many[MANY - 1].fd);
	many[MANY - 3].victim = &many[MANY - 2];
	close(many[MANY - 4].peer);
	many[MANY - 4].peer = -1;
	for (int turns = 0; turns < MANY && many[MANY - 3].calls == 0; turns++)
		loop_turn(loop, false);
	loop_turn(loop, false);
	assert_int_equal(many[MANY - 4].calls, 1);
	assert_int_equal(many[MANY - 2].calls, 0);
	assert_int_equal(many[MANY - 1].calls, 0);
	close_many();
}

static void test_the_line_goes_on_by_itself(void **state)
{
	leave_all_but_one();
	/* nothing else happens: no turn may wait for an event */
	for (unsigned n = 0; n < MANY - 1; n = told_of_many())
		loop_turn(loop, true);
	close_many();
}

static void test_a_fresh_one_settles_or_goes(void **state)
{
	struct end e;

	open_end(&e);
	assert_int_equal(watch_add(loop, &e.watch, e.fd, WATCH_READ | WATCH_FRESH), 0);
	assert_int_equal(watch_change(loop, &e.watch, e.fd, WATCH_READ | WATCH_WRITE | WATCH_FRESH),
			 0);
	assert_int_equal(turn(&e), WATCH_WRITE);
	assert_int_equal(send(e.peer, "a", 1, 0), 1);
	assert_int_equal(watch_settle(loop, &e.watch, e.fd, WATCH_READ), 0);
	assert_int_equal(turn(&e), WATCH_READ);
	assert_int_equal(turn(&e), 0);
	assert_int_equal(watch_settle(loop, &e.watch, e.fd, WATCH_READ), -EEXIST);
	assert_int_equal(watch_change(loop, &e.watch, e.fd, WATCH_READ | WATCH_FRESH), -ENOENT);
	close_end(&e);
	open_end(&e);
	assert_int_equal(watch_add(loop, &e.watch, e.fd, WATCH_READ | WATCH_FRESH), 0);
	assert_int_equal(send(e.peer, "a", 1, 0), 1);
	watch_remove(loop, &e.watch, e.fd);
	assert_int_equal(turn(&e), 0);
	close_end(&e);
}

static void test_a_bad_descriptor_is_an_error(void **state)
{
	struct watch w = {.fn = on_change};

	assert_int_equal(watch_add(loop, &w, -1, WATCH_READ), -EBADF);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_each_edge_is_told_once),
		TEST(test_a_change_tells_what_is_so_already),
		TEST(test_what_is_gone_is_told_to_readers_and_writers),
		TEST(test_removed_by_another_of_the_same_turn),
		TEST(test_more_than_one_batch_are_all_told),
		TEST(test_a_turn_ends_whatever_is_ready),
		TEST(test_a_turn_ends_whoever_comes),
		TEST(test_who_is_known_does_not_wait_for_those_who_come),
		TEST(test_who_comes_is_served_however_busy_the_others_are),
		TEST(test_who_stays_does_not_wait_for_those_who_leave),
		TEST(test_who_waits_to_leave_is_told_of_all_at_once_or_removed),
		TEST(test_the_line_goes_on_by_itself),
		TEST(test_a_fresh_one_settles_or_goes),
		TEST(test_a_bad_descriptor_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
