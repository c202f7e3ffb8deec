/* SPDX-License-Identifier: MIT */
/* lines: standard input in batches of whole lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "cli/lines.h"

struct pipe {
	int in, out;
	struct lines lines;
};

static void open_pipe(struct pipe *p, size_t in_max)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	p->in = fds[1];
	p->out = fds[0];
	lines_init(&p->lines, p->out, in_max);
}

static void close_pipe(struct pipe *p)
{
	lines_fini(&p->lines);
	close(p->out);
	if (p->in >= 0)
		close(p->in);
}

static void put(struct pipe *p, const char *text)
{
	assert_int_equal(write(p->in, text, strlen(text)), strlen(text));
	lines_read(&p->lines);
}

static void end(struct pipe *p)
{
	close(p->in);
	p->in = -1;
	lines_read(&p->lines);
}

/* The next batch is this text of n lines; it is dropped. */
static void take(struct pipe *p, size_t bytes_max, size_t lines_max, const char *want, size_t n)
{
	size_t got_n;
	struct slice got = lines_batch(&p->lines, bytes_max, lines_max, &got_n);

	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p, want, got.n);
	assert_int_equal(got_n, n);
	lines_drop(&p->lines, got.n);
}

static void test_what_gathered_is_one_batch(void **state)
{
	struct pipe p;

	open_pipe(&p, 1024);
	take(&p, 100, 100, "", 0);
	put(&p, "one\n");
	take(&p, 100, 100, "one\n", 1);
	put(&p, "two\nthree\r\n\nfo");
	take(&p, 100, 100, "two\nthree\r\n\n", 3);
	take(&p, 100, 100, "", 0);
	put(&p, "ur\n");
	take(&p, 100, 100, "four\n", 1);
	close_pipe(&p);
}

static void test_limits_of_a_batch(void **state)
{
	struct pipe p;

	open_pipe(&p, 1024);
	put(&p, "a\nb\nc\nd\ne-is-long\nf\n");
	take(&p, 100, 3, "a\nb\nc\n", 3);
	take(&p, 5, 100, "d\n", 1);
	/* Longer than a batch: alone. */
	take(&p, 5, 100, "e-is-long\n", 1);
	take(&p, 5, 100, "f\n", 1);
	close_pipe(&p);
}

static void test_last_line_needs_no_end(void **state)
{
	struct pipe p;

	open_pipe(&p, 1024);
	put(&p, "a\nb");
	assert_false(lines_is_done(&p.lines));
	end(&p);
	assert_false(lines_is_done(&p.lines));
	take(&p, 100, 100, "a\nb", 2);
	assert_true(lines_is_done(&p.lines));
	close_pipe(&p);
}

static void test_told_to_stop_drops_the_unfinished_line(void **state)
{
	struct pipe p;

	open_pipe(&p, 1024);
	put(&p, "a\nb\npart");
	lines_stop(&p.lines);
	assert_false(lines_wants_input(&p.lines));
	take(&p, 100, 100, "a\nb\n", 2);
	assert_true(lines_is_done(&p.lines));
	close_pipe(&p);
}

static void test_line_longer_than_memory_is_stuck(void **state)
{
	size_t n;
	struct pipe p;

	open_pipe(&p, 8);
	put(&p, "12345678");
	assert_false(lines_wants_input(&p.lines));
	assert_int_equal(lines_batch(&p.lines, 100, 100, &n).n, 0);
	assert_true(lines_is_stuck(&p.lines));
	close_pipe(&p);
}

static void test_full_of_whole_lines_is_not_stuck(void **state)
{
	struct pipe p;

	open_pipe(&p, 8);
	put(&p, "123\n5678");
	take(&p, 100, 100, "123\n", 1);
	assert_false(lines_is_stuck(&p.lines));
	assert_true(lines_wants_input(&p.lines));
	close_pipe(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_gathered_is_one_batch),
		cmocka_unit_test(test_limits_of_a_batch),
		cmocka_unit_test(test_last_line_needs_no_end),
		cmocka_unit_test(test_told_to_stop_drops_the_unfinished_line),
		cmocka_unit_test(test_line_longer_than_memory_is_stuck),
		cmocka_unit_test(test_full_of_whole_lines_is_not_stuck),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
