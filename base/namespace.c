/* SPDX-License-Identifier: MIT */
/*
 * namespace: which options a channel has.
 *
 * DESIGN. A site has a handful of namespaces, so a walk over a small array beats any index. The
 * table never changes once it is shared: a reload builds another one and the threads swap their
 * reference when the letter reaches them. Whoever keeps a struct namespace pointer keeps a
 * reference to its table.
 */
#include "base/namespace.h"

#include <stdlib.h>
#include <string.h>

#include "base/obj.h"
#include "base/xalloc.h"

struct namespace_table *namespace_table_new(size_t n)
{
	struct namespace_table *t = xcalloc(1, sizeof(*t));

	assert(n >= 1);
	atomic_init(&t->refs, 1);
	t->n = n;
	t->ns = xcalloc(n, sizeof(*t->ns));
	return t;
}

struct namespace_table *namespace_table_ref(struct namespace_table *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

struct namespace_table *namespace_table_unref(struct namespace_table *t)
{
	unsigned before;

	if (t == NULL)
		return NULL;
	before = atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before == 1) {
		free(t->ns);
		free(t);
	}
	return NULL;
}

const struct namespace *namespace_find(const struct namespace_table *t, struct slice channel)
{
	const char *colon = channel.n ? memchr(channel.p, ':', channel.n) : NULL;
	struct slice name;

	if (colon == NULL)
		return &t->ns[0];
	name = slice_make(channel.p, (size_t)(colon - channel.p));
	for (size_t i = 1; i < t->n; i++) {
		if (slice_eq_str(name, t->ns[i].name))
			return &t->ns[i];
	}
	return &t->ns[0];
}

const char *channel_name_problem(struct slice name)
{
	if (name.n == 0)
		return "a channel name has at least one byte";
	if (name.n > UINT8_MAX)
		return "a channel name has at most 255 bytes";
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];
		if (c <= ' ' || c > '~')
			return "a channel name is printable ASCII without spaces";
		if (c == '*')
			return "'*' is not allowed in a channel name";
	}
	return NULL;
}
