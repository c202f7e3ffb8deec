/* SPDX-License-Identifier: MIT */
/* ws_frame: heads byte by byte (RFC 6455 5.2), masks at every offset, close codes, the handshake
 * key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/obj.h"
#include "net/ws_frame.h"

#define T(literal) literal, sizeof(literal) - 1

/* RFC 6455 5.7 and the edges of the three lengths. */
static void heads_are_decoded(void **state)
{
	static const struct {
		const char *in;
		size_t n;
		struct ws_head want;
	} cases[] = {
		{T("\x81\x05"), {.fin = true, .opcode = 1, .payload_n = 5, .head_n = 2}},
		{T("\x81\x85\x37\xfa\x21\x3d"),
		 {.fin = true,
		  .opcode = 1,
		  .masked = true,
		  .mask = {0x37, 0xfa, 0x21, 0x3d},
		  .payload_n = 5,
		  .head_n = 6}},
		{T("\x01\x03"), {.opcode = 1, .payload_n = 3, .head_n = 2}},
		{T("\x80\x02"), {.fin = true, .opcode = 0, .payload_n = 2, .head_n = 2}},
		{T("\x89\x00"), {.fin = true, .opcode = 9, .head_n = 2}},
		{T("\x8a\x7d"), {.fin = true, .opcode = 10, .payload_n = 125, .head_n = 2}},
		{T("\x82\x7e\x00\x7e"), {.fin = true, .opcode = 2, .payload_n = 126, .head_n = 4}},
		{T("\x82\x7e\xff\xff"),
		 {.fin = true, .opcode = 2, .payload_n = 65535, .head_n = 4}},
		{T("\x82\x7f\0\0\0\0\0\1\0\0"),
		 {.fin = true, .opcode = 2, .payload_n = 65536, .head_n = 10}},
		{T("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\1\2\3\4"),
		 {.fin = true,
		  .opcode = 2,
		  .masked = true,
		  .mask = {1, 2, 3, 4},
		  .payload_n = INT64_MAX,
		  .head_n = 14}},
		{T("\xf3\x00"), {.fin = true, .rsv = 7, .opcode = 3, .head_n = 2}},
		{T("\x4f\x01"), {.rsv = 4, .opcode = 15, .payload_n = 1, .head_n = 2}},
		{T("\x10\x01"), {.rsv = 1, .payload_n = 1, .head_n = 2}},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct ws_head *want = &cases[i].want;
		struct ws_head got, same;
		for (size_t n = 0; n < cases[i].n; n++) {
			memset(&got, 0xaa, sizeof(got));
			same = got;
			assert_int_equal(ws_head_decode(slice_make(cases[i].in, n), &got), WS_MORE);
			assert_memory_equal(&got, &same, sizeof(got));
		}
		assert_int_equal(ws_head_decode(slice_make(cases[i].in, cases[i].n), &got), WS_OK);
		assert_int_equal(got.fin, want->fin);
		assert_int_equal(got.rsv, want->rsv);
		assert_int_equal(got.opcode, want->opcode);
		assert_int_equal(got.masked, want->masked);
		assert_memory_equal(got.mask, want->mask, 4);
		assert_true(got.payload_n == want->payload_n);
		assert_int_equal(got.head_n, want->head_n);
	}
}

/* RFC 6455 5.2: "the minimal number of bytes MUST be used", "the most significant bit MUST be 0".
 */
static void bad_lengths_are_refused(void **state)
{
	static const struct {
		const char *in;
		size_t n;
	} cases[] = {
		{T("\x82\x7e\x00\x00")},
		{T("\x82\x7e\x00\x7d")},
		{T("\x82\x7f\0\0\0\0\0\0\0\0")},
		{T("\x82\x7f\0\0\0\0\0\0\0\x7d")},
		{T("\x82\x7f\0\0\0\0\0\0\xff\xff")},
		{T("\x82\x7f\x80\0\0\0\0\0\0\0")},
		{T("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff")},
	};
	struct ws_head h;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t n = 0; n < cases[i].n; n++)
			assert_int_equal(ws_head_decode(slice_make(cases[i].in, n), &h), WS_MORE);
		assert_int_equal(ws_head_decode(slice_make(cases[i].in, cases[i].n), &h), WS_BAD);
	}
}

static void what_is_encoded_decodes(void **state)
{
	static const uint64_t lengths[] = {0,     1,     124,   125,      126,        127,
					   65534, 65535, 65536, 1u << 24, 1ull << 32, INT64_MAX};
	static const uint8_t mask[4] = {9, 8, 7, 6};
	static const enum ws_opcode opcodes[] = {WS_CONTINUATION, WS_TEXT, WS_BINARY,
						 WS_CLOSE,        WS_PING, WS_PONG};

	for (size_t i = 0; i < ARRAY_LEN(lengths) * ARRAY_LEN(opcodes) * 4; i++) {
		uint64_t payload_n = lengths[i / 4 % ARRAY_LEN(lengths)];
		enum ws_opcode opcode = opcodes[i / 4 / ARRAY_LEN(lengths)];
		bool fin = i % 2, masked = i / 2 % 2;
		uint8_t out[WS_HEAD_MAX];
		size_t n = masked ? ws_head_encode_masked(out, opcode, fin, payload_n, mask)
				  : ws_head_encode(out, opcode, fin, payload_n);
		struct ws_head h;
		assert_true(n <= WS_HEAD_MAX);
		assert_int_equal(ws_head_decode(slice_make((char *)out, n), &h), WS_OK);
		assert_int_equal(h.head_n, n);
		assert_int_equal(h.opcode, opcode);
		assert_int_equal(h.fin, fin);
		assert_int_equal(h.rsv, 0);
		assert_int_equal(h.masked, masked);
		assert_true(h.payload_n == payload_n);
		if (masked)
			assert_memory_equal(h.mask, mask, 4);
	}
}

static void masks_fit_at_every_offset_and_size(void **state)
{
	static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
	uint8_t p[40], want[40];

	for (size_t n = 0; n <= 33; n++) {
		for (uint64_t offset = 0; offset < 9; offset++) {
			for (size_t i = 0; i < sizeof(p); i++) {
				p[i] = (uint8_t)(i * 7);
				want[i] = i < n ? p[i] ^ mask[(offset + i) % 4] : p[i];
			}
			ws_mask(p, n, mask, offset);
			assert_memory_equal(p, want, sizeof(p));
		}
	}
	ws_mask(NULL, 0, mask, 0);
	memcpy(p, "\x7f\x9f\x4d\x51\x58", 5); /* RFC 6455 5.7 */
	ws_mask(p, 5, mask, 0);
	assert_memory_equal(p, "Hello", 5);
}

static void close_codes_that_may_travel(void **state)
{
	for (unsigned code = 0; code <= 0xffff; code++) {
		bool want = (code >= 3000 && code < 5000) || (code >= 1000 && code <= 1003) ||
			    (code >= 1007 && code <= 1014);
		assert_int_equal(ws_close_code_is_valid((uint16_t)code), want);
	}
}

static void the_accept_key_is_the_one_of_the_rfc(void **state)
{
	char out[29];

	ws_accept_key(SLICE("dGhlIHNhbXBsZSBub25jZQ=="), out); /* RFC 6455 1.3 */
	assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	ws_accept_key(SLICE("x3JJHMbDL1EzLkh9GBhXDw=="), out);
	assert_string_equal(out, "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}

static void keys_are_sixteen_bytes_in_base64(void **state)
{
	static const char *const bad[] = {
		"",
		"dGhlIHNhbXBsZSBub25jZQ",
		"dGhlIHNhbXBsZSBub25jZQ=",
		"dGhlIHNhbXBsZSBub25jZQ===",
		"dGhlIHNhbXBsZSBub25jZQ==\n",
		"dGhlIHNhbXBsZSBub25jZQ= ",
		"dGhlIHNhbXBsZSBub25jZ===",
		"dGhlIHNhbXBsZSBub25jZWU=",
		"dGhlIHNhbXBsZSBub25jZWVl",
		"dGhlIHNhbXBsZSBub25jZR==",
		"dGhl IHNhbXBsZSBub25jZQ=",
		"dGhlIHNhbXBsZSBub25-ZQ==",
		"========================",
		"dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
	};

	assert_true(ws_key_is_valid(SLICE("dGhlIHNhbXBsZSBub25jZQ==")));
	assert_true(ws_key_is_valid(SLICE("AAAAAAAAAAAAAAAAAAAAAA==")));
	assert_true(ws_key_is_valid(SLICE("+/+/+/+/+/+/+/+/+/+/+w==")));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(ws_key_is_valid(slice_str(bad[i])));
	assert_false(ws_key_is_valid(slice_make(NULL, 0)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_are_decoded),
		cmocka_unit_test(bad_lengths_are_refused),
		cmocka_unit_test(what_is_encoded_decodes),
		cmocka_unit_test(masks_fit_at_every_offset_and_size),
		cmocka_unit_test(close_codes_that_may_travel),
		cmocka_unit_test(the_accept_key_is_the_one_of_the_rfc),
		cmocka_unit_test(keys_are_sixteen_bytes_in_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
