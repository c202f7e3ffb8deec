/* SPDX-License-Identifier: MIT */
/*
 * fuzz_id: id_parse against one epoch. One position has one spelling: what is valid is written back
 * as the very bytes, and nothing else is valid. The first byte of the input says how many of the
 * others are our epoch.
 */
#include <assert.h>
#include <stdint.h>

#include "base/id.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct epoch epoch = {"k3v9q2"};
	const uint64_t untouched = 0x7e57;
	uint64_t seq = untouched;
	char text[ID_TEXT_MAX];

	if (size < 1)
		return 0;
	struct slice in = slice_make((const char *)data + 1, size - 1);
	struct slice own = slice_make(in.p, data[0] < in.n ? data[0] : in.n);
	if (epoch_is_valid(own)) {
		memset(&epoch, 0, sizeof(epoch));
		memcpy(epoch.text, own.p, own.n);
	}
	enum id_verdict v = id_parse(in, &epoch, &seq);
	if (v == ID_VALID) {
		assert(seq <= INT64_MAX);
		assert(slice_eq(slice_make(text, id_format(text, &epoch, seq)), in));
		return 0;
	}
	assert(seq == untouched);
	if (v == ID_FOREIGN_EPOCH) {
		/* It is valid, for the log that it names. */
		struct epoch other = {""};
		size_t n = (size_t)((const char *)memchr(in.p, '.', in.n) - in.p);

		memcpy(other.text, in.p, n);
		assert(id_parse(in, &other, &seq) == ID_VALID);
		assert(slice_eq(slice_make(text, id_format(text, &other, seq)), in));
	}
	return 0;
}
