/* SPDX-License-Identifier: MIT */
/*
 * ws_frame.c: the bytes of RFC 6455 section 5.2 and the handshake key of section 4.2.2.
 *
 *   byte 0   FIN RSV RSV RSV opcode
 *   byte 1   MASK and 7 bits of length; 126, 127: two, eight more bytes follow, big-endian,
 *            in the shortest form that holds the length
 *   4 bytes  the mask, if MASK is set
 *
 * Nothing here knows a connection, so everything here is fuzzed alone. SHA-1 is spelled out because
 * the handshake is the only one in the house who asks for it (libsodium rightly has none): it
 * proves that a server speaks WebSocket, and secures nothing.
 */
#include "net/ws_frame.h"

#include <sodium.h>
#include <string.h>

#include "base/obj.h"

#define LENGTH_16 126 /* in the seven bits: two bytes of length follow */
#define LENGTH_64 127

/* --- heads ----------------------------------------------------------------------------------- */

static uint64_t big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

enum ws_verdict ws_head_decode(struct slice in, struct ws_head *ret)
{
	const uint8_t *p = (const uint8_t *)in.p;
	struct ws_head h = {0};
	size_t length_n;

	if (in.n < 2)
		return WS_MORE;
	h.fin = p[0] >> 7;
	h.rsv = p[0] >> 4 & 7;
	h.opcode = p[0] & 0xf;
	h.masked = p[1] >> 7;
	h.payload_n = p[1] & 0x7f;
	length_n = h.payload_n == LENGTH_16 ? 2 : h.payload_n == LENGTH_64 ? 8 : 0;
	h.head_n = 2 + length_n + (h.masked ? 4 : 0);
	if (in.n < h.head_n)
		return WS_MORE;
	if (length_n > 0) {
		h.payload_n = big_endian(p + 2, length_n);
		if (h.payload_n < LENGTH_16 || h.payload_n > INT64_MAX ||
		    (length_n == 8 && h.payload_n <= UINT16_MAX))
			return WS_BAD;
	}
	if (h.masked)
		memcpy(h.mask, p + 2 + length_n, 4);
	*ret = h;
	return WS_OK;
}

size_t ws_head_encode(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, bool fin, uint64_t payload_n)
{
	size_t length_n = payload_n < LENGTH_16 ? 0 : payload_n <= UINT16_MAX ? 2 : 8;

	out[0] = (uint8_t)((fin ? 0x80 : 0) | opcode);
	out[1] = (uint8_t)(length_n == 0 ? payload_n : length_n == 2 ? LENGTH_16 : LENGTH_64);
	for (size_t i = 0; i < length_n; i++)
		out[2 + i] = (uint8_t)(payload_n >> 8 * (length_n - 1 - i));
	return 2 + length_n;
}

size_t ws_head_encode_masked(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, bool fin,
			     uint64_t payload_n, const uint8_t mask[4])
{
	size_t n = ws_head_encode(out, opcode, fin, payload_n);

	out[1] |= 0x80;
	memcpy(out + n, mask, 4);
	return n + 4;
}

/* --- payloads -------------------------------------------------------------------------------- */

void ws_mask(void *bytes, size_t n, const uint8_t mask[4], uint64_t offset)
{
	uint8_t *p = bytes, key[8];
	uint64_t word, key_word;
	size_t i = 0;

	for (size_t k = 0; k < 8; k++)
		key[k] = mask[(offset + k) % 4];
	memcpy(&key_word, key, 8);
	for (; n - i >= 8; i += 8) {
		memcpy(&word, p + i, 8);
		word ^= key_word;
		memcpy(p + i, &word, 8);
	}
	for (; i < n; i++)
		p[i] ^= key[i % 8];
}

bool ws_close_code_is_valid(uint16_t code)
{
	/* RFC 6455 7.4.1 and the IANA registry: 1004 was never given a meaning, 1005, 1006 and 1015
	 * are for talking about a connection, not on it; 1012 to 1014 were registered later. */
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

/* --- the handshake key ----------------------------------------------------------------------- */

#define KEY_TEXT_N 24 /* base64 of 16 bytes */

static uint32_t rotate_left(uint32_t v, unsigned by)
{
	return v << by | v >> (32 - by);
}

static void sha1_block(uint32_t h[5], const uint8_t block[64])
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)big_endian(block + i * 4, 4);
	for (int i = 16; i < 80; i++)
		w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (int i = 0; i < 80; i++) {
		uint32_t f, k, next;
		if (i < 20) {
			f = (b & c) | (~b & d);
			k = 0x5a827999;
		} else if (i < 40) {
			f = b ^ c ^ d;
			k = 0x6ed9eba1;
		} else if (i < 60) {
			f = (b & c) | (b & d) | (c & d);
			k = 0x8f1bbcdc;
		} else {
			f = b ^ c ^ d;
			k = 0xca62c1d6;
		}
		next = rotate_left(a, 5) + f + e + k + w[i];
		e = d;
		d = c;
		c = rotate_left(b, 30);
		b = a;
		a = next;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

void ws_accept_key(struct slice key, char out[29])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 1.3 */
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	const size_t n = KEY_TEXT_N + sizeof(guid) - 1;
	uint8_t text[128] = {0}, digest[20];

	/* Key and GUID are 60 bytes: with the end mark and the length always two blocks (RFC 3174
	 * 4). */
	assert(key.n == KEY_TEXT_N);
	memcpy(text, key.p, KEY_TEXT_N);
	memcpy(text + KEY_TEXT_N, guid, sizeof(guid) - 1);
	text[n] = 0x80;
	text[126] = (uint8_t)(n * 8 >> 8);
	text[127] = (uint8_t)(n * 8);
	sha1_block(h, text);
	sha1_block(h, text + 64);
	for (size_t i = 0; i < sizeof(digest); i++)
		digest[i] = (uint8_t)(h[i / 4] >> 8 * (3 - i % 4));
	sodium_bin2base64(out, 29, digest, sizeof(digest), sodium_base64_VARIANT_ORIGINAL);
}

bool ws_key_is_valid(struct slice key)
{
	uint8_t bytes[16];
	size_t n = 0;
	const char *end = NULL;

	return key.n == KEY_TEXT_N &&
	       sodium_base642bin(bytes, sizeof(bytes), key.p, key.n, NULL, &n, &end,
				 sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       n == sizeof(bytes) && end == key.p + key.n;
}
