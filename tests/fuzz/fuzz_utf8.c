/* SPDX-License-Identifier: MIT */
/*
 * fuzz_utf8: the first bad byte is the same however the text is cut (the first byte of the input
 * says where), and agrees with a decoder that works by arithmetic instead of ranges.
 */
#include <assert.h>
#include <stdint.h>

#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes of the character at p if it is whole and allowed, else 0. */
static size_t character_n(const uint8_t *p, size_t room)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t c;

	if (n < 2)
		return n;
	if (n > room || p[0] >= 0xf8)
		return 0;
	c = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? n : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct utf8_state whole = UTF8_START, pieces = UTF8_START;
	size_t cut, good, at = 0;

	if (size == 0)
		return 0;
	cut = data[0];
	data++;
	size--;
	if (cut > size)
		cut = size;
	good = utf8_scan(&whole, data, size);
	assert(good <= size);
	at = utf8_scan(&pieces, data, cut);
	if (at == cut)
		at += utf8_scan(&pieces, data + cut, size - cut);
	assert(at == good);

	for (at = 0; at < size;) {
		size_t n = character_n(data + at, size - at);
		if (n == 0)
			break;
		at += n;
	}
	/* the reference stops at the beginning of the bad character, the machine inside it */
	assert(good >= at && good < at + 4);
	assert((at == size) == (good == size && utf8_is_complete(&whole)));
	assert(utf8_is_valid(data, size) == (at == size));
	return 0;
}
