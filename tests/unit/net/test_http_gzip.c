/* SPDX-License-Identifier: MIT */
/* http: which answers go in gzip, and what their heads say. The bodies are looked at in tests/wire.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "net/deflate.h"
#include "net/http_private.h"
#include "tests/unit/net/http_rig.h"

#define LONG_Q                                                                                     \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaa"
#define GZIPPED "\r\nContent-Encoding: gzip\r\n"
#define VARY    "\r\nVary: Accept-Encoding\r\n"

static const struct deflate_config config = {
	.level = 1,
	.window_bits = 15,
	.gzip_level = 1,
	.gzip_min_bytes = 100,
	.gzip_max_bytes = 1000,
};

static int setup(void **state)
{
	rig_setup(state);
	struct rig *r = *state;

	r->cfg.deflater = deflater_new(&config, r->w.env.counters);
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	struct deflater *d = r->cfg.deflater;

	rig_teardown(state);
	deflater_free(d);
	return 0;
}

/* The answer on a fresh connection. */
static void ask(struct rig *r, const char *method, const char *path, const char *header)
{
	struct buf b = {0};

	if (r->w.conn) {
		wire_hang_up(&r->w);
		wire_clear(&r->w);
	}
	rig_start(r);
	buf_addf(&b, "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n", method, path, header);
	wire_send(&r->w, buf_slice(&b));
	wire_settle(&r->w);
	buf_fini(&b);
}

static void test_what_accept_encoding_says(void **state)
{
	static const struct {
		const char *header;
		unsigned gzip, identity;
	} cases[] = {
		{"", 0, 1000},
		{"Accept-Encoding: gzip\r\n", 1000, 1},
		{"accept-encoding: gzip, deflate, br\r\n", 1000, 1},
		{"Accept-Encoding:\r\n", 0, 1},
		{"Accept-Encoding: br\r\n", 0, 1},
		{"Accept-Encoding: X-GZIP\r\n", 1000, 1},
		{"Accept-Encoding: gzip;q=0\r\n", 0, 1},
		{"Accept-Encoding: gzip;q=0.000\r\n", 0, 1},
		{"Accept-Encoding: gzip ; q=0.5 , identity\r\n", 500, 1000},
		{"Accept-Encoding: gzip;Q=0.123\r\n", 123, 1},
		{"Accept-Encoding: gzip;q=1.000, identity;q=0.5\r\n", 1000, 500},
		{"Accept-Encoding: gzip;q=0.7;x=y\r\n", 700, 1},
		{"Accept-Encoding: *\r\n", 1000, 1000},
		{"Accept-Encoding: *;q=0\r\n", 0, 0},
		{"Accept-Encoding: gzip, *;q=0\r\n", 1000, 0},
		{"Accept-Encoding: identity;q=0\r\n", 0, 0},
		{"Accept-Encoding: identity;q=0, gzip;q=0.1\r\n", 100, 0},
		{"Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n", 1000, 1},
		{"Accept-Encoding: gzip;q=2\r\n", 0, 1},
		{"Accept-Encoding: gzip;q=1.5\r\n", 0, 1},
		{"Accept-Encoding: gzip;q=x\r\n", 0, 1},
		{"Accept-Encoding: gzip;q=0.1234\r\n", 0, 1},
		{"Accept-Encoding: gzip;q=\r\n", 0, 1},
		{"Accept-Encoding: gzip;q=.5\r\n", 0, 1},
		{"Accept-Encoding: ,, gzip,\r\n", 1000, 1},
		{"Accept-Encoding: gzipped\r\n", 0, 1},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char path[32];

		snprintf(path, sizeof(path), "/later%zu", i % 10);
		r->kept_n = 0;
		ask(r, "GET", path, cases[i].header);
		struct http_codings q = http_codings_wanted(http_exchange_request(r->kept[0]));
		if (q.gzip != cases[i].gzip || q.identity != cases[i].identity)
			fail_msg("%s → gzip %u identity %u", cases[i].header, q.gzip, q.identity);
		rig_answer(r, 0, "");
	}
}

static void test_which_answers(void **state)
{
	static const struct {
		const char *method, *path, *header;
		bool is_gzip;
	} cases[] = {
		{"GET", "/?" LONG_Q, "Accept-Encoding: gzip\r\n", true},
		{"HEAD", "/?" LONG_Q, "Accept-Encoding: gzip\r\n", true},
		{"GET", "/?" LONG_Q, "", false},
		{"GET", "/?" LONG_Q, "Accept-Encoding: gzip;q=0\r\n", false},
		{"GET", "/?" LONG_Q, "Accept-Encoding: gzip;q=0.1, identity\r\n", false},
		{"GET", "/?" LONG_Q, "Accept-Encoding: *;q=0\r\n", false},
		{"GET", "/?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "Accept-Encoding: gzip\r\n",
		 false},
		{"GET", "/?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		 "Accept-Encoding: gzip, identity;q=0\r\n", true},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ask(r, cases[i].method, cases[i].path, cases[i].header);
		rig_expect_begin(r, "HTTP/1.1 200 ");
		rig_expect(r, VARY);
		if (wire_has(&r->w, GZIPPED) != cases[i].is_gzip)
			fail_msg("case %zu", i);
	}
}

static void test_longer_ones_do_not(void **state)
{
	struct rig *r = *state;
	struct buf b = {0};

	rig_fill(&b, "/?", 1000, "");
	buf_add_char(&b, '\0');
	ask(r, "GET", b.p, "Accept-Encoding: gzip\r\n");
	rig_expect_not(r, GZIPPED);
	rig_expect(r, VARY);
	buf_fini(&b);
}

static void test_others_do_not_depend_on_it(void **state)
{
	struct rig *r = *state;

	ask(r, "POST", "/?" LONG_Q, "Accept-Encoding: gzip\r\nContent-Length: 0\r\n");
	rig_expect_not(r, GZIPPED);
	rig_expect_not(r, VARY);
	ask(r, "GET", "/missing", "Accept-Encoding: gzip\r\n");
	rig_expect_not(r, GZIPPED);
	rig_expect_not(r, VARY);
	ask(r, "GET", "/empty", "Accept-Encoding: gzip\r\n");
	rig_expect_begin(r, "HTTP/1.1 304 ");
	rig_expect(r, VARY);
	rig_expect_not(r, GZIPPED);
}

static void test_switched_off(void **state)
{
	struct rig *r = *state;
	struct deflater *d = r->cfg.deflater;

	r->cfg.deflater = NULL;
	ask(r, "GET", "/?" LONG_Q, "Accept-Encoding: gzip\r\n");
	rig_expect_not(r, GZIPPED);
	rig_expect_not(r, VARY);
	r->cfg.deflater = d;
}

/* Its client has gone: there is nobody to ask. */
static void test_an_orphan(void **state)
{
	struct rig *r = *state;

	ask(r, "GET", "/orphan", "Accept-Encoding: gzip\r\n");
	wire_hang_up(&r->w);
	rig_answer(r, 0, LONG_Q LONG_Q);
	assert_true(rig_is_over(r));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* The request is gone by then, what it said is not. */
static void test_after_waiting(void **state)
{
	struct rig *r = *state;

	ask(r, "GET", "/wait", "Accept-Encoding: gzip\r\n");
	rig_answer(r, 0, LONG_Q LONG_Q);
	rig_expect(r, GZIPPED);
	ask(r, "GET", "/wait", "");
	rig_answer(r, 1, LONG_Q LONG_Q);
	rig_expect_not(r, GZIPPED);
	rig_expect(r, VARY);
	ask(r, "GET", "/wait", "Accept-Encoding: gzip, identity;q=0\r\n");
	rig_answer(r, 2, "short, and repeated: short, and repeated: short, and repeated");
	rig_expect(r, GZIPPED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_accept_encoding_says),
		TEST(test_which_answers),
		TEST(test_longer_ones_do_not),
		TEST(test_others_do_not_depend_on_it),
		TEST(test_switched_off),
		TEST(test_an_orphan),
		TEST(test_after_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
