/* SPDX-License-Identifier: MIT */
/*
 * utf8.c: what RFC 3629 section 4 allows, as a machine of three small numbers.
 *
 * Between two characters nothing is needed, and ASCII passes eight bytes at a time. A lead byte
 * says how many continuation bytes follow, and narrows the range of the first of them: that range
 * is the whole difference between "looks like UTF-8" and "is UTF-8", because overlong forms (E0 80,
 * F0 80), surrogates (ED A0) and code points beyond U+10FFFF (F4 90) all show in the second byte.
 * So a bad byte is refused when it arrives, never later.
 */
#include "base/utf8.h"

#include <string.h>

#define HIGH_BITS 0x8080808080808080u

static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
	while ((size_t)(end - p) >= 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		if (word & HIGH_BITS)
			break;
		p += 8;
	}
	while (p < end && *p < 0x80)
		p++;
	return p;
}

/* c is not ASCII. */
static bool begin_character(struct utf8_state *s, uint8_t c)
{
	if (c < 0xc2 || c > 0xf4) /* C0, C1: always overlong; F5…: always beyond U+10FFFF */
		return false;
	s->need = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	s->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	s->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	return true;
}

size_t utf8_scan(struct utf8_state *s, const void *bytes, size_t n)
{
	const uint8_t *start = bytes, *p = start, *end = n > 0 ? start + n : start;
	struct utf8_state now = *s; /* a copy: bytes may alias s, for all the compiler knows */

	while (p < end) {
		if (now.need == 0) {
			p = skip_ascii(p, end);
			if (p == end || !begin_character(&now, *p))
				break;
		} else {
			if (*p < now.low || *p > now.high)
				break;
			now.need--;
			now.low = 0x80;
			now.high = 0xbf;
		}
		p++;
	}
	*s = now;
	return (size_t)(p - start);
}

bool utf8_feed(struct utf8_state *s, const void *p, size_t n)
{
	return utf8_scan(s, p, n) == n;
}

bool utf8_is_valid(const void *p, size_t n)
{
	struct utf8_state s = UTF8_START;

	return utf8_feed(&s, p, n) && utf8_is_complete(&s);
}
