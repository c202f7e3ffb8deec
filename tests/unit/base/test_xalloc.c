/* SPDX-License-Identifier: MIT */
/* xalloc: gives memory or ends the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/xalloc.h"

static void test_gives_memory(void **state)
{
	char *p = xcalloc(4, 25);

	for (int i = 0; i < 100; i++)
		assert_int_equal(p[i], 0);
	p = xrealloc(p, 200);
	memset(p, 'x', 200);
	free(p);
	p = xmalloc(0);
	free(p);
	p = xcalloc(0, 0);
	free(p);
}

static void test_strings(void **state)
{
	char *p = xstrdup("abc");

	assert_string_equal(p, "abc");
	free(p);
	p = xstrndup("abcdef", 2);
	assert_string_equal(p, "ab");
	free(p);
	p = xstrndup(NULL, 0);
	assert_string_equal(p, "");
	free(p);
}

static void test_pages_are_aligned_and_zeroed(void **state)
{
	const size_t size = (size_t)64 << 10;
	char *blocks[8];

	for (size_t i = 0; i < 8; i++) {
		blocks[i] = xpages(size);
		assert_int_equal((uintptr_t)blocks[i] % size, 0);
		for (size_t k = 0; k < size; k++)
			assert_int_equal(blocks[i][k], 0);
		memset(blocks[i], 'x', size);
	}
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(munmap(blocks[i], size), 0);
}

static void test_ends_the_process_when_memory_is_gone(void **state)
{
	volatile size_t huge = PTRDIFF_MAX / 2;
	struct rlimit no_core = {0, 0};
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		close(STDERR_FILENO);
		free(xmalloc(huge));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* A signal; under a sanitizer, which has its own opinion of such sizes, an exit code. */
	assert_int_not_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gives_memory),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_pages_are_aligned_and_zeroed),
		cmocka_unit_test(test_ends_the_process_when_memory_is_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
