/* SPDX-License-Identifier: MIT */
/*
 * pattern_index: which patterns of a hub stand for a channel. A pattern is a struct channel like
 * any other, whose name ends in `*`. Thread: the hub's. Inside broker/ only.
 */
#ifndef BROKER_PATTERN_INDEX_H
#define BROKER_PATTERN_INDEX_H

#include <stdint.h>

#include "base/slice.h"

/* One for each length of a prefix. */
#define PATTERN_MATCH_MAX 255

struct channel;

struct pattern_index {
	struct channel *map; /* by prefix */
	uint32_t n;
	uint32_t n_by_length[PATTERN_MATCH_MAX];
	uint64_t lengths[4]; /* a bit for each length of a prefix that is there */
};

void pattern_index_add(struct pattern_index *ix, struct channel *pattern);
void pattern_index_remove(struct pattern_index *ix, struct channel *pattern);
/* text: with its `*`. */
struct channel *pattern_index_find(const struct pattern_index *ix, struct slice text);
/* Write the patterns that stand for the name to ret, shortest first; return how many. */
size_t pattern_index_match(const struct pattern_index *ix, struct slice name,
			   struct channel *ret[PATTERN_MATCH_MAX]);

#endif
