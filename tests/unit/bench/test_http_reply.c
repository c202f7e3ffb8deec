/* SPDX-License-Identifier: MIT */
/* http_reply: responses of all framings, cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bench/http_reply.h"

#define SIZED "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length: 5\r\n\r\nhello"
#define CHUNKED \
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"

/* Take a stream that comes in pieces of n bytes; return its body, and how many responses ended. */
static char *take_stream(const char *stream, size_t n, unsigned *ret_ended)
{
	static char body[4096];
	size_t at = 0, have = 0, size = strlen(stream), used, body_n = 0;
	struct http_reply r = {0};
	struct span piece;

	*ret_ended = 0;
	while (have < size) {
		have = have + n < size ? have + n : size;
		char *copy =
			strndup(stream + at, have - at); /* so that what is behind is foreign */
		size_t taken = 0;
		enum http_event event;

		do {
			event = http_take(&r, (struct span){copy + taken, have - at - taken},
					  &piece, &used);
			assert_int_not_equal(event, HTTP_BROKEN);
			if (event == HTTP_GOT_BODY) {
				memcpy(body + body_n, piece.p, piece.n);
				body_n += piece.n;
			}
			*ret_ended += event == HTTP_GOT_END;
			taken += used;
		} while (event != HTTP_MORE);
		at += taken;
		free(copy);
	}
	body[body_n] = '\0';
	return body;
}

static void test_bodies_are_the_same_however_they_are_cut(void **state)
{
	unsigned ended;

	for (size_t n = 1; n < sizeof(SIZED CHUNKED); n++) {
		assert_string_equal(take_stream(SIZED CHUNKED SIZED, n, &ended), "hellohellohello");
		assert_int_equal(ended, 3);
	}
}

static void test_a_whole_response_is_told_from_a_part(void **state)
{
	static const char *const all[] = {
		SIZED, CHUNKED, "HTTP/1.1 304 Not Modified\r\nContent-Length: 700\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"};
	struct http_reply r;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		size_t n = strlen(all[i]);

		for (size_t part = 0; part < n; part++) {
			char *copy = strndup(all[i], part);

			assert_int_equal(http_whole((struct span){copy, part}, &r), 0);
			free(copy);
		}
		assert_int_equal(http_whole((struct span){all[i], n}, &r), n);
		assert_true(r.keeps);
	}
	assert_int_equal(r.status, 204);
}

static void test_who_keeps_the_connection(void **state)
{
	struct http_reply r;
	static const char closes[] =
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
	static const char old[] = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n";
	static const char endless[] = "HTTP/1.1 200 OK\r\n\r\nhello";

	assert_int_equal(http_whole((struct span){closes, sizeof(closes) - 1}, &r),
			 sizeof(closes) - 1);
	assert_false(r.keeps);
	assert_int_equal(http_whole((struct span){old, sizeof(old) - 1}, &r), sizeof(old) - 1);
	assert_false(r.keeps);
	assert_int_equal(http_whole((struct span){endless, sizeof(endless) - 1}, &r), 0);
}

static void test_what_is_no_http_is_told(void **state)
{
	struct http_reply r;
	static const char noise[] = "SSH-2.0-OpenSSH\r\n\r\n";
	static const char chunk[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";

	assert_int_equal(http_whole((struct span){noise, sizeof(noise) - 1}, &r), -1);
	assert_int_equal(http_whole((struct span){chunk, sizeof(chunk) - 1}, &r), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies_are_the_same_however_they_are_cut),
		cmocka_unit_test(test_a_whole_response_is_told_from_a_part),
		cmocka_unit_test(test_who_keeps_the_connection),
		cmocka_unit_test(test_what_is_no_http_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
