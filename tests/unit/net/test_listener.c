/* SPDX-License-Identifier: MIT */
/* listener: addresses, sockets, accepting, and what happens when there is no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/obj.h"
#include "net/listener.h"
#include "tests/unit/net/wire.h"

#define CLIENTS_MAX 80

struct rig {
	struct wire w;
	struct listener *listener;
	uint16_t port;
	int clients[CLIENTS_MAX];
	size_t clients_n;
	unsigned accepted, admins;
	uint64_t takes_us; /* accept_fn, on the fake clock */
	bool free_inside;  /* accept_fn frees the listener */
	char folder[64], path[96];
};

static size_t on_input(struct conn *c, struct slice bytes)
{
	return bytes.n;
}

static void on_eof(struct conn *c)
{
	conn_close(c, CLOSE_CLIENT_GONE);
}

static void on_closed(struct conn *c, enum close_reason reason)
{
}

static const struct conn_ops ops = {.on_input = on_input, .on_eof = on_eof, .on_closed = on_closed};

static void on_accept(void *arg, int fd, bool is_admin)
{
	struct rig *r = arg;
	r->accepted++;
	r->admins += is_admin;
	clock_fake_advance(r->takes_us);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	conn_new(&r->w.env, fd, &conn_io_plain, &ops, r);
	if (r->free_inside) {
		listener_free(r->listener);
		r->listener = NULL;
	}
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	wire_init(&r->w);
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(r->folder, sizeof(r->folder), "/tmp/test_listener.XXXXXX");
	if (!mkdtemp(r->folder))
		abort();
	snprintf(r->path, sizeof(r->path), "%s/s", r->folder);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	listener_free(r->listener);
	for (size_t i = 0; i < r->clients_n; i++)
		close(r->clients[i]);
	wire_fini(&r->w);
	unlink(r->path);
	rmdir(r->folder);
	free(r);
	return 0;
}

static int open_text(struct rig *r, const char *text, uint16_t *io_port)
{
	struct listen_address a;
	struct problem problem;
	assert_int_equal(listen_address_parse(text, &a, &problem), 0);
	return listen_open(&a, io_port, 100, 0600, &problem);
}

static void start(struct rig *r, bool is_admin)
{
	int fd = open_text(r, "127.0.0.1:0", &r->port);
	assert_true(fd >= 0);
	assert_true(r->port > 0);
	r->listener = listener_new(&r->w.env, fd, is_admin, on_accept, r);
}

static void connect_to(struct rig *r)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(r->port)};
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	r->clients[r->clients_n++] = fd;
}

/* --- addresses ------------------------------------------------------------------------------- */

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		bool is_valid, is_unix, is_loopback;
	} rows[] = {
		{"127.0.0.1:8080", true, false, true},
		{"127.1.2.3:0", true, false, true},
		{"0.0.0.0:80", true, false, false},
		{"[::1]:80", true, false, true},
		{"[::]:80", true, false, false},
		{"*:8080", true, false, false},
		{"localhost:0", true, false, true},
		{"host.example:65535", true, false, false},
		{"unix:/run/x", true, true, true},
		{"", false},
		{"127.0.0.1", false},
		{"127.0.0.1:", false},
		{":80", false},
		{"h:65536", false},
		{"h:080000", false},
		{"h:-1", false},
		{"h:8x", false},
		{"::1:80", false},
		{"[]:80", false},
		{"unix:relative", false},
		{"unix:", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct listen_address a = {.text = "untouched"};
		struct problem problem = {0};
		print_message("# %s\n", rows[i].text);
		int err = listen_address_parse(rows[i].text, &a, &problem);
		if (!rows[i].is_valid) {
			assert_int_equal(err, -EINVAL);
			assert_true(strlen(problem.text) > 0);
			assert_string_equal(a.text, "untouched");
			continue;
		}
		assert_int_equal(err, 0);
		assert_string_equal(a.text, rows[i].text);
		assert_int_equal(a.is_unix, rows[i].is_unix);
		assert_int_equal(a.is_loopback, rows[i].is_loopback);
	}
}

static void test_long_addresses_are_refused(void **state)
{
	char text[400];
	struct listen_address a;
	memset(text, 'a', sizeof(text));
	memcpy(text, "unix:/", 6);
	text[300] = '\0';
	assert_int_equal(listen_address_parse(text, &a, NULL), -EINVAL);
	text[5 + 108] = '\0';
	assert_int_equal(listen_address_parse(text, &a, NULL), -EINVAL);
	text[5 + 107] = '\0';
	assert_int_equal(listen_address_parse(text, &a, NULL), 0);
}

/* --- sockets --------------------------------------------------------------------------------- */

static void test_workers_share_a_picked_port(void **state)
{
	struct rig *r = *state;
	uint16_t port = 0;
	int a = open_text(r, "localhost:0", &port);
	assert_true(a >= 0);
	uint16_t picked = port;
	int b = open_text(r, "localhost:0", &port);
	assert_true(b >= 0);
	assert_int_equal(port, picked);
	close(a);
	close(b);
}

static void test_a_port_in_use_is_refused(void **state)
{
	struct rig *r = *state;
	uint16_t port = 0, again = 0;
	char text[64];
	int a = open_text(r, "127.0.0.1:0", &port);
	assert_true(a >= 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	struct listen_address address;
	struct problem problem = {0};
	assert_int_equal(listen_address_parse(text, &address, NULL), 0);
	assert_int_equal(listen_open(&address, &again, 1, 0, &problem), -EADDRINUSE);
	assert_non_null(strstr(problem.text, text));
	assert_int_equal(again, 0);
	close(a);
	int b = open_text(r, text, &again);
	assert_true(b >= 0);
	assert_int_equal(again, port);
	int c = open_text(r, text, &again);
	assert_true(c >= 0); /* the second worker's */
	close(b);
	close(c);
}

static bool can_connect_v4(uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool ok = connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
	close(fd);
	return ok;
}

static void test_star_means_both_families(void **state)
{
	struct rig *r = *state;
	uint16_t port = 0;
	int fd = open_text(r, "*:0", &port);
	assert_true(fd >= 0);
	assert_true(can_connect_v4(port));
	close(fd);
	port = 0;
	fd = open_text(r, "[::]:0", &port);
	if (fd < 0)
		skip(); /* no IPv6 here */
	assert_false(can_connect_v4(port));
	close(fd);
}

static void test_unknown_host(void **state)
{
	struct listen_address a;
	struct problem problem = {0};
	assert_int_equal(listen_address_parse("999.1.1.1:80", &a, &problem), 0);
	assert_int_equal(listen_open(&a, NULL, 1, 0, &problem), -EINVAL);
	assert_non_null(strstr(problem.text, "999.1.1.1"));
}

static void test_unix_socket(void **state)
{
	struct rig *r = *state;
	char text[128];
	struct stat st;
	uint16_t port = 0;
	mode_t mask = umask(0077);
	struct listen_address a;
	struct problem problem;
	snprintf(text, sizeof(text), "unix:%s", r->path);
	assert_int_equal(listen_address_parse(text, &a, &problem), 0);
	int fd = listen_open(&a, &port, 10, 0660, &problem);
	umask(mask);
	assert_true(fd >= 0);
	assert_int_equal(stat(r->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	/* In use: refused. Stale: replaced. */
	assert_int_equal(listen_open(&a, &port, 10, 0600, &problem), -EADDRINUSE);
	close(fd);
	fd = listen_open(&a, &port, 10, 0600, &problem);
	assert_true(fd >= 0);
	close(fd);
	unlink(r->path);
	/* Something else: left alone. */
	fd = open(r->path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(listen_open(&a, &port, 10, 0600, &problem), -EEXIST);
	assert_int_equal(stat(r->path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	/* No folder: said. */
	snprintf(text, sizeof(text), "unix:%s/no/s", r->folder);
	assert_int_equal(listen_address_parse(text, &a, &problem), 0);
	assert_int_equal(listen_open(&a, &port, 10, 0600, &problem), -ENOENT);
	assert_non_null(strstr(problem.text, "folder"));
}

/* --- accepting ------------------------------------------------------------------------------- */

static void test_accepts(void **state)
{
	struct rig *r = *state;
	start(r, true);
	for (int i = 0; i < 70; i++)
		connect_to(r);
	clock_fake_set(1000000, 0);
	r->takes_us = 100;
	loop_turn(r->w.loop, true);
	/* then others get their turn */
	assert_in_range(r->accepted, 1, 50);
	for (int turns = 0; turns < 70 && r->accepted < 70; turns++)
		loop_turn(r->w.loop, true);
	clock_fake_off();
	assert_int_equal(r->accepted, 70);
	assert_int_equal(r->admins, 70);
	assert_int_equal(wire_counter(&r->w, COUNTER_ACCEPTED), 70);
	assert_int_equal(wire_counter(&r->w, COUNTER_ACCEPT_PAUSED), 0);
	assert_int_equal(wire_counter(&r->w, COUNTER_CONNECTIONS), 70);
}

static void test_pauses_at_the_limit_and_goes_on_when_there_is_room(void **state)
{
	struct rig *r = *state;
	r->w.env.max = 2;
	start(r, false);
	for (int i = 0; i < 5; i++)
		connect_to(r);
	wire_turn(&r->w);
	assert_int_equal(r->accepted, 2);
	assert_int_equal(wire_counter(&r->w, COUNTER_ACCEPT_PAUSED), 1);
	wire_pass(&r->w, 1100); /* the retry finds no room, quietly */
	assert_int_equal(r->accepted, 2);
	assert_int_equal(wire_counter(&r->w, COUNTER_ACCEPT_PAUSED), 1);
	conn_close(LIST_FIRST(&r->w.env.all), CLOSE_NORMAL);
	wire_turn(&r->w);
	assert_int_equal(r->accepted, 3);
	assert_int_equal(r->w.env.n, 2);
	assert_int_equal(wire_counter(&r->w, COUNTER_ACCEPT_PAUSED), 2);
	r->w.env.max = 0;
	wire_pass(&r->w, 1100);
	assert_int_equal(r->accepted, 5);
}

static void test_admin_gets_in_when_clients_do_not(void **state)
{
	struct rig *r = *state;
	r->w.env.max = 1;
	start(r, true);
	for (int i = 0; i < 3; i++)
		connect_to(r);
	wire_turn(&r->w);
	assert_int_equal(r->accepted, 3);
}

/* Out of descriptors for real: lower the limit below what is open. */
static void test_pauses_without_descriptors(void **state)
{
	struct rig *r = *state;
	struct rlimit before, none;
	start(r, false);
	for (int i = 0; i < 3; i++)
		connect_to(r);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)r->clients[2]; /* no number below is free */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	wire_turn(&r->w);
	unsigned accepted = r->accepted;
	wire_pass(&r->w, 1100);
	unsigned paused_twice = (unsigned)wire_counter(&r->w, COUNTER_ACCEPT_PAUSED);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(accepted, 0);
	assert_int_equal(paused_twice, 2);
	wire_turn(&r->w);
	assert_int_equal(r->accepted, 0); /* nobody spins: the event is off until the timer */
	wire_pass(&r->w, 1100);
	assert_int_equal(r->accepted, 3);
}

static void test_room_is_told_to_all_listeners(void **state)
{
	struct rig *r = *state;
	uint16_t port = 0;
	r->w.env.max = 1;
	start(r, false);
	connect_to(r);
	connect_to(r);
	wire_turn(&r->w);
	assert_int_equal(r->accepted, 1);
	struct listener *other =
		listener_new(&r->w.env, open_text(r, "127.0.0.1:0", &port), false, on_accept, r);
	struct listener *third =
		listener_new(&r->w.env, open_text(r, "127.0.0.1:0", &port), false, on_accept, r);
	listener_free(other);
	conn_close(LIST_FIRST(&r->w.env.all), CLOSE_NORMAL);
	wire_turn(&r->w);
	assert_int_equal(r->accepted, 2);
	listener_free(third);
	listener_free(NULL);
}

static void test_freed_inside_accept(void **state)
{
	struct rig *r = *state;
	start(r, false);
	connect_to(r);
	connect_to(r);
	r->free_inside = true;
	wire_turn(&r->w);
	assert_int_equal(r->accepted, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_addresses),
		T(test_long_addresses_are_refused),
		T(test_workers_share_a_picked_port),
		T(test_a_port_in_use_is_refused),
		T(test_star_means_both_families),
		T(test_unknown_host),
		T(test_unix_socket),
		T(test_accepts),
		T(test_pauses_at_the_limit_and_goes_on_when_there_is_room),
		T(test_admin_gets_in_when_clients_do_not),
		T(test_pauses_without_descriptors),
		T(test_room_is_told_to_all_listeners),
		T(test_freed_inside_accept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
