/* SPDX-License-Identifier: MIT */
/* target: where the daemon is looked for, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/target.h"

static char folder[] = "/tmp/holdfast-target-XXXXXX";

/* An empty current directory and no environment. */
static int set_up(void **state)
{
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	unsetenv("HOLDFAST_URL");
	unsetenv("HOLDFAST_SOCKET");
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	unlink(TARGET_SOCKET_HERE);
	rmdir("data");
	return chdir("/") == 0 ? rmdir(folder) : -1;
}

static void check(const char *url, const char *socket, const char *want, const char *origin)
{
	struct problem problem;
	struct target t;

	assert_int_equal(target_find(&t, url, socket, &problem), 0);
	assert_string_equal(t.socket ? t.socket : t.url, want);
	assert_string_equal(t.origin, origin);
	target_fini(&t);
}

static void make_socket(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = TARGET_SOCKET_HERE};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(mkdir("data", 0700), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
}

static void test_options_win(void **state)
{
	setenv("HOLDFAST_URL", "http://env:1", 1);
	setenv("HOLDFAST_SOCKET", "/env.sock", 1);
	check("http://here:2/", NULL, "http://here:2", "--url");
	check(NULL, "x.sock", "x.sock", "--socket");
	check(NULL, "unix:x.sock", "x.sock", "--socket");
}

static void test_environment_is_next(void **state)
{
	make_socket();
	setenv("HOLDFAST_URL", "http://env:1", 1);
	check(NULL, NULL, "http://env:1", "HOLDFAST_URL");
	setenv("HOLDFAST_SOCKET", "/env.sock", 1);
	check(NULL, NULL, "/env.sock", "HOLDFAST_SOCKET");
	setenv("HOLDFAST_SOCKET", "", 1);
	check(NULL, NULL, "http://env:1", "HOLDFAST_URL");
}

static void test_socket_here_is_found(void **state)
{
	make_socket();
	check(NULL, NULL, TARGET_SOCKET_HERE, "default");
}

static void test_bad_ones_are_refused(void **state)
{
	char deep[300];
	struct problem problem;
	struct target t;

	memset(deep, 'd', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	assert_int_equal(target_find(&t, "http://a", "b", &problem), -EINVAL);
	assert_int_equal(target_find(&t, "localhost:8080", NULL, &problem), -EINVAL);
	assert_int_equal(target_find(&t, "ftp://a", NULL, &problem), -EINVAL);
	assert_int_equal(target_find(&t, NULL, deep, &problem), -EINVAL);
	assert_null(t.url);
	assert_null(t.socket);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_options_win, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_environment_is_next, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_socket_here_is_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_ones_are_refused, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
