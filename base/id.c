/* SPDX-License-Identifier: MIT */
/*
 * id: `<epoch>.<seq>`.
 *
 * DESIGN. One spelling per id: no leading zeros, no signs, lower case only. Clients compare ids as
 * text, CDNs use them as cache keys and ETags, so two spellings of one position would be two
 * positions. An id of another epoch is told apart from nonsense, because the client is told so (gap
 * reasons `epoch` and `invalid`).
 */
#include "base/id.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/digits.h"

#define EPOCH_MADE 6  /* bytes of the words we make */
#define DIGITS_MAX 19 /* of the largest seq, 2^63-1 */

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
#define LETTERS 26

void epoch_make(struct epoch *ret)
{
	/* Safe to call again and from any thread; fails only when there is no randomness at all. */
	if (sodium_init() < 0)
		abort();
	memset(ret, 0, sizeof(*ret));
	ret->text[0] = alphabet[randombytes_uniform(LETTERS)];
	for (int i = 1; i < EPOCH_MADE; i++)
		ret->text[i] = alphabet[randombytes_uniform(sizeof(alphabet) - 1)];
}

bool epoch_is_valid(struct slice text)
{
	if (text.n == 0 || text.n > EPOCH_MAX)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
			return false;
	}
	return true;
}

static bool parse_seq(struct slice text, uint64_t *ret)
{
	uint64_t v = 0;

	if (text.n == 0 || text.n > DIGITS_MAX || (text.n > 1 && text.p[0] == '0'))
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		/* 19 digits fit into 64 bits: no overflow to look for. */
		v = v * 10 + (uint64_t)(text.p[i] - '0');
	}
	if (v > INT64_MAX)
		return false;
	*ret = v;
	return true;
}

enum id_verdict id_parse(struct slice text, const struct epoch *epoch, uint64_t *ret_seq)
{
	const char *dot = text.n ? memchr(text.p, '.', text.n) : NULL;
	struct slice word;
	uint64_t seq;

	if (dot == NULL)
		return ID_MALFORMED;
	word = slice_make(text.p, (size_t)(dot - text.p));
	if (!epoch_is_valid(word) || !parse_seq(slice_skip(text, word.n + 1), &seq))
		return ID_MALFORMED;
	if (!slice_eq_str(word, epoch->text))
		return ID_FOREIGN_EPOCH;
	*ret_seq = seq;
	return ID_VALID;
}

size_t id_format(char out[ID_TEXT_MAX], const struct epoch *epoch, uint64_t seq)
{
	size_t n = strnlen(epoch->text, EPOCH_MAX);

	memcpy(out, epoch->text, n);
	out[n++] = '.';
	n += digits_write(out + n, seq);
	out[n] = '\0';
	return n;
}
