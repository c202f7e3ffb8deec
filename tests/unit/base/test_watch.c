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

#include "base/obj.h"
#include "base/watch.h"

struct end {
	struct watch watch;
	int fd, peer;
	unsigned told; /* what was told, all calls together */
	unsigned calls;
	struct end *victim; /* removed by the callback */
};

static struct loop *loop;

static void on_change(struct watch *w, unsigned what)
{
	struct end *e = container_of(w, struct end, watch);

	e->told |= what;
	e->calls++;
	if (e->victim)
		watch_remove(loop, &e->victim->watch, e->victim->fd);
}

static void open_end(struct end *e)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	*e = (struct end){.watch = {on_change}, .fd = fds[0], .peer = fds[1]};
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
	for (int turns = 0; turns < 4; turns++)
		loop_turn(loop, false);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(ends[i].calls, 1);
		close_end(&ends[i]);
	}
}

static void test_a_bad_descriptor_is_an_error(void **state)
{
	struct watch w = {on_change};

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
		TEST(test_a_bad_descriptor_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
