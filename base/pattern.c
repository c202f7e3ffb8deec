/* SPDX-License-Identifier: MIT */
/*
 * pattern: what is a pattern, and which namespaces it reaches into.
 *
 * DESIGN: a prefix with a colon has one namespace, that of every name that begins so. One without
 * may become the name of any namespace that begins with it, and also names of no configured
 * namespace, which have the default options: the default entry is always among those it meets.
 */
#include "base/pattern.h"

const char *pattern_problem(struct slice text, bool any)
{
	if (!pattern_is(text))
		return "a pattern ends with '*'";
	struct slice prefix = pattern_prefix(text);
	const char *wrong = prefix.n ? channel_name_problem(prefix) : NULL;
	if (prefix.n && memchr(prefix.p, '*', prefix.n))
		return "a pattern has one '*', at its end";
	if (wrong)
		return wrong;
	if (text.n > UINT8_MAX)
		return "a pattern has at most 255 bytes";
	if (!any && (prefix.n == 0 || !memchr(prefix.p, ':', prefix.n)))
		return "a pattern names its namespace, as in room:* (limits.pattern_any allows "
		       "shorter ones)";
	return NULL;
}

bool pattern_meets_namespace(const struct namespace_table *t, size_t i, struct slice text)
{
	struct slice prefix = pattern_is(text) ? pattern_prefix(text) : text;

	if (!pattern_is(text) || (prefix.n && memchr(prefix.p, ':', prefix.n)))
		return namespace_find(t, prefix) == &t->ns[i];
	return i == 0 || slice_has_prefix(slice_str(t->ns[i].name), prefix);
}
