/* SPDX-License-Identifier: MIT */
/* buf: grows as needed, never beyond its cap, and a refused append is never forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

static void assert_text(const struct buf *b, const char *want)
{
	assert_int_equal(b->n, strlen(want));
	if (b->n > 0)
		assert_memory_equal(b->p, want, b->n);
}

static void test_zeroed_struct_is_an_empty_buf(void **state)
{
	struct buf b = {0};

	assert_int_equal(buf_slice(&b).n, 0);
	assert_non_null(buf_slice(&b).p);
	assert_int_equal(buf_add(&b, NULL, 0), 0);
	assert_int_equal(buf_add_str(&b, "ab"), 0);
	assert_text(&b, "ab");
	buf_fini(&b);
	assert_null(b.p);
	buf_fini(&b);
}

static void test_all_kinds_of_append(void **state)
{
	struct buf b;

	buf_init(&b, 0);
	assert_int_equal(buf_add_char(&b, 'a'), 0);
	assert_int_equal(buf_add_u64(&b, 0), 0);
	assert_int_equal(buf_add_u64(&b, UINT64_MAX), 0);
	assert_int_equal(buf_add_slice(&b, SLICE(" x")), 0);
	assert_int_equal(buf_addf(&b, "-%d-%s", -5, "y"), 0);
	assert_text(&b, "a018446744073709551615 x--5-y");
	buf_fini(&b);
}

static void test_growing_keeps_the_bytes(void **state)
{
	struct buf b;

	buf_init(&b, 0);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(buf_add_char(&b, (char)('a' + i % 26)), 0);
	assert_int_equal(b.n, 100000);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(b.p[i], 'a' + i % 26);
	buf_fini(&b);
}

static void test_formatting_longer_than_the_room(void **state)
{
	struct buf b;
	char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	buf_init(&b, 0);
	for (size_t n = 0; n < sizeof(text); n += 37) {
		buf_clear(&b);
		assert_int_equal(buf_addf(&b, "<%s>", text + n), 0);
		assert_int_equal(b.n, sizeof(text) - 1 - n + 2);
		assert_int_equal(b.p[b.n - 1], '>');
	}
	buf_fini(&b);
}

/* Half an answer must not leave as if it were whole. */
static void test_without_memory_what_we_write_ourselves_ends_the_process(void **state)
{
	struct rlimit no_core = {0, 0};
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct buf b = {.cap = SIZE_MAX};
		setrlimit(RLIMIT_CORE, &no_core);
		close(STDERR_FILENO);
		_exit(buf_reserve(&b, PTRDIFF_MAX / 2) == 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_cap_is_exact(void **state)
{
	struct buf b;

	buf_init(&b, 10);
	assert_int_equal(buf_addf(&b, "%s", "0123456789"), 0);
	assert_text(&b, "0123456789");
	assert_int_equal(buf_add_char(&b, 'x'), -ENOBUFS);
	assert_text(&b, "0123456789");
	buf_fini(&b);

	buf_init(&b, 10);
	assert_int_equal(buf_addf(&b, "%s", "0123456789a"), -ENOBUFS);
	assert_int_equal(b.n, 0);
	assert_true(b.failed);
	buf_fini(&b);
}

static void test_failed_buf_refuses_until_cleared(void **state)
{
	struct buf b;

	buf_init(&b, 4);
	assert_int_equal(buf_add_str(&b, "abc"), 0);
	assert_int_equal(buf_add_str(&b, "de"), -ENOBUFS);
	assert_true(b.failed);
	assert_int_equal(buf_add_str(&b, "d"), -ENOBUFS);
	assert_int_equal(buf_addf(&b, "d"), -ENOBUFS);
	assert_int_equal(buf_add(&b, "", 0), -ENOBUFS);
	assert_int_equal(buf_reserve(&b, 1), -ENOBUFS);
	assert_text(&b, "abc");
	buf_clear(&b);
	assert_int_equal(buf_add_str(&b, "defg"), 0);
	assert_text(&b, "defg");
	buf_fini(&b);
	assert_int_equal(b.cap, 4);
}

static void test_reserve_that_does_not_fit_is_no_failure(void **state)
{
	struct buf b;

	buf_init(&b, 100);
	assert_int_equal(buf_reserve(&b, 101), -ENOBUFS);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -ENOBUFS);
	assert_false(b.failed);
	assert_int_equal(buf_reserve(&b, 100), 0);
	assert_true(b.room >= 100);
	memset(b.p, 'z', 100);
	b.n = 100;
	assert_int_equal(buf_reserve(&b, 0), 0);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -ENOBUFS);
	buf_fini(&b);
}

static void test_consume_from_the_front(void **state)
{
	struct buf b = {0};

	buf_consume(&b, 0);
	buf_add_str(&b, "abcdef");
	buf_consume(&b, 2);
	assert_text(&b, "cdef");
	buf_consume(&b, 0);
	assert_text(&b, "cdef");
	buf_consume(&b, 4);
	assert_text(&b, "");
	buf_fini(&b);
}

static void test_lent_bytes_are_used_and_left_alone(void **state)
{
	char lent[8] = "--------";
	struct buf b;

	buf_init_lent(&b, 20, lent, 4);
	assert_int_equal(buf_add_str(&b, "abcd"), 0);
	assert_ptr_equal(b.p, lent);
	assert_int_equal(buf_addf(&b, "%d", 56789), 0);
	assert_ptr_not_equal(b.p, lent);
	assert_text(&b, "abcd56789");
	assert_memory_equal(lent, "abcd----", sizeof(lent));
	assert_int_equal(buf_add_str(&b, "more than twenty"), -ENOBUFS);
	assert_text(&b, "abcd56789");
	buf_fini(&b);
	assert_memory_equal(lent, "abcd----", sizeof(lent));
	buf_init_lent(&b, 0, lent, sizeof(lent));
	assert_int_equal(buf_add_char(&b, 'x'), 0);
	buf_fini(&b); /* never moved: nothing to free */
	assert_int_equal(buf_add_str(&b, "its own now"), 0);
	assert_memory_equal(lent, "xbcd----", sizeof(lent));
	buf_fini(&b);
}

/* The cap counts, whatever room there is. */
static void test_cap_is_below_the_room(void **state)
{
	char lent[8];
	struct buf b;

	buf_init_lent(&b, 3, lent, sizeof(lent));
	assert_int_equal(buf_add_str(&b, "abc"), 0);
	assert_int_equal(buf_add_char(&b, 'd'), -ENOBUFS);
	assert_text(&b, "abc");
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zeroed_struct_is_an_empty_buf),
		cmocka_unit_test(test_all_kinds_of_append),
		cmocka_unit_test(test_growing_keeps_the_bytes),
		cmocka_unit_test(test_formatting_longer_than_the_room),
		cmocka_unit_test(test_without_memory_what_we_write_ourselves_ends_the_process),
		cmocka_unit_test(test_cap_is_exact),
		cmocka_unit_test(test_lent_bytes_are_used_and_left_alone),
		cmocka_unit_test(test_cap_is_below_the_room),
		cmocka_unit_test(test_failed_buf_refuses_until_cleared),
		cmocka_unit_test(test_reserve_that_does_not_fit_is_no_failure),
		cmocka_unit_test(test_consume_from_the_front),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
