/* SPDX-License-Identifier: MIT */
/*
 * query.c: everything but RFC 3986 unreserved characters is encoded, and ':' and '/' are left
 * alone, which are legal in a query and common in channel names.
 */
#include "cli/query.h"

static bool is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~:/", c));
}

void query_add(struct buf *path, const char *name, struct slice value)
{
	buf_add_char(path, path->n && memchr(path->p, '?', path->n) ? '&' : '?');
	buf_add_str(path, name);
	buf_add_char(path, '=');
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if (is_plain(c))
			buf_add_char(path, (char)c);
		else
			buf_addf(path, "%%%02X", c);
	}
}

void query_add_u64(struct buf *path, const char *name, uint64_t value)
{
	struct buf b;

	buf_init(&b, 24);
	buf_add_u64(&b, value);
	query_add(path, name, buf_slice(&b));
	buf_fini(&b);
}
