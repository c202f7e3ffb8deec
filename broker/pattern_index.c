/* SPDX-License-Identifier: MIT */
/*
 * pattern_index: see the header. DESIGN: a hash of the patterns by prefix, and which lengths of
 * prefixes there are. A name is looked up once for each such length that it reaches: the cost of a
 * publish grows with the kinds of patterns (`room:*` and `user:*:` are one kind each), never with
 * their number. Without a pattern nothing is done at all.
 */
#include "broker/pattern_index.h"

#include "base/obj.h"
#include "base/pattern.h"
#include "broker/channel.h"

void pattern_index_add(struct pattern_index *ix, struct channel *pattern)
{
	struct slice prefix = pattern_prefix(channel_name(pattern));

	HASH_ADD_KEYPTR(hh, ix->map, prefix.p, prefix.n, pattern);
	ix->n++;
	if (ix->n_by_length[prefix.n]++ == 0)
		ix->lengths[prefix.n / 64] |= UINT64_C(1) << prefix.n % 64;
}

void pattern_index_remove(struct pattern_index *ix, struct channel *pattern)
{
	size_t length = pattern_prefix(channel_name(pattern)).n;

	HASH_DELETE(hh, ix->map, pattern);
	ix->n--;
	if (--ix->n_by_length[length] == 0)
		ix->lengths[length / 64] &= ~(UINT64_C(1) << length % 64);
}

struct channel *pattern_index_find(const struct pattern_index *ix, struct slice text)
{
	struct slice prefix = pattern_prefix(text);
	struct channel *found = NULL;

	HASH_FIND(hh, ix->map, prefix.p, prefix.n, found);
	return found;
}

size_t pattern_index_match(const struct pattern_index *ix, struct slice name,
			   struct channel *ret[PATTERN_MATCH_MAX])
{
	size_t n = 0;

	if (ix->n == 0)
		return 0;
	for (size_t word = 0; word < ARRAY_LEN(ix->lengths); word++) {
		uint64_t bits = ix->lengths[word];

		for (; bits; bits &= bits - 1) {
			size_t length = word * 64 + (size_t)__builtin_ctzll(bits);
			struct channel *found = NULL;

			if (length > name.n)
				return n;
			HASH_FIND(hh, ix->map, name.p, length, found);
			if (found)
				ret[n++] = found;
		}
	}
	return n;
}
