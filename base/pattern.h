/* SPDX-License-Identifier: MIT */
/*
 * pattern: `room:*` stands for every channel whose name begins with `room:`, now and later. A
 * prefix and one `*` at the end; the `*` is illegal in names, so a text is one or the other.
 * Thread: any (pure).
 */
#ifndef BASE_PATTERN_H
#define BASE_PATTERN_H

#include "base/namespace.h"

/* Does the text end in `*`? Whether it is a good pattern says pattern_problem(). */
static inline bool pattern_is(struct slice text)
{
	return text.n > 0 && text.p[text.n - 1] == '*';
}

/* What the names begin with. */
static inline struct slice pattern_prefix(struct slice pattern)
{
	return slice_make(pattern.p, pattern.n - 1);
}

static inline bool slice_has_prefix(struct slice name, struct slice prefix)
{
	return name.n >= prefix.n && memcmp(name.p, prefix.p, prefix.n) == 0;
}

/* NULL when the text is a pattern, else what is wrong. any: the prefix need not reach past a
 * namespace's colon. */
const char *pattern_problem(struct slice text, bool any);

/* Does the text, a pattern or a name, stand for the channel? */
static inline bool pattern_matches(struct slice text, struct slice channel)
{
	return pattern_is(text) ? slice_has_prefix(channel, pattern_prefix(text))
				: slice_eq(text, channel);
}

/* Can a channel that the text stands for, a pattern or a name, have the options of t->ns[i]? */
bool pattern_meets_namespace(const struct namespace_table *t, size_t i, struct slice text);

#endif
