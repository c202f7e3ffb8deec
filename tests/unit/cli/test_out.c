/* SPDX-License-Identifier: MIT */
/* out: everything is written, and neither a stuck nor a gone reader hangs the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli/out.h"

struct pipe {
	int in, out, stop;
	struct out o;
};

static void open_pipe(struct pipe *p)
{
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fds), 0);
	p->in = fds[1];
	p->out = fds[0];
	p->stop = eventfd(0, 0);
	out_init(&p->o, p->in, p->stop);
}

static void close_pipe(struct pipe *p)
{
	out_fini(&p->o);
	close(p->in);
	close(p->stop);
	if (p->out >= 0)
		close(p->out);
}

static void fill(struct out *o, size_t n)
{
	while (n--)
		buf_add_char(&o->b, 'x');
}

static void test_flush_writes_all_and_forgets(void **state)
{
	char got[16];
	struct pipe p;

	open_pipe(&p);
	buf_add_str(&p.o.b, "hello");
	assert_int_equal(out_flush(&p.o), 0);
	assert_int_equal(p.o.b.n, 0);
	assert_int_equal(out_flush(&p.o), 0);
	assert_int_equal(read(p.out, got, sizeof(got)), 5);
	assert_memory_equal(got, "hello", 5);
	assert_false(out_is_closed(&p.o));
	close_pipe(&p);
}

static void test_reader_that_is_gone(void **state)
{
	struct pipe p;

	open_pipe(&p);
	close(p.out);
	p.out = -1;
	assert_true(out_is_closed(&p.o));
	buf_add_str(&p.o.b, "hello");
	assert_int_equal(out_flush(&p.o), -EPIPE);
	close_pipe(&p);
}

static void test_stop_ends_a_flush_to_a_stuck_reader(void **state)
{
	uint64_t one = 1;
	struct pipe p;

	open_pipe(&p);
	fill(&p.o, 1 << 20); /* more than a pipe holds */
	assert_int_equal(write(p.stop, &one, sizeof(one)), sizeof(one));
	assert_int_equal(out_flush(&p.o), -EINTR);
	close_pipe(&p);
}

static void test_stop_does_not_cut_what_can_be_written(void **state)
{
	uint64_t one = 1;
	struct pipe p;

	open_pipe(&p);
	fill(&p.o, 5000);
	assert_int_equal(write(p.stop, &one, sizeof(one)), sizeof(one));
	assert_int_equal(out_flush(&p.o), 0);
	close_pipe(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flush_writes_all_and_forgets),
		cmocka_unit_test(test_reader_that_is_gone),
		cmocka_unit_test(test_stop_ends_a_flush_to_a_stuck_reader),
		cmocka_unit_test(test_stop_does_not_cut_what_can_be_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
