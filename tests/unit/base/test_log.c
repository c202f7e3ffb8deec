/* SPDX-License-Identifier: MIT */
/* log: one whole line per call, whatever is in it and however many threads write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define LINE_BYTES 4096

/* --- stderr in a pipe ------------------------------------------------------------------------ */

static int stderr_copy;
static int pipe_fd;
static char captured[65536 + 1];

static void capture(void)
{
	int fds[2];

	fflush(stderr);
	assert_int_equal(pipe(fds), 0);
	stderr_copy = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	pipe_fd = fds[0];
}

/* Everything that was written since capture(); a pipe holds 64 KiB. */
static char *release(void)
{
	size_t n = 0;
	ssize_t got;

	dup2(stderr_copy, STDERR_FILENO);
	close(stderr_copy);
	while ((got = read(pipe_fd, captured + n, sizeof(captured) - 1 - n)) > 0)
		n += (size_t)got;
	close(pipe_fd);
	captured[n] = '\0';
	return captured;
}

/* --- lines ----------------------------------------------------------------------------------- */

static void test_form_of_a_line(void **state)
{
	clock_fake_set(0, 1767323045678);
	capture();
	log_info("listening", "port=%d host=%s", 8080, log_value("my host"));
	log_warn("bare", "");
	clock_fake_set(0, 1767323045007);
	log_error("padded", "a=1");
	clock_fake_off();
	assert_string_equal(release(),
			    "ts=2026-01-02T03:04:05.678Z level=info event=listening port=8080 "
			    "host=\"my host\"\n"
			    "ts=2026-01-02T03:04:05.678Z level=warn event=bare\n"
			    "ts=2026-01-02T03:04:05.007Z level=error event=padded a=1\n");
}

static void test_levels(void **state)
{
	enum log_level level = LOG_LEVEL_OFF;

	assert_true(log_level_parse("debug", &level));
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_true(log_level_parse("off", &level));
	assert_int_equal(level, LOG_LEVEL_OFF);
	level = LOG_LEVEL_WARN;
	assert_false(log_level_parse("loud", &level));
	assert_false(log_level_parse("", &level));
	assert_int_equal(level, LOG_LEVEL_WARN);

	assert_false(log_enabled(LOG_LEVEL_DEBUG));
	assert_true(log_enabled(LOG_LEVEL_INFO));
	capture();
	log_debug("unseen", "a=1");
	log_set_level(LOG_LEVEL_WARN);
	log_info("unseen", "a=1");
	log_set_level(LOG_LEVEL_OFF);
	log_error("unseen", "a=1");
	assert_string_equal(release(), "");
	assert_false(log_enabled(LOG_LEVEL_ERROR));
	log_set_level(LOG_LEVEL_INFO);
}

static void test_errno_is_kept(void **state)
{
	capture();
	errno = ENOSPC;
	log_info("full", "reason=%m");
	assert_int_equal(errno, ENOSPC);
	assert_non_null(strstr(release(), "reason=No space left on device\n"));
}

static void test_nobody_forges_a_line(void **state)
{
	capture();
	log_info("x", "name=%s", "a\nts=0 level=error event=forged\r\x1b[2J");
	release();
	assert_ptr_equal(strchr(captured, '\n'), captured + strlen(captured) - 1);
	assert_null(strchr(captured, '\x1b'));
	assert_null(strchr(captured, '\r'));
}

/* --- cutting --------------------------------------------------------------------------------- */

static void test_long_line_loses_whole_pairs(void **state)
{
	for (int n = 1; n < 120; n++) {
		char tail[5000] = "";
		size_t used = 0;
		char *end;
		/* Pairs of a size that ends anywhere, each with spaces and a quote in its value. */
		while (used < 4500)
			used += (size_t)snprintf(tail + used, sizeof(tail) - used,
						 "key=\"v \\\" %0*d\" ", n, 7);
		capture();
		log_info("long", "%s", tail);
		release();
		assert_true(strlen(captured) <= LINE_BYTES);
		assert_true(strlen(captured) > LINE_BYTES - 140);
		end = captured + strlen(captured);
		assert_memory_equal(end - 9, "7\" cut=1\n", 9);
	}
}

static void test_line_that_just_fits_is_not_cut(void **state)
{
	char value[LINE_BYTES];
	size_t head;

	capture();
	log_info("fits", "v=");
	head = strlen(release());
	memset(value, 'x', sizeof(value));
	/* Room is kept for the mark of a cut. */
	value[LINE_BYTES - head - strlen(" cut=1")] = '\0';
	capture();
	log_info("fits", "v=%s", value);
	release();
	assert_int_equal(strlen(captured), LINE_BYTES - strlen(" cut=1"));
	assert_null(strstr(captured, "cut=1"));
}

static void test_one_pair_too_long_for_any_line(void **state)
{
	static char value[100000];

	memset(value, 'x', sizeof(value) - 1);
	capture();
	log_info("huge", "v=%s", value);
	assert_non_null(strstr(release(), "event=huge cut=1\n"));
}

/* --- threads --------------------------------------------------------------------------------- */

#define THREADS 4
#define LINES   25

static void *write_lines(void *arg)
{
	char value[500];

	memset(value, *(char *)arg, sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (int i = 0; i < LINES; i++)
		log_info("thread", "who=%s.", value);
	return NULL;
}

static void test_lines_of_threads_do_not_mix(void **state)
{
	static char names[THREADS] = {'a', 'b', 'c', 'd'};
	pthread_t threads[THREADS];
	int lines = 0;
	char *rest = captured, *line;

	capture();
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &names[i]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	release();
	while ((line = strsep(&rest, "\n")) != NULL && *line) {
		char *who = strstr(line, "who=");
		assert_non_null(who);
		assert_int_equal(strspn(who + 4, (char[]){who[4], '\0'}), 499);
		assert_string_equal(who + 4 + 499, ".");
		lines++;
	}
	assert_int_equal(lines, THREADS * LINES);
}

/* --- values ---------------------------------------------------------------------------------- */

static void test_values(void **state)
{
	assert_string_equal(log_value("plain-word/1.0:2"), "plain-word/1.0:2");
	assert_string_equal(log_value(NULL), "-");
	assert_string_equal(log_value(""), "\"\"");
	assert_string_equal(log_value("two words"), "\"two words\"");
	assert_string_equal(log_value("a=b"), "\"a=b\"");
	assert_string_equal(log_value("q\" b\\ n\n t\t"), "\"q\\\" b\\\\ n\\n t\\x09\"");
	assert_string_equal(log_value("é\x7f"), "\"\\xc3\\xa9\\x7f\"");
	assert_string_equal(log_value_n("ab\0c", 4), "\"ab\\x00c\"");
	assert_string_equal(log_value_n("abcdef", 3), "abc");
}

static void test_values_are_cut(void **state)
{
	char value[300], want[1000];

	memset(value, 'a', sizeof(value));
	assert_int_equal(strlen(log_value_n(value, 200)), 200);
	snprintf(want, sizeof(want), "%.200s...", value);
	assert_string_equal(log_value_n(value, sizeof(value)), want);
	/* The longest there is. */
	memset(value, '\x01', sizeof(value));
	assert_int_equal(strlen(log_value_n(value, sizeof(value))), 200 * 4 + 2 + 3);
}

static void test_eight_values_live_at_once(void **state)
{
	const char *values[8];
	char word[16];

	for (int i = 0; i < 8; i++) {
		snprintf(word, sizeof(word), "v%d", i);
		values[i] = log_value(word);
	}
	for (int i = 0; i < 8; i++) {
		snprintf(word, sizeof(word), "v%d", i);
		assert_string_equal(values[i], word);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form_of_a_line),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_errno_is_kept),
		cmocka_unit_test(test_nobody_forges_a_line),
		cmocka_unit_test(test_long_line_loses_whole_pairs),
		cmocka_unit_test(test_line_that_just_fits_is_not_cut),
		cmocka_unit_test(test_one_pair_too_long_for_any_line),
		cmocka_unit_test(test_lines_of_threads_do_not_mix),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_values_are_cut),
		cmocka_unit_test(test_eight_values_live_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
