/* SPDX-License-Identifier: MIT */
/* deflate: what is compressed comes out again, within the limits that were set. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "net/deflate.h"

static struct counters *counters;

static const struct deflate_config config = {
	.level = 6,
	.window_bits = 12,
	.min_bytes = 16,
	.max_bytes = 100000,
	.gzip_level = 1,
	.gzip_min_bytes = 100,
	.gzip_max_bytes = 100000,
};

static int setup(void **state)
{
	counters = counters_new();
	*state = deflater_new(&config, counters);
	return 0;
}

static int teardown(void **state)
{
	deflater_free(*state);
	counters_free(counters);
	return 0;
}

static int64_t counted(enum counter_id id)
{
	return atomic_load(&counters->v[id]);
}

static void add_words(struct buf *b, size_t n)
{
	for (unsigned i = 0; b->n < n; i++)
		buf_addf(b, "{\"n\":%u,\"word\":\"%x\"},", i, i * 2654435761u);
	b->n = n;
}

static void fill_random(struct buf *b, size_t n)
{
	uint32_t x = 1;

	while (b->n < n) {
		x = x * 1664525u + 1013904223u;
		buf_add_char(b, (char)(x >> 24));
	}
}

/* Inflate, with room for max bytes. */
static int inflate_to(struct deflater *d, struct slice payload, size_t max, struct buf *out)
{
	buf_init(out, max);
	return deflater_inflate(d, payload, out);
}

static void test_messages_come_out_again(void **state)
{
	static const size_t sizes[] = {16, 1000, 4096, 16384, 16385, 65536, 100000};
	struct deflater *d = *state;

	for (int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			struct buf in = {0}, copy = {0}, out;
			struct slice deflated;

			add_words(&in, sizes[i]);
			if (deflater_deflate(d, buf_slice(&in), &deflated) == 0) {
				assert_true(deflated.n < in.n);
				buf_add_slice(&copy, deflated);
				assert_int_equal(inflate_to(d, buf_slice(&copy), in.n, &out), 0);
				assert_true(slice_eq(buf_slice(&in), buf_slice(&out)));
				buf_fini(&out);
			} else {
				assert_int_equal(sizes[i], 16);
			}
			buf_fini(&in);
			buf_fini(&copy);
		}
	}
	assert_int_equal(counted(COUNTER_DEFLATED_WEBSOCKET), 12);
	assert_int_equal(counted(COUNTER_INFLATED), 12);
	assert_true(counted(COUNTER_DEFLATE_OUT_WEBSOCKET) < counted(COUNTER_DEFLATE_IN_WEBSOCKET));
	assert_int_equal(counted(COUNTER_INFLATE_IN), counted(COUNTER_DEFLATE_OUT_WEBSOCKET));
	assert_int_equal(counted(COUNTER_INFLATE_OUT), counted(COUNTER_DEFLATE_IN_WEBSOCKET));
}

/* Every message stands alone: the same bytes twice. */
static void test_nothing_is_kept_between_messages(void **state)
{
	struct buf in = {0}, first = {0};
	struct slice deflated;

	add_words(&in, 3000);
	assert_int_equal(deflater_deflate(*state, buf_slice(&in), &deflated), 0);
	buf_add_slice(&first, deflated);
	assert_int_equal(deflater_deflate(*state, buf_slice(&in), &deflated), 0);
	assert_true(slice_eq(buf_slice(&first), deflated));
	buf_fini(&in);
	buf_fini(&first);
}

static void test_what_is_not_worth_it_is_left(void **state)
{
	struct deflater *d = *state;
	struct slice deflated = SLICE("untouched");
	struct buf noise = {0}, large = {0};

	fill_random(&noise, 5000);
	add_words(&large, config.max_bytes + 1);
	assert_int_equal(deflater_deflate(d, SLICE("aaaaaaaaaaaaaaa"), &deflated), -EFBIG);
	assert_int_equal(deflater_deflate(d, buf_slice(&noise), &deflated), -EFBIG);
	assert_int_equal(deflater_deflate(d, buf_slice(&large), &deflated), -EFBIG);
	assert_true(slice_eq_str(deflated, "untouched"));
	assert_int_equal(counted(COUNTER_DEFLATE_LEFT), 3);
	assert_int_equal(counted(COUNTER_DEFLATED_WEBSOCKET), 0);
	assert_int_equal(deflater_deflate(d, SLICE("aaaaaaaaaaaaaaaa"), &deflated), 0);
	buf_fini(&noise);
	buf_fini(&large);
}

static void test_every_window_and_level(void **state)
{
	struct buf in = {0};

	add_words(&in, 40000);
	for (unsigned bits = 9; bits <= 15; bits++) {
		for (int level = 1; level <= 9; level += 4) {
			struct deflate_config c = config;
			struct buf copy = {0}, out;
			struct slice deflated;

			c.window_bits = bits;
			c.level = level;
			struct deflater *d = deflater_new(&c, counters);
			assert_int_equal(deflater_deflate(d, buf_slice(&in), &deflated), 0);
			buf_add_slice(&copy, deflated);
			assert_int_equal(inflate_to(d, buf_slice(&copy), in.n, &out), 0);
			assert_true(slice_eq(buf_slice(&in), buf_slice(&out)));
			buf_fini(&copy);
			buf_fini(&out);
			deflater_free(d);
		}
	}
	buf_fini(&in);
}

/* RFC 7692 7.2.3 */
static void test_the_examples_of_the_rfc(void **state)
{
	static const struct {
		struct slice payload;
		const char *text;
	} cases[] = {
		{SLICE("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello"},
		{SLICE("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), "Hello"},
		{SLICE("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), "Hello"}, /* a final block */
		{SLICE("\xf3\x48\xcd\xc9\xc9\x07\x00"), "Hello"},     /* and nothing behind it */
		{SLICE("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), "Hello"},
		{SLICE("\x00"), ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf out;

		if (inflate_to(*state, cases[i].payload, 100, &out) != 0 ||
		    !slice_eq_str(buf_slice(&out), cases[i].text))
			fail_msg("case %zu: %.*s", i, SLICE_ARG(buf_slice(&out)));
		buf_fini(&out);
	}
}

static void test_what_is_no_deflate_data(void **state)
{
	static const struct slice cases[] = {
		SLICE(""),
		SLICE("\xff"),
		SLICE("{\"type\":\"ping\"}"),
		SLICE("\xf2\x48\xcd"),                                 /* cut */
		SLICE("\xf2\x48\xcd\xc9\xc9\x07\x00\xff\xff\xff"),     /* something behind it */
		SLICE("\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00"), /* lengths that disagree */
		SLICE("\x00\x05\x00\xfa\xff\x48\x65"),                 /* less than it says */
		SLICE("\x72\x48\x05\x00\x00\x00\xff\xff\x82\xff\xff\x07"), /* from before its
									    * beginning
									    */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf out;

		if (inflate_to(*state, cases[i], 1000, &out) != -EBADMSG)
			fail_msg("case %zu gave %zu bytes", i, out.n);
		buf_fini(&out);
		/* The next message does not suffer. */
		assert_int_equal(inflate_to(*state, SLICE("\xf2\x48\xcd\xc9\xc9\x07\x00"), 5, &out),
				 0);
		buf_fini(&out);
	}
	assert_int_equal(counted(COUNTER_INFLATE_BAD), sizeof(cases) / sizeof(*cases));
}

static void test_a_bomb_ends_at_the_limit(void **state)
{
	struct deflater *d = *state;
	struct buf zeros = {0}, bomb = {0}, out;
	struct slice deflated;

	assert_int_equal(buf_reserve(&zeros, 100000), 0);
	memset(zeros.p, 0, 100000);
	zeros.n = 100000;
	assert_int_equal(deflater_deflate(d, buf_slice(&zeros), &deflated), 0);
	/* Flushed streams stand one behind the other: 100 MB in 140 kB. */
	for (int i = 0; i < 1000; i++) {
		buf_add_slice(&bomb, deflated);
		buf_add(&bomb, "\0\0\xff\xff", 4);
	}
	assert_true(bomb.n < 400000);
	assert_int_equal(inflate_to(d, buf_slice(&bomb), 1 << 20, &out), -EMSGSIZE);
	assert_true(out.n <= 1 << 20 && out.room <= 2 << 20);
	buf_fini(&out);
	assert_int_equal(counted(COUNTER_INFLATE_TOO_BIG), 1);
	/* To the byte. */
	assert_int_equal(deflater_deflate(d, buf_slice(&zeros), &deflated), 0);
	buf_clear(&bomb);
	buf_add_slice(&bomb, deflated);
	assert_int_equal(inflate_to(d, buf_slice(&bomb), 100000, &out), 0);
	buf_fini(&out);
	assert_int_equal(inflate_to(d, buf_slice(&bomb), 99999, &out), -EMSGSIZE);
	buf_fini(&out);
	buf_fini(&zeros);
	buf_fini(&bomb);
}

static size_t gzip_size(struct deflater *d, struct slice text, struct slice secret, bool is_secret)
{
	struct slice ret;

	deflater_gzip_begin(d, text.n + secret.n);
	deflater_gzip_add(d, text, false);
	deflater_gzip_add(d, secret, is_secret);
	assert_int_equal(deflater_gzip_end(d, &ret), 0);
	assert_memory_equal(ret.p, "\x1f\x8b", 2);
	return ret.n;
}

/* Who may write something into an answer must not learn from its size what else is in it. */
static void test_a_secret_can_not_be_guessed_from_the_size(void **state)
{
	struct slice secret = SLICE("\"session\":\"6f0c2a9be1d43370aabbccddeeff0011\"");
	struct buf guess = {0}, miss = {0};

	for (int i = 0; i < 20; i++) {
		buf_add_str(&guess, "{\"session\":\"6f0c2a9be1d43370aabbccddeeff0011\"}");
		buf_add_str(&miss, "{\"session\":\"0d55b1c86a2e9f47bbaaddccffee1100\"}");
	}
	assert_true(gzip_size(*state, buf_slice(&guess), secret, false) <
		    gzip_size(*state, buf_slice(&miss), secret, false));
	for (int i = 0; i < 2; i++) /* and the level does not stay */
		assert_int_equal(gzip_size(*state, buf_slice(&guess), secret, true),
				 gzip_size(*state, buf_slice(&miss), secret, true));
	assert_true(gzip_size(*state, buf_slice(&guess), SLICE(""), false) < 150);
	buf_fini(&guess);
	buf_fini(&miss);
}

static void test_gzip_that_is_not_smaller(void **state)
{
	struct buf noise = {0};
	struct slice ret;

	fill_random(&noise, 5000);
	deflater_gzip_begin(*state, noise.n);
	for (size_t at = 0; at < noise.n; at += 100)
		deflater_gzip_add(*state, slice_make(noise.p + at, 100), at % 200 == 0);
	assert_int_equal(deflater_gzip_end(*state, &ret), -EFBIG);
	deflater_gzip_begin(*state, 0);
	assert_int_equal(deflater_gzip_end(*state, &ret), -EFBIG);
	assert_int_equal(counted(COUNTER_DEFLATED_HTTP), 0);
	buf_fini(&noise);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_messages_come_out_again),
		TEST(test_nothing_is_kept_between_messages),
		TEST(test_what_is_not_worth_it_is_left),
		TEST(test_every_window_and_level),
		TEST(test_the_examples_of_the_rfc),
		TEST(test_what_is_no_deflate_data),
		TEST(test_a_bomb_ends_at_the_limit),
		TEST(test_a_secret_can_not_be_guessed_from_the_size),
		TEST(test_gzip_that_is_not_smaller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
